"""What the first look at a clip gives: one person's points in all of its frames."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from core.libs.tracker.glimpse import GlimpseBuffer
from core.libs.tracker.point_buffer import PointBuffer


@dataclass(frozen=True)
class Observed:
    """One person in the T frames of a clip.

    Attributes:
        points: (T, 478, 3) pixels of the picture. visible: (T,) bool, where they are known.
        times: of the frames, seconds. fps: frames per second. lost: pieces of the file that could not be decoded.
        shots: (T,) numbers, None where there is one. repeated: (T,) bool, frames that show the picture before again.
        glimpses: of its pictures, where they were kept.
    """

    points: PointBuffer
    visible: np.ndarray
    times: list[Fraction]
    fps: Fraction
    lost: int = 0
    shots: np.ndarray | None = None
    repeated: np.ndarray | None = None
    glimpses: GlimpseBuffer | None = None
