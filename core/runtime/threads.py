"""Threads that run beside the main one: a reader that is a few items ahead, a writer that is a few behind, lanes that
work on a few items at once, a single piece of work, and room for the newest item between two threads.

All have short queues, so that memory does not grow with the length of a driver, and all end with the block they are
used in. An error in a thread is raised where its items are taken or given.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")
R = TypeVar("R")
_END = object()


@dataclass(frozen=True)
class QueueSettings:
    """How a thread and the main one hand items over.

    Attributes:
        depth: items that wait at most. By eye: a slow frame holds nobody up, and memory stays small.
        poll: seconds until a waiting thread looks whether it is still wanted.
    """

    depth: int = 4
    poll: float = 0.05


@dataclass(frozen=True)
class LaneSettings:
    """How many items are worked on at once.

    Attributes:
        most: lanes at most. Two cores were measured; what Python itself does, one thread does at a time.
        ahead: items of each lane that are under way or done: a slow one holds nobody up.
    """

    most: int = 2
    ahead: int = 2


class _CancelledError(Exception):
    """Raised in the writer's thread when the run ends early."""


def read_ahead(items: Iterable[T], settings: QueueSettings = QueueSettings()) -> Generator[T, None, None]:
    """The same items, made in a thread up to `settings.depth` ahead; close the generator to end it early."""
    stop = threading.Event()
    ready: queue.Queue = queue.Queue(settings.depth)

    def give(item: object) -> bool:
        while not stop.is_set():
            try:
                ready.put(item, timeout=settings.poll)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for item in items:
                if not give((item, None)):
                    return
            give((_END, None))
        except BaseException as error:
            give((_END, error))
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()

    thread = threading.Thread(target=work, name="read-ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error = ready.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        stop.set()
        thread.join()


def in_lanes(
    items: Iterable[T],
    lanes: Sequence[Callable[[T], R]],
    begin: Callable[[], None],
    settings: LaneSettings = LaneSettings(),
) -> Generator[R, None, None]:
    """What the lanes make of the items, in the items' order; close the generator to end it early.

    Args:
        items: are taken in the caller's thread. lanes: each is called in a thread of its own, item by item in turn: no
            lane works on two at once.
        begin: is called first in each of these threads. settings: how many items wait.
    """
    threads = [ThreadPoolExecutor(1, thread_name_prefix="lane", initializer=begin) for _ in lanes]
    waiting: deque[Future[R]] = deque()
    try:
        for index, item in enumerate(items):
            at = index % len(lanes)
            waiting.append(threads[at].submit(lanes[at], item))
            if len(waiting) == settings.ahead * len(lanes):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for thread in threads:
            thread.shutdown(cancel_futures=True)


def beside(work: Callable[[], R]) -> Callable[[], R]:
    """Begins a piece of work in a thread; what waits for it to end and gives what it returned, or raises its error."""
    thread = ThreadPoolExecutor(1, thread_name_prefix="beside")
    future = thread.submit(work)
    thread.shutdown(wait=False)
    return future.result


@contextmanager
def opencv_threads(count: int) -> Iterator[None]:
    """Have OpenCV take so many threads for a while, the whole process's.

    Those that have nothing to do wait by spinning, which takes the cores from other threads.
    """
    import cv2  # a command that is refused at once does without it

    before = cv2.getNumThreads()
    cv2.setNumThreads(count)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


class WriteBehind(Generic[T]):
    """Runs `consume(items)` in a thread and feeds it with `put`; a context manager.

    When the block ends well, the thread is waited for. When it ends with an exception, `items` raises inside `consume`,
    so that a writer in there removes its unfinished file.
    """

    def __init__(self, consume: Callable[[Iterator[T]], None], settings: QueueSettings = QueueSettings()) -> None:
        self._queue: queue.Queue = queue.Queue(settings.depth)
        self._poll = settings.poll
        self._cancelled = threading.Event()
        self._error: BaseException | None = None
        self._consume = consume
        self._thread = threading.Thread(target=self._work, name="write-behind", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def put(self, item: T) -> None:
        """Hand over an item; waits while the queue is full. Raises what the thread raised."""
        self._put(item)

    def _put(self, item: object) -> None:
        while True:
            if self._error is not None:
                raise self._error
            if not self._thread.is_alive():
                raise RuntimeError("the writer ended before its last item")
            try:
                self._queue.put(item, timeout=self._poll)
                return
            except queue.Full:
                continue

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        try:
            if kind is None:
                self._put(_END)
                self._thread.join()
        except BaseException:
            self._cancelled.set()
            self._thread.join()
            raise
        if kind is not None:
            self._cancelled.set()
            self._thread.join()
        elif self._error is not None:
            raise self._error

    def _items(self) -> Iterator[T]:
        while not self._cancelled.is_set():
            try:
                item = self._queue.get(timeout=self._poll)
            except queue.Empty:
                continue
            if item is _END:
                return
            yield item
        raise _CancelledError

    def _work(self) -> None:
        try:
            self._consume(self._items())
        except _CancelledError:
            pass
        except BaseException as error:
            self._error = error


class Newest(Generic[T]):
    """Room for one item between two threads: one that is not taken in time makes room for the next.

    Attributes:
        dropped: how many were not taken.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._item: T | None = None
        self._closed = False
        self.dropped = 0

    def put(self, item: T) -> None:
        """The next item."""
        with self._changed:
            self.dropped += self._item is not None
            self._item = item
            self._changed.notify()

    def take(self) -> T | None:
        """The newest item, when there is one; None when it was closed and nothing is left."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._closed)
            item, self._item = self._item, None
            return item

    def close(self) -> None:
        """Nothing comes any more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
