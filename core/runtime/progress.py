"""What a person sees while a run goes on: a bar for the stage under way and a line for each one that is done.

Elsewhere than on a terminal only the lines are written. All of it goes to stderr, so that stdout stays free.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from tqdm import tqdm

from core.runtime.native_log import heard_on_stderr

Advance = Callable[[int, int | None], None]  # frames done so far, frames in all where that is known


class CancelledError(Exception):
    """Raised by a progress whose run is no longer wanted: it ends the run, which leaves no file."""


class Progress:
    """The stages of a run and the seconds each one took; with `quiet` nothing is written."""

    def __init__(self, quiet: bool = False, stream: TextIO | None = None) -> None:
        self.quiet = quiet
        self.stream = stream or sys.stderr
        self.seconds: dict[str, float] = {}

    def say(self, text: str) -> None:
        """A line of its own."""
        if not self.quiet:
            self._print(text)

    def _print(self, text: str, end: str = "\n") -> None:
        with heard_on_stderr():  # a native library may be silenced in another thread
            print(text, end=end, file=self.stream, flush=True)

    @contextmanager
    def stage(self, name: str, text: str | None = None, frames: int = 0) -> Iterator[Advance]:
        """Time a stage under `name` and show it as `text`; what it hands out moves its bar. `frames`: made by it."""
        text = text or name
        live = not self.quiet and self.stream.isatty()
        bar: _Bar | None = None
        if live:
            self._print(f"{text} ...", end="")

        def advance(done: int, total: int | None = None) -> None:
            nonlocal bar
            if live and bar is None:
                bar = _Bar(desc=text, total=total, file=self.stream, leave=False, dynamic_ncols=True)
            if bar is not None:
                bar.total = total
                bar.update(done - bar.n)

        start = time.perf_counter()
        try:
            yield advance
        except BaseException:
            if bar is not None:
                bar.close()
            if live:
                self._print("")
            raise
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
        if bar is not None:
            bar.close()
        took = time.perf_counter() - start
        speed = f", {frames} frames, {frames / took:.1f} fps" if frames > 1 else ""
        self.say(("\r\x1b[K" if live else "") + f"{text}: {took:.1f} s{speed}")


class _Bar(tqdm):
    """tqdm that says `fps`."""

    def __init__(self, **options) -> None:
        shape = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} frames, {fps} fps, {remaining} left"
        super().__init__(bar_format=shape if options["total"] else "{desc}: {n_fmt} frames, {fps} fps", **options)

    @property
    def format_dict(self) -> dict:
        values = super().format_dict
        rate = values["rate"] or (values["n"] / values["elapsed"] if values["elapsed"] else 0.0)
        return {**values, "fps": f"{rate:.1f}"}
