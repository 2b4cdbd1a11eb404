"""Where a live driver looks, on a photo's person: `transfer_gaze` frame by frame, with what came so far for a clip."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from core.data.records import TrackedFrame
from core.libs.face_measures import CORNERS_68, LIDS_68, open_lid_ratio
from core.libs.filters.live_kalman import LiveKalman
from core.libs.flame_model import OpenHead
from core.libs.geometry import seen_from
from core.libs.numeric import LastRows
from core.libs.retargeting.gaze_kernels import lid_ratios
from core.libs.retargeting.gaze_reading import (
    EyeGeometry,
    EyeLandmarks,
    GazeReadingSettings,
    angles_of,
    camera_angles,
    direction_of,
    eye_offset,
    fused_eyes,
    read_eyes,
    read_gaze,
    read_irises,
)
from core.libs.retargeting.gaze_rest import GazeRestSettings, on_camera, rest_offset

if TYPE_CHECKING:
    from core.libs.gaze_corrector import GazeCorrector

_READING = GazeReadingSettings()
_REST = GazeRestSettings()
_CORNERS, _LIDS = np.array(CORNERS_68), np.array(LIDS_68)


@dataclass(frozen=True)
class LiveGazeSettings:
    """By eye.

    Attributes:
        memory: frames from which open eyes, the eyes' constant and the noise are told.
        certain: confidence of an iris from which on it moves the gaze; below, the last gaze is held.
        enough: frames after which the eyes' constant is told, first and again.
    """

    memory: int = 125
    certain: float = 0.3
    enough: int = 8


class LiveGaze:
    """Makes eye codes that look where the driver looks, or at the viewer.

    Args:
        source: the photo. head: of both. corrector: see `transfer_gaze`. target: `driver` or `camera`.
        settings: of what is found on the way. rest: what counts as near a camera, see `transfer_gaze`.
    """

    def __init__(
        self,
        source: TrackedFrame,
        head: OpenHead,
        corrector: GazeCorrector,
        target: str = "driver",
        settings: LiveGazeSettings = LiveGazeSettings(),
        rest: GazeRestSettings = _REST,
    ) -> None:
        self._head, self._corrector, self._target, self._settings = head, corrector, target, settings
        self._gain = np.array(head.iris_gain.reading, np.float64)
        self._source = EyeGeometry.of(head, source)
        own = read_gaze(EyeLandmarks(head, [source]), source.transform_matrix[None], self._source)
        self._offset = own.offset
        self._photo = np.nan_to_num(angles_of(torch.from_numpy(own.direction)).numpy()[0])
        self._viewer, self._rest = camera_angles(source.transform_matrix[None])[0], rest
        self.forget()

    def forget(self) -> None:
        """Begin anew, with another person as well."""
        memory = self._settings.memory
        self._shape: np.ndarray | None = None
        self._driver = self._source
        self._lids = LastRows(memory, (2,))
        self._read: deque[tuple[torch.Tensor, torch.Tensor]] = deque(maxlen=memory)
        self._usual = LastRows(memory, (4,))  # gaze and camera, pitch and yaw each
        self._filter = LiveKalman(memory=memory)
        self._last: np.ndarray | None = None
        self._apart, self._since = torch.zeros(2, 2, dtype=torch.float64), 0

    def __call__(self, driver: TrackedFrame, motion: TrackedFrame) -> np.ndarray:
        """The motion's eye codes (6,), from the driver's frame and the motion that is rendered for it."""
        if driver.shapecode is not self._shape:
            self._shape, self._driver = driver.shapecode, EyeGeometry.of(self._head, driver)
        angles = self._angles(driver)
        if angles is None:
            return motion.eyecode
        looks, photo = angles / self._gain, self._photo / self._gain
        if self._target == "camera":
            direction = direction_of(torch.from_numpy(looks))[None].numpy()
            rendered = seen_from(motion.transform_matrix[None], None).astype(np.float64)
            own = driver.transform_matrix[None].astype(np.float64)
            looks = angles_of(torch.from_numpy(self._corrector.camera_gaze(rendered, direction, own)))[0].numpy()
            looks = looks + on_camera(photo, self._viewer, self._rest.photo, self._rest) * (photo - self._viewer)
        else:
            self._usual.append(np.concatenate([looks, camera_angles(driver.transform_matrix[None])[0]]))
            theirs, cameras = np.split(self._usual.values, 2, axis=1)
            looks = looks + rest_offset(theirs, cameras, photo, self._viewer, self._rest)
        goal = direction_of(torch.from_numpy(looks))[None]
        irises = read_irises(EyeLandmarks(self._head, [motion]), self._source) + self._photo * (1 / self._gain - 1)
        code = torch.from_numpy(motion.eyecode[None].astype(np.float64))
        turned = self._corrector.turned(
            code, goal, irises=torch.from_numpy(irises), offset=self._offset, limit=self._corrector.limits.code
        )
        return turned[0].numpy().astype(np.float32)

    def _angles(self, driver: TrackedFrame) -> np.ndarray | None:
        """Pitch and yaw (2,) of both eyes together, without the noise; through a blink the last ones, None at first."""
        points = torch.from_numpy(EyeLandmarks(self._head, [driver])[:].astype(np.float64))
        self._lids.append(lid_ratios(points.numpy(), _LIDS, _CORNERS)[0])
        open_eyes = np.clip(open_lid_ratio(self._lids.values), _READING.least_opening, _READING.most_opening)
        place = torch.from_numpy(driver.transform_matrix[None].astype(np.float64))
        angles, weight = read_eyes(points, self._driver, place, torch.from_numpy(open_eyes))
        if float(weight.amax()) >= self._settings.certain:
            self._read.append((angles, weight))
            self._since += 1
            if self._since >= self._settings.enough:
                self._since = 0
                read, weights = (torch.cat(values) for values in zip(*self._read, strict=True))
                self._apart = eye_offset(read, weights)
            fused = fused_eyes(angles - self._apart, weight)[0].numpy()
            self._last = self._filter.update(fused, np.ones(2, bool))
        return self._last
