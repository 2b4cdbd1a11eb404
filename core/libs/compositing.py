"""A cut-out person over what is behind it."""

from __future__ import annotations

import cv2
import numba
import numpy as np


@numba.njit(cache=True, parallel=True, nogil=True, fastmath=True)
def over(
    person: np.ndarray,  # (H, W, 4) straight RGB and matte, in 0..1
    backdrop: np.ndarray,  # (H, W, 3) in 0..1
    out: np.ndarray,  # (H, W, 3)
) -> None:
    """A person over a backdrop, of which nothing changes where the matte is 0 (Porter and Duff 1984)."""
    one = np.float32(1)
    height, width = person.shape[:2]
    for y in numba.prange(height):
        for x in range(width):
            matte = person[y, x, 3]
            for k in range(3):
                out[y, x, k] = person[y, x, k] * matte + backdrop[y, x, k] * (one - matte)


@numba.njit(cache=True, parallel=True, nogil=True, fastmath=True)
def improve_person(
    person: np.ndarray,  # (H, W, 4) straight RGB and matte, in 0..1
    backdrop: np.ndarray,  # (H, W, 3) in 0..1
    out: np.ndarray,  # (H, W, 3) the one over the other, improved; as far as the matte goes on return
) -> None:
    """Keep an improved picture on the person only: base + matte * (improved - base), the base being that of `over`.

    It is worked out again: to keep a copy of it takes longer.
    """
    one = np.float32(1)
    height, width = person.shape[:2]
    for y in numba.prange(height):
        for x in range(width):
            matte = person[y, x, 3]
            for k in range(3):
                base = person[y, x, k] * matte + backdrop[y, x, k] * (one - matte)
                out[y, x, k] = base + matte * (out[y, x, k] - base)


@numba.njit(cache=True, nogil=True)
def to_bytes(
    values: np.ndarray,  # (H, W, C) in 0..1
    out: np.ndarray,  # (H, W, C) uint8
) -> None:
    """In 255 steps, rounded to even; what is beyond them is cut off."""
    flat, bytes_ = values.reshape(-1), out.reshape(-1)
    for k in range(len(flat)):
        bytes_[k] = np.uint8(np.int32(np.rint(min(max(flat[k], np.float32(0)) * np.float32(255), np.float32(255)))))


def spread_colors(person: np.ndarray, reach: int = 8) -> np.ndarray:
    """A person (H, W, 4), its colours spread over so many pixels where the matte is 0."""
    colors, matte = person[..., :3], person[..., 3]
    size = (2 * reach + 1,) * 2
    share = cv2.blur(matte, size)
    spread = cv2.blur(colors * matte[..., None], size) / np.maximum(share, 1e-4)[..., None]
    return np.dstack([np.where(matte[..., None] > 0, colors, spread), matte])


def warm_up() -> None:
    """Compile the kernels, or load them from the cache on disk."""
    person, picture = np.zeros((1, 1, 4), np.float32), np.zeros((1, 1, 3), np.float32)
    over(person, picture, picture.copy())
    improve_person(person, picture, picture.copy())
