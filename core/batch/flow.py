"""The order in which a batch is worked off: what waits for what, and what happens when a worker is lost."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from core.batch.executor import Executor
from core.batch.job import Job, JobResult, Outcome, Task
from core.batch.settings import BatchSettings
from core.preflight import choose_model

_SETTINGS = BatchSettings()
PIECES = ".pieces"  # folder beside a result, for what is on its way to it


@dataclass(frozen=True)
class Watch:
    """Who is told of a batch while it goes on.

    Attributes:
        began: a job is begun. share: a task, by its name, is so far, 0..1. line: something was said of a job.
    """

    began: Callable[[Job], None] = lambda job: None
    share: Callable[[str, float], None] = lambda key, share: None
    line: Callable[[Job, str], None] = lambda job, line: None


@dataclass(eq=False)
class _Run:
    """A job while it is worked off: since when, how often begun, its largest memory, its driver's task, its pieces."""

    job: Job
    driver: str = ""
    since: float | None = None
    attempts: int = 1
    peak_mib: int = 0
    parts: tuple[Path, ...] = ()
    ended: bool = False


class Flow:
    """Works off jobs.

    Photos and drivers are tracked once each, before the jobs that need them; jobs begin in their order as soon as what
    they need is there. A task whose worker is lost is begun again, as often as the settings say.

    Args:
        jobs: in the order in which they are to begin. executor: does the tasks. watch: is told.
        split: frames of a piece, of the jobs that `may_split` and are longer than that; 0: nothing is split.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        executor: Executor,
        watch: Watch,
        split: int = 0,
        may_split: Callable[[Job], bool] = lambda job: False,
        settings: BatchSettings = _SETTINGS,
    ) -> None:
        self._executor, self._watch, self._settings = executor, watch, settings
        self._split, self._may_split = split, may_split
        self._tasks: dict[str, Task] = {}  # those that have not ended
        self._unmet: dict[str, set[str]] = {}  # what a task still waits for
        self._waiting: dict[str, list[str]] = {}  # who waits for a task
        self._ready: list[tuple[tuple[int, ...], str]] = []  # a heap
        self._under_way: set[str] = set()
        self._begun: dict[str, int] = {}
        self._frames: dict[str, int] = {}  # of tracked drivers
        self._runs: dict[str, _Run] = {}  # by the task
        self._leaders: dict[tuple[object, ...], str] = {}
        for number, job in enumerate(jobs):
            self._add_job(number, job)

    def results(self) -> Iterator[JobResult]:
        """What becomes of every job, as soon as it is known."""
        while self._tasks:
            while self._ready and len(self._under_way) < self._executor.capacity:
                self._begin(heapq.heappop(self._ready)[1])
            for event in self._executor.events():
                if event.key not in self._under_way:
                    continue  # of a task that was given up meanwhile
                run = self._runs.get(event.key)
                if event.kind == "progress":
                    self._watch.share(event.key, event.what)
                elif event.kind == "line" and run is not None:
                    self._watch.line(run.job, event.what)
                elif event.kind == "lost":
                    yield from self._lose(event.key, event.what)
                elif event.kind == "ended":
                    yield from self._end(event.key, event.what)

    def _add_job(self, number: int, job: Job) -> None:
        """The tasks of a job: its photo's and its driver's, where no other job has them, and its own."""
        options, key = job.options, f"job {number}"
        run = _Run(job)
        if self._executor.alone:
            self._add(Task(key, "render", options, order=(number, 2)), run)
            return
        needs, after, model = set(), set(), choose_model(options)[0]
        everybody = options.face == "all"
        single = replace(options, variants=False)
        if not everybody:
            photo = f"photo {options.image_path} {options.face} {options.size} {options.whole_photo} {model}"
            self._add(Task(photo, "photo", single, order=(number, 0)))
            needs.add(photo)
        if not (everybody and options.driver_face == "all"):
            run.driver = f"driver {options.driver_path} {options.driver_face} {model}"
            self._add(Task(run.driver, "driver", replace(single, face="largest"), order=(number, 1)))
            needs.add(run.driver)
        if everybody:  # all people of a picture are found together, by the first job that needs them
            for what in (("photo", options.image_path), ("driver", options.driver_path, options.driver_face)):
                after.add(self._leaders.setdefault(what, key))
            after.discard(key)
        else:  # what was asked to be tracked again is, once
            options = replace(options, force_retrack=False)
        self._add(Task(key, "render", options, frozenset(needs), frozenset(after), order=(number, 2)), run)

    def _add(self, task: Task, run: _Run | None = None) -> None:
        if task.key in self._begun:
            return  # of another job too
        self._begun[task.key] = 0
        self._tasks[task.key] = task
        if run is not None:
            self._runs[task.key] = run
        unmet = {key for key in task.needs | task.after if key in self._tasks}
        for key in unmet:
            self._waiting.setdefault(key, []).append(task.key)
        self._unmet[task.key] = unmet
        if not unmet:
            self._is_ready(task)

    def _is_ready(self, task: Task) -> None:
        """Put a task where it is begun from, or its pieces where it is a long run."""
        run = self._runs.get(task.key)
        frames = 0 if run is None else self._frames.get(run.driver, 0)
        if task.kind == "render" and run is not None and 0 < self._split < frames and self._may_split(run.job):
            self._divide(task, run, frames)
        else:
            heapq.heappush(self._ready, (task.order, task.key))

    def _divide(self, task: Task, run: _Run, frames: int) -> None:
        """A run's pieces, of equal length but for a frame, and what joins them in place of the run."""
        count = -(-frames // self._split)
        bounds = [frames * i // count for i in range(count + 1)]
        assert task.options.output is not None  # jobs that are split have a place
        folder = Path(task.options.output).parent / PIECES
        pieces = []
        for first, last in pairwise(bounds):
            path = folder / f"{run.job.key[:24]}-{first}-{last}.mkv"
            run.parts += (path,)
            if not (run.job.key and path.exists()):  # whole: a batch that was killed has left it
                piece = Task(f"{task.key} from {first}", "piece", task.options, part=(first, last), parts=(path,))
                pieces.append(replace(piece, order=(*task.order, first)))
        joined = replace(task, kind="join", needs=frozenset(p.key for p in pieces), after=frozenset(), parts=run.parts)
        for piece in pieces:
            self._add(piece, run)
        del self._begun[task.key]
        self._add(joined, run)

    def _begin(self, key: str) -> None:
        run = self._runs.get(key)
        self._begun[key] += 1
        self._under_way.add(key)
        if run is not None and run.since is None:
            run.since = time.perf_counter()
            self._watch.began(run.job)
        self._executor.submit(self._tasks[key])

    def _lose(self, key: str, why: str) -> Iterator[JobResult]:
        """A worker is lost: begin its task again, or give it up."""
        run = self._runs.get(key)
        if self._begun[key] >= self._settings.attempts:
            yield from self._end(key, Outcome(key, error=f"{why} ({self._begun[key]} times)"))
            return
        self._under_way.discard(key)
        if run is not None:
            run.attempts = max(run.attempts, self._begun[key] + 1)
        heapq.heappush(self._ready, (self._tasks[key].order, key))

    def _end(self, key: str, outcome: Outcome) -> Iterator[JobResult]:
        """A task has ended, or cannot begin: what that means for its job and for those that wait for it."""
        task = self._tasks.pop(key, None)
        if task is None:
            return
        self._under_way.discard(key)
        self._unmet.pop(key, None)
        self._watch.share(key, 1.0)
        if task.kind == "driver":
            self._frames[key] = outcome.frames
        run = self._runs.get(key)
        if run is not None:
            run.peak_mib = max(run.peak_mib, outcome.peak_mib)
            if not run.ended and (outcome.error or task.kind != "piece"):
                run.ended = True
                yield self._result(run, outcome)
        for name in self._waiting.pop(key, ()):
            waiting = self._tasks.get(name)
            if waiting is None:
                continue
            if outcome.error and key in waiting.needs:
                yield from self._end(name, replace(outcome, key=name))
                continue
            self._unmet[name].discard(key)
            if not self._unmet[name]:
                self._is_ready(waiting)

    def _result(self, run: _Run, outcome: Outcome) -> JobResult:
        if not outcome.error:
            for path in run.parts:
                path.unlink(missing_ok=True)
        return JobResult(
            run.job,
            "failed" if outcome.error else "done",
            output=outcome.output,
            error=outcome.error,
            trace=outcome.trace,
            digest=outcome.digest,
            frames=outcome.frames,
            seconds=0.0 if run.since is None else time.perf_counter() - run.since,
            peak_mib=run.peak_mib,
            attempts=run.attempts,
            report=outcome.report,
        )
