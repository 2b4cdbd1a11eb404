"""What a tracked folder without pictures says of its driver: where the points of the face were."""

from __future__ import annotations

import numpy as np

from core.data.records import FOCAL, IMAGE_SIZE, SEEN, TrackedFrame, TrackedSequence
from core.libs.flame_model import OpenHead
from core.libs.geometry import to_camera, to_pixels
from core.output.mesh_panel import MeshPanel


class TrackTruth:
    """Stands where `core.evaluation.truth.Truth` does, for what needs no pictures.

    The points are those of the head that was fitted to the driver, so what the codes leave of the driver's face counts
    as its own: a little less than the tracker saw.

    Args:
        track: of the open head. length: how many of its frames. head: that head.

    Attributes:
        indices: the frames in which a face was seen.
        points: (N, 478, 3) of these, in pixels: x to the right, y down, z away from the camera at the scale of x.
    """

    def __init__(self, track: TrackedSequence, length: int, head: OpenHead) -> None:
        self._track, self._head = track, head
        self._mesh = MeshPanel(np.asarray(self._head.faces))
        self.indices = np.flatnonzero(track.status[:length] == SEEN)
        self.points = np.stack([self._seen(track[int(index)]) for index in self.indices]).reshape(-1, 478, 3)

    def image(self, index: int) -> np.ndarray:
        """(512, 512, 3) uint8: a drawing of the head in a frame."""
        frame = self._track[index]
        return self._mesh.draw(self._head.evaluate(frame), frame.transform_matrix)

    def _seen(self, frame: TrackedFrame) -> np.ndarray:
        camera = to_camera(self._head.landmarks(self._head.evaluate(frame)), frame.transform_matrix)
        middle = camera[:, 2].mean()
        depth = (camera[:, 2] - middle) * (FOCAL * IMAGE_SIZE / 2 / middle)
        return np.concatenate([to_pixels(camera), depth[:, None]], 1)
