"""The record of a batch: what every file was made of and how that went, in one SQLite file beside the results.

Only the process that plans a batch writes it, never a worker. It keeps a rollback journal, not a write-ahead log: that
one needs memory shared between processes, which network file systems do not have. The file stays locked while a batch
goes on, so that a second batch to the same folder is refused; the lock goes with its process.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Self

from core.background import find_background
from core.batch.hashes import content_digest, plain_digest, program_digest
from core.batch.job import Job, JobResult
from core.errors import UserError
from core.options import Options
from core.preflight import choose_model

NAME = "batch.sqlite"
_FORMAT = "1"
_TABLES = """
create table if not exists about (name text primary key, value text not null);
create table if not exists jobs (
    output text primary key, key text not null, state text not null, photo text, driver text, options text not null,
    inputs text not null, program text not null, began real, seconds real, peak_mib integer, frames integer,
    attempts integer, digest text, size integer, changed integer, error text, trace text
);
create table if not exists files (path text primary key, size integer, changed integer, digest text not null);
"""
_WITHOUT_A_SAY = ("image_path", "driver_path", "audio", "output", "quiet", "resume_path", "accept_flame_license")


class Manifest:
    """The record in a folder; a context manager. Paths of results in it count from that folder.

    Args:
        folder: of the results; it is made. read_only: nothing is written, and nothing needs to be there.

    Raises:
        UserError: there is no room for it, another batch holds it, or it is not a record of this program.
    """

    def __init__(self, folder: Path, read_only: bool = False) -> None:
        self.folder, self.path = folder, folder / NAME
        self.program = program_digest()
        self._unwritten: list[tuple[str, tuple[Any, ...]]] = []
        self._inputs: dict[str, dict[str, str]] = {}  # by a job's key
        try:
            if read_only:
                there = self.path.is_file()
                at = f"{self.path.absolute().as_uri()}?mode=ro" if there else ":memory:"
                self._base = sqlite3.connect(at, uri=there, timeout=1)
                self._base.executescript("" if there else _TABLES)
            else:
                folder.mkdir(parents=True, exist_ok=True)
                self._base = sqlite3.connect(self.path, timeout=1)
                self._open()
        except UserError:
            self._base.close()
            raise
        except OSError as error:
            raise UserError(f"{folder} cannot be made ({error.strerror}): write somewhere else with -o") from error
        except sqlite3.Error as error:
            if hasattr(self, "_base"):
                self._base.close()
            raise self._refusal(error) from error

    def _open(self) -> None:
        base = self._base
        base.execute("pragma locking_mode = exclusive")
        base.execute("pragma journal_mode = delete")
        base.execute("pragma synchronous = full")
        base.executescript(f"begin immediate; {_TABLES} commit;")
        base.execute("insert or ignore into about values ('format', ?)", (_FORMAT,))
        base.commit()
        (format_,) = base.execute("select value from about where name = 'format'").fetchone()
        if format_ != _FORMAT:
            raise UserError(f"{self.path} is of another version of the program: write to another folder with -o")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End; what could not be written until now is tried once more."""
        self._write()
        self._base.close()

    @property
    def unwritten(self) -> int:
        """How many entries the disk did not take."""
        return len(self._unwritten)

    def known(self, job: Job) -> Job:
        """The job with its key: a hash of its inputs' contents, its options, its place and the program.

        UserError where an input cannot be read.
        """
        inputs = {name: content_digest(path, self._digest) for name, path in _inputs_of(job.options).items()}
        text = json.dumps([inputs, _options_text(job.options), self.program, self._place(job)])
        key = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
        self._inputs[key] = inputs
        return replace(job, key=key)

    def kept(self, job: Job) -> JobResult | None:
        """The result of a job that was done before, of the same inputs, options and program, and is still there."""
        row = self._row(job)
        if row is None or not job.key or row["key"] != job.key or row["state"] != "done":
            return None
        output = self._path(row["output"])
        try:
            now = output.stat()
        except OSError:
            return None
        if now.st_size != row["size"]:
            return None
        if now.st_mtime_ns != row["changed"] and plain_digest(output) != row["digest"]:
            return None
        numbers: dict[str, Any] = {name: row[name] or 0 for name in ("frames", "seconds", "peak_mib", "attempts")}
        return JobResult(job, "kept", output, digest=row["digest"], **numbers)

    def begin(self, job: Job) -> None:
        """Note that a job was begun; it is written with the next that ends, in one transaction."""
        inputs = json.dumps(self._inputs.get(job.key, {}))
        options = job.options
        values = (self._place(job), job.key, "begun", str(options.image_path), str(options.driver_path))
        values += (_options_text(options), inputs, self.program, time.time())  # type: ignore[assignment]
        names = "output, key, state, photo, driver, options, inputs, program, began"
        self._later(f"insert or replace into jobs ({names}) values ({', '.join('?' * 9)})", values)

    def end(self, result: JobResult) -> None:
        """Note what became of a job."""
        job = result.job
        if result.attempts == 0:
            self.begin(job)
        size = changed = None
        if result.output is not None and result.output.is_file():
            now = result.output.stat()
            size, changed = now.st_size, now.st_mtime_ns
        values = (result.state, result.seconds, result.peak_mib, result.frames, result.attempts, result.digest)
        names = "state = ?, seconds = ?, peak_mib = ?, frames = ?, attempts = ?, digest = ?"
        names += ", size = ?, changed = ?, error = ?, trace = ?"
        values += (size, changed, result.error, result.trace, self._place(job))  # type: ignore[assignment]
        self._note(f"update jobs set {names} where output = ?", values)

    def speeds(self) -> list[tuple[int, float]]:
        """Frames and seconds of all jobs done here, for estimates."""
        with self._reading():
            rows = self._base.execute("select frames, seconds from jobs where state = 'done' and frames > 0")
            return [(int(frames), float(seconds)) for frames, seconds in rows]

    def _digest(self, path: Path) -> str:
        """A file's, computed once while its size and time stay the same."""
        try:
            now = path.stat()
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror}): check its name and permissions") from error
        name = str(path.absolute()).encode(errors="surrogateescape").decode(errors="replace")
        with self._reading():
            row = self._base.execute("select size, changed, digest from files where path = ?", (name,)).fetchone()
        if row is not None and (row[0], row[1]) == (now.st_size, now.st_mtime_ns):
            return str(row[2])
        digest = plain_digest(path)
        self._later("insert or replace into files values (?, ?, ?, ?)", (name, now.st_size, now.st_mtime_ns, digest))
        return digest

    def _row(self, job: Job) -> dict[str, Any] | None:
        with self._reading():
            found = self._base.execute("select * from jobs where output = ?", (self._place(job),))
            names = [column[0] for column in found.description]
            row = found.fetchone()
        return None if row is None else dict(zip(names, row, strict=True))

    def _place(self, job: Job) -> str:
        """A job's output as it stands in the record."""
        path = Path(job.options.output or job.name).absolute()
        folder = self.folder.absolute()
        place = path.relative_to(folder) if path.is_relative_to(folder) else path
        return str(place).encode(errors="surrogateescape").decode(errors="backslashreplace")

    def _path(self, place: str) -> Path:
        return self.folder / place

    def _later(self, statement: str, values: tuple[Any, ...]) -> None:
        self._unwritten.append((statement, values))

    def _note(self, statement: str, values: tuple[Any, ...]) -> None:
        """Write an entry, and those that the disk did not take before."""
        self._later(statement, values)
        self._write()

    def _write(self) -> None:
        """All entries that are not written yet, in one transaction; a full disk leaves them for later."""
        if not self._unwritten:
            return
        try:
            with self._base:
                for statement, values in self._unwritten:
                    self._base.execute(statement, values)
        except sqlite3.OperationalError:
            return
        self._unwritten.clear()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._refusal(error) from error

    def _refusal(self, error: sqlite3.Error) -> UserError:
        text = str(error)
        if "locked" in text:
            return UserError(f"another batch is writing to {self.folder}: wait for its end, or take another -o")
        if "not a database" in text or "malformed" in text or "no such" in text:
            return UserError(f"{self.path} is no record of a batch ({text}): move it away, or take another -o")
        return UserError(f"the record {self.path} cannot be written ({text}): make room, or take another -o")


def _inputs_of(options: Options) -> dict[str, Path]:
    """The files and folders that a run reads, by what they are."""
    found = {"photo": options.image_path, "driver": options.driver_path, "sound": options.audio}
    model = choose_model(options)[0]
    found["background"] = find_background(options, model).path
    if model == "gagavatar":
        found["checkpoint"] = options.resume_path if options.resume_path.is_file() else None
    if options.driver_path is not None and options.audio is None and options.driver_path.is_file():
        from core.data.motion_file import sound_beside

        found["sound"] = sound_beside(options.driver_path)
    return {name: path for name, path in found.items() if path is not None}


def _options_text(options: Options) -> str:
    """What of the options has a say in the result; what was left as it is by default is left out."""
    given = {
        option.name: getattr(options, option.name)
        for option in fields(options)
        if option.name not in _WITHOUT_A_SAY and getattr(options, option.name) != option.default
    }
    given["model"] = choose_model(options)[0]
    return json.dumps(given, sort_keys=True, default=str)
