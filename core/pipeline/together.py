"""Several people of one photo, each moved in the whole photo on their own, in one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TogetherSettings:
    """Of `together`.

    Attributes:
        sure: grey levels by which a pixel has to differ from the photo to be all the nearer person's. By eye: far above
            what fades and rounding change, far below an outline that has moved.
    """

    sure: float = 24.0


_SETTINGS = TogetherSettings()


def together(photo: np.ndarray, pictures: Sequence[np.ndarray], settings: TogetherSettings = _SETTINGS) -> np.ndarray:
    """The photo with all people moved, of pictures in each of which one of them has moved and the rest is the photo.

    Where two have changed a pixel, the nearer one's picture shows, and what hardly differs from the photo is added to
    the other's change. Where one alone has, it is that picture to the bit.

    Args:
        photo: (H, W, 3) uint8. pictures: the same, who is farther back first.
    """
    out = photo
    still = photo.astype(np.int16)
    for picture in pictures:
        change = picture.astype(np.int16) - still
        moved = change.any(2)
        both = moved & (out != photo).any(2)
        before, out = out, np.where(moved[..., None], picture, out)
        if both.any():
            part = change[both].astype(np.float32)
            weight = np.clip(np.abs(part).max(1, keepdims=True) / settings.sure, 0, 1)
            mixed = weight * picture[both] + (1 - weight) * (before[both] + part)
            out[both] = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    return out
