"""Takes a tracker's noise out of a face's parameters and leaves the face's own motion in, blinks included.

A clip is filtered forwards and backwards, so that nothing comes late; a live source is filtered forwards. What the
filter works on, see `core.libs.filters.motion_path`; the filter itself and its noise, `core.libs.filters.kalman`.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from core.errors import UserError
from core.libs.filters.kalman import find_cuts, find_outliers, smooth
from core.libs.filters.live_kalman import LiveKalman
from core.libs.filters.motion_path import TRANSFORM, TURNS, MotionPath, motion_path, slerp

KEYS = ("shapecode", "expcode", "posecode", "eyecode", TRANSFORM)
Array = np.ndarray | torch.Tensor
_SECONDS = 5.0  # from which a live filter learns its noise
_USUAL_WINDOW, _LONGEST_WINDOW = 5, 30  # frames; what is slower than a second is no tremble
_GAP = 0.5  # seconds that may be missing and still be bridged as motion
_LOG = logging.getLogger(__name__)


class TemporalSmoother:
    """Smooths tracked parameters: `smooth` one frame at a time, `smooth_sequence` a whole clip.

    Dictionaries come back with the same keys, types, devices and shapes; keys other than `KEYS` untouched. Rotations
    (`posecode` and `eyecode`, axis-angles in radians, and that of `transform_matrix`) are smoothed as rotations. What
    is not finite is filled in, logged and counted in `filled`. Frames that stand alone, far from what the frames around
    them say, are replaced and counted in `outliers`.

    Args:
        alpha: share of what is measured against what is expected, above 0 to 1: smaller is smoother, and live a little
            later. In the average it is the new value's share. The Kalman filter weighs each value by the noise, and
            alpha turns the odds: they are multiplied by alpha / (1 - alpha). At 0.5 the noise alone decides, at 1 every
            value is taken as it is, and only gaps and outliers are mended.
        window_size: frames over which the Kalman filter averages, counted so that 5 is what the noise asks for: 10 is
            twice as far, 3 not so far; above 30 it acts as 30. In a clip, what stands out, as a blink does, is averaged
            over less. The exponential average has no window. With `fixed_lag` also the frames of delay.
        use_kalman: a constant-velocity Kalman filter (Kalman 1960) whose noise is learned from the data; for clips with
            the pass backwards of Rauch, Tung and Striebel (1965). Without it, exactly
            `s_t = alpha x_t + (1 - alpha) s_(t-1)`, and for rotations the same by SLERP (Shoemake 1985).
        strength: 0 changes nothing, 1 is the estimate, 2 looks twice as far around every frame, blinks included. It
            multiplies with what alpha and window_size do.
        fixed_lag: for live use: results come `window_size` frames late and are nearly as good as a clip's.
        fps: frames per second: how long a gap is bridged as motion and how long live use remembers.

    Attributes:
        filled: frames of a parameter that were filled in since the last `reset`.

    Raises:
        UserError: a setting out of its range; a parameter of another shape or type, or without any finite value.
    """

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
        """Forget all that was seen: the next frame of live use is a first one."""
        self.filled = 0
        self._replaced = 0
        self._live: dict[str, _Live] = {}
        self._returned: np.ndarray | None = None  # the transform that `smooth` gave last

    @property
    def outliers(self) -> int:
        """Frames of a parameter that were taken for outliers since the last `reset`."""
        return self._replaced + sum(live.outliers for live in self._live.values())

    def smooth(self, params: Mapping[str, Array]) -> dict[str, Array]:
        """The next frame of a live source: every parameter (N,) or (1, N), the transform (3, 4) or (1, 3, 4).

        `shapecode` becomes the mean so far. What is missing before anything was seen comes back as it is.
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
            known = self._clip(known)
        return {name: _like(value, known[name]) if name in known else value for name, value in params.items()}

    def _clip(self, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        # Another shot or person shows in where the head is and in what the face does.
        jumps = [
            find_cuts(motion_path(name, values[name]).columns) for name in ("expcode", TRANSFORM) if name in values
        ]
        cuts = np.any(jumps, 0) if jumps else None
        return {name: self._smoothed(name, value, cuts) for name, value in values.items()}

    def _smoothed(self, name: str, value: np.ndarray, cuts: np.ndarray | None) -> np.ndarray:
        """One parameter of a clip."""
        path = motion_path(name, value)
        self._say_filled(name, int((~path.seen).any(1).sum()), len(path.seen))
        if name == "shapecode":
            return np.broadcast_to(_agreed(path), path.columns.shape)
        if self.use_kalman:
            return self._both_ways(name, path, cuts)
        average = _Average(name, self._alpha())
        filled = np.where(np.isfinite(value), value, path.restore(np.zeros_like(path.columns)))
        return np.stack([average.next(frame) for frame in filled])

    def _both_ways(self, name: str, path: MotionPath, cuts: np.ndarray | None) -> np.ndarray:
        alone = find_outliers(path.columns, path.seen)
        if alone.any():
            self._replaced += int(alone.sum())
            _LOG.info("%s: outliers replaced at frames %s", name, ", ".join(map(str, np.flatnonzero(alone))))
        seen = path.seen & ~alone[:, None]
        bridge = max(2, round(_GAP * self.fps))
        found = smooth(path.columns, seen, cuts, self.strength, bridge, window=self._window(), weight=self._weight())
        return path.restore(found - path.columns)

    def _next(self, name: str, value: Array) -> Array:
        frame = _frame(name, value)
        if self.strength == 0:
            return _like(value, frame)
        live = self._live.setdefault(name, self._new(name)) if name not in self._live else self._live[name]
        if live.last is not None and live.last.shape != frame.shape:
            raise UserError(f"{name} had {live.last.size} values so far and has {frame.size} now; call reset() first")
        if not np.isfinite(frame).all():
            self._say_filled(name, 1, 1)
            if live.last is None:
                return _like(value, frame)
        return _like(value, live.next(frame))

    def _new(self, name: str) -> _Live:
        if not self.use_kalman:
            return _Average(name, self._alpha())
        if name == "shapecode":
            return _Mean()
        lag = self.window_size if self.fixed_lag else 0
        # Eyes and mouths jump by nature: the first frame of a blink looks like an outlier. Heads have weight.
        memory = max(40, round(_SECONDS * self.fps))
        window, weight = self._window(), self._weight()
        return _Filter(name, LiveKalman(memory, lag, self.strength, window, weight, gated=name == TRANSFORM))

    def _alpha(self) -> float:
        return self.alpha**self.strength

    def _window(self) -> float:
        """By how much the filter's time is stretched."""
        return min(self.window_size, _LONGEST_WINDOW) / _USUAL_WINDOW

    def _weight(self) -> float:
        """By how much the odds of what is measured are multiplied."""
        return self.alpha / (1 - self.alpha) if self.alpha < 1 else np.inf

    def _say_filled(self, name: str, count: int, frames: int) -> None:
        if count:
            self.filled += count
            _LOG.warning("%s: %d of %d frames not finite, filled in", name, count, frames)


class _Live(Protocol):
    """A parameter frame by frame; `last` is the last frame that came, without gaps."""

    last: np.ndarray | None
    outliers: int

    def next(self, frame: np.ndarray) -> np.ndarray: ...


class _Filter:
    """A Kalman filter on a parameter's path, which grows frame by frame."""

    def __init__(self, name: str, kalman: LiveKalman) -> None:
        self.last: np.ndarray | None = None
        self._name, self._kalman = name, kalman
        self._past: deque[tuple[MotionPath, np.ndarray]] = deque(maxlen=kalman.lag + 1)

    @property
    def outliers(self) -> int:
        return self._kalman.outliers

    def next(self, frame: np.ndarray) -> np.ndarray:
        frames = frame[None] if self.last is None else np.stack([self.last, frame])
        path = motion_path(self._name, frames)
        columns = path.columns[0] if self.last is None else self._past[-1][1] + path.columns[-1] - path.columns[0]
        self._past.append((path, columns))
        self.last = path.restore(np.zeros_like(path.columns))[-1]
        found = self._kalman.update(columns, path.seen[-1])
        path, columns = self._past[-1 - self._kalman.behind]
        return path.restore(np.tile(found - columns, (len(path.columns), 1)))[-1]


class _Average:
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
        mean = self._mixed(np.where(known, frame, self.last))
        self.last = np.where(known, mean, self.last)
        return self.last

    def _mixed(self, frame: np.ndarray) -> np.ndarray:
        mean = self._alpha * frame + (1 - self._alpha) * self.last
        if self._name == TRANSFORM:
            mean[:, :3] = slerp(self.last[:, :3], frame[:, :3], self._alpha)
        elif self._name in TURNS:
            start, goal = (Rotation.from_rotvec(v.reshape(-1, 3)).as_matrix() for v in (self.last, frame))
            mean = Rotation.from_matrix(slerp(start, goal, self._alpha)).as_rotvec().reshape(frame.shape)
        return mean


class _Mean:
    """The mean so far, begun anew when another face has come to stay."""

    outliers = 0
    _PATIENCE = 3  # frames

    def __init__(self) -> None:
        self.last: np.ndarray | None = None
        self._count, self._spread, self._others = 0, 0.0, 0

    def next(self, frame: np.ndarray) -> np.ndarray:
        if self.last is None:
            self.last = np.zeros_like(frame)
        frame = np.where(np.isfinite(frame), frame, self.last)
        away = float(((frame - self.last) ** 2).mean())
        unlike = self._count >= 2 * self._PATIENCE and away > 36 * self._spread + 1e-6 * float((self.last**2).mean())
        self._others = self._others + 1 if unlike else 0
        if self._others > self._PATIENCE:
            self._count = self._others = 0
        if not self._others:
            self._count += 1
            if self._count > 1:
                self._spread += (away - self._spread) / (self._count - 1)
            else:
                self._spread = 0.0
            self.last = self.last + (frame - self.last) / self._count
        return self.last


def _agreed(path: MotionPath) -> np.ndarray:
    """The mean (N,) of the values within three standard deviations, from the median deviation, of the median."""
    values = np.where(path.seen, path.columns, np.nan)
    middle = np.nanmedian(values, 0)
    away = np.abs(values - middle)
    agree = away <= 3 * 1.4826 * np.nanmedian(away, 0)
    return middle + np.where(agree, values - middle, 0).sum(0) / agree.sum(0)


def _frame(name: str, value: Array) -> np.ndarray:
    """One frame as float64 without a leading 1."""
    array = _to_numpy(name, value)
    shape = (3, 4) if name == TRANSFORM else (array.shape[-1] if array.ndim else 0,)
    if array.shape not in (shape, (1, *shape)) or not _whole(name, array):
        wanted = "(3, 4) or (1, 3, 4)" if name == TRANSFORM else f"(N,) or (1, N){_TRIPLES if name in TURNS else ''}"
        raise UserError(f"{name} has shape {array.shape}, expected one frame {wanted}; a clip goes to smooth_sequence")
    return array.reshape(shape)


def _frames(name: str, value: Array) -> np.ndarray:
    """A clip as float64."""
    array = _to_numpy(name, value)
    good = array.shape[1:] == (3, 4) if name == TRANSFORM else array.ndim == 2 and _whole(name, array)
    if not good:
        wanted = "(T, 3, 4)" if name == TRANSFORM else f"(T, N){_TRIPLES if name in TURNS else ''}"
        raise UserError(f"{name} has shape {array.shape}, expected a clip {wanted}; single frames go to smooth")
    return array


_TRIPLES = " with N a multiple of 3"


def _whole(name: str, array: np.ndarray) -> bool:
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
