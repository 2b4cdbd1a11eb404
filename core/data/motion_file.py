"""Files of FLAME codes, as programs write them that make motion from sound: `.npz`, `.npy`, `.pt` or `.pkl`.

    read_motion(Path("speech.pt"))  # an array (N, 106): 100 of expression, 3 of the head's turn, 3 of the jaw

or named arrays: `expcode` (N, 100), also called `exp` or `expression`, and where there are any `posecode` (N, 6), also
called `pose`, `eyecode` (N, 6), `shapecode` (300,) and `transform_matrix` (N, 3, 4), as upstream's tracked records name
them, and `fps`. Rotations are axis-angle in radians.

The first three numbers of a pose turn the head. Upstream's tracked records keep them zero and have the pose in
`transform_matrix`; programs that make motion from sound (ARTalk, Chu et al. 2025) write them and have no transform.
Both become one here: the turn goes into `transform_matrix`, about the origin of FLAME's space, as ARTalk draws it, and
is zero in the posecode. Of a file without transforms only the turn is known then, from the front; the transform is said
to be `absent`, and the photo's own pose and place stand for it (`core.libs.retargeting.stage`).

Everything in such a file comes from elsewhere and is read as data: pickles by `core.data.safe_pickle`, torch's files
with `weights_only`, numpy's without objects.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from core.data import safe_pickle
from core.data.array_file import check_rotations
from core.data.records import PARAMETERS, SEEN, TrackedSequence
from core.errors import UserError

if TYPE_CHECKING:
    import torch

Format = Literal["npz", "npy", "torch", "pickle"]
WIDTH = 106  # expression 100, turn of the head 3, jaw 3
FRONT = np.diag([-1.0, 1.0, -1.0])  # head to camera, seen from the front
_NAMES = {
    "expcode": ("expcode", "exp", "expression"),
    "posecode": ("posecode", "pose"),
    "eyecode": ("eyecode",),
    "shapecode": ("shapecode",),
    "transform_matrix": ("transform_matrix",),
}
_ENDINGS: dict[str, Format] = {
    **{".npz": "npz", ".npy": "npy"},
    **{".pt": "torch", ".pth": "torch", ".pkl": "pickle", ".pickle": "pickle"},
}
_PICKLE = tuple(b"\x80" + bytes([version]) for version in range(2, 6))
_WANTED = "an array (N, 106) or expcode (N, 100), posecode (N, 6), eyecode (N, 6), transform_matrix (N, 3, 4), fps"


@dataclass(frozen=True)
class MotionFileSettings:
    """What stands for what a file of codes does not say, and what is refused.

    Attributes:
        fps: frames per second where the file names none, upstream's.
        distance: head units from the camera, of what has no place of its own. Only the driver's panel shows it; by eye.
        max_bytes: of the file, and of what it unpacks to. A frame takes about 500.
        max_frames: over five hours.
    """

    fps: Fraction = Fraction(25)
    distance: float = 9.75
    max_bytes: int = 1 << 29
    max_frames: int = 500_000


def motion_format(path: Path, by_name: bool = True) -> Format | None:
    """How a file would hold codes, by its first bytes, else, with `by_name`, by its ending; None where it holds none.

    OSError where it cannot be read.
    """
    with path.open("rb") as stream:
        start = stream.read(8)
    if start[:6] == b"\x93NUMPY":
        return "npy"
    if start[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except (zipfile.BadZipFile, ValueError, NotImplementedError):
            names = []
        if any(name.rsplit("/", 1)[-1] == "data.pkl" for name in names):
            return "torch"
        if names and all(name.endswith(".npy") for name in names):
            return "npz"
    named = _ENDINGS.get(path.suffix.lower())
    if start[:2] in _PICKLE:  # as torch's files of old begin too
        return "torch" if named == "torch" else "pickle"
    return named if by_name else None


def read_motion(path: Path, settings: MotionFileSettings = MotionFileSettings()) -> TrackedSequence:
    """The codes in a file, for the FLAME head.

    Returns:
        A sequence at the file's rate or at 25 frames per second; `absent` says what the file does not.
    Raises:
        UserError: cannot be read, damaged, more than arrays and plain containers, no codes, of other shapes or sizes,
            or no numbers of a face.
    """
    content = _read(path, settings)
    fps, arrays = settings.fps, _arrays(path, content, settings)
    if isinstance(content, Mapping) and "fps" in content:
        fps = _fps(path, content["fps"])
    count = len(arrays["expcode"])
    front = np.append(FRONT, np.array([[0], [0], [settings.distance]]), 1)
    values: dict[str, Any] = {
        "shapecode": np.zeros((1, 300), np.float32),
        "posecode": np.zeros((count, 6), np.float32),
        "eyecode": np.zeros((count, 6), np.float32),
        "transform_matrix": np.tile(front.astype(np.float32), (count, 1, 1)),
        **arrays,
    }
    track = TrackedSequence(
        **_turned(path, values),
        bbox=np.tile(np.array([0, 0, 1, 1], np.float32), (count, 1)),
        times=tuple(i / fps for i in range(count)),
        fps=fps,
        status=np.full(count, SEEN, np.int8),
        head="flame",
        absent=tuple(name for name in ("posecode", "eyecode", "transform_matrix") if name not in arrays),
    )
    track.check(path)
    return track


def sound_beside(path: Path) -> Path | None:
    """The sound file that lies beside a file of codes and has its name."""
    for ending in (".wav", ".mp3", ".m4a", ".flac"):
        for beside in (path.with_suffix(ending), path.with_suffix(ending.upper())):
            if beside.is_file():
                return beside
    return None


def _turned(path: Path, values: dict[str, np.ndarray]) -> dict[str, Any]:
    """The values with the head's turn taken from the posecode into the transform; not touched where it is zero."""
    turn = values["posecode"][:, :3]
    if not turn.any():
        return values
    from scipy.spatial.transform import Rotation  # a second that a run without such a file need not wait

    check_rotations(values["transform_matrix"], f"{path}: transform_matrix")
    transform, posecode = values["transform_matrix"].copy(), values["posecode"].copy()
    turns = Rotation.from_rotvec(turn.astype(np.float64)).as_matrix()
    transform[:, :, :3] = np.swapaxes(turns, 1, 2) @ transform[:, :, :3]  # rows: p @ turn.T @ R
    posecode[:, :3] = 0
    return {**values, "transform_matrix": transform, "posecode": posecode}


