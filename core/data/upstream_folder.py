"""Folders that GAGAvatar_track wrote: `smoothed.pkl` or `optim.pkl` with the parameters, `img_lmdb` with the pictures.

Everything in such a folder comes from elsewhere and is read as data: the pickles by `core.data.safe_pickle`, the
pictures as JPEG or PNG and as nothing else, and no link in the folder is followed out of it.
"""

from __future__ import annotations

import io
import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
from PIL import Image

from core.data.frame_keys import in_order
from core.data.records import IMAGE_SIZE, PARAMETERS, SEEN, TrackedSequence
from core.data.safe_pickle import load
from core.errors import UserError

SMOOTHED, PLAIN, PICTURES = "smoothed.pkl", "optim.pkl", "img_lmdb"
FPS = Fraction(25)  # upstream stores no times and plays everything at this rate
_NUMBER = re.compile(r"_([0-9]{1,18})$")
_DATA = "data.mdb"
_BEGINS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")  # JPEG, PNG


def is_upstream(folder: Path) -> bool:
    """Whether anything of GAGAvatar_track's lies in the folder."""
    return any((folder / name).exists() or (folder / name).is_symlink() for name in (SMOOTHED, PLAIN, PICTURES))


def read_track(folder: Path) -> tuple[TrackedSequence, tuple[str, ...]]:
    """The parameters in a folder of GAGAvatar_track.

    `smoothed.pkl` goes before `optim.pkl`. Frames are in the order of the number after the last underscore of their
    keys, clip by clip where the names before it differ (`core.data.frame_keys`, which says what is a still); gaps in
    the numbers are closed, as upstream closes them.

    Returns:
        The parameters, for the FLAME head, 25 frames per second, with their shots, and the key of each frame.
    Raises:
        UserError: nothing to read, refused, damaged, empty, of other shapes, or no numbers of a face.
    """
    path = parameter_file(folder)
    if path is None:
        raise UserError(
            f"{folder} holds no parameters: {SMOOTHED} or {PLAIN} is missing; track it with GAGAvatar_track"
        )
    records = load(path)
    if type(records) is not dict:
        raise UserError(f"{path} holds a {type(records).__name__}, expected records by frame key: track it again")
    if not records:
        raise UserError(f"{path} holds no frame: track the driver again")
    for key in records:
        _check_key(path, key)
    keys, shots = in_order(records)
    values = {name: np.stack([_value(path, k, records[k], name) for k in keys]) for name in (*PARAMETERS, "bbox")}
    if (values["shapecode"] == values["shapecode"][0]).all():
        values["shapecode"] = values["shapecode"][:1]
    track = TrackedSequence(
        **values,
        times=tuple(i / FPS for i in range(len(keys))),
        fps=FPS,
        status=np.full(len(keys), SEEN, np.int8),
        head="flame",
        smoothed=path.name == SMOOTHED,
        shots=shots,
    )
    track.check(path)
    return track, keys


def parameter_file(folder: Path) -> Path | None:
    """The file with the parameters that is read, None where there is none; UserError where it lies elsewhere."""
    return next((found for name in (SMOOTHED, PLAIN) if (found := inside(folder, name)) is not None), None)


def read_pictures(folder: Path, keys: tuple[str, ...]) -> Generator[np.ndarray, None, None] | None:
    """The pictures of the given frames, one for each key and decoded one at a time.

    Returns:
        (512, 512, 3) uint8 RGB each. A frame without a picture repeats the last one; before the first one it is black.
        None where the folder holds no picture of these frames.
    Raises:
        UserError: `img_lmdb` is damaged or lies elsewhere.
    """
    if inside(folder, PICTURES) is None:
        return None
    with open_pictures(folder) as transaction:
        if not any(_decode(transaction.get(name)) is not None for name in map(_stored, keys)):
            return None
    return _pictures(folder, keys)


def stored_keys(folder: Path) -> list[str]:
    """The keys of the JPEG and PNG pictures in `img_lmdb`, by what they begin with; UserError where it is damaged."""
    with open_pictures(folder, buffers=True) as transaction, transaction.cursor() as cursor:
        found = [bytes(key) for key, value in cursor if bytes(value[:8]).startswith(_BEGINS)]
    keys = [key.decode("utf-8", "replace") for key in found]
    return [key for key, stored in zip(keys, found, strict=True) if _stored(key) == stored]


def stored_bytes(folder: Path, key: str) -> bytes:
    """A picture of `img_lmdb` as it is stored; empty where it is not there."""
    with open_pictures(folder) as transaction:
        return bytes(transaction.get(_stored(key)) or b"")


def read_stored(folder: Path, key: str) -> np.ndarray:
    """A picture of `img_lmdb` (H, W, 3) uint8 RGB, in its own size; UserError where it is damaged."""
    image = _image(stored_bytes(folder, key))
    if image is None:
        raise UserError(f"{folder / PICTURES}: picture {key[:40]!r} is damaged or too large: copy the folder again")
    return np.array(image)


