"""The compiled passes of the constant-velocity Kalman filter: innovations forwards, both ways, and a live step.

State x, v: position and velocity. Covariance p, c, s: of the position, of both, of the velocity. White acceleration of
strength q adds q / 3, q / 2 and q to it in a step of one frame. `tests/twins.py` has both in matrices.
"""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True)
def innovations(z, valid, scale, ratios):
    """What the likelihood of a noise is made of: sums over the innovations of every column for each of its ratios.

    Args:
        z: (T, D) measurements. valid: (T, D) bool. scale: (T, D) of the process noise at every step. ratios: (D, L)
            process over measurement noise.

    Returns:
        (D, L) sums of the innovations' log variances and (D, L) of their squares over the variances, both in units of
        the measurement's variance; (D,) the number of innovations. The first two values of a column only start the
        filter.
    """
    frames, columns = z.shape
    logs, squares = np.zeros(ratios.shape), np.zeros(ratios.shape)
    count = np.zeros(columns)
    for d in range(columns):
        for k in range(ratios.shape[1]):
            x, v, p, c, s = 0.0, 0.0, 1e6, 0.0, 1e6
            n_valid, product, total = 0, 1.0, 0.0
            for t in range(frames):
                q = min(ratios[d, k] * scale[t, d], 1e9)
                x += v
                p, c, s = p + 2 * c + s + q / 3, c + s + q / 2, s + q
                if not valid[t, d]:
                    continue
                if n_valid == 0:
                    x, p, c, s = z[t, d], 1.0, 0.0, 1e3 + 10 * ratios[d, k]
                else:
                    variance, e = p + 1, z[t, d] - x
                    if n_valid > 1:
                        product *= variance
                        if product > 1e200:
                            logs[d, k] += np.log(product)
                            product = 1.0
                        total += e * e / variance
                    x, v = x + p / variance * e, v + c / variance * e
                    p, c, s = p / variance, c / variance, s - c * c / variance
                n_valid += 1
            logs[d, k] += np.log(product)
            squares[d, k] = total
            count[d] = n_valid - 2
    return logs, squares, count


