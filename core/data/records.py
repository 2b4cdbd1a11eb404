"""Tracked parameters of one frame, of a driver and of a source picture: what the stations of the flow hand on.

The fields are named as upstream's tracked records name them. Rotations are axis-angle in radians, `transform_matrix` is
head to camera in PyTorch3D's convention (row vectors, `p_cam = p_head @ R + t`, +x left, +y up, +z away), with focal
length 12 in normalised units.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from core.data.array_file import check_numbers, check_rotations, load_arrays, save_arrays
from core.data.media import MAX_FPS
from core.errors import UserError

HEADS = ("open", "flame")
FOCAL = 12.0
IMAGE_SIZE = 512  # of the crop that is shown
TRACK_FILE = "track.npz"
SEEN, INTERPOLATED, HELD = 0, 1, 2  # where a frame's parameters come from
PARAMETERS = {"shapecode": (300,), "expcode": (100,), "posecode": (6,), "eyecode": (6,), "transform_matrix": (3, 4)}
BY_FRAME: dict[str, tuple[int, ...]] = {  # what a sequence may have of every frame, besides
    "crops": (3,),
    "torso_motion": (4,),
    "mouth_interior": (4,),
    "patches": (3, 10, 12),
    "repeated": (),
    "view": (3, 4),
}
PATCHES = BY_FRAME["patches"]  # right eye, left eye and mouth, rows, columns
MOUTH_STEPS = 1.2 / 255  # of the numbers that say what an open mouth shows, as they are kept
MOUTH_UNKNOWN = 255
_FORMAT = 2
_FORMATS = (1, _FORMAT)  # that are read; the first had other names for two arrays
_FORMER_NAMES = {"residual": "static_offset", "torso": "torso_motion"}


@dataclass(frozen=True)
class TrackedFrame:
    """The parameters of one frame; arrays are float32.

    Attributes:
        shapecode: (300,) identity. expcode: (100,) expression. posecode: (6,) root and jaw. eyecode: (6,) left and
            right eye. transform_matrix: (3, 4). bbox: (4,) head box x0 y0 x1 y1 in 0..1 of the crop.
        head: whose codes these are, `open` or `flame`.
        static_offset: (V, 3) in head units, what the codes leave of this very face at rest, or None.
        torso_motion: (4,) how the shoulders moved, shift left and up at the neck in head units, roll, logarithm of the
            growth; None where they were not followed.
        view: (3, 4) from the camera that `transform_matrix` leads to, the photo's, to the one that draws; None where
            that is the same one.
        mouth_interior: (4,) what the open mouth shows, each in 0..1.2: heights of upper teeth, lower teeth and tongue
            (its top, from the lower lip) over the opening's, and how bright the tongue is; None where nobody looked.
    """

    shapecode: np.ndarray
    expcode: np.ndarray
    posecode: np.ndarray
    eyecode: np.ndarray
    transform_matrix: np.ndarray
    bbox: np.ndarray
    head: str = "open"
    static_offset: np.ndarray | None = None
    torso_motion: np.ndarray | None = None
    view: np.ndarray | None = None
    mouth_interior: np.ndarray | None = None


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
        static_offset: (V, 3) in head units, what the codes leave of this very face at rest, or None; (S, V, 3) where
            every one of S shots has its own.
        torso_motion: (T, 4) how the shoulders moved since some frame of the driver, or None; see `TrackedFrame`.
        shots: (T,) for every frame the number of its shot, 0 to S - 1, or None where there is one. A number that comes
            back is the same person filmed the same way, after a cut. A shot of one frame is a still.
        mouth_interior: (T, 4) uint8 in steps of MOUTH_STEPS, or None; see `TrackedFrame`. MOUTH_UNKNOWN throughout for
            a frame of which nothing is known.
        patches: (T, 3, 10, 12) uint8, right eye, left eye and mouth as grey pictures, of a face that is small in the
            driver's picture, 0 where it was not looked at; None for others. See `core.libs.tracker.face_patches`.
        repeated: (T,) bool, frames that show the picture before again, or None where none is known to.
        lost: pieces of the driver's file, of about a frame each, that could not be decoded.
        absent: names of parameters that the driver says nothing of, for which the photo's own stand. Where
            `transform_matrix` is among them, its left part is how the head turns, from the front, and no more.
        view: (T, 3, 4) where the camera that draws is moved, or None; see `TrackedFrame`. Not of a driver.
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
    static_offset: np.ndarray | None = None
    torso_motion: np.ndarray | None = None
    shots: np.ndarray | None = None
    mouth_interior: np.ndarray | None = None
    patches: np.ndarray | None = None
    repeated: np.ndarray | None = None
    lost: int = 0
    absent: tuple[str, ...] = ()
    view: np.ndarray | None = None

    def __post_init__(self) -> None:
        n = len(self.times)
        for name, shape in {**PARAMETERS, "bbox": (4,), "status": ()}.items():
            got = np.shape(getattr(self, name))
            if got != (n, *shape) and not (name == "shapecode" and got == (1, *shape)):
                raise UserError(
                    f"tracked driver: {name} has shape {got}, expected {(n, *shape)}; track it again with -f"
                )
        for name, shape in ((name, (n, *rest)) for name, rest in {**BY_FRAME, "shots": ()}.items()):
            value = getattr(self, name)
            if value is not None and np.shape(value) != shape:
                raise UserError(
                    f"tracked driver: {name} has shape {np.shape(value)}, expected {shape}; track it again with -f"
                )
        if self.head not in HEADS:
            raise UserError(f"tracked driver: unknown head {self.head!r}, expected one of {', '.join(HEADS)}")

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, index: int) -> TrackedFrame:
        static_offset = self.static_offset
        if static_offset is not None and static_offset.ndim == 3:
            assert self.shots is not None  # an offset for each shot: `check` has looked
            static_offset = static_offset[self.shots[index]]
        return TrackedFrame(
            self.shapecode[index if len(self.shapecode) > 1 else 0],
            self.expcode[index],
            self.posecode[index],
            self.eyecode[index],
            self.transform_matrix[index],
            self.bbox[index],
            self.head,
            static_offset,
            None if self.torso_motion is None else self.torso_motion[index],
            None if self.view is None else self.view[index],
            None if self.mouth_interior is None else _told(self.mouth_interior[index]),
        )

    def __iter__(self) -> Iterator[TrackedFrame]:
        return (self[i] for i in range(len(self)))

    @property
    def parameters(self) -> dict[str, np.ndarray]:
        """The arrays that the parameter-space tools work on, by name."""
        return {name: getattr(self, name) for name in PARAMETERS}

    def with_parameters(self, parameters: Mapping[str, Any]) -> TrackedSequence:
        """This sequence with some of its parameters changed."""
        return replace(self, **parameters)

    @property
    def shot_frames(self) -> list[np.ndarray]:
        """The frames (N,) between two cuts, by their indices, for every such piece; all of them where there is none."""
        return frames_of_shots(np.zeros(len(self), int) if self.shots is None else self.shots)

    @property
    def stills(self) -> bool:
        """Whether this is a collection of pictures rather than a clip; see `mostly_stills`."""
        return self.shots is not None and mostly_stills(self.shots)

    def take(self, frames: np.ndarray) -> TrackedSequence:
        """Some of the frames, by their indices (N,), at their own times; shots are numbered anew."""
        names = [name for name in (*PARAMETERS, "bbox", "status", *BY_FRAME) if getattr(self, name) is not None]
        taken = {name: getattr(self, name)[frames] for name in names if name != "shapecode" or len(self.shapecode) > 1}
        if self.shots is not None:
            kept, taken["shots"] = np.unique(self.shots[frames], return_inverse=True)
            if self.static_offset is not None and self.static_offset.ndim == 3:
                taken["static_offset"] = self.static_offset[kept] if len(kept) > 1 else self.static_offset[kept[0]]
        return replace(self, times=tuple(self.times[int(i)] for i in frames), **taken)

    def check(self, path: Path) -> None:
        """Look at the numbers, which may come from anywhere; UserError where they cannot be a face's motion."""
        for name in (*PARAMETERS, "bbox", "crops", "torso_motion", "view", "static_offset"):
            if (value := getattr(self, name)) is not None:
                check_numbers(value, f"{path}: {name}")
        if self.status.dtype.kind not in "iu":
            raise UserError(f"{path}: status is {self.status.dtype}, expected whole numbers; track it again")
        count = 1
        if self.shots is not None and len(self):
            if self.shots.dtype.kind not in "iu":
                raise UserError(f"{path}: shots is {self.shots.dtype}, expected whole numbers; track it again")
            known = np.unique(self.shots)
            count = len(known)
            if known[0] != 0 or known[-1] != count - 1:
                raise UserError(f"{path}: shots are not numbered 0, 1, 2, ...; track it again")
        if self.static_offset is not None:
            leading = self.static_offset.shape[:-2]
            if (
                self.static_offset.ndim < 2
                or self.static_offset.shape[-1] != 3
                or leading not in ((), (count,))
                or (leading and self.shots is None)
            ):
                wanted = "(V, 3)" if self.shots is None else f"(V, 3) or ({count}, V, 3)"
                raise UserError(
                    f"{path}: static_offset has shape {self.static_offset.shape}, expected {wanted}; track it again"
                )
        for name, kind in (("mouth_interior", np.uint8), ("patches", np.uint8), ("repeated", np.bool_)):
            if (value := getattr(self, name)) is not None and value.dtype != kind:
                raise UserError(f"{path}: {name} is {value.dtype}, expected {np.dtype(kind)}; track it again")
        check_rotations(self.transform_matrix, f"{path}: transform_matrix")
        if not 0 < self.fps <= MAX_FPS:
            raise UserError(f"{path}: {float(self.fps):g} frames per second cannot be; track it again")
        if any(b <= a for a, b in pairwise(self.times)):
            raise UserError(f"{path}: the frames are not in the order of their times; track it again")

    def save(self, folder: Path) -> Path:
        """Write `track.npz` into a folder, whole or not at all; returns the file. UserError where that fails."""
        target = folder / TRACK_FILE
        values: dict[str, Any] = {name: getattr(self, name) for name in (*PARAMETERS, "bbox", "status")}
        optional = ("crops", "static_offset", "torso_motion", "mouth_interior", "patches", "repeated", "shots")
        values |= {name: getattr(self, name) for name in optional if getattr(self, name) is not None}
        values["times"] = np.array([(t.numerator, t.denominator) for t in self.times], np.int64).reshape(-1, 2)
        values["fps"] = np.array([self.fps.numerator, self.fps.denominator], np.int64)
        values["head"], values["smoothed"], values["lost"] = self.head, self.smoothed, self.lost
        values["format"] = _FORMAT
        if self.absent:
            values["absent"] = np.array(self.absent)
        if self.view is not None:
            values["view"] = self.view
        save_arrays(target, values)
        return target

    @classmethod
    def load(cls, folder: Path) -> TrackedSequence:
        """Read what `save` wrote. UserError where the file is missing, damaged or of another format."""
        path = folder / TRACK_FILE
        values: dict[str, Any] = with_present_names(load_arrays(path))
        try:
            if int(values.pop("format")) not in _FORMATS:
                raise UserError(f"{path}: written by another version; track the driver again")
            values["times"] = tuple(Fraction(int(a), int(b)) for a, b in values["times"])
            values["fps"] = Fraction(int(values["fps"][0]), int(values["fps"][1]))
            values["head"], values["smoothed"] = str(values["head"]), bool(values["smoothed"])
            values["lost"] = int(values.get("lost", 0))
            values["absent"] = tuple(name for name in PARAMETERS if name in values.get("absent", ()))
            values = {name: values[name] for name in (f.name for f in fields(cls)) if name in values}
            track = cls(**values)
            track.check(path)
            return track
        except (KeyError, TypeError, ValueError, IndexError, ArithmeticError) as error:
            raise UserError(
                f"{path}: not a tracked driver ({type(error).__name__}: {error}); track it again"
            ) from error


