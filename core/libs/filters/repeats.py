"""Motion through frames that a video shows twice, as a camera or a call that drops frames does.

A picture that is shown again measures nothing new: what is read off it is what was read off it before, but for a
tracker's noise, and where the face really was lies between the new pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from core.libs.filters.motion_path import MotionPathSettings, motion_path


@dataclass(frozen=True)
class RepeatSettings:
    """Of `bridge_repeats`. By eye.

    Attributes:
        longest: seconds before a new picture in which motion goes on to it; what is shown for longer stood still.
        path: of the motion's paths.
    """

    longest: float = 0.16
    path: MotionPathSettings = field(default_factory=MotionPathSettings)


def bridge_repeats(
    parameters: Mapping[str, np.ndarray],
    repeated: np.ndarray,
    fps: float,
    settings: RepeatSettings = RepeatSettings(),
) -> dict[str, np.ndarray]:
    """A face's parameters (T, ...) with those of repeated frames in a straight line between the new ones.

    Args:
        parameters: by name, rotations turned along their path; one that all frames share, (1, N), stays as it is.
        repeated: (T,) bool, frames that show the picture before again. fps: frames a second.

    What is read off one picture several times is averaged first.
    """
    if not repeated[1:].any():
        return dict(parameters)
    out = {}
    for name, value in parameters.items():
        if len(value) != len(repeated):
            out[name] = value
            continue
        path = motion_path(name, value.astype(np.float64), settings.path)
        change = _bridged(path.columns, repeated, max(1, round(settings.longest * fps))) - path.columns
        out[name] = path.restore(change).astype(value.dtype)
    return out


def _bridged(columns: np.ndarray, repeated: np.ndarray, longest: int) -> np.ndarray:
    """Columns (T, D) of a path through repeated frames, up to `longest` of them in a straight line."""
    fresh = [0, *(np.flatnonzero(~repeated[1:]) + 1).tolist()]
    held = columns.copy()
    for first, end in pairwise([*fresh, len(columns)]):
        held[first:end] = columns[first:end].mean(0)
    out = held.copy()
    for first, new in pairwise(fresh):
        start = max(first, new - 1 - longest)
        part = (np.arange(start + 1, new) - start) / (new - start)
        out[start + 1 : new] = held[first] + part[:, None] * (held[new] - held[first])
    return out
