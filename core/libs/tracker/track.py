"""Pictures and videos in, tracked parameters out."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from core.data.array_file import load_arrays, save_arrays
from core.data.image import kind_of, read_image
from core.data.picture_folder import FrameReader
from core.data.records import IMAGE_SIZE, SEEN, TrackedFrame, TrackedSequence, TrackedSource, with_present_names
from core.data.video import VideoReader
from core.errors import UserError
from core.libs.flame_model import OPEN_HEAD, FlameHead, OpenHead
from core.libs.retargeting.neutral import neutral_frame
from core.libs.tracker.base import FaceTracker, Observation
from core.libs.tracker.cache import TrackCache
from core.libs.tracker.crop import crop_around, crop_image, face_box, steady_crops, to_crop
from core.libs.tracker.cuts import CutFinder
from core.libs.tracker.fit import Fit, HeadFitter
from core.libs.tracker.fit_flame import FLAME_VERSION, FlameFitter
from core.libs.tracker.gaps import bridge, bridge_torso_motion, scenes_of, with_faces
from core.libs.tracker.mouth_interior import MouthReader
from core.libs.tracker.opened import open_tracker
from core.libs.tracker.point_buffer import PointBuffer, chunks
from core.libs.tracker.refine import PictureRefiner
from core.libs.tracker.settings import TrackSettings
from core.libs.tracker.torso import TorsoTracker

VERSION = "13"  # of everything here that changes what comes out
_SETTINGS = TrackSettings()
MARGIN = _SETTINGS.margin
_LOG = logging.getLogger(__name__)
Progress = Callable[[int, int | None], None]
Clip = VideoReader | FrameReader


class NoFaceError(UserError):
    """There is no face in what was to be tracked."""


def track_source(
    path: Path,
    *,
    tracker: FaceTracker | None = None,
    cache: TrackCache | None = None,
    force: bool = False,
    head: Path | None = None,
    open_head: OpenHead | None = None,
) -> TrackedSource:
    """The person in a picture, in codes of the open head, or of FLAME where `head` is its file.

    `open_head`: the built-in one where it is left out. UserError where there is no face.
    """
    image = read_image(path)
    cache = cache or TrackCache()
    entry = cache.entry(path, "source", *tracked_by(tracker, head, open_head)) / "source.npz"
    if not force and (known := _load_source(entry)) is not None:
        return known
    with open_tracker(tracker) as tracker:
        source = track_source_image(image, tracker, name=str(path), head=head, open_head=open_head)
    cache.keep(lambda: _save_source(entry, source))
    return source


def track_source_image(
    image: np.ndarray,
    tracker: FaceTracker,
    name: str = "the picture",
    crop: np.ndarray | None = None,
    head: Path | None = None,
    open_head: OpenHead | None = None,
) -> TrackedSource:
    """As `track_source`, for a picture (H, W, 3) uint8 RGB in memory; nothing is cached.

    `crop` (x, y, side): what to show of the picture, where it is not to be set around the face.
    """
    found = _settle(image, tracker)
    if found is None:
        raise UserError(f"{name}: no human face found; give a photo with one face, upright and at least 64 pixels wide")
    crop = crop_around(found.box) if crop is None else crop
    points = to_crop(found.points, crop)
    fitter = HeadFitter(open_head or OpenHead()) if head is None else flame_fitter(head)
    fit = fitter.fit(points[None])
    wide = IMAGE_SIZE + 2 * MARGIN
    part = crop[2] * MARGIN / IMAGE_SIZE
    wide_crop = np.array([crop[0] - part, crop[1] - part, crop[2] + 2 * part])
    pixels = crop_image(image, wide_crop, wide)
    inside = crop_image(np.full(image.shape[:2], 255, np.uint8), wide_crop, wide) > 127
    matte = person_matte(pixels, tracker) * inside
    frame = TrackedFrame(
        fit.shapecode,
        fit.expcode[0],
        fit.posecode[0],
        fit.eyecode[0],
        fit.transform[0],
        _head_box(points),
        head=fitter.kind,
        static_offset=fit.static_offset,
    )
    return TrackedSource(frame, pixels, matte.astype(np.float32), MARGIN, inside)


def _settle(image: np.ndarray, tracker: FaceTracker) -> Observation | None:
    """The face in a picture as the tracker would see it in a video that shows nothing else.

    A mesh looked at once and one followed over a video lie up to two pixels apart on the very same picture, which
    would be an offset between photo and driver.
    """
    if tracker.detect(image) is None:
        return None
    tracker.reset()
    found = [tracker.follow(image) for _ in range(_SETTINGS.settle)]
    tracker.reset()
    return found[-1]


def person_matte(pixels: np.ndarray, tracker: FaceTracker) -> np.ndarray:
    """The matte of a wide crop (S, S): what is shown is looked at on its own, where the segmenter sees it larger."""
    matte = tracker.matte(pixels)
    shown = slice(MARGIN, MARGIN + IMAGE_SIZE)
    part = np.ascontiguousarray(pixels[shown, shown])
    edge = np.minimum(np.arange(IMAGE_SIZE), np.arange(IMAGE_SIZE)[::-1])
    share = np.clip(np.minimum.outer(edge, edge) / _SETTINGS.seam, 0, 1)
    matte[shown, shown] += share * (tracker.matte(part) - matte[shown, shown])
    return matte


def track_driver(
    path: Path,
    *,
    tracker: FaceTracker | None = None,
    cache: TrackCache | None = None,
    force: bool = False,
    progress: Progress | None = None,
    head: Path | None = None,
    open_head: OpenHead | None = None,
) -> TrackedSequence:
    """The motion of the face in a video or picture, in codes of the open head, or of FLAME where `head` is its file.

    A folder that holds numbers is read as it is. UserError where no frame has a face. `progress` is called with the
    frames done and their number where that is known. `open_head`: the built-in one where it is left out.
    """
    kind = kind_of(path)
    if kind == "folder":
        return TrackedSequence.load(path)
    cache = cache or TrackCache()
    entry = cache.entry(path, "driver", *tracked_by(tracker, head, open_head))
    if not force:
        try:
            return TrackedSequence.load(entry)
        except UserError:
            pass  # not tracked yet, or damaged: tracked again below
    with open_tracker(tracker) as tracker:
        footage = read_image(path) if kind == "image" else lambda: VideoReader(path)
        sequence = track_footage(footage, tracker, name=str(path), progress=progress, head=head, open_head=open_head)
    cache.keep(lambda: sequence.save(entry))
    return sequence


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
) -> TrackedSequence:
    """The motion of the face in a picture (H, W, 3) uint8 RGB, or in the clip that a call opens; nothing is cached.

    Args:
        footage: is opened twice where it is a clip. name: of it, for messages. progress: see `track_driver`.
        kept: takes the points that were fitted. head: FLAME's file or its fitter, for codes of FLAME.
        open_head: what the pictures correct the points on; the built-in one where it is left out.
    Raises:
        NoFaceError: there is no face in it.
    """
    open_head = open_head or OpenHead()
    fitter = HeadFitter(open_head)
    flame = flame_fitter(head) if isinstance(head, Path) else head  # before the video: a wrong file is known at once
    tracker.reset()
    with PointBuffer() as points:
        if isinstance(footage, np.ndarray):
            found = _settle(footage, tracker)
            points.append(None if found is None else found.points)
            seen, times, fps, lost, shots = np.array([found is not None]), [Fraction(0)], _SETTINGS.image_fps, 0, None
        else:
            seen, times, fps, lost, shots = _observe(footage, tracker, points, progress)
        if not seen.any():
            what = "picture" if isinstance(footage, np.ndarray) else "video"
            raise NoFaceError(
                f"{name}: no human face found in this {what}; give one in which a face is seen from the front"
            )
        shots = with_faces(shots, seen)
        status = bridge(points, seen, times, shots)
        boxes = np.concatenate([face_box(points[part]) for part in chunks(len(points))])
        crops = np.empty((len(boxes), 3), np.float32)
        for frames in scenes_of(shots, len(boxes)):
            crops[frames] = steady_crops(boxes[frames])
        for part in chunks(len(points)):
            points[part] = to_crop(points[part], crops[part])
        # Whatever head the codes are to be of: the picture corrects the points on the open one, which has all of them.
        transform, seen_again = None, {}
        sequence = sequence_from_points(points, times, fps, status, crops, transform, fitter)
        sequence = replace(sequence, shots=shots)
        if len(sequence) > 1:
            transform, seen_again = _look_again(footage, name, tracker, sequence, points, open_head, progress)
            if kept is not None:
                kept += [points[part] for part in chunks(len(points))]
            sequence = sequence_from_points(points, times, fps, status, crops, transform, fitter)
        if flame is not None:
            if transform is not None:
                transform = flame.poses_from(points, transform, status == SEEN)
            sequence = sequence_from_points(points, times, fps, status, crops, transform, flame)
        return replace(sequence, shots=shots, lost=lost, **seen_again)


def sequence_from_points(
    points: np.ndarray | PointBuffer,  # (T, 478, 3) pixels of the crop
    times: list[Fraction],
    fps: Fraction,
    status: np.ndarray,
    crops: np.ndarray | None = None,
    transform: np.ndarray | None = None,  # (T, 3, 4) where the poses are known
    fitter: HeadFitter | FlameFitter | None = None,  # of the built-in head where it is not given
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
        bbox=np.concatenate([_head_box(points[part]) for part in chunks(len(points))]),
        times=tuple(times),
        fps=fps,
        status=status,
        crops=crops,
        head=fitter.kind,
        static_offset=fit.static_offset,
    )


def _observe(
    footage: Callable[[], Clip], tracker: FaceTracker, points: PointBuffer, progress: Progress | None
) -> tuple[np.ndarray, list[Fraction], Fraction, int, np.ndarray | None]:
    """Tracks a video into `points`; returns which frames have a face (T,), their times, the frame rate, how many pieces
    of the file could not be decoded and the frames' shots (T,), None where there is one.
    """
    seen, times, cuts = [], [], CutFinder()
    with footage() as reader:
        for frame in reader:
            if cuts.see(frame.image):
                tracker.reset()
            found = tracker.follow(frame.image)
            points.append(None if found is None else found.points)
            seen.append(found is not None)
            times.append(frame.time)
            if progress is not None:
                progress(len(times), 2 * reader.frame_estimate if reader.frame_estimate else None)
        return np.array(seen), times, reader.fps, reader.lost, cuts.shots()


def _look_again(
    footage: Callable[[], Clip],
    name: str,
    tracker: FaceTracker,
    sequence: TrackedSequence,
    points: PointBuffer,  # (T, 478, 3) pixels of the crop, corrected in place
    head: OpenHead,
    progress: Progress | None,
) -> tuple[np.ndarray, dict[str, np.ndarray | None]]:
    """Points and transforms (T, 3, 4) corrected by the pictures themselves: see `refine`.

    And what the pictures say beside, by the name of its field: how the shoulders moved, `torso_motion` (T, 4), and
    what the mouth shows, `mouth_interior` (T, 4); None each where it could not be told.
    """
    fitter = HeadFitter(head)
    transform = sequence.transform_matrix.astype(np.float64)
    scenes = scenes_of(sequence.shots, len(sequence))
    scene_of = np.zeros(len(sequence), int) if sequence.shots is None else sequence.shots
    longest = sorted(range(len(scenes)), key=lambda i: -len(scenes[i]))[: _SETTINGS.looked_at]
    seen = sequence.status == SEEN
    references = {
        int(frames[neutral_frame(sequence.take(frames), head)]): i
        for i, frames in ((i, scenes[i]) for i in longest)
        if len(frames) > 1 and seen[frames].any()
    }
    unlike, looks = 0, {}
    with footage() as reader, MouthReader(len(sequence), sequence.fps, sequence.shots) as mouth:
        torso_motion = np.full((len(sequence), 4), np.nan, np.float32)
        for frame in reader:
            if (scene := references.get(frame.index)) is None:
                continue
            reference, picture = frame.index, frame.image
            still = _settle(picture, tracker)  # the reference's own points, without the lag of a moving face
            if still is not None:
                points[reference] = to_crop(still.points, sequence.crops[reference])
            picture = crop_image(picture, sequence.crops[reference])
            lifted = fitter.lifted(points[reference], transform[reference])
            matte = tracker.matte(picture)
            refiner = PictureRefiner(head, picture, matte, lifted, transform[reference])
            mesh = refiner.mesh
            shoulders = TorsoTracker(picture, matte, mesh.pixels, mesh.torso_weights, transform[reference])
            looks[scene] = refiner, shoulders
            if len(looks) == len(references):
                break
        correction, last = np.eye(3), None
        for frame in reader:
            t, scene = frame.index, scene_of[frame.index]
            if scene != last:
                correction, last = np.eye(3), scene
            if sequence.status[t] == SEEN and scene not in looks and mouth.wants(points[t], transform[t]):
                mouth.look(t, crop_image(frame.image, sequence.crops[t]), points[t], transform[t])
            if sequence.status[t] == SEEN and scene in looks:
                refiner, shoulders = looks[scene]
                tracked, before = points[t], transform[t].copy()
                # The tracker's error changes slowly: begin where the last frame ended.
                start = np.concatenate([before[:, :3] @ correction, before[:, 3:]], 1)
                picture = crop_image(frame.image, sequence.crops[t])
                refined = refiner.refine(picture, tracked[:, :2], fitter.lifted(tracked, before), start)
                correction = before[:, :3].T @ refined.transform[:, :3]
                tracked[:, :2], transform[t] = refined.points, refined.transform
                points[t] = tracked
                unlike += not refined.is_reliable
                torso_motion[t] = shoulders.follow(picture)
                mouth.look(t, picture, tracked, transform[t])
            if progress is not None:
                progress(len(sequence) + t + 1, 2 * len(sequence))
        interior = mouth.numbers()
    if unlike:
        _LOG.info("%s: %d of %d frames keep their tracked pose: too unlike their reference", name, unlike, len(points))
    return transform, {"torso_motion": bridge_torso_motion(torso_motion), "mouth_interior": interior}


def flame_fitter(head: Path) -> FlameFitter:
    """What fits FLAME, from its file; UserError where it is another one."""
    model = FlameHead(path=head)
    if model.embedding is None:
        raise UserError(f"{head}: not FLAME with its landmarks; give FLAME_with_eye.pt as upstream publishes it")
    return FlameFitter(model)


def _head_box(points: np.ndarray) -> np.ndarray:
    """(..., 4) x0 y0 x1 y1 in 0..1 of the crop."""
    return np.clip(face_box(points) / IMAGE_SIZE, 0, 1).astype(np.float32)


def tracked_by(tracker: FaceTracker | None, head: Path | None, open_head: OpenHead | None = None) -> tuple[str, ...]:
    """What a result depends on besides the file: FLAME's codes also on the open head, which corrects them."""
    if tracker is None:
        from core.libs.tracker.mediapipe_tracker import MediaPipeTracker as tracker  # noqa: N813 only its name is read
    common = VERSION, tracker.name, tracker.version, _digest(OPEN_HEAD if open_head is None else open_head.path)
    return common if head is None else (*common, FLAME_VERSION, _digest(head))


def _digest(head: Path) -> str:
    try:
        with head.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{head}: head model cannot be read ({error.strerror})") from None


def _save_source(path: Path, source: TrackedSource) -> None:
    values = {name: getattr(source, name) for name in ("image", "matte", "margin", "inside")}
    save_arrays(path, values | {f"frame_{k}": v for k, v in vars(source.frame).items() if v is not None})


def _load_source(path: Path) -> TrackedSource | None:
    try:
        values = load_arrays(path)
        frame = with_present_names({k.removeprefix("frame_"): v for k, v in values.items() if k.startswith("frame_")})
        frame["head"] = str(frame["head"])
        parts = (values[name] for name in ("image", "matte"))
        source = TrackedSource(TrackedFrame(**frame), *parts, int(values["margin"]), values["inside"])
        source.check()
        return source
    except (UserError, KeyError, TypeError, ValueError):
        return None  # not there, or damaged: tracked again
