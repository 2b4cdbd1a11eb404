"""The face in a single picture, as the tracker has it in a video that shows nothing else."""

from __future__ import annotations

import numpy as np

from core.libs.tracker.base import FaceTracker, Observation
from core.libs.tracker.settings import TrackSettings

_SETTINGS = TrackSettings()


def settled_face(image: np.ndarray, tracker: FaceTracker, settings: TrackSettings = _SETTINGS) -> Observation | None:
    """The face in a picture as the tracker would see it in a video that shows nothing else.

    A mesh looked at once and one followed over a video lie up to two pixels apart on the very same picture, which
    would be an offset between photo and driver.
    """
    if tracker.detect(image) is None:
        return None
    tracker.reset()
    found = [tracker.follow(image) for _ in range(settings.settle)]
    tracker.reset()
    return found[-1]
