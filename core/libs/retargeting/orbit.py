"""A camera that swings round the head.

A view maps the frame of the photo's camera to that of a camera that was moved, in the convention of all transforms
here: `q = p @ view[:, :3] + view[:, 3]`. As the camera moves and not the head, all that is drawn turns together,
shoulders and hair too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from core.data.records import TrackedFrame, TrackedSequence
from core.libs.flame_model.topology import LANDMARKS_68
from core.libs.geometry import to_camera
from core.libs.retargeting.neutral import resting_transform

if TYPE_CHECKING:
    from core.libs.flame_model import Head


@dataclass(frozen=True)
class OrbitSettings:
    """Attributes: `period`: seconds of a swing to one side, to the other and back. By eye."""

    period: Fraction = Fraction(4)


_SETTINGS = OrbitSettings()


def orbit_angles(
    times: tuple[Fraction, ...],  # (T,) seconds
    fps: Fraction,
    degrees: float,
    period: Fraction = _SETTINGS.period,
) -> np.ndarray:  # (T,) radians
    """How far the camera has gone round, frame by frame: a sine from the middle, first to the positive side.

    It takes `period` seconds; a shorter clip is one whole swing. One frame alone is seen from `degrees`.
    """
    if len(times) == 1:
        return np.radians([float(degrees)])
    period = min(period, times[-1] - times[0] + 1 / fps)
    part = np.array([float((now - times[0]) / period) for now in times])
    return np.radians(degrees) * np.sin(2 * np.pi * part)


def orbit(
    source: TrackedFrame,
    motion: TrackedSequence,
    head: Head,
    degrees: float,
    settings: OrbitSettings = _SETTINGS,
) -> TrackedSequence:
    """The motion with the view of a camera that swings by some degrees to either side; 0 leaves it as it is.

    It goes round the head as that is where the motion comes nearest to the photo's pose: the camera does not follow.
    """
    if degrees == 0:
        return motion
    centre = replace(source, transform_matrix=resting_transform(source, motion))
    angles = orbit_angles(motion.times, motion.fps, degrees, settings.period)
    return replace(motion, view=np.stack([orbit_view(head, centre, angle) for angle in angles]))


def orbit_view(head: Head, frame: TrackedFrame, angle: float) -> np.ndarray:  # (3, 4)
    """The view of a camera that went round a head by an angle in radians.

    The axis is the head's own vertical through the middle of the face, the mean of the landmarks that both heads have;
    a head in the pose of `frame` is seen as if it had turned by `angle` about it, to its own left where that is
    positive.
    """
    from scipy.spatial.transform import Rotation  # a run that finds photo and driver in the cache does without it

    transform = frame.transform_matrix.astype(np.float64)
    points = np.asarray(head.landmarks(head.evaluate(frame)), np.float64)[list(LANDMARKS_68)]
    middle = to_camera(points.mean(0)[None], transform)[0]
    axis = transform[1, :3]  # where the head's +y points in the camera frame
    turn = Rotation.from_rotvec(angle * axis / np.linalg.norm(axis)).as_matrix().T
    return np.concatenate([turn, (middle - middle @ turn)[:, None]], 1)
