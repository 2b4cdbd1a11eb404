"""What a result depends on, as short texts: contents of files and folders, and the program itself."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import core
from core import __version__
from core.errors import UserError

_WITHOUT_A_SAY = ("batch", "evaluation", "export", "page", "live.py")  # in what a run writes
_LIBRARIES = ("av", "mediapipe", "numba", "numpy", "opencv-contrib-python", "pillow", "scipy", "torch")


def program_digest() -> str:
    """The version, and a hash of the code and data that make a result and of the libraries' versions."""
    sha, folder = hashlib.sha256(), Path(core.__file__).parent
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.suffix in (".py", ".npz", ".yaml") and inside.parts[0] not in _WITHOUT_A_SAY:
            sha.update(inside.as_posix().encode() + b"\0" + path.read_bytes())
    for name in _LIBRARIES:
        try:
            sha.update(f"{name} {version(name)}\0".encode())
        except PackageNotFoundError:
            sha.update(f"{name} none\0".encode())
    return f"{__version__}+{sha.hexdigest()[:16]}"


def content_digest(path: Path, of_file: Callable[[Path], str] | None = None) -> str:
    """The sha256 of a file's content, or of a folder's: its files' names and contents.

    `of_file`: gives a file's, where it is known from before. UserError where something cannot be read.
    """
    of_file = of_file or plain_digest
    if not path.is_dir():
        return of_file(path)
    sha = hashlib.sha256()
    try:
        files = sorted(file for file in path.rglob("*") if file.is_file())
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check its permissions") from error
    for file in files:
        sha.update(file.relative_to(path).as_posix().encode(errors="surrogateescape") + b"\0" + of_file(file).encode())
    return sha.hexdigest()


def plain_digest(path: Path) -> str:
    """The sha256 of a file's bytes. UserError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check its name and permissions") from error
