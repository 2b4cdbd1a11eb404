"""What tabs upload and get: files in a private temporary folder, under names of our own, until they are no longer
wanted.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from core.data.image import kind_of
from core.data.motion_file import motion_format
from core.errors import UserError
from core.libs.tracker.cache import TrackCache
from core.page.settings import PageSettings

_SETTINGS = PageSettings()
PREFIX = "gagavatar-page-"
MADE = "made"
SOUNDS = (".wav", ".m4a", ".flac", ".ogg", ".mp3")


def ending_of(start: bytes) -> str | None:
    """The ending that the first bytes of a file ask for; None where it is nothing that can be used."""
    signatures = (
        (0, b"\xff\xd8\xff", ".jpg"),
        (0, b"\x89PNG\r\n\x1a\n", ".png"),
        (0, b"GIF8", ".gif"),
        (0, b"BM", ".bmp"),
        (0, b"II*\x00", ".tif"),
        (0, b"MM\x00*", ".tif"),
        (8, b"WEBP", ".webp"),
        (8, b"AVI ", ".avi"),
        (8, b"WAVE", ".wav"),
        (4, b"ftypavif", ".avif"),
        (4, b"ftypM4A", ".m4a"),
        (4, b"ftyp", ".mp4"),
        (0, b"\x1aE\xdf\xa3", ".webm"),
        (0, b"fLaC", ".flac"),
        (0, b"OggS", ".ogg"),
        (0, b"ID3", ".mp3"),
        (0, b"\xff\xfb", ".mp3"),
        (0, b"\x93NUMPY", ".npy"),
        (0, b"PK\x03\x04", ".npz"),
    )
    return next((ending for at, mark, ending in signatures if start[at : at + len(mark)] == mark), None)


def shown_name(name: str, length: int) -> str:
    """A file's name as it may be shown and offered for download: no folders, no control characters, not hidden."""
    last = re.split(r"[/\\]", name)[-1]
    clean = re.sub(r"[^\w .()+,=@-]", "_", last).strip(" .")[:length]
    return clean or "file"


@dataclass(frozen=True)
class Stored:
    """A file: its path, how it is shown, what it is and when it came (seconds of a clock that does not jump)."""

    name: str
    path: Path
    shown: str
    kind: str
    size: int
    since: float

    def told(self) -> dict[str, object]:
        """What the page is told of it."""
        return {"id": self.name, "name": self.shown, "kind": self.kind, "size": self.size}


@dataclass(eq=False)
class Tab:
    """A tab of a browser: its secret name, its folder and files. `left`: since when it has no connection."""

    name: str
    folder: Path
    files: dict[str, Stored] = field(default_factory=dict)
    left: float | None = None
    connections: int = 0
    coming: int = 0  # uploads under way
    coming_bytes: int = 0

    def find(self, name: str) -> Path:
        """The path of a file by its name; UserError where it is not, or no longer, there."""
        if name not in self.files:
            raise UserError("that file is no longer here: choose it again")
        return self.files[name].path

    def readable(self, text: str) -> str:
        """A message with the names that the files had, instead of where they lie."""
        for stored in self.files.values():
            text = text.replace(str(stored.path), stored.shown)
        return " ".join(text.replace(f"{self.folder}{os.sep}", "").split())


