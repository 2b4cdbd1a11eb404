"""Normals of triangles, and how squarely they face the camera."""

from __future__ import annotations

import numpy as np


def triangle_normals(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(F, 3) normals of triangles (F, 3) between points (M, 3), as long as twice the triangles' areas."""
    a, b, c = (points[triangles[:, i]] for i in range(3))
    return np.cross(b - a, c - a)


def view_cosine(normals: np.ndarray) -> np.ndarray:
    """(F,) cosine of the angle between normals (F, 3) in the camera frame and the camera's axis, without its sign."""
    return np.abs(normals[:, 2]) / np.maximum(np.linalg.norm(normals, axis=1), 1e-12)
