"""One parameter of a face, frame by frame: the Kalman filter on its path, the exponential average, the running mean."""

from __future__ import annotations

from collections import deque
from typing import Protocol

import numpy as np

from core.libs.filters.live_kalman import LiveKalman
from core.libs.filters.live_path import LivePath, PathStep
from core.libs.filters.motion_path import TRANSFORM, TURNS, MotionPathSettings, slerp
from core.libs.rotations import matrices_of, turns_of


class LiveFilter(Protocol):
    """A parameter frame by frame; `last` is the last frame that came, with its gaps filled in."""

    last: np.ndarray | None

    @property
    def outliers(self) -> int: ...

    def next(self, frame: np.ndarray) -> np.ndarray:
        """The filtered frame, of the shape of `frame`, which may have NaN in it."""
        ...


class KalmanOnPath:
    """A Kalman filter on a parameter's path, which grows frame by frame."""

    def __init__(self, name: str, kalman: LiveKalman, path: MotionPathSettings) -> None:
        self.last: np.ndarray | None = None
        self._kalman, self._path = kalman, LivePath(name, path)
        self._past: deque[PathStep] = deque(maxlen=kalman.lag + 1)

    @property
    def outliers(self) -> int:
        return self._kalman.outliers

    def next(self, frame: np.ndarray) -> np.ndarray:
        step = self._path.next(frame)
        self._past.append(step)
        self.last = step.frame
        found = self._kalman.update(step.columns, step.valid)
        shown = self._past[-1 - self._kalman.behind]
        return shown.restore(found - shown.columns)


class ExponentialAverage:
    """The exponential average, for rotations by SLERP."""

    outliers = 0

    def __init__(self, name: str, alpha: float) -> None:
        self.last: np.ndarray | None = None
        self._name, self._alpha = name, alpha

    def next(self, frame: np.ndarray) -> np.ndarray:
        if self.last is None:
            self.last = frame
            return frame
        known = np.isfinite(frame)
        if self._name in TURNS or self._name == TRANSFORM:
            known = np.broadcast_to(known.all(), frame.shape)
        mean = self._mixed(self.last, np.where(known, frame, self.last))
        self.last = np.where(known, mean, self.last)
        return self.last

    def _mixed(self, last: np.ndarray, frame: np.ndarray) -> np.ndarray:
        mean = self._alpha * frame + (1 - self._alpha) * last
        if self._name == TRANSFORM:
            mean[:, :3] = slerp(last[:, :3], frame[:, :3], self._alpha)
        elif self._name in TURNS:
            start, goal = (matrices_of(v.reshape(-1, 3)) for v in (last, frame))
            mean = turns_of(slerp(start, goal, self._alpha)).reshape(frame.shape)
        return mean


class RunningMean:
    """The mean so far, begun anew after more than `patience` frames in a row that are another face's.

    A frame is another face's where its mean squared distance from the mean is more than `deviations` standard
    deviations' square.
    """

    outliers = 0

    def __init__(self, patience: int, deviations: float) -> None:
        self.last: np.ndarray | None = None
        self._patience, self._limit = patience, deviations**2
        self._count, self._variance, self._others = 0, 0.0, 0

    def next(self, frame: np.ndarray) -> np.ndarray:
        if self.last is None:
            self.last = np.zeros_like(frame)
        frame = np.where(np.isfinite(frame), frame, self.last)
        square = float(((frame - self.last) ** 2).mean())
        limit = self._limit * self._variance + 1e-6 * float((self.last**2).mean())
        self._others = self._others + 1 if self._count >= 2 * self._patience and square > limit else 0
        if self._others > self._patience:
            self._count = self._others = 0
        if not self._others:
            self._count += 1
            if self._count > 1:
                self._variance += (square - self._variance) / (self._count - 1)
            else:
                self._variance = 0.0
            self.last = self.last + (frame - self.last) / self._count
        return self.last
