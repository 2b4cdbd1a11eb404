"""Constant-velocity Kalman filters for many series at once, with the noise taken from the series themselves.

Each column of a series (T, D) is filtered on its own: position and velocity, driven by white acceleration (Kalman 1960;
Rauch, Tung and Striebel 1965 for the pass backwards). Two figures a column decide everything: the variance of the
measurement's noise, and the strength of the process in units of it. Faces move in bursts, and half of what a likelihood
alone calls noise is blinks and consonants. So the noise is measured where the face is nearly still, and the process has
the tails of Student's t (an inverse-gamma scale on every step, found by expectation maximisation around the two
passes), which lets a column follow a blink at once and be calm before and after.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numba
import numpy as np

RATIOS = np.logspace(-7, 5, 25)  # process over measurement noise: from nearly a straight line to nearly no smoothing
_BOUNDS = (1e-14, 1e9)  # of a ratio that settings have changed: a straight line, no smoothing
_TAIL = 2.0  # degrees of freedom of the process noise
_ROUNDS = 6  # of expectation maximisation; more change little and cost as much
_NEAR = 2  # steps of `RATIOS` by which the best may move from one round to the next
_QUIET, _ENOUGH = 0.05, 20  # of the frames, the part taken to be still, and at least how many
_LEAST = 8  # values below which a column says nothing of its noise
_WINDOW, _OVERLAP = 6000, 256  # frames of a long clip that are looked at together, and that two windows share
_RESET = 1e30  # scale of the process noise where one motion ends and another begins
_ALONE, _SURE = 6.0, 12.0  # an outlier: times the motion around it (real faces reach 5), times the noise
_STEP = 8.0  # a cut: times the greatest step around it


@dataclass(frozen=True)
class Noise:
    """Of every column: variance of the measurement (D,), and strength of the process in units of it (D,)."""

    variance: np.ndarray
    ratio: np.ndarray


def smooth(
    series: np.ndarray,  # (T, D) float64; any finite value where not seen
    seen: np.ndarray,  # (T, D) bool
    cuts: np.ndarray | None = None,  # (T,) bool, frames at which another motion begins
    strength: float = 1.0,
    bridge: int = 12,
    *,
    window: float = 1.0,
    weight: float = 1.0,
) -> np.ndarray:  # (T, D)
    """The series as a pass forwards and one backwards have it: no lag, and what is missing is filled in.

    `strength` stretches the time over which the filter looks: 2 twice as far, 0.5 half as far. `window` does so too for
    motion of the usual size, but where a step is k times as large, by the k-th root alone: a blink stays. `weight`
    divides the variance of the measurement; at `inf` what was seen stays as it is.

    Gaps of more than `bridge` frames are crossed in a straight line, and ends held: a velocity is not good for so long.

    More than 6000 frames are smoothed in windows, noise and all, that fade into one another: memory stays bounded, and
    what an hour holds is not of one kind.
    """
    restart = np.zeros(len(series), bool) if cuts is None else cuts
    fade = np.clip((np.arange(_OVERLAP) + 0.5) / _OVERLAP * 2 - 0.5, 0, 1)[:, None]  # its ends see too little
    out = series.copy()
    for part in _windows(len(series)):
        found = _smooth(series[part], seen[part], restart[part], strength, window, weight)
        if part.start:
            found[:_OVERLAP] = fade * found[:_OVERLAP] + (1 - fade) * out[part][:_OVERLAP]
        out[part] = found
    _cross_gaps(out, seen, bridge)
    return out


def _windows(frames: int) -> Iterator[slice]:
    """Of a clip; each but the last is `_WINDOW` long, and the last longer than `_OVERLAP` if it is not the first."""
    starts = range(0, max(frames - _OVERLAP, 1), _WINDOW - _OVERLAP)
    return (slice(start, min(start + _WINDOW, frames)) for start in starts)


def _smooth(
    series: np.ndarray, seen: np.ndarray, restart: np.ndarray, strength: float, window: float, weight: float
) -> np.ndarray:
    """One window of `smooth`."""
    out = series.copy()
    moving = np.ptp(series, axis=0) > 0
    if len(series) < 3 or not moving.any():
        return out
    z, ok = np.ascontiguousarray(series[:, moving]), np.ascontiguousarray(seen[:, moving])
    floor = noise_floor(z, ok)
    scale, noise = _tail_scales(z, ok, floor, restart)
    unit = np.sqrt(noise.variance)
    # How far a filter looks goes with the fourth root of the ratio; the size of a step with the root of its scale.
    scale = scale * window ** (-4 / np.sqrt(np.maximum(scale, 1)))
    ratio = np.clip(noise.ratio / strength**4 * weight, *_BOUNDS)
    out[:, moving] = unit * _both_ways(z / unit, ok, scale, ratio)[0]
    return out


def _tail_scales(
    z: np.ndarray, seen: np.ndarray, floor: np.ndarray, restart: np.ndarray | None = None
) -> tuple[np.ndarray, Noise]:
    """How much stronger than usual the process is at every step (T, D), and the noise, at most `floor` (D,)."""
    scale, noise = np.ones_like(z), None
    for _ in range(_ROUNDS):
        if restart is not None:
            scale[restart] = _RESET
        noise = estimate(z, seen, scale, floor, noise)
        energy = _both_ways(z / np.sqrt(noise.variance), seen, scale, noise.ratio)[1]
        scale = (_TAIL + energy) / (_TAIL + 2)  # two independent components a step
    if restart is not None:
        scale[restart] = _RESET
    return scale, estimate(z, seen, scale, floor, noise)


def estimate(
    z: np.ndarray,  # (T, D)
    seen: np.ndarray,  # (T, D) bool
    scale: np.ndarray,  # (T, D)
    floor: np.ndarray,  # (D,)
    near: Noise | None = None,
) -> Noise:
    """The most likely noise of the columns, that of the measurement no greater than `floor` (D,).

    The likelihood is that of the innovations (Schweppe 1965); the best variance for each ratio has a closed form.
    Given `near`, ratios are looked for around its alone.
    """
    ratios = np.tile(RATIOS, (z.shape[1], 1))
    if near is not None:
        middle = np.clip(np.searchsorted(RATIOS, near.ratio), _NEAR, len(RATIOS) - 1 - _NEAR)
        ratios = RATIOS[middle[:, None] + np.arange(-_NEAR, _NEAR + 1)]
    logs, squares, count = _innovations(z, seen, scale, ratios)
    count = np.maximum(count, 1)[:, None]
    variance = np.maximum(np.minimum(squares / count, floor[:, None]), 1e-9 * floor[:, None])
    likelihood = logs + count * np.log(variance) + squares / variance
    best = np.arange(len(floor)), np.where(seen.sum(0) < _LEAST, ratios.shape[1] - 1, likelihood.argmin(1))
    return Noise(variance[best], ratios[best])


def noise_floor(z: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The variance (D,) of the measurement's noise, from where the series (T, D) moves least.

    From third differences, which no steady motion enters. Which frames are still is judged by other columns and other
    frames than those that are measured there: to choose the smallest values of a noise and call them its size would
    make it too small.
    """
    tiny = 1e-12 * z.var(0) + 1e-24
    if len(z) < _LEAST:
        return tiny
    third = np.diff(z, 3, axis=0) / np.sqrt(20)
    third = np.where(seen[3:] & seen[2:-1] & seen[1:-2] & seen[:-3], third, np.nan)
    with np.errstate(invalid="ignore"):
        energy = third**2 / np.maximum(_middle(np.abs(third)) ** 2, tiny)
    out = tiny.copy()
    for half in (0, 1) if z.shape[1] > 1 else (0,):
        mine, others = slice(half, None, 2), slice(1 - half, None, 2)
        order = np.argsort(_calmness(energy[:, others], energy))
        out[mine] = _mean(third[order[: _calm_count(len(order))], mine] ** 2)
    return _pooled(np.maximum(np.nan_to_num(out), tiny), _calm_count(len(third)))


