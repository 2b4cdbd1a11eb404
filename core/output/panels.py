"""Pictures beside one another, in places of a size that is not theirs, or at one height."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

WIDEST = 4096  # pixels of a row of pictures: H.264 decoders of telephones and browsers end there


def fits(width: int, height: int) -> tuple[int, int]:
    """A size of pictures side by side, reduced where players would not take it."""
    factor = min(1.0, WIDEST / width)
    return round(width * factor), round(height * factor)


def scaled(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture (H, W, 3) uint8 with a size (width, height)."""
    if picture.shape[1::-1] == size:
        return picture
    shrinks = picture.shape[1] > size[0] or picture.shape[0] > size[1]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def side_by_side(pictures: Sequence[np.ndarray], height: int | None = None) -> np.ndarray:
    """Pictures (H, W, 3 or 4) uint8 in a row; where one has an alpha channel, the others are opaque.

    `height`: that all are shown with, in widths that `panel_widths` says; without it they are of one height already.
    """
    if height is not None:
        pictures = [at_height(picture, height) for picture in pictures]
    if any(picture.shape[2] == 4 for picture in pictures):
        opaque = [np.full((*picture.shape[:2], 1), 255, np.uint8) for picture in pictures]
        pictures = [np.dstack([p, a]) if p.shape[2] == 3 else p for p, a in zip(pictures, opaque, strict=True)]
    return np.concatenate(pictures, axis=1)


def fitted(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture (H, W, 3) uint8 as large as it can be in the middle of a size (width, height), on black."""
    height, width = picture.shape[:2]
    factor = min(size[0] / width, size[1] / height)
    inner = scaled(picture, (max(round(width * factor), 1), max(round(height * factor), 1)))
    if inner.shape[1::-1] == size:
        return inner
    out = np.zeros((size[1], size[0], 3), np.uint8)
    top, left = (size[1] - inner.shape[0]) // 2, (size[0] - inner.shape[1]) // 2
    out[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return out


def panel_widths(sizes: Sequence[tuple[int, int]], height: int) -> list[int]:
    """The widths of pictures (width, height) that are shown at one height, each an even number of pixels.

    A picture that has the height and an odd width gets one more column.
    """
    return [width + width % 2 if own == height else max(2, 2 * round(width * height / own / 2)) for width, own in sizes]


def at_height(picture: np.ndarray, height: int) -> np.ndarray:
    """A picture (H, W, C) uint8 at another height, with its proportions and an even width.

    One that has the height already is left as it is, an odd width apart, of which the last column comes twice.
    """
    own, width = picture.shape[:2]
    wanted = panel_widths([(width, own)], height)[0]
    if own == height:
        return picture if wanted == width else np.concatenate([picture, picture[:, -1:]], 1)
    return scaled(picture, (wanted, height))
