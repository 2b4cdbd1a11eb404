"""The same run without improvements, with each alone and with all, as labelled tiles of one video or picture.

    animate(Options("me.jpg", "clip.mp4", variants=True))             # writes clip_me_variants.mp4, sound and rate kept
    for frame in Variants(Options("me.jpg", "clip.mp4")).frames():
        frame.image                                                   # (1104, 2048, 3) uint8: the tiles of one frame

Photo and driver are tracked once, and an avatar is built once for all variants that start from the same place; every
frame of the driver is decoded once and rendered six times, so that no more than a few frames are held.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import cached_property

import numpy as np

from core.components import Components
from core.data.records import TrackedSequence
from core.errors import UserError
from core.improvements import Improvements
from core.options import FLOW, IMPROVEMENTS, Options
from core.output.contact_sheet import CaptionedSheet, CaptionSettings, ContactSheet, SheetSettings
from core.output.panels import fits, fitted
from core.output.watermark import Watermark
from core.pipeline.beside import improved, runs_beside
from core.pipeline.result import RenderedFrame
from core.pipeline.run import Pipeline
from core.runtime.progress import Progress
from core.runtime.threads import opencv_threads

OFF, ALL = "off", "--enhanced"
# Of the captions above the tiles, by eye: they are read in a video of 2048 pixels.
CAPTIONS = CaptionSettings(height=40, left=12, baseline=28, scale=0.85, thickness=2, ground=30)


class Variants(Pipeline):
    """A run of every variant at once; used as a `Pipeline` is. Which improvements its options ask for does not matter.

    The settings of the improvements (`smooth_strength`, ...) hold for all variants; `layout` has no effect.
    """

    columns = 4  # tiles in a row

    def __init__(
        self, options: Options, components: Components | None = None, progress: Progress | None = None
    ) -> None:
        if options.face == "all":
            raise UserError("--variants shows one person: leave out --face all, or choose one with --face N")
        super().__init__(options if options.variants else replace(options, variants=True), components, progress)
        self.improvements = Improvements(replace(self.options, **improved()))

    @cached_property
    def runs(self) -> dict[str, Pipeline]:
        """The pipeline of each variant by its label, on the same photo, driver and models."""
        variants: dict[str, tuple[str, ...]] = {OFF: ()}
        variants |= {f"--{name.replace('_', '-')}": (name,) for name in FLOW}
        return runs_beside(self, {**variants, ALL: IMPROVEMENTS})

    @property
    def motion(self) -> TrackedSequence:
        """The motion without improvements; all others are as long."""
        return self.runs[OFF].motion

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of what is written."""
        return self._tiles.size

    @cached_property
    def _tiles(self) -> CaptionedSheet:
        captions = ("photo", "driver", *self.runs)
        height, width = self.photo.shape[:2]
        width, height = fits(self.columns * width, height)
        return CaptionedSheet(captions, (width // self.columns, height), self.columns, CAPTIONS)

    def _begin(self) -> None:
        """The runs of the variants begin theirs."""

    def frames(self) -> Generator[RenderedFrame, None, None]:
        """All tiles of one frame of the driver after the other, labelled: photo, driver, then the variants."""
        from core.runtime.device import torch_threads  # it loads torch

        self._build()
        photo, times = self.photo, self.motion.times
        height, width = photo.shape[:2]
        mark = None if self.options.no_watermark else Watermark(width, height)
        self.progress.seconds["render"] = 0.0
        with ExitStack() as stack:
            stack.enter_context(torch_threads(1))  # see `Pipeline.frames`
            stack.enter_context(opencv_threads(1))
            advance = stack.enter_context(self.progress.stage("video", "rendering", len(times)))
            pictures = stack.enter_context(closing(self.driver_pictures()))
            drawn = [stack.enter_context(closing(run.images())) for run in self.runs.values()]
            for index, now in enumerate(times):
                start = time.perf_counter()
                results = [next(one) for one in drawn]
                if mark is not None:
                    for image in results:
                        mark.put(image)
                tiles = [fitted(tile, self._tiles.tile) for tile in (photo, next(pictures), *results)]
                self.progress.seconds["render"] += time.perf_counter() - start
                yield RenderedFrame(index, now, self._tiles.put(tiles))
                advance(index + 1, len(times))

    def _build(self) -> None:
        """Motions and avatars of all variants, as one stage each."""
        with self.progress.stage("motion", "improving the motion"):
            for run in self.runs.values():
                _ = run.motion
        with self.progress.stage("compile", "preparing the renderer (slow only the first time)"):
            self.components.model.warm_up()
        with self.progress.stage("encode avatar", "building the avatar"):
            for run in self.runs.values():
                _ = run.avatar
        backdrop = self.backdrop
        for run in self.runs.values():
            run.backdrop = backdrop

    def _sheet(self, count: int) -> ContactSheet:
        return ContactSheet(count, self.size, settings=SheetSettings(columns=1))

    @contextmanager
    def panels(self) -> Iterator[Callable[[RenderedFrame], np.ndarray]]:
        yield lambda frame: frame.image
