"""Cuts between the shots of a video, found in its pictures."""

from __future__ import annotations

from collections.abc import Generator, Iterable

import cv2
import numpy as np

from core.data.video import VideoFrame
from core.libs.tracker.crop import halved
from core.libs.tracker.settings import CutSettings

_SETTINGS = CutSettings()


class CutFinder:
    """Looks at the frames of a video one after the other and says where another shot begins.

    A cut changes the picture everywhere, its colours too, from one frame to the next: mean absolute difference of small
    pictures and distance of their histograms. Dissolves and cuts within one scene are not found. Memory grows by one
    small picture a shot.
    """

    def __init__(self, settings: CutSettings = _SETTINGS) -> None:
        self._settings = settings
        self._last: tuple[np.ndarray, np.ndarray] | None = None
        self._before: list[np.ndarray] = []  # for every cut, the small picture before it
        self._starts: list[int] = [0]
        self._sums: list[np.ndarray] = [np.zeros((settings.coarse, settings.coarse, 3))]
        self._frames = 0

    def see(self, image: np.ndarray) -> bool:
        """The next frame (H, W, 3) uint8; whether another shot begins with it."""
        now, s = _small(image, self._settings), self._settings
        last = self._last
        cut = (
            last is not None
            and _difference(last[0], now[0]) > s.changed
            and _histogram_distance(last[1], now[1]) > s.recoloured
        )
        if last is not None and cut:
            self._before.append(last[0])
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
            same = next(
                (i for i, scene in enumerate(scenes) if _difference(scene, mean) < self._settings.same_scene),
                len(scenes),
            )
            if same == len(scenes):
                scenes.append(mean)
            numbers.append(same)
        return np.repeat(numbers, lengths) if len(scenes) > 1 else None

    def _end_flash(self, now: np.ndarray) -> None:
        """Take back two cuts if the picture is, after a few frames, the one from before."""
        if len(self._starts) < 3 or self._starts[-1] - self._starts[-2] > self._settings.flash:
            return
        if _difference(self._before[-2], now) < self._settings.same_scene:
            del self._before[-2:], self._starts[-2:]
            merged = self._sums[-3] + self._sums[-2]
            self._sums[-3:] = [merged]


def with_cuts(frames: Iterable[VideoFrame], cuts: CutFinder) -> Generator[tuple[VideoFrame, bool], None, None]:
    """The frames of a video, and whether another shot begins with them."""
    for frame in frames:
        yield frame, cuts.see(frame.image)


def _small(image: np.ndarray, settings: CutSettings) -> tuple[np.ndarray, np.ndarray]:
    """A picture shrunk to (coarse, coarse, 3), and the histograms (3, bins) of its channels, which sum to 1."""
    side, bins = settings.side, settings.bins
    while min(image.shape[:2]) >= 2 * side:  # many times as fast as averaging all of it at once
        image = halved(image)
    picture = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    counts = [cv2.calcHist([picture], [c], None, [bins], [0, 256])[:, 0] for c in range(3)]
    coarse = cv2.resize(picture, (settings.coarse, settings.coarse), interpolation=cv2.INTER_AREA)
    return coarse.astype(np.float64), np.array(counts) / side**2


def _difference(a: np.ndarray, b: np.ndarray) -> float:
    """The mean absolute difference of two pictures, grey levels."""
    return float(np.abs(a - b).mean())


def _histogram_distance(a: np.ndarray, b: np.ndarray) -> float:
    """The share of pixels that would have to change their bin, 0 to 1, mean of the channels."""
    return float(np.abs(a - b).sum(1).mean() / 2)
