"""Frames of a video that show the picture before again, found in the face's own pixels."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class RepeatFinderSettings:
    """Of `RepeatFinder`.

    Attributes:
        same: mean absolute difference in grey levels up to which two pictures of a face are one, coded twice: dropped
            frames, coded well, lie up to .12 apart, a person who keeps still by .2 and more. Development clips.
        rows: of a face's pixels, beyond which some are left out. parts: in which they are compared one after the other.
    """

    same: float = 0.1
    rows: int = 128
    parts: int = 8


class RepeatFinder:
    """Looks at the frames of a video one after the other."""

    def __init__(self, settings: RepeatFinderSettings = RepeatFinderSettings()) -> None:
        self._settings = settings
        self._last: np.ndarray | None = None
        self._found: list[bool] = []

    def see(self, image: np.ndarray, box: np.ndarray | None) -> bool:
        """The next frame (H, W, 3) uint8, with the face's box (4,); None without a face, which is never a repeat."""
        last, self._last = self._last, image
        same = box is not None and last is not None and last.shape == image.shape and self._are_same(last, image, box)
        self._found.append(same)
        return same

    def repeated(self) -> np.ndarray | None:
        """(T,) bool, which of all frames seen repeat the one before; None where none does."""
        return np.array(self._found) if any(self._found) else None

    def _are_same(self, last: np.ndarray, image: np.ndarray, box: np.ndarray) -> bool:
        height, width = image.shape[:2]
        x0, y0 = (int(np.clip(np.floor(v), 0, most - 1)) for v, most in zip(box[:2], (width, height), strict=True))
        x1, y1 = (int(np.clip(np.ceil(v) + 1, 1, most)) for v, most in zip(box[2:], (width, height), strict=True))
        s = self._settings
        step = max(1, (y1 - y0) // s.rows)
        now, before = (picture[y0:y1:step, x0:x1] for picture in (image, last))
        total, most = 0.0, s.same * now.size
        for first in range(s.parts):  # of most frames the first one says it
            some = (np.ascontiguousarray(picture[first :: s.parts]) for picture in (now, before))
            total += cv2.norm(*some, cv2.NORM_L1)
            if total > most:
                return False
        return bool(now.size)
