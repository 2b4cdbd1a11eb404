"""A batch in seconds: jobs, processes, record and files are real; who tracks and draws is a stand-in."""

from __future__ import annotations

import os
import signal
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
from test_pipeline import FlatAvatar, PyramidHead, crop, sequence, track_source

from core.components import Components
from core.data.image import read_image
from core.data.records import TrackedSequence, TrackedSource
from core.data.video import VideoReader
from core.errors import UserError
from core.libs.tracker.cache import TrackCache
from core.libs.tracker.source import _load_source, _save_source
from core.models.request import DrawRequest

SEEN = ".seen"  # beside the inputs: a line for each photo and driver that was tracked


class PatternAvatar(FlatAvatar):
    """A pattern that only the photo and the head's turn decide; a photo may name what happens to its worker."""

    def encode(self, source: TrackedSource, anchor: np.ndarray | None = None) -> float:
        return float(source.image.mean()) / 255

    def render(self, avatar, request: DrawRequest) -> torch.Tensor:
        time.sleep(float(os.environ.get("BATCH_TEST_FRAME", "0")))
        hold = Path(os.environ.get("BATCH_TEST_HOLD", "none"))  # while it is there nobody goes on
        while hold.exists():
            hold.with_suffix(f".{os.getpid()}").touch()
            time.sleep(0.05)
        ramp = torch.arange(512, dtype=torch.float32) / 512
        turn = float(request.transform[0, 2])
        picture = (ramp[None, :] * avatar + ramp[:, None] * (0.5 + turn)) % 1
        return torch.stack([picture, picture.flip(0), picture.flip(1)])

    def draw_foreground(self, avatar, request: DrawRequest) -> torch.Tensor:
        picture = self.render(avatar, request)
        return torch.cat([picture, picture[:1]])


def make(options, model: str = "lifted", cache: TrackCache | None = None) -> Components:
    """Components whose tracks are kept in the cache, and counted."""
    cache = cache or TrackCache()

    def count(path: Path) -> None:
        with (path.parent.parent / f"{path.parent.name}{SEEN}").open("a") as file:
            file.write(f"{path.name}\n")

    def photo(path: Path, force: bool) -> TrackedSource:
        image = read_image(path)
        entry = cache.entry(path, "source") / "source.npz"
        known = _load_source(entry)
        if known is not None and not force:
            return known
        count(path)
        if image.mean() < 5:
            raise UserError(f"{path}: no human face found")
        if image.mean() > 250:
            os.kill(os.getpid(), signal.SIGKILL)
        source = track_source(path, force)
        cache.keep(lambda: _save_source(entry, source))
        return source

    def driver(path: Path, force: bool, advance) -> TrackedSequence:
        entry = cache.entry(path, "driver")
        try:
            if not force:
                return TrackedSequence.load(entry)
        except UserError:
            pass
        count(path)
        with VideoReader(path) as reader:
            times = [frame.time for frame in reader]
            track = sequence(times, reader.fps)
        advance(len(times), len(times))
        cache.keep(lambda: track.save(entry))
        return track

    return Components(photo, driver, crop, PyramidHead(), PatternAvatar(), retarget=lambda source, track, _: track)


def tracked(folder: Path) -> list[str]:
    """What was tracked in a folder, as often as it was."""
    path = folder.with_name(f"{folder.name}{SEEN}")
    return sorted(path.read_text().split()) if path.exists() else []


def write_inputs(folder: Path, photos: int = 2, drivers: int = 2, frames: int = 6) -> None:
    """`photos/p1.png` ..., `drivers/d1.mp4` ..., of which every other one has sound."""
    from faces import save_clip

    from core.data.image import write_image

    (folder / "photos").mkdir(parents=True)
    (folder / "drivers").mkdir()
    for i in range(photos):
        write_image(folder / f"photos/p{i + 1}.png", np.full((64, 64, 3), 60 + 40 * i, np.uint8))
    for i in range(drivers):
        ramp = [np.full((64, 64, 3), 20 * j + 10 * i, np.uint8) for j in range(frames)]
        save_clip(folder / f"drivers/d{i + 1}.mp4", ramp, rate=Fraction(25), sound=frames / 25 if i % 2 else 0.0)


if __name__ == "__main__":  # python tests/batch_parts.py ARGUMENTS: the command with these parts
    from batch_parts import make as made  # by a name that the workers know too

    from core.batch.command import main
    from core.errors import command

    sys.exit(command(lambda: main(sys.argv[1:], make=made)))
