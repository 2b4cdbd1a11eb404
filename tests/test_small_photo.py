"""The face of a small photo is looked at enlarged, where its points are nearer to those of the photo as it was."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from core.data.image import read_image
from core.libs.tracker.mediapipe_tracker import MediaPipeTracker
from core.libs.tracker.still import face_of_photo, settled_face

PHOTO = Path(__file__).parents[1] / "demos/examples/2.jpg"


@pytest.fixture(scope="module")
def tracker():
    with_models = MediaPipeTracker()
    yield with_models
    with_models.close()


def test_points_of_a_small_photo_are_nearer_to_those_of_the_large_one(tracker):
    photo = read_image(PHOTO)
    large = settled_face(photo, tracker)
    eyes = np.linalg.norm(large.points[33, :2] - large.points[263, :2])
    assert eyes > 110
    size = tuple(round(40 / eyes * n) for n in photo.shape[1::-1])  # eyes 40 pixels apart
    small, ratio = cv2.resize(photo, size, interpolation=cv2.INTER_AREA), photo.shape[1] / size[0]
    errors = []
    for look in (settled_face, face_of_photo):
        points = (look(small, tracker).points[:468, :2] + 0.5) * ratio - 0.5
        errors.append(np.linalg.norm(points - large.points[:468, :2], axis=1).mean() / eyes)
    assert errors[1] < 0.6 * errors[0]


def test_a_large_face_is_looked_at_as_it_is(tracker):
    photo = cv2.resize(read_image(PHOTO), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    np.testing.assert_array_equal(face_of_photo(photo, tracker).points, settled_face(photo, tracker).points)
