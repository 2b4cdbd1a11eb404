"""What stands behind the person, frame by frame."""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np

from core.background import Background
from core.components import Components
from core.data.image import read_image
from core.data.records import TrackedSource


class Backdrop(Protocol):
    """Pictures behind the person, as large as the frames."""

    def at(self, index: int) -> np.ndarray:
        """(H, W, 3) float32 RGB in 0..1 behind frame `index`; it may be read until the next call, not written to."""
        ...


class StillBackdrop:
    """One picture behind all frames: (H, W, 3) uint8 RGB."""

    def __init__(self, picture: np.ndarray) -> None:
        self._picture = np.ascontiguousarray(picture, np.float32) / 255

    def at(self, index: int) -> np.ndarray:
        return self._picture


class PlainBackdrop:
    """A colour, RGB in 0..1, behind all frames of a size (width, height)."""

    def __init__(self, color: tuple[float, float, float], size: tuple[int, int]) -> None:
        self._picture = np.empty((size[1], size[0], 3), np.float32)
        self._picture[...] = color

    def at(self, index: int) -> np.ndarray:
        return self._picture


def cover(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture (h, w, 3) uint8 as (H, W, 3) of a size (W, H): scaled until it covers that, its middle cut out."""
    height, width = picture.shape[:2]
    if (width, height) == size:
        return picture
    factor = max(size[0] / width, size[1] / height)
    scaled = max(size[0], round(width * factor)), max(size[1], round(height * factor))
    shrinks = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    picture = cv2.resize(picture, scaled, interpolation=shrinks)
    left, top = (scaled[0] - size[0]) // 2, (scaled[1] - size[1]) // 2
    return np.ascontiguousarray(picture[top : top + size[1], left : left + size[0]])


def still_backdrop(background: Background, components: Components, source: TrackedSource) -> Backdrop | None:
    """What a person is put over that stays the same; None where the avatar draws on it already."""
    model = components.model
    if not hasattr(model, "draw_foreground") or background.color == tuple(model.background.tolist()):
        return None
    size = (source.size,) * 2
    if background.color is not None:
        return PlainBackdrop(background.color, size)
    if background.kind == "photo":
        return StillBackdrop(source.middle(components.plate(source.image, source.matte, source.inside)))
    assert background.path is not None  # `find_background` has seen it
    return StillBackdrop(cover(read_image(background.path), size))
