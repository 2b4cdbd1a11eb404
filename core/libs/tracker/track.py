"""Pictures and videos in, tracked parameters out."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np

from core.data.image import kind_of, read_image
from core.data.records import (
    HELD,
    IMAGE_SIZE,
    INTERPOLATED,
    SEEN,
    TrackedFrame,
    TrackedSequence,
    TrackedSource,
    load_arrays,
    save_arrays,
)
from core.data.video import VideoReader
from core.errors import UserError
from core.libs.flame_model import OPEN_HEAD, FLAMEModel
from core.libs.motion_transfer import neutral_frame
from core.libs.tracker.base import FaceTracker, Observation
from core.libs.tracker.cache import TrackCache
from core.libs.tracker.crop import crop_around, crop_image, face_box, steady_crops, to_crop
from core.libs.tracker.fit import Fit, HeadFitter
from core.libs.tracker.fit_flame import FLAME_VERSION, FlameFitter
from core.libs.tracker.refine import PictureRefiner
from core.libs.tracker.spool import PointSpool, chunks
from core.libs.tracker.torso import TorsoTracker

VERSION = "10"  # of everything here that changes what comes out
MARGIN = 96  # pixels that are lifted beyond each side of the shown crop
_BRIDGE_SECONDS = Fraction(1, 2)  # gaps up to this long are interpolated, longer ones held
_LOG = logging.getLogger(__name__)
_IMAGE_FPS = Fraction(25)
_SEAM = 16  # pixels over which the matte of the shown part runs into that of the wide crop
_SETTLE = 5  # frames after which the points of a still picture stand still
Progress = Callable[[int, int | None], None]


def track_source(
    path: Path,
    *,
    tracker: FaceTracker | None = None,
    cache: TrackCache | None = None,
    force: bool = False,
    head: Path | None = None,
) -> TrackedSource:
    """The person in a picture, in codes of the open head, or of FLAME where `head` is its file.

    UserError where there is no face.
    """
    image = read_image(path)
    cache = cache or TrackCache()
    entry = cache.entry(path, "source", *_versions(tracker, head)) / "source.npz"
    if not force and (known := _load_source(entry)) is not None:
        return known
    with _Tracker(tracker) as tracker:
        source = track_source_image(image, tracker, name=str(path), head=head)
    cache.keep(lambda: _save_source(entry, source))
    return source


def track_source_image(
    image: np.ndarray,
    tracker: FaceTracker,
    name: str = "the picture",
    crop: np.ndarray | None = None,
    head: Path | None = None,
) -> TrackedSource:
    """As `track_source`, for a picture (H, W, 3) uint8 RGB in memory; nothing is cached.

    `crop` (x, y, side): what to show of the picture, where it is not to be set around the face.
    """
    found = _settle(image, tracker)
    if found is None:
        raise UserError(f"{name}: no human face found; give a photo with one face, upright and at least 64 pixels wide")
    crop = crop_around(found.box) if crop is None else crop
    points = to_crop(found.points, crop)
    fitter = HeadFitter(FLAMEModel()) if head is None else flame_fitter(head)
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
        residual=fit.residual,
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
    found = [tracker.follow(image) for _ in range(_SETTLE)]
    tracker.reset()
    return found[-1]


def person_matte(pixels: np.ndarray, tracker: FaceTracker) -> np.ndarray:
    """The matte of a wide crop (S, S): what is shown is looked at on its own, where the segmenter sees it larger."""
    matte = tracker.matte(pixels)
    shown = slice(MARGIN, MARGIN + IMAGE_SIZE)
    part = np.ascontiguousarray(pixels[shown, shown])
    edge = np.minimum(np.arange(IMAGE_SIZE), np.arange(IMAGE_SIZE)[::-1])
    share = np.clip(np.minimum.outer(edge, edge) / _SEAM, 0, 1)
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
) -> TrackedSequence:
    """The motion of the face in a video or picture, in codes of the open head, or of FLAME where `head` is its file.

    A folder that holds numbers is read as it is. UserError where no frame has a face. `progress` is called with the
    frames done and their number where that is known.
    """
    kind = kind_of(path)
    if kind == "folder":
        return TrackedSequence.load(path)
    cache = cache or TrackCache()
    entry = cache.entry(path, "driver", *_versions(tracker, head))
    if not force:
        try:
            return TrackedSequence.load(entry)
        except UserError:
            pass  # not tracked yet, or damaged: tracked again below
    with _Tracker(tracker) as tracker:
        sequence = _track(path, kind, tracker, progress, head=head)
    cache.keep(lambda: sequence.save(entry))
    return sequence


def track_points(path: Path, tracker: FaceTracker) -> tuple[TrackedSequence, np.ndarray]:
    """As `track_driver`, and the points (T, 478, 3) it was fitted to, pixels of the crop; for short clips."""
    kept: list[np.ndarray] = []
    return _track(path, kind_of(path), tracker, None, kept), np.concatenate(kept)


def _track(
    path: Path,
    kind: str,
    tracker: FaceTracker,
    progress: Progress | None,
    kept: list[np.ndarray] | None = None,
    head: Path | None = None,
) -> TrackedSequence:
    flame = None if head is None else flame_fitter(head)  # before the video: a wrong file is known at once
    tracker.reset()
    with PointSpool() as points:
        if kind == "image":
            found = _settle(read_image(path), tracker)
            points.append(None if found is None else found.points)
            seen, times, fps, lost = np.array([found is not None]), [Fraction(0)], _IMAGE_FPS, 0
        else:
            seen, times, fps, lost = _observe(path, tracker, points, progress)
        if not seen.any():
            what = "picture" if kind == "image" else "video"
            raise UserError(
                f"{path}: no human face found in this {what}; give one in which a face is seen from the front"
            )
        status = bridge(points, seen, times)
        crops = steady_crops(np.concatenate([face_box(points[part]) for part in chunks(len(points))]))
        for part in chunks(len(points)):
            points[part] = to_crop(points[part], crops[part])
        # Whatever head the codes are to be of: the picture mends the points on the open one, which has all of them.
        sequence, transform, torso = sequence_from_points(points, times, fps, status, crops), None, None
        if len(sequence) > 1:
            transform, torso = _look_again(path, tracker, sequence, points, progress)
            if kept is not None:
                kept += [points[part] for part in chunks(len(points))]
            sequence = sequence_from_points(points, times, fps, status, crops, transform)
        if flame is not None:
            if transform is not None:
                transform = flame.poses_from(points, transform, status == SEEN)
            sequence = sequence_from_points(points, times, fps, status, crops, transform, flame)
        return replace(sequence, torso=torso, lost=lost)


def sequence_from_points(
    points: np.ndarray | PointSpool,  # (T, 478, 3) pixels of the crop
    times: list[Fraction],
    fps: Fraction,
    status: np.ndarray,
    crops: np.ndarray | None = None,
    transform: np.ndarray | None = None,  # (T, 3, 4) where the poses are known
    fitter: HeadFitter | FlameFitter | None = None,  # of the open head where it is not given
) -> TrackedSequence:
    """The head's parameters for the points of a clip."""
    fitter = HeadFitter(FLAMEModel()) if fitter is None else fitter
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
        residual=fit.residual,
    )


