"""Avatars, kept as tracked photos are: by the content of what they are made of, with the program that makes them."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import cv2
import numba
import numpy as np

from core.data.array_file import load_arrays, save_arrays
from core.data.record_arrays import to_arrays
from core.data.records import TrackedSource
from core.errors import UserError

if TYPE_CHECKING:
    from core.libs.tracker.cache import TrackCache

_NAME = "avatar.npz"
_MAKERS = ("data", "libs", "models")  # packages of `core` whose code an avatar is made by


@runtime_checkable
class Packing(Protocol):
    """An avatar's model whose avatars can be kept, as `core.models.LiftedAvatar` is."""

    def made_by(self) -> tuple[str, ...]: ...

    def pack(self, avatar: Any) -> dict[str, np.ndarray]: ...

    def unpack(self, arrays: Mapping[str, np.ndarray]) -> Any: ...

    def at(self, avatar: Any, anchor: np.ndarray) -> Any: ...


@dataclass(frozen=True)
class KeepSettings:
    """How much is kept.

    Attributes:
        most_bytes: of all avatars together; those that were not asked for longest go first. One of a 512-pixel crop
            has 24 MB.
    """

    most_bytes: int = 512 << 20


@dataclass(frozen=True)
class KeptAvatars:
    """The avatars of a model in a cache.

    Attributes:
        cache: where they lie. model: makes them. settings: how much is kept.
        code: a digest of the program that makes them; another program makes them anew.
    """

    cache: TrackCache
    model: Packing
    settings: KeepSettings = KeepSettings()
    code: Callable[[], str] = field(default_factory=lambda: code_digest)

    def are_of(self, model: object) -> bool:
        """Whether a model's avatars are kept here."""
        return self.model is model

    def avatar(
        self, source: TrackedSource, plate: np.ndarray | None, make: Callable[[], Any], anew: bool = False
    ) -> Any:
        """The avatar of a photo; what `make` gives is kept for the next run.

        Args:
            source: the photo as it was tracked. plate: (S, S, 3) uint8, what the person was freed of; None: of nothing.
            anew: whether to make one that is there.
        """
        entry = self.cache.entry_of(_blocks(source, plate), "avatar", self.code(), *self.model.made_by()) / _NAME
        if not anew:
            with suppress(UserError):  # not there, or damaged: made again
                avatar = self.model.unpack(load_arrays(entry))
                with suppress(OSError):
                    os.utime(entry)
                return avatar
        avatar = make()
        self.cache.keep(lambda: save_arrays(entry, self.model.pack(avatar), quick=True))
        forget_oldest(entry.parent.parent, self.settings.most_bytes)
        return avatar


def forget_oldest(folder: Path, most_bytes: int) -> None:
    """Delete the avatars of a cache's folder that were not asked for longest, until so many bytes are left."""
    found = []
    for path in folder.glob(f"*/{_NAME}"):
        with suppress(OSError):  # another run may have been faster
            state = path.stat()
            found.append((state.st_mtime_ns, state.st_size, path))
    left = sum(size for _, size, _ in found)
    for _, size, path in sorted(found)[:-1]:
        if left <= most_bytes:
            return
        left -= size
        with suppress(OSError):
            path.unlink()
            path.parent.rmdir()


def _blocks(source: TrackedSource, plate: np.ndarray | None) -> Iterator[bytes]:
    """All that an avatar is made of, as bytes."""
    parts = to_arrays(source) | ({} if plate is None else {"plate": plate})
    for name, values in parts.items():
        yield f"{name} {values.dtype} {values.shape}".encode()
        yield np.ascontiguousarray(values).tobytes()


def code_digest(root: Path = Path(__file__).parent) -> str:
    """A digest of the code that makes avatars: this program's, and the versions of what it computes with.

    `root`: the folder of `core`.
    """
    from llvmlite.binding import get_host_cpu_name  # kernels are compiled for it

    scipy = importlib.util.find_spec("scipy")  # not imported: a run that finds its avatar does without most of it
    assert scipy is not None
    assert scipy.origin is not None
    digest = hashlib.sha256()
    for package in _MAKERS:
        for path in sorted((root / package).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode())
            digest.update(path.read_bytes())
    for name in (np.__version__, cv2.__version__, numba.__version__, get_host_cpu_name()):
        digest.update(name.encode())
    digest.update(Path(scipy.origin).with_name("version.py").read_bytes())
    return digest.hexdigest()
