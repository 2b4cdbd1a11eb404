"""What tests of several files share."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.made_once import made_once, track_the_demo_photo
from tests.synthetic_checkpoint import CHECKPOINT, FLAME, write


@pytest.fixture(scope="session", autouse=True)
def imported_objects_are_not_searched() -> Iterator[None]:
    """A run ends with `gc.collect()`, which takes half a second where torch and all tests are imported: what is there
    before the first test lives as long as the process, and is not gone through again.
    """
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="session")
def released_files(tmp_path_factory) -> tuple[Path, Path]:
    """`GAGAvatar.pt` and `FLAME_with_eye.pt` in the released layout with deterministic weights; only to be read.

    Drawing the weights, 750 MB, takes ten seconds.
    """
    folder = made_once(tmp_path_factory, "assets", write)
    return folder / CHECKPOINT, folder / FLAME


@pytest.fixture(scope="session")
def demo_cache(tmp_path_factory) -> Path:
    """A cache folder that knows the demo's first photo, to be copied with `copy_cache`: tracking it takes seconds."""
    return made_once(tmp_path_factory, "demo_photo", track_the_demo_photo) / "cache"
