"""Points, torso and shots of the frames of a clip in which no face was found, from those in which one was."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np

from core.data.records import HELD, INTERPOLATED, SEEN
from core.libs.numeric import interpolate_gaps
from core.libs.tracker.point_buffer import PointBuffer
from core.libs.tracker.settings import TrackSettings


def bridge(
    points: np.ndarray | PointBuffer,  # (T, 478, 3), filled in where not seen
    visible: np.ndarray,  # (T,) bool, at least one
    times: list[Fraction],
    shots: np.ndarray | None = None,  # (T,) numbers
    longest: Fraction = TrackSettings.bridged,  # seconds that are interpolated
) -> np.ndarray:  # (T,) int8
    """Gives the frames without a face points: short gaps are interpolated, long ones held. Returns their status.

    Up to a cut the last face before it is held, from the cut on the next one.
    """
    status = np.where(visible, SEEN, HELD).astype(np.int8)
    numbers = np.zeros(len(visible), int) if shots is None else shots
    for before, after in pairwise([None, *np.flatnonzero(visible).tolist(), None]):
        gap = range(0 if before is None else before + 1, len(visible) if after is None else after)
        if not gap:
            continue
        cut = before is not None and after is not None and bool(np.ptp(numbers[before : after + 1]))
        if cut or before is None or after is None or times[after] - times[before] > longest:
            for i in gap:
                next_shot = before is None or (cut and not np.ptp(numbers[i : after + 1]))
                points[i] = points[after if next_shot else before]
            continue
        first, last = points[before], points[after]
        for i in gap:
            part = (i - before) / (after - before)
            points[i] = (1 - part) * first + part * last
            status[i] = INTERPOLATED
    return status


def bridge_torso_motion(torso_motion: np.ndarray) -> np.ndarray | None:
    """Motions (T, 4) with what is NaN interpolated; None where more than half is."""
    known = np.flatnonzero(np.isfinite(torso_motion[:, 0]))
    if len(known) < len(torso_motion) / 2:
        return None
    return interpolate_gaps(torso_motion, known).astype(np.float32)


def with_faces(shots: np.ndarray | None, visible: np.ndarray) -> np.ndarray | None:
    """Numbers of shots (T,), those that never show a face counted to the one before, whose face is held in them.

    None where one shot is left. `visible` (T,): where there is a face, somewhere at least.
    """
    if shots is None:
        return None
    faces = np.isin(shots, np.unique(shots[visible]))
    at = np.flatnonzero(faces)
    before = np.searchsorted(at, np.arange(len(shots)), side="right") - 1
    kept = shots[at[np.maximum(before, 0)]]
    known, kept = np.unique(kept, return_inverse=True)
    return kept if len(known) > 1 else None


def scenes_of(shots: np.ndarray | None, length: int) -> list[np.ndarray]:
    """The indices (N,) of the frames of every shot, after cuts back to it too."""
    return [np.arange(length)] if shots is None else [np.flatnonzero(shots == i) for i in range(int(shots.max()) + 1)]
