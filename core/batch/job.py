"""A job of a batch, what its work is made of, and what comes out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from core.options import Options
from core.pipeline import Report

Kind = Literal["photo", "driver", "render", "piece", "join"]
EventKind = Literal["progress", "line", "ended", "lost"]
State = Literal["done", "kept", "failed"]


@dataclass(frozen=True)
class Job:
    """One file to be made.

    Attributes:
        options: of its run, as `inference.py` takes them. name: for messages; the output's name where it is left out.
        refused: the line that says why it cannot even begin; empty where it can.
        frames: of the driver, as far as its file says. key: see `core.batch.manifest`; empty where nothing is recorded.
    """

    options: Options
    name: str = ""
    refused: str = ""
    frames: int = 1
    key: str = ""

    @property
    def shown(self) -> str:
        """What the job is called."""
        return self.name or str(self.options.output or self.options.driver_path)


@dataclass(frozen=True)
class JobResult:
    """How a job ended.

    Attributes:
        state: `done`, `kept` (done by an earlier batch) or `failed`. error: the one line of a failure.
        trace: where the program is at fault, the traceback. output: the file. digest: sha256 of it.
        frames, seconds, peak_mib: of its run: frames written, time from start to file, the worker's largest memory.
        attempts: times it was begun. report: of the run, where it was made by this batch and in one piece.
    """

    job: Job
    state: State
    output: Path | None = None
    error: str = ""
    trace: str = ""
    digest: str = ""
    frames: int = 0
    seconds: float = 0.0
    peak_mib: int = 0
    attempts: int = 1
    report: Report | None = None


@dataclass(frozen=True)
class Task:
    """What one worker does at a time.

    Attributes:
        key: its name. kind: `photo` and `driver` are tracked into the cache, `render` is a whole run, `piece` renders
            some frames of one without loss, `join` makes the file of all pieces.
        options: of the run. needs: keys of tasks that must have gone well. after: of tasks that must have ended.
        part: first frame and the one after the last, of a piece. parts: the files of all pieces, for `join`.
        order: a smaller one begins earlier.
    """

    key: str
    kind: Kind
    options: Options
    needs: frozenset[str] = frozenset()
    after: frozenset[str] = frozenset()
    part: tuple[int, int] = (0, 0)
    parts: tuple[Path, ...] = ()
    order: tuple[int, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What a worker says of a task that it ended; `error` is empty where it went well. `files`: see `Parcel`."""

    key: str
    error: str = ""
    trace: str = ""
    seconds: float = 0.0
    peak_mib: int = 0
    frames: int = 0
    digest: str = ""
    output: Path | None = None
    report: Report | None = None


@dataclass(frozen=True)
class Event:
    """What an executor has to say of a task: `progress` (a share in 0..1), a `line`, `ended` or `lost` (a reason)."""

    key: str
    kind: EventKind
    what: Any = field(default=None)
