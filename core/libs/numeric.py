"""Functions of numbers that several rooms need: soft limits, ramps, interpolation, blocks of frames.

They know no faces. `soft_clip` and its kin take numpy arrays; `ramp` and `smoothstep` take torch tensors too.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    import torch

Array = TypeVar("Array", np.ndarray, "torch.Tensor")


def soft_clip(
    values: np.ndarray,  # any shape
    limit: float | np.ndarray,  # above 0, one for all or one for each
    knee: float = 2 / 3,
) -> np.ndarray:
    """Values whose size stays below `limit`: unchanged, to the bit, up to `knee` times the limit, then by tanh."""
    start = knee * limit
    over = np.maximum(np.abs(values) - start, 0)
    return np.clip(values, -start, start) + np.sign(values) * (limit - start) * np.tanh(over / (limit - start))


def soft_upper_clip(values: np.ndarray, start: float, limit: float) -> np.ndarray:
    """Values that stay below `limit`: unchanged up to `start`, from there on by tanh."""
    return np.minimum(values, start) + (limit - start) * np.tanh(np.maximum(values - start, 0) / (limit - start))


def soft_clip_length(vectors: np.ndarray, limit: float) -> np.ndarray:  # (..., D) -> (..., D)
    """Vectors whose length stays below `limit`, by tanh; their directions stay, short ones nearly their length too."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors * (limit * np.tanh(length / limit) / np.maximum(length, 1e-9))


def ramp(values: Array, low: float, high: float) -> Array:
    """0 at `low`, 1 at `high`, linear between and constant beyond; `low` may be the greater one. NaN stays NaN."""
    return ((values - low) / (high - low)).clip(0, 1)


def smoothstep(values: Array, low: float, high: float) -> Array:
    """As `ramp`, with slope 0 at both ends: the cubic 3 t^2 - 2 t^3."""
    t = ramp(values, low, high)
    return t * t * (3 - 2 * t)


def runs(mask: np.ndarray) -> np.ndarray:  # (N,) bool or 0 and 1 -> (R, 2) int
    """Where each run of true values begins, and one past its end."""
    return np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(mask, np.int8), [0]]))).reshape(-1, 2)


def over_channels(combine: np.ufunc, values: np.ndarray) -> np.ndarray:  # (..., C) -> (...)
    """`combine.reduce(values, -1)`, to the bit, for a picture's few channels: numpy is slow there."""
    return reduce(combine, np.moveaxis(values, -1, 0))


def percentile(values: np.ndarray, percent: float) -> np.ndarray:  # (T, ...) -> (...)
    """`np.percentile` over the first axis, to the bit, which takes a tenth of a millisecond of a frame's time.

    NaN where there is one.
    """
    ordered = np.sort(values, axis=0)
    place = percent / 100 * (len(ordered) - 1)
    below = int(place)
    low, high, part = ordered[below], ordered[min(below + 1, len(ordered) - 1)], place - below
    found = low + (high - low) * part if part < 0.5 else high - (high - low) * (1 - part)
    return np.where(np.isnan(ordered[-1]), np.nan, found)


def interpolate_gaps(values: np.ndarray, known: np.ndarray) -> np.ndarray:  # (T, D), (K,) indices -> (T, D)
    """Columns with straight lines between the known frames, the first and the last of which are held to the ends."""
    return np.stack([np.interp(np.arange(len(values)), known, column[known]) for column in values.T], 1)


def cubic_spline(
    knots: np.ndarray,  # (K,) ascending
    values: np.ndarray,  # (K, D)
    at: np.ndarray,  # (N,)
) -> tuple[np.ndarray, np.ndarray]:  # (N, D) twice
    """Values and slopes of the cubic spline through points, the third derivative continuous at the last inner knots.

    As `scipy.interpolate.CubicSpline` has it, whose import takes a fifth of a second of every start. Between two knots
    it is a straight line, through three a parabola.
    """
    step, rise = np.diff(knots), np.diff(values, axis=0)
    slope, count = rise / step[:, None], len(knots)
    bend = np.zeros_like(values, np.float64)  # second derivatives
    if count == 3:
        bend[:] = 2 * (slope[1] - slope[0]) / (knots[2] - knots[0])
    elif count > 3:
        system, inner = np.zeros((count, count)), np.arange(1, count - 1)
        system[inner, inner - 1], system[inner, inner + 1] = step[:-1], step[1:]
        system[inner, inner] = 2 * (step[:-1] + step[1:])
        system[0, :3] = step[1], -step[0] - step[1], step[0]
        system[-1, -3:] = step[-1], -step[-2] - step[-1], step[-2]
        bend = np.linalg.solve(system, np.concatenate([0 * values[:1], 6 * np.diff(slope, axis=0), 0 * values[:1]]))
    left = np.clip(np.searchsorted(knots, at, "right") - 1, 0, count - 2)
    x, h = (at - knots[left])[:, None], step[left][:, None]
    first, third = slope[left] - h / 6 * (2 * bend[left] + bend[left + 1]), (bend[left + 1] - bend[left]) / h
    return (
        values[left] + x * (first + x * (bend[left] / 2 + x * third / 6)),
        first + x * (bend[left] + x * third / 2),
    )


def blocks(frames: int, size: int = 1024) -> Iterator[slice]:
    """Slices of at most `size` frames that cover a clip in order; an empty one where there are none.

    What is worked out for a frame can take many times the memory of what is kept of it.
    """
    return (slice(start, min(start + size, frames)) for start in range(0, max(frames, 1), size))


class LastRows:
    """The last rows that were appended, as one array; of a deque it would be made anew whenever it is looked at.

    Args:
        most: rows that are kept. shape: of a row.
    """

    def __init__(self, most: int, shape: tuple[int, ...] = ()) -> None:
        self._most, self._end = most, 0
        self._values = np.empty((2 * most, *shape))

    def append(self, row: np.ndarray | float) -> None:
        """One more row, in place of the first where there are as many as are kept."""
        if self._end == len(self._values):
            self._values[: self._most - 1] = self._values[self._most + 1 :]
            self._end = self._most - 1
        self._values[self._end] = row
        self._end += 1

    @property
    def values(self) -> np.ndarray:
        """(N, ...) float64, oldest first, which the next rows may overwrite."""
        return self._values[max(self._end - self._most, 0) : self._end]
