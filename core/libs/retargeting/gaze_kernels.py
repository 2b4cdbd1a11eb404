"""Compiled parts of reading a gaze and of turning eyes to one; `gaze_reading` and `gaze_corrector` state the rules.

A frame is some hundred numbers: dispatching tensor operations takes many times what they do. `tests/gaze_twin.py` has
the same in torch.
"""

from __future__ import annotations

import math

import numba
import numpy as np


@numba.njit(inline="always")
def _angles(x, y, z):
    """Pitch and yaw of a direction of any length."""
    return math.atan2(y, math.hypot(x, z)), math.atan2(x, z)


@numba.njit(inline="always")
def _direction(pitch, yaw):
    """The unit direction of pitch and yaw."""
    return math.cos(pitch) * math.sin(yaw), math.sin(pitch), math.cos(pitch) * math.cos(yaw)


@numba.njit(inline="always")
def _limited(x, y, z, limit):
    """A unit direction, turned back to the limit, radians, where it is further than that from straight ahead."""
    across = math.hypot(x, y)
    if math.atan2(across, z) > limit:
        scale = math.sin(limit) / max(across, 1e-9)
        return x * scale, y * scale, math.cos(limit)
    return x, y, z


@numba.njit(inline="always")
def _ramp(value, low, high):
    """0 at `low`, 1 at `high`; NaN stays NaN."""
    part = (value - low) / (high - low)
    return part if math.isnan(part) else min(max(part, 0.0), 1.0)


@numba.njit(cache=True, nogil=True)
def iris_angles(
    points: np.ndarray,  # (B, 478, 3)
    corners: np.ndarray,  # (2, 2) which points are the corners of the left and the right eye
    irises: np.ndarray,  # (2, K) and which the irises
    centre: np.ndarray,  # (2, 3) of `EyeGeometry`
    rest: np.ndarray,  # (2, 2)
) -> np.ndarray:
    """Pitch and yaw (B, 2, 2) at which the irises stand on their eyeballs, counted from rest; NaN where unknown."""
    out = np.empty((len(points), 2, 2))
    iris = np.empty(3)
    for b in range(len(points)):
        for e in range(2):
            for k in range(3):
                total, count = 0.0, 0
                for i in irises[e]:
                    if not math.isnan(points[b, i, k]):
                        total += points[b, i, k]
                        count += 1
                iris[k] = total / count if count else np.nan
            one, other = points[b, corners[e, 0]], points[b, corners[e, 1]]
            width = math.sqrt((one[0] - other[0]) ** 2 + (one[1] - other[1]) ** 2 + (one[2] - other[2]) ** 2)
            for k in range(3):
                iris[k] -= (one[k] + other[k]) / 2 + width * centre[e, k]
            seen_pitch, seen_yaw = _angles(iris[0], iris[1], iris[2])
            pitch, yaw = seen_pitch - rest[e, 0], seen_yaw - rest[e, 1]
            a, b0, c = _direction(rest[e, 0], rest[e, 1])
            for _ in range(3):  # turning the line at rest is not quite adding angles
                x, y, z = _direction(pitch, yaw)
                # Rodrigues' formula about (-y, x, 0), whose length is the sine of the angle
                pull = c - (x * a + y * b0) / max(1 + z, 1e-9)
                now_pitch, now_yaw = _angles(a + x * pull, b0 + y * pull, z * c - (x * a + y * b0))
                pitch, yaw = pitch + seen_pitch - now_pitch, yaw + seen_yaw - now_yaw
            out[b, e, 0], out[b, e, 1] = pitch, yaw
    return out


