"""What a job of *Animate* does: a preview, then the whole run, and one without the improvements where asked."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import cv2
import numpy as np

from core import batch
from core.batch import LoadedModels
from core.components import Components, default_components
from core.data.image import write_image
from core.data.video import VideoReader
from core.errors import UserError
from core.options import IMPROVEMENTS, Options
from core.page.jobs import Job, JobProgress
from core.page.settings import PageSettings
from core.page.store import MADE, PageCache, Store
from core.pipeline import Pipeline, RenderedFrame
from core.preflight import find_inputs
from core.runtime.memory import give_back_memory

_OF_PREVIEW = (
    "This knows no more of the driver than its first frame: the result counts motion from the face at rest, "
    "which it finds in all of the driver."
)
_SETTINGS = PageSettings()


def jpeg(image: np.ndarray, quality: int = PageSettings.jpeg) -> bytes:
    """A picture (H, W, 3) uint8 RGB, or (H, W, 4) of which the matte is left out, as JPEG."""
    written, data = cv2.imencode(".jpg", image[..., 2::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert written
    return data.tobytes()


class Models(LoadedModels):
    """The models, loaded once for all tabs; for the jobs' thread. `make`: `default_components`, or a test's."""

    def __init__(self, store: Store, make: Callable[..., Components] = default_components) -> None:
        super().__init__(PageCache(uploads=store.folder, made=store.folder / MADE), make)


@dataclass(frozen=True)
class Animation:
    """The work of a job, called with it.

    Attributes:
        options: of the run, with the paths of uploads. shown: of the result's name for a download, without its ending.
        preview_only: the first frame, and no file. compare: a second run without improvements.
    """

    options: Options
    models: Models
    store: Store
    shown: str
    preview_only: bool = False
    compare: bool = False
    settings: PageSettings = _SETTINGS

    def __call__(self, job: Job) -> None:
        try:
            self._run(job)
        finally:
            give_back_memory()

    def _run(self, job: Job) -> None:
        progress = JobProgress(job)
        folder = job.tab.folder / f"run-{secrets.token_hex(6)}"
        options = replace(self.options, output=f"{folder}/")
        inputs = find_inputs(options)
        components = self.models.get(options, progress)
        if inputs.kind == "video":
            self._preview(job, options, components)
        elif self.preview_only:
            first = Pipeline(replace(options, variants=False), components, progress)
            with progress.stage("preview", "drawing the first frame"):
                from core.pipeline import to_image  # beside torch, which is loaded by now

                job.show(jpeg(to_image(first.draw(first.motion[0])[:3])))
        if self.preview_only:
            return
        runs = {"result": options}
        if self.compare and not options.variants:
            without: dict[str, Any] = dict.fromkeys(IMPROVEMENTS)
            runs["before"] = replace(options, enhanced=False, output=f"{folder}-before/", **without)
        newest = 0.0

        def shown(frame: RenderedFrame) -> None:
            nonlocal newest
            job.check()
            if time.monotonic() - newest > self.settings.picture_seconds:
                newest = time.monotonic()
                job.show(jpeg(frame.image))

        done = batch.run(map(batch.Job, runs.values(), runs), batch.Here(self.models, progress, shown))
        for result in done:
            if result.trace:
                raise RuntimeError(result.trace)
            if result.output is None:
                raise UserError(result.error)
            what, output = result.job.name, result.output
            name = f"{self.shown}{'_before' if what == 'before' else ''}{output.suffix}"
            kind = "image" if output.suffix in (".png", ".jpg", ".jpeg") else "video"
            job.results.append((what, self.store.add(job.tab, output, name, kind)))
            job.lines.append(f"{result.frames} frames in {result.seconds:.1f} s")
            if what == "result" and result.report is not None:
                job.lines += [f"worth knowing: {line}" for line in result.report.advice]
            job.changed()

    def _preview(self, job: Job, options: Options, components: Components) -> None:
        """Show the photo as the driver's first frame alone moves it, which needs no more of the driver than that.

        What is behind the person is completed without its texture, which takes more than a second.
        """
        assert options.driver_path is not None
        first = job.tab.folder / f"first-{secrets.token_hex(6)}.png"
        try:
            with VideoReader(options.driver_path) as reader:
                write_image(first, next(iter(reader)).image)
            still = replace(
                options,
                driver_path=first,
                variants=False,
                layout="result",
                audio=None,
                temporal_smooth=False,
                output=f"{first}.out/",
            )
            from core.libs.plate import make_plate  # it loads numba and scipy

            quick = replace(components, plate=partial(make_plate, textured=False))
            run = Pipeline(still, quick, _Silent(job))
            job.show(jpeg(next(run.frames()).image), _OF_PREVIEW)
        except UserError as error:
            text = str(error).replace(str(first), "the driver's first frame")
            if self.preview_only:
                raise UserError(text) from None
            job.lines.append(f"no preview: {job.tab.readable(text)}")  # the whole run looks at the other frames too
        finally:
            first.unlink(missing_ok=True)


class _Silent(JobProgress):
    """Of a preview: its lines would be said twice."""

    def say(self, text: str) -> None:
        self.job.check()