def _calm_count(windows: int) -> int:
    return min(windows, max(_ENOUGH, int(_QUIET * windows)))


def _pooled(variance: np.ndarray, count: int) -> np.ndarray:
    """Variances (D,), each from `count` values, drawn together as far as they differ by chance (empirical Bayes)."""
    known = variance > 1e-20
    if known.sum() < 4:
        return variance
    logs = np.log(variance[known])
    centre = np.median(logs)
    chance = 3.0 / count  # of a log variance, from third differences that overlap
    differ = (1.4826 * np.median(np.abs(logs - centre))) ** 2
    out = variance.copy()
    out[known] = np.exp(centre + (logs - centre) * max(0.0, 1 - chance / max(differ, 1e-12)))
    return out


def find_outliers(z: np.ndarray, seen: np.ndarray) -> np.ndarray:  # (T,) bool
    """Frames that stand alone: far from what the frames on both sides agree on.

    The deepest frame of a blink does not: the lid was moving before and after it.
    """
    out = np.zeros(len(z), bool)
    for part in _windows(len(z)):
        out[part] |= _outliers(z[part], seen[part])
    return out


def _outliers(z: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """One window of `find_outliers`."""
    out = np.zeros(len(z), bool)
    if len(z) < _LEAST:
        return out
    floor = noise_floor(z, seen)
    y = z[:, floor > 1e-20] / np.sqrt(floor[floor > 1e-20])
    if not y.shape[1]:
        return out
    before, after = y[1:-3], y[3:-1]
    alone = _rms(y[2:-2] - (4 * (before + after) - y[:-4] - y[4:]) / 6)
    around = np.max([_rms(after - before), _rms(before - y[:-4]), _rms(y[4:] - after)], axis=0)
    out[2:-2] = (alone > _SURE) & (alone > _ALONE * around)
    return out


def find_cuts(z: np.ndarray) -> np.ndarray:  # (T,) bool
    """Frames to which the series (T, D) jumps and from which it does not come back."""
    out = np.zeros(len(z), bool)
    for part in _windows(len(z)):
        out[part] |= _cuts(z[part])
    return out


def _cuts(z: np.ndarray) -> np.ndarray:
    """One window of `find_cuts`."""
    out = np.zeros(len(z), bool)
    if len(z) < _LEAST:
        return out
    step = np.abs(np.diff(z, axis=0))
    usual = np.median(step, axis=0)
    y = z[:, usual > 0] / usual[usual > 0]
    if not y.shape[1]:
        return out
    size = np.concatenate([[0.0], _rms(np.diff(y, axis=0))])
    for t in np.flatnonzero(size > _STEP * np.median(size)):
        if not 3 <= t <= len(z) - 3:
            continue
        others = np.concatenate([size[max(t - 4, 1) : t], size[t + 1 : t + 5]])
        stays = _rms(np.median(y[t : t + 4], axis=0) - np.median(y[max(t - 4, 0) : t], axis=0))
        out[t] = size[t] > _STEP * others.max() and stays > 0.7 * size[t]
    return out


def _cross_gaps(series: np.ndarray, seen: np.ndarray, bridge: int) -> None:
    """Straight lines, in place, where nothing was seen for more than `bridge` frames or at an end."""
    for d in np.flatnonzero(~seen.all(0)):
        known = np.flatnonzero(seen[:, d])
        gap = np.diff(np.concatenate([[-bridge - 2], known, [len(series) + bridge + 1]]))
        for start in np.flatnonzero(gap > bridge + 1):
            first = known[start - 1] + 1 if start else 0
            last = known[start] if start < len(known) else len(series)
            series[first:last, d] = np.interp(np.arange(first, last), known, series[known, d])


def _calmness(others: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """How much goes on at each third difference (T - 3,); infinite where nothing was measured.

    What a tracker filled in, or a video shows twice, is stiller than any noise and says nothing of it.
    """
    here = _mean(energy.T)
    beside = np.full((2, len(here)), np.nan)  # third differences that share no frame with this one
    beside[0, 4:], beside[1, :-4] = here[:-4], here[4:]
    calm = _mean(np.concatenate([_mean(others.T)[None], beside]))
    filled = ~(here > 1e-4 * np.nanmedian(here)) if np.isfinite(here).any() else np.ones(len(here), bool)
    return np.where(filled | ~np.isfinite(calm), np.inf, calm)


def _mean(values: np.ndarray) -> np.ndarray:
    """Over the first axis, leaving NaN out; NaN where there is nothing else."""
    known = np.isfinite(values)
    count = known.sum(0)
    return np.where(count > 0, np.where(known, values, 0).sum(0) / np.maximum(count, 1), np.nan)


def _middle(values: np.ndarray) -> np.ndarray:
    """The median over the first axis, leaving NaN out; 0 where there is nothing else."""
    some = np.isfinite(values).any(0)
    return np.nan_to_num(np.nanmedian(np.where(some, values, 0), axis=0))


def _rms(values: np.ndarray) -> np.ndarray:
    return np.sqrt((values**2).mean(-1))


@numba.njit(cache=True)
def _innovations(z, seen, scale, ratios):
    """Sums over the innovations of every column and each of its ratios (D, L): log variance, square over variance.

    In units of the measurement's variance. The first two values of a column only start the filter; the number of
    others is the third result (D,).
    """
    frames, columns = z.shape
    logs, squares = np.zeros(ratios.shape), np.zeros(ratios.shape)
    count = np.zeros(columns)
    for d in range(columns):
        for k in range(ratios.shape[1]):
            x, v, p, c, s = 0.0, 0.0, 1e6, 0.0, 1e6
            met, product, total = 0, 1.0, 0.0
            for t in range(frames):
                q = min(ratios[d, k] * scale[t, d], 1e9)
                x += v
                p, c, s = p + 2 * c + s + q / 3, c + s + q / 2, s + q
                if not seen[t, d]:
                    continue
                if met == 0:
                    x, p, c, s = z[t, d], 1.0, 0.0, 1e3 + 10 * ratios[d, k]
                else:
                    variance, e = p + 1, z[t, d] - x
                    if met > 1:
                        product *= variance
                        if product > 1e200:
                            logs[d, k] += np.log(product)
                            product = 1.0
                        total += e * e / variance
                    x, v = x + p / variance * e, v + c / variance * e
                    p, c, s = p / variance, c / variance, s - c * c / variance
                met += 1
            logs[d, k] += np.log(product)
            squares[d, k] = total
            count[d] = met - 2
    return logs, squares, count


@numba.njit(cache=True)
def _both_ways(z, seen, scale, ratio):
    """The smoothed series (T, D), for measurements of variance 1, and the energy of its process noise (T, D).

    The energy of a step is the expectation of w' Q^-1 w at scale 1, with w the noise that drove it; 2 is usual.
    """
    frames, columns = z.shape
    out, energy = np.empty_like(z), np.full_like(z, 2.0)
    state, spread = np.empty((frames, 2)), np.empty((frames, 3))  # after each measurement
    ahead, spread_ahead = np.empty((frames, 2)), np.empty((frames, 3))  # before it
    for d in range(columns):
        first = 0
        while first < frames - 1 and not seen[first, d]:
            first += 1
        # Where a column begins nothing is known: diffuse, but small enough to be inverted.
        x, v, p, c, s = z[first, d], 0.0, 1e5, 0.0, 1e3 + 10 * ratio[d]
        for t in range(frames):
            if t:
                q = min(ratio[d] * scale[t, d], 1e9)
                x += v
                p, c, s = p + 2 * c + s + q / 3, c + s + q / 2, s + q
            ahead[t, 0], ahead[t, 1] = x, v
            spread_ahead[t, 0], spread_ahead[t, 1], spread_ahead[t, 2] = p, c, s
            if seen[t, d]:
                variance, e = p + 1, z[t, d] - x
                x, v = x + p / variance * e, v + c / variance * e
                p, c, s = p / variance, c / variance, s - c * c / variance
            state[t, 0], state[t, 1] = x, v
            spread[t, 0], spread[t, 1], spread[t, 2] = p, c, s
        out[frames - 1, d] = x
        for t in range(frames - 2, -1, -1):
            a, b, e = spread_ahead[t + 1, 0], spread_ahead[t + 1, 1], spread_ahead[t + 1, 2]
            determinant = a * e - b * b
            i, j, k = e / determinant, -b / determinant, a / determinant
            dx, dv = x - ahead[t + 1, 0], v - ahead[t + 1, 1]
            da, db, de = a - p, b - c, e - s  # what the later measurements took off the spread
            u, w = i * dx + j * dv, j * dx + k * dv
            m00, m01, m10, m11 = i * da + j * db, i * db + j * de, j * da + k * db, j * db + k * de
            n00, n01, n11 = m00 * i + m01 * j, m00 * j + m01 * k, m10 * j + m11 * k
            size = scale[t + 1, d]
            q = min(ratio[d] * size, 1e9)
            moved = q * (u * u / 3 + u * w + w * w)
            known = q * (n00 / 3 + n01 + n11)
            energy[t + 1, d] = size * (moved + max(2 - known, 0.0))
            # The gain, spread F' spread_ahead^-1, with F = ((1, 1), (0, 1)).
            p, c, s = spread[t]
            g00, g01 = (p + c) * i + c * j, (p + c) * j + c * k
            g10, g11 = (c + s) * i + s * j, (c + s) * j + s * k
            x, v = state[t, 0] + g00 * dx + g01 * dv, state[t, 1] + g10 * dx + g11 * dv
            k00, k01 = g00 * da + g01 * db, g00 * db + g01 * de
            k10, k11 = g10 * da + g11 * db, g10 * db + g11 * de
            p, c, s = p - k00 * g00 - k01 * g01, c - k00 * g10 - k01 * g11, s - k10 * g10 - k11 * g11
            out[t, d] = x
    return out, energy
