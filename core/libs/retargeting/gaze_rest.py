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

from core.libs.numeric import smoothstep


@dataclass(frozen=True)
class GazeRestSettings:
    """Up to where a gaze that is read beside the camera is taken to be on it. By eye, on the shared photos and clips.

    Attributes:
        photo: radians beside the camera up to which a photo's gaze is on it, and from which it is aside: one look, in
            which nodding shows little.
        driver: the same of a clip's usual gaze.
        certain: confidence of an iris from which on a frame counts.
        least_seconds: of a clip; a shorter one, and a picture, do not show what is usual.
    """

    photo: tuple[float, float] = (float(np.radians(15.0)), float(np.radians(25.0)))
    driver: tuple[float, float] = (float(np.radians(10.0)), float(np.radians(18.0)))
    certain: float = 0.5
    least_seconds: float = 1.0


_DEFAULT = GazeRestSettings()


def on_camera(beside: np.ndarray, limits: tuple[float, float]) -> float:
    """How far a gaze read `beside` the camera, pitch and yaw (2,) in radians, is taken to be on it, 0 to 1."""
    return float(1 - smoothstep(np.asarray(np.linalg.norm(beside)), *limits))


def rest_offset(
    looks: np.ndarray,  # (T, 2) pitch and yaw of the driver's gaze in the head
    viewer: np.ndarray,  # (T, 2) of its camera
    photo: np.ndarray,  # (2,) of the photo's gaze
    photo_viewer: np.ndarray,  # (2,) of its camera
    settings: GazeRestSettings = _DEFAULT,
) -> np.ndarray:
    """(2,) radians to add to a driver's gaze, so that its usual one is the photo's where both are near the camera."""
    usual = np.median(looks, axis=0)
    share = on_camera(np.median(looks - viewer, axis=0), settings.driver)
    return share * on_camera(photo - photo_viewer, settings.photo) * (photo - usual)
