"""How a face is tracked where it is small in the picture, measured on a photo that is made as small.

A landmark network places a small face a little lower and turns it a little, throughout: an offset, not tremor, which no
filter over time takes out. On a photo it can be measured: the pose in the photo as it is, against that in the photo as
small as the driver's face is.
"""

from __future__ import annotations

import cv2
import numpy as np

from core.data.records import TrackedSequence, TrackedSource
from core.libs.flame_model import OpenHead
from core.libs.geometry import Camera
from core.libs.tracker.base import FaceTracker
from core.libs.tracker.crop import to_crop
from core.libs.tracker.fit import HeadFitter
from core.libs.tracker.opened import open_tracker
from core.libs.tracker.settings import TrackSettings
from core.libs.tracker.still import settled_face

_SETTINGS, _CAMERA = TrackSettings(), Camera()


def crop_side(driver: TrackedSequence) -> float | None:
    """Pixels of the driver's own picture across the shown crop, the clip's median; None where that is not known."""
    return None if driver.crops is None else float(np.median(driver.crops[:, 2]))


def pose_seen_small(
    source: TrackedSource,
    side: float,
    tracker: FaceTracker | None = None,
    open_head: OpenHead | None = None,
    settings: TrackSettings = _SETTINGS,
    camera: Camera = _CAMERA,
) -> np.ndarray | None:
    """The transform (3, 4) of a photo's face where its shown crop is `side` pixels wide.

    Args:
        source: the photo, with codes of the open head. tracker: MediaPipe's where it is left out. open_head: the
            built-in one where it is left out.
    Returns:
        None where a driver of that size is not tracked otherwise than the photo (`SmallSettings`), or shows no face.
    """
    small = settings.small
    own = source.size if source.crop is None else min(source.size, source.crop[2])  # pixels that the photo has itself
    if source.joined or not small.least <= side < small.below * own:
        return None
    size = round(len(source.image) * side / source.size)
    factor = size / len(source.image)
    picture = cv2.resize(source.image, (size, size), interpolation=cv2.INTER_AREA)
    with open_tracker(tracker) as tracker:
        looks = [settled_face(look, tracker, settings) for look in (picture, _coded(picture, small.quality))]
    if not (seen := [look.points for look in looks if look is not None]):
        return None
    crop = np.array([source.margin, source.margin, source.size], np.float32) * np.float32(factor)
    points = to_crop(np.mean(seen, 0), crop, camera.size)
    fitter = HeadFitter(open_head or OpenHead(), camera, settings.fit, settings.pose)
    return fitter.fit(points[None]).transform[0].astype(np.float32)


def _coded(picture: np.ndarray, quality: int) -> np.ndarray:
    """A picture (H, W, 3) as it comes out of a JPEG."""
    _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None  # it was encoded here
    return np.ascontiguousarray(decoded[..., ::-1])
