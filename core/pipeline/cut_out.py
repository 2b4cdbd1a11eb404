"""The person of the whole photo, cut out of it and put over something else; what moves of them is drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numba
import numpy as np

from core.background import Background
from core.data.records import TrackedSource
from core.pipeline.backdrop import Backdrop, VideoBackdrop
from core.pipeline.in_photo import WholePhoto
from core.pipeline.whole import Region


@dataclass(frozen=True)
class CutOutSettings:
    """Of `CutOut`.

    Attributes:
        seam: pixels over which the matte of the wide crop runs into that of the whole photo, over the crop's side. By
            eye: the latter is the coarser one.
    """

    seam: float = 0.02


_SETTINGS = CutOutSettings()


@numba.njit(cache=True, parallel=True, nogil=True)
def _mix(
    drawn: np.ndarray,  # (h, w, 4) float32 in 0..1, colours times matte, and matte
    share: np.ndarray,  # (h, w) in 0..1, how much of a pixel is the drawn one
    still: np.ndarray,  # (h, w, 4) uint8, straight RGB and matte
    behind: np.ndarray,  # (h, w, 3) float32 in 0..1
    out: np.ndarray,  # (h, w, 3) uint8, or (h, w, 4) with nothing behind
) -> None:
    """A person of whom a part is drawn, over what is behind them or, straight RGB and matte, over nothing."""
    height, width = share.shape
    zero, one, white = np.float32(0), np.float32(1), np.float32(255)
    alone = out.shape[2] == 4
    for y in numba.prange(height):
        for x in range(width):
            part = share[y, x]
            resting = (one - part) * np.float32(still[y, x, 3]) / white
            matte = min(max(resting + part * drawn[y, x, 3], zero), one)
            for k in range(3):
                value = resting * np.float32(still[y, x, k]) / white + part * drawn[y, x, k]
                if not alone:
                    value += (one - matte) * behind[y, x, k]
                elif matte > zero:
                    value /= matte
                else:
                    value = np.float32(still[y, x, k]) / white
                out[y, x, k] = np.uint8(min(max(value, zero), one) * white + np.float32(0.5))
            if alone:
                out[y, x, 3] = np.uint8(matte * white + np.float32(0.5))


class CutOut:
    """Puts drawn people into their cut-out photo, and that over a backdrop as large as the photo.

    Args:
        photo: (H, W, 3) uint8 RGB. source: of it, joined, with the person's own colours. region: that is drawn.
        share: (S, S) see `Avatar.share`. backdrop: None: over nothing, pictures have an alpha channel.
    """

    def __init__(
        self,
        photo: np.ndarray,
        source: TrackedSource,
        region: Region,
        share: np.ndarray,
        backdrop: Backdrop | None,
        settings: CutOutSettings = _SETTINGS,
    ) -> None:
        self._region, self._backdrop = region, backdrop
        self._share = np.clip(region.enlarged(region.cut(source, share)), 0, 1).astype(np.float32)
        self._still = resting_person(photo, source, settings)
        self._nothing = np.zeros((1, 1, 3), np.float32)
        self._base: np.ndarray | None = None

    def put(self, drawn: np.ndarray, index: int) -> np.ndarray:
        """The picture (H, W, 3 or 4) uint8 of frame `index`, of which (h, w, 4) float32 was drawn, straight."""
        region, still = self._region, self._still
        part = region.rows, region.columns
        out = self._resting(index).copy() if self._backdrop is not None else still.copy()
        drawn = np.dstack([drawn[..., :3] * drawn[..., 3:], drawn[..., 3:]])
        drawn = np.ascontiguousarray(region.enlarged(drawn), np.float32)
        behind = np.broadcast_to(self._nothing, (*self._share.shape, 3))
        if self._backdrop is not None:
            behind = self._backdrop.at(index)[part]
        _mix(drawn, self._share, still[part], behind, out[part])
        return out

    def _resting(self, index: int) -> np.ndarray:
        """The whole person at rest over what is behind them in a frame, (H, W, 3) uint8."""
        assert self._backdrop is not None
        if self._base is None or isinstance(self._backdrop, VideoBackdrop):
            height, width = self._still.shape[:2]
            none = np.broadcast_to(np.zeros((1, 1, 4), np.float32), (height, width, 4))
            self._base = np.empty((height, width, 3), np.uint8)
            _mix(none, none[..., 0], self._still, self._backdrop.at(index), self._base)
        return self._base


def placing(
    background: Background,
    photo: np.ndarray,
    source: TrackedSource,
    region: Region,
    share: np.ndarray,
    backdrop: Backdrop | None,
) -> Callable[[np.ndarray, int], np.ndarray]:
    """What makes whole pictures of what is drawn, a frame's number given: in the photo, or over something else."""
    if background.kind == "photo":
        return WholePhoto(photo, source, region, share, backdrop).put
    return CutOut(photo, source, region, share, backdrop).put


def resting_person(photo: np.ndarray, source: TrackedSource, settings: CutOutSettings = _SETTINGS) -> np.ndarray:
    """Straight RGB and matte (H, W, 4) uint8 of the person in a photo (H, W, 3), as they stand there.

    The wide crop has its own matte, the rest the one that was made of the whole photo.
    """
    assert source.crop is not None  # `TrackedSource.joined` has one
    height, width = photo.shape[:2]
    x, y, side = source.crop
    scale = source.size / side
    shift = [(0.5 - at) * scale - 0.5 + source.margin for at in (x, y)]
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])

    def onto_photo(picture: np.ndarray) -> np.ndarray:
        return cv2.warpAffine(picture, matrix, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)

    wide = len(source.image)
    place = np.minimum(np.arange(wide), np.arange(wide)[::-1]) / (settings.seam * source.size)
    known = onto_photo(np.clip(np.minimum.outer(place, place), 0, 1).astype(np.float32))
    beyond = np.zeros((height, width), np.uint8) if source.beyond is None else source.beyond
    matte = known * onto_photo(source.matte) + (1 - known) * beyond.astype(np.float32) / 255
    out = np.empty((height, width, 4), np.uint8)
    colors = photo if source.foreground is None else onto_photo(source.foreground)
    out[..., :3] = np.where(known[..., None] > 0, colors, photo)
    out[..., 3] = np.rint(255 * matte.clip(0, 1))
    return out
