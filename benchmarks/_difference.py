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
BESIDE = np.r_[-8:-2, 3:9]  # pixels beside a border, where the usual step between two is measured


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
    """The video of the difference, `TIMES` as strong around grey, and the largest step at a line, as a context.

    Args:
        path: of the video; None: the figure alone. photo: (H, W, 3) uint8. lines: see `borders`.
    """

    def __init__(self, path: Path | None, photo: np.ndarray, lines: list[tuple[int, int]]) -> None:
        self._photo, self._lines = photo.astype(np.int16), lines
        self._writer = None if path is None else VideoWriter(path, 25, photo.shape[1::-1])
        self._steps: list[list[float]] = []

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
        self._steps.append([_step(away, axis, at) for axis, at in self._lines])

    @property
    def step(self) -> float | None:
        """Grey levels by which a step across a line is larger than beside it, at the line where that is most.

        None where no line lies in the photo.
        """
        return float(np.mean(self._steps, 0).max()) if self._lines else None


def _step(away: np.ndarray, axis: int, at: int) -> float:
    def across(place: int) -> float:
        return float(np.abs(away.take(place, axis) - away.take(place - 1, axis)).mean())

    return across(at) - float(np.median([across(at + beside) for beside in BESIDE]))
