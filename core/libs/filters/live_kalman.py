"""The constant-velocity Kalman filter of `core.libs.filters.kalman`, one frame at a time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

import numpy as np

from core.libs.filters.kalman import RATIOS, Noise, estimate, noise_floor

_FIRST = 8  # frames after which the noise is estimated for the first time
_AGAIN = 16  # frames between later estimates
_HOLD = 2  # frames that may be taken for outliers in a row; the next begins anew
_SURPRISE = 9.0  # squared standard deviations beyond which a value is believed rather than the motion so far
_SOME = 1e-9  # of the noise's variance: what is left of it where a measurement is taken as it is
_SURE, _ALONE = 12.0, 6.0  # an outlier: times what was to be expected, times what came lately


@dataclass(frozen=True)
class _State:
    """Place and speed (D,), and their variances: place, both, speed (D,)."""

    x: np.ndarray
    v: np.ndarray
    p: np.ndarray
    c: np.ndarray
    s: np.ndarray

    def ahead(self, q: np.ndarray) -> _State:
        """A frame later, under white acceleration of the strength `q`."""
        p = self.p + 2 * self.c + self.s + q / 3
        return _State(self.x + self.v, self.v, p, self.c + self.s + q / 2, self.s + q)

    def given(self, z: np.ndarray, seen: np.ndarray, noise: np.ndarray) -> _State:
        """After a measurement of variance `noise`, where it was `seen`."""
        total, e = self.p + noise, np.where(seen, z - self.x, 0)
        gain, turn = self.p / total, self.c / total
        x, v = self.x + gain * e, self.v + turn * e
        after = _State(x, v, self.p * noise / total, self.c * noise / total, self.s - self.c * turn)
        return _State(*(np.where(seen, new, old) for new, old in zip(_values(after), _values(self), strict=True)))


def _values(state: _State) -> tuple[np.ndarray, ...]:
    return state.x, state.v, state.p, state.c, state.s


def _looked_back(before: _State, ahead: _State, later: _State) -> _State:
    """`before`, given what is known of the frame after it (Rauch, Tung and Striebel); variances are left out."""
    determinant = ahead.p * ahead.s - ahead.c**2
    dx, dv = later.x - ahead.x, later.v - ahead.v
    u, w = (ahead.s * dx - ahead.c * dv) / determinant, (ahead.p * dv - ahead.c * dx) / determinant
    x = before.x + (before.p + before.c) * u + before.c * w
    v = before.v + (before.c + before.s) * u + before.s * w
    return _State(x, v, before.p, before.c, before.s)


@dataclass
class LiveKalman:
    """Filters D columns, learning their noise on the way.

    Attributes:
        memory: frames from which the noise is estimated.
        lag: frames by which the result is late, and better for it.
        strength: stretches the time over which the filter looks.
        window: stretches it by a larger noise of the measurement, so that surprises must be larger too.
        weight: of what is measured against what is expected, in units of what the noise says.
        gated: whether a frame far off everything is held back, for two frames at most. Not for what jumps by nature:
            the first frame of a blink looks the same.
        outliers: how many were.
    """

    memory: int = 125
    lag: int = 0
    strength: float = 1.0
    window: float = 1.0
    weight: float = 1.0
    gated: bool = False
    outliers: int = 0
    _frames: deque[tuple[np.ndarray, np.ndarray]] = field(default_factory=deque, repr=False)
    _past: deque[tuple[_State, _State]] = field(default_factory=deque, repr=False)
    _surprises: deque[float] = field(default_factory=lambda: deque(maxlen=25), repr=False)
    _state: _State | None = field(default=None, repr=False)
    _noise: Noise | None = field(default=None, repr=False)
    _age: int = 0
    _held: int = 0

    @property
    def behind(self) -> int:
        """By how many frames the last result was late."""
        return len(self._past) - 1

    @property
    def _share(self) -> float:
        """What the filter takes for noise of the measurement, in units of what was found."""
        return max(self.window**4 / self.weight, _SOME)

    def update(self, z: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """The estimate (D,) after a frame `z` (D,), any value where not `seen` (D,): for `lag` frames earlier."""
        if self._state is None:
            self._begin(z)
        else:
            self._follow(z, seen)
        return self._result()

    def _begin(self, z: np.ndarray) -> None:
        one = np.ones_like(z)
        variance = one if self._noise is None else self._noise.variance
        self._state = _State(z, 0 * one, variance, 0 * one, variance * (1e3 + 10 * RATIOS[-1]))
        self._frames.clear()
        self._past.clear()
        self._surprises.clear()
        self._held = self._age = 0
        self._remember(z, np.ones(z.shape, bool), self._state)

    def _follow(self, z: np.ndarray, seen: np.ndarray) -> None:
        noise = self._noise or Noise(np.ones_like(z), np.full_like(z, RATIOS[-1]))
        q = noise.ratio * noise.variance / self.strength**4
        if self._noise is not None:
            noise = replace(noise, variance=noise.variance * self._share)
        ahead = self._state.ahead(q)
        square = np.where(seen, z - ahead.x, 0) ** 2
        surprise = np.sqrt((square / (ahead.p + noise.variance)).mean())
        if self._is_outlier(surprise):
            self.outliers += 1
            self._held += 1
            if self._held > _HOLD:
                self.outliers -= self._held
                self._begin(z)
                return
            seen = np.zeros_like(seen)
        else:
            self._held = 0
            self._surprises.append(surprise)
        # A step far beyond what was to be expected is real far more often than not: process noise that explains it.
        missing = np.maximum(square / _SURPRISE - ahead.p - noise.variance, 0)
        ahead = self._state.ahead(q + 3 * missing * seen)
        self._state = ahead.given(z, seen, noise.variance)
        self._remember(z, seen, ahead)
        self._age += 1
        if self._age >= _FIRST and (self._age - _FIRST) % (_AGAIN if self._age > 60 else 4) == 0:
            self._learn()

    def _is_outlier(self, surprise: float) -> bool:
        lately = max(self._surprises, default=np.inf)
        return self.gated and self._noise is not None and surprise > _SURE and surprise > _ALONE * lately

    def _remember(self, z: np.ndarray, seen: np.ndarray, ahead: _State) -> None:
        self._frames.append((z, seen))
        self._past.append((ahead, self._state))
        if len(self._frames) > self.memory:
            self._frames.popleft()
        if len(self._past) > self.lag + 1:
            self._past.popleft()

    def _learn(self) -> None:
        series, seen = (np.stack(values) for values in zip(*self._frames, strict=True))
        moving = np.ptp(series, axis=0) > 0
        z, ok = np.ascontiguousarray(series[:, moving]), np.ascontiguousarray(seen[:, moving])
        if not moving.any():
            return
        floor = noise_floor(z, ok)
        found = estimate(z, ok, np.ones_like(z), floor)
        variance, ratio = np.full(len(moving), 1e-24), np.full(len(moving), RATIOS[-1])
        variance[moving], ratio[moving] = found.variance, found.ratio
        if self._noise is None:  # so far everything was taken as it came
            start = variance * self._share
            self._state = _State(self._state.x, self._state.v, start, start, 2 * start)
            self._past[-1] = (self._past[-1][0], self._state)
        self._noise = Noise(variance, ratio)

    def _result(self) -> np.ndarray:
        (ahead, estimate_), *earlier = list(self._past)[::-1]
        for ahead_before, before in earlier:
            estimate_ = _looked_back(before, ahead, estimate_)
            ahead = ahead_before
        return estimate_.x
