"""Landmarks of other programs in the places of the tracker's 478 points."""

from __future__ import annotations

import numpy as np

from core.libs.flame_model.topology import LANDMARKS_68, LEFT_IRIS, N_POINTS, RIGHT_IRIS

SETS = (68, 70, N_POINTS)  # iBUG's; those and the irises, as FLAME's file has them; the tracker's
_EYES = (tuple(range(36, 42)), tuple(range(42, 48)))  # of iBUG's 68: the person's right, then left


def as_tracker_points(landmarks: np.ndarray, guess_irises: bool = False) -> np.ndarray:  # (..., L, K) to (..., 478, K)
    """The tracker's points as far as landmarks say where they are, NaN for the others; 478 come back as they are.

    Args:
        landmarks: (..., L, K), L one of `SETS`: 68 in iBUG's order, or 70 with the centres of the irises after them, in
            any order: each belongs to the eye that it is nearer to.
        guess_irises: put the irises that 68 landmarks lack in the middle of the lids; else they are NaN.

    Raises:
        ValueError: another number of landmarks.
    """
    count = landmarks.shape[-2] if landmarks.ndim >= 2 else 0
    if count not in SETS:
        raise ValueError(f"expected {', '.join(map(str, SETS[:-1]))} or {SETS[-1]} landmarks, got {landmarks.shape}")
    if count == N_POINTS:
        return landmarks
    out = np.full((*landmarks.shape[:-2], N_POINTS, landmarks.shape[-1]), np.nan, np.float64)
    out[..., list(LANDMARKS_68), :] = landmarks[..., :68, :]
    middles = np.stack([landmarks[..., list(eye), :].mean(-2) for eye in _EYES], -2)  # (..., 2, K)
    if count == 70:
        first, second = landmarks[..., 68, :], landmarks[..., 69, :]
        away = [np.linalg.norm(iris[..., None, :] - middles, axis=-1) for iris in (first, second)]  # (..., 2) each
        swapped = (away[0][..., 0] + away[1][..., 1] > away[0][..., 1] + away[1][..., 0])[..., None]
        right, left = np.where(swapped, second, first), np.where(swapped, first, second)
    elif guess_irises:
        right, left = middles[..., 0, :], middles[..., 1, :]
    else:
        return out
    out[..., RIGHT_IRIS[0], :], out[..., LEFT_IRIS[0], :] = right, left
    return out
