"""Where eyes rest: a driver's usual gaze taken for the photo's, where both are near the camera.

Nobody's straight ahead can be seen. Two people who both look into the camera are read up to ten degrees apart, and a
gaze that is carried over as it was read then looks past the camera by that much. People who film themselves mostly look
there, and so do people in portraits; where both readings allow it, the driver's usual gaze is the photo's own, and what
is carried over is how the driver looks away from it. One who is read to look aside, in the photo or in the clip,
looks aside: there the gaze stays as it was read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.data.records import SEEN, TrackedFrame, TrackedSequence
from core.libs.flame_model import Head
from core.libs.numeric import smoothstep
from core.libs.retargeting.gaze_kernels import nearest_look
from core.libs.retargeting.neutral import matching_reference, weighted_median
from core.libs.retargeting.pose import PoseSettings


@dataclass(frozen=True)
class GazeRestSettings:
    """Up to where a gaze that is read beside the camera is taken to be on it. By eye, on the shared photos and clips.

    Attributes:
        photo: radians beside the camera up to which a photo's gaze is on it, and from which it is aside: one look, in
            which nodding shows little.
        driver: the same of a clip's usual gaze.
        certain: confidence of an iris from which on a frame counts.
        least_seconds: of a clip; a shorter one, and a picture, do not show what is usual.
        seen: how much of the camera's direction in the head is read as gaze of eyes that look there: of twenty faces,
            the regression of one on the other is .4 to the sides, .3 up and down.
        near: radians beside that at which a frame counts .6 for the usual look (the standard deviation of a normal
            distribution).
        steps: towards the usual look. Few are needed: they end where most of the frames around agree.
        looked_at: frames of a clip, evenly spread, in which the photo's face is looked for.
    """

    photo: tuple[float, float] = (float(np.radians(15.0)), float(np.radians(25.0)))
    driver: tuple[float, float] = (float(np.radians(10.0)), float(np.radians(18.0)))
    certain: float = 0.5
    least_seconds: float = 1.0
    seen: float = 0.4
    near: float = float(np.radians(8.0))
    steps: int = 6
    looked_at: int = 600


_DEFAULT = GazeRestSettings()


def same_face(source: TrackedFrame, driver: TrackedSequence, head: Head, settings: GazeRestSettings = _DEFAULT) -> bool:
    """Whether a frame of the driver shows the photo's very face: one person, and the photo may be of the clip."""
    if len(driver) < 2:
        return False
    visible = np.flatnonzero(driver.status == SEEN)
    chosen = visible[:: max(len(visible) // settings.looked_at, 1)]
    return matching_reference(source, driver, head, PoseSettings().apart(driver), chosen) is not None


def on_camera(
    look: np.ndarray, viewer: np.ndarray, limits: tuple[float, float], settings: GazeRestSettings = _DEFAULT
) -> float:
    """How far a gaze is taken to be on the camera, 0 to 1: where it is read beside what a look there is read as.

    The gaze and where the camera is seen, (2,) pitch and yaw in radians. `limits`: up to where it is, and from where it
    is not.
    """
    beside = np.linalg.norm(look - settings.seen * viewer)
    return float(1 - smoothstep(np.asarray(beside), *limits))


def camera_look(
    looks: np.ndarray,  # (T, 2) pitch and yaw of a gaze in the head
    viewer: np.ndarray,  # (T, 2) of its camera
    settings: GazeRestSettings = _DEFAULT,
) -> tuple[np.ndarray, float]:
    """What someone's looks into the camera are read as, (2,), and how far they are taken to be such looks, 0 to 1.

    The middle of the frames that are nearest to what such a look is read as, found from there by steps to weighted
    medians (mean shift: Comaniciu and Meer, PAMI 2002): someone who looks around half of the time does not look into
    the camera half beside it.
    """
    beside = looks - settings.seen * viewer
    weights = nearest_look(beside, settings.near, settings.steps)
    look, camera = (np.array([weighted_median(v, weights) for v in values.T]) for values in (looks, viewer))
    return look, on_camera(look, camera, settings.driver, settings)


def rest_offset(
    looks: np.ndarray,  # (T, 2) pitch and yaw of the driver's gaze in the head
    viewer: np.ndarray,  # (T, 2) of its camera
    photo: np.ndarray,  # (2,) of the photo's gaze
    photo_viewer: np.ndarray,  # (2,) of its camera
    settings: GazeRestSettings = _DEFAULT,
) -> np.ndarray:
    """(2,) radians to add to a driver's gaze, so that its look into the camera is the photo's where both look there."""
    usual, share = camera_look(looks, viewer, settings)
    return share * on_camera(photo, photo_viewer, settings.photo, settings) * (photo - usual)
