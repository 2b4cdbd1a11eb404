"""The outline of the opening between the lips: a smooth curve through the tracker's ring of 20 points."""

from __future__ import annotations

import cv2
import numpy as np

from core.models.LiftedAvatar.contour import contour_mask
from core.models.LiftedAvatar.mouth.settings import OutlineSettings

_DEFAULT = OutlineSettings()
_CATMULL_ROM = np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2  # powers of t by points
_B_SPLINE = np.array([[1, 4, 1, 0], [-3, 0, 3, 0], [3, -6, 3, 0], [-1, 3, -3, 1]]) / 6


def subdivision(n: int, settings: OutlineSettings = _DEFAULT) -> np.ndarray:
    """The matrix (n per_side, n) that makes a smooth ring of one of n points.

    The mean of the Catmull-Rom spline, which keeps the shape, and the uniform cubic B-spline, which rounds the corners.
    """
    per_side = settings.per_side
    t = np.arange(per_side) / per_side
    weights = (t[:, None] ** np.arange(4)) @ (_CATMULL_ROM + _B_SPLINE) / 2  # (per_side, 4)
    out = np.zeros((n, per_side, n))
    for side in range(n):
        for k in range(4):
            out[side, :, (side + k - 1) % n] += weights[:, k]
    return out.reshape(-1, n)


def opening_mask(
    outline: np.ndarray,  # (N, 2) pixels
    box: tuple[int, int, int, int],  # the window, see `contour.window`
    scale: float = 1.0,  # pixels for one of a 512-pixel picture
    settings: OutlineSettings = _DEFAULT,
) -> np.ndarray:
    """(h, w) float32 in 0..1: how much of each pixel of a window lies between the lips."""
    mask = contour_mask(outline, *box, grow=settings.growth * scale)
    return cv2.GaussianBlur(mask, (0, 0), settings.feather * scale, borderType=cv2.BORDER_REPLICATE)
