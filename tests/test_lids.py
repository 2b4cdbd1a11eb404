"""The built-in avatar's blinks: what is drawn when lids meet."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from core.data.image import read_image
from core.libs.flame_model import FLAMEModel
from core.libs.flame_model import topology as topo
from core.models.LiftedAvatar.eye_places import EyePlaces
from core.models.LiftedAvatar.eye_settings import LidSettings
from core.models.LiftedAvatar.lid_skin import lid_skin
from core.models.LiftedAvatar.lids import (
    LidLayer,
    close_lids,
    closing,
    corner_spots,
    lash_reach,
    paint_lids,
    replaced_share,
)
from core.models.request import DrawRequest

SIDE, WIDTH = 200, 60.0
SKIN, LASH, WHITE, IRIS = (np.array(c) for c in ((0.8, 0.6, 0.5), (0.2, 0.1, 0.1), (0.95, 0.95, 0.95), (0.1, 0.2, 0.4)))
PHOTO = Path(__file__).parents[2] / "shared/data/sources/s4.jpg"


@pytest.fixture(scope="module")
def eye():
    """A drawn right eye, larger than its contour by 0.05 of its width: picture (S, S, 3) and points (478, 2)."""
    pixels = np.full((478, 2), -100.0)
    along = np.concatenate([np.linspace(0, 1, 9), np.linspace(1, 0, 9)[1:-1]])
    arch = 0.28 * np.sin(np.pi * along) * np.where(np.arange(16) < 9, -0.5, 0.5)
    ring = np.stack([70 + WIDTH * along, 100 + WIDTH * arch], -1)
    pixels[list(topo.RIGHT_EYE)] = ring
    image = np.tile(SKIN.astype(np.float32), (SIDE, SIDE, 1))
    middle = ring.mean(0)
    for grow, colour in ((0.09, LASH), (0.05, WHITE)):
        outline = middle + (ring - middle) * (1 + 2 * grow * np.array([0.3, 3.0]))
        cv2.fillPoly(image, [np.round(outline).astype(np.int32)], colour.tolist())
    cv2.circle(image, (100, 100), 9, IRIS.tolist(), -1)
    return image, pixels


def shown(eye, gap: float) -> np.ndarray:
    """The picture with its Gaussians' colours put back where they came from, for lids `gap` apart of 0.28."""
    image, pixels = eye
    kept = np.ones(image.shape[:2], bool)
    colors = image.reshape(-1, 3).copy()
    close_lids(colors, paint_lids(image, pixels, kept, np.array([0.28, 0.0])), np.array([gap, 0.0]))
    return colors.reshape(image.shape)


def test_open_eyes_stay_as_they_are_to_the_bit(eye):
    image, pixels = eye
    lids = paint_lids(image, pixels, np.ones(image.shape[:2], bool), np.array([0.28, 0.0]))
    assert [lid.side for lid in lids] == [0]  # the other is shut in the photo
    for gap in (0.22, 0.28, 0.4):
        np.testing.assert_array_equal(shown(eye, gap), image)
        assert not closing(lids, np.array([gap, 0.0]))
    assert closing(lids, np.array([0.2, 0.0]))


def test_nothing_of_the_eye_is_left_beside_shut_lids(eye):
    image, pixels = eye
    ring = pixels[list(topo.RIGHT_EYE)].astype(np.float32)[:, None]
    y, x = np.mgrid[:SIDE, :SIDE]
    beyond = [-cv2.pointPolygonTest(ring, (float(a), float(b)), True) for a, b in zip(x.flat, y.flat, strict=True)]
    beyond = np.reshape(beyond, x.shape) / WIDTH
    shut = shown(eye, 0.0)
    white = shut.min(-1) > 0.7
    assert (image.min(-1) > 0.7)[(beyond > 0) & (beyond < 0.07)].sum() > 50  # the photo has the white there
    assert not white.any()
    blue = shut[..., 2] > shut[..., 0]
    assert not blue.any()
    inside = shut[beyond <= 0]
    assert np.abs(inside - inside[0]).max() < 0.15  # the lashes' line, of one colour
    assert inside.mean() < 0.35
    farthest = LidSettings().upper_reach[1] + LidSettings().soft[1] + 0.01
    np.testing.assert_array_equal(shut[beyond > farthest], image[beyond > farthest])


