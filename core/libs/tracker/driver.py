"""A video or picture in, the tracked motion of its face out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from core.data.image import kind_of, read_image
from core.data.picture_folder import FrameReader
from core.data.records import SEEN, TrackedSequence
from core.data.video import VideoReader
from core.errors import UserError
from core.libs.flame_model import OpenHead
from core.libs.numeric import blocks
from core.libs.tracker.base import FaceTracker
from core.libs.tracker.cache import TrackCache, tracked_by
from core.libs.tracker.crop import face_box, head_box, steady_crops, to_crop
from core.libs.tracker.cuts import CutFinder, with_cuts
from core.libs.tracker.fit import Fit, HeadFitter
from core.libs.tracker.fit_flame import FlameFitter, flame_fitter
from core.libs.tracker.gaps import bridge, scenes_of, with_faces
from core.libs.tracker.glimpse import GlimpseBuffer
from core.libs.tracker.observed import Observed
from core.libs.tracker.opened import open_tracker
from core.libs.tracker.point_buffer import PointBuffer
from core.libs.tracker.repeats import RepeatFinder
from core.libs.tracker.second_look import second_look
from core.libs.tracker.settings import TrackSettings
from core.libs.tracker.several import FaceCount, NoFaceError
from core.libs.tracker.still import face_of_photo
from core.runtime.memory import give_back_heap, giving_back
from core.runtime.threads import QueueSettings, WriteBehind, beside, opencv_threads, read_ahead

_SETTINGS = TrackSettings()
_QUEUES = QueueSettings(depth=2)  # decoded pictures that wait
Progress = Callable[[int, int | None], None]
Clip = VideoReader | FrameReader


def track_driver(
    path: Path,
    *,
    tracker: FaceTracker | None = None,
    cache: TrackCache | None = None,
    force: bool = False,
    progress: Progress | None = None,
    head: Path | None = None,
    open_head: OpenHead | None = None,
    settings: TrackSettings = _SETTINGS,
) -> TrackedSequence:
    """The motion of the face in a video or picture, in codes of the open head, or of FLAME where `head` is its file.

    A folder that holds numbers is read as it is. UserError where no frame has a face. `progress` is called with the
    frames done and their number where that is known. `open_head`: the built-in one where it is left out.
    """
    kind = kind_of(path)
    if kind == "folder":
        return TrackedSequence.load(path)
    cache = cache or TrackCache()
    entry = cache.entry(path, "driver", *tracked_by(tracker, head, open_head, settings=settings))
    if not force:
        try:
            return TrackedSequence.load(entry)
        except UserError:
            pass  # not tracked yet, or damaged: tracked again below
    with open_tracker(tracker) as tracker:
        footage = read_image(path) if kind == "image" else lambda: VideoReader(path)
        given: dict[str, Any] = {"progress": progress, "head": head, "open_head": open_head, "settings": settings}
        count = FaceCount(tracker)
        if isinstance(footage, np.ndarray):
            count.see(0, footage)
        sequence = track_footage(footage, tracker, name=str(path), count=count, **given)

    def save() -> None:
        sequence.save(entry)
        count.save(entry)

    cache.keep(save)
    return sequence


def faces_seen(
    path: Path,
    *,
    tracker: FaceTracker | None = None,
    cache: TrackCache | None = None,
    head: Path | None = None,
    open_head: OpenHead | None = None,
    settings: TrackSettings = _SETTINGS,
) -> int:
    """How many faces `track_driver` saw at once in a driver that it has tracked; 1 where it did not keep that."""
    cache = cache or TrackCache()
    return FaceCount.load(cache.entry(path, "driver", *tracked_by(tracker, head, open_head, settings=settings)))


def track_points(path: Path, tracker: FaceTracker) -> tuple[TrackedSequence, np.ndarray]:
    """As `track_driver`, and the points (T, 478, 3) it was fitted to, pixels of the crop; for short clips."""
    kept: list[np.ndarray] = []
    footage = read_image(path) if kind_of(path) == "image" else lambda: VideoReader(path)
    return track_footage(footage, tracker, name=str(path), kept=kept), np.concatenate(kept)


def track_footage(
    footage: np.ndarray | Callable[[], Clip],
    tracker: FaceTracker,
    *,
    name: str,
    progress: Progress | None = None,
    kept: list[np.ndarray] | None = None,
    head: Path | FlameFitter | None = None,
    open_head: OpenHead | None = None,
    settings: TrackSettings = _SETTINGS,
    count: FaceCount | None = None,
    crops: np.ndarray | None = None,
) -> TrackedSequence:
    """The motion of the face in a picture (H, W, 3) uint8 RGB, or in the clip that a call opens; nothing is cached.

    Args:
        footage: is opened twice where it is a clip. name: of it, for messages. progress: see `track_driver`.
        kept: takes the points that were fitted. head: FLAME's file or its fitter, for codes of FLAME.
        open_head: what the pictures correct the points on; the built-in one where it is left out.
        settings: of tracking. count: sees the frames of a clip. crops: (T, 3) that are to be shown, in place of those
            around the face that is found.
    Raises:
        NoFaceError: there is no face in it.
    """
    open_head = open_head or OpenHead()
    # Before the video: a wrong file is known at once
    flame = flame_fitter(head, settings=settings.flame, eyes=settings.fit) if isinstance(head, Path) else head
    tracker.reset()
    fitter = beside(partial(HeadFitter, open_head, settings=settings.fit, pose=settings.pose))  # while it is looked at
    glimpses = GlimpseBuffer(settings.refine.size, settings.reading.skin_every, settings.crop, settings.glimpse)
    with opencv_threads(1), PointBuffer() as points, closing(glimpses):
        if isinstance(footage, np.ndarray):
            found = face_of_photo(footage, tracker, settings)
            points.append(None if found is None else found.points)
            seen = Observed(points, np.array([found is not None]), [Fraction(0)], settings.image_fps)
        else:
            seen = _observe(footage, tracker, points, glimpses, progress, settings, count)
        return track_observed(
            seen,
            footage,
            tracker,
            name=name,
            progress=progress,
            kept=kept,
            flame=flame,
            open_head=open_head,
            settings=settings,
            crops=crops,
            fitter=fitter(),
        )


def track_observed(
    seen: Observed,
    footage: np.ndarray | Callable[[], Clip],
    tracker: FaceTracker,
    *,
    name: str,
    progress: Progress | None = None,
    kept: list[np.ndarray] | None = None,
    flame: FlameFitter | None = None,
    open_head: OpenHead | None = None,
    settings: TrackSettings = _SETTINGS,
    among_others: bool = False,
    crops: np.ndarray | None = None,
    fitter: HeadFitter | None = None,
) -> TrackedSequence:
    """The motion of a person whose points are known, which are changed; the rest is as in `track_footage`.

    `among_others`: whether the footage shows other faces too, which are not to be looked at. `fitter`: of the
    open head, by the settings.
    """
    open_head = open_head or OpenHead()
    fitter = fitter or HeadFitter(open_head, settings=settings.fit, pose=settings.pose)
    points, visible, times, fps = seen.points, seen.visible, seen.times, seen.fps
    if not visible.any():
        what = "picture" if isinstance(footage, np.ndarray) else "video"
        raise NoFaceError(
            f"{name}: no human face found in this {what}; give one in which a face is seen from the front"
        )
    shots = with_faces(seen.shots, visible)
    status = bridge(points, visible, times, shots, settings.bridged)
    boxes = np.concatenate([face_box(points[part]) for part in blocks(len(points))])
    if crops is None:
        crops = np.empty((len(boxes), 3), np.float32)
        for frames in scenes_of(shots, len(boxes)):
            crops[frames] = steady_crops(boxes[frames], settings.crop)
    for part in blocks(len(points)):
        points[part] = to_crop(points[part], crops[part], fitter.camera.size)
    transform: np.ndarray | None = None
    refined: dict[str, Any] = {}

    def fitted(fitter: HeadFitter | FlameFitter) -> TrackedSequence:
        return replace(sequence_from_points(points, times, fps, status, crops, transform, fitter), shots=shots)

    if len(points) > 1 and not isinstance(footage, np.ndarray):
        near = boxes if among_others else None
        give_back_heap()
        with opencv_threads(1):  # of people among others, too
            # Whatever head the codes are to be of: the picture corrects the points on the open one, which has all
            transform, refined = second_look(
                footage,
                name,
                tracker,
                fitted(fitter),
                points,
                open_head,
                progress,
                fitter,
                settings,
                near=near,
                kept=seen.glimpses,
            )
        if kept is not None:
            kept += [points[part] for part in blocks(len(points))]
    if flame is not None and transform is not None:
        transform = flame.poses_from(points, transform, status == SEEN)
    return replace(fitted(flame or fitter), lost=seen.lost, repeated=seen.repeated, **refined)


def sequence_from_points(
    points: np.ndarray | PointBuffer,  # (T, 478, 3) pixels of the crop
    times: list[Fraction],
    fps: Fraction,
    status: np.ndarray,
    crops: np.ndarray | None = None,
    transform: np.ndarray | None = None,  # (T, 3, 4) where the poses are known
    fitter: HeadFitter | FlameFitter | None = None,  # of the built-in head where it is left out
) -> TrackedSequence:
    """The head's parameters for the points of a clip."""
    fitter = HeadFitter(OpenHead()) if fitter is None else fitter
    fit: Fit = fitter.fit(points, transform, status == SEEN)
    return TrackedSequence(
        shapecode=fit.shapecode[None],
        expcode=fit.expcode,
        posecode=fit.posecode,
        eyecode=fit.eyecode,
        transform_matrix=fit.transform,
        bbox=np.concatenate([head_box(points[part], fitter.camera.size) for part in blocks(len(points))]),
        times=tuple(times),
        fps=fps,
        status=status,
        crops=crops,
        head=fitter.kind,
        static_offset=fit.static_offset,
    )


