"""Strangers' files and command lines: what the tables of cases are built with."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from faces import PORTRAIT, ROOT, TRACK
from PIL import Image

Make = Callable[[Path], object]  # writes a file
Build = Callable[[Path], list]  # makes the files in a folder and returns the command line
Refused = dict[str, tuple[Build, str]]  # case -> files and command line, and what the one line says
DATA = ROOT.parent / "shared/data"
NO_FACE = "no human face found"
BLANK = np.full((192, 192, 3), 90, np.uint8)


def photo(make: Make, name: str = "photo.png", driver: object = TRACK) -> Build:
    """A photo that `make` writes."""

    def build(folder: Path) -> list:
        make(folder / name)
        return ["-i", folder / name, "-d", driver]

    return build


def picture(array: np.ndarray) -> Make:
    return lambda path: Image.fromarray(np.ascontiguousarray(array)).save(path)


def driver(make: Make, name: str = "driver.mp4", *more: object) -> Build:
    """A driver that `make` writes."""

    def build(folder: Path) -> list:
        make(folder / name)
        return ["-i", PORTRAIT, "-d", folder / name, *more]

    return build


def options(*arguments: object) -> Build:
    return lambda folder: ["-i", PORTRAIT, "-d", TRACK, *arguments]


def cut(source: Make, share: float = 0.5) -> Make:
    def make(path: Path) -> None:
        source(path)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    return make


class Runs:
    """A pickle that would run something."""

    def __reduce__(self):
        return os.mkdir, ("ran",)


def pipe(path: Path) -> None:
    os.mkfifo(path)
