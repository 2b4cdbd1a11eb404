"""A face's parameters over time as columns of plain numbers that a filter may change, and the way back.

A path of rotations is unrolled: its small turns from frame to frame, each about the head's own axes, are added up (Jupp
and Kent, Fitting smooth paths to spherical data, 1987). What a filter adds to the unrolled path turns the rotation of
that frame, so neither large turns nor the wrap at half a turn matter.

A transform becomes the rotation's path, where the middle of the face is seen (x / z and y / z) and the logarithm of its
distance. A tracker's errors in these hardly depend on one another. Those of the translation contain the rotation's,
times the way from the head's origin to the face, and the distance's, times the place beside the optical axis.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from core.errors import UserError
from core.libs.numeric import interpolate_gaps
from core.libs.rotations import matrices_of, turned_by, turns_between, turns_of

TURNS = ("posecode", "eyecode")  # axis-angles, three values each
TRANSFORM = "transform_matrix"


@dataclass(frozen=True)
class MotionPathSettings:
    """Of a transform's path, in head units.

    Attributes:
        face_middle: of a face in head space: the mean of the open head's template, rounded.
        nearest: distance of the face; where it is less, or the face behind the camera, the transforms are not of a
            perspective camera, and the path has the plain position. By eye.
        least_determinant: of a rotation's matrix; below it the transform says nothing.
    """

    face_middle: tuple[float, float, float] = (0.0, -0.1, 0.33)
    nearest: float = 0.5
    least_determinant: float = 1e-6


@dataclass(frozen=True)
class MotionPath:
    """A parameter over T frames, without gaps.

    Attributes:
        columns: (T, D), to be read; where not valid, what lies between the frames that are.
        valid: (T, D) bool, whether the parameter was finite.
        restore: from changes of the columns (T, D) to the parameter (T, ...); the changes may be written over.
    """

    columns: np.ndarray
    valid: np.ndarray
    restore: Callable[[np.ndarray], np.ndarray]


def motion_path(name: str, values: np.ndarray, settings: MotionPathSettings = MotionPathSettings()) -> MotionPath:
    """The path of a parameter over time.

    Args:
        name: of the parameter: rotations (`TURNS`) and transforms (`TRANSFORM`) get a path of their own, others are
            their own columns.
        values: (T, N) floating point, for a transform (T, 3, 4); rows that are not finite are filled in.

    Raises:
        UserError: nothing in it is finite.
    """
    if name == TRANSFORM:
        return _transforms(values, settings)
    if name in TURNS:
        return _axis_angles(name, values)
    valid = np.isfinite(values)
    columns = values if valid.all() else values.copy()
    for d in np.flatnonzero(~valid.all(0)):
        columns[:, d] = _fill(name, values[:, d : d + 1], valid[:, d])[:, 0]
    return MotionPath(columns, valid, lambda change: np.add(columns, change, out=change))


def slerp(start: np.ndarray, goal: np.ndarray, part: float) -> np.ndarray:
    """The rotation `part` of the way from one to another (..., 3, 3) on the shorter arc (Shoemake 1985)."""
    first, last = (np.ascontiguousarray(one, np.float64).reshape(-1, 3, 3) for one in (start, goal))
    return turned_by(first, part * turns_between(first, last)).reshape(start.shape)


def _axis_angles(name: str, values: np.ndarray) -> MotionPath:
    """The path of rotations as axis-angles (T, 3 K), in radians: (T, 3 K)."""
    turns = values.reshape(len(values), -1, 3)
    known = np.isfinite(turns).all(-1)
    paths = [
        _rotations(name, matrices_of(np.where(known[:, k, None], turns[:, k], 0)), known[:, k])
        for k in range(turns.shape[1])
    ]

    def restore(change: np.ndarray) -> np.ndarray:
        changes = (np.ascontiguousarray(turn) for turn in np.split(change, len(paths), 1))
        turned = [turned_by(path[0], turn) for path, turn in zip(paths, changes, strict=True)]
        return np.concatenate([turns_of(rotations) for rotations in turned], 1)

    return MotionPath(np.concatenate([columns for _, columns in paths], 1), np.repeat(known, 3, 1), restore)


def _transforms(values: np.ndarray, settings: MotionPathSettings) -> MotionPath:
    """The path of transforms (T, 3, 4): rotation, direction of the face's middle, logarithm of its distance, (T, 6)."""
    face_middle = np.array(settings.face_middle)
    known = np.isfinite(values).all((1, 2))
    matrices = np.where(known[:, None, None], values, np.eye(3, 4))
    known = known & (np.linalg.det(matrices[..., :3]) > settings.least_determinant)
    matrices = np.where(known[:, None, None], matrices, np.eye(3, 4))
    as_turns = turns_of(np.ascontiguousarray(matrices[..., :3]))  # a file's matrices are rotations but for rounding
    rotations, turned = _rotations(TRANSFORM, matrices_of(as_turns), known)
    position = _fill(TRANSFORM, face_middle @ matrices[..., :3] + matrices[..., 3], known)
    perspective = bool((position[:, 2] > settings.nearest).all())
    columns = np.concatenate([turned, _direction_and_distance(position) if perspective else position], 1)

    def restore(change: np.ndarray) -> np.ndarray:
        rotation = turned_by(rotations, np.ascontiguousarray(change[:, :3]))
        middle = columns[:, 3:] + change[:, 3:]
        if perspective:
            distance = np.exp(middle[:, 2:])
            middle = np.concatenate([middle[:, :2] * distance, distance], 1)
        return np.concatenate([rotation, (middle - face_middle @ rotation)[..., None]], -1)

    return MotionPath(columns, np.repeat(known[:, None], 6, 1), restore)


def _direction_and_distance(position: np.ndarray) -> np.ndarray:
    """x / z, y / z and the logarithm of z of positions (T, 3) in camera space."""
    return np.concatenate([position[:, :2] / position[:, 2:], np.log(position[:, 2:])], 1)


def _rotations(name: str, rotations: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rotations (T, 3, 3) with gaps filled, and the unrolled path (T, 3)."""
    frames = np.arange(len(known))
    at = np.flatnonzero(known)
    if not len(at):
        raise UserError(_NOTHING.format(name))
    if len(at) == 1:
        rotations = rotations[np.repeat(at, len(frames))]
    elif len(at) < len(frames):
        before = np.clip(np.searchsorted(at, frames, "right") - 1, 0, len(at) - 2)
        start, end = at[before], at[before + 1]
        part = np.clip((frames - start) / (end - start), 0, 1)[:, None]
        between = turned_by(rotations[start], part * turns_between(rotations[start], rotations[end]))
        rotations = np.where(known[:, None, None], rotations, between)
    steps = turns_between(rotations[:-1], rotations[1:])
    return rotations, np.concatenate([np.zeros((1, 3)), np.cumsum(steps, 0)])


def _fill(name: str, values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Columns (T, D) with straight lines across the frames that are not known, held at the ends."""
    at = np.flatnonzero(known)
    if not len(at):
        raise UserError(_NOTHING.format(name))
    if len(at) == len(values):
        return values
    return interpolate_gaps(values, at)


_NOTHING = "{}: no frame has finite values; track the driver again"
