"""What a pipeline is put together from: tracker, head and avatar."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from core.data.picture_folder import PictureFolder
from core.data.records import IMAGE_SIZE, TrackedFrame, TrackedSequence, TrackedSource
from core.errors import UserError
from core.models.request import DrawRequest
from core.options import DEFAULT_CHECKPOINT, FLAME_FILE, Options
from core.runtime.progress import Advance

if TYPE_CHECKING:
    import torch

    from core.kept_avatars import KeptAvatars
    from core.libs.flame_model import Head, OpenHead
    from core.libs.tracker.cache import TrackCache


def _plate(image: np.ndarray, matte: np.ndarray, inside: np.ndarray | None = None) -> np.ndarray:
    from core.libs.plate import make_plate  # it loads numba and scipy

    return make_plate(image, matte, inside)


class Avatar(Protocol):
    """A way to turn a photo into something that can be rendered: `core.models.LiftedAvatar`."""

    @property
    def name(self) -> str: ...

    def warm_up(self) -> float: ...

    def encode(self, source: TrackedSource, anchor: np.ndarray | None = None) -> Any: ...

    @property
    def background(self) -> np.ndarray: ...  # (3,) RGB in 0..1, on which `render` draws

    # (3, S, S) as large as the photo's shown crop, or as the request's camera; the caller's own: it is written to
    def render(self, avatar: Any, request: DrawRequest) -> torch.Tensor: ...

    # The same, alone: straight RGB and matte (4, S, S). An avatar that has no such method is drawn by `render`
    # whatever the background.
    def draw_foreground(self, avatar: Any, request: DrawRequest) -> torch.Tensor: ...


class People(Protocol):
    """Who there is in pictures of several people, and one of them by the number: see `core.libs.tracker.choice`."""

    def photo_faces(self, photo: Path, force: bool) -> tuple[np.ndarray, int]: ...  # (N, 4) boxes; the largest

    def driver_faces(self, driver: Path) -> int: ...  # seen at once, once `track_driver` has tracked it

    def track_source(self, photo: Path, number: int, force: bool) -> TrackedSource: ...

    def track_driver(
        self, driver: Path, numbers: Sequence[int] | None, force: bool, advance: Advance
    ) -> dict[int, TrackedSequence]: ...

    def track_folder(
        self, folder: PictureFolder, number: int, force: bool, advance: Advance
    ) -> tuple[TrackedSequence, np.ndarray]: ...


@dataclass(frozen=True)
class Components:
    """What a pipeline is put together from. `default_components` gives the usual ones; a program may give its own.

    Attributes:
        track_source, track_driver, track_folder: see `core.libs.tracker`; tracked again where the flag says so. One
            whose `track_source` has a method `begin`, as `begin_source` is, tracks photo and driver side by side.
        crop: the square of a picture (H, W, 3) that x, y and side (3,) say, as (size, size, 3).
        head: the one head model of a run. model: the avatar.
        convert: a driver's codes of another head as those of `head`, and the driver's path, for messages; None where
            that cannot be done.
        plate: what stands behind the person in a picture, see `core.libs.plate.make_plate`.
        open_head: the head on which the tracker's points are corrected: `head` itself where that is the open one.
        retarget: where it is given, takes the place of the whole retargeting stage, the options `motion`, `take`,
            `orbit`, `expression_opt` and `gaze_correct` included (`core.libs.retargeting.stage.Retargeting`).
        people: finds one of several people; None where the tracker sees one face only.
        separate: a photo whose person is to be put over something else, and its plate, into the photo with the person's
            own colours; None where the avatar has no use for them.
        pose_seen_small: the pose that the photo's face is tracked with in a crop of so many pixels, see
            `core.libs.tracker.seen_small`; None where that is not measured.
        kept: where avatars of `model` are kept for the next run; None: they are made in every one.
    """

    track_source: Callable[[Path, bool], TrackedSource]
    track_driver: Callable[[Path, bool, Advance], TrackedSequence]
    crop: Callable[[np.ndarray, np.ndarray, int], np.ndarray]
    head: Head
    model: Avatar
    convert: Callable[[TrackedSequence, Path], TrackedSequence] | None = None
    track_folder: Callable[[PictureFolder, bool, Advance], tuple[TrackedSequence, np.ndarray]] | None = None
    retarget: Callable[[TrackedFrame, TrackedSequence, Head], TrackedSequence] | None = None
    open_head: OpenHead | None = None
    plate: Callable[..., np.ndarray] = _plate
    people: People | None = None
    separate: Callable[[TrackedSource, np.ndarray], TrackedSource] | None = None
    pose_seen_small: Callable[[TrackedSource, float], np.ndarray | None] | None = None
    kept: KeptAvatars | None = None


def default_components(
    options: Options, model_name: str = "lifted", open_head: Path | None = None, cache: TrackCache | None = None
) -> Components:
    """The usual tracker, with the head and the avatar of that name. Imports here, because they take seconds.

    Args:
        options: of the run. model_name: `lifted` or `gagavatar`.
        open_head: another file of `tools.build_open_head` than the one that comes with the program.
        cache: where tracks are kept, the user's cache folder where it is left out.
    Raises:
        UserError: the network's files cannot be had, or its device; the file of the head cannot be read.
    """
    from core.kept_avatars import KeptAvatars, Packing
    from core.libs.flame_model import OPEN_HEAD, OpenHead
    from core.libs.geometry import Camera
    from core.libs.tracker.cache import TrackCache
    from core.libs.tracker.crop import crop_image
    from core.libs.tracker.driver import track_driver
    from core.libs.tracker.folder import track_folder
    from core.libs.tracker.plates import cached_plate
    from core.libs.tracker.seen_small import pose_seen_small

    cache, built_in = cache or TrackCache(), OpenHead(path=open_head or OPEN_HEAD)
    # The pictures correct the tracker's points on the open head, also where FLAME's codes are wanted.
    model, head, flame, convert = (_network if model_name == "gagavatar" else _lifted)(options, built_in)
    tracked: dict[str, Any] = {"cache": cache, "head": flame, "open_head": built_in}
    shown: dict[str, Any] = {
        "camera": Camera(options.size),
        "whole": options.whole_photo if model_name == "lifted" else False,
    }
    return Components(
        track_source=_Photo({**shown, **tracked}),
        track_driver=lambda driver, force, advance: track_driver(driver, force=force, progress=advance, **tracked),
        crop=crop_image,
        head=head,
        model=model,
        convert=convert,
        track_folder=lambda folder, force, advance: track_folder(folder, force=force, progress=advance, **tracked),
        open_head=built_in,
        plate=lambda *picture: cached_plate(cache, *picture),
        people=_People(tracked, shown),
        separate=separated if model_name == "lifted" else None,
        pose_seen_small=partial(pose_seen_small, open_head=built_in) if model_name == "lifted" else None,
        kept=KeptAvatars(cache, model) if isinstance(model, Packing) else None,
    )


def separated(source: TrackedSource, plate: np.ndarray) -> TrackedSource:
    """A photo with its person's own colours, and the matte that gives it again over its plate (S, S, 3) uint8."""
    from core.libs.foreground import separate

    colors, matte = separate(source.image, source.matte, plate, source.size / IMAGE_SIZE)
    return replace(source, foreground=colors, matte=matte)


