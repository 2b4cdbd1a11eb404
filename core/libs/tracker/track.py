"""Pictures and videos in, tracked parameters out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from fractions import Fraction
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
from core.libs.tracker.base import FaceTracker
from core.libs.tracker.cache import TrackCache
from core.libs.tracker.crop import crop_around, crop_image, steady_crops, to_crop
from core.libs.tracker.fit import Fit, HeadFitter
from core.libs.tracker.refine import PictureRefiner

VERSION = "3"  # of everything here that changes what comes out
MARGIN = 96  # pixels that are lifted beyond each side of the shown crop
_BRIDGE_SECONDS = Fraction(1, 2)  # gaps up to this long are interpolated, longer ones held
_IMAGE_FPS = Fraction(25)
Progress = Callable[[int, int | None], None]


def track_source(
    path: Path,
    *,
    tracker: FaceTracker | None = None,
    cache: TrackCache | None = None,
    force: bool = False,
) -> TrackedSource:
    """The person in a picture. UserError where there is no face."""
    image = read_image(path)
    entry = (cache or TrackCache()).entry(path, "source", *_versions(tracker)) / "source.npz"
    if not force and (known := _load_source(entry)) is not None:
        return known
    with _Tracker(tracker) as tracker:
        source = track_source_image(image, tracker, name=str(path))
    _save_source(entry, source)
    return source


def track_source_image(
    image: np.ndarray, tracker: FaceTracker, name: str = "the picture", crop: np.ndarray | None = None
) -> TrackedSource:
    """As `track_source`, for a picture (H, W, 3) uint8 RGB in memory; nothing is cached.

    `crop` (x, y, side): what to show of the picture, where it is not to be set around the face.
    """
    found = tracker.detect(image)
    if found is None:
        raise UserError(f"{name}: no human face found; give a photo with one face, upright and at least 64 pixels wide")
    crop = crop_around(found.points) if crop is None else crop
    points = to_crop(found.points, crop)
    fit = HeadFitter(FLAMEModel()).fit(points[None])
    wide = IMAGE_SIZE + 2 * MARGIN
    part = crop[2] * MARGIN / IMAGE_SIZE
    wide_crop = np.array([crop[0] - part, crop[1] - part, crop[2] + 2 * part])
    pixels = crop_image(image, wide_crop, wide)
    inside = crop_image(np.full(image.shape[:2], 255, np.uint8), wide_crop, wide) > 127
    matte = tracker.matte(pixels) * inside
    frame = TrackedFrame(
        fit.shapecode,
        fit.expcode[0],
        fit.posecode[0],
        fit.eyecode[0],
        fit.transform[0],
        _head_box(points),
        residual=fit.residual[0],
    )
    return TrackedSource(frame, pixels, matte.astype(np.float32), MARGIN, inside)


def track_driver(
    path: Path,
    *,
    tracker: FaceTracker | None = None,
    cache: TrackCache | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> TrackedSequence:
    """The motion of the face in a video or picture. UserError where no frame has a face.

    `progress` is called with the frames done and their number where that is known.
    """
    kind = kind_of(path)
    if kind == "folder":
        return TrackedSequence.load(path)
    entry = (cache or TrackCache()).entry(path, "driver", *_versions(tracker))
    if not force:
        try:
            return TrackedSequence.load(entry)
        except UserError:
            pass  # not tracked yet, or damaged: tracked again below
    with _Tracker(tracker) as tracker:
        sequence = _track(path, kind, tracker, progress)
    sequence.save(entry)
    return sequence


def _track(path: Path, kind: str, tracker: FaceTracker, progress: Progress | None) -> TrackedSequence:
    tracker.reset()
    if kind == "image":
        observed, times, fps = [tracker.detect(read_image(path))], [Fraction(0)], _IMAGE_FPS
    else:
        observed, times, fps = _observe(path, tracker, progress)
    if all(found is None for found in observed):
        what = "picture" if kind == "image" else "video"
        raise UserError(f"{path}: no human face found in this {what}; give one in which a face is seen from the front")
    points, status = bridge([None if found is None else found.points for found in observed], times)
    crops = steady_crops(points)
    points = to_crop(points, crops)
    sequence = sequence_from_points(points, times, fps, status, crops)
    if len(sequence) == 1:
        return sequence
    points, transform = _look_again(path, tracker, sequence, points, progress)
    return sequence_from_points(points, times, fps, status, crops, transform)


def sequence_from_points(
    points: np.ndarray,  # (T, 478, 3) pixels of the crop
    times: list[Fraction],
    fps: Fraction,
    status: np.ndarray,
    crops: np.ndarray | None = None,
    transform: np.ndarray | None = None,  # (T, 3, 4) where the poses are known
) -> TrackedSequence:
    """The head's parameters for the points of a clip."""
    fit: Fit = HeadFitter(FLAMEModel()).fit(points, transform)
    return TrackedSequence(
        shapecode=fit.shapecode[None],
        expcode=fit.expcode,
        posecode=fit.posecode,
        eyecode=fit.eyecode,
        transform_matrix=fit.transform,
        bbox=_head_box(points),
        times=tuple(times),
        fps=fps,
        status=status,
        crops=crops,
        residual=fit.residual[status == SEEN].mean(0),
    )


