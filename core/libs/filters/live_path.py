"""The path of a parameter as `motion_path` has it, grown frame by frame: for a live source, which waits for it.

Only the way from the last frame to the next one is worked out, compiled. What is not finite stays as it was last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from core.libs.filters.motion_path import TRANSFORM, TURNS, MotionPathSettings, motion_path
from core.libs.rotations import matrices_of, turned_by, turns_between, turns_of


@dataclass(frozen=True)
class PathStep:
    """A frame on a path.

    Attributes:
        columns: (D,) of the path. valid: (D,) bool, whether the parameter was finite. frame: it, its gaps filled in.
        restore: from a change of the columns (D,) to the parameter.
    """

    columns: np.ndarray
    valid: np.ndarray
    frame: np.ndarray
    restore: Callable[[np.ndarray], np.ndarray]


class LivePath:
    """A parameter's path; see `motion_path` for `name` and `settings`."""

    def __init__(self, name: str, settings: MotionPathSettings) -> None:
        self._name, self._settings = name, settings
        self._last: PathStep | None = None
        self._rotations = np.empty((0, 3, 3))  # of the last frame
        self._place = np.empty(0)  # of a transform's face in it

    def next(self, frame: np.ndarray) -> PathStep:
        """The next frame, whose NaN are filled in with what was last. UserError where the first one has any."""
        if self._last is None:
            motion_path(self._name, frame[None], self._settings)  # which refuses what is no frame to begin with
        if self._name == TRANSFORM:
            step = self._transform(frame)
        else:
            step = self._turns(frame) if self._name in TURNS else self._plain(frame)
        self._last = step
        return step

    def _plain(self, frame: np.ndarray) -> PathStep:
        valid = np.isfinite(frame)
        if self._last is not None and not valid.all():
            frame = np.where(valid, frame, self._last.frame)
        return PathStep(frame, valid, frame, lambda change: frame + change)

    def _turns(self, frame: np.ndarray) -> PathStep:
        turns = frame.reshape(-1, 3)
        known = np.isfinite(turns).all(1)
        rotations = matrices_of(turns)
        if self._last is None:
            columns = np.zeros(frame.shape)
        else:
            if not known.all():
                rotations = np.where(known[:, None, None], rotations, self._rotations)
                frame = np.where(known[:, None], turns, self._last.frame.reshape(-1, 3)).ravel()
            columns = self._last.columns + turns_between(self._rotations, rotations).ravel()
        self._rotations = rotations

        def restore(change: np.ndarray) -> np.ndarray:
            return turns_of(turned_by(rotations, change.reshape(-1, 3))).ravel()

        return PathStep(columns, np.repeat(known, 3), frame, restore)

    def _transform(self, frame: np.ndarray) -> PathStep:
        s, middle = self._settings, np.array(self._settings.face_middle)
        known = bool(np.isfinite(frame).all() and np.linalg.det(frame[:, :3]) > s.least_determinant)
        if not known and self._last is not None:
            frame = self._last.frame
        rotations = matrices_of(turns_of(np.ascontiguousarray(frame[None, :, :3])))
        place = middle @ frame[:, :3] + frame[:, 3]
        before = place if self._last is None else self._place
        perspective = bool(min(place[2], before[2]) > s.nearest)
        here, there = (_direction_and_distance(p) if perspective else p for p in (place, before))
        if self._last is None:
            columns = np.concatenate([np.zeros(3), here])
        else:
            turn = turns_between(self._rotations, rotations)[0]
            columns = self._last.columns + np.concatenate([turn, here - there])
        self._rotations, self._place = rotations, place

        def restore(change: np.ndarray) -> np.ndarray:
            rotation = turned_by(rotations, change[None, :3])[0]
            goal = here + change[3:]
            if perspective:
                distance = np.exp(goal[2])
                goal = np.array([goal[0] * distance, goal[1] * distance, distance])
            return np.concatenate([rotation, (goal - middle @ rotation)[:, None]], 1)

        return PathStep(columns, np.full(6, known), frame, restore)


def _direction_and_distance(place: np.ndarray) -> np.ndarray:
    """x / z, y / z and the logarithm of z of a place (3,) in camera space."""
    return np.array([place[0] / place[2], place[1] / place[2], np.log(place[2])])
