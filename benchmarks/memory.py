"""Peak memory of a long driver against that of a short one.

    python -m benchmarks.memory [--minutes 10] [--source A.jpg] [--clip obama] [--large] [--jobs 1000]

A clip is repeated to both lengths without encoding it again, and each file goes through `inference.py` in a process of
its own, with an empty track cache; a second of the clip goes first, so that no kernel is compiled in what is measured.
The kernel says how much memory the process held at most, and a plot what it held over time. The long run takes about as
long as its driver lasts; `--minutes 0` leaves both out.

`--jobs` does that many whole runs one after another in one process.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks import _report as report
from benchmarks._inputs import add_data, find_clips
from benchmarks._performance import lossless_first_frame
from core.data.image import read_image, write_image
from core.data.records import TrackedSequence
from core.data.video import VideoWriter
from core.errors import command

DEMO_PHOTO, DEMO_DRIVER = Path("demos/examples/1.jpg"), Path("demos/drivers/obama")
SHORT_SECONDS = 10
_INTERVAL = 0.25  # seconds between two looks at what a run holds
MOST_RATIO = 1.1


def main(arguments: Sequence[str] | None = None) -> float | None:
    """Run the benchmark, print its tables and return the ratio of the long driver's peak to the short one's."""
    args = _parser().parse_args(arguments)
    args.output.mkdir(parents=True, exist_ok=True)
    ratio = None
    if args.minutes or args.large:
        (clip,) = find_clips(args.clip and [args.clip], args.data, ["obama"])
        source = args.source or lossless_first_frame(clip)
    if args.minutes:
        ratio = _lengths(source, clip, args)
    if args.large:
        rows = [[name, f"{curve.peak:.0f}", f"{curve.times[-1]:.0f}"] for name, curve in large_runs(source)]
        print(report.table(["inputs", "peak MiB", "run, s"], rows) + "\n")
    if args.jobs:
        _jobs(args.jobs, args.output)
    return ratio


def _lengths(source: Path, clip: Path, args: argparse.Namespace) -> float:
    """A short and a long driver."""
    rows, curves = [], []
    with tempfile.TemporaryDirectory() as folder:
        repeat(clip, warm := Path(folder) / "warm.mp4", 1)
        watched_run(source, warm, Path(folder), args.options.split())
    for seconds in (SHORT_SECONDS, 60 * args.minutes):
        with tempfile.TemporaryDirectory() as folder:
            driver = Path(folder) / "driver.mp4"
            frames = repeat(clip, driver, seconds)
            curves.append(curve := watched_run(source, driver, Path(folder), args.options.split()))
        figures = (f"{curve.peak:.0f}", f"{curve.growth:+.2f}", f"{curve.times[-1]:.0f}")
        rows.append([f"{seconds:g} s", f"{frames}", *figures])
        print(f"driver of {seconds:g} s: {curve.peak:.0f} MiB", flush=True)
    print("\n" + report.table(["driver", "frames", "peak MiB", "late MiB/min", "run, s"], rows) + "\n")
    _plot(curves, args.output)
    ratio = curves[1].peak / curves[0].peak
    print(report.requirements([report.requirement("peak memory, long over short", ratio, MOST_RATIO, False, 3)]))
    return ratio


def _jobs(count: int, folder: Path) -> None:
    """Many runs in this process, what it held after each, and how that grew over the second half."""
    held = np.array(many_jobs(count))
    after = np.arange(1, count + 1)
    rows = [[f"{job}", f"{held[job - 1]:.0f}"] for job in sorted({*range(100, count, 100), min(10, count), count})]
    print(report.table(["jobs in one process", "MiB"], rows))
    late = after > count // 2
    if late.sum() > 2:
        growth = np.polyfit(after[late], held[late], 1)[0]
        print(f"second half: {1024 * growth:+.0f} KiB a job, by a straight line")
    figure, axes = _axes(xlabel="runs in one process", ylabel="MiB held after each")
    axes.plot(after, held, linewidth=0.8)
    axes.set_ylim(bottom=0)
    figure.savefig(folder / "jobs.png", dpi=110)
    print(folder / "jobs.png")


@dataclass(frozen=True)
class Curve:
    """What a run held over time.

    Attributes:
        times: (N,) seconds since its start. held: (N,) MiB. peak: MiB, as the kernel counted it.
    """

    times: np.ndarray
    held: np.ndarray
    peak: float

    @property
    def growth(self) -> float:
        """MiB a minute over the second half of the run but its very end, by a straight line."""
        late = (self.times > 0.5 * self.times[-1]) & (self.times < 0.95 * self.times[-1])
        return float(60 * np.polyfit(self.times[late], self.held[late], 1)[0]) if late.sum() > 2 else 0.0


def watched_run(source: Path, driver: Path, folder: Path, options: Sequence[str] = ()) -> Curve:
    """A run of the command line in a process of its own, and what it held."""
    command = [sys.executable, "inference.py", "-i", str(source), "-d", str(driver), "-o", str(folder / "result.mp4")]
    start = time.perf_counter()
    process = subprocess.Popen(
        [*command, "--model", "lifted", "--quiet", *options],
        env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache")},
    )
    times, held = [], []
    while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
        times.append(time.perf_counter() - start)
        held.append(_held(process.pid))
        time.sleep(_INTERVAL)
    _, status, usage = ended
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"inference.py ended with {process.returncode}")
    return Curve(np.array(times), np.array(held), usage.ru_maxrss / 1024)


def large_runs(source: Path) -> list[tuple[str, Curve]]:
    """A photo and a driver of 3840 x 2160, made of the source."""
    runs = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wide = np.zeros((2160, 3840, 3), np.uint8)
        face = cv2.resize(read_image(source), (2000, 2000), interpolation=cv2.INTER_CUBIC)
        wide[80:2080, 900:2900] = face
        write_image(folder / "photo.jpg", wide)
        with VideoWriter(folder / "driver.mp4", Fraction(25), (3840, 2160)) as writer:
            for shift in range(20):
                writer.write(np.roll(wide, 4 * shift, 1))
        curve = watched_run(folder / "photo.jpg", folder / "driver.mp4", folder)
        runs.append(("4K photo, 4K driver of 20 frames", curve))
    return runs


def many_jobs(jobs: int) -> list[float]:
    """MiB held after each of many runs in this process: the photo tracked or from the cache, the avatar, two frames."""
    from core.options import Options
    from core.pipeline import animate

    held = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["XDG_CACHE_HOME"] = name
        track = TrackedSequence.load(DEMO_DRIVER)
        cut = {key: value[:2] for key, value in track.parameters.items() if len(value) > 1}
        cut |= {key: getattr(track, key)[:2] for key in ("bbox", "status", "times")}
        replace(track, **cut, crops=None, torso_motion=None, mouth_interior=None).save(folder / "driver")
        for job in range(1, jobs + 1):
            options = Options(DEMO_PHOTO, folder / "driver", output=folder / "out.mp4", quiet=True)
            animate(replace(options, enhanced=job % 2 == 0, force_retrack=job % 5 == 0))
            held.append(_held(os.getpid()))
            if job % 100 == 0:
                print(f"{job} runs: {held[-1]:.0f} MiB", flush=True)
    return held


def _held(process: int) -> float:
    """MiB of a process in memory, 0 once it has ended."""
    try:
        pages = Path(f"/proc/{process}/statm").read_text().split()[1]
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return 0.0
    return int(pages) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def _plot(curves: Sequence[Curve], folder: Path) -> None:
    """`memory.json` and `memory.png`: what the runs held over time."""
    rows = [{"seconds": c.times.round(2).tolist(), "MiB": c.held.round(1).tolist(), "peak": c.peak} for c in curves]
    (folder / "memory.json").write_text(json.dumps(rows))
    figure, axes = _axes(xlabel="minutes of the run", ylabel="MiB held")
    for curve, name in zip(curves, ("short driver", "long driver"), strict=True):
        axes.plot(curve.times / 60, curve.held, label=f"{name}: peak {curve.peak:.0f} MiB")
    axes.set_ylim(bottom=0)
    axes.legend()
    figure.savefig(folder / "memory.png", dpi=110)
    print(f"{folder / 'memory.png'}, {folder / 'memory.json'}")


def _axes(**labels: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(8, 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set(**labels)
    axes.grid(alpha=0.3)
    return figure, axes


def repeat(clip: Path, target: Path, seconds: float) -> int:
    """Write the video of a clip over and over until it lasts that long, packets copied; returns the frames written."""
    written, offset, ended = 0, 0, False
    with av.open(str(target), "w") as output:
        stream = None
        while not ended:
            with av.open(str(clip)) as original:
                video = original.streams.video[0]
                stream = stream or output.add_stream_from_template(video)
                end = offset
                for packet in original.demux(video):
                    if packet.dts is None:
                        continue
                    ended = (offset + packet.dts) * packet.time_base >= seconds
                    if ended:
                        break
                    packet.pts += offset
                    packet.dts += offset
                    end = max(end, packet.pts + packet.duration)
                    packet.stream = stream
                    output.mux(packet)
                    written += 1
                offset = end
    return written


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=10, help="length of the long driver (default: 10; 0: none)")
    parser.add_argument("--source", type=Path, metavar="PHOTO", help="default: the clip's first frame")
    parser.add_argument("--clip", metavar="CLIP", help="a name in the data, or a file (default: obama)")
    add_data(parser)
    parser.add_argument("--options", default="", metavar="TEXT", help="more options of the runs: '--enhanced'")
    parser.add_argument("--large", action="store_true", help="a 4K photo and driver too")
    parser.add_argument("--jobs", type=int, default=0, metavar="N", help="that many runs in one process too")
    parser.add_argument("--output", type=Path, default=Path("build/benchmark/memory"), help="for the plot and its data")
    return parser


if __name__ == "__main__":
    sys.exit(command(main))
