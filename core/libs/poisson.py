"""Holes in pictures filled from their rims: Poisson's equation (Perez, Gangnet and Blake, Poisson image editing, 2003).

Solved on a pyramid, coarse to fine, by successive over-relaxation in red-black order.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numba
import numpy as np


@dataclass(frozen=True)
class PoissonSettings:
    """How exactly it is solved. Tuned on plates of portraits: more changes no pixel by a grey level.

    Attributes:
        sweeps: at each level. relaxation: of each, 1 to 2. smallest: pixels of the coarsest level's shorter side.
    """

    sweeps: int = 80
    relaxation: float = 1.9
    smallest: int = 8


_DEFAULT = PoissonSettings()


def fill_hole(
    picture: np.ndarray,  # (H, W, C) float32
    hole: np.ndarray,  # (H, W) bool
    gradient: tuple[np.ndarray, np.ndarray] | None = None,  # (H, W, C) to the right and downwards; None: none at all
    settings: PoissonSettings = _DEFAULT,
) -> np.ndarray:
    """The picture with its hole filled: as smoothly as can be, or with such gradients; beyond the hole as it is.

    `gradient` at a pixel: what the next one to the right, or below, is more. The picture's borders pull nowhere. A
    picture that is nothing but hole becomes the mean of what is in it.
    """
    picture = np.ascontiguousarray(picture, np.float32)
    if not hole.any():
        return picture.copy()
    if hole.all():
        return np.broadcast_to(picture.mean((0, 1)), picture.shape).copy()
    right, below = (np.zeros_like(picture),) * 2 if gradient is None else gradient
    return _solve(picture, hole, right.astype(np.float32), below.astype(np.float32), settings)


def _solve(
    picture: np.ndarray, hole: np.ndarray, right: np.ndarray, below: np.ndarray, settings: PoissonSettings
) -> np.ndarray:
    height, width = hole.shape
    if min(height, width) >= 2 * settings.smallest:
        size = (width + 1) // 2, (height + 1) // 2
        known = (~hole).astype(np.float32)
        share = cv2.resize(known, size, interpolation=cv2.INTER_AREA)
        coarse = cv2.resize(picture * known[..., None], size, interpolation=cv2.INTER_AREA)
        coarse = _three(coarse) / np.maximum(share, 1e-6)[..., None]
        # A coarse pixel is twice as wide, and so is the step to the next one
        steps = [2 * _three(cv2.resize(part, size, interpolation=cv2.INTER_AREA)) for part in (right, below)]
        start = (
            _solve(np.ascontiguousarray(coarse), share == 0, steps[0], steps[1], settings)
            if (share > 0).any()
            else coarse
        )
        up = _three(cv2.resize(start, (width, height), interpolation=cv2.INTER_LINEAR))
    else:
        up = np.broadcast_to(picture[~hole].mean(0), picture.shape)
    out = np.where(hole[..., None], up, picture).astype(np.float32)
    for _ in range(settings.sweeps):
        for color in (0, 1):
            _sweep(out, hole, right, below, color, np.float32(settings.relaxation))
    return out


def _three(values: np.ndarray) -> np.ndarray:
    """cv2 drops the last axis of what has one channel."""
    return values if values.ndim == 3 else values[..., None]


@numba.njit(cache=True, parallel=True, fastmath=True)
def _sweep(
    values: np.ndarray, hole: np.ndarray, right: np.ndarray, below: np.ndarray, color: int, relaxation: float
) -> None:
    """Every second pixel of the hole towards what its neighbours and the gradients ask for, in place."""
    height, width, channels = values.shape
    for y in numba.prange(height):
        for x in range((y + color) % 2, width, 2):
            if not hole[y, x]:
                continue
            count = np.float32((x > 0) + (x + 1 < width) + (y > 0) + (y + 1 < height))
            for k in range(channels):
                total = np.float32(0)
                if x > 0:
                    total += values[y, x - 1, k] + right[y, x - 1, k]
                if x + 1 < width:
                    total += values[y, x + 1, k] - right[y, x, k]
                if y > 0:
                    total += values[y - 1, x, k] + below[y - 1, x, k]
                if y + 1 < height:
                    total += values[y + 1, x, k] - below[y, x, k]
                values[y, x, k] += relaxation * (total / count - values[y, x, k])
