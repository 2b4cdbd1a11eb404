"""Gaussians in the terms of 3D Gaussian splatting's files: axes, scales with rotations, harmonics of degree 0."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from core.models.LiftedAvatar.bake import Gaussians

SH_C0 = 0.28209479177387814  # the spherical harmonic of degree 0
# From the camera's axes (x left, y up, z away): what COLMAP and PLY files have (x right, y down, z away), and what
# OpenGL, SPZ and glTF have (x right, y up, z to the viewer). Both are rotations: nothing is mirrored.
RIGHT_DOWN_FRONT = np.diag([-1.0, -1.0, 1.0])
RIGHT_UP_BACK = np.diag([-1.0, 1.0, -1.0])


@dataclass(frozen=True)
class Splats:
    """N Gaussians as such files state them.

    Attributes:
        means: (N, 3). scales: (N, 3) standard deviations. quaternions: (N, 4) w x y z, of unit length.
        opacities: (N,) in 0..1. harmonics: (N, 3) of degree 0.
    """

    means: np.ndarray
    scales: np.ndarray
    quaternions: np.ndarray
    opacities: np.ndarray
    harmonics: np.ndarray

    def __len__(self) -> int:
        return len(self.means)


def to_splats(gaussians: Gaussians, axes: np.ndarray, unit: float = 1.0, thickness: float = 0.1) -> Splats:
    """Gaussians in other axes and units.

    Args:
        axes: (3, 3) rotation, to which the camera's are taken. unit: what a head unit is there.
        thickness: of a flat Gaussian over its longest axis, at least: files hold its logarithm.
    """
    xx, xy, xz, yy, yz, zz = gaussians.covariances.astype(np.float64).T
    matrices = np.stack([xx, xy, xz, xy, yy, yz, xz, yz, zz], 1).reshape(-1, 3, 3)
    variances, vectors = np.linalg.eigh(axes @ matrices @ axes.T)
    vectors[np.linalg.det(vectors) < 0, :, 0] *= -1
    scales = np.sqrt(np.maximum(variances, 0))
    scales = np.maximum(scales, np.maximum(thickness * scales[:, 2:], 1e-6)) * unit
    x, y, z, w = Rotation.from_matrix(vectors).as_quat().T
    return Splats(
        means=(gaussians.xyz @ axes.T * unit).astype(np.float32),
        scales=scales.astype(np.float32),
        quaternions=np.stack([w, x, y, z], 1).astype(np.float32),
        opacities=np.clip(gaussians.opacities, 1e-4, 1 - 1e-4).astype(np.float32),
        harmonics=((gaussians.colors - 0.5) / SH_C0).astype(np.float32),
    )
