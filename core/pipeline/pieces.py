"""A run in pieces: frames rendered here and there, and one file of all of them.

Every piece knows the motion of the whole driver, tracked and smoothed as one, and draws its own frames of it. They
travel without loss, and one encoder writes them all, with the sound: the file is that of an undivided run, to the byte.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path

import numpy as np

from core.components import Components
from core.data.video.lossless import read_lossless, write_lossless
from core.errors import UserError
from core.options import Options
from core.pipeline.result import RenderedFrame, Report, make_folder
from core.pipeline.run import Pipeline
from core.preflight import Inputs
from core.runtime.progress import Progress


def can_be_split(options: Options, inputs: Inputs) -> bool:
    """Whether a run may be made in pieces: a video of one person in one picture, which is not examined."""
    examined = options.report is not None
    return (
        not examined and not options.variants and options.face != "all" and inputs.kind != "image" and not inputs.stills
    )


def write_piece(options: Options, components: Components, progress: Progress, part: tuple[int, int], path: Path) -> int:
    """Render the frames from `part[0]` to before `part[1]` of a run into a file without loss; returns their number."""
    run = _Piece(options, components, Progress(quiet=True))
    run.progress = progress
    run.part = range(*part)
    make_folder(path.parent)
    with closing(run.frames()) as frames, run.panels() as panels:
        return write_lossless(path, (panels(frame) for frame in frames))


def join(options: Options, components: Components, progress: Progress, parts: Sequence[Path]) -> Report:
    """Write the file of a run whose pieces are rendered, in their order. UserError where frames are missing."""
    run = _Joined(options, components, progress)
    run.parts = parts
    return run.run()


class _Piece(Pipeline):
    """Some frames of a run."""

    part: range = range(0)

    def driver_pictures(self) -> Generator[np.ndarray, None, None]:
        with closing(super().driver_pictures()) as pictures:
            yield from islice(pictures, self.part.start, self.part.stop)


class _Joined(Pipeline):
    """A run whose pictures are there."""

    parts: Sequence[Path] = ()

    def _begin(self) -> None:
        """No avatar is asked for."""

    def frames(self) -> Generator[RenderedFrame, None, None]:
        times, count = self.motion.times, 0
        self.progress.seconds["render"] = 0.0
        with self.progress.stage("video", "joining the pieces", len(times)) as advance:
            for path in self.parts:
                with closing(read_lossless(path, 4 if self.transparent else 3)) as images:
                    for image in images:
                        if count == len(times):
                            raise UserError(f"{path} holds more frames than the driver has: delete it and start again")
                        yield RenderedFrame(count, times[count], image)
                        count += 1
                        advance(count, len(times))
            if count < len(times):
                raise UserError(f"{len(times) - count} frames are missing in the pieces: delete them and start again")

    @contextmanager
    def panels(self) -> Iterator[Callable[[RenderedFrame], np.ndarray]]:
        yield lambda frame: frame.image