def bridge(points: list[np.ndarray | None], times: list[Fraction]) -> tuple[np.ndarray, np.ndarray]:
    """Points for every frame (T, 478, 3) and where they come from (T,): short gaps interpolated, long ones held."""
    seen = np.array([i for i, p in enumerate(points) if p is not None])
    known = np.stack([points[i] for i in seen])
    out = np.empty((len(points), *known.shape[1:]), np.float32)
    status = np.full(len(points), HELD, np.int8)
    status[seen] = SEEN
    for i in range(len(points)):
        after = int(np.searchsorted(seen, i))
        before = after - 1 if after == len(seen) or seen[after] != i else after
        if status[i] == SEEN:
            out[i] = known[after]
        elif 0 <= before and after < len(seen) and times[seen[after]] - times[seen[before]] <= _BRIDGE_SECONDS:
            a, b = seen[before], seen[after]
            part = (i - a) / (b - a)
            out[i] = (1 - part) * known[before] + part * known[after]
            status[i] = INTERPOLATED
        else:
            out[i] = known[max(before, 0)]
    return out, status


def _observe(path: Path, tracker: FaceTracker, progress: Progress | None):
    observed, times = [], []
    with VideoReader(path) as reader:
        for frame in reader:
            observed.append(tracker.follow(frame.image))
            times.append(frame.time)
            if progress is not None:
                progress(len(observed), 2 * reader.frame_estimate if reader.frame_estimate else None)
        return observed, times, reader.fps


def _look_again(
    path: Path,
    tracker: FaceTracker,
    sequence: TrackedSequence,
    points: np.ndarray,  # (T, 478, 3) pixels of the crop
    progress: Progress | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Points and transforms mended by the pictures themselves: see `refine`."""
    head, fitter = FLAMEModel(), HeadFitter(FLAMEModel())
    lifted = fitter.lifted(points, sequence.transform_matrix)
    reference = neutral_frame(sequence)
    points, transform = points.copy(), sequence.transform_matrix.astype(np.float64)
    with VideoReader(path) as reader:
        picture = next(frame.image for frame in reader if frame.index == reference)
        picture = crop_image(picture, sequence.crops[reference])
        refiner = PictureRefiner(head, picture, tracker.matte(picture), lifted[reference], transform[reference])
        mend = np.eye(3)
        for frame in reader:
            t = frame.index
            if sequence.status[t] == SEEN:
                # The tracker's error changes slowly: begin where the last frame ended.
                start = np.concatenate([transform[t, :, :3] @ mend, transform[t, :, 3:]], 1)
                picture = crop_image(frame.image, sequence.crops[t])
                seen = refiner.refine(picture, points[t, :, :2], lifted[t], start)
                mend = transform[t, :, :3].T @ seen.transform[:, :3]
                points[t, :, :2], transform[t] = seen.points, seen.transform
            if progress is not None:
                progress(len(sequence) + t + 1, 2 * len(sequence))
    return points, transform


def _head_box(points: np.ndarray) -> np.ndarray:
    """(..., 4) x0 y0 x1 y1 in 0..1 of the crop."""
    surface = points[..., :468, :2]
    box = np.concatenate([surface.min(-2), surface.max(-2)], -1)
    return np.clip(box / IMAGE_SIZE, 0, 1).astype(np.float32)


def _versions(tracker: FaceTracker | None) -> tuple[str, ...]:
    if tracker is None:
        from core.libs.tracker.mediapipe_tracker import MediaPipeTracker as tracker  # noqa: N813 only its name is read
    return VERSION, tracker.name, tracker.version, hashlib.sha256(OPEN_HEAD.read_bytes()).hexdigest()


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
    path.parent.mkdir(parents=True, exist_ok=True)
    values = {name: getattr(source, name) for name in ("image", "matte", "margin", "inside")}
    save_arrays(path, values | {f"frame_{k}": v for k, v in vars(source.frame).items()})


def _load_source(path: Path) -> TrackedSource | None:
    try:
        values = load_arrays(path)
        frame = {k.removeprefix("frame_"): v for k, v in values.items() if k.startswith("frame_")}
        frame["head"] = str(frame["head"])
        return TrackedSource(
            TrackedFrame(**frame), values["image"], values["matte"], int(values["margin"]), values["inside"]
        )
    except (UserError, KeyError, TypeError):
        return None  # not there, or damaged: tracked again
