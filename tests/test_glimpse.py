"""What is kept of a clip's pictures, held to the pictures themselves."""

from __future__ import annotations

from contextlib import closing

import cv2
import numpy as np
import pytest

from core.libs.flame_model import topology as topo
from core.libs.tracker.crop import crop_around, face_box, mouth_part, to_crop
from core.libs.tracker.glimpse import Glimpse, GlimpseBuffer
from core.libs.tracker.settings import GlimpseSettings

SIZE, EVERY = 128, 4


@pytest.fixture
def clip() -> tuple[list[np.ndarray], np.ndarray]:
    """Pictures (500, 615, 3) and points (T, 478, 3) in them."""
    random = np.random.default_rng(0)
    images = [cv2.GaussianBlur(random.integers(0, 256, (500, 615, 3), np.uint8), (0, 0), 2) for _ in range(6)]
    points = random.uniform(180, 390, (6, 478, 3))
    points[:, list(topo.OUTER_LIPS), :2] = random.uniform((250, 310), (320, 340), (6, len(topo.OUTER_LIPS), 2))
    for corner, place in zip((33, 263, 168, 2), ((220, 240), (350, 240), (285, 245), (285, 300)), strict=True):
        points[:, corner, :2] = place
    return images, points


def kept(clip: tuple[list[np.ndarray], np.ndarray], **settings) -> GlimpseBuffer:
    buffer = GlimpseBuffer(SIZE, EVERY, settings=GlimpseSettings(**settings))
    for index, (image, points) in enumerate(zip(*clip, strict=True)):
        buffer.keep(image, None if index == 2 else points, is_cut=index == 2)
    return buffer


@pytest.mark.parametrize("moved", [(0.0, 0.0, 1.0), (-41.3, 17.7, 0.97), (33.3, -65.1, 1.7)])
def test_the_second_look_finds_in_it_what_the_pictures_show(clip, moved):
    images, points = clip
    crops = crop_around(face_box(points)) * [1, 1, moved[2]] + [*moved[:2], 0]
    with closing(kept(clip)) as buffer:
        assert buffer.suits(crops)
        for index, glimpse in enumerate(buffer):
            if index == 2:
                assert glimpse is None  # no face
                continue
            whole = Glimpse.of_picture(images[index])
            assert glimpse.grey.size < whole.grey.size / 3
            np.testing.assert_array_equal(glimpse.compared(crops[index], SIZE), whole.compared(crops[index], SIZE))
            # The whole face every few frames and where a shot begins to show one; the lips always.
            for cheeks in (False, True) if index in (0, 3, 4) else (False,):
                part = mouth_part(to_crop(points[index], crops[index], 256), 256, cheeks, margin=4)
                shown = glimpse.part(crops[index], part, 256)
                np.testing.assert_array_equal(shown, whole.part(crops[index], part, 256))


def test_what_was_not_kept_is_not_made_up(clip):
    _, points = clip
    crops = crop_around(face_box(points))
    with closing(kept(clip, around=0.1)) as buffer:
        part = mouth_part(to_crop(points[5], crops[5], 256), 256, cheeks=True)
        assert list(buffer)[5].part(crops[5], part, 256) is None
        assert not buffer.suits(crops * 0.4)  # of a smaller crop finer grey levels would be needed
    with closing(kept(clip, most=100_000)) as buffer:
        assert not buffer.is_whole
        assert not buffer.suits(crops)


def test_a_full_disk_is_as_a_clip_that_is_too_long(clip, monkeypatch):
    images, points = clip
    with closing(GlimpseBuffer(SIZE, EVERY)) as buffer:
        monkeypatch.setattr(buffer, "_file", FullDisk(buffer._file))
        buffer.keep(images[0], points[0], is_cut=False)
        assert not buffer.suits(crop_around(face_box(points)))


class FullDisk:
    """A file on a disk that has room for nothing."""

    def __init__(self, file) -> None:
        self.truncate, self.close = file.truncate, file.close

    def write(self, values) -> int:
        raise OSError(28, "No space left on device")
