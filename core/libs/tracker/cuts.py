"""Where a video cuts to another shot, seen in its pictures."""

from __future__ import annotations

import cv2
import numpy as np

_SIDE, _COARSE, _BINS = 128, 32, 32
# What people and cameras do within a frame stays below 20 grey levels and .1 on the clips that this was made with, a
# hand in front of the face included; cuts between people are above 40 and .3.
_CHANGED, _OTHER_COLOURS = 25.0, 0.2
_SAME_SCENE = 15.0  # grey levels between the mean pictures of two shots of one scene
_FLASH = 3  # frames after which a flash is over


class CutFinder:
    """Looks at the frames of a video one after the other and says where another shot begins.

    A cut changes the picture everywhere, its colours too, from one frame to the next: mean absolute difference of small
    pictures and distance of their histograms. Dissolves and cuts within one scene are not found. Memory grows by one
    small picture a shot.
    """

    def __init__(self) -> None:
        self._last: tuple[np.ndarray, np.ndarray] | None = None
        self._before: list[np.ndarray] = []  # for every cut, the small picture before it
        self._starts: list[int] = [0]
        self._sums: list[np.ndarray] = [np.zeros((_COARSE, _COARSE, 3))]
        self._frames = 0

    def see(self, image: np.ndarray) -> bool:
        """The next frame (H, W, 3) uint8; whether another shot begins with it."""
        now = _small(image)
        cut = self._last is not None and _far(self._last[0], now[0]) > _CHANGED and _recoloured(self._last, now)
        if cut:
            self._before.append(self._last[0])
            self._starts.append(self._frames)
            self._sums.append(np.zeros_like(self._sums[0]))
            self._end_flash(now[0])
        self._sums[-1] += now[0]
        self._last = now
        self._frames += 1
        return cut

    def shots(self) -> np.ndarray | None:
        """(T,) numbers of the shots of all frames seen; shots that look the same have one. None where there is one."""
        lengths = np.diff([*self._starts, self._frames])
        means = [total / length for total, length in zip(self._sums, lengths, strict=True)] if self._frames else []
        numbers: list[int] = []
        scenes: list[np.ndarray] = []
        for mean in means:
            same = next((i for i, scene in enumerate(scenes) if _far(scene, mean) < _SAME_SCENE), len(scenes))
            if same == len(scenes):
                scenes.append(mean)
            numbers.append(same)
        return np.repeat(numbers, lengths) if len(scenes) > 1 else None

    def _end_flash(self, now: np.ndarray) -> None:
        """Take back two cuts if the picture is, after a few frames, the one from before."""
        if len(self._starts) < 3 or self._starts[-1] - self._starts[-2] > _FLASH:
            return
        if _far(self._before[-2], now) < _SAME_SCENE:
            del self._before[-2:], self._starts[-2:]
            merged = self._sums[-3] + self._sums[-2]
            self._sums[-3:] = [merged]


def _small(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A picture of 32 x 32 pixels, and the histograms (3, 32) of its channels, which sum to 1."""
    picture = cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    counts = [np.bincount((picture[..., c] // (256 // _BINS)).ravel(), minlength=_BINS) for c in range(3)]
    coarse = cv2.resize(picture, (_COARSE, _COARSE), interpolation=cv2.INTER_AREA)
    return coarse.astype(np.float64), np.array(counts) / _SIDE**2


def _far(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).mean())


def _recoloured(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> bool:
    return float(np.abs(a[1] - b[1]).sum(1).mean() / 2) > _OTHER_COLOURS
