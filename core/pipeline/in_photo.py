"""What is drawn of a person put into the whole photo, where it belongs."""

from __future__ import annotations

import numba
import numpy as np

from core.data.records import TrackedSource
from core.libs.compositing import over
from core.pipeline.backdrop import Backdrop
from core.pipeline.whole import Region


@numba.njit(cache=True, parallel=True, nogil=True)
def put(
    drawn: np.ndarray,  # (h, w, 3) float32 in 0..1
    share: np.ndarray,  # (h, w) in 0..1, how much of a pixel is the drawn one
    photo: np.ndarray,  # (h, w, 3) uint8
    out: np.ndarray,  # (h, w, 3) uint8
) -> None:
    """A drawn picture faded into a photo, of which nothing changes where the share is 0."""
    height, width = share.shape
    for y in numba.prange(height):
        for x in range(width):
            part = share[y, x]
            for k in range(3):
                value = np.float32(photo[y, x, k])
                if part > np.float32(0):
                    new = min(max(drawn[y, x, k], np.float32(0)), np.float32(1)) * np.float32(255)
                    value += part * (new - value)
                out[y, x, k] = np.uint8(value + np.float32(0.5))


@numba.njit(cache=True, parallel=True, nogil=True)
def put_person(
    person: np.ndarray,  # (h, w, 4) float32 in 0..1, straight RGB and matte
    behind: np.ndarray,  # (h, w, 3) float32 in 0..1
    share: np.ndarray,  # (h, w) in 0..1, how much of a pixel is the drawn one
    photo: np.ndarray,  # (h, w, 3) uint8
    out: np.ndarray,  # (h, w, 3) uint8, the photo; changed where the share is not 0
) -> None:
    """A drawn person over what is behind them, and that faded into a photo: `over` and `put` in one."""
    height, width = share.shape
    one = np.float32(1)
    for y in numba.prange(height):
        for x in range(width):
            part, matte = share[y, x], person[y, x, 3]
            if not part > np.float32(0):
                continue
            for k in range(3):
                value = np.float32(photo[y, x, k])
                new = person[y, x, k] * matte + behind[y, x, k] * (one - matte)
                value += part * (min(max(new, np.float32(0)), one) * np.float32(255) - value)
                out[y, x, k] = np.uint8(value + np.float32(0.5))


class WholePhoto:
    """Puts drawn pictures into a photo.

    Args:
        photo: (H, W, 3) uint8 RGB. source: of it, joined. share: (S, S) see `Avatar.share`.
        backdrop: behind people who are drawn alone; None: none are.
    """

    def __init__(
        self,
        photo: np.ndarray,
        source: TrackedSource,
        region: Region,
        share: np.ndarray,
        backdrop: Backdrop | None = None,
    ) -> None:
        self._photo, self._region, self._backdrop = photo, region, backdrop
        self._share = np.clip(region.enlarged(region.cut(source, share)), 0, 1).astype(np.float32)

    def put(self, drawn: np.ndarray, index: int = 0) -> np.ndarray:
        """The photo (H, W, 3) uint8 with a drawn picture in its place, of frame `index`.

        `drawn`: (h, w, 3) float32 in 0..1, or (h, w, 4), the person alone.
        """
        region, out = self._region, self._photo.copy()
        part = region.rows, region.columns
        if drawn.shape[2] == 4:
            assert self._backdrop is not None
            person, behind = np.ascontiguousarray(drawn, np.float32), self._backdrop.at(index)
            if region.to_drawn is None:
                put_person(person, behind, self._share, self._photo[part], out[part])
                return out
            drawn = np.empty(behind.shape, np.float32)
            over(person, behind, drawn)
        drawn = np.ascontiguousarray(region.enlarged(drawn), np.float32)
        put(drawn, self._share, self._photo[part], out[part])
        return out
