"""A whole run in a fraction of a second: the pipeline, its cache and its writers are real, what they carry is noise."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
import threading
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from test_pipeline import FlatAvatar, fakes, sequence

from core.components import Components
from core.data.image import write_image
from core.data.records import TrackedSequence
from core.data.video import VideoWriter
from core.errors import UserError
from core.libs.tracker.cache import TrackCache
from core.options import Options
from core.pipeline import animate

FRAMES = 12


class NoisyAvatar(FlatAvatar):
    """Noise, the same in every run: its pictures take some room, and some time."""

    def render(self, avatar, request) -> torch.Tensor:
        super().render(avatar, request)
        time.sleep(0.01)
        noise = np.random.default_rng(self.rendered).random((3, 64, 64), np.float32)
        return torch.from_numpy(noise.repeat(8, 1).repeat(8, 2))


def parts() -> Components:
    """Fakes whose tracked driver is kept in the cache, as the real one's is."""
    cache = TrackCache()

    def track_driver(path: Path, force: bool, advance) -> TrackedSequence:
        entry = cache.entry(path, "driver")
        try:
            return TrackedSequence.load(entry)
        except UserError:
            track = sequence([Fraction(i, 25) for i in range(FRAMES)], Fraction(25))
            cache.keep(lambda: track.save(entry))
            return track

    return fakes(track_driver=track_driver, model=NoisyAvatar())


def small_run(folder: Path) -> None:
    """Animate `photo.png` by `driver.mp4` of a folder into its `result.mp4`."""
    options = Options(folder / "photo.png", folder / "driver.mp4", output=folder / "result.mp4", quiet=True)
    animate(options, parts())


def many_runs(folder: Path, jobs: int) -> dict[int, tuple[int, int, int]]:
    """Many small runs in this process: after some of them, its MiB in memory, open files and threads."""
    held = {}
    for job in range(1, jobs + 1):
        small_run(folder)
        if job in (jobs // 5, jobs):
            gc.collect()
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            files = len(list(Path("/proc/self/fd").iterdir()))
            held[job] = (pages * os.sysconf("SC_PAGE_SIZE") >> 20, files, threading.active_count())
    return held


if __name__ == "__main__":  # python tests/small_run.py 1000
    with tempfile.TemporaryDirectory() as name:
        os.environ["XDG_CACHE_HOME"] = name
        write_image(Path(name) / "photo.png", np.full((64, 64, 3), 90, np.uint8))
        with VideoWriter(Path(name) / "driver.mp4", Fraction(25), (64, 64)) as writer:
            for _ in range(FRAMES):
                writer.write(np.zeros((64, 64, 3), np.uint8))
        for job, (mib, files, threads) in many_runs(Path(name), int(sys.argv[1])).items():
            print(f"after {job} runs: {mib} MiB, {files} open files, {threads} threads")
