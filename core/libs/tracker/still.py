"""The face in a single picture, as the tracker has it in a video that shows nothing else."""

from __future__ import annotations

import numpy as np

from core.libs.tracker.base import FaceTracker, Observation
from core.libs.tracker.crop import crop_image
from core.libs.tracker.settings import EnlargeSettings, TrackSettings
from core.libs.tracker.several import alone, box_middle, box_size, same_place

_SETTINGS = TrackSettings()
_ENLARGE = EnlargeSettings()


def face_of_photo(
    image: np.ndarray,
    tracker: FaceTracker,
    settings: TrackSettings = _SETTINGS,
    near: np.ndarray | None = None,
    enlarge: EnlargeSettings = _ENLARGE,
) -> Observation | None:
    """As `settled_face`, a small face looked at in an enlarged picture: a mesh places its points better there.

    Where the enlarged picture shows no face at that place, the small one stands.
    """
    found = settled_face(image, tracker, settings, near)
    if found is None or box_size(found.box) >= enlarge.below:
        return found
    side = box_size(found.box) * (1 + enlarge.around)
    corner = box_middle(found.box) + 0.5 - side / 2
    factor = min(enlarge.face / box_size(found.box), enlarge.most)
    large = round(side * factor)
    crop = np.array([*corner, side])
    closer = settled_face(crop_image(image, crop, large), tracker, settings)
    if closer is None:
        return found
    points = closer.points * np.float32(side / large)
    points[:, :2] += (corner + 0.5 * side / large - 0.5).astype(np.float32)
    moved = Observation(points)
    return moved if same_place(moved.box, found.box) else found


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
