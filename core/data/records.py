"""Tracked parameters of one frame, of a driver and of a source picture: what the stations of the flow hand on.

The fields are named as upstream's tracked records name them. Rotations are axis-angle in radians, `transform_matrix` is
head to camera in PyTorch3D's convention (row vectors, `p_cam = p_head @ R + t`, +x left, +y up, +z away), with focal
length 12 in normalised units.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from core.errors import UserError

HEADS = ("open", "flame")
FOCAL = 12.0
IMAGE_SIZE = 512  # of the crop that is shown
TRACK_FILE = "track.npz"
SEEN, INTERPOLATED, HELD = 0, 1, 2  # where a frame's parameters come from
PARAMETERS = {"shapecode": (300,), "expcode": (100,), "posecode": (6,), "eyecode": (6,), "transform_matrix": (3, 4)}
_FORMAT = 1


@dataclass(frozen=True)
class TrackedFrame:
    """The parameters of one frame; arrays are float32.

    Attributes:
        shapecode: (300,) identity. expcode: (100,) expression. posecode: (6,) root and jaw. eyecode: (6,) left and
            right eye. transform_matrix: (3, 4). bbox: (4,) head box x0 y0 x1 y1 in 0..1 of the crop.
        head: whose codes these are, `open` or `flame`.
        residual: (V, 3) in head units, what the codes leave of this very face at rest, or None.
    """

    shapecode: np.ndarray
    expcode: np.ndarray
    posecode: np.ndarray
    eyecode: np.ndarray
    transform_matrix: np.ndarray
    bbox: np.ndarray
    head: str = "open"
    residual: np.ndarray | None = None


@dataclass(frozen=True)
class TrackedSequence:
    """The parameters of T frames, stacked.

    Attributes:
        shapecode: (T, 300) or (1, 300) where one is shared. expcode: (T, 100). posecode: (T, 6). eyecode: (T, 6).
        transform_matrix: (T, 3, 4). bbox: (T, 4).
        times: T presentation times in seconds, exact.
        fps: frames per second, exact.
        status: (T,) int8, SEEN, INTERPOLATED or HELD.
        crops: (T, 3) float32, x, y of the left upper corner and side of the crop, pixels of the driver's picture; None
            where the pictures come cropped or there are none.
        head: `open` or `flame`.
        smoothed: whether the parameters were smoothed over time already.
        residual: (V, 3) in head units, what the codes leave of this very face at rest, or None.
    """

    shapecode: np.ndarray
    expcode: np.ndarray
    posecode: np.ndarray
    eyecode: np.ndarray
    transform_matrix: np.ndarray
    bbox: np.ndarray
    times: tuple[Fraction, ...]
    fps: Fraction
    status: np.ndarray
    crops: np.ndarray | None = None
    head: str = "open"
    smoothed: bool = False
    residual: np.ndarray | None = None

    def __post_init__(self) -> None:
        n = len(self.times)
        for name, shape in {**PARAMETERS, "bbox": (4,), "status": ()}.items():
            got = np.shape(getattr(self, name))
            if got != (n, *shape) and not (name == "shapecode" and got == (1, *shape)):
                raise UserError(
                    f"tracked driver: {name} has shape {got}, expected {(n, *shape)}; track it again with -f"
                )
        if self.head not in HEADS:
            raise UserError(f"tracked driver: unknown head {self.head!r}, expected one of {', '.join(HEADS)}")

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, index: int) -> TrackedFrame:
        return TrackedFrame(
            self.shapecode[index if len(self.shapecode) > 1 else 0],
            self.expcode[index],
            self.posecode[index],
            self.eyecode[index],
            self.transform_matrix[index],
            self.bbox[index],
            self.head,
            self.residual,
        )

    def __iter__(self) -> Iterator[TrackedFrame]:
        return (self[i] for i in range(len(self)))

    @property
    def parameters(self) -> dict[str, np.ndarray]:
        """The arrays that the parameter-space tools work on, by name."""
        return {name: getattr(self, name) for name in PARAMETERS}

    def with_parameters(self, parameters: dict[str, np.ndarray]) -> TrackedSequence:
        """This sequence with some of its parameters changed."""
        return replace(self, **parameters)

    def save(self, folder: Path) -> Path:
        """Write `track.npz` into a folder, whole or not at all; returns the file."""
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / TRACK_FILE
        values: dict[str, object] = {name: getattr(self, name) for name in (*PARAMETERS, "bbox", "status")}
        values |= {name: getattr(self, name) for name in ("crops", "residual") if getattr(self, name) is not None}
        values["times"] = np.array([(t.numerator, t.denominator) for t in self.times], np.int64).reshape(-1, 2)
        values["fps"] = np.array([self.fps.numerator, self.fps.denominator], np.int64)
        values["head"], values["smoothed"], values["format"] = self.head, self.smoothed, _FORMAT
        save_arrays(target, values)
        return target

    @classmethod
    def load(cls, folder: Path) -> TrackedSequence:
        """Read what `save` wrote. UserError where the file is missing, damaged or of another format."""
        path = folder / TRACK_FILE
        values = load_arrays(path)
        try:
            if int(values.pop("format")) != _FORMAT:
                raise UserError(f"{path}: written by another version; track the driver again")
            values["times"] = tuple(Fraction(int(a), int(b)) for a, b in values["times"])
            values["fps"] = Fraction(int(values["fps"][0]), int(values["fps"][1]))
            values["head"], values["smoothed"] = str(values["head"]), bool(values["smoothed"])
            values = {name: values[name] for name in (f.name for f in fields(cls)) if name in values}
            return cls(**values)
        except (KeyError, TypeError, ValueError, IndexError, ZeroDivisionError) as error:
            raise UserError(
                f"{path}: not a tracked driver ({type(error).__name__}: {error}); track it again"
            ) from error


@dataclass(frozen=True)
class TrackedSource:
    """The person that is to move.

    Attributes:
        frame: the parameters of the picture, residual included.
        image: (S, S, 3) uint8 RGB, the crop with `margin` pixels more on every side than is shown; the shown crop is
            IMAGE_SIZE wide and lies in the middle.
        matte: (S, S) float32 in 0..1.
        margin: pixels.
        inside: (S, S) bool, False where the crop reaches beyond the picture.
    """

    frame: TrackedFrame
    image: np.ndarray
    matte: np.ndarray
    margin: int
    inside: np.ndarray = field(repr=False)

    def shown(self) -> tuple[np.ndarray, np.ndarray]:
        """The shown part: image (512, 512, 3) uint8 and matte (512, 512)."""
        part = slice(self.margin, self.margin + IMAGE_SIZE)
        return self.image[part, part], self.matte[part, part]


def save_arrays(path: Path, values: dict[str, object]) -> None:
    """Write a compressed npz beside its place, then rename it: readers see the old file or the whole new one."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            np.savez_compressed(file, **values)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read an npz as data: nothing in it can run. UserError where it is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise UserError(f"{path}: not found") from None
    except Exception as error:  # zipfile, zlib and numpy each raise their own for a damaged file
        raise UserError(
            f"{path}: damaged or not an npz file ({type(error).__name__}); delete it and track again"
        ) from None
