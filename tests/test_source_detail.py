"""The photo's own detail: it fades with the angle, and the built-in avatar shows it within bounds."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from textures import MARGIN, disc, texture

from core.data.records import IMAGE_SIZE, TrackedSource
from core.libs.flame_model import FLAMEModel
from core.libs.geometry import head_rotation, to_camera, to_pixels
from core.libs.tracker.base import N_POINTS
from core.models.LiftedAvatar.models import LiftedAvatar
from core.models.modules.detail_enhancer import source_detail_fade
from core.models.request import DrawRequest
from tests.synthetic_head import a_frame


def test_source_detail_fades_with_the_angle_about_any_axis():
    def turned(*degrees: float) -> np.ndarray:
        return np.concatenate([head_rotation(np.radians(degrees)), np.ones((3, 1))], 1)

    source = turned(4, -7, 3)
    assert source_detail_fade(source, source) == pytest.approx(1)
    straight = turned(0, 0, 0)
    for axis in np.eye(3):
        fades = [source_detail_fade(straight, turned(*(axis * a))) for a in (0, 1, 7, 14, 21, 27, 28, 60, 179)]
        assert fades == sorted(fades, reverse=True)
        assert fades[1] > 0.99
        assert fades[3] == pytest.approx(0.5)
        assert max(fades[6:]) < 1e-12
    assert source_detail_fade(straight, source) == pytest.approx(source_detail_fade(source, straight))
    with pytest.raises(ValueError, match=r"\(3, 4\)"):
        source_detail_fade(np.eye(3), straight)


@pytest.fixture(scope="module")
def person() -> TrackedSource:
    """A head whose photo is a texture."""
    frame = replace(a_frame(np.random.default_rng(3), expression=0.1, degrees=4.0), posecode=np.zeros(6, np.float32))
    side = IMAGE_SIZE + 2 * MARGIN
    image = (texture(side, side) * 255).astype(np.uint8)
    matte = disc(side, side, 0.42 * side)[0, 0].numpy()
    return TrackedSource(frame, image, matte, MARGIN, np.ones((side, side), bool))


def test_detail_zero_is_as_if_there_were_none_and_one_is_nearer_to_the_photo(person):
    model = LiftedAvatar()
    avatar = model.encode(person)
    vertices, transform = FLAMEModel().evaluate(person.frame), person.frame.transform_matrix
    colors = avatar.surface.colors.copy()
    off, full, half, again = (
        model.render(avatar, DrawRequest(vertices, transform, d)).clone() for d in (0.0, 1.0, 0.5, 0.0)
    )
    assert torch.equal(off, again)
    assert torch.equal(off, model.render(avatar, DrawRequest(vertices, transform)))
    assert np.array_equal(avatar.surface.colors, colors)
    unclipped = (full < 1).all(0)
    assert (half - (off + full) / 2).abs()[:, unclipped].max() < 1e-4  # drawing is linear in the detail

    photo = torch.from_numpy(person.shown()[0].astype(np.float32) / 255).permute(2, 0, 1)
    face = to_pixels(to_camera(vertices[:468].astype(np.float64), transform))
    hull = cv2.convexHull(face.astype(np.float32)).round().astype(np.int32)
    inside = cv2.fillConvexPoly(np.zeros((IMAGE_SIZE, IMAGE_SIZE), np.uint8), hull, 1)
    inside = torch.from_numpy(cv2.erode(inside, np.ones((41, 41))).astype(bool))
    for points in (range(33, 34), range(263, 264), (13, 14)):  # irises and mouth are drawn over
        x, y = face[list(points)].mean(0).astype(int)
        inside[max(y - 40, 0) : y + 40, max(x - 50, 0) : x + 50] = False
    settings = model.settings
    unbounded = LiftedAvatar(settings=replace(settings, detail=replace(settings.detail, fine_share=1.0)))
    fine = unbounded.render(unbounded.encode(person), DrawRequest(vertices, transform, 1.0))
    error = [(picture - photo).square()[:, inside].mean().sqrt() for picture in (off, full, fine)]
    assert error[2] < 0.7 * error[0]
    assert error[1] < 0.95 * error[0]  # a share of what is fine, which is nearly all of this photo


def test_detail_is_bounded_keeps_the_matte_and_stays_away_from_its_border(person):
    avatar = LiftedAvatar().encode(person)
    assert np.abs(avatar.surface.detail).max() <= 0.1
    assert not avatar.surface.detail[:, 3].any()
    model, frame = LiftedAvatar(), person.frame
    vertices = FLAMEModel().evaluate(frame)
    off, full = (model.render(avatar, DrawRequest(vertices, frame.transform_matrix, d)) for d in (0.0, 1.0))
    # Within a few pixels of where the photo's matte ends, which is the circle's border here.
    y, x = np.mgrid[:IMAGE_SIZE, :IMAGE_SIZE]
    middle = (IMAGE_SIZE + 2 * MARGIN) / 2 - MARGIN
    rim = np.abs(np.hypot(y - middle, x - middle) - 0.42 * (IMAGE_SIZE + 2 * MARGIN)) < 3
    assert rim.sum() > 100
    assert (full - off)[:, torch.from_numpy(rim)].abs().max() < 0.004
    assert len(vertices) >= N_POINTS
