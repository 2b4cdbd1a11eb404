"""The tasks of a batch on a Ray cluster (extra `cluster`): each states its cores and its memory, lost ones come again.

Photos, drivers, tracks and results are reached by path, on storage that all machines share under the same name; or they
travel by Ray's object store, and nothing needs to be shared but the program.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.batch.job import Event, Outcome, Task
from core.batch.models import LoadedModels
from core.batch.processes import Make
from core.batch.settings import BatchSettings
from core.batch.worker import Telling, limit_threads, perform
from core.components import default_components
from core.data.part_file import PartFile
from core.errors import UserError
from core.libs.tracker.cache import TrackCache
from core.options import Options

_SETTINGS = BatchSettings()
_PATHS = ("image_path", "driver_path", "audio", "background")  # options that name an input
Parcel = Mapping[str, bytes]  # files by their path in a worker's folder


@dataclass(frozen=True)
class _Place:
    """What a worker is told besides its task.

    `folder`: to work in. `cache`: of tracks; None where everything comes in parcels. `make`: of the models.
    """

    folder: str
    threads: int
    make: Make
    cache: Path | None


class Cluster:
    """An executor on a Ray cluster.

    Args:
        address: of the cluster, `HOST:PORT`; `auto`: the one this machine belongs to, else one of this machine alone.
        threads, mib: cores and memory of a task. make: of the models, a function of a module that all machines have.
        cache: where tracks are kept, a folder that all machines share; None: everything travels by the object store.
        connected: Ray is connected to already.

    Raises:
        UserError: Ray is not installed, nobody listens there, or no machine has that much room.
    """

    alone = False

    def __init__(
        self,
        address: str,
        threads: int = 1,
        mib: int = BatchSettings.worker_mib,
        make: Make = default_components,
        cache: Path | None = None,
        connected: bool = False,
        settings: BatchSettings = _SETTINGS,
    ) -> None:
        self._ray, self._ours = (_ray() if connected else _connect(address, settings)), not connected
        self._threads, self._mib, self._settings = threads, mib, settings
        self._place = _Place(str(Path.cwd()), threads, make, cache)
        by_objects = cache is None
        limits = {"num_cpus": threads, "memory": mib << 20, "num_returns": 2}
        # What travels as an object is made again by Ray where its machine is lost; else `Flow` begins tasks again.
        self._do = self._ray.remote(**limits, max_retries=settings.attempts if by_objects else 0)(_do)
        self._by_objects = by_objects
        self._under_way: dict[Any, tuple[Task, Any]] = {}
        self._parcels: dict[str, Any] = {}  # what tasks gave, by their keys
        self._inputs: dict[str, Any] = {}  # what was read here, by its path
        self._looked, self._slots = 0.0, 0
        if not self.slots():
            self.close()
            raise UserError(
                f"no machine of the cluster has {threads} cores and {mib} MiB for a task: take fewer --threads, or "
                "start Ray with more memory"
            )

    def slots(self) -> int:
        """Tasks that the machines of the cluster can do at once."""
        fits = 0
        for node in self._ray.nodes():
            if node["Alive"]:
                has = node["Resources"]
                fits += int(min(has.get("CPU", 0) // self._threads, has.get("memory", 0) // (self._mib << 20)))
        return fits

    @property
    def capacity(self) -> int:
        """What the machines can do at once and a few that wait for them: never the whole batch."""
        if time.monotonic() - self._looked > self._settings.poll:
            self._looked, self._slots = time.monotonic(), self.slots()
        return max(1, self._slots) + self._settings.waiting

    def submit(self, task: Task) -> None:
        parcels: list[Any] = []
        given = task
        if self._by_objects:
            parcels = [self._parcels[key] for key in sorted(task.needs) if key in self._parcels]
            options, paths = _moved(task.options)
            parcels += [self._input(path, name) for name, path in paths.items()]
            given = replace(task, options=options, parts=tuple(Path("pieces") / path.name for path in task.parts))
        outcome, parcel = self._do.remote(given, self._place, *parcels)
        self._under_way[outcome] = task, parcel

    def events(self) -> Iterator[Event]:
        errors = self._ray.exceptions
        try:
            ended, _ = self._ray.wait([*self._under_way], num_returns=1, timeout=self._settings.poll)
        except errors.RaySystemError as error:
            raise UserError(f"the Ray cluster is gone ({_line(error)}): the same command goes on later") from error
        for reference in ended:
            task, parcel = self._under_way.pop(reference)
            try:
                outcome, lines = self._ray.get(reference)
                outcome = self._arrived(task, outcome, parcel)
            except UserError as error:
                outcome, lines = Outcome(task.key, error=str(error)), []
            except errors.RayTaskError as error:  # before `perform`, which raises nothing
                outcome, lines = Outcome(task.key, error=_line(error.cause), trace=str(error)), []
            except errors.RayError as error:
                yield Event(task.key, "lost", f"the worker was lost ({_line(error)})")
                continue
            yield from (Event(task.key, "line", line) for line in lines)
            yield Event(task.key, "ended", outcome)

    def close(self) -> None:
        for reference in self._under_way:
            self._ray.cancel(reference, force=True)
        self._under_way.clear()
        self._parcels.clear()
        self._inputs.clear()
        if self._ours:
            self._ray.shutdown()

    def _input(self, path: Path, name: str) -> Any:
        """An input as an object of the store, under that name; put there once."""
        if name not in self._inputs:
            try:
                files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
                parcel = {str(Path(name) / file.relative_to(path)): file.read_bytes() for file in files}
            except OSError as error:
                raise UserError(f"{path} cannot be read ({error.strerror}): check its permissions") from error
            self._inputs[name] = self._ray.put(parcel)
        return self._inputs[name]

    def _arrived(self, task: Task, outcome: Outcome, parcel: Any) -> Outcome:
        """What a task gave, kept for those that need it; a result is put in its place."""
        if not self._by_objects or outcome.error:
            return outcome
        if task.kind not in ("render", "join"):
            self._parcels[task.key] = parcel
            return outcome
        target = Path(task.options.output or "")
        ((_, content),) = self._ray.get(parcel).items()
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with PartFile(target) as part:
                part.path.write_bytes(content)
                part.finish()
        except OSError as error:
            raise UserError(f"{target} cannot be written ({error.strerror}): check the disk") from error
        report = None if outcome.report is None else replace(outcome.report, output=target)
        return replace(outcome, output=target, report=report)


def _ray() -> Any:
    if importlib.util.find_spec("ray") is None:
        raise UserError("a cluster needs its extra: pip install .[cluster]")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    import ray

    return ray


def _connect(address: str, settings: BatchSettings) -> Any:
    """Ray, connected."""
    ray = _ray()
    quiet = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": True}
    try:
        if address == "auto":
            try:
                ray.init(address="auto", **quiet)
            except ConnectionError:
                ray.init(address="local", include_dashboard=False, **quiet)
            return ray
        host, _, port = address.removeprefix("ray://").rpartition(":")
        # Asked before, because Ray itself waits for a minute and then ends the process
        socket.create_connection((host, int(port)), settings.connect_seconds).close()
        ray.init(address=address, **quiet)
    except (OSError, ValueError, RuntimeError) as error:  # a ConnectionError is an OSError
        raise UserError(
            f"no Ray cluster answers at {address} ({_line(error)}): start one with `ray start --head`, or take auto"
        ) from error
    return ray


def _line(error: BaseException) -> str:
    """The first line of an error."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


