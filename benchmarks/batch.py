"""What does a batch cost over its runs, on one machine and with Ray, and where would it end with more machines?

    python -m benchmarks.batch [--frames 60] [--drivers 4] [--no-ray]

Two photos of `demos/` by pieces of its clip, each configuration with an empty cache of tracks and an empty folder: jobs
a minute, seconds to the first result, largest memory of a worker, and what a job costs over the work itself: with one
worker, the time between two tasks' ends minus the work of the second, its mean over all but the first task.

Then the planning process alone: jobs whose work is nothing, with their record. Last a simulation with these costs for
10, 100 and 1,000 workers and twenty jobs for each, of which a tenth is ten times as long as the others: in the order
given, longest first, and with the long ones in pieces. The bottleneck is what the batch would gain most without.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._batch_simulation import Costs, bottleneck, divided, simulate
from benchmarks._report import requirement, requirements, table
from core.batch import Executor, Job, Manifest, Processes, run
from core.batch.job import Event, Outcome, Task
from core.batch.plan import Planner
from core.data.video import VideoReader, VideoWriter
from core.errors import command
from core.libs.tracker.cache import TrackCache
from core.options import Options

CLIP = Path("demos/drivers/talk.mp4")
PHOTOS = (Path("demos/examples/1.jpg"), Path("demos/examples/2.jpg"))
TEN_SECONDS = 10.0  # a job that overhead is counted against
STORAGE = 1e9  # bytes a second of shared storage in the simulation: a 10-gigabit network, all of it


class Timed:
    """An executor whose tasks' ends are written down."""

    def __init__(self, executor: Executor) -> None:
        self.inner = executor
        self.ends: list[tuple[float, Outcome]] = []

    @property
    def capacity(self) -> int:
        return self.inner.capacity

    @property
    def alone(self) -> bool:
        return self.inner.alone

    def submit(self, task: Task) -> None:
        self.inner.submit(task)

    def events(self) -> Iterator[Event]:
        for event in self.inner.events():
            if event.kind == "ended":
                self.ends.append((time.perf_counter(), event.what))
            yield event

    def close(self) -> None:
        self.inner.close()


@dataclass
class Nothing:
    """An executor whose tasks are done at once."""

    capacity: int = 8
    alone: bool = False
    given: list[Task] = field(default_factory=list)

    def submit(self, task: Task) -> None:
        self.given.append(task)

    def events(self) -> Iterator[Event]:
        task = self.given.pop(0)
        yield Event(task.key, "ended", Outcome(task.key, frames=1))

    def close(self) -> None:
        self.given.clear()


@dataclass(frozen=True)
class Measured:
    """One configuration: its name, and seconds, jobs, MiB and bytes of it."""

    name: str
    jobs: int
    seconds: float
    first: float
    peak_mib: int
    between: float  # seconds between two tasks of one worker over the second's work; nan with more workers
    start: float  # until the first task ended, without its work
    job_seconds: float
    job_bytes: float


