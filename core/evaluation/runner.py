"""Runs the variants of an ablation in processes side by side; what is finished already is not run again."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

import core
from core.data.array_file import load_arrays
from core.data.records import TRACK_FILE
from core.errors import UserError
from core.evaluation.measure import COLUMNS_FILE, Experiment
from core.evaluation.setting import Setting
from core.evaluation.statistics import Columns
from core.evaluation.truth import digest
from core.evaluation.variants import FIRST_FRAME, Variant
from core.libs.tracker.mediapipe_tracker import MediaPipeTracker

_CORE = Path(core.__file__).parent
# What only shows numbers that are there already
_SHOWING = {
    "ablation.py",
    "specification_table.py",
    "plots.py",
    "report.py",
    "runner.py",
    "sheets.py",
    "statistics.py",
    "tables.py",
}
_BAR = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left"
Opened = AbstractContextManager[Experiment]
_ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Run:
    """A variant under a setting, and the folder that holds its result once it is finished."""

    setting: Setting
    variant: Variant
    folder: Path

    @property
    def finished(self) -> bool:
        """Whether its columns are there; they are what is written last."""
        return (self.folder / COLUMNS_FILE).is_file()

    def columns(self) -> Columns:
        """What was measured."""
        return load_arrays(self.folder / COLUMNS_FILE)


@dataclass(frozen=True)
class Job:
    """Runs of one setting that one process makes, one after the other."""

    setting: Setting
    runs: tuple[Run, ...]


def plan(settings: Sequence[Setting], variants: Sequence[Variant], out: Path) -> list[Run]:
    """All runs. A folder's name holds a hash of the code, the options and the inputs: change one, and it runs again."""
    code = _code()
    runs = []
    for setting in settings:
        pair = setting.pair
        inputs = [_content(path) for path in (pair.driver, pair.source, pair.head) if path is not None]
        # Not the photo's own path: self-reenactment has one that is made later, out of the driver.
        options = setting.options(Path(FIRST_FRAME))
        weights = options.resume_path.stat().st_size if options.resume_path.is_file() else 0
        about = (setting.condition, setting.stride, setting.frames, weights, setting.lpips_weights)
        for variant in variants:
            key = digest(code, *inputs, repr(variant.applied(options)), repr(about))
            runs.append(Run(setting, variant, out / "runs" / setting.name / f"{variant.name.replace(' ', '-')}-{key}"))
    return runs


def _code() -> str:
    sha = hashlib.sha256()
    for path in sorted(_CORE.rglob("*")):
        if path.suffix in (".py", ".npz", ".yaml") and not (path.parent.name == "evaluation" and path.name in _SHOWING):
            sha.update(str(path.relative_to(_CORE)).encode() + b"\0" + path.read_bytes())
    return sha.hexdigest()


def _content(path: Path) -> str:
    file = path / TRACK_FILE if path.is_dir() else path
    return hashlib.sha256(file.read_bytes()).hexdigest()


def split_into_jobs(runs: Sequence[Run], workers: int) -> list[Job]:
    """The runs by setting, because those share the truth; cut up where there are fewer settings than workers."""
    by_setting: dict[str, list[Run]] = {}
    for run in runs:
        by_setting.setdefault(run.setting.name, []).append(run)
    pieces = -(-workers // max(len(by_setting), 1))
    jobs = []
    for group in by_setting.values():
        parts = [group[i::pieces] for i in range(pieces)]
        jobs += [Job(part[0].setting, tuple(part)) for part in parts if part]
    # The longest first, so that the last one to end is a short one
    return sorted(jobs, key=lambda job: -job.setting.pair.driver.stat().st_size * len(job.runs))


@contextmanager
def open_experiment(setting: Setting) -> Iterator[Experiment]:
    """The experiment of a setting, with the usual tracker."""
    tracker = MediaPipeTracker()
    try:
        yield Experiment(setting, tracker)
    finally:
        tracker.close()


def run_all(
    runs: Sequence[Run], workers: int = 2, quiet: bool = False, opener: Callable[..., Opened] = open_experiment
) -> None:
    """Make all runs that are not finished. An error in one lets those of other settings end, then it is raised.

    Args:
        workers: processes side by side; 1: in this one. opener: gives the experiment of a setting.
    """
    missing = [run for run in runs if not run.finished]
    done = len(runs) - len(missing)
    live = not quiet and sys.stderr.isatty()
    if not quiet and not live:
        print(f"{len(missing)} of {len(runs)} runs to make", file=sys.stderr, flush=True)
    with tqdm(total=len(runs), initial=done, disable=not live, bar_format=_BAR, dynamic_ncols=True) as bar:
        bar.set_description(f"{len(missing)} of {len(runs)} runs to make", refresh=live)
        if not missing:
            return
        jobs = split_into_jobs(missing, workers)
        if workers == 1:
            for job in jobs:
                _make(job, lambda step: bar.update(step), opener)
            return
        _in_processes(jobs, workers, bar.update, opener)


def _in_processes(
    jobs: Sequence[Job], workers: int, advance: Callable[[float], object], opener: Callable[..., Opened]
) -> None:
    context = multiprocessing.get_context("spawn")  # torch and mediapipe do not survive a fork
    with context.Manager() as manager:
        steps = manager.Queue()
        done = threading.Event()

        def watch() -> None:
            while not done.is_set():
                try:
                    advance(steps.get(timeout=0.2))
                except queue.Empty:
                    continue

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            with _environment(dict.fromkeys(_ONE_THREAD, "1")), ProcessPoolExecutor(workers, context) as pool:
                # Settings of one driver would otherwise begin by making the same truth side by side
                drivers = {(job.setting.pair.driver, job.setting.frames): job.setting for job in jobs}
                for future in [pool.submit(_prepare, setting, opener) for setting in drivers.values()]:
                    future.exception()  # it comes again below, with its setting's name
                futures = [pool.submit(_work, job, steps, opener) for job in jobs]
                errors = [error for future in futures if (error := future.exception()) is not None]
        finally:
            done.set()
            watcher.join()
    if errors:
        raise errors[0]


def _prepare(setting: Setting, opener: Callable[..., Opened]) -> None:
    """In a process of its own: leave the track and the truth where the runs look for them."""
    _on_one_thread()
    with opener(setting):
        pass


def _work(job: Job, steps: queue.Queue, opener: Callable[..., Opened]) -> None:
    """In a process of its own: make runs."""
    _on_one_thread()
    _make(job, steps.put, opener)


def _make(job: Job, advance: Callable[[float], object], opener: Callable[..., Opened]) -> None:
    """Make runs; `advance` is told in parts of a run how far they came."""
    try:
        with opener(job.setting) as experiment:
            part = 1 / len(experiment.track)

            def told(frames: int) -> None:
                advance(frames * part)

            for run in job.runs:
                experiment.run(run.variant, run.folder, told)
    except UserError as error:
        raise UserError(f"{job.setting.name}: {error}") from error


def _on_one_thread() -> None:
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set variables that new processes read before they load anything."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
