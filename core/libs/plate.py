"""The plate of a photo: what stood behind the person, completed where the person was."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from core.libs.poisson import fill_hole

VERSION = "1"  # of all that changes what comes out


@dataclass(frozen=True)
class PlateSettings:
    """How a plate is made. By eye, on portraits of 512 to 1024 pixels.

    Attributes:
        faint: matte from which a pixel is not sure to be background.
        beside: pixels beside it that are not either, where hair is too fine for the matte; of a 512-pixel picture.
    """

    faint: float = 0.02
    beside: float = 5.0


_DEFAULT = PlateSettings()
_UNIT = 512  # pixels of the picture that lengths are of


def make_plate(
    image: np.ndarray, matte: np.ndarray, inside: np.ndarray | None = None, settings: PlateSettings = _DEFAULT
) -> np.ndarray:
    """What stands behind a person.

    Args:
        image: (H, W, 3) uint8 RGB, a whole photo or a crop of it. matte: (H, W) in 0..1, of the person.
        inside: (H, W) bool, where it shows the photo; None: everywhere. What lies beyond is completed too.
    Returns:
        (H, W, 3) uint8. It is the picture where the matte is 0, a band beside the person excepted.
    """
    height, width = matte.shape
    reach = max(1, round(settings.beside * max(height, width) / _UNIT))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2)
    hole = cv2.dilate((matte > settings.faint).astype(np.uint8), disc) > 0
    if inside is not None:
        hole |= ~inside
    filled = fill_hole(image.astype(np.float32), hole)
    return np.where(hole[..., None], np.rint(filled).clip(0, 255), image).astype(np.uint8)
