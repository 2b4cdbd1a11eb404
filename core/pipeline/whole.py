"""The whole photo as the frame: which part of it is drawn, and what stands behind the person there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from core.components import Components
from core.data.image import read_image
from core.data.records import TrackedSource
from core.libs.geometry import Camera, to_camera
from core.libs.tracker.whole import shown_box


@dataclass(frozen=True)
class ReachSettings:
    """How far a person moves at most, by eye.

    Attributes:
        head: half the side of a box that holds a head and its hair, head units.
        beyond: what jaw, shoulders and splats do besides the head's move, over the side of its crop.
    """

    head: float = 1.2
    beyond: float = 0.1


_REACH = ReachSettings()


@dataclass(frozen=True)
class Region:
    """Where the drawn part lies in the photo.

    Attributes:
        camera: that draws it, of the photo's crop. rows, columns: of the photo. to_drawn: (2, 3) from pixels of these
            to those that are drawn; None where they are the same.
    """

    camera: Camera
    rows: slice
    columns: slice
    to_drawn: np.ndarray | None = None

    @classmethod
    def of(cls, source: TrackedSource, photo: np.ndarray, share: np.ndarray, transforms: np.ndarray) -> Region:
        """Of a tracked photo that is joined, clipped to what the photo (H, W, 3) shows and to what can be moved.

        `share`: (S, S) see `Avatar.share`. `transforms`: (T, 3, 4) that the head will have.
        """
        assert source.crop is not None  # `TrackedSource.joined` has one
        box, (x, y, side) = shown_box(photo), source.crop
        scale = source.size / side
        reach = farthest_move(source, transforms)
        moves = (source.matte > 0) & (share > 0)
        (top, bottom), (left, right) = (_ends(moves.any(axis), reach, source.margin) for axis in (1, 0))
        x0, x1 = _within(left, right, (box[0] - x) * scale, (box[2] - x) * scale)
        y0, y1 = _within(top, bottom, (box[1] - y) * scale, (box[3] - y) * scale)
        camera = Camera(source.size, window=(x0, y0, x1 - x0, y1 - y0))
        left, right = int(np.ceil(x + x0 / scale)), int(np.floor(x + x1 / scale))
        top, bottom = int(np.ceil(y + y0 / scale)), int(np.floor(y + y1 / scale))
        if scale == 1:
            return cls(camera, slice(top, bottom), slice(left, right))
        shift = [(corner + 0.5 - at) * scale - 0.5 - low for corner, at, low in ((left, x, x0), (top, y, y0))]
        matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
        return cls(camera, slice(top, bottom), slice(left, right), matrix)

    def cut(self, source: TrackedSource, picture: np.ndarray) -> np.ndarray:
        """The drawn part (h, w, ...) of a picture (S, S, ...) of the source's wide crop."""
        assert self.camera.window is not None
        x, y, width, height = self.camera.window
        x, y = x + source.margin, y + source.margin
        return np.ascontiguousarray(picture[y : y + height, x : x + width])

    def enlarged(self, picture: np.ndarray) -> np.ndarray:
        """A drawn picture (h, w, ...) float32 at the photo's own scale."""
        if self.to_drawn is None:
            return picture
        size = self.columns.stop - self.columns.start, self.rows.stop - self.rows.start
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(picture, self.to_drawn, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)


def whole_plate(components: Components, source: TrackedSource, photo: np.ndarray) -> np.ndarray:
    """What stands behind the person of a tracked photo (H, W, 3) that is joined, (S, S, 3) uint8 of its wide crop.

    Beyond the photo, where it is its own mirror image, nothing is completed: none of it is ever drawn.
    """
    assert source.crop is not None  # `TrackedSource.joined` has one
    x0, y0, x1, y1 = shown_box(photo)
    x, y, side = source.crop
    scale = source.size / side
    down, along = (
        slice(max(int((low - at) * scale) + source.margin, 0), max(int((high - at) * scale) + source.margin, 0))
        for low, high, at in ((y0, y1, y), (x0, x1, x))
    )
    plate = source.image.copy()
    plate[down, along] = components.plate(source.image[down, along], source.matte[down, along], None)
    return plate


def farthest_move(source: TrackedSource, transforms: np.ndarray, settings: ReachSettings = _REACH) -> float:
    """Pixels, as they are drawn, that the person moves at most since the photo under transforms (T, 3, 4) of the head.

    Told from the corners of a box around the head, hair included.
    """
    corners = np.stack(np.meshgrid(*[(-settings.head, settings.head)] * 3), -1).reshape(-1, 3)
    camera = Camera(source.size)
    rest = camera.to_pixels(to_camera(corners, source.frame.transform_matrix))
    moved = camera.to_pixels(to_camera(corners, transforms))
    return float(np.linalg.norm(moved - rest, axis=-1).max()) + settings.beyond * source.size


def _ends(moves: np.ndarray, reach: float, margin: int) -> tuple[int, int]:
    """The first of the places (S,) that may be moved to and one past the last, counted from the margin's end."""
    places = np.flatnonzero(moves)
    first, end = (int(places[0]), int(places[-1]) + 1) if len(places) else (0, len(moves))
    reach = int(np.ceil(reach))
    return max(first - reach, 0) - margin, min(end + reach, len(moves)) - margin


def _within(first: int, end: int, low: float, high: float) -> tuple[int, int]:
    """The whole pixels first .. end - 1 that lie between two edges."""
    return max(first, int(np.ceil(low - 1e-6))), min(end, int(np.floor(high + 1e-6)))


def read_whole(path: Path, say: Callable[[str], None]) -> np.ndarray:
    """A photo (H, W, 3) uint8 as it is drawn as a whole; a line where that is smaller than it is."""
    from core.libs.tracker.whole import fit_photo

    image = read_image(path)
    photo = fit_photo(image)
    if photo.shape != image.shape:
        size, own = (f"{p.shape[1]}x{p.shape[0]}" for p in (photo, image))
        say(f"the photo has {own} pixels and is reduced to {size}: 4K is the most that is drawn")
    return photo
