"""One side of `benchmarks.tracking`, run by its path in the checkout that is measured; prints one line of JSON."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import core.runtime.memory as memory

if hasattr(memory, "collect_once_loaded"):  # as `inference.py` does where they are there
    memory.collect_once_loaded()
elif hasattr(memory, "collect_rarely"):
    memory.collect_rarely()
if hasattr(memory, "share_heap"):
    memory.share_heap()
with suppress(ImportError):
    from core.runtime.submodules import import_torch

    import_torch()
    from core.runtime.submodules import import_numba

    import_numba()

from core.data.video import VideoReader
from core.libs.tracker.driver import track_footage
from core.libs.tracker.mediapipe_tracker import MediaPipeTracker
from core.options import Options
from core.pipeline import Pipeline, animate


def tracking(clip: Path, warm: Path) -> tuple[float, float]:
    """Milliseconds a frame of tracking a file, by the clock and of all cores, after a short one."""
    tracker = MediaPipeTracker()
    track_footage(lambda: VideoReader(warm), tracker, name=str(warm))
    start, used = time.perf_counter(), time.process_time()
    frames = len(track_footage(lambda: VideoReader(clip), tracker, name=str(clip)))
    seconds = time.perf_counter() - start, time.process_time() - used
    tracker.close()
    return 1e3 * seconds[0] / frames, 1e3 * seconds[1] / frames


def file_to_file(photo: Path, clip: Path, warm: Path) -> tuple[float, float]:
    """Frames a second of a whole run with everything on, photo and driver tracked again, and how many a second of a
    core's work would make; after a run with a short driver.
    """
    with tempfile.TemporaryDirectory() as folder:
        given = {"layout": "result", "enhanced": True, "force_retrack": True, "quiet": True, "model": "lifted"}
        animate(Options(photo, warm, output=Path(folder) / "warm.mp4", **given))
        used = time.process_time()
        run = animate(Options(photo, clip, output=Path(folder) / "x.mp4", **given))
        return run.frames / run.total, run.frames / (time.process_time() - used)


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("tracking", "file", "first"))
    parser.add_argument("photo", type=Path)
    parser.add_argument("clip", type=Path)
    parser.add_argument("warm", type=Path)
    args = parser.parse_args()
    if args.what == "tracking":
        print(json.dumps(tracking(args.clip, args.warm)), flush=True)
    elif args.what == "file":
        print(json.dumps(file_to_file(args.photo, args.clip, args.warm)), flush=True)
    else:  # the caller takes the time, from before Python starts
        next(Pipeline(Options(args.photo, args.clip, enhanced=True, quiet=True, model="lifted")).frames())
        os._exit(0)  # taking the libraries down is not waited for by whoever wants to see the frame


if __name__ == "__main__":
    main()
