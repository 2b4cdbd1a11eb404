"""A clip's points and poses corrected by its pictures, and what these show of shoulders and mouth."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np

from core.data.picture_folder import FrameReader
from core.data.records import SEEN, TrackedSequence
from core.data.video import VideoReader
from core.libs.flame_model import OpenHead
from core.libs.geometry import Camera
from core.libs.retargeting.neutral import neutral_frame
from core.libs.tracker.base import FaceTracker
from core.libs.tracker.crop import crop_image, to_crop
from core.libs.tracker.fit import HeadFitter
from core.libs.tracker.gaps import bridge_torso_motion, scenes_of
from core.libs.tracker.mouth_interior import MouthReader
from core.libs.tracker.point_buffer import PointBuffer
from core.libs.tracker.refine import PictureRefiner
from core.libs.tracker.settings import TrackSettings
from core.libs.tracker.still import settled_face
from core.libs.tracker.torso import TorsoTracker

_SETTINGS, _CAMERA = TrackSettings(), Camera()
_LOG = logging.getLogger(__name__)


def second_look(
    footage: Callable[[], VideoReader | FrameReader],
    name: str,
    tracker: FaceTracker,
    sequence: TrackedSequence,
    points: PointBuffer,  # (T, 478, 3) pixels of the crop, corrected in place
    head: OpenHead,
    progress: Callable[[int, int | None], None] | None,
    settings: TrackSettings = _SETTINGS,
    camera: Camera = _CAMERA,  # of the crop
) -> tuple[np.ndarray, dict[str, np.ndarray | None]]:
    """Points and transforms (T, 3, 4) corrected by the pictures themselves: see `refine`.

    And what the pictures say beside, by the name of its field: how the shoulders moved, `torso_motion` (T, 4), and
    what the mouth shows, `mouth_interior` (T, 4); None each where it could not be told.
    """
    crops = sequence.crops
    assert crops is not None  # what is tracked from pictures has them
    fitter = HeadFitter(head, camera, settings.fit, settings.pose)
    transform = sequence.transform_matrix.astype(np.float64)
    scenes = scenes_of(sequence.shots, len(sequence))
    scene_of = np.zeros(len(sequence), int) if sequence.shots is None else sequence.shots
    longest = sorted(range(len(scenes)), key=lambda i: -len(scenes[i]))[: settings.looked_at]
    visible = sequence.status == SEEN
    references = {
        int(frames[neutral_frame(sequence.take(frames), head)]): i
        for i, frames in ((i, scenes[i]) for i in longest)
        if len(frames) > 1 and visible[frames].any()
    }
    unreliable, looks = 0, {}
    into_mouth = MouthReader(
        len(sequence), sequence.fps, sequence.shots, camera, settings.ring, settings.view, settings.reading
    )
    with footage() as reader, into_mouth as mouth:
        torso_motion = np.full((len(sequence), 4), np.nan, np.float32)
        for frame in reader:
            if (scene := references.get(frame.index)) is None:
                continue
            reference, picture = frame.index, frame.image
            still = settled_face(picture, tracker, settings)  # without the lag behind a moving face
            if still is not None:
                points[reference] = to_crop(still.points, crops[reference], camera.size)
            picture = crop_image(picture, crops[reference], camera.size)
            lifted = fitter.lifted(points[reference], transform[reference])
            matte = tracker.matte(picture)
            refiner = PictureRefiner(head, picture, matte, lifted, transform[reference], camera, settings.refine)
            mesh = refiner.mesh
            shoulders = TorsoTracker(
                picture, matte, mesh.pixels, mesh.torso_weights, transform[reference], camera, settings.torso
            )
            looks[scene] = refiner, shoulders
            if len(looks) == len(references):
                break
        correction, last = np.eye(3), None
        for frame in reader:
            t, scene = frame.index, scene_of[frame.index]
            if scene != last:
                correction, last = np.eye(3), scene
            if visible[t] and scene not in looks and mouth.wants(points[t], transform[t]):
                mouth.look(t, crop_image(frame.image, crops[t], camera.size), points[t], transform[t])
            if visible[t] and scene in looks:
                refiner, shoulders = looks[scene]
                tracked, before = points[t], transform[t].copy()
                # The tracker's error changes slowly: begin where the last frame ended.
                start = np.concatenate([before[:, :3] @ correction, before[:, 3:]], 1)
                picture = crop_image(frame.image, crops[t], camera.size)
                refined = refiner.refine(picture, tracked[:, :2], fitter.lifted(tracked, before), start)
                correction = before[:, :3].T @ refined.transform[:, :3]
                tracked[:, :2], transform[t] = refined.points, refined.transform
                points[t] = tracked
                unreliable += not refined.is_reliable
                torso_motion[t] = shoulders.follow(picture)
                mouth.look(t, picture, tracked, transform[t])
            if progress is not None:
                progress(len(sequence) + t + 1, 2 * len(sequence))
        interior = mouth.numbers()
    if unreliable:
        _LOG.info(
            "%s: %d of %d frames keep their tracked pose: too unlike their reference", name, unreliable, len(points)
        )
    return transform, {"torso_motion": bridge_torso_motion(torso_motion), "mouth_interior": interior}
