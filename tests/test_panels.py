"""Photo, driver and result side by side: at one height, with their proportions, whatever their sizes."""

from __future__ import annotations

import numpy as np
import pytest

from core.output.panels import at_height, panel_widths, side_by_side


def disc(width: int, height: int) -> np.ndarray:
    """A white disc in the middle of a black picture."""
    y, x = np.mgrid[:height, :width]
    inside = np.hypot(x - (width - 1) / 2, y - (height - 1) / 2) < 0.3 * min(width, height)
    return (255 * inside).astype(np.uint8)[..., None].repeat(3, 2)


def test_a_wide_photo_and_a_tall_driver_are_shown_whole_at_one_height():
    sizes = [(1920, 817), (360, 1364), (1920, 817)]
    row = side_by_side([disc(*size) for size in sizes], 512)
    widths = panel_widths(sizes, 512)
    assert row.shape == (512, sum(widths), 3)
    assert widths == pytest.approx([1920 * 512 / 817, 360 * 512 / 1364, 1920 * 512 / 817], abs=1)
    for panel in np.split(row, np.cumsum(widths)[:-1], axis=1):
        shown = panel[..., 0] > 127
        across, down = shown.any(0).sum(), shown.any(1).sum()
        assert across == pytest.approx(down, abs=2.5)  # still a disc
        assert shown.any(0).argmax() == pytest.approx(shown[:, ::-1].any(0).argmax(), abs=1.5)  # in its middle


@pytest.mark.parametrize("size", [(1, 1), (3, 2000), (2000, 3), (641, 359), (512, 512), (7, 512)])
def test_widths_are_even(size):
    for height in (2, 360, 512):
        assert panel_widths([size], height)[0] % 2 == 0
        assert at_height(np.zeros((size[1], size[0], 3), np.uint8), height).shape == (
            height,
            panel_widths([size], height)[0],
            3,
        )


def test_what_has_the_height_is_not_touched():
    noise = np.random.default_rng(0).integers(0, 256, (90, 61, 4), np.uint8)
    np.testing.assert_array_equal(at_height(noise, 90)[:, :61], noise)
    np.testing.assert_array_equal(at_height(noise, 90)[:, 61], noise[:, 60])
    assert at_height(noise[:, :60], 90).shape == (90, 60, 4)
    squares = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    np.testing.assert_array_equal(side_by_side(squares, 64), np.concatenate(squares, 1))
