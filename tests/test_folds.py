"""Folds of the built-in avatar: how deep an expression makes them, and what of that is drawn."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from textures import MARGIN, disc

from core.data.records import IMAGE_SIZE, TrackedSource
from core.libs.flame_model import OpenHead
from core.libs.geometry import to_camera, to_pixels
from core.models.LiftedAvatar.folds import FOLDS, Fold, FoldLayer, fold_depths, fold_profile, shade_folds, tint_folds
from core.models.LiftedAvatar.models import LiftedAvatar
from core.models.LiftedAvatar.settings import FoldSettings, LiftedSettings
from core.models.request import DrawRequest
from tests.synthetic_head import a_frame


@pytest.fixture(scope="module")
def person() -> TrackedSource:
    """A head without a single fold: its photo has one colour."""
    frame = replace(a_frame(np.random.default_rng(3), expression=0.1, degrees=3.0), posecode=np.zeros(6, np.float32))
    side = IMAGE_SIZE + 2 * MARGIN
    image = np.full((side, side, 3), (190, 150, 130), np.uint8)
    matte = disc(side, side, 0.42 * side)[0, 0].numpy()
    return TrackedSource(frame, image, matte, MARGIN, np.ones((side, side), bool))


def pressed(face: np.ndarray, fold: Fold, share: float) -> np.ndarray:
    """The face with one end of each of a fold's pairs nearer to the other by a share of their distance."""
    out = face.copy()
    for a, b in fold.across:
        out[b] = face[a] + (1 - share) * (face[b] - face[a])
    return out


def test_depth_is_the_smoothstep_of_the_compression():
    rest = np.random.default_rng(1).normal(size=(478, 3))
    assert not fold_depths(rest, rest).any()
    assert not fold_depths(rest * 1.3, rest).any()  # stretched
    for share in (0.02, 0.08, 0.15, 0.5):
        for k, fold in enumerate(FOLDS):
            low, high = fold.compression
            t = np.clip((share - low) / (high - low), 0, 1)
            assert fold_depths((1 - share) * rest, rest)[k] == pytest.approx(3 * t**2 - 2 * t**3)


def test_a_fold_is_dark_on_its_line_and_bright_where_the_skin_bulges():
    settings = FoldSettings()
    distance = np.linspace(-4, 4, 801)
    light = fold_profile(distance, settings)
    assert abs(distance[light.argmin()]) < 0.25
    assert -1 <= light.min() < -0.85
    assert distance[light.argmax()] > 1
    assert 0 < light.max() <= settings.bulge
    assert np.abs(light[np.abs(distance) > settings.reach]).max() < 0.02  # nothing is cut off


def test_a_fold_drawn_on_made_up_points_lies_on_its_curve():
    """A straight fold, 80 pixels long at x = 60: dark on it, its ends fade, nothing further away than its reach."""
    pixels = np.zeros((478, 2))
    pixels[:5] = [[60, 20], [60, 46], [60, 73], [60, 100], [90, 60]]
    fold = Fold(((0,), (1,), (2,), (3,)), 4, ((0, 1),), (0.1, 0.2), depth=0.2, width=0.05)
    settings = FoldSettings()
    (light,) = shade_folds(pixels, (120, 120), 100.0, settings, (fold,))  # 5 pixels wide
    assert light[60, 60] == pytest.approx(0.2 * fold_profile(np.array(0.0), settings), abs=1e-4)
    assert light[60, 70] == pytest.approx(0.2 * fold_profile(np.array(2.0), settings), abs=1e-4)
    assert light[60, 50] == pytest.approx(0.2 * fold_profile(np.array(-2.0), settings), abs=1e-4)
    assert light.min() == light[60].min()
    assert not light[:20].any()
    assert not light[101:].any()
    assert np.abs(light[:, : 60 - int(5 * settings.reach)]).max() < 0.004
    assert np.abs(np.diff(light, axis=0)).max() < 0.02  # no edge at the ends


def test_tint_is_held_within_its_limits_and_is_its_slow_form():
    random = np.random.default_rng(2)
    colors = random.uniform(0, 1, (50, 4)).astype(np.float32)
    index = np.sort(random.choice(50, 30, replace=False)).astype(np.int32)
    light = random.normal(0, 0.3, (30, 5)).astype(np.float32)
    depths = random.uniform(-1, 1, 5).astype(np.float32)
    powers = np.array([0.8, 1.0, 1.05], np.float32)
    expected = colors.copy()
    for row, g in enumerate(index):
        change = np.clip(1 + float(light[row] @ depths), 0.85, 1.1) - 1
        expected[g, :3] *= 1 + powers * change
    out = colors.copy()
    tint_folds(out, index, light, depths, 0.85, 1.1, powers)
    np.testing.assert_allclose(out, expected, rtol=1e-5)
    ratio = out[:, 1] / colors[:, 1]
    assert ratio.min() == pytest.approx(0.85)
    assert ratio.max() == pytest.approx(1.1)
    assert np.array_equal(out[:, 3], colors[:, 3])


def test_the_photos_own_expression_and_no_detail_leave_every_byte(person):
    head = OpenHead()
    plain = replace(FoldSettings(), limits=(1.0, 1.0))
    with_folds, without = LiftedAvatar(), LiftedAvatar(settings=LiftedSettings(folds=plain))
    avatar, reference = with_folds.encode(person), without.encode(person)
    own, transform = head.evaluate(person.frame), person.frame.transform_matrix
    moved = own.copy()
    moved[:478] = pressed(own[:478], FOLDS[0], 0.3)
    for vertices, detail in ((own, 1.0), (moved, 0.0)):
        request = DrawRequest(vertices, transform, detail)
        pictures = [m.render(a, request) for m, a in ((with_folds, avatar), (without, reference))]
        assert torch.equal(*pictures)


def test_skin_that_is_pressed_together_darkens_along_the_fold_alone(person):
    head = OpenHead()
    model = LiftedAvatar()
    avatar = model.encode(person)
    layer = next(layer for layer in avatar.layers if isinstance(layer, FoldLayer))
    own, transform = head.evaluate(person.frame), person.frame.transform_matrix
    moved = own.copy()
    moved[:478] = pressed(own[:478], FOLDS[0], 0.3)
    full, half = (model.render(avatar, DrawRequest(moved, transform, share)).numpy().copy() for share in (1.0, 0.5))
    object.__setattr__(layer, "index", layer.index[:0])
    off = model.render(avatar, DrawRequest(moved, transform, 1.0)).numpy().copy()
    seen = off.mean(0) > 0.1
    ratio = np.where(seen, full.mean(0) / np.maximum(off.mean(0), 0.1), 1)
    x, y = np.round(to_pixels(to_camera(moved[206][None].astype(np.float64), transform), IMAGE_SIZE)[0]).astype(int)
    assert ratio[y, x] < 0.95
    assert ratio.min() > 0.84
    assert ratio.max() < 1.11
    there = np.abs(ratio - 1) > 0.01
    rows, columns = np.nonzero(there)
    assert np.hypot(columns - x, rows - y).max() < 80
    less = half.mean(0) / np.maximum(off.mean(0), 1e-3)
    assert ratio[y, x] < less[y, x] < 1
