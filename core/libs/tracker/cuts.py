"""Cuts between the shots of a video, found in its pictures."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from core.data.video import VideoFrame
from core.libs.tracker.crop import halved
from core.libs.tracker.settings import CutSettings

_SETTINGS = CutSettings()


@dataclass
class _Shot:
    """Of frames from `start` on: the small picture before it, and the sum of so many of its own."""

    start: int
    before: np.ndarray | None
    total: np.ndarray
    counted: int = 0


class CutFinder:
    """Looks at the frames of a video one after the other and says where another shot begins.

    A cut changes the picture everywhere, its colours too, from one frame to the next: mean absolute difference of small
    pictures and distance of their histograms. Dissolves and cuts within one scene are not found. Memory grows by two
    small pictures a shot.

    Most frames are like the one before, which some of their pixels show: averaged pictures differ by no more than their
    pixels do. Only the others are averaged, and every few for what the shot looks like.
    """

    def __init__(self, settings: CutSettings = _SETTINGS) -> None:
        self._settings = settings
        self._last: tuple[np.ndarray, np.ndarray] | None = None  # the last frame and some of its pixels
        self._shots = [self._begun(0, None)]
        self._frames = 0

    def see(self, image: np.ndarray) -> bool:
        """The next frame (H, W, 3) uint8, not to be changed until the next one; whether another shot begins with it."""
        s, last = self._settings, self._last
        pixels = cv2.resize(image, (s.glance, s.glance), interpolation=cv2.INTER_NEAREST)
        self._last = image, pixels
        number, self._frames = self._frames, self._frames + 1
        alike = last is not None and _difference(pixels.astype(np.int16), last[1].astype(np.int16)) < s.changed / 2
        if alike and (number - self._shots[-1].start) % s.counted:
            return False
        now, cut = _small(image, s), False
        if last is not None and not alike:
            before = _small(last[0], s)
            cut = _difference(before[0], now[0]) > s.changed and _histogram_distance(before[1], now[1]) > s.recoloured
            if cut:
                self._shots.append(self._begun(number, before[0]))
                self._end_flash(now[0])
        self._shots[-1].total += now[0]
        self._shots[-1].counted += 1
        return cut

    def shots(self) -> np.ndarray | None:
        """(T,) numbers of the shots of all frames seen; shots that look the same have one. None where there is one."""
        lengths = np.diff([*(shot.start for shot in self._shots), self._frames])
        means = [shot.total / shot.counted for shot in self._shots] if self._frames else []
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

    def _begun(self, start: int, before: np.ndarray | None) -> _Shot:
        return _Shot(start, before, np.zeros((self._settings.coarse, self._settings.coarse, 3)))

    def _end_flash(self, now: np.ndarray) -> None:
        """Take back two cuts if the picture is, after a few frames, the one from before."""
        if len(self._shots) < 3 or self._shots[-1].start - self._shots[-2].start > self._settings.flash:
            return
        shown, flash = self._shots[-3:-1]
        assert flash.before is not None  # the first shot alone has none
        if _difference(flash.before, now) < self._settings.same_scene:
            del self._shots[-2:]
            shown.total += flash.total
            shown.counted += flash.counted


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
