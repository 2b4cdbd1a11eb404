"""A camera's pictures in, one after the other, the parameters of the face in each out: nothing looks ahead.

The stations are those of a clip (`driver.py`, `second_look.py`); what a clip's stations take from all of its frames is
found from those that came so far: the crop follows the face slowly, the person is fitted after half a second and again
as more is seen, and the first calm frame is what later ones are compared with.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from core.data.records import TrackedFrame
from core.libs.face_measures import lid_ratio, lip_distance, open_lid_ratio
from core.libs.flame_model import OpenHead
from core.libs.geometry import Camera
from core.libs.numeric import LastRows, ramp
from core.libs.tracker.base import FaceTracker, Observation
from core.libs.tracker.crop import compared_crop, crop_around, crop_image, head_box, to_crop
from core.libs.tracker.fit import HeadFitter, Person
from core.libs.tracker.live_mouth import LiveMouth
from core.libs.tracker.refine import PictureRefiner
from core.libs.tracker.settings import TrackSettings
from core.libs.tracker.torso import TorsoTracker

_TRACK, _CAMERA = TrackSettings(), Camera()


@dataclass(frozen=True)
class LiveTrackSettings:
    """What is found on the way. By eye, where nothing else is said.

    Attributes:
        person_after: frames with a face after which the person is fitted, first and again.
        sample_every: seconds between the frames that the person is fitted to; samples: of them at most.
        calm_lids: lid opening, as part of the open eyes so far, from which on a frame may be the reference.
        calm_lips: percentile of the lips' distances so far up to which it may.
        reference_by: frames with a face after which the next one is the reference, calm or not.
        crop_slow, crop_fast: seconds in which the crop follows the face (time constants): one in its middle, one that
            nears the crop's border or is too large or small for it.
        comfortable: of the crop: how near its border the face may come before the crop follows faster; at the `room` of
            `CropSettings` it follows fastest.
        lids_remembered: frames from which an open eye is told.
    """

    person_after: tuple[int, ...] = (12, 75, 250)
    sample_every: float = 0.2
    samples: int = 48
    calm_lids: float = 0.8
    calm_lips: float = 30.0
    reference_by: int = 40
    crop_slow: float = 20.0
    crop_fast: float = 0.4
    comfortable: float = 0.14
    lids_remembered: int = 250


_SETTINGS = LiveTrackSettings()


@dataclass(frozen=True)
class LiveFace:
    """The face in one picture.

    Attributes:
        frame: its parameters, in codes of the open head; where the shoulders were not followed, their motion is zero.
        changed: (100,) by how much the expression code of this very picture differs from what it was before the person
            was fitted again; None where the person is the last frame's.
    """

    frame: TrackedFrame
    changed: np.ndarray | None = None


@dataclass
class _Look:
    """What frames are compared with, and where the last comparison ended."""

    refiner: PictureRefiner
    shoulders: TorsoTracker
    correction: np.ndarray = field(default_factory=lambda: np.eye(3))
    torso: np.ndarray = field(default_factory=lambda: np.zeros(4, np.float32))


class LiveTracker:
    """Tracks the face that a camera shows.

    Args:
        tracker: finds points and matte; not closed here. head: the open head.
        settings: of what is found on the way. track: of the stations.
        camera: of the crop in whose pixels the face is fitted. mouth: whether open mouths are looked into.
    """

    def __init__(
        self,
        tracker: FaceTracker,
        head: OpenHead,
        settings: LiveTrackSettings = _SETTINGS,
        track: TrackSettings = _TRACK,
        camera: Camera = _CAMERA,
        mouth: bool = True,
    ) -> None:
        self._tracker, self._head, self._settings, self._track, self._camera = tracker, head, settings, track, camera
        self._fitter = HeadFitter(head, camera, track.fit, track.pose)
        self._mouth = LiveMouth(camera, ring=track.ring, view=track.view, reading=track.reading) if mouth else None
        self.forget()

    def forget(self) -> None:
        """Begin anew, with another person as well."""
        self._tracker.reset()
        if self._mouth is not None:
            self._mouth.forget()
        self._crop: np.ndarray | None = None
        self._now = 0.0
        self._seen = 0
        self._sampled = -np.inf
        self._points: deque[tuple[np.ndarray, np.ndarray | None]] = deque(maxlen=self._settings.samples)
        self._person: Person | None = None
        self._shape = self._offset = np.zeros(0, np.float32)
        self._look: _Look | None = None
        self._lids = LastRows(self._settings.lids_remembered, (2,))
        self._lips = LastRows(self._settings.lids_remembered)
        self._eyes: np.ndarray | None = None
        self._pose: np.ndarray | None = None  # of the last frame, as its points alone have it

    def track(self, image: np.ndarray, now: float) -> LiveFace | None:
        """The face in a picture (H, W, 3) uint8 RGB that was taken at `now`, seconds; None where there is none.

        None as well until the person is known, which takes half a second.
        """
        found = self._tracker.follow(image)
        if found is None:
            self._pose = None
            if self._look is not None:
                self._look.correction = np.eye(3)
            return None
        crop = self._follow_with_crop(found, now)
        points = to_crop(found.points, crop, self._camera.size)
        self._seen += 1
        lids, lips = lid_ratio(points[None])[0], lip_distance(points[:, :2])
        self._lids.append(lids)
        self._lips.append(lips)
        before = self._person
        if self._person is None:
            self._points.append((points, None))
            if self._seen >= self._settings.person_after[0]:
                self._know(self._fitter.person(np.stack([p for p, _ in self._points])))
        if self._person is None:
            return None
        pose, torso = self._posed(image, crop, points, self._person)
        changed = None
        if self._seen in self._settings.person_after[1:]:
            known = [(p, t) for p, t in self._points if t is not None]
            old = self._fitter.codes(points[None], pose[None], self._person)[0]
            self._know(self._fitter.person(np.stack([p for p, _ in known]), np.stack([t for _, t in known])))
            changed = (self._fitter.codes(points[None], pose[None], self._person)[0] - old)[0]
        elif before is not None and now - self._sampled >= self._settings.sample_every:
            self._sampled = now
            self._points.append((points, pose))
        expcode, jaw, eyes, _, _ = self._fitter.codes(points[None], pose[None], self._person)
        posecode = np.zeros(6, np.float32)
        posecode[3] = jaw[0]
        frame = TrackedFrame(
            self._shape,
            expcode[0].astype(np.float32),
            posecode,
            self._behind_lids(eyes[0], lids).astype(np.float32),
            pose.astype(np.float32),
            head_box(points, self._camera.size),
            head=self._fitter.kind,
            static_offset=self._offset,
            torso_motion=torso,
            mouth_interior=None if self._mouth is None else self._mouth.look(image, crop, points, pose, now),
        )
        return LiveFace(frame, changed)

    def _know(self, person: Person) -> None:
        self._person = person
        self._shape = person.shapecode.astype(np.float32)
        self._offset = self._fitter.static_offset(person).astype(np.float32)

    def _follow_with_crop(self, found: Observation, now: float) -> np.ndarray:
        """The crop (3,), drawn towards the one around the face: slowly, and faster the nearer that is to its border."""
        s, limits = self._settings, self._track.crop
        wanted = crop_around(found.box, limits)
        passed, self._now = now - self._now, now
        if self._crop is None:
            self._crop = wanted
            return wanted
        x, y, side = self._crop
        low, high = found.box[:2] - [x, y], np.array([x + side, y + side]) - found.box[2:]
        room, ratio = float(np.minimum(low, high).min() / side), wanted[2] / side
        if room < -s.comfortable:  # somewhere else
            self._crop = wanted
            return wanted
        ratio = max(ratio, 1 / ratio)
        hurry = max(
            float(ramp(np.array(room), s.comfortable, limits.room)), float(ramp(np.array(ratio), 1.1, limits.largest))
        )
        rate = (1 - hurry) / s.crop_slow + hurry / s.crop_fast
        middle = np.array([x + side / 2, y + side / 2, side])
        goal = np.array([wanted[0] + wanted[2] / 2, wanted[1] + wanted[2] / 2, wanted[2]])
        middle += (1 - np.exp(-max(passed, 0.0) * rate)) * (goal - middle)
        self._crop = np.array([middle[0] - middle[2] / 2, middle[1] - middle[2] / 2, middle[2]])
        return self._crop

    def _posed(
        self, image: np.ndarray, crop: np.ndarray, points: np.ndarray, person: Person
    ) -> tuple[np.ndarray, np.ndarray]:
        """The transform (3, 4) and how the shoulders moved (4,); points (478, 3) are corrected in place."""
        pose = self._fitter.poses(points[None], person, None if self._pose is None else self._pose[None])[0]
        self._pose = pose
        compared = compared_crop(image, crop, self._track.refine.size)
        if self._look is None:
            if self._is_calm():
                self._look = self._compare_with(image, crop, points, pose, compared)
            return pose, np.zeros(4, np.float32)
        look = self._look
        start = np.concatenate([pose[:, :3] @ look.correction, pose[:, 3:]], 1)
        refined = look.refiner.refine(
            compared, points[:, :2].astype(np.float64), self._fitter.lifted(points, pose), start
        )
        look.correction = pose[:, :3].T @ refined.transform[:, :3]
        points[:, :2] = refined.points
        torso = look.shoulders.follow(compared)
        if np.isfinite(torso).all():
            look.torso = torso
        return refined.transform, look.torso

    def _is_calm(self) -> bool:
        """Whether eyes are open and lips as near one another as they mostly were."""
        s = self._settings
        if self._seen >= s.reference_by:
            return True
        lids, lips = self._lids.values, self._lips.values
        lids_open = (lids[-1] >= s.calm_lids * open_lid_ratio(lids)).all()
        return bool(lids_open and lips[-1] <= np.percentile(lips, s.calm_lips))

    def _compare_with(
        self, image: np.ndarray, crop: np.ndarray, points: np.ndarray, pose: np.ndarray, compared: np.ndarray
    ) -> _Look:
        t, camera = self._track, self._camera
        matte = self._tracker.matte(crop_image(image, crop, camera.size))
        lifted = self._fitter.lifted(points, pose)
        refiner = PictureRefiner(self._head, compared, matte, lifted, pose, camera, t.refine)
        mesh = refiner.mesh
        return _Look(refiner, TorsoTracker(compared, matte, mesh.pixels, mesh.torso_weights, pose, camera, t.torso))

    def _behind_lids(self, eyes: np.ndarray, lids: np.ndarray) -> np.ndarray:
        """Eye codes (6,), those of closing eyes held as they were when last open, see `hold_behind_lids`."""
        fit = self._track.fit
        if self._eyes is None:
            self._eyes = eyes
        confidence = ramp(lids / open_lid_ratio(self._lids.values), fit.shut, fit.open)
        share = np.repeat(confidence, 3)
        out = self._eyes + share * (eyes - self._eyes)
        self._eyes = np.where(share == 1, eyes, self._eyes)
        return out