def bridge(
    points: np.ndarray | PointSpool,  # (T, 478, 3), filled in where not seen
    seen: np.ndarray,  # (T,) bool, at least one
    times: list[Fraction],
) -> np.ndarray:  # (T,) int8
    """Gives the frames without a face points: short gaps are interpolated, long ones held. Returns their status."""
    status = np.where(seen, SEEN, HELD).astype(np.int8)
    for before, after in pairwise([None, *np.flatnonzero(seen).tolist(), None]):
        gap = range(0 if before is None else before + 1, len(seen) if after is None else after)
        if not gap:
            continue
        if before is None or after is None or times[after] - times[before] > _BRIDGE_SECONDS:
            held = points[after if before is None else before]
            for i in gap:
                points[i] = held
            continue
        first, last = points[before], points[after]
        for i in gap:
            part = (i - before) / (after - before)
            points[i] = (1 - part) * first + part * last
            status[i] = INTERPOLATED
    return status


def _observe(
    path: Path, tracker: FaceTracker, points: PointSpool, progress: Progress | None
) -> tuple[np.ndarray, list[Fraction], Fraction, int]:
    """Tracks a video into `points`; returns which frames have a face (T,), their times, the frame rate and how many
    pieces of the file could not be decoded.
    """
    seen, times = [], []
    with VideoReader(path) as reader:
        for frame in reader:
            found = tracker.follow(frame.image)
            points.append(None if found is None else found.points)
            seen.append(found is not None)
            times.append(frame.time)
            if progress is not None:
                progress(len(times), 2 * reader.frame_estimate if reader.frame_estimate else None)
        return np.array(seen), times, reader.fps, reader.lost


