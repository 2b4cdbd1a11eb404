"""The built-in avatar's irises, on drawn eyes whose irises are known: found, taken out, put back, turned."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from core.libs.flame_model import topology as topo
from core.models.LiftedAvatar.eye_settings import EyeSettings
from core.models.LiftedAvatar.eyes import draw_iris, extract_irises
from core.models.LiftedAvatar.iris_place import between_lids

SKIN, WHITE, IRIS = (np.array(c) for c in ((0.8, 0.6, 0.5), (0.95, 0.93, 0.92), (0.25, 0.5, 0.85)))
CENTRES = {topo.RIGHT_EYE: np.array([90.0, 100.0]), topo.LEFT_EYE: np.array([250.0, 100.0])}
WIDTH, TRACKED, DRAWN = 100.0, 15.0, 20.0  # pixels: of an eye, and of its iris as tracked and as it is


def points_of(shift: float = 0.0, squeezed: float = 1.0) -> np.ndarray:
    """(478, 2): two open eyes with irises as tracked, shifted by some pixels, their horizontal axes squeezed."""
    pixels = np.full((478, 2), -100.0)
    along = np.concatenate([np.linspace(-0.5, 0.5, 9), np.linspace(0.5, -0.5, 9)[1:-1]])
    arch = 0.24 * np.cos(np.pi * along) * np.where(np.arange(16) < 9, -1, 1)
    for (ring, centre), iris in zip(CENTRES.items(), (topo.RIGHT_IRIS, topo.LEFT_IRIS), strict=True):
        side = 1 if ring is topo.RIGHT_EYE else -1  # contours begin at the outer corner
        pixels[list(ring)] = centre + WIDTH * np.stack([side * along, arch], -1)
        border = TRACKED * np.array([[0, 0], [squeezed, 0], [0, -1], [-squeezed, 0], [0, 1]])
        pixels[list(iris)] = centre + [shift, 0] + border
    return pixels


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """(200, 340, 3): skin, and in two openings the white and blue irises with black pupils and highlights."""
    pixels = points_of()
    image = np.tile(SKIN.astype(np.float32), (200, 340, 1))
    for ring, centre in CENTRES.items():
        eye = np.tile(WHITE.astype(np.float32), (200, 340, 1))
        middle = tuple(np.round(centre).astype(int).tolist())
        for radius, color in ((DRAWN, IRIS), (8, np.zeros(3))):
            cv2.circle(eye, middle, int(radius), color.tolist(), -1, cv2.LINE_AA)
        cv2.circle(eye, (middle[0] - 8, middle[1] - 6), 3, (1.0, 1.0, 1.0), -1, cv2.LINE_AA)
        inside = np.zeros(image.shape[:2], np.uint8)
        cv2.fillPoly(inside, [np.round(pixels[list(ring)]).astype(np.int32)], 1)
        image[inside > 0] = eye[inside > 0]
    return cv2.GaussianBlur(image, (0, 0), 1.0)


def blue(image: np.ndarray) -> np.ndarray:
    """(H, W) bool: what is nearer to the iris than to the white, skin and pupil."""
    colors = np.stack([SKIN, WHITE, np.zeros(3), IRIS])
    return np.linalg.norm(image[..., None, :] - colors, axis=-1).argmin(-1) == 3


def drawn(photo: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    image, irises = extract_irises(photo, points_of())
    for iris in irises:
        draw_iris(image, iris, pixels)
    return image


def test_the_border_is_the_iris_and_not_the_pupil(photo):
    _, irises = extract_irises(photo, points_of())
    assert [iris.radius for iris in irises] == pytest.approx([DRAWN, DRAWN], rel=0.07)
    assert irises[0].grown == irises[1].grown


def test_nothing_of_it_is_left_in_the_white(photo):
    without, _ = extract_irises(photo, points_of())
    assert blue(photo).sum() > 1500
    middle = np.s_[88:114]  # the lids' edge has the photo's own shade
    assert blue(without)[middle].sum() == 0
    assert without[100, 90].min() > 0.85 * WHITE.min()


def saturation(color: np.ndarray) -> float:
    return 1 - color.min() / color.max()


def test_a_white_in_shade_and_skin_is_no_skin(photo):
    """Of small eyes most that is seen between the lids is skin and shade; their white was painted in its colour."""
    muddy = np.where(np.linalg.norm(photo - WHITE, axis=-1, keepdims=True) < 0.3, 0.8 * SKIN, photo).astype(np.float32)
    without, _ = extract_irises(muddy, points_of())
    assert saturation(without[100, 90]) < 0.7 * saturation(SKIN)
    assert without[100, 90].max() > 0.7 * SKIN.max()
    darkest = without[80, 90].mean()  # under the upper lid
    assert darkest < 0.8 * without[100, 90].mean()


def test_where_the_photo_has_it_the_photo_comes_back(photo):
    inside = cv2.erode((np.abs(photo - SKIN).max(-1) > 0.3).astype(np.uint8), np.ones((3, 3))) > 0
    assert np.abs(drawn(photo, points_of()) - photo)[inside].max() < 0.03


@pytest.mark.parametrize(("squeezed", "shown"), [(1.0, 1.0), (0.8, 0.8), (0.4, 0.75)])
def test_a_turned_iris_is_an_ellipse(photo, squeezed, shown):
    image = drawn(photo, points_of(shift=18, squeezed=squeezed))
    iris = np.linalg.norm(image - WHITE, axis=-1) > 0.3
    row = iris[100, 45:135]
    assert row.sum() == pytest.approx(2 * DRAWN * shown, abs=4)
    assert np.flatnonzero(row).mean() + 45 == pytest.approx(108, abs=1.5)
    column = iris[78:123, 108]
    assert column.sum() == pytest.approx(2 * DRAWN, abs=4)


def test_an_iris_stays_inside_the_corners(photo):
    image = drawn(photo, points_of(shift=70))
    found = np.flatnonzero(blue(image)[100, 40:140]) + 40
    assert 100 < found.mean() < 140  # its middle is well inside the corner at 140
    assert len(found) > 0.4 * DRAWN


def moved_across(pixels: np.ndarray, down: float) -> np.ndarray:
    pixels = pixels.copy()
    for iris in (topo.RIGHT_IRIS, topo.LEFT_IRIS):
        pixels[list(iris)] += [0, down]
    return pixels


@pytest.mark.parametrize("down", [-60, -30, 30, 60])
def test_open_lids_leave_half_of_an_iris_to_be_seen(photo, down):
    """An eye of 48 pixels' height whose iris goes far beyond its lids."""
    plain = np.tile(SKIN.astype(np.float32), (200, 340, 1))
    for iris in extract_irises(photo, points_of())[1]:
        draw_iris(plain, iris, moved_across(points_of(), down))
    rows = np.flatnonzero(np.abs(plain[:, 100] - IRIS).max(-1) < 0.15)
    edge = 76 if down < 0 else 124
    assert abs(edge - (rows.min() if down < 0 else rows.max())) <= 4  # at the lid
    assert len(rows) == pytest.approx(DRAWN * np.sqrt(0.75), abs=6)  # beside the pupil, half a radius from the middle


