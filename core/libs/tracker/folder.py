"""A folder of pictures in, tracked parameters out: every clip in it as a video, every still as a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from core.data.picture_folder import FrameReader, PictureFolder
from core.data.records import TrackedSequence, join
from core.errors import UserError
from core.libs.flame_model import OpenHead
from core.libs.tracker.base import FaceTracker
from core.libs.tracker.cache import TrackCache, tracked_by
from core.libs.tracker.choice import people_of
from core.libs.tracker.driver import track_footage
from core.libs.tracker.fit_flame import FlameFitter, flame_fitter
from core.libs.tracker.opened import open_tracker
from core.libs.tracker.settings import TrackSettings
from core.libs.tracker.several import NoFaceError

_SETTINGS = TrackSettings()
Progress = Callable[[int, int | None], None]


def track_folder(
    folder: PictureFolder,
    *,
    tracker: FaceTracker | None = None,
    cache: TrackCache | None = None,
    force: bool = False,
    progress: Progress | None = None,
    head: Path | None = None,
    open_head: OpenHead | None = None,
    settings: TrackSettings = _SETTINGS,
    face: int | None = None,
) -> tuple[TrackedSequence, np.ndarray]:
    """The faces in a folder of pictures, in codes of the open head, or of FLAME where `head` is its file.

    Every shot is tracked for itself and kept in the cache for itself. One without a face in any of its pictures is
    left out. `progress` is called with the pictures done and their number. `face`: of several people in every shot
    the one of this number, see `track_people`, and a shot with fewer is left out; the largest face without it.

    Returns:
        The parameters, 25 frames per second, with their shots; and which of the pictures (T,) they are of.
    Raises:
        UserError: no picture has a face, one cannot be read, or the pictures of a clip differ in size.
    """
    cache = cache or TrackCache()
    which = () if face is None else (f"face {face}",)
    depends_on = ("driver", *which, *tracked_by(tracker, head, open_head, settings=settings))
    parts, kept, done = [], [], 0
    with _Later(tracker, head, open_head, settings) as later:
        for frames in folder.shot_frames:
            entry = cache.entry_of((folder.data(int(frame)) for frame in frames), *depends_on)
            part = None if force else _known(entry, len(frames))
            if part is None:
                behind = None if progress is None else _behind(progress, done, folder)
                part = _tracked(folder, frames, later, behind, face)
                if part is not None:
                    cache.keep(partial(part.save, entry))
            if part is not None:
                parts.append(part)
                kept.append(frames)
            done += len(frames)
            if progress is not None:
                progress(done, len(folder))
    if not parts:
        if face is not None:
            raise UserError(f"{folder.path}: none of its {len(folder)} pictures shows a face {face} from the left")
        raise UserError(
            f"{folder.path}: no human face found in any of its {len(folder)} pictures; give some in which a face is "
            f"seen from the front"
        )
    joined = join(parts)
    times = tuple(i / joined.fps for i in range(len(joined)))
    return replace(joined, times=times), np.concatenate(kept)


def _known(entry: Path, frames: int) -> TrackedSequence | None:
    try:
        track = TrackedSequence.load(entry)
    except UserError:
        return None  # not tracked yet, or damaged: tracked again
    return track if len(track) == frames else None


def _tracked(
    folder: PictureFolder, frames: np.ndarray, later: _Later, progress: Progress | None, face: int | None
) -> TrackedSequence | None:
    """A shot of the folder; None where it shows no face, or none of this number."""
    first = int(frames[0])
    footage = folder.read(first) if len(frames) == 1 else lambda: FrameReader(folder, frames)
    try:
        given: dict[str, Any] = {
            "name": folder.name(first),
            "progress": progress,
            "open_head": later.open_head,
            "settings": later.settings,
        }
        if face is not None:
            return people_of(footage, later.tracker, [face], flame=later.fitter, **given)[1][face]
        return track_footage(footage, later.tracker, head=later.fitter, **given)
    except NoFaceError:
        return None


def _behind(progress: Progress, before: int, folder: PictureFolder) -> Progress:
    """The progress of a clip, which is looked at twice, within the folder's."""
    return lambda done, total: progress(before + done // 2, len(folder))


class _Later:
    """The tracker and FLAME's fitter, opened when something is not in the cache."""

    def __init__(
        self, given: FaceTracker | None, head: Path | None, open_head: OpenHead | None, settings: TrackSettings
    ) -> None:
        self._opened, self._head, self.open_head, self.settings = open_tracker(given), head, open_head, settings
        self._tracker: FaceTracker | None = None
        self._fitter: FlameFitter | None = None

    def __enter__(self) -> _Later:
        return self

    def __exit__(self, *error: Any) -> None:
        if self._tracker is not None:
            self._opened.__exit__(*error)

    @property
    def tracker(self) -> FaceTracker:
        if self._tracker is None:
            self._tracker = self._opened.__enter__()
        return self._tracker

    @property
    def fitter(self) -> FlameFitter | None:
        if self._head is not None and self._fitter is None:
            self._fitter = flame_fitter(self._head, settings=self.settings.flame, eyes=self.settings.fit)
        return self._fitter
