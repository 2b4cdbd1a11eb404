"""Speed of tracking, of a whole run and of its start, here and at another commit, in turns.

    python -m benchmarks.tracking [--against COMMIT] [--clip obama] [--rounds 3]

Three figures: milliseconds a frame of tracking a file; frames a second from file to file, `--layout result --enhanced`,
photo and driver tracked again; seconds from starting Python to the first rendered frame, warm cache, `--enhanced`.
Each round runs both sides one after the other in processes of their own, so that other work on the machine hits both
alike, and is printed as it ends. Of the first two a second of the clip goes first, so that kernels are loaded. At the
end: medians over the rounds, and of every round's ratio, by the clock, and by what all cores had to work for it, which
says more where the machine is busy. Without `--against` there is no ratio. Two rounds of two sides take 3 to 4 minutes,
and a commit that is measured for the first time a minute or two more, in which its kernels are compiled.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks import _report as report
from benchmarks._inputs import add_data, find_clips, find_photos
from benchmarks._looks_sides import unpack
from benchmarks.memory import repeat
from core.errors import UserError, command

TRACKING_MS, FILE_FPS, FIRST_SECONDS = 12, 35, 2.5
WARM_SECONDS = 1.0
_WORKER = Path(__file__).with_name("_start_to_file.py").resolve()
_NAMES = {
    "tracking": ("tracking a file, ms a frame", TRACKING_MS, False),
    "file": ("file to file, --enhanced, frames a second", FILE_FPS, True),
    "first": ("first rendered frame, warm cache, seconds", FIRST_SECONDS, False),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark and print its tables."""
    args = _parser().parse_args(arguments)
    (clip,) = find_clips(args.clip and [args.clip], args.data, ["obama"])
    photo = args.source or find_photos(None, args.data)[0]
    roots = {"here": Path()} | ({args.against: unpack(args.against)} if args.against else {})
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {photo.name} moved by {clip.name}\n")
    measured: dict[str, dict[str, list[tuple[float, float]]]] = {
        what: {name: [] for name in roots} for what in args.only or _NAMES
    }
    with tempfile.TemporaryDirectory() as folder:
        repeat(clip, warm := Path(folder) / "warm.mp4", WARM_SECONDS)
        for what, sides in measured.items():
            for number in range(args.rounds + (what == "first")):
                for name in list(roots) if number % 2 else list(roots)[::-1]:
                    value = _measured(roots[name], what, photo, clip, warm)
                    if what == "first" and not number:  # the first start fills the caches
                        continue
                    sides[name].append(value)
                    print(f"{_NAMES[what][0]}, {name}: {value[0]:.2f}; one core {value[1]:.2f}", flush=True)
    print()
    ratios = ["times as fast", "of the work"] if args.against else []
    heads = ["", *(f"{name}{what}" for name in roots for what in ("", ", one core")), *ratios]
    print(report.table(heads, [_row(*item) for item in measured.items()]))
    rows = [
        report.requirement(label, np.median([value for value, _ in measured[w]["here"]]), limit, above, 1)
        for w, (label, limit, above) in _NAMES.items()
        if w in measured
    ]
    print("\n" + report.requirements(rows))
    print(f"load at the end: {os.getloadavg()[0]:.1f}; the limits are for two quiet cores")


def _row(what: str, sides: dict[str, list[tuple[float, float]]]) -> list[str]:
    label, _, above = _NAMES[what]
    values = [np.array(pairs) for pairs in sides.values()]  # (rounds, 2) each
    cells = [label, *(f"{v:.2f}" for side in values for v in np.median(side, 0))]
    if len(values) < 2:
        return cells
    new, old = values if above else values[::-1]  # faster over slower
    faster, work = np.median(new / old, 0)
    return [*cells, f"{faster:.2f}", f"{1 / work:.2f}"]


def _measured(root: Path, what: str, photo: Path, clip: Path, warm: Path) -> tuple[float, float]:
    """One round of one side: by the clock, and by one core's work."""
    start, used = time.perf_counter(), _worked()
    run = subprocess.run(
        [sys.executable, "-P", str(_WORKER), what, *(str(path.resolve()) for path in (photo, clip, warm))],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root.resolve())},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - start, _worked() - used
    if run.returncode:
        raise UserError(f"{root}: {what} could not be measured: {(run.stderr.strip().splitlines() or ['?'])[-1]}")
    if what == "first":
        return seconds
    faster, work = json.loads(run.stdout.splitlines()[-1])
    return float(faster), float(work)


def _worked() -> float:
    """Seconds that all cores worked for the processes that ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tracking", description=__doc__.split("\n")[0])
    parser.add_argument("--against", metavar="COMMIT", help="what is compared with, unpacked in build/looks/code")
    parser.add_argument("--source", type=Path, metavar="PHOTO", help="default: the first of the data")
    parser.add_argument("--clip", metavar="CLIP", help="a name in the data, or a file (default: obama)")
    add_data(parser)
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="of each side (default: 3)")
    parser.add_argument("--only", nargs="+", choices=tuple(_NAMES), help="only these figures")
    return parser


if __name__ == "__main__":
    sys.exit(command(main))
