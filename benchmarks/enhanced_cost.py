"""What `--enhanced` costs on the specification's own command, over the same without it.

    python -m benchmarks.enhanced_cost [-i PHOTO] [-d DRIVER] [--rounds R] [--frames N] [--runs K]

The command is `python inference.py -i ./demos/examples/1.jpg -d ./demos/drivers/obama`: a tracked folder. Plain and
enhanced take turns in one process, each round beginning with the other, so that whatever else the machine does hits
both alike: read the ratios, not the milliseconds. Two things are timed:

* rendering: a frame from its codes to the finished picture, `Pipeline.draw` and the 8 bits, frame by frame in turns.
  A round is so many frames; its ratio is that of its medians.
* the whole command, from options to the written file: tracks loaded, motion improved, avatar built, frames rendered
  and encoded. Models and compiled code are there already, and the start of Python is left out: it is the same in both,
  and would only bring the ratio nearer to 1.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks import _report as report
from core.components import default_components
from core.errors import command
from core.options import IMPROVEMENTS, Options
from core.pipeline import Pipeline, animate, to_image
from core.runtime.device import torch_threads

PHOTO, DRIVER = Path("demos/examples/1.jpg"), Path("demos/drivers/obama")
WARM_UP = 5  # frames of each
RENDERING = 1.10  # limit of the ratio


def main(arguments: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """Run the benchmark and print its tables; returns the rounds' ratios by what was timed."""
    args = _parser().parse_args(arguments)
    plain = Options(args.image_path, args.driver_path, model="lifted", quiet=True)
    variants = {"plain": plain, "--enhanced": replace(plain, enhanced=True)}
    if args.each:
        variants |= {f"--{name.replace('_', '-')}": replace(plain, **{name: True}) for name in IMPROVEMENTS}
    ratios, rows = {}, []
    with torch_threads(1):  # as in a run
        found = rendering(variants, args.rounds, args.frames)
    ms = {name: float(np.median(values)) for name, values in found.items()}
    for name, values in found.items():
        ratios[f"rendering, {name}"] = values / found["plain"]
        rows.append(_row(f"rendering a frame, {name}", f"{ms[name]:.2f} ms", ratios[f"rendering, {name}"]))
    if args.runs:
        seconds = whole_command({name: variants[name] for name in ("plain", "--enhanced")}, args.runs)
        for name, values in seconds.items():
            ratios[f"whole command, {name}"] = values / seconds["plain"]
            one = f"{np.median(values):.2f} s"
            rows.append(_row(f"whole command, {name}", one, ratios[f"whole command, {name}"]))
    print(report.table([f"{args.image_path.name}, {args.driver_path.name}", "median", "ratio", "of the rounds"], rows))
    value = float(np.median(ratios["rendering, --enhanced"]))
    print(
        "\n" + report.requirements([report.requirement("rendering, --enhanced over plain", value, RENDERING, False, 3)])
    )
    return ratios


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.enhanced_cost", description=__doc__.split("\n")[0])
    parser.add_argument("-i", "--image-path", type=Path, default=PHOTO, metavar="PHOTO")
    parser.add_argument("-d", "--driver-path", type=Path, default=DRIVER, metavar="DRIVER")
    parser.add_argument("--rounds", type=int, default=8, metavar="R", help="of rendering (default: 8)")
    parser.add_argument("--frames", type=int, default=30, metavar="N", help="of a round (default: 30)")
    parser.add_argument("--runs", type=int, default=3, metavar="K", help="of the whole command; 0: none (default: 3)")
    parser.add_argument("--each", action="store_true", help="render with each improvement alone, too")
    return parser


def rendering(variants: dict[str, Options], rounds: int, frames: int) -> dict[str, np.ndarray]:
    """Milliseconds a frame, the medians of every round, by variant (R,)."""
    pipelines = {name: Pipeline(options, default_components(options)) for name, options in variants.items()}
    drawn: dict[str, Callable[[int], object]] = {}
    for name, pipeline in pipelines.items():
        motion, _ = pipeline.motion, pipeline.avatar
        drawn[name] = lambda i, p=pipeline, m=motion: to_image(p.draw(m[i % len(m)]))
    times: dict[str, list[float]] = {name: [] for name in drawn}
    names = list(drawn)
    for number in range(-WARM_UP, rounds * frames):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            start = time.perf_counter()
            drawn[name](max(number, 0))
            if number >= 0:
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: np.median(np.reshape(values, (rounds, frames)), axis=1) for name, values in times.items()}


def whole_command(variants: dict[str, Options], runs: int) -> dict[str, np.ndarray]:
    """Seconds of whole runs into a file, by variant (K,); one run of each goes before and is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(-1, runs):
            names = list(variants) if number % 2 else list(variants)[::-1]
            for name in names:
                start = time.perf_counter()
                animate(replace(variants[name], output=Path(folder) / "out.mp4"))
                if number >= 0:
                    seconds[name].append(time.perf_counter() - start)
    return {name: np.array(values) for name, values in seconds.items()}


def _row(name: str, median: str, ratios: np.ndarray) -> list[str]:
    return [name, median, f"{np.median(ratios):.3f}", f"{ratios.min():.3f} to {ratios.max():.3f}"]


if __name__ == "__main__":
    sys.exit(command(main))
