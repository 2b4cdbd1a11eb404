"""What a person sees of a batch: one bar over all of it, a line for each job, the time that is left."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TextIO

from tqdm import tqdm

from core.batch.flow import Watch
from core.batch.job import Job, JobResult


class Shown:
    """Writes to stderr: lines, and on a terminal a bar; with `quiet` only failures.

    Args:
        jobs: of the batch. kept: of these, how many are done already. stream: stderr where it is left out.
    """

    def __init__(self, jobs: Sequence[Job], quiet: bool, stream: TextIO | None = None) -> None:
        self.count, self.quiet, self.stream = len(jobs), quiet, stream or sys.stderr
        self.ended = 0
        self._said: set[str] = set()
        self._shares: dict[str, float] = {}
        self._start = time.monotonic()
        live = not quiet and self.stream.isatty()
        shape = "{desc}: {percentage:3.0f}%|{bar}| {n:.1f}/{total} jobs, {elapsed}, {remaining} left"
        options = {"bar_format": shape, "file": self.stream, "leave": False, "dynamic_ncols": True}
        self._bar = tqdm(total=self.count, desc="batch", **options) if live else None

    @property
    def watch(self) -> Watch:
        """What is told of the batch."""
        return Watch(share=self._share, line=self._line)

    def say(self, text: str, always: bool = False) -> None:
        """A line of its own."""
        if self.quiet and not always:
            return
        if self._bar is not None:
            self._bar.write(text, file=self.stream)
        else:
            print(text, file=self.stream, flush=True)

    def result(self, result: JobResult) -> None:
        """A job has ended."""
        self.ended += 1
        self._move()
        place = f"[{self.ended}/{self.count}] {result.job.shown}"
        if result.state == "failed":
            self.say(f"{place}: failed: {result.error}", always=True)
        elif result.state == "kept":
            self.say(f"{place}: kept, it is done")
        else:
            speed = f", {result.frames / max(result.seconds, 1e-9):.1f} fps" if result.frames > 1 else ""
            again = f", begun {result.attempts} times" if result.attempts > 1 else ""
            frames = "1 frame" if result.frames == 1 else f"{result.frames} frames"
            self.say(f"{place}: {frames} in {result.seconds:.1f} s{speed}, {result.peak_mib} MiB{again}")

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()

    def _share(self, key: str, share: float) -> None:
        if key.startswith("job"):
            self._shares[key] = share
            if share >= 1:
                self._shares.pop(key)
            self._move()

    def _line(self, job: Job, text: str) -> None:
        """What a run said, once for all jobs that say the same."""
        if text not in self._said:
            self._said.add(text)
            self.say(f"{job.shown}: {text}")

    def _move(self) -> None:
        if self._bar is not None:
            self._bar.n = min(self.count, self.ended + sum(self._shares.values()))
            self._bar.refresh()
