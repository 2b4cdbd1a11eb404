"""A head that the sides of a photo cut, where its mirror image goes on: it ends, and shoulders do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.libs.tracker.settings import WholeSettings
from core.libs.tracker.whole import whole_crop, whole_pixels

WIDTH, HEIGHT, SIDE = 300, 400, 500
FACE = np.array([60.0, 80.0, 240.0, 260.0])  # x0 y0 x1 y1: 60 pixels from it to either side of the photo
CROP = np.array([-100.0, -50.0, SIDE])
SETTINGS = WholeSettings()


class AllPerson:
    """A tracker that sees nothing but the person."""

    def matte(self, image: np.ndarray) -> np.ndarray:
        return np.ones(image.shape[:2], np.float32)


def matte_of(settings: WholeSettings = SETTINGS) -> tuple[np.ndarray, float, float]:
    """The matte (S, S) of the wide crop, and where in it the photo's corner lies: column, row."""
    image = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    angle = np.linspace(0, 2 * np.pi, 478)
    points = (FACE[:2] + FACE[2:]) / 2 + 90 * np.stack([np.cos(angle), np.sin(angle)], 1)
    whole = whole_crop(CROP, settings)
    x, y, _ = whole.wide
    return whole_pixels(image, whole, points, AllPerson(), settings)[1], -x, -y


def beyond(matte: np.ndarray, row: float, edge: float, step: int) -> float:
    """How many pixels from a side of the photo on a head goes on in a row."""
    line = matte[round(row)]
    return float((line[round(edge) :] if step > 0 else line[: round(edge)][::-1])[:120].sum())


def test_a_head_ends_before_a_second_cheek():
    matte, left, top = matte_of()
    assert matte[round(top) : round(top) + HEIGHT, round(left) : round(left) + WIDTH].min() > 0.999
    for edge, step in ((left, -1), (left + WIDTH, 1)):
        assert beyond(matte, top + 120, edge, step) == pytest.approx(SETTINGS.cheek * 60, abs=2.5)


def test_shoulders_go_on():
    matte, _, top = matte_of()
    assert matte[round(top + FACE[3]) + 1 : round(top) + HEIGHT].min() > 0.999


@pytest.mark.parametrize("bulge", [0.05, 0.1])
def test_what_is_cut_goes_on_as_half_an_ellipse(bulge):
    matte, left, top = matte_of(replace(SETTINGS, bulge=bulge, cheek=100))
    size = len(matte)
    for row in (top + 20, top + 100, top + 180):  # the whole height of the crop is cut: it is its mirror image above
        at = round(row) + 0.5
        assert beyond(matte, row, left, -1) == pytest.approx(bulge * np.sqrt(at * (size - at)), abs=2.5)
