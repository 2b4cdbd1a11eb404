"""A whole run in a fraction of a second: the pipeline, its cache and its writers are real, what they carry is noise."""

from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from test_pipeline import FlatAvatar, fakes, sequence

from core.data.records import TrackedSequence
from core.errors import UserError
from core.libs.tracker.cache import TrackCache
from core.options import Options
from core.parts import Parts
from core.pipeline import animate

FRAMES = 12


class NoisyAvatar(FlatAvatar):
    """Noise, the same in every run: its pictures take some room, and some time."""

    def render(self, avatar, vertices, transform_matrix, detail=0.0, torso=None) -> torch.Tensor:
        super().render(avatar, vertices, transform_matrix)
        time.sleep(0.01)
        noise = np.random.default_rng(self.rendered).random((3, 64, 64), np.float32)
        return torch.from_numpy(noise.repeat(8, 1).repeat(8, 2))


def parts() -> Parts:
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
