"""A clip's points and poses corrected by its pictures, and what these show of shoulders and mouth."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from core.data.picture_folder import FrameReader
from core.data.records import PATCHES, SEEN, TrackedSequence
from core.data.video import VideoReader
from core.libs.flame_model import OpenHead
from core.libs.retargeting.neutral import neutral_frame
from core.libs.tracker.base import FaceTracker
from core.libs.tracker.crop import compared_crop, crop_image, mouth_part, to_crop
from core.libs.tracker.face_patches import FacePatches, PatchSettings
from core.libs.tracker.fit import HeadFitter
from core.libs.tracker.gaps import bridge_torso_motion, scenes_of
from core.libs.tracker.glimpse import Glimpse, GlimpseBuffer
from core.libs.tracker.mouth_interior import MouthReader, with_cheeks
from core.libs.tracker.point_buffer import PointBuffer
from core.libs.tracker.refine import PictureRefiner
from core.libs.tracker.settings import TrackSettings
from core.libs.tracker.still import settled_face
from core.libs.tracker.torso import TorsoTracker
from core.runtime.memory import giving_back
from core.runtime.threads import QueueSettings, WriteBehind, read_ahead

_SETTINGS, _PATCHES = TrackSettings(), PatchSettings()
_QUEUES = QueueSettings(depth=2)  # pictures that wait between two of the three threads
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Seen:
    """A frame whose pose is corrected, for what is read of it beside."""

    index: int
    glimpse: Glimpse
    compared: np.ndarray  # (size, size) grey
    points: np.ndarray  # (478, 3) pixels of the crop
    transform: np.ndarray  # (3, 4)
    shoulders: TorsoTracker | None  # None in shots that are not compared with a frame of theirs


def second_look(
    footage: Callable[[], VideoReader | FrameReader],
    name: str,
    tracker: FaceTracker,
    sequence: TrackedSequence,
    points: PointBuffer,  # (T, 478, 3) pixels of the crop, corrected in place
    head: OpenHead,
    progress: Callable[[int, int | None], None] | None,
    fitter: HeadFitter,  # of that head, its camera the crop's
    settings: TrackSettings = _SETTINGS,
    near: np.ndarray | None = None,  # (T, 4) the face's boxes in the pictures, where these show other faces too
    kept: GlimpseBuffer | None = None,  # of the pictures; without, or where it does not suit, they are decoded again
) -> tuple[np.ndarray, dict[str, np.ndarray | None]]:
    """Points and transforms (T, 3, 4) corrected by the pictures themselves: see `refine`.

    Decoding, correcting, and reading shoulders and mouth go on side by side, frame by frame in three threads.

    And what the pictures say beside, by the name of its field: how the shoulders moved, `torso_motion` (T, 4), and
    what the mouth shows, `mouth_interior` (T, 4); None each where it could not be told. Of a small face mouth and eyes
    as pictures, `patches`, too.
    """
    crops = sequence.crops
    assert crops is not None  # what is tracked from pictures has them
    camera = fitter.camera
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
    cheeks = with_cheeks(visible, sequence.shots, settings.reading)
    unreliable, looks = 0, {}
    is_small = float(np.median(crops[:, 2])) < _PATCHES.below
    patches = np.zeros((len(sequence), *PATCHES), np.uint8) if is_small else None
    into_mouth = MouthReader(
        len(sequence), sequence.fps, sequence.shots, camera, settings.ring, settings.view, settings.reading
    )
    with footage() as reader, into_mouth as mouth:
        torso_motion = np.full((len(sequence), 4), np.nan, np.float32)
        for frame in reader.at(references):
            scene, reference, picture = references[frame.index], frame.index, frame.image
            box = None if near is None else near[reference]
            still = settled_face(picture, tracker, settings, box)  # without the lag behind a moving face
            if still is not None:
                points[reference] = to_crop(still.points, crops[reference], camera.size)
            compared = compared_crop(picture, crops[reference], settings.refine.size)
            picture = crop_image(picture, crops[reference], camera.size)
            lifted = fitter.lifted(points[reference], transform[reference])
            matte = tracker.matte(picture)
            refiner = PictureRefiner(head, compared, matte, lifted, transform[reference], camera, settings.refine)
            mesh = refiner.mesh
            shoulders = TorsoTracker(
                compared, matte, mesh.pixels, mesh.torso_weights, transform[reference], camera, settings.torso
            )
            looks[scene] = refiner, shoulders, FacePatches(lifted, camera, settings.refine.size)

        def read(seen: Iterator[_Seen]) -> None:
            for frame in seen:
                if frame.shoulders is not None:
                    torso_motion[frame.index] = frame.shoulders.follow(frame.compared)
                skin = bool(cheeks[frame.index])
                if skin or mouth.wants(frame.points, frame.transform):
                    part = mouth_part(frame.points, camera.size, skin)
                    face = frame.glimpse.part(crops[frame.index], part, camera.size)
                    if face is not None:
                        mouth.look(frame.index, face, frame.points[:, :2] - part[:2], frame.transform, skin)

        correction, last = np.eye(3), None
        glimpses = kept if kept is not None and kept.suits(crops) else (Glimpse.of_picture(f.image) for f in reader)
        frames = read_ahead(_compared(glimpses, crops, settings.refine.size), _QUEUES)
        with closing(frames), WriteBehind(read, _QUEUES) as reading:
            for t, seen in enumerate(giving_back(frames)):
                if scene_of[t] != last:
                    correction, last = np.eye(3), scene_of[t]
                if seen is not None and visible[t]:
                    (glimpse, compared), tracked, followed = seen, points[t], None
                    if last in looks:
                        refiner, followed, small = looks[last]
                        before = transform[t].copy()
                        # The tracker's error changes slowly: begin where the last frame ended.
                        start = np.concatenate([before[:, :3] @ correction, before[:, 3:]], 1)
                        refined = refiner.refine(compared, tracked[:, :2], fitter.lifted(tracked, before), start)
                        correction = before[:, :3].T @ refined.transform[:, :3]
                        tracked[:, :2], transform[t] = refined.points, refined.transform
                        points[t] = tracked
                        unreliable += not refined.is_reliable
                        if patches is not None:
                            patches[t] = small.cut(compared, transform[t])
                    reading.put(_Seen(t, glimpse, compared, tracked, transform[t].copy(), followed))
                if progress is not None:
                    progress(len(sequence) + t + 1, 2 * len(sequence))
        interior = mouth.numbers()
    if unreliable:
        _LOG.info(
            "%s: %d of %d frames keep their tracked pose: too unlike their reference", name, unreliable, len(points)
        )
    found = {"torso_motion": bridge_torso_motion(torso_motion), "mouth_interior": interior, "patches": patches}
    return transform, found


def _compared(
    glimpses: Iterable[Glimpse | None], crops: np.ndarray, size: int
) -> Generator[tuple[Glimpse, np.ndarray] | None, None, None]:
    """What is seen of the frames and what is compared of that; None of those without a face."""
    for index, glimpse in enumerate(glimpses):
        yield None if glimpse is None else (glimpse, glimpse.compared(crops[index], size))