def _moved(options: Options) -> tuple[Options, dict[str, Path]]:
    """Options with their inputs in a worker's folder, and which ones these are, by their paths there."""
    paths: dict[str, Path] = {}
    changes: dict[str, Any] = {}
    for name in _PATHS:
        value = getattr(options, name)
        path = None if value is None else Path(value)
        if path is None or not path.exists():
            continue  # a colour
        place = str(Path("inputs") / str(path.absolute()).lstrip("/"))
        paths[place] = path
        changes[name] = place
    # `Options` looks whether a background is there: it is, once the parcels are unpacked
    background = changes.pop("background", None)
    moved = replace(options, **changes, output=f"out/{Path(options.output or '').name}")
    if background is not None:
        object.__setattr__(moved, "background", background)
    return moved, paths


def _do(task: Task, place: _Place, *parcels: Parcel) -> tuple[tuple[Outcome, list[str]], dict[str, bytes]]:
    """A task, on a machine of the cluster: its outcome with what was said, and the files it made where they travel."""
    limit_threads(place.threads)
    lines: list[str] = []
    tell = Telling(lambda kind, what: lines.append(str(what)) if kind == "line" else None, _SETTINGS.poll)
    if place.cache is not None:
        os.chdir(place.folder)
        return (perform(task, _models(place.cache, place.make), tell), lines), {}
    folder = Path(_own_folder())
    os.chdir(folder)
    for parcel in parcels:
        for name, content in parcel.items():
            path = folder / name
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
    before = set(_files(folder))
    (folder / "out").mkdir(exist_ok=True)
    outcome = perform(task, _models(folder / "tracks", place.make), tell)
    made = {str(path.relative_to(folder)): path for path in _files(folder) if path not in before}
    if task.kind in ("render", "join"):
        made = {} if outcome.output is None else {str(outcome.output): folder / outcome.output}
    contents = {name: path.read_bytes() for name, path in made.items()}
    if outcome.output is not None:  # a result, or a piece: on its way it is in the store
        (folder / outcome.output).unlink()
    return (outcome, lines), contents


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


@functools.cache
def _own_folder() -> str:
    """This process's folder for what travels; it goes with Ray's session."""
    return tempfile.mkdtemp(prefix="batch-", dir=os.environ.get("RAY_TMPDIR"))


@functools.cache
def _models(cache: Path, make: Callable[..., Any]) -> LoadedModels:
    """This process's models: Ray gives a process many tasks."""
    return LoadedModels(TrackCache(cache), make)
