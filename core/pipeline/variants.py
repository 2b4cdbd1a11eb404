"""The same run without improvements, with each alone and with all, as labelled tiles of one video or picture.

    animate(Options("me.jpg", "clip.mp4", variants=True))             # writes clip_me_variants.mp4, sound and rate kept
    for frame in Variants(Options("me.jpg", "clip.mp4")).frames():
        frame.image                                                   # (1104, 2048, 3) uint8: the tiles of one frame

Photo and driver are tracked once, and an avatar is built once for all variants that start from the same place; every
frame of the driver is decoded once and rendered six times, so that no more than a few frames are held.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from core.components import Avatar, Components
from core.data.records import IMAGE_SIZE, TrackedSequence, TrackedSource
from core.improvements import Improvements
from core.options import FLOW, IMPROVEMENTS, Options
from core.output.contact_sheet import ContactSheet
from core.output.watermark import Watermark
from core.pipeline.run import Pipeline, RenderedFrame, to_image
from core.runtime.progress import Progress

OFF, ALL = "off", "--enhanced"
COLUMNS = 4
BAR = 40  # pixels above a tile that its label stands in
_GROUND, _INK = 30, 235
_FONT, _SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.85


class Variants(Pipeline):
    """A run of every variant at once; used as a `Pipeline` is. Which improvements its options ask for does not matter.

    The settings of the improvements (`smooth_strength`, ...) hold for all variants; `layout` has no effect.
    """

    def __init__(
        self, options: Options, components: Components | None = None, progress: Progress | None = None
    ) -> None:
        super().__init__(options if options.variants else replace(options, variants=True), components, progress)
        self.improvements = Improvements(replace(self.options, **_improved()))

    @cached_property
    def runs(self) -> dict[str, Pipeline]:
        """The pipeline of each variant by its label, on the same photo, driver and models."""
        source = self.source
        components = replace(
            self.components, track_source=lambda path, force: source, model=_Shared(self.components.model)
        )
        inputs = replace(self.inputs, tracked=self.driver)
        variants = {OFF: _improved()}
        variants |= {f"--{name.replace('_', '-')}": _improved(name) for name in FLOW}
        variants[ALL] = _improved(*IMPROVEMENTS)
        return {
            label: Pipeline(replace(self.options, variants=False, **changes), components, Progress(quiet=True), inputs)
            for label, changes in variants.items()
        }

    @property
    def motion(self) -> TrackedSequence:
        """The motion without improvements; all others are as long."""
        return self.runs[OFF].motion

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of what is written."""
        return sheet_size(len(self.runs) + 2)

    def frames(self) -> Generator[RenderedFrame, None, None]:
        """All tiles of one frame of the driver after the other, labelled: photo, driver, then the variants."""
        from core.runtime.device import torch_threads  # it loads torch

        self._build()
        sheet = Sheet(("photo", "driver", *self.runs))
        photo, times = self.source.shown()[0], self.motion.times
        mark = None if self.options.no_watermark else Watermark(IMAGE_SIZE, IMAGE_SIZE)
        self.progress.seconds["render"] = 0.0
        with ExitStack() as stack:
            stack.enter_context(torch_threads(1))  # see `Pipeline.frames`
            advance = stack.enter_context(self.progress.stage("video", "rendering", len(times)))
            pictures = stack.enter_context(closing(self._driver_pictures()))
            drawn = [stack.enter_context(closing(run.pictures())) for run in self.runs.values()]
            for index, now in enumerate(times):
                start = time.perf_counter()
                results = [to_image(next(one)) for one in drawn]
                if mark is not None:
                    for image in results:
                        mark.put(image)
                self.progress.seconds["render"] += time.perf_counter() - start
                yield RenderedFrame(index, now, sheet.put([photo, next(pictures), *results]))
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

    def _sheet(self, count: int) -> ContactSheet:
        return ContactSheet(count, self.size, columns=1)

    @contextmanager
    def _panels(self) -> Iterator[Callable[[RenderedFrame], np.ndarray]]:
        yield lambda frame: frame.image


class Sheet:
    """Lays pictures (512, 512, 3) out in rows of four, each below its label."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._count = len(labels)
        width, height = sheet_size(self._count)
        self._empty = np.full((height, width, 3), _GROUND, np.uint8)
        for (y, x), label in zip(self._places(), labels, strict=True):
            where = (x + 12, y + BAR - 12)
            cv2.putText(self._empty, label, where, _FONT, _SCALE, (_INK,) * 3, 2, cv2.LINE_AA)

    def put(self, tiles: Sequence[np.ndarray]) -> np.ndarray:
        """A sheet (H, W, 3) uint8 of its own, of as many tiles as there are labels."""
        sheet = self._empty.copy()
        for (y, x), tile in zip(self._places(), tiles, strict=True):
            sheet[y + BAR : y + BAR + IMAGE_SIZE, x : x + IMAGE_SIZE] = tile
        return sheet

    def _places(self) -> list[tuple[int, int]]:
        return [(k // COLUMNS * (BAR + IMAGE_SIZE), k % COLUMNS * IMAGE_SIZE) for k in range(self._count)]


def sheet_size(tiles: int) -> tuple[int, int]:
    """Width and height of a sheet."""
    return COLUMNS * IMAGE_SIZE, -(-tiles // COLUMNS) * (BAR + IMAGE_SIZE)


def _improved(*names: str) -> dict[str, Any]:
    """Values of `Options` by which these improvements are on and no others."""
    return {"enhanced": False, **{name: name in names for name in IMPROVEMENTS}}


@dataclass(frozen=True)
class _Shared:
    """An avatar's model that builds a photo's avatar once for each anchor; for one photo."""

    model: Avatar
    _built: dict[bytes | None, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.model.name

    def warm_up(self) -> float:
        return self.model.warm_up()

    def encode(self, source: TrackedSource, anchor: np.ndarray | None = None) -> Any:
        key = None if anchor is None else anchor.tobytes()
        if key not in self._built:
            self._built[key] = self.model.encode(source, anchor)
        return self._built[key]

    def render(self, *args: Any, **kwargs: Any) -> Any:
        return self.model.render(*args, **kwargs)
