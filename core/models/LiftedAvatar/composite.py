"""The drawn person without holes: over a colour, or on its own to be put over something."""

from __future__ import annotations

import sys

import numba
import numpy as np

from core.models.LiftedAvatar.edges import BLOCK


class Pictures:
    """Buffers for pictures, each handed out again once nobody holds what was made of it.

    New memory has to be cleared by the system, which takes as long as drawing into it.
    """

    def __init__(self) -> None:
        self._buffers: list[np.ndarray] = []

    def get(self, shape: tuple[int, ...]) -> np.ndarray:
        """An uninitialised float32 array of this shape."""
        self._buffers = [buffer for buffer in self._buffers if buffer.shape == shape]
        for k in range(len(self._buffers)):
            if sys.getrefcount(self._buffers[k]) <= len(("the list", "the argument")):
                return self._buffers[k]
        self._buffers.append(np.empty(shape, np.float32))
        return self._buffers[-1]


@numba.njit(inline="always")
def _may_have_holes(image, y, left, right):
    """Whether there is anything in a part of a row to be filled, and anything around to fill it from."""
    height, width = image.shape[:2]
    faint = False
    for x in range(left, right):
        faint |= image[y, x, 3] < np.float32(0.6)
    if not faint:
        return False
    for v in range(max(y - 2, 0), min(y + 3, height)):
        for x in range(max(left - 2, 0), min(right + 2, width)):
            if image[v, x, 3] > np.float32(0.9):
                return True
    return False


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


@numba.njit(cache=True, parallel=True, nogil=True, fastmath=True)
def cut_out(
    image: np.ndarray,  # (H, W, 4) RGB and the matte
    out: np.ndarray,  # (H, W, 4)
) -> None:
    """The person on its own: straight RGB and matte, holes filled, everything kept in 0..1."""
    zero, one = np.float32(0), np.float32(1)
    height, width = image.shape[:2]
    for y in numba.prange(height):
        pixel = np.empty(4, np.float32)
        for left in range(0, width, BLOCK):
            right = min(left + BLOCK, width)
            if _may_have_holes(image, y, left, right):
                for x in range(left, right):
                    _filled(image, y, x, pixel)
                    for k in range(4):
                        out[y, x, k] = min(max(pixel[k], zero), one)
            else:
                for x in range(left, right):
                    for k in range(4):
                        out[y, x, k] = min(max(image[y, x, k], zero), one)
