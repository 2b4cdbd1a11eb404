"""A tracker of one's own: here, the mean of what MediaPipe sees in a picture and in its mirror image.

Run: `python -m examples.own_tracker [CLIP FOLDER]`, then FOLDER is a driver for `inference.py -d FOLDER`
"""

import sys
from pathlib import Path

import numpy as np

from core.errors import command
from core.libs.flame_model import head_mirror
from core.libs.tracker.base import Observation
from core.libs.tracker.driver import track_driver
from core.libs.tracker.mediapipe_tracker import MediaPipeTracker


class MirrorTracker(MediaPipeTracker):
    """A `FaceTracker` that favours no side. By name and version the cache keeps its results apart."""

    name, version = "mediapipe-mirrored", "1"

    def detect(self, image: np.ndarray) -> Observation | None:
        """The face of a picture (H, W, 3) uint8 RGB; None where one look finds none."""
        seen = super().detect(image), super().detect(np.ascontiguousarray(image[:, ::-1]))
        if seen[0] is None or seen[1] is None:
            return None
        flip = np.array([[-1, 1, 1], [image.shape[1] - 1, 0, 0]], np.float32)
        return Observation((seen[0].points + seen[1].points[head_mirror()] * flip[0] + flip[1]) / 2)

    follow = detect  # every frame is looked at on its own


def main() -> None:
    clip, folder = map(Path, sys.argv[1:] or ["demos/drivers/talk.mp4", "render_results/mirrored"])
    print(track_driver(clip, tracker=MirrorTracker()).save(folder))


if __name__ == "__main__":
    sys.exit(command(main))
