"""What of a motion is shown over time: how it trembles, looks, blinks, speaks and turns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from core.data.records import TrackedFrame, TrackedSequence
from core.libs.flame_model.topology import LANDMARKS_68
from core.libs.geometry import head_angles, to_camera, to_pixels
from core.libs.numeric import blocks

if TYPE_CHECKING:
    from core.libs.flame_model import FLAMEModel, Head


@dataclass(frozen=True)
class Series:
    """A motion of T frames, as it is shown.

    Attributes:
        seconds: (T,). gaze: (T, 2) degrees to the picture's right and down, mean of both eyes, in the head's frame.
        lids: (T,) how far the eyes are open, 1 as a mean person's. lips: (T,) over the distance of the eyes' corners.
            NaN where the head says nothing of them.
        angles: (T, 3) yaw, pitch and roll in degrees.
        jitter: pixels of a crop of 512, rms second difference over time and 68 landmarks; NaN for fewer than 3 frames
            of a shot.
    """

    seconds: np.ndarray
    gaze: np.ndarray
    lids: np.ndarray
    lips: np.ndarray
    angles: np.ndarray
    jitter: float


def series(track: TrackedSequence, head: Head, person: TrackedFrame | None = None) -> Series:
    """Measure a motion with the head of its codes; `person` has the shape whose openings they are, else frame 0."""
    lips, lids = opening_ratios(head, person or track[0], track.expcode, track.posecode)
    eyes = np.degrees(track.eyecode.reshape(-1, 2, 3)[..., [1, 0]].mean(1).astype(np.float64))
    seconds = np.array([float(now - track.times[0]) for now in track.times])
    return Series(seconds, eyes, lids.mean(1), lips, turns(track.transform_matrix), landmark_jitter(track, head))


def turns(transforms: np.ndarray) -> np.ndarray:
    """Yaw, pitch and roll in degrees (..., 3) of transforms (..., 3, 4)."""
    return np.degrees(head_angles(transforms[..., :3].astype(np.float64)))[..., [1, 2, 0]]


def opening_ratios(
    head: Head, person: TrackedFrame, expcode: np.ndarray, posecode: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Lips (T,) over the distance of the outer eye corners; left and right lids (T, 2), 1 as open as a mean person's.

    NaN where the head does not say where they are. `expcode` (T, 100), `posecode` (T, 6).
    """
    count = len(expcode)
    lips, lids = np.full(count, np.nan), np.full((count, 2), np.nan)
    if head.openings is None:
        return lips, lids
    from core.libs.retargeting.openings import FaceOpenings  # it loads torch

    openings = FaceOpenings(cast("FLAMEModel", head), head.openings, person)
    gaps = np.concatenate(
        [
            openings.gaps(expcode[part].astype(np.float64), posecode[part, 3:].astype(np.float64))[:, :3]
            for part in blocks(count)
        ]
    )
    for column, name in enumerate(openings.names):
        if name == "lips":
            lips = gaps[:, column] / openings.width
        else:
            lids[:, int(name == "right")] = gaps[:, column] / openings.reference[column]
    return lips, lids


def landmark_jitter(track: TrackedSequence, head: Head, frames: int = 2000) -> float:
    """Pixels: rms second difference of 68 landmarks (those that the head knows), over at most so many `frames`.

    They are spread evenly over the clip; each takes up to three evaluations of the head.
    """
    middles = [int(i) for frames in track.shot_frames for i in frames[1:-1]]
    if not middles:
        return float("nan")
    step = -(-len(middles) // frames)
    squares, points = [], dict[int, np.ndarray]()
    for middle in middles[::step]:
        points = {i: points[i] if i in points else _places(track, i, head) for i in (middle - 1, middle, middle + 1)}
        second = points[middle + 1] - 2 * points[middle] + points[middle - 1]
        squares.append(np.nanmean(np.square(second).sum(-1)))
    return float(np.sqrt(np.mean(squares)))


def landmark_shift(one: TrackedSequence, other: TrackedSequence, head: Head, frames: int = 60) -> float:
    """Pixels: rms distance of 68 landmarks of two motions of the same frames, over `frames` of them at most."""
    chosen = np.unique(np.linspace(0, len(one) - 1, min(frames, len(one))).round().astype(int))
    away = [_places(one, int(i), head) - _places(other, int(i), head) for i in chosen]
    return float(np.sqrt(np.nanmean(np.square(away).sum(-1))))


def _places(track: TrackedSequence, index: int, head: Head) -> np.ndarray:
    """(68, 2) landmarks of a frame in pixels of a crop of 512."""
    frame = track[index]
    points = head.landmarks(head.evaluate(frame))[list(LANDMARKS_68)]
    return to_pixels(to_camera(points, frame.transform_matrix))