def _observe(
    footage: Callable[[], Clip],
    tracker: FaceTracker,
    points: PointBuffer,
    glimpses: GlimpseBuffer,
    progress: Progress | None,
    settings: TrackSettings,
    count: FaceCount | None = None,
) -> Observed:
    """Tracks a video into `points`; `glimpses` and `count` see the frames too, the former in a thread of its own."""
    visible: list[bool] = []
    times: list[Fraction] = []
    cuts, repeats = CutFinder(settings.cuts), RepeatFinder()

    def keep(seen: Iterator[tuple[np.ndarray, np.ndarray | None, bool]]) -> None:
        for one in seen:
            glimpses.keep(*one)

    with (
        footage() as reader,
        closing(read_ahead(with_cuts(reader, cuts), _QUEUES)) as frames,
        WriteBehind(keep, _QUEUES) as keeping,
    ):
        for frame, is_cut in giving_back(frames):  # the avatar is built meanwhile, in much memory
            if is_cut:
                tracker.reset()
            found = tracker.follow(frame.image)
            points.append(None if found is None else found.points)
            visible.append(found is not None)
            keeping.put((frame.image, None if found is None else found.points, is_cut))
            repeats.see(frame.image, None if found is None else found.box)
            if count is not None:
                count.see(len(times), frame.image)
            times.append(frame.time)
            if progress is not None:
                progress(len(times), 2 * reader.frame_estimate if reader.frame_estimate else None)
        fps, lost = reader.fps, reader.lost
    return Observed(points, np.array(visible), times, fps, lost, cuts.shots(), repeats.repeated(), glimpses)
