"""What the test processes share: made by the first that wants it, read by all."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from core.options import Options
from core.pipeline import animate

ROOT = Path(__file__).parents[1]
PHOTO = ROOT / "demos/examples/1.jpg"


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder of this run of pytest, which `make` has filled in one of its processes while the others waited."""
    import fcntl  # not everywhere: where it is missing, tests run in one process

    base = factory.getbasetemp()
    folder = (base.parent if base.name.startswith("popen-") else base) / name
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            folder.mkdir(exist_ok=True)
            make(folder)
            (folder / "complete").touch()
    return folder


def track_the_demo_photo(folder: Path) -> None:
    """What a run with the demo's first photo leaves in its cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        animate(Options(PHOTO, PHOTO, output=folder / "result.png", quiet=True))


def copy_cache(demo_cache: Path, place: Path) -> Path:
    """A cache of one's own (as `XDG_CACHE_HOME`) in which the demo's first photo is known."""
    shutil.copytree(demo_cache, place, dirs_exist_ok=True)
    return place
