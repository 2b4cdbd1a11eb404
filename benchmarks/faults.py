"""Runs that are killed at any moment, and runs whose disk fills up at any byte.

    python -m benchmarks.faults [--kills 50] [--seed 0] [--limits 12]

A short clip is made of the demo's portrait and animated with all improvements once, undisturbed. Then runs are killed
(SIGKILL) at moments drawn at random with a fixed seed, each followed by an undisturbed one, which must give the same
bytes and remove what the killed one left; every other time the track cache is emptied first. Last, runs that may
write no file above a limit, drawn likewise: each must end with its one line and leave no file, or be complete.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import _report as report
from core.data.video import VideoWriter

PORTRAIT = Path("demos/examples/1.jpg")
REFUSED, BROKEN = 2, 3  # exit codes of a run
Work = Callable[[Path], None]  # makes `result.mp4` in a folder; its cache lies in the folder too
_PRELOADED = ["core.pipeline", "core.libs.tracker.driver", "core.models.LiftedAvatar.models", "core.improvements"]


@dataclass(frozen=True)
class Survived:
    """What came of the disturbed runs.

    Attributes:
        runs: disturbed. early: of them ended without a result. leftovers: had left an unfinished file behind.
        failures: what was not as it should be, a line each.
    """

    runs: int
    early: int
    leftovers: int
    failures: tuple[str, ...]


def survive_kills(work: Work, folder: Path, kills: int, seed: int = 0) -> Survived:
    """Kill `work` at random moments; each next run must give the bytes of an undisturbed one."""
    expected = _undisturbed(work, folder)  # it also starts the server of the others
    shutil.rmtree(folder / "cache", ignore_errors=True)
    start = time.perf_counter()
    _undisturbed(work, folder)
    longest = time.perf_counter() - start
    draw = random.Random(seed)
    early = leftovers = 0
    failures = []
    for number in range(kills):
        (folder / "result.mp4").unlink(missing_ok=True)
        if number % 2:
            shutil.rmtree(folder / "cache", ignore_errors=True)
        process = _start(work, folder)
        process.join(draw.uniform(0, longest))
        process.kill()
        process.join()
        result = folder / "result.mp4"
        early += not result.exists()
        leftovers += bool(_unfinished(folder))
        if result.exists() and result.read_bytes() != expected:
            failures.append(f"kill {number}: half a result")
        if _undisturbed(work, folder) != expected:
            failures.append(f"kill {number}: the next run gave other bytes")
        if left := _unfinished(folder / "cache") + [path for path in folder.glob(".*.part")]:
            failures.append(f"kill {number}: the next run left {left}")
    return Survived(kills, early, leftovers, tuple(failures))


def survive_full_disks(work: Work, folder: Path, limits: Sequence[int]) -> Survived:
    """Run `work` where no file may grow above a limit, in bytes; the cache is kept between the runs."""
    expected = _undisturbed(work, folder)
    early = 0
    failures = []
    for limit in limits:
        (folder / "result.mp4").unlink(missing_ok=True)
        process = _start(work, folder, limit)
        process.join()
        early += process.exitcode != 0
        result = folder / "result.mp4"
        if process.exitcode not in (0, REFUSED):
            failures.append(f"{limit} bytes: exit code {process.exitcode}")
        if process.exitcode == 0 and result.read_bytes() != expected:
            failures.append(f"{limit} bytes: half a result passes for a whole one")
        if process.exitcode and result.exists():
            failures.append(f"{limit} bytes: a file is left")
        if left := _unfinished(folder):
            failures.append(f"{limit} bytes: left {left}")
    return Survived(len(limits), early, 0, tuple(failures))


def _undisturbed(work: Work, folder: Path) -> bytes:
    process = _start(work, folder)
    process.join()
    if process.exitcode:
        raise SystemExit(f"an undisturbed run ended with {process.exitcode}")
    return (folder / "result.mp4").read_bytes()


def _start(work: Work, folder: Path, limit: int | None = None) -> multiprocessing.Process:
    context = multiprocessing.get_context("forkserver")  # a process that has imported everything and done nothing
    context.set_forkserver_preload(_PRELOADED)
    process = context.Process(target=_run, args=(work, folder, limit))
    process.start()
    return process


def _run(work: Work, folder: Path, limit: int | None) -> None:
    from core.errors import UserError

    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))  # Python ignores its signal: writing fails
    with open(os.devnull, "w") as nowhere, redirect_stderr(nowhere):  # noqa: PTH123 the null device
        try:
            work(folder)
        except UserError:
            os._exit(REFUSED)
        except BaseException:
            os._exit(BROKEN)
    os._exit(0)


def _unfinished(folder: Path) -> list[Path]:
    return list(folder.rglob(".*.part"))


def real_run(folder: Path) -> None:
    """The whole program on the clip in a folder, with all improvements."""
    from core.options import Options
    from core.pipeline import animate

    options = Options(PORTRAIT, folder / "driver.mp4", output=folder / "result.mp4", enhanced=True, quiet=True)
    animate(options)


def write_driver(path: Path, frames: int = 6) -> None:
    """A clip of the portrait, moving a little."""
    with Image.open(PORTRAIT) as image:
        small = np.array(image.convert("RGB").resize((192, 192)))
    with VideoWriter(path, Fraction(25), (192, 192)) as writer:
        for index in range(frames):
            writer.write(np.roll(small, index, 1))


def main(arguments: Sequence[str] | None = None) -> tuple[str, ...]:
    """Run both and print a table; returns the failures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--limits", type=int, default=12, help="runs on a full disk")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_driver(folder / "driver.mp4")
        killed = survive_kills(real_run, folder, args.kills, args.seed)
        size = (folder / "result.mp4").stat().st_size
        draw = random.Random(args.seed)
        full = survive_full_disks(real_run, folder, [draw.randrange(1, size) for _ in range(args.limits)])
    rows = [
        [name, f"{one.runs}", f"{one.early}", f"{one.leftovers}", f"{len(one.failures)}"]
        for name, one in (("killed", killed), ("disk full", full))
    ]
    print(report.table(["runs", "number", "ended early", "left something", "failures"], rows))
    failures = killed.failures + full.failures
    print("\n".join(failures))
    return failures


if __name__ == "__main__":
    raise SystemExit(1 if main() else 0)
