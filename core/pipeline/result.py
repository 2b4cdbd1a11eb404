"""What a run gives: its pictures, one by one, and a report of what it did."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.errors import UserError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class RenderedFrame:
    """One frame of the result: its number, its time in seconds and its picture (H, W, 3) uint8; 4: transparent.

    H and W are those of the head's crop, `--size` pixels a side, or of the whole photo with `--frame photo`.
    """

    index: int
    time: Fraction
    image: np.ndarray


@dataclass(frozen=True)
class Report:
    """What a run did.

    Attributes:
        output: the file. model: the avatar's name. frames, fps: of the file.
        interpolated, held: frames of the driver without a face, by what stands in for it.
        stills: whether the frames are single pictures on one sheet.
        seconds: by stage. `render` and `write` go on side by side; `video` is what both took together.
        total: seconds in all.
        advice: lines about photo, driver and motion that a user should know, the worst first.
        page: the page about the run (`--report`), or None.
    """

    output: Path
    model: str
    frames: int
    fps: Fraction
    interpolated: int
    held: int
    seconds: dict[str, float]
    total: float
    stills: bool = False
    advice: tuple[str, ...] = ()
    page: Path | None = None

    def __str__(self) -> str:
        beside = ("render", "write")
        stages = [f"{name} {value:.1f}" for name, value in self.seconds.items() if name not in beside]
        shares = " and ".join(f"{name} {self.seconds.get(name, 0):.1f}" for name in beside)
        speed = self.frames / max(self.seconds.get("video", 0), 1e-9)
        what = "1 frame" if self.frames == 1 else f"{self.frames} frames, {float(self.fps):.5g} fps"
        if self.stills:
            what = f"{self.frames} picture{'s' * (self.frames != 1)}"
        line = (
            f"{self.output}: {what}, made at {speed:.1f} fps; seconds: {self.total:.1f} in all, {', '.join(stages)} "
            f"({shares} side by side)"
        )
        page = "" if self.page is None else f"\nreport: {self.page}"
        return f"{line}{page}\nworth knowing: {self.advice[0]}" if self.advice else line + page


def to_image(picture: torch.Tensor) -> np.ndarray:
    """(C, H, W) in 0..1 to (H, W, C) uint8, in memory of its own."""
    from core.libs.compositing import to_bytes  # it loads numba

    values = np.ascontiguousarray(picture.permute(1, 2, 0).numpy(), np.float32)
    to_bytes(values, image := np.empty(values.shape, np.uint8))
    return image


def make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be made ({error.strerror}): write somewhere else with -o") from error
