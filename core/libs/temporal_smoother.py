"""Takes a tracker's noise out of a face's parameters and leaves the face's own motion in, blinks included.

A clip is filtered forwards and backwards, so that nothing comes late; a live source is filtered forwards. What the
filter works on, see `core.libs.filters.motion_path`; the filter itself and its noise, `core.libs.filters.kalman`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from core.errors import UserError
from core.libs.filters.kalman import KalmanSettings, smooth
from core.libs.filters.live_filters import ExponentialAverage, KalmanOnPath, LiveFilter, RunningMean
from core.libs.filters.live_kalman import LiveKalman, LiveKalmanSettings
from core.libs.filters.motion_path import TRANSFORM, TURNS, MotionPath, MotionPathSettings, motion_path
from core.libs.filters.outliers import OutlierSettings, find_cuts, find_outliers

KEYS = ("shapecode", "expcode", "posecode", "eyecode", TRANSFORM)
Array = np.ndarray | torch.Tensor
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class SmootherSettings:
    """Of `TemporalSmoother` beside its arguments, and of the filters that it is made of.

    Attributes:
        memory: seconds from which a live filter learns its noise. By eye.
        least_memory: frames, where seconds have few: enough third differences for a variance.
        reference_window: frames: the `window_size` with which the filter averages as the noise asks for. The
            specification's default.
        longest_window: frames, beyond which `window_size` changes nothing: what takes longer than about a second is
            motion, not jitter. By eye.
        max_gap: seconds that may be missing and still be filled in as motion. By eye.
        least_gap: frames, where seconds have few.
        shape_patience: frames in a row that another face must be seen for the live mean of the shape to begin anew.
        shape_deviations: standard deviations from the mean from which a shape is another face's.
        kalman, live, path, outliers: of the filters.
    """

    memory: float = 5.0
    least_memory: int = 40
    reference_window: int = 5
    longest_window: int = 30
    max_gap: float = 0.5
    least_gap: int = 2
    shape_patience: int = 3
    shape_deviations: float = 6.0
    kalman: KalmanSettings = field(default_factory=KalmanSettings)
    live: LiveKalmanSettings = field(default_factory=LiveKalmanSettings)
    path: MotionPathSettings = field(default_factory=MotionPathSettings)
    outliers: OutlierSettings = field(default_factory=OutlierSettings)


class TemporalSmoother:
    """Smooths tracked parameters: `smooth` one frame at a time, `smooth_sequence` a whole clip.

    Dictionaries come back with the same keys, types, devices and shapes; keys other than `KEYS` untouched. Rotations
    (`posecode` and `eyecode`, axis-angles in radians, and that of `transform_matrix`) are smoothed as rotations. What
    is not finite is filled in, logged and counted in `filled`. Single frames that are far from the frames on both sides
    are replaced and counted in `outliers`.

    Args:
        alpha: weight of what is measured against what is predicted, above 0 to 1: smaller is smoother, and live a
            little later. In the average it is the new value's weight. The Kalman filter weighs each value by the noise,
            and alpha changes the odds: they are multiplied by alpha / (1 - alpha). At 0.5 the noise alone decides, at 1
            every value is taken as it is, and only gaps and outliers are replaced.
        window_size: frames over which the Kalman filter averages, counted so that 5 is what the noise asks for: 10 is
            twice as far, 3 not so far; above 30 it acts as 30. In a clip, large motion, such as a blink, is averaged
            over less. The exponential average has no window. With `fixed_lag` also the frames of delay.
        use_kalman: a constant-velocity Kalman filter (Kalman 1960) whose noise is learned from the data; for clips with
            the pass backwards of Rauch, Tung and Striebel (1965). Without it, exactly
            `s_t = alpha x_t + (1 - alpha) s_(t-1)`, and for rotations the same by SLERP (Shoemake 1985).
        strength: 0 changes nothing, 1 is the estimate, 2 averages twice as far around every frame, blinks included. It
            multiplies with what alpha and window_size do.
        fixed_lag: for live use: results come `window_size` frames late and are nearly as good as a clip's.
        fps: frames per second: how long a gap is filled in as motion and how long live use remembers.

    Attributes:
        filled: frames of a parameter that were filled in since the last `reset`.
        settings: what the arguments leave open; a subclass, or an instance before its first frame, may have others.

    Raises:
        UserError: a setting out of its range; a parameter of another shape or type, or without any finite value.
    """

    settings: SmootherSettings = SmootherSettings()

    def __init__(
        self,
        alpha: float = 0.5,
        window_size: int = 5,
        use_kalman: bool = True,
        *,
        strength: float = 1.0,
        fixed_lag: bool = False,
        fps: float = 25.0,
    ) -> None:
        _require(0 < alpha <= 1, f"alpha is {alpha}; give a number above 0 and at most 1")
        _require(window_size >= 1, f"window_size is {window_size}; give at least 1 frame")
        _require(0 <= strength <= 10, f"the strength of smoothing is {strength}; give a number from 0 to 10")
        _require(0 < fps < np.inf, f"fps is {fps}; give the driver's frames per second")
        self.alpha, self.window_size, self.use_kalman = float(alpha), int(window_size), bool(use_kalman)
        self.strength, self.fixed_lag, self.fps = float(strength), bool(fixed_lag), float(fps)
        self.reset()

    def reset(self) -> None:
        """Forget all frames so far: the next frame of live use is a first one."""
        self.filled = 0
        self._replaced = 0
        self._live: dict[str, LiveFilter] = {}
        self._returned: np.ndarray | None = None  # the transform that `smooth` gave last

    @property
    def outliers(self) -> int:
        """Frames of a parameter that were taken for outliers since the last `reset`."""
        return self._replaced + sum(live.outliers for live in self._live.values())

    def smooth(self, params: Mapping[str, Array]) -> dict[str, Array]:
        """The next frame of a live source: every parameter (N,) or (1, N), the transform (3, 4) or (1, 3, 4).

        `shapecode` becomes the mean so far. What is missing before the first finite frame comes back as it is.
        """
        out = {name: self._next(name, value) if name in KEYS else value for name, value in params.items()}
        self._returned = _frame(TRANSFORM, out[TRANSFORM]) if TRANSFORM in out else None
        return out

    def smooth_transform(self, transform: Array) -> Array:
        """The next transform of a live source, (3, 4) or (1, 3, 4).

        One that `smooth` has just returned is smoothed already and comes back as it is.
        """
        if self._returned is not None and np.array_equal(_frame(TRANSFORM, transform), self._returned):
            return transform
        return self._next(TRANSFORM, transform)

    def smooth_sequence(self, params: Mapping[str, Array]) -> dict[str, Array]:
        """A whole clip: every parameter (T, N), the transform (T, 3, 4). Live use goes on undisturbed.

        `shapecode`, (T, N) or (1, N), becomes constant: the mean of the values that agree with the median.
        """
        known = {name: _frames(name, value) for name, value in params.items() if name in KEYS}
        lengths = {len(value) for name, value in known.items() if name != "shapecode" or len(value) != 1}
        if len(lengths) > 1:
            had = ", ".join(f"{name} {len(value)}" for name, value in known.items())
            raise UserError(f"the parameters of a clip must be of one length; got frames: {had}")
        if self.strength > 0 and lengths != {0}:
            known = self._smooth_clip(known)
        return {name: _like(value, known[name]) if name in known else value for name, value in params.items()}

    def _smooth_clip(self, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """All parameters of a clip, (T, ...) each, which are taken out of `values`; none is averaged over a cut."""
        # Another shot or person shows in the head's place and in the expression.
        jumps = [
            find_cuts(self._path(name, values[name]).columns, self.settings.outliers)
            for name in ("expcode", TRANSFORM)
            if name in values
        ]
        cuts = np.any(jumps, 0) if jumps else None
        # Of a long clip each is some tens of megabytes: those that are done are let go
        return {name: self._smooth_parameter(name, values.pop(name), cuts) for name in list(values)}

    def _smooth_parameter(self, name: str, value: np.ndarray, cuts: np.ndarray | None) -> np.ndarray:
        """One parameter of a clip."""
        path = self._path(name, value)
        self._log_filled(name, int((~path.valid).any(1).sum()), len(path.valid))
        if name == "shapecode":
            return np.broadcast_to(_robust_mean(path), path.columns.shape)
        if self.use_kalman:
            return self._filter_both_ways(name, path, cuts)
        average = ExponentialAverage(name, self._alpha())
        filled = np.where(np.isfinite(value), value, path.restore(np.zeros_like(path.columns)))
        return np.stack([average.next(frame.astype(np.float64)) for frame in filled])

    def _path(self, name: str, value: np.ndarray) -> MotionPath:
        return motion_path(name, value, self.settings.path)

    def _filter_both_ways(self, name: str, path: MotionPath, cuts: np.ndarray | None) -> np.ndarray:
        """A parameter (T, ...) without its outliers, through the Kalman filter forwards and backwards."""
        s = self.settings
        outliers = find_outliers(path.columns, path.valid, s.outliers)
        if outliers.any():
            self._replaced += int(outliers.sum())
            _LOG.info("%s: outliers replaced at frames %s", name, ", ".join(map(str, np.flatnonzero(outliers))))
        found = smooth(
            path.columns,
            path.valid & ~outliers[:, None],
            cuts,
            self.strength,
            max(s.least_gap, round(s.max_gap * self.fps)),
            window=self._window(),
            weight=self._weight(),
            settings=s.kalman,
        )
        return path.restore(np.subtract(found, path.columns, out=found))

    def _next(self, name: str, value: Array) -> Array:
        """One parameter of the next live frame."""
        frame = _frame(name, value)
        if self.strength == 0:
            return _like(value, frame)
        live = self._live.setdefault(name, self._new(name)) if name not in self._live else self._live[name]
        if live.last is not None and live.last.shape != frame.shape:
            raise UserError(f"{name} had {live.last.size} values so far and has {frame.size} now; call reset() first")
        if not np.isfinite(frame).all():
            self._log_filled(name, 1, 1)
            if live.last is None:
                return _like(value, frame)
        return _like(value, live.next(frame))

    def _new(self, name: str) -> LiveFilter:
        """The filter of a parameter that comes for the first time."""
        s = self.settings
        if not self.use_kalman:
            return ExponentialAverage(name, self._alpha())
        if name == "shapecode":
            return RunningMean(s.shape_patience, s.shape_deviations)
        kalman = LiveKalman(
            memory=max(s.least_memory, round(s.memory * self.fps)),
            lag=self.window_size if self.fixed_lag else 0,
            strength=self.strength,
            window=self._window(),
            weight=self._weight(),
            # Eyes and mouths jump by nature: the first frame of a blink looks like an outlier. Heads have inertia.
            gated=name == TRANSFORM,
            settings=s.live,
        )
        return KalmanOnPath(name, kalman, s.path)

    def _alpha(self) -> float:
        """The new value's weight in the average: `alpha`, to the power of the strength."""
        return self.alpha**self.strength

    def _window(self) -> float:
        """By how much the filter's time is stretched."""
        return min(self.window_size, self.settings.longest_window) / self.settings.reference_window

    def _weight(self) -> float:
        """By how much the odds of what is measured are multiplied."""
        return self.alpha / (1 - self.alpha) if self.alpha < 1 else np.inf

    def _log_filled(self, name: str, count: int, frames: int) -> None:
        if count:
            self.filled += count
            _LOG.warning("%s: %d of %d frames not finite, filled in", name, count, frames)


