"""Axis-angles and matrices of few rotations, compiled: what is done frame by frame while a camera waits.

scipy's `Rotation` takes tens of microseconds a call, whatever the number of rotations. The formulas are its own, by way
of unit quaternions.
"""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def matrices_of(turns: np.ndarray) -> np.ndarray:
    """Matrices (K, 3, 3) of axis-angles (K, 3) in radians, for column vectors."""
    out = np.empty((len(turns), 3, 3))
    for k in range(len(turns)):
        angle = np.sqrt(turns[k, 0] ** 2 + turns[k, 1] ** 2 + turns[k, 2] ** 2)
        if angle <= 1e-3:  # the series, whose rest is below rounding
            square = angle * angle
            scale = 0.5 - square / 48 + square * square / 3840
        else:
            scale = np.sin(angle / 2) / angle
        x, y, z, w = scale * turns[k, 0], scale * turns[k, 1], scale * turns[k, 2], np.cos(angle / 2)
        xx, yy, zz, ww = x * x, y * y, z * z, w * w
        xy, zw, xz, yw, yz, xw = x * y, z * w, x * z, y * w, y * z, x * w
        out[k, 0] = xx - yy - zz + ww, 2 * (xy - zw), 2 * (xz + yw)
        out[k, 1] = 2 * (xy + zw), -xx + yy - zz + ww, 2 * (yz - xw)
        out[k, 2] = 2 * (xz - yw), 2 * (yz + xw), -xx - yy + zz + ww
    return out


@numba.njit(cache=True, nogil=True)
def turns_of(matrices: np.ndarray) -> np.ndarray:
    """Axis-angles (K, 3) in radians, at most half a turn, of matrices (K, 3, 3) that are rotations but for rounding."""
    out = np.empty((len(matrices), 3))
    q = np.empty(4)
    for n in range(len(matrices)):
        m = matrices[n]
        trace = m[0, 0] + m[1, 1] + m[2, 2]
        largest = max(m[0, 0], m[1, 1], m[2, 2], trace)
        if largest == trace:
            q[0], q[1], q[2], q[3] = m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], 1 + trace
        else:
            i = 0 if largest == m[0, 0] else (1 if largest == m[1, 1] else 2)
            j, k = (i + 1) % 3, (i + 2) % 3
            q[i], q[j], q[k] = 1 - trace + 2 * m[i, i], m[j, i] + m[i, j], m[k, i] + m[i, k]
            q[3] = m[k, j] - m[j, k]
        q /= np.sqrt(q[0] ** 2 + q[1] ** 2 + q[2] ** 2 + q[3] ** 2)
        if q[3] < 0:
            q *= -1
        angle = 2 * np.arctan2(np.sqrt(q[0] ** 2 + q[1] ** 2 + q[2] ** 2), q[3])
        if angle <= 1e-3:  # the series, whose rest is below rounding
            square = angle * angle
            scale = 2 + square / 12 + 7 * square * square / 2880
        else:
            scale = angle / np.sin(angle / 2)
        for k in range(3):
            out[n, k] = scale * q[k]
    return out


@numba.njit(cache=True, nogil=True)
def turns_between(start: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Axis-angles (K, 3), about the axes of the first, that take rotations (K, 3, 3) to others (K, 3, 3)."""
    between = np.empty(start.shape)
    for n in range(len(start)):
        for i in range(3):
            for j in range(3):
                between[n, i, j] = (
                    start[n, 0, i] * goal[n, 0, j] + start[n, 1, i] * goal[n, 1, j] + start[n, 2, i] * goal[n, 2, j]
                )
    return turns_of(between)


@numba.njit(cache=True, nogil=True)
def turned_by(rotations: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Rotations (K, 3, 3) turned on about their own axes by axis-angles (K, 3): the inverse of `turns_between`."""
    by, out = matrices_of(turns), np.empty(rotations.shape)
    for n in range(len(by)):
        for i in range(3):
            x, y, z = rotations[n, i]
            for j in range(3):
                out[n, i, j] = x * by[n, 0, j] + y * by[n, 1, j] + z * by[n, 2, j]
    return out