def _told(numbers: np.ndarray) -> np.ndarray | None:
    """What a mouth shows, of the numbers (4,) as they are kept."""
    return None if (numbers == MOUTH_UNKNOWN).all() else np.float32(MOUTH_STEPS) * numbers


def frames_of_shots(shots: np.ndarray) -> list[np.ndarray]:
    """The indices (N,) of frames that follow one another and have one number, for the shots' numbers (T,) of all."""
    return np.split(np.arange(len(shots)), np.flatnonzero(np.diff(shots)) + 1) if len(shots) else []


def mostly_stills(shots: np.ndarray) -> bool:
    """Whether most frames, by their shots' numbers (T,), are stills: the only ones of their shots."""
    return 2 * int((np.unique(shots, return_counts=True)[1] == 1).sum()) > len(shots)


def join(parts: Sequence[TrackedSequence]) -> TrackedSequence:
    """Sequences of one head one after the other, each a shot of its own or the shots that it has.

    Times are kept as they are, fps and head are the first one's. Crops, torso motion, patches and view are there where
    all have them, what the mouth shows and what repeats where one has it.
    """
    counts = [1 if part.shots is None else int(part.shots.max()) + 1 for part in parts]
    firsts = np.cumsum([0, *counts[:-1]])
    values = {name: np.concatenate([getattr(p, name) for p in parts]) for name in (*PARAMETERS, "bbox", "status")}
    shapes = [np.broadcast_to(part.shapecode, (len(part), *PARAMETERS["shapecode"])) for part in parts]
    values["shapecode"] = np.concatenate(shapes)
    if (values["shapecode"] == values["shapecode"][0]).all():
        values["shapecode"] = values["shapecode"][:1]
    for name in ("crops", "torso_motion", "patches", "view"):
        all_have = all(getattr(part, name) is not None for part in parts)
        values[name] = np.concatenate([getattr(part, name) for part in parts]) if all_have else None
    if any(part.mouth_interior is not None for part in parts):
        nothing = np.full((1, 4), MOUTH_UNKNOWN, np.uint8)
        told = [np.repeat(nothing, len(p), 0) if p.mouth_interior is None else p.mouth_interior for p in parts]
        values["mouth_interior"] = np.concatenate(told)
    if any(part.repeated is not None for part in parts):
        again = [np.zeros(len(p), bool) if p.repeated is None else p.repeated for p in parts]
        values["repeated"] = np.concatenate(again)
    return replace(
        parts[0],
        **values,
        times=tuple(time for part in parts for time in part.times),
        shots=np.concatenate(
            [np.full(len(p), f) if p.shots is None else f + p.shots for p, f in zip(parts, firsts, strict=True)]
        ),
        static_offset=_joined_offsets(parts, counts),
        smoothed=all(part.smoothed for part in parts),
        lost=sum(part.lost for part in parts),
    )


