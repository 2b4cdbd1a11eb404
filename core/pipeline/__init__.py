"""A whole run: from a photo and a driver to a file, or picture by picture.

from core.options import Options
from core.pipeline import Pipeline, animate

report = animate(Options("me.jpg", "clip.mp4"))          # writes a file, as the command line does
for frame in Pipeline(Options("me.jpg", "clip.mp4")).frames():
    frame.image                                           # or one picture after the other, (H, W, 3) uint8
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from core.components import Components
from core.options import Options
from core.pipeline.everybody import Everybody
from core.pipeline.examine import examine
from core.pipeline.result import RenderedFrame, Report, to_image
from core.pipeline.run import Pipeline
from core.pipeline.variants import Variants
from core.runtime.memory import give_back_memory
from core.runtime.progress import Progress

__all__ = [
    "Everybody",
    "Pipeline",
    "RenderedFrame",
    "Report",
    "Variants",
    "animate",
    "examine",
    "pipeline_of",
    "to_image",
]


def animate(
    options: Options,
    components: Components | None = None,
    progress: Progress | None = None,
    shown: Callable[[RenderedFrame], None] | None = None,
) -> Report:
    """Do a whole run and write its file. Raises UserError where something given is wrong; no file is left then.

    `progress`: is told of the stages. `shown`: is called with every picture, on its way to the file.
    """
    try:
        run = pipeline_of(options)(options, components, progress)
        run.shown = shown
        report = run.run()
        if options.report is None or type(run) is not Pipeline:
            return report
        return replace(report, page=examine(run).write(options.report))
    finally:
        give_back_memory()


def pipeline_of(options: Options) -> type[Pipeline]:
    """What a run with these options is."""
    return Variants if options.variants else Everybody if options.face == "all" else Pipeline
