"""Constant-velocity Kalman filters for many series at once, with the noise taken from the series themselves.

Each column of a series (T, D) is filtered on its own: position and velocity, driven by white acceleration (Kalman 1960;
Rauch, Tung and Striebel 1965 for the pass backwards). Two figures a column decide everything: the variance of the
measurement's noise, and the strength of the process in units of it. Faces move in bursts, and half of what a likelihood
alone calls noise is blinks and consonants. So the noise is at most what is measured where the face is nearly still,
and of that the part that behaves as noise (`core.libs.filters.noise`), and the process noise has the tails of
Student's t (an inverse-gamma scale on every step, found by expectation maximisation around the two passes): a column
follows a blink at once and is smooth before and after.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from core.libs.filters.kalman_kernels import innovations, rts_smoother
from core.libs.filters.noise import NoiseSettings, noise_floor, noise_share
from core.libs.filters.windows import WindowSettings, windows


@dataclass(frozen=True)
class KalmanSettings:
    """Of the filter. A ratio is process over measurement noise, per frame.

    Attributes:
        ratio_decades: powers of ten between which the most likely ratio is looked for: from nearly a straight line to
            nearly no smoothing. By eye.
        ratio_count: of the ratios in between, two to a decade; the likelihood is flat between neighbours. By eye.
        ratio_bounds: of a ratio that `strength` and `weight` have changed; beyond them nothing changes any more.
        ratio_reach: of the grid's steps, by which the best ratio may move from one round to the next. By eye.
        tail: degrees of freedom of the process noise's Student t. By eye.
        rounds: of expectation maximisation. By eye: more change little and cost as much.
        restart_scale: of the process noise where another motion begins: nothing of the last one is left.
        least_share: of the noise floor, so that nothing is divided by zero where none of it is noise.
        least_variance: of the measurement, over the noise floor, so that a series without noise has a likelihood.
        noise: of the noise floor.
        windows: of a long series.
    """

    ratio_decades: tuple[float, float] = (-7, 5)
    ratio_count: int = 25
    ratio_bounds: tuple[float, float] = (1e-14, 1e9)
    ratio_reach: int = 2
    tail: float = 2.0
    rounds: int = 6
    restart_scale: float = 1e30
    least_variance: float = 1e-9
    least_share: float = 1e-3
    noise: NoiseSettings = field(default_factory=NoiseSettings)
    windows: WindowSettings = field(default_factory=WindowSettings)

    @cached_property
    def ratios(self) -> np.ndarray:
        """(ratio_count,) the ratios that are looked at, rising."""
        return np.logspace(*self.ratio_decades, self.ratio_count)


@dataclass(frozen=True)
class Noise:
    """Of every column: variance of the measurement (D,), and strength of the process in units of it (D,)."""

    variance: np.ndarray
    ratio: np.ndarray


def smooth(
    series: np.ndarray,  # (T, D) floating point; any finite value where not valid
    valid: np.ndarray,  # (T, D) bool, where there is a measurement
    cuts: np.ndarray | None = None,  # (T,) bool, frames at which another motion begins
    strength: float = 1.0,
    max_gap: int = 12,
    *,
    window: float = 1.0,
    weight: float = 1.0,
    settings: KalmanSettings = KalmanSettings(),
) -> np.ndarray:  # (T, D), as exact as the series
    """The series after a pass forwards and one backwards: no lag, and what is missing is filled in.

    Args:
        strength: stretches the time over which the filter averages: 2 twice as far, 0.5 half as far.
        max_gap: frames. Longer gaps are crossed in a straight line, and ends held: a velocity does not last so long.
        window: stretches the time too for motion of ordinary size, but where a step is k times as large, by the k-th
            root alone: a blink stays.
        weight: divides the variance of the measurement; at `inf` valid values stay as they are.

    A series longer than a window is smoothed in windows, each with a noise of its own, that fade into one another:
    memory stays bounded, and the noise of an hour changes.
    """
    restart = np.zeros(len(series), bool) if cuts is None else cuts
    overlap = settings.windows.overlap
    fade = np.clip((np.arange(overlap) + 0.5) / overlap * 2 - 0.5, 0, 1)[:, None]  # the ends have too few neighbours
    out = series.copy()
    for part in windows(len(series), settings.windows):
        known = series[part].astype(np.float64)
        found = _smooth_window(known, valid[part], restart[part], strength, window, weight, settings)
        if part.start:
            found[:overlap] = fade * found[:overlap] + (1 - fade) * out[part][:overlap]
        out[part] = found
    _cross_gaps(out, valid, max_gap)
    return out


def _smooth_window(
    series: np.ndarray,
    valid: np.ndarray,
    restart: np.ndarray,
    strength: float,
    window: float,
    weight: float,
    settings: KalmanSettings,
) -> np.ndarray:
    """One window of `smooth`, float64, in place."""
    moving = np.ptp(series, axis=0) > 0
    if len(series) < 3 or not moving.any():
        return series
    z, ok = np.ascontiguousarray(series[:, moving]), np.ascontiguousarray(valid[:, moving])
    floor = noise_floor(z, ok, settings.noise)
    share = max(noise_share(z, ok, floor, settings.noise), settings.least_share)
    scale, noise = process_scales(z, ok, share * floor, restart, settings)
    unit = np.sqrt(noise.variance)
    # How far a filter averages goes with the fourth root of the ratio; the size of a step with the root of its scale.
    scale = scale * window ** (-4 / np.sqrt(np.maximum(scale, 1)))
    ratio = np.clip(noise.ratio / strength**4 * weight, *settings.ratio_bounds)
    series[:, moving] = unit * rts_smoother(z / unit, ok, scale, ratio)[0]
    return series


def process_scales(
    z: np.ndarray,  # (T, D)
    valid: np.ndarray,  # (T, D) bool
    floor: np.ndarray,  # (D,) the most that the variance of the measurement can be
    restart: np.ndarray | None = None,  # (T,) bool, frames at which another motion begins
    settings: KalmanSettings = KalmanSettings(),
) -> tuple[np.ndarray, Noise]:
    """The scale of the process noise at every step (T, D), about 1 on average, and the columns' noise.

    Expectation maximisation: given the scales, the most likely noise; given the noise, the expected energy of every
    step, from which its scale follows under Student's t.
    """
    scale, noise = np.ones_like(z), None
    for _ in range(settings.rounds):
        if restart is not None:
            scale[restart] = settings.restart_scale
        noise = estimate(z, valid, scale, floor, noise, settings)
        energy = rts_smoother(z / np.sqrt(noise.variance), valid, scale, noise.ratio)[1]
        scale = (settings.tail + energy) / (settings.tail + 2)  # two independent components a step
    if restart is not None:
        scale[restart] = settings.restart_scale
    return scale, estimate(z, valid, scale, floor, noise, settings)


def estimate(
    z: np.ndarray,  # (T, D)
    valid: np.ndarray,  # (T, D) bool
    scale: np.ndarray,  # (T, D) of the process noise
    floor: np.ndarray,  # (D,)
    near: Noise | None = None,
    settings: KalmanSettings = KalmanSettings(),
) -> Noise:
    """The most likely noise of the columns, that of the measurement no greater than `floor`.

    The likelihood is that of the innovations (Schweppe 1965); the best variance for each ratio has a closed form.
    Given `near`, ratios are looked for around its alone.
    """
    grid, reach = settings.ratios, settings.ratio_reach
    ratios = np.tile(grid, (z.shape[1], 1))
    if near is not None:
        middle = np.clip(np.searchsorted(grid, near.ratio), reach, len(grid) - 1 - reach)
        ratios = grid[middle[:, None] + np.arange(-reach, reach + 1)]
    logs, squares, count = innovations(z, valid, scale, ratios)
    count = np.maximum(count, 1)[:, None]
    variance = np.maximum(np.minimum(squares / count, floor[:, None]), settings.least_variance * floor[:, None])
    likelihood = logs + count * np.log(variance) + squares / variance
    too_few = valid.sum(0) < settings.noise.least_values
    best = np.arange(len(floor)), np.where(too_few, ratios.shape[1] - 1, likelihood.argmin(1))
    return Noise(variance[best], ratios[best])


def _cross_gaps(series: np.ndarray, valid: np.ndarray, max_gap: int) -> None:
    """Straight lines, in place, where there is no measurement for more than `max_gap` frames or at an end."""
    for d in np.flatnonzero(~valid.all(0)):
        known = np.flatnonzero(valid[:, d])
        gap = np.diff(np.concatenate([[-max_gap - 2], known, [len(series) + max_gap + 1]]))
        for start in np.flatnonzero(gap > max_gap + 1):
            first = known[start - 1] + 1 if start else 0
            last = known[start] if start < len(known) else len(series)
            series[first:last, d] = np.interp(np.arange(first, last), known, series[known, d])
