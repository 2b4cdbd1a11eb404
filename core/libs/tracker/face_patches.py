"""Mouth and eyes of a small face as pictures of a few pixels, upright and at their place whatever the head does.

Where a face is small, blurred and coded strongly, a landmark network reads its lips and lids poorly; that two frames
show the same is still to be seen. `core.libs.retargeting.likeness` makes use of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from core.data.records import PATCHES
from core.libs.geometry import Camera, to_camera

# What stays with the skull or the skin around: corners and brows; corners, chin and nose
_REGIONS = (
    (33, 133, 105, 66, 107, 159, 145, 50, 168),  # the right eye
    (263, 362, 334, 296, 336, 386, 374, 280, 168),  # the left one
    (61, 291, 0, 17, 13, 14, 152, 2, 164),  # the mouth
)


@dataclass(frozen=True)
class PatchSettings:
    """Of `FacePatches`.

    Attributes:
        below: pixels of the driver's picture across the shown crop, the clip's median, below which they are made: the
            landmark network looks at a face in 192 pixels, and such a face is enlarged for it.
        fine: pixels for each of a patch's, which are their means. span: of a patch's width, what its points take.
    """

    below: float = 300.0
    fine: int = 3
    span: float = 0.73


class FacePatches:
    """Cuts them out of the frames of one person.

    Args:
        rest: (478, 3) the person's points in head space, in some usual expression. camera: of the crop.
        size: pixels of a side of the pictures that are looked at, which show the crop.
    """

    def __init__(self, rest: np.ndarray, camera: Camera, size: int, settings: PatchSettings = PatchSettings()) -> None:
        self._camera, self._scale = camera, size / camera.size
        _, height, width = PATCHES
        self._fine = (width * settings.fine, height * settings.fine)
        self._parts = []
        for region in _REGIONS:
            points = rest[list(region)].astype(np.float64)
            flat = points[:, :2] * [1, -1]
            low, high = flat.min(0), flat.max(0)
            grid = (flat - (low + high) / 2) * (settings.span * self._fine[0] / (high[0] - low[0]))
            grid = grid + np.array(self._fine) / 2
            self._parts.append((points, np.linalg.pinv(np.concatenate([grid, np.ones((len(grid), 1))], 1))))

    def cut(self, picture: np.ndarray, transform: np.ndarray) -> np.ndarray:
        """(K, H, W) uint8 of a frame's grey picture (size, size), under its transform (3, 4)."""
        out = np.empty(PATCHES, np.uint8)
        for row, (points, solve) in enumerate(self._parts):
            pixels = (self._camera.to_pixels(to_camera(points, transform)) + 0.5) * self._scale - 0.5
            fine = cv2.warpAffine(
                picture,
                (solve @ pixels).T,
                self._fine,
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            )
            out[row] = cv2.resize(fine, PATCHES[:0:-1], interpolation=cv2.INTER_AREA)
        return out
