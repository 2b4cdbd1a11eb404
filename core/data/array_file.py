"""Named arrays in an npz: written whole or not at all, read as data, their numbers looked at."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.data.part_file import PartFile
from core.errors import UserError


@dataclass(frozen=True)
class ArraySettings:
    """What is refused in a file of tracked parameters, which may come from anywhere.

    Attributes:
        max_bytes: of the unpacked arrays in a file. Half an hour of a driver takes 30 MB.
        largest: of any parameter, as a magnitude: far above what a face does, far below where float32 ends.
        rotation_error: of any entry of R R^T against the identity. By eye: files of other programs are rounded.
    """

    max_bytes: int = 1 << 30
    largest: float = 1e4
    rotation_error: float = 0.05


def save_arrays(path: Path, values: Mapping[str, Any], quick: bool = False) -> None:
    """Write a compressed npz beside its place, then rename it: readers see the old file or the whole new one.

    `quick`, for what can be made again: it is not compressed, nor waited for until the disk has it; after a power cut
    it may be damaged. UserError where the disk does not take it.
    """
    packed = io.BytesIO()  # an archive that a full disk cuts off says so once more, on its own, when it is collected
    (np.savez if quick else np.savez_compressed)(packed, **values)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with PartFile(path) as part:
            part.path.write_bytes(packed.getbuffer())
            part.finish(durable=not quick)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror or error}): check the disk") from error


def load_arrays(path: Path, settings: ArraySettings = ArraySettings()) -> dict[str, np.ndarray]:
    """Read an npz as data: nothing in it can run. UserError where it is missing or damaged."""
    try:
        with zipfile.ZipFile(path) as archive:  # no more is ever read than is said here
            size = sum(member.file_size for member in archive.infolist())
        if size > settings.max_bytes:
            raise UserError(f"{path}: holds {size >> 20} MiB, which no tracked driver does; track it again")
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise UserError(f"{path}: not found") from None
    except UserError:
        raise
    except Exception as error:  # zipfile, zlib and numpy each raise their own for a damaged file
        raise UserError(
            f"{path}: damaged or not an npz file ({type(error).__name__}); delete it and track again"
        ) from None


def check_numbers(values: np.ndarray, what: str, settings: ArraySettings = ArraySettings()) -> None:
    """UserError where these are not finite numbers of a size that parameters have; `what` begins its message."""
    if values.dtype.kind not in "fiu":
        raise UserError(f"{what} is {values.dtype}, expected numbers; track it again")
    if not np.isfinite(values).all():
        raise UserError(f"{what} holds values that are not finite; track it again")
    if values.size and max(abs(float(values.max())), abs(float(values.min()))) > settings.largest:
        raise UserError(f"{what} holds values above {settings.largest:g}, which no face has; track it again")


def check_rotations(transforms: np.ndarray, what: str, settings: ArraySettings = ArraySettings()) -> None:
    """UserError where the left part of the transforms (T, 3, 4) does not turn but stretches, flips or flattens."""
    R = transforms[:, :, :3].astype(np.float64)
    off = np.abs(R @ R.transpose(0, 2, 1) - np.eye(3)).max(initial=0)
    if off > settings.rotation_error or (np.linalg.det(R) < 0).any():
        raise UserError(f"{what} holds what is no rotation; track it again")