def cut(source: Path, folder: Path, count: int, frames: int) -> list[Path]:
    """Clips of so many frames from a clip, one after the other and from its start again."""
    with VideoReader(source) as reader:
        images, fps, size = [frame.image for frame in reader], reader.fps, reader.size
    paths = []
    for number in range(count):
        paths.append(folder / f"clip{number + 1}.mp4")
        with VideoWriter(paths[-1], fps, size) as writer:
            for i in range(frames):
                writer.write(images[(number * frames // 2 + i) % len(images)])
    return paths


def measure(name: str, executor: Executor, drivers: Sequence[Path], out: Path) -> Measured:
    """A batch of all photos by drivers. The clock runs from before the executor has started anybody."""
    timed = Timed(executor)
    start = time.perf_counter()
    ends = []
    with Manifest(out) as manifest:
        jobs = [manifest.known(job) for job in Planner(out, Options()).product(PHOTOS, drivers)]
        results = []
        for result in run(jobs, timed, manifest=manifest):
            results.append(result)
            ends.append(time.perf_counter() - start)
    assert all(result.state == "done" for result in results), [result.error for result in results]
    at = [end for end, _ in timed.ends]
    work = [outcome.seconds for _, outcome in timed.ends]
    rendered = [outcome.seconds for _, outcome in timed.ends if outcome.output is not None]
    sizes = [path.stat().st_size for result in results if (path := result.output) is not None]
    return Measured(
        name=name,
        jobs=len(results),
        seconds=ends[-1],
        first=ends[0],
        peak_mib=max(outcome.peak_mib for _, outcome in timed.ends),
        between=float(np.mean(np.diff(at) - work[1:])),
        start=at[0] - start - work[0],
        job_seconds=float(np.mean(rendered)),
        job_bytes=float(np.mean(sizes) + np.mean([path.stat().st_size for path in (*PHOTOS, *drivers)])),
    )


def head_seconds(folder: Path, jobs: int) -> float:
    """Seconds that planning, order and record of a job take, of jobs that do nothing."""
    options = [
        Options(photo, CLIP, output=folder / f"{photo.stem}-{number}.mp4")
        for number in range(jobs // len(PHOTOS))
        for photo in PHOTOS
    ]
    start = time.perf_counter()
    with Manifest(folder) as manifest:
        known = [manifest.known(Job(one, Path(str(one.output)).name)) for one in options]
        done = sum(1 for _ in run(known, Nothing(), manifest=manifest))
    return (time.perf_counter() - start) / done


def simulated(costs: Costs, job_seconds: float) -> str:
    """The table of the simulation."""
    rows = []
    for workers in (10, 100, 1000):
        count = 20 * workers
        work = [job_seconds * (10 if i % 10 == 9 else 1) for i in range(count)]
        given = {"as given": work, "longest first": sorted(work, reverse=True), "in pieces": divided(work, job_seconds)}
        for name, order in given.items():
            end = simulate(order, workers, costs)
            shares = [f"{100 * getattr(end, part):.0f} %" for part in ("scheduler", "storage", "stragglers", "start")]
            rows.append(
                [str(workers), name, f"{end.seconds:.0f}", f"{60 * count / end.seconds:.0f}"]
                + [f"{end.seconds / end.ideal:.2f}", *shares, bottleneck(order, workers, costs)]
            )
    heads = ["workers", "order", "seconds", "jobs/min", "over ideal", "scheduler", "storage", "stragglers", "start"]
    return table([*heads, "bottleneck"], rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batch", description=__doc__.split("\n")[0])
    parser.add_argument("--frames", type=int, default=60, help="of each driver")
    parser.add_argument("--drivers", type=int, default=4)
    parser.add_argument("--no-ray", action="store_true", help="leave out the cluster")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        drivers = cut(CLIP, folder, given.drivers, given.frames)
        warm = measure("warm-up", Processes(1, 2, cache=TrackCache(folder / "w")), drivers[:1], folder / "warm")
        measured = []
        for workers in (1, 2):
            executor: Executor = Processes(workers, cache=TrackCache(folder / f"t{workers}"))
            measured.append(measure(f"{workers} plain", executor, drivers, folder / f"o{workers}"))
        for workers in () if given.no_ray else (1, 2):
            measured.append(with_ray(workers, drivers, folder))
        head = head_seconds(folder / "nothing", 400)
    rows = [
        [one.name, str(one.jobs), f"{one.seconds:.1f}", f"{60 * one.jobs / one.seconds:.1f}", f"{one.first:.1f}"]
        + [str(one.peak_mib), f"{one.job_seconds:.2f}", f"{1000 * one.between:.0f}" if "1" in one.name else "-"]
        for one in measured
    ]
    heads = ["workers", "jobs", "seconds", "jobs/min", "first result, s", "MiB a worker", "s a job", "ms between tasks"]
    print(f"{len(PHOTOS)} photos by {given.drivers} drivers of {given.frames} frames, load {os.getloadavg()[0]:.1f}")
    print(table(heads, rows))
    print(f"planning, order and record of a job that does nothing: {1000 * head:.1f} ms")
    limits = []
    for one in measured:
        if one.name.startswith("1"):
            over = 100 * (one.between + head) / TEN_SECONDS
            limits.append(requirement(f"overhead of a 10-second job, %, {one.name}", over, 5, at_least=False))
    print(requirements(limits))
    last = next((one for one in reversed(measured) if one.name.startswith("1")), warm)
    costs = Costs(head, max(0.0, last.between), last.start, last.job_bytes, STORAGE)
    moved = f"{last.job_bytes / 1e6:.1f} MB"
    print(f"simulated with {last.name}: a job of {TEN_SECONDS:.0f} s, start {last.start:.1f} s, {moved}")
    print(simulated(costs, TEN_SECONDS))


def with_ray(workers: int, drivers: Sequence[Path], folder: Path) -> Measured:
    """The same on a cluster of this machine alone, with so many cores."""
    import ray

    from core.batch.cluster import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        executor: Any = Cluster("", cache=folder / f"r{workers}", connected=True)
        return replace(measure(f"{workers} Ray", executor, drivers, folder / f"or{workers}"))
    finally:
        ray.shutdown()


if __name__ == "__main__":
    sys.exit(command(main))
