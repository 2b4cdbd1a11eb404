"""Which of several people is tracked: all faces of a photo, and the people of a driver by their numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import numpy as np

from core.data.array_file import load_arrays, save_arrays
from core.data.image import kind_of, read_image
from core.data.records import TrackedSequence
from core.data.video import VideoReader
from core.errors import UserError
from core.libs.flame_model import OpenHead
from core.libs.tracker.base import FaceTracker, ManyFaceTracker, Observation
from core.libs.tracker.cache import TrackCache, tracked_by
from core.libs.tracker.driver import Clip, Progress, track_observed
from core.libs.tracker.fit_flame import FlameFitter, flame_fitter
from core.libs.tracker.observed import Observed
from core.libs.tracker.opened import open_tracker
from core.libs.tracker.people import observe_people
from core.libs.tracker.point_buffer import PointBuffer
from core.libs.tracker.settings import TrackSettings
from core.libs.tracker.several import NoFaceError, all_and_largest, all_faces, box_middle, check_number
from core.libs.tracker.still import face_of_photo

_SETTINGS = TrackSettings()
_FACES = "faces.npz"


def photo_faces(
    path: Path, *, tracker: FaceTracker | None = None, cache: TrackCache | None = None, force: bool = False
) -> tuple[np.ndarray, int]:
    """The boxes (N, 4) of all faces of a picture, x0 y0 x1 y1 in its pixels, from left to right.

    And the index of the one that counts as the largest, see `FaceTracker.detect`.
    """
    cache = cache or TrackCache()
    entry = cache.entry(path, "faces", *tracked_by(tracker, None)) / _FACES
    boxes = None if force else _known(entry, 4)
    if boxes is None:
        image = read_image(path)
        with open_tracker(tracker) as tracker:
            faces, main = all_and_largest(image, tracker)
        boxes = np.array([face.box for face in faces], np.float32).reshape(-1, 4)
        if main is not None:  # to the front of the file: the largest is said by the first row
            boxes = np.concatenate([main.box[None].astype(np.float32), boxes])
        cache.keep(lambda: save_arrays(entry, {"boxes": boxes}))
    if not len(boxes):
        return boxes, 0
    apart = [float(np.linalg.norm(box_middle(box) - box_middle(boxes[0]))) for box in boxes[1:]]
    return boxes[1:], int(np.argmin(apart))


def track_people(
    path: Path,
    numbers: Sequence[int] | None = None,
    *,
    tracker: FaceTracker | None = None,
    cache: TrackCache | None = None,
    force: bool = False,
    progress: Progress | None = None,
    head: Path | None = None,
    open_head: OpenHead | None = None,
    settings: TrackSettings = _SETTINGS,
) -> dict[int, TrackedSequence]:
    """The motions of several people of a video or picture, by their numbers; see `track_driver` for the rest.

    Args:
        numbers: of the people wanted, from 1, left to right in the frame that is the first with the most people; all
            of them where it is left out.
        progress: called with the frames looked at and how many looks there will be, where that is known.
    Raises:
        UserError: there is nobody of such a number. NoFaceError: there is nobody at all.
    """
    cache = cache or TrackCache()
    entry = cache.entry(path, "people", *tracked_by(tracker, head, open_head, settings=settings))
    if not force and (known := _known_people(entry, path, numbers)) is not None:
        return known
    flame = None if head is None else flame_fitter(head, settings=settings.flame, eyes=settings.fit)
    footage = read_image(path) if kind_of(path) == "image" else lambda: VideoReader(path)
    with open_tracker(tracker) as tracker:
        boxes, found = people_of(
            footage,
            tracker,
            numbers,
            name=str(path),
            progress=progress,
            flame=flame,
            open_head=open_head,
            settings=settings,
        )
    for number, track in found.items():
        cache.keep(lambda number=number, track=track: track.save(entry / str(number)))  # type: ignore[misc]
    cache.keep(lambda: save_arrays(entry / _FACES, {"boxes": boxes}))
    return found


def people_of(
    footage: np.ndarray | Callable[[], Clip],
    tracker: FaceTracker,
    numbers: Sequence[int] | None = None,
    *,
    name: str,
    progress: Progress | None = None,
    flame: FlameFitter | None = None,
    open_head: OpenHead | None = None,
    settings: TrackSettings = _SETTINGS,
) -> tuple[np.ndarray, dict[int, TrackedSequence]]:
    """As `track_people`, for pictures in memory or a clip that a call opens; nothing is cached.

    Returns:
        Of all people (N, 5) the boxes in the first frame that shows each, and the picture's width; and the motions.
    """
    with ExitStack() as kept:
        if isinstance(footage, np.ndarray):
            people = _in_picture(footage, tracker, settings)
        else:
            looks = _Looks(progress)
            people = observe_people(footage, _many(tracker), looks.first, settings)
        for person in people:
            kept.enter_context(person.points)
        if not people:
            what = "picture" if isinstance(footage, np.ndarray) else "video"
            raise NoFaceError(
                f"{name}: no human face found in this {what}; give one in which a face is seen from the front"
            )
        width = footage.shape[1] if isinstance(footage, np.ndarray) else _width(footage)
        boxes = np.array([[*_first_box(person), width] for person in people], np.float32)
        wanted = range(1, len(people) + 1) if numbers is None else numbers
        for number in wanted:
            check_number(name, number, boxes[:, :4], width)
        found = {}
        for done, number in enumerate(wanted):
            person = people[number - 1]
            found[number] = track_observed(
                person,
                footage,
                tracker,
                name=name,
                progress=None if isinstance(footage, np.ndarray) else looks.second(done, len(wanted), person),
                flame=flame,
                open_head=open_head,
                settings=settings,
                among_others=len(people) > 1,
            )
        return boxes, found


def _in_picture(image: np.ndarray, tracker: FaceTracker, settings: TrackSettings) -> list[Observed]:
    people = []
    for face in all_faces(image, tracker):
        found = face_of_photo(image, tracker, settings, face.box) or face
        points = PointBuffer()
        points.append(found.points)
        people.append(Observed(points, np.array([True]), [Fraction(0)], settings.image_fps))
    return people


def _many(tracker: FaceTracker) -> ManyFaceTracker:
    if not isinstance(tracker, ManyFaceTracker):
        raise UserError(f"the tracker {tracker.name} finds one face in a picture: leave the choice of a face out")
    return tracker


def _first_box(person: Observed) -> np.ndarray:
    return Observation(person.points[int(np.argmax(person.visible))]).box


def _width(footage: Callable[[], Clip]) -> int:
    with footage() as reader:
        return next(iter(reader)).image.shape[1]


class _Looks:
    """The progress of a clip that is looked at once for all people, and then once for each."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress

    def first(self, done: int, frames: int | None) -> None:
        if self._progress is not None:
            self._progress(done, 2 * frames if frames else None)

    def second(self, before: int, people: int, person: Observed) -> Progress | None:
        frames, progress = len(person.points), self._progress
        if progress is None:
            return None
        # A second look counts on from the first one's frames
        return lambda done, _: progress(frames * (1 + before) + max(done - frames, 0), frames * (1 + people))


def _known(path: Path, columns: int) -> np.ndarray | None:
    try:
        boxes = load_arrays(path)["boxes"]
    except (UserError, KeyError):
        return None  # not looked for yet, or damaged: looked for again
    is_usual = boxes.ndim == 2 and boxes.shape[1] == columns and boxes.dtype == np.float32
    return boxes if is_usual and np.isfinite(boxes).all() else None


def _known_people(entry: Path, path: Path, numbers: Sequence[int] | None) -> dict[int, TrackedSequence] | None:
    boxes = _known(entry / _FACES, 5)
    if boxes is None or not len(boxes):
        return None
    wanted = range(1, len(boxes) + 1) if numbers is None else numbers
    for number in wanted:
        check_number(path, number, boxes[:, :4], int(boxes[0, 4]))
    try:
        return {number: TrackedSequence.load(entry / str(number)) for number in wanted}
    except UserError:
        return None  # not tracked yet, or damaged: tracked again