def _look_again(
    path: Path,
    tracker: FaceTracker,
    sequence: TrackedSequence,
    points: PointSpool,  # (T, 478, 3) pixels of the crop, mended in place
    progress: Progress | None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Points and transforms (T, 3, 4) mended by the pictures themselves: see `refine`.

    And how the shoulders moved, (T, 4), where they could be followed: see `torso`.
    """
    head = FLAMEModel()
    fitter = HeadFitter(head)
    reference = neutral_frame(sequence)
    transform = sequence.transform_matrix.astype(np.float64)
    unlike = 0
    with VideoReader(path) as reader:
        picture = next(frame.image for frame in reader if frame.index == reference)
        still = _settle(picture, tracker)  # the reference's own points, without the lag of a moving face
        if still is not None:
            points[reference] = to_crop(still.points, sequence.crops[reference])
        picture = crop_image(picture, sequence.crops[reference])
        lifted = fitter.lifted(points[reference], transform[reference])
        matte = tracker.matte(picture)
        refiner = PictureRefiner(head, picture, matte, lifted, transform[reference])
        shoulders = TorsoTracker(picture, matte, refiner.sheet.pixels, refiner.sheet.torso, transform[reference])
        torso = np.full((len(sequence), 4), np.nan, np.float32)
        mend = np.eye(3)
        for frame in reader:
            t = frame.index
            if sequence.status[t] == SEEN:
                tracked, before = points[t], transform[t].copy()
                # The tracker's error changes slowly: begin where the last frame ended.
                start = np.concatenate([before[:, :3] @ mend, before[:, 3:]], 1)
                picture = crop_image(frame.image, sequence.crops[t])
                mended = refiner.refine(picture, tracked[:, :2], fitter.lifted(tracked, before), start)
                mend = before[:, :3].T @ mended.transform[:, :3]
                tracked[:, :2], transform[t] = mended.points, mended.transform
                points[t] = tracked
                unlike += not mended.alike
                torso[t] = shoulders.follow(picture)
            if progress is not None:
                progress(len(sequence) + t + 1, 2 * len(sequence))
    if unlike:
        _LOG.info(
            "%s: %d of %d frames keep their tracked pose: too unlike frame %d", path, unlike, len(points), reference
        )
    return transform, _bridged(torso)


def _bridged(torso: np.ndarray) -> np.ndarray | None:
    """Motions (T, 4) with what is NaN interpolated; None where more than half is."""
    known = np.flatnonzero(np.isfinite(torso[:, 0]))
    if len(known) < len(torso) / 2:
        return None
    frames = np.arange(len(torso))
    return np.stack([np.interp(frames, known, column) for column in torso[known].T], 1).astype(np.float32)


def flame_fitter(head: Path) -> FlameFitter:
    """What fits FLAME, from its file; UserError where it is another one."""
    model = FLAMEModel(path=head)
    if model.embedding is None:
        raise UserError(f"{head}: not FLAME with its landmarks; give FLAME_with_eye.pt as upstream publishes it")
    return FlameFitter(model)


def _head_box(points: np.ndarray) -> np.ndarray:
    """(..., 4) x0 y0 x1 y1 in 0..1 of the crop."""
    return np.clip(face_box(points) / IMAGE_SIZE, 0, 1).astype(np.float32)


def _versions(tracker: FaceTracker | None, head: Path | None) -> tuple[str, ...]:
    """What a result depends on besides the file: codes of FLAME also on the open head, which mends their poses."""
    if tracker is None:
        from core.libs.tracker.mediapipe_tracker import MediaPipeTracker as tracker  # noqa: N813 only its name is read
    common = VERSION, tracker.name, tracker.version, hashlib.sha256(OPEN_HEAD.read_bytes()).hexdigest()
    return common if head is None else (*common, FLAME_VERSION, _digest(head))


def _digest(head: Path) -> str:
    try:
        with head.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{head}: head model cannot be read ({error.strerror})") from None


class _Tracker:
    """The caller's tracker, left open, or one of our own, closed at the end."""

    def __init__(self, given: FaceTracker | None) -> None:
        self._given = given

    def __enter__(self) -> FaceTracker:
        if self._given is not None:
            return self._given
        from core.libs.tracker.mediapipe_tracker import MediaPipeTracker

        self._own = MediaPipeTracker()
        return self._own

    def __exit__(self, *_: object) -> None:
        if self._given is None:
            self._own.close()


def _save_source(path: Path, source: TrackedSource) -> None:
    values = {name: getattr(source, name) for name in ("image", "matte", "margin", "inside")}
    save_arrays(path, values | {f"frame_{k}": v for k, v in vars(source.frame).items() if v is not None})


def _load_source(path: Path) -> TrackedSource | None:
    try:
        values = load_arrays(path)
        frame = {k.removeprefix("frame_"): v for k, v in values.items() if k.startswith("frame_")}
        frame["head"] = str(frame["head"])
        parts = (values[name] for name in ("image", "matte"))
        source = TrackedSource(TrackedFrame(**frame), *parts, int(values["margin"]), values["inside"])
        source.check()
        return source
    except (UserError, KeyError, TypeError, ValueError):
        return None  # not there, or damaged: tracked again
