"""The two sides that `benchmarks.looks` compares: the code that is here, and that of another commit, unpacked."""

from __future__ import annotations

import hashlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import UserError

BUILD = Path("build/looks")
_ROOT = Path(__file__).parents[1]
_AHEAD = 64  # pictures that are rendered before they are looked at
_SIDE = 512
# What tracked points and mattes depend on; what is not in one of two versions is none of their keys'
_TRACKER_CODE = (
    *("core/libs/tracker", "core/libs/flame_model", "core/libs/mesh", "core/libs/mesh.py", "core/libs/geometry.py"),
    *("core/libs/geometry", "core/libs/numeric.py", "core/libs/retargeting/neutral.py", "core/data"),
)


@dataclass(frozen=True)
class Answer:
    """What a side says to a job.

    Attributes:
        error: the one line of a UserError, or None.
        arrays: see `benchmarks._looks_render`. pictures: (512, 512, 3) uint8 each, to be taken before the next answer.
    """

    error: str | None
    arrays: list[np.ndarray] = field(default_factory=list)
    pictures: Iterator[np.ndarray] = field(default_factory=lambda: iter(()))


class Side:
    """A checkout that renders, in a process of its own, ahead of who looks at the pictures.

    Args:
        root: of the checkout. name: of the side, for messages.
    """

    def __init__(self, root: Path, name: str) -> None:
        self.name = name
        cache = (BUILD / f"tracks-{_code_key(root)}").resolve()
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).with_name("_looks_render.py").resolve())],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root.resolve()), "XDG_CACHE_HOME": str(cache)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._read: queue.Queue[bytes | None] = queue.Queue(_AHEAD)
        threading.Thread(target=self._reader, daemon=True).start()

    def ask(self, jobs: Sequence[dict[str, Any]]) -> Iterator[Answer]:
        """The answers to jobs, in their order."""
        lines = "".join(json.dumps(job) + "\n" for job in jobs).encode()
        threading.Thread(target=self._write, args=(lines,), daemon=True).start()
        for _ in jobs:
            header = json.loads(self._next())
            if header["error"] is not None:
                yield Answer(header["error"])
                continue
            arrays = [np.frombuffer(self._next(), np.float32).reshape(shape) for shape in header["shapes"]]
            pictures = self._pictures(header["pictures"])
            yield Answer(None, arrays, pictures)
            for _ in pictures:
                pass

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()

    def _pictures(self, count: int) -> Iterator[np.ndarray]:
        for _ in range(count):
            yield np.frombuffer(self._next(), np.uint8).reshape(_SIDE, _SIDE, 3)

    def _next(self) -> bytes:
        if (part := self._read.get()) is None:
            raise UserError(f"{self.name}: its code could not render, see above")
        return part

    def _write(self, lines: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(lines)
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):
            pass  # the reader finds the end of its answers and says so

    def _reader(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        while line := stream.readline():
            self._read.put(line)
            header = json.loads(line)
            for shape in header.get("shapes", ()):
                self._read.put(stream.read(4 * int(np.prod(shape))))
            for _ in range(header.get("pictures", 0)):
                picture = stream.read(3 * _SIDE * _SIDE)
                if len(picture) < 3 * _SIDE * _SIDE:
                    break
                self._read.put(picture)
        self._read.put(None)


def unpack(commit: str) -> Path:
    """The files of a commit, in `build/looks/code`, where they stay: their compiled kernels are kept beside them."""
    found = subprocess.run(
        ["git", "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}"],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode:
        raise UserError(f"--against {commit}: git knows no such commit")
    folder = BUILD / "code" / found.stdout.strip()[:12]
    if not folder.is_dir():
        packed = subprocess.run(["git", "archive", found.stdout.strip()], cwd=_ROOT, capture_output=True, check=True)
        beside = folder.with_suffix(f".{os.getpid()}.part")
        beside.mkdir(parents=True)
        subprocess.run(["tar", "-x", "-C", str(beside)], input=packed.stdout, check=True)
        beside.rename(folder)
    return folder


def _code_key(root: Path) -> str:
    """12 hex digits of the tracker's code: what it tracked is kept for that code alone."""
    digest = hashlib.sha256()
    for place in _TRACKER_CODE:
        path = root / place
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path] if path.is_file() else []:
            digest.update(str(file.relative_to(root)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]
