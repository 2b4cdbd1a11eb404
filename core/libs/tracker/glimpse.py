"""What the second look at a clip needs of its pictures, kept by the first: most clips are decoded once only.

Of a frame these are its grey levels, as small as they are compared, and the lips in colour; every few frames the whole
face, for the colour of the skin. Both looks take them from the same functions, so that it makes no difference to what
comes out whether a clip was kept or is decoded again.
"""

from __future__ import annotations

import math
import tempfile
from array import array
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from core.libs.flame_model.topology import OUTER_LIPS
from core.libs.tracker.crop import compared_crop, crop_around, crop_part, face_box, halved, halvings
from core.libs.tracker.mouth_ring import face_size
from core.libs.tracker.settings import CropSettings, GlimpseSettings

_SETTINGS, _CROP = GlimpseSettings(), CropSettings()


@dataclass(frozen=True)
class Glimpse:
    """A frame as the second look sees it.

    Attributes:
        grey: (h, w) uint8, the picture's grey levels, each pixel `reduced` of the picture's wide.
        colours: (h, w, 3) uint8 RGB, a part of the picture. corner: x and y of where it begins.
        size: width and height of the picture.
    """

    grey: np.ndarray
    reduced: int
    colours: np.ndarray
    corner: tuple[int, int]
    size: tuple[int, int]

    @classmethod
    def of_picture(cls, image: np.ndarray) -> Glimpse:
        """All of a picture (H, W, 3) uint8 RGB."""
        return cls(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), 1, image, (0, 0), (image.shape[1], image.shape[0]))

    def compared(self, crop: np.ndarray, size: int) -> np.ndarray:
        """The crop (x, y, side) of the picture as grey levels (size, size) uint8; see `compared_crop`."""
        return compared_crop(self.grey, crop / self.reduced, size)

    def part(self, crop: np.ndarray, part: np.ndarray, size: int) -> np.ndarray | None:
        """A rectangle of the crop in colour; see `crop_part`. None where not all of it was kept."""
        scale, begin = float(crop[2]) / size, np.array(self.corner)
        low, high, end = crop[:2] + part[:2] * scale, crop[:2] + part[2:] * scale, begin + self.colours.shape[1::-1]
        beside = 3 * max(scale, 1.0)  # what is interpolated from
        if ((begin > 0) & (low - beside < begin)).any() or ((end < self.size) & (high + beside > end)).any():
            return None
        return crop_part(self.colours, crop - [*self.corner, 0], part, size)


class GlimpseBuffer:
    """The glimpses of a clip's frames, in a temporary file that goes when this is closed, as far as it has room.

    Args:
        size: pixels of a side of the crops that are compared. every: frames after which the whole face is kept.
        crop: of the crops around faces. settings: how much is kept.

    Attributes:
        is_whole: whether all frames so far are in it.
    """

    def __init__(
        self, size: int, every: int, crop: CropSettings = _CROP, settings: GlimpseSettings = _SETTINGS
    ) -> None:
        self._size, self._every, self._crop, self._settings = size, every, crop, settings
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 closed by close()
        self._places = array("i")  # seven numbers a frame: height and width, x and y, height and width and channels
        self._picture, self._halvings = (0, 0), -1  # size, and of the grey levels; not known before there is a face
        self._end, self._begins, self.is_whole = 0, True, True

    def close(self) -> None:
        """Give the disk's room back."""
        self._file.close()

    def keep(self, image: np.ndarray, points: np.ndarray | None, is_cut: bool) -> None:
        """The next frame (H, W, 3) uint8 RGB with its points (478, 2..3); None where it has none and is not looked at.

        `is_cut`: whether another shot begins with it.
        """
        if not self.is_whole:
            return
        index, self._begins = len(self._places) // 7, self._begins or is_cut
        if points is None:
            self._places.extend([0] * 7)
            return
        box = face_box(points)
        if self._halvings < 0:
            self._halvings = halvings(self._settings.finer * crop_around(box, self._crop)[2], self._size)
            self._picture = image.shape[1], image.shape[0]
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        for _ in range(self._halvings):
            grey = halved(grey)
        x0, y0, x1, y1 = self._kept_part(image, points, box, self._begins or index % self._every == 0)
        self._begins = False
        colours = np.ascontiguousarray(image[y0:y1, x0:x1])
        self._places.extend([*grey.shape, x0, y0, *colours.shape])
        self._end += grey.size + colours.size
        self.is_whole = self._end <= self._settings.most and self._write(grey) and self._write(colours)
        if not self.is_whole:
            self._file.truncate(0)
            self._places = array("i")

    def suits(self, crops: np.ndarray) -> bool:
        """Whether a second look that shows these crops (T, 3) finds here what it needs."""
        return self.is_whole and self._halvings <= halvings(float(crops[:, 2].min()), self._size)

    def __iter__(self) -> Iterator[Glimpse | None]:
        """Frame after frame; None of those without points."""
        self._file.seek(0)
        for first in range(0, len(self._places), 7):
            height, width, x0, y0, *coloured = self._places[first : first + 7]
            if not height:
                yield None
                continue
            grey, colours = (
                np.frombuffer(self._file.read(math.prod(one)), np.uint8).reshape(one)
                for one in ((height, width), coloured)
            )
            yield Glimpse(grey, 1 << self._halvings, colours, (x0, y0), self._picture)

    def _write(self, values: np.ndarray) -> bool:
        """Whether the disk had room for it."""
        try:
            return self._file.write(values.data) == values.nbytes
        except OSError:
            return False

    def _kept_part(self, image: np.ndarray, points: np.ndarray, box: np.ndarray, whole: bool) -> tuple[int, ...]:
        """x0, y0, x1, y1 of what is kept in colour; it begins where pixels that are halved together do."""
        reach = self._settings.around * face_size(points)
        if not whole:
            lips = points[list(OUTER_LIPS), :2]
            box = np.concatenate([lips.min(0), lips.max(0)])
        most = np.array(image.shape[1::-1])
        x0, y0 = (np.clip((box[:2] - reach) // 8, 0, most // 8) * 8).astype(int)
        x1, y1 = np.clip(box[2:] + reach, (x0, y0), most).astype(int)
        return x0, y0, x1, y1
