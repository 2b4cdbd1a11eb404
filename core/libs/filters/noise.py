"""The variance of a tracker's noise, measured on the series themselves where the face is nearly still.

Faces move in bursts: over a whole clip, half of what looks like noise is blinks and consonants. So the frames of the
lowest motion energy are chosen first, and the noise is measured there alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class NoiseSettings:
    """Of the estimation of the noise.

    Attributes:
        still_share: of the frames, the part that is taken to be still. By eye.
        least_still: frames that are taken at least. By eye.
        least_values: values below which a series says nothing of its noise: two of its third differences have to share
            no value.
        repeated: of the median motion energy; frames below it were filled in or repeated by the video. By eye.
        silent: variance, in squared units of the series, up to which a column is constant but for rounding.
        slow_share, slow_reach: of `noise_share`: part of a column's frames that count as slow, and frames to both sides
            over which its speed is measured. largest_step: over the floor, what a product of steps counts at most. On
            six clips, whole and their first 100 frames, with and without noise.
    """

    still_share: float = 0.05
    least_still: int = 20
    least_values: int = 8
    repeated: float = 1e-4
    silent: float = 1e-20
    slow_share: float = 0.15
    slow_reach: int = 3
    largest_step: float = 4.0


def noise_floor(
    z: np.ndarray,  # (T, D)
    valid: np.ndarray,  # (T, D) bool
    settings: NoiseSettings = NoiseSettings(),
) -> np.ndarray:  # (D,)
    """The variance of every column's measurement noise, in the column's unit squared.

    It is the mean square of third differences, which no steady motion enters, over the frames of the lowest motion
    energy. The energy that selects frames for one half of the columns is that of the other half, and of third
    differences that share no frame with the one at hand: the smallest of some noisy values are smaller than the noise.
    """
    tiny = 1e-12 * z.var(0) + 1e-24
    if len(z) < settings.least_values:
        return tiny
    third = np.diff(z, 3, axis=0) / np.sqrt(20)
    third = np.where(valid[3:] & valid[2:-1] & valid[1:-2] & valid[:-3], third, np.nan)
    with np.errstate(invalid="ignore"):
        energy = third**2 / np.maximum(_nan_median(np.abs(third)) ** 2, tiny)
    out = tiny.copy()
    for half in (0, 1) if z.shape[1] > 1 else (0,):
        measured, selecting = slice(half, None, 2), slice(1 - half, None, 2)
        order = np.argsort(_motion_energy(energy[:, selecting], energy, settings))
        out[measured] = _nan_mean(third[order[: _still_count(len(order), settings)], measured] ** 2)
    return _shrunk(np.maximum(np.nan_to_num(out), tiny), _still_count(len(third), settings), settings)


def noise_share(
    z: np.ndarray,  # (T, D)
    valid: np.ndarray,  # (T, D) bool
    floor: np.ndarray,  # (D,) of `noise_floor`
    settings: NoiseSettings = NoiseSettings(),
) -> float:
    """How much of a noise floor is noise, 0 to 1: what neighbouring steps undo again, where the motion is slowest.

    Noise that is new in every frame makes each step be followed by half of it backwards, of whatever size the motion
    is. Lively motion that never comes to rest, or a video that shows frames twice, fills a floor too, and its steps go
    on, or stand still, and do not go back. So the mean product of two steps is minus the variance of such noise, plus
    the square of the speed, which is taken off as it is over some frames to both sides. It is measured, column by
    column, where that is slowest.
    """
    known, reach, frames = floor > settings.silent, settings.slow_reach, len(z)
    if frames < settings.least_values or not known.any():
        return 1.0
    z, ok = z[:, known] / np.sqrt(floor[known]), valid[:, known]
    step = np.where(ok[1:] & ok[:-1], np.diff(z, axis=0), np.nan)
    undone = -(step[:-2] * step[1:-1] + step[1:-1] * step[2:]) / 2  # of the frames t to t + 3
    reach = min(reach, (frames - 5) // 2)
    undone = undone[reach : frames - 3 - reach]
    speed, other = (
        np.abs(z[reach + 3 + k : frames - reach + k] - z[reach - k : -3 - reach - k]) / (3 + 2 * k)
        for k in (reach, reach - 1)
    )  # from t - k to t + 3 + k: of other frames, so with another noise
    undone = np.clip(undone + other**2, -settings.largest_step, settings.largest_step)  # a blink ends, without a speed
    speed[~np.isfinite(undone)] = np.inf
    slow = np.argsort(speed, axis=0)[: max(settings.least_still, int(settings.slow_share * len(speed)))]
    found = _nan_mean(np.take_along_axis(undone, slow, axis=0))
    return float(np.clip(np.nanmean(np.clip(found, -1, 1)), 0, 1)) if np.isfinite(found).any() else 1.0


def _still_count(differences: int, settings: NoiseSettings) -> int:
    """How many of so many third differences are taken to be still."""
    return min(differences, max(settings.least_still, int(settings.still_share * differences)))


def _motion_energy(selecting: np.ndarray, energy: np.ndarray, settings: NoiseSettings) -> np.ndarray:
    """Motion energy at each third difference (T - 3,), in units of the median; infinite where nothing was measured.

    The mean of `selecting` (T - 3, D / 2) there and of all columns' `energy` (T - 3, D) four frames before and after.
    What a tracker filled in, or a video shows twice, is below any noise and says nothing of it: infinite too.
    """
    here = _nan_mean(energy.T)
    around = np.full((2, len(here)), np.nan)  # third differences that share no frame with this one
    around[0, 4:], around[1, :-4] = here[:-4], here[4:]
    motion = _nan_mean(np.concatenate([_nan_mean(selecting.T)[None], around]))
    some = np.isfinite(here).any()
    filled = ~(here > settings.repeated * np.nanmedian(here)) if some else np.ones(len(here), bool)
    return np.where(filled | ~np.isfinite(motion), np.inf, motion)


def _shrunk(variance: np.ndarray, count: int, settings: NoiseSettings) -> np.ndarray:
    """Variances (D,), each from `count` values, drawn together as far as they differ by chance (empirical Bayes)."""
    known = variance > settings.silent
    if known.sum() < 4:
        return variance
    logs = np.log(variance[known])
    centre = np.median(logs)
    chance = 3.0 / count  # variance of a log variance, from third differences that overlap
    found = (1.4826 * np.median(np.abs(logs - centre))) ** 2
    out = variance.copy()
    out[known] = np.exp(centre + (logs - centre) * max(0.0, 1 - chance / max(found, 1e-12)))
    return out


def _nan_mean(values: np.ndarray) -> np.ndarray:
    """Over the first axis, leaving NaN out; NaN where there is nothing else."""
    known = np.isfinite(values)
    count = known.sum(0)
    return np.where(count > 0, np.where(known, values, 0).sum(0) / np.maximum(count, 1), np.nan)


def _nan_median(values: np.ndarray) -> np.ndarray:
    """Over the first axis, leaving NaN out; 0 where there is nothing else."""
    some = np.isfinite(values).any(0)
    return np.nan_to_num(np.nanmedian(np.where(some, values, 0), axis=0))
