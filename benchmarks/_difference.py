"""What a result in the whole photo changed of it, as a video and as a figure for lines in it."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from core.data.records import TrackedSource
from core.data.video import VideoWriter
from core.pipeline.whole import Region

TIMES = 8  # as strong as it is
BESIDE = np.r_[-6:0, 1:7]  # pixels beside a border, where steps are looked at too


def borders(source: TrackedSource, region: Region, photo: np.ndarray) -> list[tuple[int, int]]:
    """Axis and place of every line in a photo (H, W, 3) at which a square or rectangle that is worked in ends.

    Those are the head's crop, the wide crop around it, and the part that is drawn.
    """
    assert source.crop is not None  # the whole photo is the frame
    x, y, side = source.crop
    beyond = source.margin * side / source.size
    ends = [(0, end) for end in (region.rows.start, region.rows.stop)]
    ends += [(1, end) for end in (region.columns.start, region.columns.stop)]
    for axis, start in ((0, y), (1, x)):
        ends += [(axis, round(start + part)) for part in (-beyond, 0, side, side + beyond)]
    room = int(np.abs(BESIDE).max()) + 1
    return sorted({(axis, at) for axis, at in ends if room <= at < photo.shape[axis] - room})


class Difference:
    """The video of the difference, `TIMES` as strong around grey, and whether there are lines in it, as a context.

    Args:
        path: of the video; None: the figure alone. photo: (H, W, 3) uint8. lines: see `borders`.
    """

    def __init__(self, path: Path | None, photo: np.ndarray, lines: list[tuple[int, int]]) -> None:
        self._photo, self._lines = photo.astype(np.int16), lines
        self._writer = None if path is None else VideoWriter(path, 25, photo.shape[1::-1])
        self._steps: list[list[tuple[int, int]]] = []

    def __enter__(self) -> Self:
        if self._writer is not None:
            self._writer.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        if self._writer is not None:
            self._writer.__exit__(kind, value, at)

    def add(self, picture: np.ndarray) -> None:
        """The next frame of the result, (H, W, 3) uint8."""
        away = picture.astype(np.int16) - self._photo
        if self._writer is not None:
            self._writer.write(np.clip(128 + TIMES * away, 0, 255).astype(np.uint8))
        self._steps.append([_largest(away, axis, at) for axis, at in self._lines])

    @property
    def line(self) -> float | None:
        """How often a step across a border is the largest around, over how often chance makes it so, where most often.

        None where no border lies in the photo, or nothing changes at any.
        """
        counts = np.sum(self._steps, 0) if self._steps else np.zeros((0, 2))
        shares = [largest / changed for largest, changed in counts if changed > 0]
        return max(shares) * (len(BESIDE) + 1) if shares else None


def _largest(away: np.ndarray, axis: int, at: int) -> tuple[int, int]:
    """Of the pixels along a border beside which something changes: those whose largest step is across it, and all."""
    places = np.r_[at, at + BESIDE]
    steps = np.abs(away.take(places, axis).astype(int) - away.take(places - 1, axis)).sum(2)
    steps = steps if axis == 0 else steps.T
    changed = steps.max(0) > 0
    return int((changed & (steps[0] > steps[1:].max(0))).sum()), int(changed.sum())
