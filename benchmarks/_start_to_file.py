"""One side of `benchmarks.tracking`, run by its path in the checkout that is measured; prints one line of JSON."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import core.runtime.memory as memory

if hasattr(memory, "collect_rarely"):  # as `inference.py` does where it is there
    memory.collect_rarely()

from core.data.video import VideoReader
from core.libs.tracker.driver import track_footage
from core.libs.tracker.mediapipe_tracker import MediaPipeTracker
from core.options import Options
from core.pipeline import Pipeline, animate


def tracking(clip: Path, rounds: int) -> list[tuple[float, float]]:
    """Milliseconds a frame of tracking a file, by the clock and of all cores, of each round but a first one."""
    tracker, found = MediaPipeTracker(), []
    for _ in range(rounds + 1):
        start, used = time.perf_counter(), time.process_time()
        frames = len(track_footage(lambda: VideoReader(clip), tracker, name=str(clip)))
        seconds = time.perf_counter() - start, time.process_time() - used
        found.append((1e3 * seconds[0] / frames, 1e3 * seconds[1] / frames))
    tracker.close()
    return found[1:]


def file_to_file(photo: Path, clip: Path, rounds: int) -> list[tuple[float, float]]:
    """Frames a second of whole runs with everything on, photo and driver tracked again, and how many a second of a
    core's work would make; of each but a first one.
    """
    found = []
    with tempfile.TemporaryDirectory() as folder:
        given = {"layout": "result", "enhanced": True, "force_retrack": True, "quiet": True, "model": "lifted"}
        for _ in range(rounds + 1):
            used = time.process_time()
            run = animate(Options(photo, clip, output=Path(folder) / "x.mp4", **given))
            found.append((run.frames / run.total, run.frames / (time.process_time() - used)))
    return found[1:]


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("tracking", "file", "first"))
    parser.add_argument("photo", type=Path)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--rounds", type=int, default=1)
    args = parser.parse_args()
    if args.what == "tracking":
        values = tracking(args.clip, args.rounds)
    elif args.what == "file":
        values = file_to_file(args.photo, args.clip, args.rounds)
    else:  # the caller takes the time, from before Python starts
        next(Pipeline(Options(args.photo, args.clip, enhanced=True, quiet=True, model="lifted")).frames())
        values = []
    print(json.dumps(values), flush=True)


if __name__ == "__main__":
    main()
