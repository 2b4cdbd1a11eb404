"""Frames at which a tracker failed, and frames at which another motion begins."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from core.libs.filters.noise import NoiseSettings, noise_floor
from core.libs.filters.windows import WindowSettings, windows


@dataclass(frozen=True)
class OutlierSettings:
    """What makes a frame an outlier or a cut.

    Attributes:
        outlier_ratio: deviation from the frames around, over their own motion. By eye: real faces reach 5.
        snr_threshold: deviation over the noise's standard deviation. By eye.
        cut_ratio: step at a cut over the greatest step of the four frames on either side, and over the median step of
            the series. By eye.
        stays: of the step at a cut, the part that must last for four frames. By eye.
        noise: of the noise that deviations are measured by.
        windows: of a long series.
    """

    outlier_ratio: float = 6.0
    snr_threshold: float = 12.0
    cut_ratio: float = 8.0
    stays: float = 0.7
    noise: NoiseSettings = field(default_factory=NoiseSettings)
    windows: WindowSettings = field(default_factory=WindowSettings)


def find_outliers(
    z: np.ndarray,  # (T, D)
    valid: np.ndarray,  # (T, D) bool
    settings: OutlierSettings = OutlierSettings(),
) -> np.ndarray:  # (T,) bool
    """Single frames that are far from a cubic through the two frames before and the two after.

    Far is `snr_threshold` times the noise and `outlier_ratio` times the motion of those four frames, root mean square
    over the columns. The deepest frame of a blink is none: the lid moves before and after it.
    """
    out = np.zeros(len(z), bool)
    for part in windows(len(z), settings.windows):
        out[part] |= _outliers(z[part].astype(np.float64), valid[part], settings)
    return out


def _outliers(z: np.ndarray, valid: np.ndarray, settings: OutlierSettings) -> np.ndarray:
    """One window of `find_outliers`."""
    out = np.zeros(len(z), bool)
    if len(z) < settings.noise.least_values:
        return out
    floor = noise_floor(z, valid, settings.noise)
    noisy = floor > settings.noise.silent
    y = z[:, noisy] / np.sqrt(floor[noisy])
    if not y.shape[1]:
        return out
    before, after = y[1:-3], y[3:-1]
    deviation = _rms(y[2:-2] - (4 * (before + after) - y[:-4] - y[4:]) / 6)
    motion = np.max([_rms(after - before), _rms(before - y[:-4]), _rms(y[4:] - after)], axis=0)
    out[2:-2] = (deviation > settings.snr_threshold) & (deviation > settings.outlier_ratio * motion)
    return out


def find_cuts(
    z: np.ndarray,  # (T, D)
    settings: OutlierSettings = OutlierSettings(),
) -> np.ndarray:  # (T,) bool
    """Frames to which the series jumps and from which it does not come back: the first frame of another motion.

    Columns are measured in units of their median step.
    """
    out = np.zeros(len(z), bool)
    for part in windows(len(z), settings.windows):
        out[part] |= _cuts(z[part].astype(np.float64), settings)
    return out


def _cuts(z: np.ndarray, settings: OutlierSettings) -> np.ndarray:
    """One window of `find_cuts`."""
    out = np.zeros(len(z), bool)
    if len(z) < settings.noise.least_values:
        return out
    step = np.abs(np.diff(z, axis=0))
    median_step = np.median(step, axis=0)
    y = z[:, median_step > 0] / median_step[median_step > 0]
    if not y.shape[1]:
        return out
    size = np.concatenate([[0.0], _rms(np.diff(y, axis=0))])
    for t in np.flatnonzero(size > settings.cut_ratio * np.median(size)):
        if not 3 <= t <= len(z) - 3:
            continue
        around = np.concatenate([size[max(t - 4, 1) : t], size[t + 1 : t + 5]])
        lasting = _rms(np.median(y[t : t + 4], axis=0) - np.median(y[max(t - 4, 0) : t], axis=0))
        out[t] = size[t] > settings.cut_ratio * around.max() and lasting > settings.stays * size[t]
    return out


def _rms(values: np.ndarray) -> np.ndarray:
    """Root mean square over the last axis."""
    return np.sqrt((values**2).mean(-1))
