"""Many results on one sheet: rows of tiles, with the photo before each row."""

from __future__ import annotations

import cv2
import numpy as np

COLUMNS = 5
LARGEST = 60_000_000  # pixels of a sheet, 180 MB: about as many as 100 pairs of pictures have in full size
_TALLEST = 65_000  # pixels of a side: a JPEG ends at 65,535


class ContactSheet:
    """Lays tiles out as they come, in rows from the left, on black.

    Args:
        count: of tiles. size: width and height of one. columns: tiles in a row.
        first: (H, W, 3) uint8, a picture as high as a tile that begins every row, or None.

    What would be larger than `LARGEST` is made of smaller tiles.

    Attributes:
        image: (H, W, 3) uint8, the sheet.
    """

    def __init__(
        self, count: int, size: tuple[int, int], columns: int = COLUMNS, first: np.ndarray | None = None
    ) -> None:
        self._columns = min(columns, count)
        rows = -(-count // self._columns)
        lead = 0 if first is None else first.shape[1]
        width, height = lead + self._columns * size[0], rows * size[1]
        scale = min(1.0, (LARGEST / (width * height)) ** 0.5, _TALLEST / max(width, height))
        self._size = max(int(size[0] * scale), 1), max(int(size[1] * scale), 1)
        self._lead = max(int(lead * scale), 1) if lead else 0
        self._next = 0
        shape = rows * self._size[1], self._lead + self._columns * self._size[0], 3
        self.image = np.zeros(shape, np.uint8)
        if first is not None:
            photo = _scaled(first, (self._lead, self._size[1]))
            for row in range(rows):
                self.image[row * self._size[1] :, : self._lead][: self._size[1]] = photo

    def put(self, tile: np.ndarray) -> None:
        """The next tile (H, W, 3) uint8."""
        width, height = self._size
        row, column = divmod(self._next, self._columns)
        x, y = self._lead + column * width, row * height
        self.image[y : y + height, x : x + width] = _scaled(tile, self._size)
        self._next += 1


def _scaled(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return image if image.shape[1::-1] == size else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