@dataclass(frozen=True)
class _Photo:
    """Tracks the photo; `given`: what the tracker's function is given."""

    given: dict[str, Any]

    def __call__(self, photo: Path, force: bool) -> TrackedSource:
        return self.begin(photo, force)()

    def begin(self, photo: Path, force: bool) -> Callable[[], TrackedSource]:
        """See `begin_source`."""
        from core.libs.tracker.source import begin_source

        return begin_source(photo, force=force, **self.given)


@dataclass(frozen=True)
class _People:
    """See `People`; `tracked`: what all of the tracker's functions are given. `shown`: what of the photo is."""

    tracked: dict[str, Any]
    shown: dict[str, Any]

    def photo_faces(self, photo: Path, force: bool) -> tuple[np.ndarray, int]:
        from core.libs.tracker.choice import photo_faces

        return photo_faces(photo, cache=self.tracked["cache"], force=force)

    def driver_faces(self, driver: Path) -> int:
        from core.libs.tracker.driver import faces_seen

        return faces_seen(driver, **self.tracked)

    def track_source(self, photo: Path, number: int, force: bool) -> TrackedSource:
        from core.libs.tracker.source import track_source

        return track_source(photo, force=force, face=number, **self.shown, **self.tracked)

    def track_driver(
        self, driver: Path, numbers: Sequence[int] | None, force: bool, advance: Advance
    ) -> dict[int, TrackedSequence]:
        from core.libs.tracker.choice import track_people

        return track_people(driver, numbers, force=force, progress=advance, **self.tracked)

    def track_folder(
        self, folder: PictureFolder, number: int, force: bool, advance: Advance
    ) -> tuple[TrackedSequence, np.ndarray]:
        from core.libs.tracker.folder import track_folder

        return track_folder(folder, force=force, progress=advance, face=number, **self.tracked)