def _arrays(path: Path, content: Any, settings: MotionFileSettings) -> dict[str, np.ndarray]:
    """What a file holds, by the names of the parameters, float32 and of the right shapes."""
    if not isinstance(content, Mapping):
        return _split(path, "the array", content, settings)
    if any(key in content for key in ("head", "format", "crops")) and "status" in content:
        raise UserError(f"{path} belongs to a tracked folder: give the folder as driver")
    found = {
        name: next((content[given] for given in givens if given in content), None) for name, givens in _NAMES.items()
    }
    if found["expcode"] is None:
        if len(content) and all(isinstance(value, Mapping) for value in content.values()):
            raise UserError(
                f"{path} holds a record for each frame, as a tracked folder does: give the folder as driver"
            )
        whole = [(key, value) for key, value in content.items() if _shape(value)[-1:] == (WIDTH,)]
        if len(whole) != 1:
            raise UserError(f"{path} holds no motion: expected {_WANTED}")
        return _split(path, *whole[0], settings)
    count = next(iter(_shape(_unwrapped(found["expcode"], 2))), 0)
    out = {}
    for name, value in found.items():
        if value is None:
            continue
        shape = PARAMETERS[name] if name == "shapecode" else (count, *PARAMETERS[name])
        if name == "shapecode" and _shape(value)[:-1] == (count,):
            shape = (count, 300)
        out[name] = _numbers(path, name, _unwrapped(value, len(shape)), shape, settings)
    if "shapecode" in out:
        out["shapecode"] = out["shapecode"].reshape(-1, 300)
    return out


