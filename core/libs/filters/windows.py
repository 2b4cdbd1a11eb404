"""A long series in windows that overlap: memory stays bounded, and noise is estimated where it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class WindowSettings:
    """Of the windows of a long series. By eye: four minutes at 25 fps, and ten seconds that two windows share.

    Attributes:
        length: frames of a window.
        overlap: frames that one window shares with the next.
    """

    length: int = 6000
    overlap: int = 256


def windows(frames: int, settings: WindowSettings = WindowSettings()) -> Iterator[slice]:
    """The windows of a series of so many frames.

    Each but the last is `length` long; the last is longer than `overlap`, unless it is the first too.
    """
    starts = range(0, max(frames - settings.overlap, 1), settings.length - settings.overlap)
    return (slice(start, min(start + settings.length, frames)) for start in starts)
