"""The face in a single picture, as the tracker has it in a video that shows nothing else."""

from __future__ import annotations

import numpy as np

from core.libs.tracker.base import FaceTracker, Observation
from core.libs.tracker.settings import TrackSettings
from core.libs.tracker.several import alone, same_place

_SETTINGS = TrackSettings()


def settled_face(
    image: np.ndarray, tracker: FaceTracker, settings: TrackSettings = _SETTINGS, near: np.ndarray | None = None
) -> Observation | None:
    """The face in a picture as the tracker would see it in a video that shows nothing else.

    A mesh looked at once and one followed over a video lie up to two pixels apart on the very same picture, which
    would be an offset between photo and driver. `near`: the box (4,) of the face that is meant, where there are others.
    """
    if near is not None:
        image = alone(image, near)
    if tracker.detect(image) is None:
        return None
    tracker.reset()
    found = [tracker.follow(image) for _ in range(settings.settle)]
    tracker.reset()
    last = found[-1]
    return last if last is None or near is None or same_place(last.box, near) else None
