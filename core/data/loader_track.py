"""A driver from wherever it comes: what was tracked, and its pictures where it has any."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from core.data.image import read_image
from core.data.records import TRACK_FILE, TrackedSequence
from core.data.video import VideoReader
from core.errors import UserError

_UPSTREAM_FILES = ("img_lmdb", "smoothed.pkl", "optim.pkl")


@dataclass(frozen=True)
class DriverData:
    """A tracked video, picture or folder.

    Attributes:
        path: where it comes from.
        kind: what is there.
        track: its parameters.
    """

    path: Path
    kind: Literal["video", "image", "folder"]
    track: TrackedSequence

    @classmethod
    def from_folder(cls, folder: Path) -> DriverData:
        """A folder that the tracker saved; UserError where it is none."""
        if not (folder / TRACK_FILE).is_file():
            if any((folder / name).exists() for name in _UPSTREAM_FILES):
                raise UserError(
                    f"{folder} is a folder of GAGAvatar_track, which this version cannot read: give the video itself"
                )
            raise UserError(f"{folder} is no tracked driver: it holds no {TRACK_FILE}; give a video")
        track = TrackedSequence.load(folder)
        if not len(track):
            raise UserError(f"{folder} holds no frame: track the driver again")
        return cls(folder, "folder", track)

    @property
    def audio(self) -> Path | None:
        """The file whose sound belongs to this driver."""
        return self.path if self.kind == "video" else None

    def pictures(self, crop: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Iterator[np.ndarray] | None:
        """The pictures, one for each tracked frame and decoded as they are asked for; None where there are none.

        Args:
            crop: cuts what is shown out of a picture (H, W, 3), given x, y and side (3,).
        """
        if self.kind == "folder":
            return None
        return self._decode(crop)

    def _decode(self, crop: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Iterator[np.ndarray]:
        if self.kind == "image":
            images = iter([read_image(self.path)])
        else:
            images = (frame.image for frame in VideoReader(self.path))
        for image, square in zip(images, self.track.crops, strict=False):
            yield crop(image, square)
