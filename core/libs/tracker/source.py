"""A photo in, its person's tracked parameters and pixels out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from core.data.array_file import load_arrays, save_arrays
from core.data.image import read_image
from core.data.records import TrackedFrame, TrackedSource, with_present_names
from core.errors import UserError
from core.libs.flame_model import OpenHead
from core.libs.geometry import Camera
from core.libs.tracker.base import FaceTracker
from core.libs.tracker.cache import TrackCache, tracked_by
from core.libs.tracker.crop import crop_around, crop_image, head_box, to_crop
from core.libs.tracker.fit import HeadFitter
from core.libs.tracker.fit_flame import FlameFitter, flame_fitter
from core.libs.tracker.matte import VERSION as MATTE_VERSION
from core.libs.tracker.matte import begin_matte, without_bars
from core.libs.tracker.opened import open_tracker
from core.libs.tracker.outline import VERSION as OUTLINE_VERSION
from core.libs.tracker.outline import within_outline
from core.libs.tracker.settings import TrackSettings
from core.libs.tracker.several import all_faces, check_number, own_side
from core.libs.tracker.still import face_of_photo
from core.libs.tracker.whole import VERSION as WHOLE_VERSION
from core.libs.tracker.whole import fit_photo, shown_share, whole_crop, whole_matte, whole_pixels

_SETTINGS, _CAMERA = TrackSettings(), Camera()
MARGIN = _SETTINGS.margin  # pixels of a 512-pixel crop


def track_source(
    path: Path,
    *,
    tracker: FaceTracker | None = None,
    cache: TrackCache | None = None,
    force: bool = False,
    head: Path | None = None,
    open_head: OpenHead | None = None,
    camera: Camera = _CAMERA,
    settings: TrackSettings = _SETTINGS,
    face: int | None = None,
    whole: bool | None = False,
) -> TrackedSource:
    """The person in a picture, in codes of the open head, or of FLAME where `head` is its file.

    Args:
        path: the picture. tracker: MediaPipe's where it is left out. cache: where results are kept. force: track again.
        open_head: the built-in one where it is left out. camera: of the shown crop, which is as large as that sees.
        face: of several, by its number from 1, left to right; the largest where it is left out.
        whole: the photo is drawn as a whole, its longer side at most 4K: the crop is as large as it is in it, see
            `core.libs.tracker.whole`; `camera` has no say then. None: where it shows too little of the head's crop.
    Raises:
        UserError: there is no such face in it, or it cannot be read.
    """
    given: dict[str, Any] = {"head": head, "open_head": open_head, "camera": camera, "settings": settings}
    return begin_source(path, tracker=tracker, cache=cache, force=force, face=face, whole=whole, **given)()


def begin_source(
    path: Path,
    *,
    tracker: FaceTracker | None = None,
    cache: TrackCache | None = None,
    force: bool = False,
    head: Path | None = None,
    open_head: OpenHead | None = None,
    camera: Camera = _CAMERA,
    settings: TrackSettings = _SETTINGS,
    face: int | None = None,
    whole: bool | None = False,
) -> Callable[[], TrackedSource]:
    """What gives the same: the tracker has seen the photo when this returns, what is left may be done in a thread."""
    cache = cache or TrackCache()
    what = ["whole", WHOLE_VERSION] if whole else ["source", MATTE_VERSION]
    what = ["either", WHOLE_VERSION, MATTE_VERSION] if whole is None else what
    what += [OUTLINE_VERSION]
    what += [] if face is None else [f"face {face}"]
    entry = cache.entry(path, *what, *tracked_by(tracker, head, open_head, camera, settings)) / "source.npz"
    if not force and (known := _load_source(entry)) is not None:
        return lambda: known
    image = read_image(path)
    with open_tracker(tracker) as tracker:
        rest = begin_source_image(
            image,
            tracker,
            str(path),
            head=head,
            open_head=open_head,
            camera=camera,
            settings=settings,
            face=face,
            whole=whole,
        )

    def finish() -> TrackedSource:
        source = rest()
        cache.keep(lambda: _save_source(entry, source))
        return source

    return finish


def track_source_image(
    image: np.ndarray,
    tracker: FaceTracker,
    name: str = "the picture",
    crop: np.ndarray | None = None,
    head: Path | None = None,
    open_head: OpenHead | None = None,
    camera: Camera = _CAMERA,
    settings: TrackSettings = _SETTINGS,
    face: int | None = None,
    whole: bool | None = False,
) -> TrackedSource:
    """As `track_source`, for a picture (H, W, 3) uint8 RGB in memory; nothing is cached.

    `crop` (x, y, side): what to show of the picture, where it is not to be set around the face.
    """
    given: dict[str, Any] = {"head": head, "open_head": open_head, "camera": camera, "settings": settings}
    return begin_source_image(image, tracker, name, crop, face=face, whole=whole, **given)()


def begin_source_image(
    image: np.ndarray,
    tracker: FaceTracker,
    name: str = "the picture",
    crop: np.ndarray | None = None,
    head: Path | None = None,
    open_head: OpenHead | None = None,
    camera: Camera = _CAMERA,
    settings: TrackSettings = _SETTINGS,
    face: int | None = None,
    whole: bool | None = False,
) -> Callable[[], TrackedSource]:
    """As `begin_source`, for a picture in memory."""
    image = fit_photo(image, settings.whole) if whole else image
    boxes = np.empty((0, 4))
    if face is None:
        found = face_of_photo(image, tracker, settings)
    else:
        faces = all_faces(image, tracker)
        boxes = np.array([one.box for one in faces]).reshape(-1, 4)
        check_number(name, face, boxes, image.shape[1])
        found = face_of_photo(image, tracker, settings, boxes[face - 1]) or faces[face - 1]
    if found is None:
        raise UserError(f"{name}: no human face found; give a photo with one face, upright and at least 64 pixels wide")
    crop = crop_around(found.box, settings.crop) if crop is None else crop
    if whole is None and shown_share(image, crop) < settings.whole.least:
        given: dict[str, Any] = {"head": head, "open_head": open_head, "camera": camera, "settings": settings}
        return begin_source_image(image, tracker, name, face=face, whole=True, **given)  # which may be made smaller
    drawn = whole_crop(crop, settings.whole) if whole else None
    if drawn is not None:
        crop, camera = drawn.crop, Camera(drawn.size)
    points = to_crop(found.points, crop, camera.size)
    fitter: HeadFitter | FlameFitter
    mesh_head = None
    if head is None:
        mesh_head = open_head or OpenHead()
        fitter = HeadFitter(mesh_head, camera, settings.fit, settings.pose)
    else:
        fitter = flame_fitter(head, camera, settings.flame, settings.fit)
    fit = fitter.fit(points[None])
    frame = TrackedFrame(
        fit.shapecode,
        fit.expcode[0],
        fit.posecode[0],
        fit.eyecode[0],
        fit.transform[0],
        head_box(points, camera.size),
        head=fitter.kind,
        static_offset=fit.static_offset,
    )
    if drawn is not None:
        pixels, matte, inside = whole_pixels(image, drawn, found.points, tracker, settings.whole)
        if face is not None:
            matte = matte * own_side(matte.shape, drawn.wide, boxes, face - 1)
        square = drawn.crop.astype(np.float64)
        beyond = whole_matte(image, found.points, tracker, settings.matte)
        if mesh_head is not None:
            frame = within_outline(frame, mesh_head, pixels, matte, inside, drawn.margin, camera)
        source = TrackedSource(frame, pixels, matte, drawn.margin, inside, square, joined=True, beyond=beyond)
        return lambda: source
    margin = round(settings.margin * camera.scale)
    wide = camera.size + 2 * margin
    part = crop[2] * margin / camera.size
    wide_crop = np.array([crop[0] - part, crop[1] - part, crop[2] + 2 * part])
    pixels = crop_image(image, wide_crop, wide)
    inside = crop_image(255 * without_bars(image).astype(np.uint8), wide_crop, wide) > 127
    parts = image, wide_crop, pixels, inside, points[:, :2] + margin, margin
    solved = begin_matte(*parts, tracker.matte, settings.matte)

    def rest() -> TrackedSource:
        matte = solved()
        if face is not None:
            matte = matte * own_side(matte.shape, wide_crop, boxes, face - 1)
        shown = frame
        if mesh_head is not None:
            shown = within_outline(frame, mesh_head, pixels, matte, inside, margin, camera)
        return TrackedSource(shown, pixels, matte, margin, inside, np.asarray(crop, np.float64))

    return rest


def _save_source(path: Path, source: TrackedSource) -> None:
    values = {name: getattr(source, name) for name in ("image", "matte", "margin", "inside", "joined")}
    values |= {name: value for name in ("crop", "beyond") if (value := getattr(source, name)) is not None}
    frame = {f"frame_{k}": v for k, v in vars(source.frame).items() if v is not None}
    save_arrays(path, values | frame, quick=True)


def _load_source(path: Path) -> TrackedSource | None:
    try:
        values = load_arrays(path)
        frame = with_present_names({k.removeprefix("frame_"): v for k, v in values.items() if k.startswith("frame_")})
        frame["head"] = str(frame["head"])
        image, matte, inside = (values[name] for name in ("image", "matte", "inside"))
        source = TrackedSource(
            TrackedFrame(**frame),
            image,
            matte,
            int(values["margin"]),
            inside,
            values.get("crop"),
            bool(values.get("joined", False)),
            beyond=values.get("beyond"),
        )
        source.check()
        return source
    except (UserError, KeyError, TypeError, ValueError):
        return None  # not there, or damaged: tracked again