def lidded(reach: float) -> tuple[np.ndarray, EyePlaces]:
    """Skin with lashes that reach so far beyond a contour, over its width; a window (200, 200)."""
    along = np.concatenate([np.linspace(0, 1, 9), np.linspace(1, 0, 9)[1:-1]])
    arch = 0.28 * np.sin(np.pi * along) * np.where(np.arange(16) < 9, -0.5, 0.5)
    ring = np.stack([70 + WIDTH * along, 100 + WIDTH * arch], -1)
    place = EyePlaces.of(ring, (SIDE, SIDE))
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float64)
    heights = np.interp(x, ring[:9, 0], ring[:9, 1]) - y, y - np.interp(x, ring[:7:-1, 0], ring[:7:-1, 1])
    lashes = (np.maximum(*heights) < reach * WIDTH) & (x > 65) & (x < 135)
    return np.where(lashes[..., None], LASH, SKIN).astype(np.float32), place


@pytest.mark.parametrize("reach", [0.1, 0.16])
def test_the_reach_of_lashes_is_read_off_the_photo(reach):
    picture, place = lidded(reach)
    found = lash_reach(picture, place, LidSettings())
    np.testing.assert_allclose(found[2:7], reach, atol=0.02)
    np.testing.assert_allclose(found[10:15], reach, atol=0.02)


def test_distances_are_those_of_the_polygon():
    _, place = lidded(0.1)
    ring = place.contour.astype(np.float32)[:, None]
    y, x = np.mgrid[40:160:7, 40:160:7]
    reference = [-cv2.pointPolygonTest(ring, (float(a), float(b)), True) for a, b in zip(x.flat, y.flat, strict=True)]
    np.testing.assert_allclose(place.beyond[y, x].ravel(), np.array(reference) / WIDTH, atol=1e-4)


def test_skin_continues_light_that_falls_off_and_leaves_folds_out():
    """A ramp is harmonic: it comes back under the eye, although a dark fold touches the boundary."""
    _, place = lidded(0.1)
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    ramp = np.stack([0.6 + 0.2 * x, 0.5 + 0.1 * y, 0.4 + 0.1 * x - 0.1 * y], -1).astype(np.float32)
    unknown = place.beyond < 0.2
    picture = np.where(unknown[..., None], 0, ramp).astype(np.float32)
    known = np.ones_like(unknown)
    skin = lid_skin(picture, known, unknown, place, LidSettings())
    np.testing.assert_allclose(skin[unknown], ramp[unknown], atol=1e-3)
    smaller = lid_skin(picture, known, unknown, place, LidSettings(solved_width=20.0))
    np.testing.assert_allclose(smaller[unknown], ramp[unknown], atol=0.02)
    picture[:, 98:102] *= np.where(unknown[:, 98:102, None], 1, 0.2)
    skin = lid_skin(picture, known, unknown, place, LidSettings())
    np.testing.assert_allclose(skin[unknown], ramp[unknown], atol=0.02)


def test_replacing_follows_the_travel_of_the_lids():
    """All the way in the middle, nothing beyond the corners: there is no hook where nothing moves."""
    picture, place = lidded(0.15)
    share = replaced_share(picture, place, 1.0, LidSettings())
    assert share[100 - 15, 100] == share[100 + 15, 100] == 1
    outer, inner = LidSettings().corners
    x = np.mgrid[:SIDE, :SIDE][1]
    assert not share[(x < 70 - (outer + 0.06) * WIDTH) | (x > 130 + (inner + 0.06) * WIDTH)].any()


def test_single_lashes_are_replaced_and_a_fold_is_kept():
    picture, place = lidded(0.1)
    middle = 100 - round(0.14 * WIDTH)
    for x in (88, 94, 100, 106, 112):
        picture[middle - round(0.4 * WIDTH) : middle, x] = LASH  # reaches 0.4 above the lid
    share = replaced_share(picture, place, 1.0, LidSettings())
    assert (share[middle - round(0.35 * WIDTH), [88, 94, 100, 106, 112]] > 0.8).all()
    picture, place = lidded(0.1)
    picture[middle - 20 : middle - 18, 75:125] = LASH
    share = replaced_share(picture, place, 1.0, LidSettings())
    assert not share[middle - 20 : middle - 18, 75:125].any()


