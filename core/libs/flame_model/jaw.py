"""How far the jaw is open, read off the points of a face in the head frame."""

from __future__ import annotations

import numpy as np

from core.libs.flame_model.topology import CHIN


def jaw_angle(
    points: np.ndarray,  # (..., 478, 3)
    rest: np.ndarray,  # (478, 3)
    joint: np.ndarray,  # (3,)
) -> np.ndarray:  # (...,)
    """Angle in radians by which the chin has turned about the x axis through the jaw joint; positive opens."""
    chin = list(CHIN)
    a, b = rest[chin][:, 1:] - joint[1:], points[..., chin, 1:] - joint[1:]
    cross = a[:, 0] * b[..., 1] - a[:, 1] * b[..., 0]
    dot = (a * b).sum(-1)
    return np.arctan2(cross.sum(-1), dot.sum(-1))


def rotate_about_x(vectors: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Vectors (..., N, 3) turned about +x by one angle per leading index."""
    c, s = np.cos(angle)[..., None], np.sin(angle)[..., None]
    x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
    return np.stack(np.broadcast_arrays(x, c * y - s * z, s * y + c * z), -1)