def test_behind_closing_lids_an_iris_stays_where_it_is(photo):
    """Lids that have closed to a third pull nothing along."""
    irises = extract_irises(photo, points_of())[1]
    centre, ring = np.array([90.0, 88.0]), closed_to(0.3)[list(topo.RIGHT_EYE)]
    iris = irises[0]
    own, lids = (float(iris.place[1]), iris.opening, DRAWN), (EyeSettings().seen, EyeSettings().closing)
    kept = between_lids(centre, ring, ring, *own, *lids)
    assert (kept == centre).all()
    wide = points_of()[list(topo.RIGHT_EYE)]
    assert (between_lids(centre, wide, wide, *own, *lids) == centre).all()
    above = between_lids(centre - [0, 40], wide, wide, *own, *lids)
    assert above == pytest.approx([90, 76], abs=0.5)  # on the upper lid


def closed_to(part: float) -> np.ndarray:
    """The points with both upper lids lowered until the eyes are so far open, and irises that stay where they are."""
    pixels = points_of()
    for ring in CENTRES:
        upper, lower = list(ring[1:8]), list(ring[:8:-1])
        pixels[upper] = pixels[lower] + part * (pixels[upper] - pixels[lower])
    return pixels


@pytest.mark.parametrize("part", [0.5, 0.4, 0.32])
def test_a_closing_lid_cuts_the_iris_off_and_does_not_fade_it(photo, part):
    """An eye of 48 pixels' height: below its lashes, as long as pixels are left, the iris is as blue as when open."""
    plain = np.tile(SKIN.astype(np.float32), (200, 340, 1))
    for iris in extract_irises(photo, points_of())[1]:
        draw_iris(plain, iris, closed_to(part))
    edge = 124 - 48 * part  # of the upper lid, in the eye's middle
    column = plain[:, 100]  # beside the pupil
    iris = np.abs(column - IRIS).max(-1) < 0.1
    rows = np.flatnonzero(iris)
    assert rows.size > 2
    assert rows.min() >= edge
    assert rows.min() <= edge + 0.035 * WIDTH + 2  # the lashes hang no further
    assert (np.diff(rows) == 1).all()


def test_lids_that_touch_show_no_iris(photo):
    plain = np.tile(SKIN.astype(np.float32), (200, 340, 1))
    before = plain.copy()
    for iris in extract_irises(photo, points_of())[1]:
        for part in (0.0, -0.1):
            draw_iris(plain, iris, closed_to(part))
    np.testing.assert_array_equal(plain, before)
