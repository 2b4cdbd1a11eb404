"""Peak memory of a long driver against that of a short one.

    python -m benchmarks.memory [--minutes 10] [--source A.jpg] [--clip obama]

A clip is repeated to both lengths without encoding it again, and each file goes through `inference.py` in a process of
its own, with an empty track cache. The kernel says how much memory the process held at most. The long run takes about
as long as its driver lasts.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import av

from benchmarks import _report as report
from benchmarks._performance import lossless_first_frame

DATA = Path("../shared/data")
SHORT_SECONDS = 10
MOST_RATIO = 1.1


def main(arguments: Sequence[str] | None = None) -> float:
    """Run the benchmark, print its table and return the ratio."""
    args = _parser().parse_args(arguments)
    clip = Path(args.clip) if Path(args.clip).suffix else args.data / "drivers" / f"{args.clip}.mp4"
    source = args.source or lossless_first_frame(clip)
    rows, peaks = [], []
    for seconds in (SHORT_SECONDS, 60 * args.minutes):
        with tempfile.TemporaryDirectory() as folder:
            driver = Path(folder) / "driver.mp4"
            frames = repeat(clip, driver, seconds)
            start = time.perf_counter()
            peaks.append(peak_memory(source, driver, Path(folder)))
            rows.append([f"{seconds:g} s", f"{frames}", f"{peaks[-1]:.0f}", f"{time.perf_counter() - start:.0f}"])
            print(f"driver of {seconds:g} s: {peaks[-1]:.0f} MiB", flush=True)
    print("\n" + report.table(["driver", "frames", "peak MiB", "run, s"], rows) + "\n")
    ratio = peaks[1] / peaks[0]
    print(report.requirements([report.requirement("peak memory, long over short", ratio, MOST_RATIO, False, 3)]))
    return ratio


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


def peak_memory(source: Path, driver: Path, folder: Path) -> float:
    """MiB that a run of the command line held at most."""
    command = [sys.executable, "inference.py", "-i", str(source), "-d", str(driver), "-o", str(folder / "result.mp4")]
    process = subprocess.Popen(
        [*command, "--model", "lifted", "--quiet"], env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"inference.py ended with {process.returncode}")
    return usage.ru_maxrss / 1024


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=10, help="length of the long driver (default: 10)")
    parser.add_argument("--source", type=Path, metavar="PHOTO", help="default: the clip's first frame")
    parser.add_argument("--clip", default="obama", metavar="CLIP", help="a name in the data, or a file")
    parser.add_argument("--data", type=Path, default=DATA, help=f"the folder with drivers/ in it (default: {DATA})")
    return parser


if __name__ == "__main__":
    main()