def _joined_offsets(parts: Sequence[TrackedSequence], counts: list[int]) -> np.ndarray | None:
    """One static offset (V, 3) where all parts share it, one for each shot (S, V, 3) where they differ."""
    known = [part.static_offset for part in parts if part.static_offset is not None]
    if not known:
        return None
    shared = len(known) == len(parts) and all(r.ndim == 2 and np.array_equal(r, known[0]) for r in known)
    if shared:
        return known[0]
    none = np.zeros(known[0].shape[-2:], known[0].dtype)
    rows = [none if part.static_offset is None else part.static_offset for part in parts]
    return np.concatenate([np.broadcast_to(row, (count, *none.shape)) for row, count in zip(rows, counts, strict=True)])


@dataclass(frozen=True)
class TrackedSource:
    """The person that is to move.

    Attributes:
        frame: the parameters of the picture, its static offset included.
        image: (S, S, 3) uint8 RGB, the crop with `margin` pixels more on every side than is shown; the shown crop lies
            in the middle, `size` pixels wide: IMAGE_SIZE where the tracker was not asked for another.
        matte: (S, S) float32 in 0..1.
        margin: pixels.
        inside: (S, S) bool, False where the crop reaches beyond the picture, and far beyond it where it is joined.
        crop: (3,) x, y and side of the shown crop in the photo, its pixels; None where that is not known.
        joined: whether what is drawn is put into the whole photo again: the crop then goes on beyond the photo's border
            as its mirror image, and is wide enough to hold all that moves.
        foreground: (S, S, 3) uint8 RGB, the person's own colours, also where the matte is faint: see
            `core.libs.foreground`; None where they are not known.
        beyond: (H, W) uint8, a coarser matte of the whole photo as it is drawn; None where it was not asked for.
    """

    frame: TrackedFrame
    image: np.ndarray
    matte: np.ndarray
    margin: int
    inside: np.ndarray = field(repr=False)
    crop: np.ndarray | None = None
    joined: bool = False
    foreground: np.ndarray | None = field(default=None, repr=False)
    beyond: np.ndarray | None = field(default=None, repr=False)

    @property
    def size(self) -> int:
        """Pixels of a side of the shown crop, in which the result is drawn."""
        return len(self.image) - 2 * self.margin

    def check(self) -> None:
        """UserError where the parts do not fit one another or hold what cannot be, as a damaged file's might."""
        side = len(self.image) if np.ndim(self.image) else 0
        if self.margin < 0 or side - 2 * self.margin < 1:
            raise UserError(
                f"tracked photo: nothing is left of {side} pixels between its margins; track it again with -f"
            )
        for name, shape in {"image": (side, side, 3), "matte": (side, side), "inside": (side, side)}.items():
            if (got := np.shape(getattr(self, name))) != shape:
                raise UserError(f"tracked photo: {name} has shape {got}, expected {shape}; track it again with -f")
        for name, shape in PARAMETERS.items():
            if (got := np.shape(getattr(self.frame, name))) != shape:
                raise UserError(f"tracked photo: {name} has shape {got}, expected {shape}; track it again with -f")
            check_numbers(getattr(self.frame, name), f"tracked photo: {name}")

    def shown(self) -> tuple[np.ndarray, np.ndarray]:
        """The shown crop: image (size, size, 3) uint8 and matte (size, size)."""
        return self.middle(self.image), self.middle(self.matte)

    def middle(self, picture: np.ndarray) -> np.ndarray:
        """The part (size, size, ...) of a picture (S, S, ...) that is shown."""
        part = slice(self.margin, self.margin + self.size)
        return picture[part, part]


def with_present_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """The arrays of a file by the names that this version gives them: `residual` and `torso` were renamed."""
    return {_FORMER_NAMES.get(name, name): value for name, value in values.items()}
