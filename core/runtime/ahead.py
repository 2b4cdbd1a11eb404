"""Work that is begun before anybody waits for it, and need not be wanted in the end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

from core.runtime.progress import Advance, CancelledError
from core.runtime.threads import beside

R = TypeVar("R")


class Ahead(Generic[R]):
    """A piece of work in a thread, from now on.

    Args:
        work: is called with what it is to tell how far it is, often: it ends there where it is no longer wanted.
    """

    def __init__(self, work: Callable[[Advance], R]) -> None:
        self._unwanted = threading.Event()
        self._shown: Advance | None = None
        self._result = beside(lambda: work(self._advance))

    def wait(self, shown: Advance) -> R:
        """What it returned, or its error; `shown` is told how far it is. Where waiting ends early, so does the work."""
        self._shown = shown
        try:
            return self._result()
        except BaseException:
            self.cancel()
            raise

    def cancel(self) -> None:
        """Have it end, and wait until it has; nothing is said of its errors."""
        self._unwanted.set()
        with suppress(Exception):
            self._result()

    def _advance(self, done: int, total: int | None) -> None:
        if self._unwanted.is_set():
            raise CancelledError
        if self._shown is not None:
            self._shown(done, total)