def _split(path: Path, name: object, value: Any, settings: MotionFileSettings) -> dict[str, np.ndarray]:
    """Expression and pose of an array (N, 106)."""
    value = _unwrapped(value, 2)
    shape = _shape(value)
    count = shape[0] if shape else 0
    codes = _numbers(path, str(name)[:40], value, (count, WIDTH), settings)
    return {"expcode": codes[:, :100].copy(), "posecode": codes[:, 100:].copy()}


def _unwrapped(value: Any, axes: int) -> Any:
    """An array without the leading axis of length 1 that a batch of one has."""
    return value[0] if len(_shape(value)) == axes + 1 and _shape(value)[0] == 1 else value


def _shape(value: Any) -> tuple[int, ...]:
    """The shape of an array or tensor, () of anything else."""
    return tuple(getattr(value, "shape", ()))


def _numbers(path: Path, name: str, value: Any, shape: tuple[int, ...], settings: MotionFileSettings) -> np.ndarray:
    """An array or tensor as float32."""
    where = f"{path}: {name}"
    if not hasattr(value, "shape"):
        raise UserError(f"{where} is a {type(value).__name__}, expected {_WANTED}")
    if _shape(value) != shape:
        raise UserError(f"{where} has shape {_shape(value)}, expected {_WANTED}")
    if len(shape) > 1 and not 1 <= shape[0] <= settings.max_frames:
        raise UserError(f"{where} has {shape[0]:,} frames: from 1 to {settings.max_frames:,} can be played")
    if not isinstance(value, np.ndarray):  # looked at before it is copied: a tensor may claim what it does not hold
        value = _from_torch(where, value)
    if value.dtype.kind not in "fiu":
        raise UserError(f"{where} is {value.dtype}, expected numbers")
    with np.errstate(over="ignore"):
        value = value.astype(np.float32)
    if not np.isfinite(value).all():
        raise UserError(f"{where} holds values that are not finite: write the file again")
    return value


def _from_torch(where: str, value: torch.Tensor) -> np.ndarray:
    import torch

    if not isinstance(value, torch.Tensor) or value.layout != torch.strided or value.is_quantized or value.is_complex():
        raise UserError(f"{where} is no plain array of numbers: write the file again")
    return value.detach().to("cpu", torch.float32).numpy()


def _fps(path: Path, value: Any) -> Fraction:
    try:
        rate = float(np.asarray(value, np.float64).reshape(()))
        fps = Fraction(rate).limit_denominator(1001)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise UserError(f"{path}: fps is no number: give frames per second, as 25") from None
    if not 1 <= fps <= 1000:
        raise UserError(f"{path}: {rate:g} frames per second cannot be: give 1 to 1000")
    return fps


def _read(path: Path, settings: MotionFileSettings) -> Any:
    """The contents of a file: an array, a tensor or a dict of them."""
    kind = None
    try:
        if path.stat().st_size > settings.max_bytes:
            raise UserError(f"{path} has over {settings.max_bytes >> 20} MiB: codes take about 500 bytes a frame")
        kind = motion_format(path)
        if kind in ("npz", "torch") and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:  # no more is ever read than is said here
                if sum(member.file_size for member in archive.infolist()) > settings.max_bytes:
                    size = settings.max_bytes >> 20
                    raise UserError(f"{path} unpacks to over {size} MiB: codes take about 500 bytes a frame")
        if kind == "npz":
            with np.load(path, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        if kind == "npy":
            return np.load(path, allow_pickle=False, mmap_mode="r")  # claims no more than the file holds
        if kind == "torch":
            import torch

            return torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or 'it is damaged'}): check it") from error
    except Exception as error:  # zipfile, zlib, numpy and torch each raise their own for what they do not take
        raise UserError(
            f"{path} is refused: damaged, or more than arrays of numbers ({type(error).__name__}); expected {_WANTED}"
        ) from None
    try:
        return safe_pickle.loads(path.read_bytes())
    except safe_pickle.RefusedPickleError as error:
        raise UserError(f"{path} is refused: {error}; expected {_WANTED}") from error
