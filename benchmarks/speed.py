"""Speed at 512x512: from codes to picture, against the 2D warp of the same frames, and end to end.

    python -m benchmarks.speed [--source A.jpg] [--clip obama] [--frames N]

Codes to picture is what a frame costs once photo and driver are tracked: the head evaluated, its Gaussians moved and
drawn. Avatar and warp take turns on the same frames, so that other work on the machine hits both alike; medians are
printed. End to end is a whole run into a file, photo and driver tracked again, models loaded, everything compiled.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from benchmarks import _report as report
from benchmarks._inputs import add_data, find_clips
from benchmarks._performance import Performance, frame_indices, lossless_first_frame
from benchmarks._truth import settled_points, track_faces
from core.data.video import VideoReader
from core.errors import command
from core.evaluation.warp_baseline import PiecewiseAffineWarp
from core.libs.tracker.crop import to_crop
from core.libs.tracker.mediapipe_tracker import MediaPipeTracker
from core.models.request import DrawRequest
from core.options import Options
from core.pipeline import animate

WARM_UP = 5  # frames
RENDER_FPS, WHOLE_FPS = 30, 15
ENHANCED_SHARE = 0.85
ROUNDS = 2  # of each whole run, the faster one counts


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark and print its tables."""
    args = _parser().parse_args(arguments)
    (clip,) = find_clips(args.clip and [args.clip], args.data, ["obama"])
    source = args.source or lossless_first_frame(clip)
    with tempfile.TemporaryDirectory() as folder:
        options = Options(source, clip, model="lifted", quiet=True, output=Path(folder) / "speed.mp4")
        performance = Performance(options)
        print(f"{os.cpu_count()} cores, {_gaussians(performance)} Gaussians, {source.name} moved by {clip.name}")
        _stages(performance, clip, args.frames)
        rates = {}
        for flags in ({"layout": "result"}, {"layout": "compare"}, {"layout": "result", "enhanced": True}):
            name = " ".join(["--layout", flags["layout"], *(["--enhanced"] if "enhanced" in flags else [])])
            animate(replace(options, **flags))  # once for the caches of the operating system and of numba
            runs = [animate(replace(options, **flags, force_retrack=True)) for _ in range(ROUNDS)]
            run = min(runs, key=lambda run: run.total)  # what else the machine does can only make it slower
            seconds = {stage: f"{value:.2f} s" for stage, value in run.seconds.items()}
            print(f"\nend to end, {name}: {run.frames} frames in {run.total:.2f} s; {seconds}")
            rates[name] = run.frames / run.total
    print()
    rows = [report.requirement(f"end to end, {name}: fps", fps, WHOLE_FPS, True, 1) for name, fps in rates.items()]
    plain, _, enhanced = rates.values()
    rows.append(report.requirement("--enhanced keeps of the frame rate", enhanced / plain, ENHANCED_SHARE, True, 2))
    print(report.requirements(rows))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__.split("\n")[0])
    parser.add_argument("--source", type=Path, metavar="PHOTO", help="default: the clip's first frame")
    parser.add_argument("--clip", metavar="CLIP", help="a name in the data, or a file (default: obama)")
    add_data(parser)
    parser.add_argument("--frames", type=int, default=200, metavar="N", help="frames timed (default: 200)")
    return parser


def _stages(performance: Performance, clip: Path, limit: int) -> None:
    """Print what a frame costs, stage by stage, and what the warp costs."""
    tracker = MediaPipeTracker()
    source, components = performance.source, performance.components
    warp = PiecewiseAffineWarp(source.image, source.matte, settled_points(source.image, tracker), source.margin)
    indices = frame_indices(len(performance.track), limit, 1)
    pictures = (f.image for f, _ in zip(VideoReader(clip), indices, strict=False))
    points = to_crop(track_faces(pictures, tracker), performance.track.crops[: len(indices)])
    tracker.close()

    times = []
    for index in [*indices[:WARM_UP], *indices]:
        start = time.perf_counter()
        frame = performance.motion[index]
        vertices = components.head.evaluate(frame)
        evaluated = time.perf_counter()
        told = {"torso_motion": frame.torso_motion, "mouth": frame.mouth_interior}
        components.model.render(performance.avatar, DrawRequest(vertices, frame.transform_matrix, **told))
        rendered = time.perf_counter()
        image, matte = warp(points[index])
        cv2.multiply(image, cv2.merge([matte] * 3), dtype=cv2.CV_8U)  # on black
        times.append((evaluated - start, rendered - evaluated, rendered - start, time.perf_counter() - rendered))
    milliseconds = 1e3 * np.array(times[WARM_UP:])
    names = ("head evaluated", "avatar rendered", "codes to picture", "2D warp")
    rows = [
        [name, *(f"{v:.2f}" for v in (np.median(column), column.mean(), np.percentile(column, 95)))]
        for name, column in zip(names, milliseconds.T, strict=True)
    ]
    print("\n" + report.table(["stage", "ms, median", "mean", "95th percentile"], rows))
    _, _, total, baseline = np.median(milliseconds, axis=0)
    print(f"\ncodes to picture over the warp: {total / baseline:.2f} times its time\n")
    row = report.requirement("codes to picture, frames per second", 1e3 / total, RENDER_FPS, True, 1)
    print(report.requirements([row]))


def _gaussians(performance: Performance) -> str:
    surface = getattr(performance.avatar, "surface", None)
    return "an unknown number of" if surface is None else f"{len(surface.binding):,}"


if __name__ == "__main__":
    sys.exit(command(main))