@numba.njit(cache=True, nogil=True)
def lid_ratios(points: np.ndarray, lids: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """`lid_ratio_68` of points (B, 478, 3): (B, 2), by the pairs of lid points (2, 2, 2) and the corners (2, 2)."""
    out = np.empty((len(points), 2))
    for b in range(len(points)):
        for e in range(2):
            gap = 0.0
            for upper, lower in lids[e]:
                gap += _apart(points[b, upper], points[b, lower]) / 2
            out[b, e] = gap / max(_apart(points[b, corners[e, 0]], points[b, corners[e, 1]]), 1e-9)
    return out


@numba.njit(inline="always")
def _apart(one, other):
    """The distance of two points (3,)."""
    return math.sqrt((one[0] - other[0]) ** 2 + (one[1] - other[1]) ** 2 + (one[2] - other[2]) ** 2)


@numba.njit(cache=True, nogil=True)
def nearest_look(beside: np.ndarray, near: float, steps: int) -> np.ndarray:
    """The weights (T,) of looks (T, 2) that lie about the middle of those nearest to zero: mean shift by steps to
    weighted medians, see `camera_look`.
    """
    least = 1 / len(beside) ** 2
    middle, weights = np.zeros(2), np.empty(len(beside))
    orders = [np.argsort(beside[:, k], kind="mergesort") for k in range(2)]
    for _ in range(steps):
        for t in range(len(beside)):
            away = ((beside[t, 0] - middle[0]) ** 2 + (beside[t, 1] - middle[1]) ** 2) / near**2
            weights[t] = max(math.exp(-0.5 * away), least)
        for k in range(2):
            middle[k] = _weighted_median(beside[:, k], weights, orders[k])
    return weights


@numba.njit(cache=True, nogil=True)
def _weighted_median(values, weights, order):
    """`weighted_median` of values whose order is known."""
    half, before, last = weights.sum() / 2, 0.0, -1.0
    for i, t in enumerate(order):
        reached = before + weights[t] / 2
        if reached >= half:
            if i == 0:
                return values[t]
            one = values[order[i - 1]]
            return one + (values[t] - one) * (half - last) / (reached - last)
        before, last = before + weights[t], reached
    return values[order[-1]]


@numba.njit(cache=True, nogil=True)
def lid_weights(
    ratios: np.ndarray,  # (B, 2) lid distances over the eyes' widths
    open_eyes: np.ndarray,  # (2,) those of open eyes
    viewer: np.ndarray,  # (B, 3) unit directions to the camera; none: eyes are not turned away
    limits: np.ndarray,  # (5,) shut, open, outward, turned_away and facing of `GazeReadingSettings`
) -> np.ndarray:
    """The confidence (B, 2) of the left and the right iris, 0 to 1; NaN where the lids are not known."""
    out = np.empty(ratios.shape)
    for b in range(len(ratios)):
        for e in range(2):
            out[b, e] = _ramp(ratios[b, e] / open_eyes[e], limits[0], limits[1])
            if len(viewer):
                side = math.sin(limits[2]) if e == 0 else -math.sin(limits[2])
                out[b, e] *= _ramp(side * viewer[b, 0] + math.cos(limits[2]) * viewer[b, 2], limits[3], limits[4])
    return out


@numba.njit(cache=True, nogil=True)
def turned_eyes(
    code: np.ndarray,  # (B, 6) axis-angles
    target: np.ndarray,  # (B, 3) of any length, NaN where there is none
    strength: np.ndarray,  # (B,) 0 to 1
    irises: np.ndarray,  # (B, 2, 2) where the codes put the irises; none: where they look
    offsets: np.ndarray,  # (B, 2, 2), or (1, 2, 2) for all
    limits: np.ndarray,  # (3,) of the gaze, of a code, and of convergence, see `GazeLimits`
) -> np.ndarray:  # (B, 6)
    """The codes of `GazeCorrector.turned`."""
    out = code.copy()
    looks, turns, seen, new = np.empty((2, 2)), np.empty((2, 2)), np.empty((2, 2)), np.empty(6)
    for b in range(len(code)):
        x, y, z = target[b]
        length = math.sqrt(x * x + y * y + z * z)
        if strength[b] == 0 or not math.isfinite(length) or length < 1e-12:
            continue
        gx, gy, gz = _limited(x / length, y / length, z / length, limits[0])
        goal_pitch, goal_yaw = _angles(gx, gy, gz)
        offset = offsets[min(b, len(offsets) - 1)]
        for e in range(2):
            u, v, w = code[b, 3 * e], code[b, 3 * e + 1], code[b, 3 * e + 2]
            angle = math.sqrt(u * u + v * v + w * w)
            # What the turn makes of (0, 0, 1)
            sine = math.sin(angle) / angle if angle > 1e-9 else 1.0
            rest = 2 * (math.sin(angle / 2) / angle) ** 2 if angle > 1e-9 else 0.5
            turns[e] = _angles(sine * v + rest * u * w, -sine * u + rest * v * w, 1 - rest * (u * u + v * v))
            seen[e] = turns[e]
            if len(irises):
                seen[e] = irises[b, e]
            now = seen[e] - offset[e]
            looks[e, 0] = now[0] + strength[b] * (goal_pitch - now[0])
            looks[e, 1] = now[1] + strength[b] * (goal_yaw - now[1])
        # One pitch, and lines of sight that neither diverge nor converge too much
        pitch, yaw, apart = (looks[0, 0] + looks[1, 0]) / 2, (looks[0, 1] + looks[1, 1]) / 2, looks[1, 1] - looks[0, 1]
        inward = min(max(apart, 0.0), limits[2]) / 2
        good = not math.isnan(apart)
        for e in range(2):
            look_yaw = yaw + (inward if e else -inward)
            x, y, z = _direction(pitch + offset[e, 0], look_yaw + offset[e, 1])
            x, y, z = _limited(x, y, z, limits[0])
            goal = _angles(x, y, z)
            x, y, z = _direction(turns[e, 0] + goal[0] - seen[e, 0], turns[e, 1] + goal[1] - seen[e, 1])
            x, y, z = _limited(x, y, z, limits[1])
            sine = math.hypot(x, y)
            scale = math.atan2(sine, z) / sine if sine > 1e-9 else 1.0
            new[3 * e], new[3 * e + 1], new[3 * e + 2] = -y * scale, x * scale, 0.0
        for k in range(6):
            good &= math.isfinite(new[k])
        if good:
            out[b] = new
    return out
