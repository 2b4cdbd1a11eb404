"""How results are shown: aligned tables and contact sheets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from core.errors import UserError
from core.output.contact_sheet import captioned_rows


@dataclass(frozen=True)
class ReportSettings:
    """How sheets look: `tile`, pixels of a picture's side, by eye."""

    tile: int = 256


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Text in columns, Markdown that reads as it stands: the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = [c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))]
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join("-" * (w + 1) + ("-" if i == 0 else ":") for i, w in enumerate(widths)) + "|"
    return "\n".join([line(header), rule, *map(line, rows)])


def number(value: float, digits: int = 2, sign: bool = False) -> str:
    """A number for a table; a dash where there is none."""
    return "-" if not np.isfinite(value) else f"{value:{'+' if sign else ''}.{digits}f}"


def contact_sheet(
    path: Path,
    rows: Sequence[tuple[str, Sequence[np.ndarray]]],
    columns: Sequence[str],
    settings: ReportSettings = ReportSettings(),
) -> None:
    """Write a PNG of pictures (H, W, 3) uint8 in rows with a caption each. UserError where it cannot be written."""
    side = (settings.tile, settings.tile)
    shown = [(name, [cv2.resize(i, side, interpolation=cv2.INTER_AREA) for i in images]) for name, images in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_sheet(path, captioned_rows(shown, columns))


def write_sheet(path: Path, sheet: np.ndarray) -> None:
    """Write a sheet (H, W, 3) uint8 as a PNG. UserError where that fails."""
    if not cv2.imwrite(str(path), sheet[..., ::-1]):
        raise UserError(f"{path} cannot be written")


def error_image(image: np.ndarray, truth: np.ndarray, gain: int = 4) -> np.ndarray:
    """The absolute difference of two pictures, `gain` times."""
    return np.clip(np.abs(image.astype(np.int32) - truth) * gain, 0, 255).astype(np.uint8)