def test_the_line_of_shut_lids_is_thin():
    """As thick as the lashes' lower half and more, at most a tenth of the width, and darkest where the lids meet."""
    picture, place = lidded(0.1)
    pixels = np.full((478, 2), -100.0)
    pixels[list(topo.RIGHT_EYE)] = place.contour
    kept = np.ones((SIDE, SIDE), bool)
    colors = picture.reshape(-1, 3).copy()
    close_lids(colors, paint_lids(picture, pixels, kept, np.array([0.28, 0.0])), np.zeros(2))
    column = colors.reshape(picture.shape)[:, 100].mean(-1)
    dark = (column < (LASH.mean() + SKIN.mean()) / 2) & (place.beyond[:, 100] > 0)
    assert 1 <= dark.sum() <= 0.1 * WIDTH
    # It ends beside the corners without a dot: nothing there is darker than the photo.
    outer, inner = LidSettings().line_corners
    x = np.arange(SIDE)
    beside = (x < 70 - outer * WIDTH) | (x > 130 + inner * WIDTH)
    assert (colors.reshape(picture.shape)[:, beside] >= picture[:, beside] - 1e-3).all()


def test_closing_is_steady(eye):
    """Small moves of the lids change the picture little: nothing jumps while an eye shuts."""
    gaps = np.linspace(0.28, -0.02, 61)
    pictures = [shown(eye, gap) for gap in gaps]
    steps = [np.abs(b - a).max() for a, b in pairwise(pictures)]
    assert max(steps) < 0.1
    assert max(steps[-3:]) == 0  # lids that touch, or more, are shut


def test_pixels_that_are_no_gaussians_are_left_out(eye):
    image, pixels = eye
    kept = np.ones(image.shape[:2], bool)
    kept[:, :95] = False
    (lids,) = paint_lids(image, pixels, kept, np.array([0.28, 0.0]))
    where = np.argwhere(kept)[lids.index]
    assert where[:, 1].min() == 95
    whole = paint_lids(image, pixels, np.ones_like(kept), np.array([0.28, 0.0]))[0]
    assert len(lids.index) < len(whole.index)


@pytest.mark.skipif(not PHOTO.is_file(), reason="needs the shared photos")
def test_a_face_tracker_sees_shut_lids_shut():
    from core.evaluation.metrics import eye_opening
    from core.evaluation.truth import settled_points
    from core.libs.tracker.mediapipe_tracker import MediaPipeTracker
    from core.libs.tracker.source import track_source_image
    from core.models.LiftedAvatar.models import LiftedAvatar
    from core.pipeline import to_image

    with_lids, without = [], []
    tracker = MediaPipeTracker()
    source = track_source_image(read_image(PHOTO), tracker)
    model, frame = LiftedAvatar(), source.frame
    avatar = model.encode(source)
    layers = [replace(layer, shut=[]) if isinstance(layer, LidLayer) else layer for layer in avatar.layers]
    no_lids = replace(avatar, layers=tuple(layers))
    shut = FLAMEModel().evaluate(frame)
    for ring in (topo.RIGHT_EYE, topo.LEFT_EYE):
        shut[list(ring[1:8])] = shut[list(ring[:8:-1])]
    for out, one in ((with_lids, avatar), (without, no_lids)):
        picture = to_image(model.render(one, DrawRequest(shut, frame.transform_matrix)))
        out.append(eye_opening(settled_points(picture, tracker)).mean())
    usual = eye_opening(settled_points(source.shown()[0], tracker)).mean()
    tracker.close()
    # The tracker reads no eye as smaller than about .28 of this one. The lids' layer brings it to that floor; the mesh
    # alone, whose eyes keep a rim of white where they close, comes near but does not reach it.
    assert with_lids[0] < 0.33 * usual < without[0]


def test_a_spot_at_the_corner_goes_and_a_fold_stays():
    """What of the eye lies beyond the tracker's corner ends there; a fold goes on."""
    picture, place = lidded(0.0)
    picture[:] = SKIN
    corner = np.round(place.contour[8]).astype(int)
    cv2.circle(picture, (int(corner[0]) + 6, int(corner[1])), 2, LASH.tolist(), -1)
    start = np.round(place.contour[0]).astype(int)
    cv2.line(picture, (int(start[0]) - 4, int(start[1])), (int(start[0]) - 40, int(start[1])), LASH.tolist(), 2)
    spots = corner_spots(picture, place, LidSettings())
    assert spots[corner[1], corner[0] + 6] > 0.9
    assert spots[:, : start[0]].max() == 0
