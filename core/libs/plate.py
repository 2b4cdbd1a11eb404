"""The plate of a photo: what stood behind the person, completed where the person was.

Most of it is never seen: a band beside the head is, when that turns or moves away. What the background is made of goes
on there, patch by patch (`patch_match`), and its texture is the photo's own at full size. The colours where both meet,
and between patches from different places, are made to agree by Poisson's equation: in a plain or blurred background,
where every step shows, that leaves its slow gradients and its grain.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from core.libs.numeric import smoothstep
from core.libs.patch_match import complete
from core.libs.poisson import fill_hole

VERSION = "6"  # of all that changes what comes out


@dataclass(frozen=True)
class PlateSettings:
    """How a plate is made. By eye, on portraits of 512 to 1024 pixels.

    Attributes:
        faint: matte from which a pixel is completed in part, and from which it is wholly.
        opaque: matte from which a pixel has the person's own colour.
        near: pixels from which that colour is taken, of a 512-pixel picture.
        beside: pixels beside it that are not either, where hair is too fine for the matte; of a 512-pixel picture.
        sources: how far from the person patches are taken, over the radius of the largest disc that fits into them.
        size: pixels of the longer side of the picture in which patches are looked for.
        steps: grey levels by which patches differ from what the rim makes of it, from which and to which they count.
        reach: how far the photo's colours tell beside the patches', of the longer side.
    """

    faint: tuple[float, float] = (0.02, 0.15)
    opaque: float = 0.95
    near: float = 24.0
    beside: float = 3.0
    sources: float = 0.4
    size: int = 256
    steps: tuple[float, float] = (12.0, 36.0)
    reach: float = 0.05


_DEFAULT = PlateSettings()
_UNIT = 512  # pixels of the picture that lengths are of


def make_plate(
    image: np.ndarray,
    matte: np.ndarray,
    inside: np.ndarray | None = None,
    settings: PlateSettings = _DEFAULT,
    textured: bool = True,
) -> np.ndarray:
    """What stands behind a person.

    Args:
        image: (H, W, 3) uint8 RGB, a whole photo or a crop of it. matte: (H, W) in 0..1, of the person.
        inside: (H, W) bool, where it shows the photo; None: everywhere. What lies beyond is completed too.
        textured: False: by colours alone, as smoothly as can be, which takes a tenth of the time.
    Returns:
        (H, W, 3) uint8. It is the picture where the matte is 0, a band beside the person excepted.
    """
    longer = max(matte.shape)
    reach = max(1, round(settings.beside * longer / _UNIT))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2)
    near = cv2.dilate(matte.astype(np.float32), disc)
    if inside is not None:  # a crop darkens at the photo's very border
        near[cv2.erode(inside.astype(np.uint8), np.ones((7, 7))) == 0] = 1
    hole = near > settings.faint[0]
    if hole.all():
        return image.copy()
    picture = _without_person(image, matte, settings)
    share = smoothstep(near, *settings.faint)[..., None]
    completed = (_patched if textured else _smooth)(picture, hole, settings)
    filled = picture + share * (completed - picture)
    return np.rint(filled).clip(0, 255).astype(np.uint8)


def _without_person(image: np.ndarray, matte: np.ndarray, settings: PlateSettings) -> np.ndarray:
    """The picture (H, W, 3) float32 without the little of the person that is in it where the matte is faint.

    A pixel is matte x person + (1 - matte) x background; the person's colour is that of what is opaque nearby.
    """
    picture, opaque = image.astype(np.float32), (matte > settings.opaque).astype(np.float32)
    size = (2 * max(1, round(settings.near * max(matte.shape) / _UNIT)) + 1,) * 2
    share = cv2.blur(opaque, size)
    person = cv2.blur(picture * opaque[..., None], size) / np.maximum(share, 1e-6)[..., None]
    part = np.where(share > 0, np.clip(matte, 0, settings.opaque), 0).astype(np.float32)[..., None]
    return np.where(part > 0, (picture - part * person) / (1 - part), picture).clip(0, 255)


def _shrunk(picture: np.ndarray, hole: np.ndarray, settings: PlateSettings) -> tuple[np.ndarray, np.ndarray]:
    """A small picture (h, w, 3) float32 of what is known, and how much of each of its pixels is (h, w), 0 to 1."""
    height, width = hole.shape
    factor = min(1.0, settings.size / max(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    known = (~hole).astype(np.float32)
    share = cv2.resize(known, size, interpolation=cv2.INTER_AREA)
    small = cv2.resize(picture * known[..., None], size, interpolation=cv2.INTER_AREA)
    return small / np.maximum(share, 1e-6)[..., None], share


def _smooth(picture: np.ndarray, hole: np.ndarray, settings: PlateSettings) -> np.ndarray:
    """The picture (H, W, 3) float32 with colours in its hole that go on from its rim as smoothly as can be."""
    small, share = _shrunk(picture, hole, settings)
    colors = cv2.resize(fill_hole(small, share < 0.5), hole.shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.where(hole[..., None], colors, picture)


def _patched(picture: np.ndarray, hole: np.ndarray, settings: PlateSettings) -> np.ndarray:
    """The picture (H, W, 3) float32 with its hole filled from the rest of it."""
    height, width = hole.shape
    small, share = _shrunk(picture, hole, settings)
    hole_there = (share < 0.5).astype(np.uint8)
    # A background goes on as it is beside the person: not as a hand at the photo's border
    around = settings.sources * cv2.distanceTransform(hole_there, cv2.DIST_L2, 5).max()
    beside = cv2.distanceTransform(1 - hole_there, cv2.DIST_L2, 5) < around
    usable = share > 1 - 1e-3
    found = complete(small, hole_there > 0, usable & beside if (usable & beside).any() else usable)
    if found is None:
        return fill_hole(picture, hole)
    colors, field = found
    smooth = fill_hole(small, share < 0.5)
    # In a slow gradient patches make steps, where the rim alone says what there is
    away = np.abs(colors - smooth).max(2, keepdims=True)
    colors = smooth + (colors - smooth) * smoothstep(away, *settings.steps)
    rows, columns = _taken_from(field, hole)
    right, below = np.zeros_like(picture), np.zeros_like(picture)
    right[:, :-1], below[:-1] = np.diff(picture, axis=1), np.diff(picture, axis=0)
    colors = cv2.resize(colors, (width, height), interpolation=cv2.INTER_CUBIC)
    reach = settings.reach * max(height, width)
    return fill_hole(picture, hole, (right[rows, columns], below[rows, columns]), colors, reach)


def _taken_from(field: np.ndarray, hole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows and columns (H, W) that a picture's pixels are taken from, by the field (h, w, 2) of a smaller one."""
    height, width = hole.shape
    down, along = field.shape[0] / height, field.shape[1] / width
    y, x = np.mgrid[:height, :width]
    near_y = np.minimum((y + 0.5) * down, len(field) - 1).astype(int)
    near_x = np.minimum((x + 0.5) * along, field.shape[1] - 1).astype(int)
    away_y, away_x = field[near_y, near_x, 0] - near_y, field[near_y, near_x, 1] - near_x
    rows = np.where(hole, np.rint(y + away_y / down), y).clip(0, height - 2).astype(int)
    columns = np.where(hole, np.rint(x + away_x / along), x).clip(0, width - 2).astype(int)
    return rows, columns
