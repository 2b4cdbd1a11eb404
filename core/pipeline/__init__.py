"""A whole run: from a photo and a driver to a file, or picture by picture.

from core.options import Options
from core.pipeline import Pipeline, animate

report = animate(Options("me.jpg", "clip.mp4"))          # writes a file, as the command line does
for frame in Pipeline(Options("me.jpg", "clip.mp4")).frames():
    frame.image                                           # or one picture after the other, (H, W, 3) uint8
"""

from __future__ import annotations

from dataclasses import replace

from core.components import Components
from core.options import Options
from core.pipeline.everybody import Everybody
from core.pipeline.examine import examine
from core.pipeline.result import RenderedFrame, Report, to_image
from core.pipeline.run import Pipeline
from core.pipeline.variants import Variants
from core.runtime.memory import give_back_memory

__all__ = ["Everybody", "Pipeline", "RenderedFrame", "Report", "Variants", "animate", "examine", "to_image"]


def animate(options: Options, components: Components | None = None) -> Report:
    """Do a whole run and write its file. Raises UserError where something given is wrong; no file is left then."""
    try:
        kind = Variants if options.variants else Everybody if options.face == "all" else Pipeline
        run = kind(options, components)
        report = run.run()
        if options.report is None or kind is not Pipeline:
            return report
        return replace(report, page=examine(run).write(options.report))
    finally:
        give_back_memory()
