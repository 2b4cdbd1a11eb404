"""A run's pictures with what each took, its video, and the memory of this process."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from core.data.records import IMAGE_SIZE, TrackedSequence
from core.data.video import VideoWriter
from core.pipeline import Pipeline


class FrameTimer:
    """A pipeline's pictures, one a call, with the milliseconds each took.

    Preparing the motion is shared out among the frames; the first frame, which builds the avatar, has no time (NaN).
    """

    def __init__(self, pipeline: Pipeline) -> None:
        start = time.perf_counter()
        length = len(pipeline.motion)
        self._share = (time.perf_counter() - start) / length
        self._frames, self._first = pipeline.frames(), True
        self.seconds = pipeline.progress.seconds

    def __call__(self) -> tuple[np.ndarray, float]:
        start = time.perf_counter()
        image = next(self._frames).image
        took = np.nan if self._first else time.perf_counter() - start + self._share
        self._first = False
        return image, 1e3 * took

    def close(self) -> None:
        self._frames.close()


class Video:
    """A video of a result, dropped unless it is written to its end; `with_truth`: the driver's picture beside it."""

    def __init__(self, path: Path, track: TrackedSequence, with_truth: bool) -> None:
        self._writer = VideoWriter(path, track.fps, (IMAGE_SIZE * (2 if with_truth else 1), IMAGE_SIZE))
        self._times, self._left = track.times, len(track)
        self._writer.__enter__()

    def write(self, image: np.ndarray, index: int) -> None:
        self._writer.write(image, self._times[index])
        self._left -= 1

    def close(self) -> None:
        error = None if self._left == 0 else RuntimeError("the run ended early")
        self._writer.__exit__(type(error) if error else None, error, None)


def reset_peak_memory() -> None:
    """Let the kernel count this process's peak memory from now on; without effect elsewhere than on Linux."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def peak_memory() -> float:
    """MiB this process held at most since `reset_peak_memory`; NaN where the kernel does not say."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return float("nan")
    sizes = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(sizes[0]) / 1024 if sizes else float("nan")
