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


@dataclass(frozen=True)
class _Problem:
    """What is solved at a level, (H, W, 3) but for the hole (H, W): see `fill_hole`. `pull`: of `toward`."""

    picture: np.ndarray
    hole: np.ndarray
    right: np.ndarray
    below: np.ndarray
    toward: np.ndarray
    pull: float


def differences(picture: np.ndarray, axis: int) -> np.ndarray:
    """What the next pixel of a picture (H, W, 3) is more, 0 at the end: a gradient for `fill_hole`."""
    return np.diff(picture, axis=axis, append=picture.take([-1], axis))


def fill_hole(
    picture: np.ndarray,  # (H, W, 3) float32
    hole: np.ndarray,  # (H, W) bool
    gradient: tuple[np.ndarray, np.ndarray] | None = None,  # (H, W, 3) to the right and downwards; None: none at all
    toward: np.ndarray | None = None,  # (H, W, 3) colours that the hole is pulled to; None: to none
    reach: float = 1.0,  # pixels over which a rim of another colour than `toward` tells
    settings: PoissonSettings = _DEFAULT,
) -> np.ndarray:
    """The picture with its hole filled: as smoothly as can be, or with such gradients; beyond the hole as it is.

    `gradient` at a pixel: what the next one to the right, or below, is more. The picture's borders pull nowhere. A
    picture that is nothing but hole becomes the mean of what is in it. With `toward` it is the screened equation (Bhat,
    Curless, Cohen and Zitnick, Fourier analysis of the 2D screened Poisson equation, 2008).
    """
    picture = np.ascontiguousarray(picture, np.float32)
    if not hole.any():
        return picture.copy()
    if hole.all():
        return np.broadcast_to(picture.mean((0, 1)), picture.shape).copy()
    steps = [np.zeros_like(picture)] * 2 if gradient is None else list(gradient)
    right, below, target = (
        np.ascontiguousarray(part, np.float32) for part in (*steps, picture if toward is None else toward)
    )
    return _solve(_Problem(picture, hole, right, below, target, 0.0 if toward is None else 1 / reach**2), settings)


def _solve(problem: _Problem, settings: PoissonSettings) -> np.ndarray:
    hole = problem.hole
    height, width = hole.shape
    start = np.broadcast_to(problem.picture[~hole].mean(0), problem.picture.shape)
    if min(height, width) >= 2 * settings.smallest:
        coarse = _halved(problem)
        if not coarse.hole.all():
            start = _resized(_solve(coarse, settings), (width, height), cv2.INTER_LINEAR)
    out = np.where(hole[..., None], start, problem.picture).astype(np.float32)
    relaxation, pull = np.float32(settings.relaxation), np.float32(problem.pull)
    for _ in range(settings.sweeps):
        for color in (0, 1):
            _sweep(out, hole, problem.right, problem.below, problem.toward, color, relaxation, pull)
    return out


def _halved(problem: _Problem) -> _Problem:
    size = (problem.hole.shape[1] + 1) // 2, (problem.hole.shape[0] + 1) // 2
    known = (~problem.hole).astype(np.float32)[..., None]
    share = _resized(known, size)
    picture = _resized(problem.picture * known, size) / np.maximum(share, 1e-6)
    # A pixel is twice as wide now, and so is the step to the next one
    right, below = (2 * _resized(part, size) for part in (problem.right, problem.below))
    return _Problem(picture, share[..., 0] == 0, right, below, _resized(problem.toward, size), 4 * problem.pull)


def _resized(values: np.ndarray, size: tuple[int, int], interpolation: int = cv2.INTER_AREA) -> np.ndarray:
    out = cv2.resize(values, size, interpolation=interpolation)
    return out if out.ndim == 3 else out[..., None]  # cv2 drops the last axis of what has one channel


@numba.njit(cache=True, parallel=True, nogil=True, fastmath=True)
def _sweep(
    values: np.ndarray,  # (H, W, 3)
    hole: np.ndarray,  # (H, W)
    right: np.ndarray,  # (H, W, 3)
    below: np.ndarray,  # (H, W, 3)
    toward: np.ndarray,  # (H, W, 3)
    color: int,
    relaxation: float,
    pull: float,
) -> None:
    """Every second pixel of the hole towards what its neighbours, the gradients and its own goal ask for, in place."""
    height, width = hole.shape
    for y in numba.prange(height):
        for x in range((y + color) % 2, width, 2):
            if not hole[y, x]:
                continue
            count = pull + np.float32((x > 0) + (x + 1 < width) + (y > 0) + (y + 1 < height))
            for k in range(3):  # a number that is known here halves the time
                total = pull * toward[y, x, k]
                if x > 0:
                    total += values[y, x - 1, k] + right[y, x - 1, k]
                if x + 1 < width:
                    total += values[y, x + 1, k] - right[y, x, k]
                if y > 0:
                    total += values[y - 1, x, k] + below[y - 1, x, k]
                if y + 1 < height:
                    total += values[y + 1, x, k] - below[y, x, k]
                values[y, x, k] += relaxation * (total / count - values[y, x, k])
