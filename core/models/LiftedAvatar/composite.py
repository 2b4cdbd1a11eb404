"""The drawn person without holes: over a colour, or on its own to be put over something."""

from __future__ import annotations

import numba
import numpy as np

from core.models.LiftedAvatar.edges import BLOCK
from core.models.rasterizer import _simd
from core.models.rasterizer._simd import load16, store16, vmax, vmin
from core.models.rasterizer.compiled import kernel


@numba.njit(inline="always")
def _filled(image, y, x, pixel):
    """RGB and matte of a pixel into `pixel`; in a hole one or two pixels wide, the mean of what lies on both sides.

    Such holes open where a surface turns edge-on.
    """
    height, width = image.shape[:2]
    for k in range(4):
        pixel[k] = image[y, x, k]
    if pixel[3] < np.float32(0.6):
        for i in range(8):
            step_x, step_y = (1, 0, 1, 1, 2, 0, 1, 2)[i], (0, 1, 1, -1, 0, 2, 2, 1)[i]
            ax, ay, bx, by = x - step_x, y - step_y, x + step_x, y + step_y
            if min(ax, ay, bx, by) < 0 or max(ax, bx) >= width or max(ay, by) >= height:
                continue
            if image[ay, ax, 3] > np.float32(0.9) and image[by, bx, 3] > np.float32(0.9):
                for k in range(4):
                    pixel[k] = (image[ay, ax, k] + image[by, bx, k]) * np.float32(0.5)
                break


@numba.njit(cache=True, parallel=True, nogil=True, fastmath=True)
def composite(
    image: np.ndarray,  # (H, W, 4) RGB and the matte
    background: np.ndarray,  # (3,)
    out: np.ndarray,  # (H, W, 3)
) -> None:
    """The person over a colour, holes filled, everything kept in 0..1."""
    zero, one = np.float32(0), np.float32(1)
    height, width = image.shape[:2]
    for y in numba.prange(height):
        pixel = np.empty(4, np.float32)
        for x in range(width):
            _filled(image, y, x, pixel)
            matte = min(max(pixel[3], zero), one)
            for k in range(3):
                out[y, x, k] = min(max(pixel[k], zero), one) * matte + background[k] * (one - matte)


@kernel(_simd)
def cut_out(
    image: np.ndarray,  # (H, W, 4) RGB and the matte
    out: np.ndarray,  # (H, W, 4)
) -> None:
    """The person on its own: straight RGB and matte, holes filled, everything kept in 0..1."""
    zero, one = np.float32(0), np.float32(1)
    height, width = image.shape[:2]
    blocks = (width + BLOCK - 1) // BLOCK
    flat, into = image.reshape(-1), out.reshape(-1)
    least, most = np.empty((height, blocks), np.float32), np.empty((height, blocks), np.float32)  # of the matte
    for y in numba.prange(height):
        lanes = np.empty(2 * BLOCK, np.float32)
        for block in range(blocks):
            at = 4 * (np.int64(y) * width + block * BLOCK)
            if (block + 1) * BLOCK <= width:
                low = high = load16(flat, at)
                for k in range(at, at + 4 * BLOCK, BLOCK):
                    pixels = load16(flat, k)  # four of them
                    low, high = vmin(low, pixels), vmax(high, pixels)
                    store16(into, k, vmin(vmax(pixels, zero), one))
                store16(lanes, 0, low)
                store16(lanes, BLOCK, high)
                least[y, block] = min(min(lanes[3], lanes[7]), min(lanes[11], lanes[15]))
                most[y, block] = max(max(lanes[19], lanes[23]), max(lanes[27], lanes[31]))
            else:
                least[y, block], most[y, block] = image[y, block * BLOCK, 3], image[y, block * BLOCK, 3]
                for x in range(block * BLOCK, width):
                    least[y, block] = min(least[y, block], image[y, x, 3])
                    most[y, block] = max(most[y, block], image[y, x, 3])
                    for k in range(4):
                        out[y, x, k] = min(max(image[y, x, k], zero), one)
    for y in numba.prange(height):
        pixel = np.empty(4, np.float32)
        for block in range(blocks):
            if least[y, block] >= np.float32(0.6):
                continue
            around = zero  # the most of the matte beside
            for v in range(max(y - 2, 0), min(y + 3, height)):
                for b in range(max(block - 1, 0), min(block + 2, blocks)):
                    around = max(around, most[v, b])
            if around > np.float32(0.9):
                for x in range(block * BLOCK, min((block + 1) * BLOCK, width)):
                    _filled(image, y, x, pixel)
                    for k in range(4):
                        out[y, x, k] = min(max(pixel[k], zero), one)
