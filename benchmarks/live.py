"""A clip as a camera: frames a second and latency from camera picture to portrait picture, by stage.

    python -m benchmarks.live [--clip obama] [--seconds 20] [--fps 30] [--plain]

The clip is fed at the camera's pace, again and again, from memory and at most 640 pixels large, into
`LiveSession.run`: a thread reads, another tracks and draws, both in this process. What is printed is of the pictures
after the first three seconds, in which the person is found. Latency is from the moment the camera has a picture to
the moment its portrait is there; its parts are the wait until the last portrait is drawn, tracking, and drawing.
Pictures that come too fast are left out and counted. `without a camera` steps through the same pictures as fast as it
goes.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from benchmarks import _report as report
from benchmarks._inputs import add_data, find_clips
from core.data.video import VideoReader
from core.errors import command
from core.live import LivePicture, LiveSession
from core.options import Options

LEAST_FPS, MOST_MS = 25, 60
_SKIPPED = 3.0  # seconds
_SIDE = 640


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark and print its tables."""
    args = _parser().parse_args(arguments)
    (clip,) = find_clips(args.clip and [args.clip], args.data, ["obama"])
    pictures = [_small(frame.image) for frame in VideoReader(clip)]
    options = Options(args.source, enhanced=not args.plain, quiet=True)
    with LiveSession(options, fps=args.fps) as session:
        print(
            f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {args.source.name} moved by {clip.name}, "
            f"{pictures[0].shape[1]}x{pictures[0].shape[0]} at {args.fps:g} frames a second, "
            f"{'nothing' if args.plain else 'everything'} on\n"
        )
        shown, dropped, seconds = _as_camera(session, pictures, args.fps, args.seconds)
        used = time.process_time()
        alone = [session.step(pictures[i % len(pictures)], 1e6 + i / args.fps) for i in range(args.fps * 4)][args.fps :]
        alone = [replace(p, seconds=p.seconds | {"total": sum(p.seconds.values())}) for p in alone]
    work = 1e3 * (time.process_time() - used) / (4 * args.fps)
    heads, parts = ["p50", "p95", "largest"], ("wait", "track", "draw", "total")
    print(report.table(["as a camera, ms", *heads], _rows(shown, parts)))
    print("\n" + report.table(["without a camera, ms", *heads], _rows(alone, ("track", "draw", "total"))))
    print(f"\nof all cores a portrait takes {work:.1f} ms of work")
    fps, total = len(shown) / seconds, np.median([p.seconds["total"] for p in shown]) * 1e3
    print(f"{len(shown)} portraits in {seconds:.1f} s, {dropped} pictures left out; load {os.getloadavg()[0]:.1f}\n")
    rows = [
        report.requirement("live: frames a second", fps, LEAST_FPS, True, 1),
        report.requirement("camera picture to portrait, ms (median)", total, MOST_MS, False, 1),
    ]
    print(report.requirements(rows))
    print("the limits are for two quiet cores")


def _as_camera(
    session: LiveSession, pictures: list[np.ndarray], fps: float, seconds: float
) -> tuple[list[LivePicture], int, float]:
    """The portraits after the first seconds, how many pictures were left out by then, and how long that was."""
    start, count, shown = time.monotonic(), 0, []

    def camera() -> np.ndarray | None:
        nonlocal count
        count += 1
        time.sleep(max(0.0, start + count / fps - time.monotonic()))
        there = time.monotonic() - start < _SKIPPED + seconds
        return pictures[count % len(pictures)] if there else None

    session.run(camera, lambda picture: shown.append(picture))
    late = [picture for picture in shown if picture.taken - start >= _SKIPPED]
    before = max((p.dropped for p in shown if p.taken - start < _SKIPPED), default=0)
    return late, late[-1].dropped - before, late[-1].taken - late[0].taken


def _rows(shown: list[LivePicture], names: Sequence[str]) -> list[list[str]]:
    values = {name: 1e3 * np.array([picture.seconds[name] for picture in shown]) for name in names}
    return [
        [name, *(f"{v:.1f}" for v in (*np.percentile(value, [50, 95]), value.max()))] for name, value in values.items()
    ]


def _small(picture: np.ndarray) -> np.ndarray:
    factor = _SIDE / max(picture.shape[:2])
    return cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA) if factor < 1 else picture


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live", description=__doc__.split("\n")[0])
    parser.add_argument("--source", type=Path, default=Path("demos/examples/1.jpg"), metavar="PHOTO")
    parser.add_argument("--clip", metavar="CLIP", help="a name in the data, or a file (default: obama)")
    add_data(parser)
    parser.add_argument("--seconds", type=float, default=20.0, metavar="S", help="measured (default: 20)")
    parser.add_argument("--fps", type=int, default=30, metavar="N", help="of the camera (default: 30)")
    parser.add_argument("--plain", action="store_true", help="all improvements off")
    return parser


if __name__ == "__main__":
    sys.exit(command(main))
