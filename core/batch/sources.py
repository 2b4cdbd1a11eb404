"""The photos and drivers that a batch was given: files, folders, patterns."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from core.data.records import TRACK_FILE
from core.data.upstream_folder import inside, parameter_file
from core.errors import UserError

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".jp2", ".ppm", ".mpo", ".heic")
VIDEOS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".wmv", ".flv", ".3gp", ".ogv")
CODES = (".npz", ".npy", ".pt", ".pth", ".pkl", ".pickle")


def photos_of(given: Iterable[str], say: Callable[[str], None]) -> list[Path]:
    """The photos of files, folders and patterns, each once, in the order given; in a folder by name.

    `say` is told what was left out. UserError where one of them gives nothing.
    """
    return _each_once(_paths(given, _pictures_in, "photo"), say)


def drivers_of(given: Iterable[str], say: Callable[[str], None]) -> list[Path]:
    """The drivers, likewise.

    A folder is one driver where `inference.py` takes it for one: it is tracked, or holds nothing but pictures. One that
    holds videos, files of codes or folders that are drivers stands for these, and for the pictures beside them.
    """
    return _each_once(_paths(given, _drivers_in, "driver"), say)


def _paths(given: Iterable[str], of_folder: Callable[[Path], list[Path]], what: str) -> Iterator[Path]:
    for text in given:
        path = Path(text)
        try:
            there, folder = path.exists(), path.is_dir()
        except (OSError, ValueError) as error:
            raise UserError(f"{text!r} cannot be a {what}: check its name") from error
        if not there and glob.has_magic(text):
            found = sorted(Path(name) for name in glob.iglob(text, recursive=True))  # noqa: PTH207 it may be absolute
            found = [path for path in found if not path.name.startswith(".")]
            if not found:
                raise UserError(f"nothing matches {text}: give a {what}'s file, a folder or a pattern")
            yield from found
        elif folder:
            yield from of_folder(path)
        else:
            yield path  # whether it is there is said by the jobs that want it


def _pictures_in(folder: Path) -> list[Path]:
    found = [path for path in _entries(folder) if path.suffix.lower() in PICTURES and path.is_file()]
    if not found:
        raise UserError(f"{folder} holds no pictures: give photos, or a folder of photos, with -i")
    return found


def _drivers_in(folder: Path) -> list[Path]:
    if _is_tracked(folder):
        return [folder]
    entries = _entries(folder)
    moving = [path for path in entries if path.suffix.lower() in VIDEOS + CODES or (path.is_dir() and _moves(path))]
    if not moving:
        return [folder]
    pictures = [path for path in entries if path.suffix.lower() in PICTURES]
    return sorted({*moving, *pictures})


def _moves(folder: Path) -> bool:
    """Whether a folder in a folder is a driver."""
    return _is_tracked(folder) or any(path.suffix.lower() in PICTURES for path in _entries(folder))


def _is_tracked(folder: Path) -> bool:
    return inside(folder, TRACK_FILE) is not None or parameter_file(folder) is not None


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise UserError(f"{folder} cannot be read ({error.strerror}): check its permissions") from error


def _each_once(paths: Iterable[Path], say: Callable[[str], None]) -> list[Path]:
    seen: dict[Path, Path] = {}
    for path in paths:
        same = path.resolve()
        if same in seen:
            say(f"{path} was given twice and counts once")
        seen.setdefault(same, path)
    return list(seen.values())
