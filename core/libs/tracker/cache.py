"""Tracking results by content: the same file tracked by the same tracker for the same head is tracked once."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UserError
from core.libs.flame_model import OPEN_HEAD
from core.libs.geometry import Camera
from core.libs.tracker.base import FaceTracker
from core.libs.tracker.settings import TrackSettings

if TYPE_CHECKING:
    from core.libs.flame_model import OpenHead

VERSION = "23"  # of all in `core.libs.tracker` that changes what comes out
FLAME_VERSION = "1"  # of the fit of FLAME
_SETTINGS, _CAMERA = TrackSettings(), Camera()
_LOG = logging.getLogger(__name__)


def default_folder() -> Path:
    """The user's cache folder, as the XDG base directory specification has it."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "gagavatar-enhanced" / "tracks"


@dataclass(frozen=True)
class TrackCache:
    """Folders of tracked parameters, named by a hash of all that they depend on."""

    folder: Path = field(default_factory=default_folder)

    def entry(self, path: Path, *depends_on: str) -> Path:
        """The folder for a file's result; it need not exist yet."""
        return self.entry_of(_blocks(path), *depends_on)

    def entry_of(self, blocks: Iterable[bytes], *depends_on: str) -> Path:
        """The same for what need not be one file; `blocks`: its bytes."""
        digest = hashlib.sha256()
        for block in blocks:
            digest.update(block)
        digest.update("\0".join(depends_on).encode())
        return self.folder / digest.hexdigest()[:32]

    def keep(self, save: Callable[[], object]) -> None:
        """Save a result. A run does not fail for want of room in the cache: it goes on and says so."""
        try:
            save()
        except (UserError, OSError) as error:
            _LOG.warning("not kept for the next run: %s", error)


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            yield block


def tracked_by(
    tracker: FaceTracker | None,
    head: Path | None,
    open_head: OpenHead | None = None,
    camera: Camera = _CAMERA,
    settings: TrackSettings = _SETTINGS,
) -> tuple[str, ...]:
    """What a result depends on besides the file: FLAME's codes also on the open head, which corrects them.

    Camera and settings are named where they are not the default ones.
    """
    by: FaceTracker | type[FaceTracker] | None = tracker
    if by is None:
        from core.libs.tracker.mediapipe_tracker import MediaPipeTracker

        by = MediaPipeTracker  # only its name and version are read
    common: tuple[str, ...] = VERSION, by.name, by.version, _digest(OPEN_HEAD if open_head is None else open_head.path)
    common += tuple(repr(value) for value in (camera, settings) if value not in (_CAMERA, _SETTINGS))
    return common if head is None else (*common, FLAME_VERSION, _digest(head))


def _digest(head: Path) -> str:
    try:
        with head.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{head}: head model cannot be read ({error.strerror})") from None
