"""Files that are whole or not there: written beside their place under another name, and renamed when complete.

While it is written, a part file is locked. One that nobody holds a lock on is what a killed run left behind: the next
run that writes to the same place removes it.
"""

from __future__ import annotations

import glob
import os
import sys
import uuid
import weakref
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

if sys.platform != "win32":  # which has no such locks: there what is left behind stays
    import fcntl

# Process state by its nature, as the signal handler's is that reads it: what is under way when the process must end.
_UNDER_WAY: weakref.WeakSet[PartFile] = weakref.WeakSet()


class PartFile:
    """The unfinished file of a place; a context manager that removes it unless it was finished.

    Args:
        target: the place. It is on the same disk as `path`, so that the rename at the end is atomic.

    Attributes:
        path: the unfinished file; it exists, is empty and is to be written to.

    Raises:
        OSError: the folder does not take a new file.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        remove_leftovers(target)
        while True:
            self.path = target.with_name(f"{_beginning(target)}{uuid.uuid4().hex[:12]}.part")
            self._file: BinaryIO | None = self.path.open("xb")
            _UNDER_WAY.add(self)
            _lock(self._file)
            if self.path.exists():  # else another run took it for a leftover before it was locked
                return
            self._release()

    def finish(self, target: Path | None = None, durable: bool = True) -> None:
        """Put the file in its place, or in another one beside it. OSError where the disk does not take it.

        `durable`: wait until the disk has it, else a power cut may leave the name and lose what is in it.
        """
        if durable:
            with self.path.open("rb") as written:
                os.fsync(written.fileno())
        self.path.replace(target or self.target)
        self._release()

    def discard(self) -> None:
        """Remove the file; nothing happens where that is done, or it was finished."""
        if self._file is not None:
            self.path.unlink(missing_ok=True)
            self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.discard()

    def _release(self) -> None:
        _UNDER_WAY.discard(self)
        if self._file is not None:
            self._file.close()
            self._file = None


def remove_leftovers(target: Path) -> None:
    """Remove unfinished files of a place whose writer is gone."""
    if sys.platform == "win32":
        return
    for path in target.parent.glob(f"{glob.escape(_beginning(target))}*.part"):
        with suppress(OSError), path.open("rb") as file:
            if _lock(file):
                path.unlink()


def discard_all() -> None:
    """Remove every unfinished file of this process; for its very end only."""
    for part in list(_UNDER_WAY):
        with suppress(OSError):
            part.path.unlink()


def _beginning(target: Path) -> str:
    return f".{target.stem[:40]}-"  # cut, because file systems end names at 255 bytes


def _lock(file: BinaryIO) -> bool:
    """Whether the file could be locked for this process; False too where the file system knows no locks."""
    if sys.platform == "win32":
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError:
        return False
