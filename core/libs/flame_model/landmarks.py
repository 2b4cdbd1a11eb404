"""FLAME's landmarks: where its file has them on the mesh, and which of the tracker's points they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.libs.flame_model.topology import LANDMARKS_68, LEFT_IRIS, RIGHT_IRIS

N_LANDMARKS = 70
# The vertices whose mean stands for a lid's landmark in upstream's tracker: they lie on the lid's edge.
_LIDS = {37: (2452, 2454), 38: (2471,), 40: (2276,), 41: (2360,), 43: (1292,), 44: (1217,), 46: (999,), 47: (827,)}


@dataclass(frozen=True)
class LandmarkEmbedding:
    """70 landmarks as weighted means of three vertices each: 68 in iBUG's order, then the irises.

    Attributes:
        corners: (70, 3) vertices. weights: (70, 3) float32.
        lid_corners, lid_weights: the same with eight points of the lids taken from vertices of their edges.
        tracker_points: (70,) which of the tracker's points each is.
    """

    corners: np.ndarray
    weights: np.ndarray
    lid_corners: np.ndarray
    lid_weights: np.ndarray
    tracker_points: np.ndarray

    @classmethod
    def of(
        cls,
        faces_of: np.ndarray,  # (70,) the face that each landmark lies on
        weights: np.ndarray,  # (70, 3) of its corners
        faces: np.ndarray,  # (F, 3)
        skinning: np.ndarray,  # (V, 5)
    ) -> LandmarkEmbedding:
        """From what FLAME's file says of its landmarks."""
        corners = faces[faces_of].astype(np.int64)
        lid_corners, lid_weights = corners.copy(), weights.copy()
        for landmark, vertices in _LIDS.items():
            if max(vertices) < len(skinning):  # else it is not FLAME's own mesh
                lid_corners[landmark] = vertices[0]
                lid_corners[landmark, : len(vertices)] = vertices
                lid_weights[landmark] = 0
                lid_weights[landmark, : len(vertices)] = 1 / len(vertices)
        # The file does not say which iris is which; the joints that turn them do.
        left, right = (skinning[corners[68:]] * weights[68:, :, None]).sum(1)[:, 3:].T  # (2,) each
        left_first = left[0] + right[1] > left[1] + right[0]
        irises = (LEFT_IRIS[0], RIGHT_IRIS[0]) if left_first else (RIGHT_IRIS[0], LEFT_IRIS[0])
        return cls(corners, weights, lid_corners, lid_weights, np.array([*LANDMARKS_68, *irises]))

    def place(self, vertices: np.ndarray) -> np.ndarray:  # (..., V, 3) to (..., 70, 3)
        """The landmarks, lids by their edges, on vertices in any space."""
        return np.einsum("...lcd,lc->...ld", vertices[..., self.lid_corners, :], self.lid_weights)
