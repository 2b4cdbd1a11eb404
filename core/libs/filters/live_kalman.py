"""The constant-velocity Kalman filter of `core.libs.filters.kalman`, one frame at a time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from core.libs.filters.kalman import KalmanSettings, Noise, estimate
from core.libs.filters.kalman_kernels import live_deviation, live_step
from core.libs.filters.noise import noise_floor


@dataclass(frozen=True)
class LiveKalmanSettings:
    """Of the filter as it goes along. By eye, where nothing else is said.

    Attributes:
        first_estimate: frames after which the noise is estimated for the first time: as few as third differences need.
        early_interval, estimate_interval: frames between later estimates, up to `early` frames and after.
        early: frames.
        max_held: frames that may be taken for outliers in a row; at the next the filter begins anew.
        gate: squared standard deviations of an innovation; what is beyond is followed as motion.
        outlier_ratio: an outlier's innovation over the greatest of the last 25.
        snr_threshold: and over its standard deviation.
        least_noise: of the measurement's variance, over what was found: what is left of it where a measurement is taken
            as it is.
        kalman: the grid of ratios and the noise floor.
    """

    first_estimate: int = 8
    early_interval: int = 4
    estimate_interval: int = 16
    early: int = 60
    max_held: int = 2
    gate: float = 9.0
    outlier_ratio: float = 6.0
    snr_threshold: float = 12.0
    least_noise: float = 1e-9
    kalman: KalmanSettings = field(default_factory=KalmanSettings)


def _rts_step(filtered: np.ndarray, predicted: np.ndarray, later: np.ndarray) -> np.ndarray:
    """`filtered`, given what is known of the frame after it (Rauch, Tung and Striebel); variances are left out.

    `predicted` and `later`: the state of that frame before its measurement, and after all; each is (5, D), see
    `live_step`.
    """
    _, _, p, c, s = predicted
    determinant = p * s - c**2
    dx, dv = later[:2] - predicted[:2]
    u = (s * dx - c * dv) / determinant
    w = (p * dv - c * dx) / determinant
    x, v, p, c, s = filtered
    return np.stack([x + (p + c) * u + c * w, v + (c + s) * u + s * w, p, c, s])


@dataclass
class LiveKalman:
    """Filters D columns, learning their noise on the way.

    Attributes:
        memory: frames from which the noise is estimated.
        lag: frames by which the result is late, and better for it.
        strength: stretches the time over which the filter averages.
        window: stretches it by a larger noise of the measurement, so that what is followed as motion must be larger.
        weight: of what is measured against what is predicted, in units of what the noise says.
        gated: whether a frame far from the prediction is held back, for two frames at most. Not for what jumps by
            nature: the first frame of a blink looks the same.
        outliers: how many were held back.
    """

    memory: int = 125
    lag: int = 0
    strength: float = 1.0
    window: float = 1.0
    weight: float = 1.0
    gated: bool = False
    outliers: int = 0
    settings: LiveKalmanSettings = field(default_factory=LiveKalmanSettings)
    _frames: deque[tuple[np.ndarray, np.ndarray]] = field(default_factory=deque, repr=False)
    _past: deque[tuple[np.ndarray, np.ndarray]] = field(default_factory=deque, repr=False)  # predicted, then updated
    _deviations: deque[float] = field(default_factory=lambda: deque(maxlen=25), repr=False)
    _state: np.ndarray | None = field(default=None, repr=False)
    _noise: Noise | None = field(default=None, repr=False)
    _age: int = 0
    _held: int = 0

    @property
    def behind(self) -> int:
        """By how many frames the last result was late."""
        return len(self._past) - 1

    @property
    def _noise_factor(self) -> float:
        """The variance that the filter takes for the measurement's, over the one that was found."""
        return max(self.window**4 / self.weight, self.settings.least_noise)

    @property
    def _largest_ratio(self) -> float:
        """Process over measurement noise with which nearly nothing is smoothed."""
        return self.settings.kalman.ratios[-1]

    def update(self, z: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """The estimate (D,) after a frame `z` (D,), any value where not `valid` (D,): for `lag` frames earlier."""
        if self._state is None:
            self._begin(z)
        else:
            self._follow(self._state, z, valid)
        return self._result()

    def _begin(self, z: np.ndarray) -> None:
        """Start from a frame as if nothing had come before; the noise is kept."""
        one = np.ones_like(z)
        variance = one if self._noise is None else self._noise.variance
        start = variance * (1e3 + 10 * self._largest_ratio)
        self._state = state = np.stack([z, 0 * one, variance, 0 * one, start])
        self._frames.clear()
        self._past.clear()
        self._deviations.clear()
        self._held = self._age = 0
        self._remember(z, np.ones(z.shape, bool), state, state)

    def _follow(self, state: np.ndarray, z: np.ndarray, valid: np.ndarray) -> None:
        """Predict from the state, gate, update; now and then estimate the noise again."""
        s = self.settings
        noise = self._noise or Noise(np.ones_like(z), np.full_like(z, self._largest_ratio))
        q = noise.ratio * noise.variance / self.strength**4
        variance = noise.variance if self._noise is None else noise.variance * self._noise_factor
        deviation = live_deviation(state, z, valid, variance, q)
        if self._is_outlier(deviation):
            self.outliers += 1
            self._held += 1
            if self._held > s.max_held:
                self.outliers -= self._held
                self._begin(z)
                return
            valid = np.zeros_like(valid)
        else:
            self._held = 0
            self._deviations.append(deviation)
        predicted, state = live_step(state, z, valid, variance, q, s.gate)
        self._state = state
        self._remember(z, valid, predicted, state)
        self._age += 1
        interval = s.estimate_interval if self._age > s.early else s.early_interval
        if self._age >= s.first_estimate and (self._age - s.first_estimate) % interval == 0:
            self._learn()

    def _is_outlier(self, deviation: float) -> bool:
        """Whether an innovation, in standard deviations, is held back."""
        lately = max(self._deviations, default=np.inf)
        known = self.gated and self._noise is not None
        return known and deviation > self.settings.snr_threshold and deviation > self.settings.outlier_ratio * lately

    def _remember(self, z: np.ndarray, valid: np.ndarray, predicted: np.ndarray, state: np.ndarray) -> None:
        """Keep a frame for the noise and its states for the pass backwards."""
        self._frames.append((z, valid))
        self._past.append((predicted, state))
        if len(self._frames) > self.memory:
            self._frames.popleft()
        if len(self._past) > self.lag + 1:
            self._past.popleft()

    def _learn(self) -> None:
        """Estimate the noise from the frames that are remembered."""
        series, valid = (np.stack(values) for values in zip(*self._frames, strict=True))
        moving = np.ptp(series, axis=0) > 0
        z, ok = np.ascontiguousarray(series[:, moving]), np.ascontiguousarray(valid[:, moving])
        if not moving.any():
            return
        kalman = self.settings.kalman
        found = estimate(z, ok, np.ones_like(z), noise_floor(z, ok, kalman.noise), settings=kalman)
        variance, ratio = np.full(len(moving), 1e-24), np.full(len(moving), self._largest_ratio)
        variance[moving], ratio[moving] = found.variance, found.ratio
        if self._noise is None:  # so far everything was taken as it came
            start = variance * self._noise_factor
            predicted, state = self._past[-1]
            self._state = np.stack([state[0], state[1], start, start, 2 * start])
            self._past[-1] = (predicted, self._state)
        self._noise = Noise(variance, ratio)

    def _result(self) -> np.ndarray:
        """The estimate of the oldest frame that is kept, from all of them."""
        (predicted, smoothed), *earlier = list(self._past)[::-1]
        for predicted_before, filtered in earlier:
            smoothed = _rts_step(filtered, predicted, smoothed)
            predicted = predicted_before
        return smoothed[0]
