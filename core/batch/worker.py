"""What a worker does with a task, in its own process or in the caller's."""

from __future__ import annotations

import hashlib
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from core.batch.job import EventKind, Outcome, Task
from core.batch.models import LoadedModels
from core.errors import UserError
from core.pipeline import RenderedFrame, animate, pipeline_of
from core.pipeline.pieces import join, write_piece
from core.runtime.memory import give_back_memory
from core.runtime.progress import Advance, CancelledError, Progress


def perform(
    task: Task, models: LoadedModels, progress: Progress, shown: Callable[[RenderedFrame], None] | None = None
) -> Outcome:
    """Do a task. What goes wrong is told in the outcome, but `CancelledError`, which is raised."""
    _begin_peak()
    start = time.perf_counter()
    try:
        outcome = _perform(task, models, progress, shown)
    except UserError as error:
        outcome = Outcome(task.key, error=" ".join(str(error).split()))
    except CancelledError:
        raise
    except Exception as error:
        line = f"a fault of the program ({type(error).__name__}: {error})"
        outcome = Outcome(task.key, error=" ".join(line.split()), trace=traceback.format_exc())
    finally:
        give_back_memory()
    return replace(outcome, seconds=time.perf_counter() - start, peak_mib=_peak_mib())


def _perform(
    task: Task, models: LoadedModels, progress: Progress, shown: Callable[[RenderedFrame], None] | None
) -> Outcome:
    options = task.options
    components = models.get(options, progress)
    if task.kind == "render":
        report = animate(options, components, progress, shown)
    elif task.kind == "join":
        report = join(options, components, progress, task.parts)
    elif task.kind == "piece":
        written = write_piece(options, components, progress, task.part, task.parts[0])
        return Outcome(task.key, frames=written, output=task.parts[0])
    else:
        silent = Silent(progress)  # what is said of a run is said when it is rendered
        run = pipeline_of(options)(options, components, silent)
        if task.kind == "driver":
            return Outcome(task.key, frames=len(run.driver.track))
        _ = run.source
        return Outcome(task.key)
    digest = file_digest(report.output)
    return Outcome(task.key, frames=report.frames, digest=digest, output=report.output, report=report)


def file_digest(path: Path) -> str:
    """The sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Silent(Progress):
    """The stages of another progress without its lines."""

    def __init__(self, told: Progress) -> None:
        super().__init__(quiet=True)
        self._told = told

    @contextmanager
    def stage(self, name: str, text: str | None = None, frames: int = 0) -> Iterator[Advance]:
        with self._told.stage(name, text, frames) as advance:
            yield advance


class Telling(Progress):
    """A progress that is told elsewhere.

    Args:
        tell: is called with a kind of `Event` and what it says. seconds: between two messages about one stage.
    """

    def __init__(self, tell: Callable[[EventKind, object], None], seconds: float) -> None:
        super().__init__(quiet=True)
        self._tell, self._between = tell, seconds

    def say(self, text: str) -> None:
        self._tell("line", text)

    @contextmanager
    def stage(self, name: str, text: str | None = None, frames: int = 0) -> Iterator[Advance]:
        silent = Progress(quiet=True)  # its line, how long the stage took, is not told
        silent.seconds = self.seconds
        last = 0.0

        def advance(done: int, total: int | None = None) -> None:
            nonlocal last
            if total and time.monotonic() - last >= self._between:
                last = time.monotonic()
                self._tell("progress", min(1.0, done / total))

        with silent.stage(name, text, frames):
            yield advance


def limit_threads(count: int) -> None:
    """Have the libraries of this process take so many threads; those of numba and BLAS read `environment` too."""
    import cv2
    import numba
    import torch

    torch.set_num_threads(count)
    numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
    cv2.setNumThreads(count)


def environment(threads: int) -> dict[str, str]:
    """What a worker's process is started with, so that its libraries take so many threads."""
    names = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    return {**dict.fromkeys(names, str(threads)), "OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}


def _begin_peak() -> None:
    """Have the kernel measure this process's peak from now on (proc(5), clear_refs)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_mib() -> int:
    """The largest memory of this process, MiB: since `_begin_peak` on Linux, else since its start."""
    with suppress(OSError, ValueError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) >> 10
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most >> (20 if sys.platform == "darwin" else 10)


def core_count() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
