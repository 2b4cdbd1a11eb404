"""Pictures in a grid, with captions: where every tile lies, how a caption is written, and the sheets made of both.

All pictures are (H, W, 3) uint8 RGB, all lengths are pixels of the sheet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

_FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True)
class CaptionSettings:
    """How a caption looks, all by eye.

    Attributes:
        height: pixels of the bar that captions stand in. left, baseline: pixels from the tile's left edge and from the
            bar's top to the text's left lower corner. scale: of OpenCV's font. thickness: pixels of a stroke.
        ground, ink: grey levels of the bar and the text, 0..255. header: grey level of a bar above all rows.
    """

    height: int = 22
    left: int = 6
    baseline: int = 16
    scale: float = 0.45
    thickness: int = 1
    ground: int = 60
    ink: int = 235
    header: int = 30


@dataclass(frozen=True)
class SheetSettings:
    """How large a sheet of many results becomes.

    Attributes:
        columns: tiles in a row. By eye.
        largest: pixels of a sheet, 180 MB: about as many as 100 pairs of pictures have in full size.
        tallest: pixels of a side: a JPEG ends at 65,535.
    """

    columns: int = 5
    largest: int = 60_000_000
    tallest: int = 65_000


@dataclass(frozen=True)
class Grid:
    """Where tiles of one size lie, in rows from the left.

    Attributes:
        count: of tiles. tile: width and height of one. columns: tiles in a row.
        caption: height of the bar above every row. lead: width of what stands before every row. gap: between tiles.
    """

    count: int
    tile: tuple[int, int]
    columns: int
    caption: int = 0
    lead: int = 0
    gap: int = 0

    @property
    def rows(self) -> int:
        """Rows, the last of which may not be full."""
        return -(-self.count // self.columns)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the whole sheet."""
        width, height = self.tile
        return (
            self.lead + self.columns * (width + self.gap) - self.gap,
            self.rows * (self.caption + height + self.gap) - self.gap,
        )

    def corner(self, number: int) -> tuple[int, int]:
        """x, y of the left upper corner of a tile, which its caption stands above."""
        row, column = divmod(number, self.columns)
        width, height = self.tile
        return (
            self.lead + column * (width + self.gap),
            row * (self.caption + height + self.gap) + self.caption,
        )

    def empty(self, grey: int) -> np.ndarray:
        """A sheet (H, W, 3) of one grey level."""
        width, height = self.size
        return np.full((height, width, 3), grey, np.uint8)

    def put(self, sheet: np.ndarray, number: int, tile: np.ndarray) -> None:
        """Copy a tile to its place in a sheet (H, W, 3)."""
        (x, y), (width, height) = self.corner(number), self.tile
        sheet[y : y + height, x : x + width] = tile


def write_caption(
    image: np.ndarray, text: str, x: int = 0, y: int = 0, settings: CaptionSettings = CaptionSettings()
) -> None:
    """Write a caption into an image (H, W, 3), in the bar whose left upper corner is x, y."""
    place = (x + settings.left, y + settings.baseline)
    ink = (settings.ink,) * 3
    cv2.putText(image, text, place, _FONT, settings.scale, ink, settings.thickness, cv2.LINE_AA)


class ContactSheet:
    """Lays tiles out as they come, in rows from the left, on black.

    Args:
        count: of tiles. size: width and height of one. first: a picture as high as a tile that begins every row, or
            None. settings: tiles in a row, and the size above which tiles are made smaller.

    Attributes:
        image: (H, W, 3), the sheet.
    """

    def __init__(
        self,
        count: int,
        size: tuple[int, int],
        first: np.ndarray | None = None,
        settings: SheetSettings = SheetSettings(),
    ) -> None:
        lead = 0 if first is None else first.shape[1]
        full = Grid(count, size, min(settings.columns, count), lead=lead)
        width, height = full.size
        scale = min(1.0, (settings.largest / (width * height)) ** 0.5, settings.tallest / max(width, height))
        smaller = max(int(size[0] * scale), 1), max(int(size[1] * scale), 1)
        self._grid = Grid(count, smaller, full.columns, lead=max(int(lead * scale), 1) if lead else 0)
        self._next = 0
        self.image = self._grid.empty(0)
        if first is not None:
            photo = _scaled(first, (self._grid.lead, smaller[1]))
            for row in range(self._grid.rows):
                _, y = self._grid.corner(row * full.columns)
                self.image[y : y + smaller[1], : self._grid.lead] = photo

    def put(self, tile: np.ndarray) -> None:
        """The next tile (H, W, 3)."""
        self._grid.put(self.image, self._next, _scaled(tile, self._grid.tile))
        self._next += 1


class CaptionedSheet:
    """Lays as many tiles as there are captions out, each below its own; used again for every frame.

    Args:
        captions: of the tiles. tile: width and height of one. columns: tiles in a row. settings: of the captions.

    Attributes:
        size: width and height of the sheet. tile: of a tile.
    """

    def __init__(self, captions: Sequence[str], tile: tuple[int, int], columns: int, settings: CaptionSettings) -> None:
        self._grid = Grid(len(captions), tile, columns, settings.height)
        self._empty = self._grid.empty(settings.ground)
        self.size, self.tile = self._grid.size, tile
        for number, caption in enumerate(captions):
            x, y = self._grid.corner(number)
            write_caption(self._empty, caption, x, y - settings.height, settings)

    def put(self, tiles: Sequence[np.ndarray]) -> np.ndarray:
        """A sheet (H, W, 3) of its own, of as many tiles (H, W, 3) as there are captions."""
        if len(tiles) != self._grid.count:
            raise ValueError(f"expected {self._grid.count} tiles, got {len(tiles)}")
        sheet = self._empty.copy()
        for number, tile in enumerate(tiles):
            self._grid.put(sheet, number, tile)
        return sheet


def captioned_rows(
    rows: Sequence[tuple[str, Sequence[np.ndarray]]],
    columns: Sequence[str],
    settings: CaptionSettings = CaptionSettings(),
) -> np.ndarray:
    """A sheet (H, W, 3): a bar with the columns' names, then every row below a bar with its own.

    Args:
        rows: name and tiles of each row; all tiles are of one size, and there is one for every column.
        columns: their names.
    """
    height, width = rows[0][1][0].shape[:2]
    grid = Grid(len(rows) * len(columns), (width, height), len(columns), settings.height)
    header = np.full((settings.height, grid.size[0], 3), settings.header, np.uint8)
    for number, name in enumerate(columns):
        write_caption(header, name, grid.corner(number)[0], settings=settings)
    body = grid.empty(settings.ground)
    for row, (name, tiles) in enumerate(rows):
        first = row * len(columns)
        write_caption(body, name, 0, grid.corner(first)[1] - settings.height, settings)
        for number, tile in zip(range(first, first + len(columns)), tiles, strict=True):
            grid.put(body, number, tile)
    return np.concatenate([header, body])


def _scaled(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return image if image.shape[1::-1] == size else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
