"""Several people of one photo, each moved in the whole photo on their own, in one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba
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


def together(
    photo: np.ndarray,
    pictures: Sequence[np.ndarray],
    parts: Sequence[tuple[slice, slice]] | None = None,
    settings: TogetherSettings = _SETTINGS,
) -> np.ndarray:
    """The photo with all people moved, of pictures in each of which one of them has moved and the rest is the photo.

    Where two have changed a pixel, the nearer one's picture shows, and what hardly differs from the photo is added to
    the other's change. Where one alone has, it is that picture to the bit.

    Args:
        photo: (H, W, 3) uint8. pictures: the same, who is farther back first.
        parts: rows and columns beyond which each picture is the photo; None: nowhere.
    """
    out = photo.copy()
    for picture, part in zip(pictures, parts or [(slice(None), slice(None))] * len(pictures), strict=True):
        _add(photo[part], picture[part], out[part], np.float32(settings.sure))
    return out


@numba.njit(cache=True, parallel=True)
def _add(
    photo: np.ndarray,  # (H, W, 3) uint8
    picture: np.ndarray,  # (H, W, 3) uint8
    out: np.ndarray,  # (H, W, 3) uint8, changed
    sure: np.float32,
) -> None:
    height, width = photo.shape[:2]
    for y in numba.prange(height):
        for x in range(width):
            change, before = 0, 0
            for k in range(3):
                change = max(change, abs(int(picture[y, x, k]) - int(photo[y, x, k])))
                before = max(before, abs(int(out[y, x, k]) - int(photo[y, x, k])))
            if change == 0:
                continue
            weight = np.float32(1) if before == 0 else min(np.float32(change) / sure, np.float32(1))
            for k in range(3):
                new = np.float32(picture[y, x, k])
                both = np.float32(out[y, x, k]) + new - np.float32(photo[y, x, k])
                mixed = weight * new + (np.float32(1) - weight) * both
                out[y, x, k] = np.uint8(min(max(mixed, np.float32(0)), np.float32(255)) + np.float32(0.5))