_Convert = Callable[[TrackedSequence, Path], TrackedSequence]


def _lifted(options: Options, open_head: OpenHead) -> tuple[Avatar, Head, None, _Convert]:
    from core.libs.flame_model.code_map import to_open
    from core.models.LiftedAvatar.models import LiftedAvatar

    red, green, blue = options.background_rgb or (0, 0, 0)
    avatar = LiftedAvatar(background=(red / 255, green / 255, blue / 255), head=open_head)
    flame = DEFAULT_CHECKPOINT.with_name(FLAME_FILE)
    return avatar, open_head, None, lambda track, came_from: to_open(track, flame, came_from, open_head)


def _network(options: Options, open_head: OpenHead) -> tuple[Avatar, Head, Path, _Convert]:
    from core.libs.flame_model import FlameHead
    from core.libs.retargeting.shots import by_groups, by_number
    from core.libs.tracker.refit import to_flame
    from core.models.GAGAvatar.adapter import PublishedAvatar

    device = _device(options.device)
    checkpoint, flame = _files(options)
    head = FlameHead(path=flame, no_lmks=True)
    avatar = PublishedAvatar.load(checkpoint, head, device)

    def convert(track: TrackedSequence, came_from: Path) -> TrackedSequence:
        return by_groups(lambda own: to_flame(own, flame, open_head), by_number(track), track)

    return avatar, head, flame, convert


def _files(options: Options) -> tuple[Path, Path]:
    """The checkpoint and FLAME: beside one another, or in the usual folder, where they are fetched to."""
    from core.assets import ASSETS, FLAME, ensure_assets

    beside = options.resume_path.with_name(FLAME_FILE)
    if options.resume_path.is_file() and beside.is_file():
        return options.resume_path, beside
    usual = options.resume_path == DEFAULT_CHECKPOINT
    asked = sys.stdin is not None and sys.stdin.isatty()
    accepted = True if options.accept_flame_license else None if asked else False
    folder = DEFAULT_CHECKPOINT.parent
    paths = ensure_assets(folder, accepted, wanted=ASSETS if usual else (FLAME,), quiet=options.quiet)
    return (paths.checkpoint if usual else options.resume_path), paths.flame


def _device(wanted: str) -> str:
    import torch

    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise UserError("--device cuda: PyTorch sees no CUDA device here; take --device cpu, or install CUDA's PyTorch")
    return "cuda" if there and wanted != "cpu" else "cpu"
