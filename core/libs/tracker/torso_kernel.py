"""The compiled part of `TorsoTracker`: a similarity of the picture that makes grey levels agree."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def align(
    grey: np.ndarray,  # (S, S) float32
    at: np.ndarray,  # (N, 2) float32 x, y in the reference picture
    values: np.ndarray,  # (N,) float32, its grey levels there
    slopes: np.ndarray,  # (N, 4) how they change with each number of the motion
    neck: np.ndarray,  # (2,) about which the picture rolls and grows
    unit: float,  # pixels of a head unit
    motion: np.ndarray,  # (4,) to begin with
    prior: np.ndarray,  # (4,) inverse variances of the motion
    noise: float,  # of a pixel, grey levels
    outlier: float,  # grey levels at which a pixel counts half
    rounds: int,
    settled: float,  # the largest step at which they end
) -> tuple[np.ndarray, float]:
    """The motion (4,), right and down in head units, roll and logarithm of the growth, and the pixels' mean weight.

    Every round samples the picture between its pixels, beyond its border as at it, and takes a step of the robust least
    squares; the exposure is the weighted mean of what is left.
    """
    height, width = grey.shape
    motion, offset, share = motion.copy(), 0.0, 0.0
    for _ in range(rounds):
        growth = np.exp(motion[3])
        c, s = growth * np.cos(motion[2]), growth * np.sin(motion[2])
        x_shift, y_shift = neck[0] + motion[0] * unit, neck[1] + motion[1] * unit
        normal, right = np.diag(prior), prior * motion
        total, mean = 0.0, 0.0
        for i in range(len(at)):
            u, v = at[i, 0] - neck[0], at[i, 1] - neck[1]
            x = min(max(c * u - s * v + x_shift, 0.0), width - 1.0)
            y = min(max(s * u + c * v + y_shift, 0.0), height - 1.0)
            x0, y0 = min(int(x), width - 2), min(int(y), height - 2)
            a, b = x - x0, y - y0
            above = grey[y0, x0] + a * (grey[y0, x0 + 1] - grey[y0, x0])
            below = grey[y0 + 1, x0] + a * (grey[y0 + 1, x0 + 1] - grey[y0 + 1, x0])
            error = above + b * (below - above) - values[i] - offset
            weight = 1 / (1 + (error / outlier) ** 2)
            total += weight
            mean += weight * error
            weight /= noise * noise
            for j in range(4):
                weighted = weight * slopes[i, j]
                right[j] += weighted * error
                for k in range(j, 4):
                    normal[j, k] += weighted * slopes[i, k]
        for j in range(4):
            for k in range(j):
                normal[j, k] = normal[k, j]
        offset += mean / total
        share = total / len(at)
        step = np.linalg.solve(normal, right)
        if not np.abs(step).max() < 1e3:  # no picture of shoulders, and no place to sample it at
            return motion, 0.0
        motion -= step
        if np.abs(step).max() < settled:
            break
    return motion, share
