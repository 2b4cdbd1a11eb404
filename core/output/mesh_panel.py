"""A drawing of a tracked head, for drivers that have no pictures."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from core.data.records import IMAGE_SIZE
from core.libs.geometry import to_camera, to_pixels


@dataclass(frozen=True)
class MeshPanelSettings:
    """How a head is drawn, all by eye. Grey levels are 0..255.

    Attributes:
        ground: grey level behind the head. fill, line: of a triangle and its edges, turned away and turned to the
            viewer. steps: of brightness between these. least: cosine to the viewer from which a triangle is drawn.
        shift: binary digits behind the point of the coordinates that OpenCV draws with.
    """

    ground: int = 40
    fill: tuple[int, int] = (58, 112)
    line: tuple[int, int] = (88, 208)
    steps: int = 6
    least: float = 0.02
    shift: int = 4


class MeshPanel:
    """Draws a tracked head as a shaded wireframe on grey."""

    def __init__(
        self, faces: np.ndarray, size: int = IMAGE_SIZE, settings: MeshPanelSettings = MeshPanelSettings()
    ) -> None:
        self._faces = np.asarray(faces, np.int64)  # (F, 3)
        self._size, self._settings = size, settings

    def draw(self, vertices: np.ndarray, transform: np.ndarray) -> np.ndarray:
        """The picture (size, size, 3) uint8 of a head: vertices (V, 3), transform (3, 4)."""
        s = self._settings
        camera = to_camera(vertices, transform)
        corners = camera[self._faces]  # (F, 3, 3)
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        length = np.linalg.norm(normals, axis=1)
        centres = corners.mean(1)
        towards = -(normals * centres).sum(1) / np.maximum(length * np.linalg.norm(centres, axis=1), 1e-12)
        light = np.clip(towards, 0, 1)
        order = np.argsort(-centres[:, 2], kind="stable")  # far ones first, near ones over them
        order = order[light[order] > s.least]
        points = to_pixels(camera, self._size)
        outlines = np.rint(points[self._faces] * (1 << s.shift)).astype(np.int32)  # (F, 3, 2)
        step = np.rint(light * s.steps) / s.steps
        fills, lines = (np.rint(low + (high - low) * step).astype(int).tolist() for low, high in (s.fill, s.line))
        picture = np.full((self._size, self._size), s.ground, np.uint8)
        for face in order.tolist():
            cv2.fillConvexPoly(picture, outlines[face], fills[face], cv2.LINE_AA, s.shift)
            cv2.polylines(picture, [outlines[face]], True, lines[face], 1, cv2.LINE_AA, s.shift)
        return cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB)
