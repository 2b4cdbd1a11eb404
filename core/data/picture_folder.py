"""A folder of pictures as a driver that is yet to be tracked: numbered files, or the pictures of GAGAvatar_track.

Which of them are clips and which are stills is said by their names, see `core.data.frame_keys`. Nothing is decoded
before it is asked for, one picture at a time, and no link in the folder is followed out of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Self

import numpy as np

from core.data.frame_keys import in_order
from core.data.image import read_image
from core.data.records import frames_of_shots, mostly_stills
from core.data.upstream_folder import FPS, PICTURES, inside, read_stored, stored_bytes, stored_keys
from core.data.video import VideoFrame
from core.errors import UserError

ENDINGS = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class PictureFolder:
    """The pictures of a folder, in their order.

    Attributes:
        path: the folder.
        keys: of the pictures: names of files, or keys of `img_lmdb`.
        shots: (T,) the number of each one's shot, from 0.
        stored: whether they lie in `img_lmdb`.
    """

    path: Path
    keys: tuple[str, ...]
    shots: np.ndarray
    stored: bool

    @classmethod
    def find(cls, folder: Path, among: tuple[str, ...] | None = None) -> Self | None:
        """The pictures in a folder, those in `img_lmdb` before files; None where there are none.

        Args:
            folder: where to look.
            among: in `img_lmdb`, the only keys that count.
        Raises:
            UserError: `img_lmdb` is damaged or holds no picture, or something is a link out of the folder.
        """
        if inside(folder, PICTURES) is not None:
            keys = stored_keys(folder)
            if among is not None:
                wanted = frozenset(among)
                keys = [key for key in keys if key in wanted]
            elif not keys:
                raise UserError(f"{folder / PICTURES} holds no JPEG or PNG picture: copy it again, or give a video")
            return cls(folder, *in_order(keys), stored=True) if keys else None
        try:
            names = [p.name for p in folder.iterdir() if p.suffix.lower() in ENDINGS and not p.name.startswith(".")]
        except OSError as error:
            raise UserError(f"{folder} cannot be read ({error.strerror}): check its permissions") from error
        stems = {Path(name).stem: name for name in names}
        if len(stems) < len(names):
            twice = next(name for name in sorted(names) if stems[Path(name).stem] != name)
            raise UserError(f"{folder} holds {twice} and {stems[Path(twice).stem]}: leave one of the two")
        order, shots = in_order(stems)
        return cls(folder, tuple(stems[stem] for stem in order), shots, stored=False) if names else None

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def stills(self) -> bool:
        """Whether this is a collection of pictures rather than a clip."""
        return mostly_stills(self.shots)

    @property
    def shot_frames(self) -> list[np.ndarray]:
        """The frames (N,) of every shot, by their indices."""
        return frames_of_shots(self.shots)

    def data(self, index: int) -> bytes:
        """The bytes of a picture, as they are stored."""
        if self.stored:
            return stored_bytes(self.path, self.keys[index])
        path = self._file(index)
        try:
            return path.read_bytes()
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror}): check its name and permissions") from error

    def read(self, index: int) -> np.ndarray:
        """A picture (H, W, 3) uint8 RGB; UserError where it is none, or a damaged one."""
        return read_stored(self.path, self.keys[index]) if self.stored else read_image(self._file(index))

    def name(self, index: int) -> str:
        """What a picture is called in messages."""
        return f"{self.path / PICTURES}: {self.keys[index]}" if self.stored else str(self.path / self.keys[index])

    def _file(self, index: int) -> Path:
        return inside(self.path, self.keys[index]) or self.path / self.keys[index]


class FrameReader:
    """The frames of a clip in a folder of pictures, as `core.data.video.VideoReader` has those of a file.

    Attributes:
        fps: 25; folders say no rate.
        frame_estimate: their number. lost: always 0, as what cannot be read is an error.
    """

    def __init__(self, folder: PictureFolder, frames: np.ndarray) -> None:
        self._folder, self._frames = folder, frames
        self.fps, self.frame_estimate, self.lost = Fraction(FPS), len(frames), 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __iter__(self) -> Iterator[VideoFrame]:
        first: tuple[int, ...] | None = None
        for index, frame in enumerate(self._frames):
            image = self._folder.read(int(frame))
            first = first or image.shape
            if image.shape != first:
                raise UserError(
                    f"{self._folder.name(int(frame))} is {_size(image.shape)}, the frame that it follows by its name "
                    f"{_size(first)}: scale a clip's frames to one size, and name pictures of their own differently"
                )
            yield VideoFrame(index, index / self.fps, image)

    def at(self, indices: Collection[int]) -> Iterator[VideoFrame]:
        """The frames of these indices alone, in their order."""
        for index in sorted(indices):
            yield VideoFrame(index, index / self.fps, self._folder.read(int(self._frames[index])))


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"
