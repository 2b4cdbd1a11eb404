"""Openings of the face in the picture: their windows and antialiased masks."""

from __future__ import annotations

import cv2
import numpy as np


def window(points: np.ndarray, shape: tuple[int, int], margin: int) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of the pixels around points (N, 2), inside a picture of a shape (H, W); empty if outside."""
    low, high = np.floor(points.min(0)).astype(int) - margin, np.ceil(points.max(0)).astype(int) + margin + 1
    x0, y0 = max(int(low[0]), 0), max(int(low[1]), 0)
    return x0, y0, max(min(int(high[0]), shape[1]), x0), max(min(int(high[1]), shape[0]), y0)


def contour_mask(points: np.ndarray, x0: int, y0: int, x1: int, y1: int, grow: float = 0.0) -> np.ndarray:
    """How much of each pixel of a window lies inside a contour (N, 2), grown by some pixels: (y1 - y0, x1 - x0)."""
    k = 2  # supersampling: the fill's own antialiasing widens the contour by half a pixel
    bits = 4  # of subpixel precision
    mask = np.zeros(((y1 - y0) * k, (x1 - x0) * k), np.uint8)
    if mask.size == 0:
        return mask.astype(np.float32)
    corners = np.round(((points - [x0, y0] + 0.5) * k - 0.5) * 2**bits).astype(np.int32)
    cv2.fillPoly(mask, [corners], 255, shift=bits)
    if grow:
        cv2.polylines(mask, [corners], True, 255, max(1, round(2 * grow * k)), shift=bits)
    return cv2.resize(mask, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
