"""How results are shown: aligned tables and contact sheets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

_TILE = 256


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


def contact_sheet(path: Path, rows: Sequence[tuple[str, Sequence[np.ndarray]]], columns: Sequence[str]) -> None:
    """Write a PNG of pictures (H, W, 3) uint8 in rows with a label each, at `_TILE` pixels a picture."""
    bar = 22
    sheet = [np.full((bar, _TILE * len(columns), 3), 30, np.uint8)]
    for i, name in enumerate(columns):
        _write(sheet[0], name, i * _TILE + 6)
    for label, images in rows:
        tiles = [cv2.resize(image, (_TILE, _TILE), interpolation=cv2.INTER_AREA) for image in images]
        row = np.concatenate(tiles, 1)
        strip = np.full((bar, row.shape[1], 3), 60, np.uint8)
        _write(strip, label, 6)
        sheet += [strip, row]
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.concatenate(sheet)[..., ::-1])


def error_image(image: np.ndarray, truth: np.ndarray, gain: int = 4) -> np.ndarray:
    """The absolute difference of two pictures, `gain` times."""
    return np.clip(np.abs(image.astype(np.int32) - truth) * gain, 0, 255).astype(np.uint8)


def _write(image: np.ndarray, text: str, x: int) -> None:
    cv2.putText(image, text, (x, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (235, 235, 235), 1, cv2.LINE_AA)
