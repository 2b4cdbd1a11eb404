"""A driver from wherever it comes: what was tracked, and its pictures where it has any."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from core.data.image import read_image
from core.data.motion_file import read_motion, sound_beside
from core.data.picture_folder import PictureFolder
from core.data.records import IMAGE_SIZE, TRACK_FILE, TrackedSequence
from core.data.upstream_folder import inside, is_upstream, read_pictures, read_track
from core.data.video import VideoReader
from core.errors import UserError

Crop = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


@dataclass(frozen=True)
class DriverData:
    """A tracked video, picture or folder, or a file of codes.

    Attributes:
        path: where it comes from.
        kind: what is there.
        track: its parameters.
        keys: of the frames' pictures, in a folder that GAGAvatar_track has tracked.
        frames: the folder's pictures, where they are what was tracked. shown: which of them (T,) the frames are of.
    """

    path: Path
    kind: Literal["video", "image", "folder", "motion"]
    track: TrackedSequence
    keys: tuple[str, ...] = ()
    frames: PictureFolder | None = None
    shown: np.ndarray | None = None

    @classmethod
    def from_folder(cls, folder: Path) -> DriverData:
        """A folder that a tracker saved, ours or GAGAvatar_track's; UserError where it is none."""
        if inside(folder, TRACK_FILE) is None:
            if is_upstream(folder):
                return cls(folder, "folder", *read_track(folder))
            raise UserError(
                f"{folder} is no tracked driver: it holds no {TRACK_FILE}, and no pictures either; give a video"
            )
        track = TrackedSequence.load(folder)
        if not len(track):
            raise UserError(f"{folder} holds no frame: track the driver again")
        return cls(folder, "folder", track)

    @classmethod
    def from_motion(cls, path: Path) -> DriverData:
        """A file of FLAME codes; UserError where it is none."""
        return cls(path, "motion", read_motion(path))

    @property
    def audio(self) -> Path | None:
        """The file whose sound belongs to this driver."""
        if self.kind == "motion":
            return sound_beside(self.path)
        return self.path if self.kind == "video" else None

    def pictures(self, crop: Crop, size: int = IMAGE_SIZE) -> Iterator[np.ndarray] | None:
        """The pictures, one for each tracked frame and decoded as they are asked for; None where there are none.

        Args:
            crop: cuts what is shown out of a picture (H, W, 3), given x, y and side (3,) and the size of the result.
                Pictures of GAGAvatar_track are cut already, 512 pixels wide.
            size: pixels of a side of what is shown.
        """
        if self.frames is not None:
            assert self.shown is not None  # they come with the pictures
            assert self.track.crops is not None
            shown = zip(self.shown, self.track.crops, strict=True)
            return (crop(self.frames.read(int(index)), square, size) for index, square in shown)
        if self.kind in ("folder", "motion"):
            return read_pictures(self.path, self.keys) if self.keys else None
        return self._decode(crop, size)

    def _decode(self, crop: Crop, size: int) -> Iterator[np.ndarray]:
        if self.kind == "image":
            images = iter([read_image(self.path)])
        else:
            images = (frame.image for frame in VideoReader(self.path))
        assert self.track.crops is not None  # what was tracked from pictures has them
        for image, square in zip(images, self.track.crops, strict=False):
            yield crop(image, square, size)
