"""Masks grown and shrunk by large discs: OpenCV's bits, with work for each row of a disc in place of each pixel."""

from __future__ import annotations

import cv2
import numba
import numpy as np


def disc(radius: float) -> np.ndarray:
    """A round structuring element, one pixel of radius at least."""
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * max(1, round(radius)) + 1,) * 2)


def dilated(mask: np.ndarray, radius: float) -> np.ndarray:
    """A mask (H, W) bool grown by `disc`: as `cv2.dilate`."""
    return _dilated(mask, (disc(radius).sum(1) // 2).astype(np.int16))


def closed(mask: np.ndarray, radius: float) -> np.ndarray:
    """A mask (H, W) bool without gaps and bites that a disc does not fit into: as `cv2.MORPH_CLOSE`."""
    return ~dilated(~dilated(mask, radius), radius)


@numba.njit(cache=True, nogil=True)
def _dilated(mask: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """`reach`: (2 R + 1,) int16 how many pixels to either side a brush's rows have."""
    height, width = mask.shape
    away, out = np.empty((height, width), np.int16), np.zeros((height, width), np.bool_)
    far = np.int16(1 << 14)
    for y in range(height):  # how far the next pixel of the mask is in its row
        near = far
        for x in range(width):
            near = np.int16(0) if mask[y, x] else min(far, np.int16(near + 1))
            away[y, x] = near
        near = far
        for x in range(width - 1, -1, -1):
            near = np.int16(0) if mask[y, x] else min(far, np.int16(near + 1))
            away[y, x] = min(away[y, x], near)
    middle = len(reach) // 2
    for y in range(height):
        here = out[y]
        for row in range(max(0, y - middle), min(height, y + middle + 1)):
            there, most = away[row], reach[row - y + middle]
            for x in range(width):
                here[x] |= there[x] <= most
    return out
