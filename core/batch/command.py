"""The command line of a batch: what is given, what is told, and the exit code."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from core.batch.estimate import automatic_workers, estimated_seconds, told_seconds, worker_mib
from core.batch.executor import Executor
from core.batch.job import Job, JobResult
from core.batch.lists import read_list
from core.batch.manifest import Manifest
from core.batch.plan import Planner
from core.batch.processes import Make, Processes
from core.batch.report import write_report
from core.batch.run import run
from core.batch.shown import Shown
from core.batch.sources import drivers_of, photos_of
from core.batch.worker import core_count
from core.command_line import load_options
from core.components import default_components
from core.data.image import check_target
from core.errors import UserError
from core.option_values import Parser
from core.options import Options
from core.runtime.interrupt import Interruption

TRACKS = ".tracks"  # folder in that of the results, which all machines of a cluster reach


def main(
    arguments: Sequence[str] | None = None,
    interruption: Interruption | None = None,
    make: Make = default_components,
) -> int:
    """Do a batch; returns the exit code: 0 all is done, 1 some jobs failed.

    Args:
        arguments: of the command line. interruption: gets time for the orderly end. make: of the models.
    Raises:
        UserError: the request is wrong, or the batch cannot go on.
    """
    given, rest = _parser().parse_known_args(sys.argv[1:] if arguments is None else arguments)
    options = load_options(rest)
    if options.image_path or options.driver_path:
        raise UserError("--config names a photo or a driver: give them with -i and -d, or with --list")
    if given.ray is None and given.ray_objects:
        raise UserError("--ray-objects says how files travel in a cluster: give --ray too, or leave it out")
    if given.ray is not None and given.workers is not None:
        raise UserError("--workers are processes of this machine: leave it out with --ray, where --threads decides")
    if options.report is not None:
        raise UserError("--config names a report of one run: give --report for one of the batch, or a column of a list")
    if interruption is not None:
        interruption.allow(10.0)
    folder = Path(given.output)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file: name a folder with -o")
    report = None if given.report is None else check_target(given.report, (".html", ".htm"), made=folder)
    jobs, planner = _jobs(given, options, folder)
    if given.dry_run:
        return _dry_run(jobs, folder, given)
    start = time.monotonic()
    results: list[JobResult] = []
    with ExitStack() as stack:
        manifest = stack.enter_context(Manifest(folder))
        jobs = _known(jobs, manifest)
        shown = Shown(jobs, options.quiet)
        stack.callback(shown.close)
        left = [job for job in jobs if not job.refused and manifest.kept(job) is None]
        executor = _executor(given, left, folder, make)
        if left:
            shown.say(f"{len(jobs)} jobs, {len(jobs) - len(left)} of them without work; {_places(executor)}")
        for result in run(
            jobs,
            executor,
            manifest=manifest,
            watch=shown.watch,
            split=given.split,
            may_split=planner.may_split,
        ):
            results.append(result)
            shown.result(result)
        manifest.close()
        if manifest.unwritten:
            shown.say(f"{manifest.path} could not be written to the end: the next batch does some jobs again", True)
    counts = {state: sum(result.state == state for result in results) for state in ("done", "kept", "failed")}
    if report is not None:
        write_report(report, results, time.monotonic() - start)
    if not options.quiet:
        told = ", ".join(f"{count} {state}" for state, count in counts.items())
        print(f"{folder}: {len(results)} jobs, {told}, in {told_seconds(time.monotonic() - start)}")
    return 1 if counts["failed"] else 0


def _jobs(given: argparse.Namespace, options: Options, folder: Path) -> tuple[list[Job], Planner]:
    """What is to be done."""
    planner = Planner(folder, options)
    if given.list is not None:
        if given.photos or given.drivers:
            raise UserError("--list has photos and drivers of its own: leave out -i and -d")
        return planner.listed(read_list(given.list)), planner
    if not given.photos or not given.drivers:
        raise UserError("give photos with -i and drivers with -d, or both in a --list")

    def say(text: str) -> None:
        if not options.quiet:
            print(text, file=sys.stderr)

    return planner.product(photos_of(given.photos, say), drivers_of(given.drivers, say)), planner


def _known(jobs: list[Job], manifest: Manifest) -> list[Job]:
    """The jobs with their keys; one whose inputs cannot be read is refused."""
    known = []
    for job in jobs:
        try:
            known.append(job if job.refused else manifest.known(job))
        except UserError as error:
            known.append(Job(job.options, job.name, refused=str(error)))
    return known


def _executor(given: argparse.Namespace, jobs: Sequence[Job], folder: Path, make: Make) -> Executor:
    """Who does the jobs."""
    mib = worker_mib(job.options for job in jobs)
    cores = core_count()
    tasks = max(len(jobs), *(-(-job.frames // given.split) for job in jobs)) if given.split and jobs else len(jobs)
    if given.ray is not None:
        from core.batch.cluster import Cluster

        cache = None if given.ray_objects else folder.absolute() / TRACKS
        return Cluster(given.ray, given.threads or 1, mib, make, cache)
    workers = automatic_workers(cores, mib, tasks) if given.workers is None else given.workers
    return Processes(workers, given.threads or max(1, cores // workers), make)


def _places(executor: Executor) -> str:
    if not isinstance(executor, Processes):
        return "on a cluster"
    return f"{executor.capacity} worker{'s' * (executor.capacity != 1)}"


def _dry_run(jobs: list[Job], folder: Path, given: argparse.Namespace) -> int:
    """Print the plan; nothing is written."""
    with Manifest(folder, read_only=True) as manifest:
        jobs = _known(jobs, manifest)
        left = []
        for job in jobs:
            state = "refused" if job.refused else "kept" if manifest.kept(job) else "to do"
            about = job.refused or f"{job.options.image_path} by {job.options.driver_path}, {job.frames} frames"
            print(f"{state:8}{job.shown}: {about}")
            left += [job] if state == "to do" else []
        speeds = manifest.speeds()
    mib = worker_mib(job.options for job in left)
    workers = automatic_workers(core_count(), mib, len(left)) if given.workers is None else given.workers
    seconds = estimated_seconds(left, workers, speeds)
    known = "by what was done here" if speeds else "by what a usual machine takes"
    print(f"{len(jobs)} jobs, {len(left)} to do: about {told_seconds(seconds)} with {workers} workers, {known}")
    return 1 if any(job.refused for job in jobs) else 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m core.batch",
        usage="python -m core.batch -i PHOTOS -d DRIVERS -o FOLDER [options of inference.py]",
        description="Every photo by every driver, or the jobs of a list; all other options are those of inference.py.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("-i", "--photos", nargs="+", default=[], metavar="PHOTO", help="photos: files, folders, 'patterns*'")
    add("-d", "--drivers", nargs="+", default=[], metavar="DRIVER", help="drivers: files, folders, 'patterns*'")
    add("--list", type=Path, metavar="FILE", help="jobs from a .csv or .yaml: photo, driver and options of their own")
    add("-o", "--output", required=True, metavar="FOLDER", help="where the results go, and the record of the batch")
    add("--workers", type=_workers, default=None, metavar="N", help="processes; auto: by cores and memory (default)")
    add("--threads", type=_at_least(1), default=None, metavar="N", help="of each worker (default: its share of cores)")
    add(
        "--split",
        type=_at_least(2),
        default=0,
        metavar="FRAMES",
        help="render longer videos in pieces of so many",
    )
    add("--ray", metavar="auto|ADDRESS", help="on a Ray cluster; auto: this machine's, or one of it alone")
    add("--ray-objects", action="store_true", help="no storage is shared: files travel by Ray's object store")
    add("--dry-run", action="store_true", help="print the plan and an estimate, and do nothing")
    add("--report", type=Path, metavar="FILE.html", help="write a page about the batch: table, thumbnails, failures")
    return parser


def _workers(text: str) -> int | None:
    return None if text == "auto" else _at_least(1)(text)


def _at_least(least: int):
    def number(text: str) -> int:
        if not text.isdecimal() or not least <= int(text[:9]):
            raise argparse.ArgumentTypeError(f"a whole number from {least}, got {text!r}")
        return int(text[:9])

    return number
