"""What `benchmarks.looks` shows: where it enlarges, its sheets as PNG, and the page that holds all of them."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from core.data.records import IMAGE_SIZE
from core.evaluation.looks import cheek_outline, far_side
from core.libs.flame_model import topology as topo
from core.output.contact_sheet import CaptionSettings, write_caption

_TALLEST = 2400  # pixels of a sheet
_JPEG = 88
_EYES = (*topo.RIGHT_EYE, *topo.LEFT_EYE)
_BROWS = (*topo.RIGHT_BROW, *topo.LEFT_BROW)
_STYLE = "body{background:#181818;color:#ddd;font:14px sans-serif;margin:24px}img{max-width:100%}pre{font-size:12px}"


@dataclass(frozen=True)
class Box:
    """A place in a picture: its middle x, y and its width, in pixels; `ratio`: its width over its height."""

    x: float
    y: float
    width: float
    ratio: float = 1.0

    def of(self, image: np.ndarray, width: int) -> np.ndarray:
        """(width / ratio, width, 3): the place in a picture (H, W, 3), enlarged; black beyond the picture."""
        scale, height = width / self.width, round(width / self.ratio)
        matrix = np.array([[scale, 0, width / 2 - scale * self.x], [0, scale, height / 2 - scale * self.y]])
        flags = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
        return cv2.warpAffine(image, matrix, (width, height), flags=flags)


def mouth_box(points: np.ndarray) -> Box:
    """Around the lips of points (478, 2 or 3)."""
    low, high = _extent(points, topo.OUTER_LIPS)
    return Box(*((low + high) / 2), 1.4 * float((high - low).max()))


def eyes_box(points: np.ndarray) -> Box:
    """Around both eyes and their brows."""
    low, high = _extent(points, (*_EYES, *_BROWS))
    middle = (low + high) / 2
    return Box(middle[0], middle[1] + 0.1 * (high - low)[1], max(1.15 * (high - low)[0], 2 * 1.25 * (high - low)[1]), 2)


def face_box(points: np.ndarray) -> Box:
    """Around the head: the face and the hair above it."""
    low, high = _extent(points, range(topo.N_FACE))
    height = high[1] - low[1]
    return Box((low + high)[0] / 2, (low + high)[1] / 2 - 0.1 * height, 1.55 * float(height))


def cheek_box(points: np.ndarray) -> Box:
    """Around the far cheek of points (478, 3)."""
    places = cheek_outline(points, far_side(points))[0]
    low, high = (places.min(0), places.max(0)) if len(places) else _extent(points, range(topo.N_FACE))
    return Box(*((low + high) / 2), 1.15 * float((high - low).max()))


def hair_box(points: np.ndarray) -> Box:
    """Above the forehead, where hair meets the background."""
    low, high = _extent(points, range(topo.N_FACE))
    height = float(high[1] - low[1])
    return _within(Box((low + high)[0] / 2, low[1] - 0.05 * height, height))


def ear_box(points: np.ndarray, side: int) -> Box:
    """Beside the cheek at the picture's right (1) or left (-1), where hair or neck meet the background."""
    low, high = _extent(points, range(topo.N_FACE))
    height = float(high[1] - low[1])
    return _within(Box((high if side > 0 else low)[0] + side * 0.2 * height, (low + high)[1] / 2, 0.8 * height))


def _within(box: Box) -> Box:
    """The box, pushed into the picture."""
    half = box.width / 2
    x, y = (float(np.clip(v, half, max(IMAGE_SIZE - half, half))) for v in (box.x, box.y))
    return Box(x, y, box.width, box.ratio)


def _extent(points: np.ndarray, index: Sequence[int] | range) -> tuple[np.ndarray, np.ndarray]:
    places = np.asarray(points, np.float64)[list(index), :2]
    return places.min(0), places.max(0)


@dataclass(frozen=True)
class Row:
    """A row of a sheet: what it shows, and its pictures, of one height."""

    label: str
    tiles: list[np.ndarray]

    def drawn(self, width: int) -> np.ndarray:
        """(h, width, 3): a bar with the label and the pictures below it."""
        row = np.concatenate(self.tiles, 1)
        caption = CaptionSettings()
        row = np.pad(row, [(caption.height, 0), (0, max(width - row.shape[1], 0)), (0, 0)])
        row[: caption.height] = caption.ground
        write_caption(row, self.label)
        return row


@dataclass(frozen=True)
class Section:
    """A part of the page. `groups`: rows that stay together, such as a photo before and after; `head`: rows that every
    sheet begins with, such as the driver's.
    """

    name: str
    title: str
    head: list[Row]
    groups: list[list[Row]]

    def sheets(self) -> list[np.ndarray]:
        """The rows as pictures of at most some height."""
        rows = [*self.head, *(row for group in self.groups for row in group)]
        width = max((sum(tile.shape[1] for tile in row.tiles) for row in rows), default=0)
        head = [row.drawn(width) for row in self.head]
        pages: list[list[np.ndarray]] = [[]]
        for group in self.groups:
            drawn = [row.drawn(width) for row in group]
            if pages[-1] and sum(map(len, (*head, *pages[-1], *drawn))) > _TALLEST:
                pages.append([])
            pages[-1] += drawn
        return [np.concatenate([*head, *page]) for page in pages if head or page]


def write(folder: Path, title: str, text: str, sections: Sequence[Section]) -> list[Path]:
    """Write `index.html`, which needs no other file, and every sheet as a PNG beside it; returns the files.

    What an earlier run left in the folder under such names is removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("[a-z]*-[0-9][0-9].png"):
        old.unlink()
    files, parts = [], [f"<h1>{html.escape(title)}</h1><pre>{html.escape(text)}</pre>"]
    for section in sections:
        parts.append(f"<h2>{html.escape(section.title)}</h2>")
        for number, sheet in enumerate(section.sheets()):
            files.append(folder / f"{section.name}-{number:02d}.png")
            cv2.imwrite(str(files[-1]), sheet[..., ::-1])
            coded = cv2.imencode(".jpg", sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG])[1]
            source = "data:image/jpeg;base64," + base64.b64encode(coded.tobytes()).decode()
            parts.append(f'<p><img alt="{html.escape(section.title)}" src="{source}"></p>')
    page = folder / "index.html"
    page.write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style><body>{''.join(parts)}</body></html>",
        encoding="utf-8",
    )
    return [page, *files]