def _robust_mean(path: MotionPath) -> np.ndarray:
    """The mean (N,) of the values within three standard deviations, from the median deviation, of the median."""
    values = np.where(path.valid, path.columns, np.nan)
    median = np.nanmedian(values, 0)
    deviation = np.abs(values - median)
    inlier = deviation <= 3 * 1.4826 * np.nanmedian(deviation, 0)
    return median + np.where(inlier, values - median, 0).sum(0) / inlier.sum(0)


def _frame(name: str, value: Array) -> np.ndarray:
    """One frame as float64 without a leading 1."""
    array = _to_numpy(name, value)
    shape = (3, 4) if name == TRANSFORM else (array.shape[-1] if array.ndim else 0,)
    if array.shape not in (shape, (1, *shape)) or not _in_triples(name, array):
        wanted = "(3, 4) or (1, 3, 4)" if name == TRANSFORM else f"(N,) or (1, N){_TRIPLES if name in TURNS else ''}"
        raise UserError(f"{name} has shape {array.shape}, expected one frame {wanted}; a clip goes to smooth_sequence")
    return array.reshape(shape)


def _frames(name: str, value: Array) -> np.ndarray:
    """A clip as float64; expression in float32 as it is, as it would take the most memory of a long clip's motion."""
    array = value if name == "expcode" and isinstance(value, np.ndarray) and value.dtype == np.float32 else None
    array = _to_numpy(name, value) if array is None else array
    good = array.shape[1:] == (3, 4) if name == TRANSFORM else array.ndim == 2 and _in_triples(name, array)
    if not good:
        wanted = "(T, 3, 4)" if name == TRANSFORM else f"(T, N){_TRIPLES if name in TURNS else ''}"
        raise UserError(f"{name} has shape {array.shape}, expected a clip {wanted}; single frames go to smooth")
    return array


_TRIPLES = " with N a multiple of 3"


def _in_triples(name: str, array: np.ndarray) -> bool:
    return array.shape[-1] > 0 and (name not in TURNS or array.shape[-1] % 3 == 0)


def _to_numpy(name: str, value: Array) -> np.ndarray:
    floating = value.is_floating_point() if torch.is_tensor(value) else np.asarray(value).dtype.kind == "f"
    if not floating:
        raise UserError(f"{name} holds {getattr(value, 'dtype', type(value))}, expected floating point numbers")
    if torch.is_tensor(value):
        value = value.detach().to("cpu", torch.float64).numpy()
    return np.array(value, np.float64)


def _like(value: Array, array: np.ndarray) -> Array:
    """`array` with the type, device and shape of `value`."""
    if torch.is_tensor(value):
        return torch.from_numpy(np.ascontiguousarray(array)).to(value.device, value.dtype).reshape(value.shape)
    value = np.asarray(value)
    return np.ascontiguousarray(array, value.dtype).reshape(value.shape)


def _require(good: bool, message: str) -> None:
    if not good:
        raise UserError(message)
