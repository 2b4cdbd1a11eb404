"""A person freed of the background, on pictures whose person, matte and background are known."""

from __future__ import annotations

import numpy as np
import pytest

from core.libs.foreground import resting_plate, separate, share_of

SIZE = 160
_Y, _X = np.mgrid[:SIZE, :SIZE].astype(np.float64)
MATTE = np.clip((60 - np.hypot(_X - 80, _Y - 80)) / 10, 0, 1)  # a disc with an edge of ten pixels
PERSON = np.array([40.0, 30, 25]) + 0.1 * _Y[..., None]
BEHIND = np.array([210.0, 220, 190]) - 0.2 * _X[..., None]


def over(colors: np.ndarray, matte: np.ndarray, behind: np.ndarray) -> np.ndarray:
    return matte[..., None] * colors + (1 - matte[..., None]) * behind


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return np.rint(over(PERSON, MATTE, BEHIND)).astype(np.uint8)


def plate() -> np.ndarray:
    return np.rint(BEHIND).astype(np.uint8)


def test_a_known_matte_gives_person_and_photo_again(photo):
    colors, matte = separate(photo, MATTE.astype(np.float32), plate())
    away = np.abs(over(colors, matte, plate()) - photo)
    assert away[MATTE > 0.02].max() < 2.5
    assert away.max() < 10  # a matte below that is nobody
    assert np.abs(matte - MATTE).max() < 0.05
    assert np.abs(colors - PERSON)[matte > 0.1].max() < 12
    np.testing.assert_array_equal(colors[MATTE > 0.95], photo[MATTE > 0.95])


@pytest.mark.parametrize("off", [-4, 4])
def test_a_matte_that_is_too_wide_or_too_tight_is_mended(photo, off):
    """And over another background nothing of the old one is left."""
    rough = np.clip((60 + off - np.hypot(_X - 80, _Y - 80)) / 10, 0, 1).astype(np.float32)
    rough[(MATTE < 1) & (rough > 0.9)] = 0.9
    colors, matte = separate(photo, rough, plate())
    told = (rough > 0.02) & (rough < 0.95)
    assert np.abs(matte - MATTE)[told].mean() < 0.3 * np.abs(rough - MATTE)[told].mean()
    assert np.abs(over(colors, matte, plate()) - photo)[told].max() < 2.5
    black = np.zeros_like(BEHIND)
    away = np.abs(over(colors, matte, black) - over(PERSON, MATTE, black))
    assert away[told].mean() < 3


def test_a_pixel_that_is_neither_keeps_its_matte_and_its_colour(photo):
    """A red ribbon at the edge."""
    photo, rough = photo.copy(), MATTE.astype(np.float32)
    ribbon = (abs(_X - 80) < 6) & (abs(_Y - 25) < 3)
    photo[ribbon], rough[ribbon] = (200, 60, 60), 0.8
    colors, matte = separate(photo, rough, plate())
    np.testing.assert_allclose(matte[ribbon], 0.8, atol=0.05)
    assert np.abs(over(colors, matte, plate()) - photo)[ribbon].mean() < 2


def test_where_nobody_is_nobody_comes(photo):
    assert not separate(photo, MATTE.astype(np.float32), plate())[1][MATTE == 0].any()


def test_without_anybody_all_stays(photo):
    colors, matte = separate(photo, np.full(MATTE.shape, 0.3, np.float32), plate())
    np.testing.assert_array_equal(colors, photo)
    assert (matte == np.float32(0.3)).all()


def test_a_share_is_read_off_the_colours():
    person, behind = np.full((1, 3, 3), 0.2), np.full((1, 3, 3), 0.8)
    picture = np.array([[[0.8] * 3, [0.5] * 3, [0.2, 0.9, 0.2]]])
    share, told = share_of(picture, person, behind)
    np.testing.assert_allclose(share[0, :2], [0, 0.5], atol=1e-6)
    np.testing.assert_allclose(told[0, :2], 1)
    assert told[0, 2] < 0.1


def test_over_the_plate_of_who_rests_they_are_the_photo_and_elsewhere_it_stays(photo):
    given = (plate() * 0.9).astype(np.uint8)
    colors, matte = separate(photo, MATTE.astype(np.float32), given)
    moves = np.where(_X < 80, 0.0, 1.0)
    behind = resting_plate(photo, colors, matte, given, moves)
    seen = (_X < 80) & (matte < 0.9)
    assert np.abs(over(colors, matte, behind) - photo)[seen].max() < 2
    np.testing.assert_array_equal(behind[:, 80:], given[:, 80:])
