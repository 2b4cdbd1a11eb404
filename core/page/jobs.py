"""The queue of the machine: one job at a time in one thread, the others wait and know their place."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from core.errors import UserError
from core.page.store import Stored, Tab
from core.runtime.progress import Advance, CancelledError, Progress

State = Literal["waiting", "running", "done", "failed", "cancelled"]
_LOG = logging.getLogger(__name__)


@dataclass(eq=False)
class Job:
    """Something to be done for a tab; `work` gets the job and says how it goes on by its attributes.

    Attributes:
        kind: `animate`, `preview` or `live`. tab: whose it is. changed: is called when something to be shown changed.
        stage, done, total, since: what goes on, how far it is and when (`time.monotonic`) it began.
        lines: what was said. error: the one line of a failure. picture: JPEG of the newest picture, its number and what
            is said below it.
        results: the files that came out, each with what it shows: `result`, `before`.
    """

    kind: str
    tab: Tab
    work: Callable[[Job], None]
    changed: Callable[[], None] = lambda: None
    name: str = field(default_factory=lambda: secrets.token_urlsafe(9))
    state: State = "waiting"
    stage: str = ""
    done: int = 0
    total: int | None = None
    since: float = 0.0
    lines: list[str] = field(default_factory=list)
    error: str = ""
    picture: bytes = b""
    pictures: int = 0
    caption: str = ""
    results: list[tuple[str, Stored]] = field(default_factory=list)
    cancelled: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """CancelledError where the job is no longer wanted."""
        if self.cancelled.is_set():
            raise CancelledError

    def show(self, picture: bytes, caption: str = "") -> None:
        """Show a JPEG, and a line below it."""
        self.picture, self.pictures, self.caption = picture, self.pictures + 1, caption
        self.changed()

    def told(self, place: int) -> dict[str, object]:
        """What the page is told; `place`: how many are before it."""
        took = time.monotonic() - self.since
        fps = self.done / took if self.state == "running" and self.done and took > 0 else None
        return {
            "id": self.name,
            "kind": self.kind,
            "state": self.state,
            "place": place,
            "stage": self.stage,
            "done": self.done,
            "total": self.total,
            "fps": fps,
            "left": (self.total - self.done) / fps if fps and self.total else None,
            "lines": self.lines,
            "error": self.error,
            "pictures": self.pictures,
            "caption": self.caption,
            "results": [{"shows": what, **stored.told()} for what, stored in self.results],
        }


class JobProgress(Progress):
    """The progress of a run, shown in a page; ends the run where its job is cancelled."""

    def __init__(self, job: Job) -> None:
        super().__init__(quiet=True)
        self.job = job

    def say(self, text: str) -> None:
        self.job.lines.append(self.job.tab.readable(text))
        self.job.changed()

    @contextmanager
    def stage(self, name: str, text: str | None = None, frames: int = 0) -> Iterator[Advance]:
        job = self.job
        job.check()
        job.stage, job.done, job.total, job.since = text or name, 0, None, time.monotonic()
        job.changed()

        def advance(done: int, total: int | None = None) -> None:
            job.check()
            job.done, job.total = done, total
            job.changed()

        with super().stage(name, text, frames):
            yield advance


class Runner:
    """The thread that does the jobs, in the order in which they came."""

    def __init__(self) -> None:
        self._jobs: list[Job] = []  # those that wait or run; the first one runs
        self._there = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="page-jobs", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Put a job at the queue's end."""
        with self._there:
            self._jobs.append(job)
            self._there.notify()

    def cancel(self, job: Job) -> None:
        """Have a job end soon, or never begin."""
        job.cancelled.set()
        with self._there:
            waits = job in self._jobs and job.state == "waiting"
            if waits:
                self._jobs.remove(job)
                job.state = "cancelled"
        if waits:
            job.changed()

    def place(self, job: Job) -> int:
        """How many jobs are before this one."""
        with self._there:
            return self._jobs.index(job) if job in self._jobs else 0

    def waiting(self) -> int:
        """How many wait."""
        with self._there:
            return max(0, len(self._jobs) - 1)

    def close(self, seconds: float = 5.0) -> None:
        """Cancel everything, and wait for the thread's end for so long."""
        with self._there:
            self._closed = True
            for job in self._jobs:
                job.cancelled.set()
            self._there.notify()
        self._thread.join(seconds)

    def _work(self) -> None:
        while True:
            with self._there:
                while not self._jobs and not self._closed:
                    self._there.wait()
                if self._closed:
                    return
                job = self._jobs[0]
                job.state = "running"
            self._do(job)
            with self._there:
                self._jobs.remove(job)
                rest = list(self._jobs)
            for one in (job, *rest):
                one.changed()

    @staticmethod
    def _do(job: Job) -> None:
        state: State
        try:
            job.check()
            job.changed()
            job.work(job)
            state = "cancelled" if job.cancelled.is_set() and job.kind != "live" else "done"
        except CancelledError:
            state = "cancelled"
        except UserError as error:
            job.error, state = job.tab.readable(str(error)), "failed"
        except Exception:
            _LOG.exception("a job of the page failed")
            job.error, state = "something went wrong in the program: the terminal it runs in says what", "failed"
        job.state = state
