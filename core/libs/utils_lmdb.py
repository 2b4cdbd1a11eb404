"""Upstream's way to read a database of pictures by key, here for reading alone and as data alone."""

from __future__ import annotations

import io
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, NoReturn, Self

import numpy as np
import torch
from PIL import Image

from core.data.upstream_folder import open_pictures
from core.errors import UserError


class LMDBEngine:
    """An `img_lmdb` of GAGAvatar_track: `engine["obama_17"]` is a picture, (3, H, W) uint8 RGB, of its own size.

    What is stored comes from elsewhere: pictures are decoded as JPEG or PNG and as nothing else, torch's own buffers
    are read with `weights_only`. A context manager; `close` ends it too. Open one in each process.

    Args:
        lmdb_path: the folder with `data.mdb`.
        write: upstream's; only False is possible here.

    Raises:
        UserError: `write`, or a database that is damaged, cut off or not there.
    """

    def __init__(self, lmdb_path: str | Path, write: bool = False) -> None:
        if write:
            self._refuse()
        path = Path(lmdb_path)
        self._path = path
        self._open = ExitStack()
        self._transaction = self._open.enter_context(open_pictures(path.parent, path.name))

    def __getitem__(self, key_name: str) -> torch.Tensor | dict[str, Any]:
        """A stored picture, or what torch has stored; KeyError where there is nothing of that name."""
        payload = self._payload(key_name)
        picture = _picture(payload)
        return self._buffer(key_name, payload) if picture is None else picture

    def load(self, key_name: str, type: Literal["image", "torch"] = "image") -> torch.Tensor | dict[str, Any]:
        """As `engine[key_name]`, where what is stored is of that kind; UserError where it is of another."""
        payload = self._payload(key_name)
        if type == "torch":
            return self._buffer(key_name, payload)
        if type != "image":
            raise ValueError(f"type must be 'image' or 'torch', got {type!r}")
        picture = _picture(payload)
        if picture is None:
            raise UserError(f"{self._path}: {key_name!r} holds no JPEG or PNG picture: copy the folder again")
        return picture

    def exists(self, key_name: str) -> bool:
        """Whether something of that name is stored."""
        return bool(self.raw_load(key_name))

    def raw_load(self, key_name: str) -> bytes | None:
        """The stored bytes, None where there are none."""
        stored = self._transaction.get(key_name.encode("utf-8", "replace")[:511])  # LMDB's longest key
        return None if stored is None else bytes(stored)

    def keys(self) -> list[str]:
        """The names of all that is stored, in the order of their bytes."""
        return [bytes(key).decode("utf-8", "replace") for key in self._transaction.cursor().iternext(values=False)]

    def dump(self, *_: Any, **__: Any) -> NoReturn:
        """Upstream's way to write; UserError here."""
        self._refuse()

    raw_dump = delete = dump

    def close(self) -> None:
        """Let go of the database. Nothing can be read afterwards."""
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _payload(self, key_name: str) -> bytes:
        payload = self.raw_load(key_name)
        if not payload:
            raise KeyError(f"{self._path} holds nothing named {key_name!r}")
        return payload

    def _buffer(self, key_name: str, payload: bytes) -> torch.Tensor | dict[str, Any]:
        try:
            return torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
        except Exception as error:  # of zip, pickle or torch, each its own
            raise UserError(
                f"{self._path}: {key_name!r} is neither a JPEG or PNG picture nor a tensor "
                f"({type(error).__name__}): copy the folder again"
            ) from error

    @staticmethod
    def _refuse() -> NoReturn:
        raise UserError("LMDBEngine only reads: track with GAGAvatar_track to write an img_lmdb")


def _picture(payload: bytes) -> torch.Tensor | None:
    """(3, H, W) uint8 of a JPEG or PNG, None where it is none."""
    try:
        with Image.open(io.BytesIO(payload), formats=("JPEG", "PNG")) as image:
            if max(image.size) > 8192:  # upstream's are 512 pixels wide
                return None
            return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).contiguous()
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError):
        return None
