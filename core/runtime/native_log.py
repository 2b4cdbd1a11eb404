"""Silence for native libraries that write to file descriptor 2, past Python: a user must not have to read that."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Silencer:
    """Turns a file descriptor to nowhere while anybody, of several threads, wants it to be silent.

    Args:
        descriptor: of this process.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.RLock()
        self._wanted, self._real = 0, -1  # by how many; the descriptor as it was before the first of them

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Within, what is written to the descriptor is lost."""
        with self._lock:
            if not self._wanted:
                self._real = os.dup(self._descriptor)
                self._turn_off()
            self._wanted += 1
        try:
            yield
        finally:
            with self._lock:
                self._wanted -= 1
                if not self._wanted:
                    os.dup2(self._real, self._descriptor)
                    os.close(self._real)

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Within, which is to be short, what is written is heard, although another thread wants silence."""
        with self._lock:
            if not self._wanted:
                yield
                return
            os.dup2(self._real, self._descriptor)
            try:
                yield
            finally:
                self._turn_off()

    def _turn_off(self) -> None:
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, self._descriptor)
        os.close(sink)


_stderr = Silencer(2)  # process state by its nature, as the descriptor is
native_log_silenced, heard_on_stderr = _stderr.silent, _stderr.heard