@numba.njit(cache=True)
def rts_smoother(z, valid, scale, ratio):
    """Kalman filter forwards, then the smoother of Rauch, Tung and Striebel (1965) backwards.

    Args:
        z: (T, D) measurements of variance 1. valid: (T, D) bool. scale: (T, D) of the process noise at every step.
            ratio: (D,) process over measurement noise.

    Returns:
        (T, D) the smoothed positions, and (T, D) the energy of the process noise: the expectation of w' Q^-1 w, with w
        the noise that drove the step and Q its covariance at scale 1. It is 2 on average where the model holds.
    """
    frames, columns = z.shape
    out, energy = np.empty_like(z), np.full_like(z, 2.0)
    filtered, filtered_cov = np.empty((frames, 2)), np.empty((frames, 3))  # after each measurement
    predicted, predicted_cov = np.empty((frames, 2)), np.empty((frames, 3))  # before it
    for d in range(columns):
        first = 0
        while first < frames - 1 and not valid[first, d]:
            first += 1
        # Where a column begins nothing is known: diffuse, but small enough to be inverted.
        x, v, p, c, s = z[first, d], 0.0, 1e5, 0.0, 1e3 + 10 * ratio[d]
        for t in range(frames):
            if t:
                q = min(ratio[d] * scale[t, d], 1e9)
                x += v
                p, c, s = p + 2 * c + s + q / 3, c + s + q / 2, s + q
            predicted[t, 0], predicted[t, 1] = x, v
            predicted_cov[t, 0], predicted_cov[t, 1], predicted_cov[t, 2] = p, c, s
            if valid[t, d]:
                variance, e = p + 1, z[t, d] - x
                x, v = x + p / variance * e, v + c / variance * e
                p, c, s = p / variance, c / variance, s - c * c / variance
            filtered[t, 0], filtered[t, 1] = x, v
            filtered_cov[t, 0], filtered_cov[t, 1], filtered_cov[t, 2] = p, c, s
        out[frames - 1, d] = x
        for t in range(frames - 2, -1, -1):
            a, b, e = predicted_cov[t + 1, 0], predicted_cov[t + 1, 1], predicted_cov[t + 1, 2]
            determinant = a * e - b * b
            i, j, k = e / determinant, -b / determinant, a / determinant
            dx, dv = x - predicted[t + 1, 0], v - predicted[t + 1, 1]
            da, db, de = a - p, b - c, e - s  # what later measurements took off the covariance
            u, w = i * dx + j * dv, j * dx + k * dv
            m00, m01, m10, m11 = i * da + j * db, i * db + j * de, j * da + k * db, j * db + k * de
            n00, n01, n11 = m00 * i + m01 * j, m00 * j + m01 * k, m10 * j + m11 * k
            size = scale[t + 1, d]
            q = min(ratio[d] * size, 1e9)
            moved = q * (u * u / 3 + u * w + w * w)
            removed = q * (n00 / 3 + n01 + n11)
            energy[t + 1, d] = size * (moved + max(2 - removed, 0.0))
            # The smoother's gain: filtered covariance, F', inverse of the predicted one; F = ((1, 1), (0, 1)).
            p, c, s = filtered_cov[t]
            g00, g01 = (p + c) * i + c * j, (p + c) * j + c * k
            g10, g11 = (c + s) * i + s * j, (c + s) * j + s * k
            x, v = filtered[t, 0] + g00 * dx + g01 * dv, filtered[t, 1] + g10 * dx + g11 * dv
            k00, k01 = g00 * da + g01 * db, g00 * db + g01 * de
            k10, k11 = g10 * da + g11 * db, g10 * db + g11 * de
            p, c, s = p - k00 * g00 - k01 * g01, c - k00 * g10 - k01 * g11, s - k10 * g10 - k11 * g11
            out[t, d] = x
    return out, energy


@numba.njit(cache=True, nogil=True)
def live_deviation(state, z, valid, noise, q):
    """How far a measurement is from what is predicted, in standard deviations: root of the mean square over columns.

    Args:
        state: (5, D) x, v, p, c and s after the frame before. z: (D,) the measurement. valid: (D,) bool; where it is
            not, 0 counts. noise: (D,) its variance. q: (D,) strength of the white acceleration.
    """
    total = 0.0
    for d in range(len(z)):
        if valid[d]:
            e = z[d] - (state[0, d] + state[1, d])
            total += e * e / (state[2, d] + 2 * state[3, d] + state[4, d] + q[d] / 3 + noise[d])
    return np.sqrt(total / len(z))


@numba.njit(cache=True, nogil=True)
def live_step(state, z, valid, noise, q, gate):
    """The state before and after a measurement, (5, D) each; arguments as `live_deviation` has them.

    A step far beyond what was predicted is real far more often than not: what is beyond `gate`, in squared standard
    deviations, is taken for process noise.
    """
    before, after = np.empty_like(state), np.empty_like(state)
    for d in range(len(z)):
        x, v, p, c, s = state[0, d] + state[1, d], state[1, d], state[2, d], state[3, d], state[4, d]
        e, strength = 0.0, q[d]
        if valid[d]:
            e = z[d] - x
            strength += 3 * max(e * e / gate - (p + 2 * c + s + strength / 3) - noise[d], 0.0)
        p, c, s = p + 2 * c + s + strength / 3, c + s + strength / 2, s + strength
        before[0, d], before[1, d], before[2, d], before[3, d], before[4, d] = x, v, p, c, s
        if valid[d]:
            total = p + noise[d]
            gain, velocity_gain = p / total, c / total
            x, v = x + gain * e, v + velocity_gain * e
            p, c, s = p * noise[d] / total, c * noise[d] / total, s - c * velocity_gain
        after[0, d], after[1, d], after[2, d], after[3, d], after[4, d] = x, v, p, c, s
    return before, after
