"""Worker processes of this machine: each loads its models once and does one task at a time."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from core.batch.job import Event, EventKind, Task
from core.batch.models import LoadedModels
from core.batch.settings import BatchSettings
from core.batch.worker import Telling, environment, limit_threads, perform
from core.components import Components, default_components
from core.errors import UserError
from core.libs.tracker.cache import TrackCache
from core.runtime.interrupt import leave

_SETTINGS = BatchSettings()
Make = Callable[..., Components]


class Processes:
    """Tasks in processes that are started afresh, not forked. A worker whose batch is gone ends at once.

    Args:
        workers: processes. threads: of each one's libraries. make: of the models, a function of a module.
        cache: where tracks are kept.
    """

    alone = False

    def __init__(
        self,
        workers: int,
        threads: int = 1,
        make: Make = default_components,
        cache: TrackCache | None = None,
        settings: BatchSettings = _SETTINGS,
    ) -> None:
        if workers < 1 or threads < 1:
            raise UserError(f"workers and their threads must be at least 1, got {workers} and {threads}")
        self.capacity, self._threads, self._make, self._cache = workers, threads, make, cache
        self._settings = settings
        self._workers: list[_Worker] = []

    def submit(self, task: Task) -> None:
        worker = next((one for one in self._workers if one.task is None), None)
        if worker is None:
            with _environment(environment(self._threads)):
                worker = _Worker(self._threads, self._make, self._cache, self._settings)
            self._workers.append(worker)
        worker.begin(task)

    def events(self) -> Iterator[Event]:
        waited = {one.connection: one for one in self._workers if one.task is not None}
        ready = wait([*waited], self._settings.poll)
        for connection in ready:
            worker = waited[connection]  # type: ignore[index]  # only connections were waited for
            assert worker.task is not None
            try:
                event = worker.connection.recv()
            except (EOFError, OSError):
                self._workers.remove(worker)
                yield Event(worker.task.key, "lost", worker.end())
                continue
            if event.kind == "ended":
                worker.task = None
            yield event

    def close(self) -> None:
        for worker in self._workers:
            worker.connection.close()  # by which it ends, and removes what it has begun
        for worker in self._workers:
            worker.end()
        self._workers.clear()

    @property
    def pids(self) -> list[int]:
        """Of the workers."""
        return [one.process.pid for one in self._workers if one.process.pid is not None]


class _Worker:
    """A process and the way to it."""

    def __init__(self, threads: int, make: Make, cache: TrackCache | None, settings: BatchSettings) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.task: Task | None = None
        given = (theirs, threads, make, cache, settings.tell)
        self.process: BaseProcess = context.Process(target=_serve, args=given, name="batch-worker", daemon=True)
        self.process.start()
        theirs.close()

    def begin(self, task: Task) -> None:
        self.task = task
        with suppress(OSError):  # one that has ended meanwhile is found lost
            self.connection.send(task)

    def end(self, seconds: float = 5.0) -> str:
        """Have it end; the line that says how it did."""
        self.connection.close()
        self.process.join(seconds)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
        code = self.process.exitcode or 0
        if code == -signal.SIGKILL:
            return "the worker was killed, as the system does when memory runs out: take fewer --workers"
        return f"the worker ended with {signal.Signals(-code).name if code < 0 else f'code {code}'}"


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Have processes that are started in the block see these; what the user has set for himself stays."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        for name in values:
            if name in before:
                os.environ[name] = before[name]
            else:
                del os.environ[name]


def _serve(connection: Connection, threads: int, make: Make, cache: TrackCache | None, tell: float) -> None:
    """The worker's process: do tasks until the batch is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the batch ends its workers itself
    signal.signal(signal.SIGTERM, lambda *_: leave(143))
    tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, tasks), name="batch-listen", daemon=True).start()
    limit_threads(threads)
    models, sending = LoadedModels(cache, make), threading.Lock()

    def send(key: str, kind: EventKind, what: object) -> None:
        with sending, suppress(OSError):  # the batch is gone: the listener ends this process
            connection.send(Event(key, kind, what))

    while True:
        task = tasks.get()
        progress = Telling(partial(send, task.key), tell)
        send(task.key, "ended", perform(task, models, progress))


def _listen(connection: Connection, tasks: queue.SimpleQueue[Task]) -> None:
    """Take tasks as they come; when the batch is gone, end the process, without what it has begun."""
    while True:
        try:
            tasks.put(connection.recv())
        except (EOFError, OSError):
            leave(0)