class Store:
    """All tabs and their files. Its folder is the user's alone (mode 0700) and goes with `close`.

    Args:
        settings: the bounds. clock: seconds.
    """

    def __init__(self, settings: PageSettings = _SETTINGS, clock: Callable[[], float] = time.monotonic) -> None:
        remove_leftovers()
        self.settings, self.clock = settings, clock
        self.folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-")).resolve()
        self.tabs: dict[str, Tab] = {}

    def open_tab(self, known: str | None = None) -> Tab:
        """A tab that comes back, by its name, or a new one. UserError where there are too many."""
        tab = self.tabs.get(known or "")
        if tab is None:
            if len(self.tabs) >= self.settings.tabs:
                raise UserError("too many tabs are open: close one")
            name = secrets.token_urlsafe(24)
            tab = self.tabs[name] = Tab(name, self.folder / secrets.token_hex(8))
            tab.folder.mkdir(mode=0o700)
        tab.connections += 1
        tab.left = None
        return tab

    def leave(self, tab: Tab) -> None:
        """A connection of a tab ended."""
        tab.connections -= 1
        if tab.connections == 0:
            tab.left = self.clock()

    def begin(self, tab: Tab, size: int | None) -> Path:
        """The place of a new upload that says that it has so many bytes. UserError where it is too much."""
        bounds = self.settings
        if len(tab.files) + tab.coming >= bounds.files:
            raise UserError(f"{bounds.files} files are here already: remove one, or load the page again")
        self.check_size(tab, size or 0)
        tab.coming += 1
        return tab.folder / secrets.token_hex(12)

    def check_size(self, tab: Tab, size: int) -> None:
        """UserError where an upload of so many bytes is too large."""
        bounds = self.settings
        if size > bounds.upload_bytes:
            raise UserError(f"the file is too large: {bounds.upload_bytes >> 20} MiB are taken")
        if size + sum(stored.size for stored in tab.files.values()) > bounds.tab_bytes:
            raise UserError(f"the files of this tab are too large together: {bounds.tab_bytes >> 20} MiB are taken")

    def keep(self, tab: Tab, place: Path, name: str) -> Stored:
        """Take a complete upload by what it is. UserError, and the file is gone, where that is nothing to be used."""
        shown = shown_name(name, self.settings.name_length)
        with place.open("rb") as file:
            ending = ending_of(file.read(16))
        if ending is None:
            raise UserError(f"{shown} is neither a picture, a video, a sound nor a file of codes that can be read")
        path = place.rename(place.with_suffix(ending))
        try:
            kind = "sound" if ending in SOUNDS else kind_of(path)
            if kind == "motion" and motion_format(path, by_name=False) == "torch":
                path = path.rename(path.with_suffix(".pt"))
        except UserError as error:
            path.unlink(missing_ok=True)
            raise UserError(str(error).replace(str(path), shown)) from None
        return self.add(tab, path, shown, kind)

    def add(self, tab: Tab, path: Path, shown: str, kind: str) -> Stored:
        """Put a file that lies in the tab's folder on its list."""
        name = secrets.token_urlsafe(12)
        tab.files[name] = Stored(name, path, shown, kind, path.stat().st_size, self.clock())
        return tab.files[name]

    def remove(self, tab: Tab, name: str) -> None:
        """Delete a file; nothing happens where it is gone."""
        stored = tab.files.pop(name, None)
        if stored is not None:
            stored.path.unlink(missing_ok=True)

    def close_tab(self, tab: Tab) -> None:
        """Delete a tab with all of its files, what was tracked of them included."""
        self.tabs.pop(tab.name, None)
        tab.files.clear()
        shutil.rmtree(tab.folder, ignore_errors=True)
        self.forget_made()

    def forget_made(self) -> None:
        """Delete what was made of pictures, of whatever tab: it is made again where it is wanted."""
        shutil.rmtree(self.folder / MADE, ignore_errors=True)

    def sweep(self, busy: Iterable[Tab] = ()) -> list[Tab]:
        """Delete files that are old, but of tabs that are `busy`. Returns the tabs that nobody looks at any more."""
        now = self.clock()
        for tab in set(self.tabs.values()) - set(busy):
            old = [name for name, stored in tab.files.items() if now - stored.since > self.settings.keep_seconds]
            for name in old:
                self.remove(tab, name)
            if old:
                self.forget_made()
            if old and not tab.files:
                shutil.rmtree(tab.folder / "tracks", ignore_errors=True)
        return [t for t in self.tabs.values() if t.left is not None and now - t.left > self.settings.grace_seconds]

    def close(self) -> None:
        """Delete everything."""
        self.tabs.clear()
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(frozen=True)
class PageCache(TrackCache):
    """The user's cache for what comes with the program; what is tracked of an upload lies, and goes, with its tab.

    Attributes:
        uploads: the store's folder.
        made: where what is made of pictures in memory is kept, which have no path to tell a tab by.
    """

    uploads: Path = Path()
    made: Path = Path()

    def entry(self, path: Path, *depends_on: str) -> Path:
        entry = super().entry(path, *depends_on)
        path = path.resolve()
        if not path.is_relative_to(self.uploads):
            return entry
        return self.uploads / path.relative_to(self.uploads).parts[0] / "tracks" / entry.name

    def entry_of(self, blocks: Iterable[bytes], *depends_on: str) -> Path:
        entry = super().entry_of(blocks, *depends_on)
        return self.made / entry.name if depends_on[:1] in (("plate",), ("avatar",)) else entry


def remove_leftovers() -> None:
    """Delete folders of servers that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
        owner = folder.name.removeprefix(PREFIX).partition("-")[0]
        mine = not folder.is_symlink() and folder.is_dir() and (os.name == "nt" or folder.stat().st_uid == os.getuid())
        if owner.isdigit() and mine and not _runs(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
