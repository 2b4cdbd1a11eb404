"""What a pipeline is put together from: tracker, head and avatar."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from core.data.picture_folder import PictureFolder
from core.data.records import TrackedFrame, TrackedSequence, TrackedSource
from core.errors import UserError
from core.options import DEFAULT_CHECKPOINT, FLAME_FILE, Options
from core.runtime.progress import Advance

if TYPE_CHECKING:
    import torch


class Head(Protocol):
    """A head model: `core.libs.flame_model.FLAMEModel`."""

    kind: str  # `open` or `flame`
    faces: Any  # (F, 3)

    def evaluate(self, frame: TrackedFrame) -> np.ndarray: ...  # (V, 3)


class Avatar(Protocol):
    """A way to turn a photo into something that can be rendered: `core.models.LiftedAvatar`."""

    name: str

    def warm_up(self) -> float: ...

    def encode(self, source: TrackedSource, anchor: np.ndarray | None = None) -> Any: ...

    def render(
        self,
        avatar: Any,
        vertices: np.ndarray,
        transform_matrix: np.ndarray,
        detail: float = 0.0,
        torso: np.ndarray | None = None,
        view: np.ndarray | None = None,  # given only where the camera is moved
        mouth: np.ndarray | None = None,  # given only where the driver's mouth was looked into
    ) -> torch.Tensor: ...  # (3, 512, 512), the caller's own: it is written to


@dataclass(frozen=True)
class Parts:
    """What a pipeline is put together from. `default_parts` gives the usual ones; a program may give its own."""

    track_source: Callable[[Path, bool], TrackedSource]
    track_driver: Callable[[Path, bool, Advance], TrackedSequence]
    crop: Callable[[np.ndarray, np.ndarray], np.ndarray]
    transfer: Callable[[TrackedFrame, TrackedSequence], TrackedSequence]
    head: Head
    model: Avatar
    to_flame: Callable[[TrackedSequence], TrackedSequence] | None = None
    to_open: Callable[[TrackedSequence, Path], TrackedSequence] | None = (
        None  # codes of FLAME's, and where they are from
    )
    track_folder: Callable[[PictureFolder, bool, Advance], tuple[TrackedSequence, np.ndarray]] | None = None


def default_parts(options: Options, model_name: str = "lifted") -> Parts:
    """The usual tracker, with the head and the avatar of that name. Imports here, because they take seconds.

    Raises:
        UserError: the network's files cannot be had, or its device.
    """
    from core.libs.retargeting.motion_transfer import MotionTransfer
    from core.libs.tracker.cache import TrackCache
    from core.libs.tracker.crop import crop_image
    from core.libs.tracker.folder import track_folder
    from core.libs.tracker.track import track_driver, track_source

    cache = TrackCache()
    model, head, path, to_flame, to_open = (_network if model_name == "gagavatar" else _lifted)(options)
    return Parts(
        track_source=lambda photo, force: track_source(photo, cache=cache, force=force, head=path),
        track_driver=lambda driver, force, advance: track_driver(
            driver, cache=cache, force=force, progress=advance, head=path
        ),
        crop=crop_image,
        transfer=MotionTransfer(options.motion).run,
        head=head,
        model=model,
        to_flame=to_flame,
        to_open=to_open,
        track_folder=lambda folder, force, advance: track_folder(
            folder, cache=cache, force=force, progress=advance, head=path
        ),
    )


_Convert = Callable[..., TrackedSequence]


def _lifted(options: Options) -> tuple[Avatar, Head, None, None, _Convert]:
    from core.libs.flame_model import FLAMEModel
    from core.libs.flame_model.code_map import to_open
    from core.models.LiftedAvatar.models import LiftedAvatar

    red, green, blue = options.background_rgb
    avatar = LiftedAvatar(background=(red / 255, green / 255, blue / 255))
    flame = DEFAULT_CHECKPOINT.with_name(FLAME_FILE)
    return avatar, FLAMEModel(), None, None, lambda track, came_from: to_open(track, flame, came_from)


def _network(options: Options) -> tuple[Avatar, Head, Path, _Convert, None]:
    from core.libs.flame_model import FLAMEModel
    from core.libs.tracker.refit import to_flame
    from core.models.GAGAvatar.adapter import PublishedAvatar

    device = _device(options.device)
    checkpoint, flame = _files(options)
    head = FLAMEModel(path=flame, no_lmks=True)
    return PublishedAvatar.load(checkpoint, head, device), head, flame, lambda track: to_flame(track, flame), None


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