def _pictures(folder: Path, keys: tuple[str, ...]) -> Generator[np.ndarray, None, None]:
    last = np.zeros((IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    with open_pictures(folder) as transaction:
        for key in keys:
            picture = _decode(transaction.get(_stored(key)))
            last = last if picture is None else picture
            yield last


def inside(folder: Path, name: str) -> Path | None:
    """The path of a file or folder of the driver's, None where it is not there; UserError where it lies elsewhere."""
    path = folder / name
    if not path.exists() and not path.is_symlink():
        return None
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:  # a link to nothing, or to itself
        raise UserError(f"{path} is a link that leads nowhere: copy the file itself into the folder") from error
    if not real.is_relative_to(folder.resolve()):
        raise UserError(f"{path} is a link out of the folder, which is not followed: copy the file itself into it")
    if not (real.is_dir() if name == PICTURES else real.is_file()):
        raise UserError(f"{path} is no {'folder' if name == PICTURES else 'file'}: copy the tracked folder again")
    return path


def _check_key(path: Path, key: Any) -> None:
    if type(key) is not str or _NUMBER.search(key) is None:
        shown = repr(key[:40]) if type(key) is str else "that is no text"
        raise UserError(
            f"{path}: frame key {shown} does not end in an underscore and a number, as in 'obama_17': "
            f"track the driver again"
        )


def _value(path: Path, key: str, record: Any, name: str) -> np.ndarray:
    """One value of one frame, float32."""
    where = f"{path}: frame {key[:40]!r}"
    if type(record) is not dict:
        raise UserError(f"{where} is a {type(record).__name__}, expected a record: track the driver again")
    if name == "bbox" and name not in record:  # nothing is computed from it
        return np.array([0, 0, 1, 1], np.float32)
    if name not in record:
        raise UserError(f"{where} lacks {name}: track the driver again")
    value, shape = record[name], PARAMETERS.get(name, (4,))
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu" or value.shape != shape:
        got = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
        raise UserError(f"{where}: {name} is {got}, expected numbers of shape {shape}: track the driver again")
    with np.errstate(over="ignore"):
        value = value.astype(np.float32)
    if not np.isfinite(value).all():
        raise UserError(f"{where}: {name} holds values that are not finite: track the driver again")
    return value


@contextmanager
def open_pictures(folder: Path, name: str = PICTURES, buffers: bool = False) -> Iterator[lmdb.Transaction]:
    """Read from the pictures' database in a folder; nothing is written, no lock taken. UserError where it is damaged.

    `buffers`: views of it in place of bytes.
    """
    path = folder / name
    advice = f"copy it again, or, where parameters are there, take {name} out of the folder"
    data = path / _DATA
    if not data.is_file() or not data.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{path} holds no {_DATA} of its own: {advice}")
    try:
        environment = lmdb.open(str(path), readonly=True, lock=False, create=False, readahead=False, max_dbs=0)
    except lmdb.Error as error:
        if "already open in this process" in str(error):  # py-lmdb has no class of its own for it
            raise UserError(
                f"{path} is open in this process already: close what reads it, an LMDBEngine or the pictures of a "
                f"driver, before it is opened again"
            ) from error
        raise UserError(f"{path} cannot be read ({_one_line(error)}): {advice}") from error
    with environment:
        # LMDB maps the file into memory: reading behind the end of a cut-off copy would kill the process.
        used = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
        if used > data.stat().st_size:
            raise UserError(f"{path} is cut off, {data.stat().st_size} of {used} bytes are there: {advice}")
        try:
            with environment.begin(buffers=buffers) as transaction:  # type: ignore[call-overload]  # True or False, not bool
                yield transaction
        except lmdb.Error as error:
            raise UserError(f"{path} is damaged ({_one_line(error)}): {advice}") from error


def _stored(key: str) -> bytes:
    return key.encode("utf-8", "replace")[:511]  # LMDB's longest key


def _decode(value: bytes | memoryview | None) -> np.ndarray | None:
    """A stored picture as (512, 512, 3) uint8, None where it is none; upstream's torch buffers are not looked into."""
    image = _image(value)
    if image is None:
        return None
    if image.size != (IMAGE_SIZE, IMAGE_SIZE):
        image = image.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.LANCZOS)
    return np.array(image)


def _image(value: bytes | memoryview | None, max_side: int = 8192) -> Image.Image | None:
    """A stored picture, None where it is none or has more than `max_side` pixels a side; upstream's have 512."""
    if not value:
        return None
    try:
        with Image.open(io.BytesIO(value), formats=("JPEG", "PNG")) as image:
            return None if max(image.size) > max_side else image.convert("RGB")
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError):
        return None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
