"""Compiled parts of `HeadFitter`: points lifted into head space, and with the jaw closed again."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def lift_points(
    rotation: np.ndarray,  # (T, 3, 3)
    shift: np.ndarray,  # (T, 3)
    rays: np.ndarray,  # (T, N, 2) x / z and y / z seen
    relief: np.ndarray,  # (T, N) towards the viewer, head units, up to a plane
    person: np.ndarray,  # (N, 3)
    weight: np.ndarray,  # (N,) that sum to 1
) -> np.ndarray:  # (T, N, 3)
    """The points in head space: on their rays, at a relief of which the plane is subtracted by which it differs, by
    weighted least squares over the rays, from that of the posed person.
    """
    frames, count = relief.shape
    out = np.empty((frames, count, 3))
    for t in range(frames):
        turn, move = rotation[t], shift[t]
        normal, right = np.zeros((3, 3)), np.zeros(3)
        for i in range(count):
            x, y, w = rays[t, i, 0], rays[t, i, 1], weight[i]
            gap = relief[t, i] + person[i, 0] * turn[0, 2] + person[i, 1] * turn[1, 2] + person[i, 2] * turn[2, 2]
            normal[0, 0] += w * x * x
            normal[0, 1] += w * x * y
            normal[0, 2] += w * x
            normal[1, 1] += w * y * y
            normal[1, 2] += w * y
            normal[2, 2] += w
            right[0] += w * x * gap
            right[1] += w * y * gap
            right[2] += w * gap
        normal[1, 0], normal[2, 0], normal[2, 1] = normal[0, 1], normal[0, 2], normal[1, 2]
        slope = np.linalg.solve(normal, right)
        for i in range(count):
            x, y = rays[t, i, 0], rays[t, i, 1]
            z = move[2] - relief[t, i] + slope[0] * x + slope[1] * y + slope[2]
            a, b, c = x * z - move[0], y * z - move[1], z - move[2]
            for k in range(3):
                out[t, i, k] = a * turn[k, 0] + b * turn[k, 1] + c * turn[k, 2]
    return out


@numba.njit(cache=True, nogil=True)
def close_jaws(
    lifted: np.ndarray,  # (T, N, 3)
    jaw: np.ndarray,  # (T,) radians about +x
    joint: np.ndarray,  # (3,)
    weight: np.ndarray,  # (N,) how much of the jaw's turn a point makes
    rounds: int,
) -> np.ndarray:  # (T, N, 3)
    """The points before the jaw turned: linear blend skinning, (1 - w) v + w R (v - j) + w j = p, inverted for each
    point by fixed-point iteration.
    """
    frames, count = lifted.shape[:2]
    out = np.empty_like(lifted)
    for t in range(frames):
        c, s = np.cos(jaw[t]), np.sin(jaw[t])
        for i in range(count):
            w = weight[i]
            y0, z0 = lifted[t, i, 1] - joint[1], lifted[t, i, 2] - joint[2]
            y, z = y0, z0
            for _ in range(rounds):
                turned_y, turned_z = c * y - s * z, s * y + c * z
                y, z = y + (y0 - (1 - w) * y - w * turned_y), z + (z0 - (1 - w) * z - w * turned_z)
            out[t, i, 0] = lifted[t, i, 0]
            out[t, i, 1] = y + joint[1]
            out[t, i, 2] = z + joint[2]
    return out


@numba.njit(cache=True, nogil=True)
def turns_onto(start: np.ndarray, goal: np.ndarray, rounds: int) -> np.ndarray:
    """Axis-angles (T, 2), their third component zero, that turn directions `start` onto `goal`, both (T, 3): pitch and
    yaw that are missing are added, round after round.
    """
    out = np.empty((len(start), 2))
    for t in range(len(start)):
        x, y, z = start[t]
        pitch, yaw = _pitch_and_yaw(goal[t, 0], goal[t, 1], goal[t, 2])
        own_pitch, own_yaw = _pitch_and_yaw(x, y, z)
        a, b = pitch - own_pitch, yaw - own_yaw
        for _ in range(rounds):
            angle = np.hypot(a, b)
            u, v = a / max(angle, 1e-12), b / max(angle, 1e-12)
            c, s, along = np.cos(angle), np.sin(angle), (u * x + v * y) * (1 - np.cos(angle))
            now_pitch, now_yaw = _pitch_and_yaw(
                c * x + along * u + s * v * z, c * y + along * v - s * u * z, c * z + s * (u * y - v * x)
            )
            a, b = a + pitch - now_pitch, b + yaw - now_yaw
        out[t, 0], out[t, 1] = a, b
    return out


@numba.njit(inline="always")
def _pitch_and_yaw(x, y, z):
    """Of a direction of any length, as an axis-angle has them: looking up is a negative turn about +x."""
    return -np.arcsin(y / np.sqrt(x * x + y * y + z * z)), np.arctan2(x, z)
