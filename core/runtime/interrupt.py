"""How a run ends when it is interrupted (SIGINT, Ctrl-C) or terminated (SIGTERM): soon, and without half a file.

Both signals raise an exception in the main thread, so that everything that is open is closed and removed on its way
out. Python raises it between two of its own instructions, though, which a long call into a library can put off, and a
library may swallow it. So a thread watches too, and ends the process where that has not happened in time.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from core.data.part_file import discard_all

CODES: dict[int, int] = {signal.SIGINT: 130, signal.SIGTERM: 143}


class Interruption:
    """The two signals while a command runs; made by `interruptible`."""

    def __init__(self, grace: float = 0.6, retry: float = 0.02) -> None:
        self.grace = grace  # seconds for the orderly way out
        self.retry = retry  # seconds after which a signal that came at a wrong moment comes again
        self.code: int | None = None  # of the signal that came
        self._ended = threading.Event()

    def allow(self, seconds: float) -> None:
        """Give the orderly way out that long."""
        self.grace = seconds

    def raise_in_main(self, number: int, frame: FrameType | None) -> None:
        """The handler. While LLVM calls back into Python it comes again a moment later: C++ cannot pass an exception
        on, and crashes.
        """
        self.code = CODES[number]
        if _called_by_llvm(frame):
            again = threading.Timer(self.retry, os.kill, (os.getpid(), number))
            again.daemon = True
            again.start()
            return
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(self.code)

    def watch(self, wakes: socket.socket) -> None:
        """The thread: waits for a signal, then for the end."""
        while data := wakes.recv(1):
            if data[0] in CODES and not self._ended.wait(self.grace):
                leave(CODES[data[0]])

    def end(self) -> None:
        """The orderly way out was taken."""
        self._ended.set()


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Handle both signals in the block; to be used in the main thread."""
    interruption = Interruption()
    wakes, woken = socket.socketpair()  # the C part of a signal's handling writes to it, whatever Python is doing
    woken.setblocking(False)
    before = {number: signal.signal(number, interruption.raise_in_main) for number in CODES}
    wakeup = signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
    watcher = threading.Thread(target=interruption.watch, args=(wakes,), name="interruption", daemon=True)
    watcher.start()
    try:
        yield interruption
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        interruption.end()
        woken.close()
        watcher.join()
        wakes.close()


def _called_by_llvm(frame: FrameType | None) -> bool:
    """Whether a frame, or one that called it, is Python that LLVM's compiler calls: llvmlite's, with numba's in it."""
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith("llvmlite.binding"):
            return True
        frame = frame.f_back
    return False


def leave(code: int) -> NoReturn:
    """End the process now: unfinished files go, libraries are not asked (their own ends can take a second)."""
    discard_all()
    os._exit(code)
