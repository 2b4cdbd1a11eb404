"""How much is left of the fringes beside a face's silhouettes, which the mesh misses.

A fringe is the photo's: it is right while the cheek beside it is turned as in the photo, and goes as one where that
comes round. What a face does with its mouth stretches the cheek too, but does not turn it: so the turn alone tells, of
the face as it is in the photo.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.models.LiftedAvatar.binding import SETTINGS, Binding, Role, stretches


@dataclass(frozen=True)
class FringeWeights:
    """Of a mesh of M points, of which P are on silhouettes.

    Attributes:
        triangles: (K, 3) those of the mesh that have such a point. jacobian: (K, 3, 2), see `Binding`.
        average: (2, P) how much each point counts in the mean of a side's, the left one first; rows of nothing but 0
            where there is no silhouette. around: (P, K) how much a triangle counts in a point's stretch.
    """

    triangles: np.ndarray
    jacobian: np.ndarray
    average: np.ndarray
    around: np.ndarray

    @classmethod
    def of(cls, binding: Binding) -> FringeWeights:
        """Of a binding whose mesh is its first triangles."""
        points = np.flatnonzero(binding.silhouette)
        mesh = binding.triangles[: binding.n_mesh]
        touching = np.flatnonzero((binding.silhouette[mesh] > 0).any(1))
        around = (mesh[touching][None] == points[:, None, None]).any(2).astype(np.float64)
        around /= np.maximum(around.sum(1, keepdims=True), 1)
        side = binding.silhouette[points] == np.array([[Role.LEFT_FRINGE], [Role.RIGHT_FRINGE]])
        average = side / np.maximum(side.sum(1, keepdims=True), 1)
        # Points that nothing inpainted surrounds keep the photo's share
        around[binding.all_photo[points]] = 0
        return cls(mesh[touching], binding.jacobian[touching], average, around)

    def at(self, points: np.ndarray, pixels_per_unit: float) -> np.ndarray:
        """(2,) float32 in 0..1 of the left and the right fringe, 0 where there is none.

        Args:
            points: (M, 3) where the mesh would be with the photo's expression, in the frame of the camera that draws.
            pixels_per_unit: of the photo's camera.
        """
        stretch = stretches(points, self.triangles, self.jacobian, pixels_per_unit)
        share = 1 / (1 + (self.around @ np.minimum(stretch, SETTINGS.longest) / SETTINGS.blend_at) ** 6)
        return ((self.average @ share) ** SETTINGS.fringe_exponent).astype(np.float32)
