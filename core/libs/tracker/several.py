"""Several faces in one picture: all of them in their order, one of them alone, and a count of those in a clip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.data.array_file import load_arrays, save_arrays
from core.errors import UserError
from core.libs.tracker.base import FaceTracker, ManyFaceTracker, Observation


@dataclass(frozen=True)
class SeveralSettings:
    """Of what tells faces apart by their place. By eye.

    Attributes:
        together: of the larger face's size, between the middles of two boxes of one face at most.
        around: the part of a picture in which a face is looked for alone is wider than its box by this share of it.
        tile: of a photo's smaller side, of the squares in which small faces are looked for once more.
        soft: face sizes over which one person's part of a photo runs out towards the next one's.
        first, growth: the frame after the first one, and from there the factor to the next, in which the faces of a
            clip are counted: few looks, however long it is.
    """

    together: float = 0.4
    around: float = 1.1
    tile: float = 0.6
    soft: float = 0.04
    first: int = 12
    growth: int = 2


class NoFaceError(UserError):
    """There is no face in what was to be tracked, or none of the number that was asked for."""


_SETTINGS = SeveralSettings()
COUNT_FILE = "faces.npz"


def box_size(box: np.ndarray) -> float:
    """The larger side of a box x0 y0 x1 y1."""
    return float(max(box[2] - box[0], box[3] - box[1]))


def box_middle(box: np.ndarray) -> np.ndarray:
    """The middle (2,) of a box x0 y0 x1 y1."""
    return (box[:2] + box[2:]) / 2


def same_place(one: np.ndarray, other: np.ndarray, settings: SeveralSettings = _SETTINGS) -> bool:
    """Whether two boxes (4,) are of one face."""
    apart = float(np.linalg.norm(box_middle(one) - box_middle(other)))
    return apart < settings.together * max(box_size(one), box_size(other))


def alone(image: np.ndarray, box: np.ndarray, around: float = _SETTINGS.around) -> np.ndarray:
    """A picture (H, W, 3) with everything black but the square around a face's box, `around` of it wider."""
    half = box_size(box) * (1 + around) / 2
    low = np.maximum(np.round(box_middle(box) - half).astype(int), 0)
    high = np.maximum(np.round(box_middle(box) + half).astype(int) + 1, low)
    out = np.zeros_like(image)
    part = slice(low[1], high[1]), slice(low[0], high[0])
    out[part] = image[part]
    return out


def all_faces(image: np.ndarray, tracker: FaceTracker, settings: SeveralSettings = _SETTINGS) -> list[Observation]:
    """All faces of a photo (H, W, 3) uint8 RGB, from left to right; the largest alone where the tracker sees one."""
    return all_and_largest(image, tracker, settings)[0]


def all_and_largest(
    image: np.ndarray, tracker: FaceTracker, settings: SeveralSettings = _SETTINGS
) -> tuple[list[Observation], Observation | None]:
    """The same, and the one that counts as the largest: what `FaceTracker.detect` sees, if it sees any."""
    largest = tracker.detect(image)
    if not isinstance(tracker, ManyFaceTracker):
        return [] if largest is None else [largest], largest
    found = tracker.faces(image)
    for x, y, side in _tiles(image.shape[0], image.shape[1], settings):
        tile = np.ascontiguousarray(image[y : y + side, x : x + side])
        for face in tracker.faces(tile, [other.box - [x, y, x, y] for other in found]):
            whole = Observation(face.points + np.array([x, y, 0], np.float32))
            inside = (whole.box[:2] >= [x, y]).all() and (whole.box[2:] <= [x + side, y + side]).all()
            if inside and not any(same_place(whole.box, known.box, settings) for known in found):
                found.append(whole)
    # What a photo shows at all is said by `detect`: here it counts too, so that one face is never none
    if largest is None:
        largest = max(found, key=lambda face: box_size(face.box), default=None)
    elif not any(same_place(largest.box, known.box, settings) for known in found):
        found.append(largest)
    return sorted(found, key=lambda face: float(box_middle(face.box)[0])), largest


def _tiles(height: int, width: int, settings: SeveralSettings) -> Iterator[tuple[int, int, int]]:
    """x, y, side of squares that overlap and cover a picture: as large as its smaller side is, and smaller ones."""
    least = min(height, width)
    sides = [least] if height != width else []
    for side in (*sides, round(settings.tile * least)):
        rows, columns = (max(1, int(np.ceil(2 * n / side)) - 1) for n in (height, width))
        for y in np.linspace(0, height - side, rows).astype(int):
            for x in np.linspace(0, width - side, columns).astype(int):
                yield int(x), int(y), side


def check_number(path: object, number: int, boxes: Sequence[np.ndarray] | np.ndarray, width: int) -> None:
    """NoFaceError, which names the faces, where there is none of this number.

    Args:
        path: for the message. number: from 1, left to right. boxes: (N, 4) of the faces in their order.
        width: of the picture in pixels.
    """
    if 1 <= number <= len(boxes):
        return
    faces = ", ".join(
        f"{i} ({round(box_size(box))} pixels large, at {round(100 * float(box_middle(box)[0]) / width)} % of the width)"
        for i, box in enumerate(boxes, 1)
    )
    count = "1 face" if len(boxes) == 1 else f"{len(boxes)} faces"
    what = f"it shows {count}, from the left: {faces}; take one of these" if len(boxes) else "it shows none"
    raise NoFaceError(f"{path}: there is no face {number}: {what}")


def own_side(
    shape: tuple[int, ...], crop: np.ndarray, boxes: np.ndarray, index: int, settings: SeveralSettings = _SETTINGS
) -> np.ndarray:
    """How much of a crop is on one person's own side of the others: (H, W) float32 in 0..1, soft at its border.

    A place belongs to the face that is fewest of its own sizes away.

    Args:
        shape: H, W of the crop as it is drawn. crop: (3,) x, y, side of it in the picture.
        boxes: (N, 4) of the faces in pixels of the picture. index: of the person among them.
    """
    height, width = shape
    x = float(crop[0]) + (np.arange(width) + 0.5) * float(crop[2]) / width
    y = float(crop[1]) + (np.arange(height) + 0.5) * float(crop[2]) / height

    def away(box: np.ndarray) -> np.ndarray:
        middle = box_middle(box) + 0.5
        return np.hypot(x[None] - middle[0], y[:, None] - middle[1]) / box_size(box)

    own = away(boxes[index])
    side = np.ones(shape, np.float32)
    for i, box in enumerate(boxes):
        if i != index:
            side = np.minimum(side, np.clip((away(box) - own) / settings.soft + 0.5, 0, 1))
    return side.astype(np.float32)


class FaceCount:
    """Counts the faces of a clip in a few of its frames.

    Attributes:
        most: in one of the frames seen.
    """

    def __init__(self, tracker: FaceTracker, settings: SeveralSettings = _SETTINGS) -> None:
        self._tracker, self._settings = tracker, settings
        self._next, self.most = 0, 0

    def see(self, index: int, image: np.ndarray) -> None:
        """A frame by its number; it is looked at where its turn has come."""
        if index < self._next or not isinstance(self._tracker, ManyFaceTracker):
            return
        self._next = max(self._settings.first, self._settings.growth * index)
        self.most = max(self.most, len(self._tracker.faces(image)))

    def save(self, folder: Path) -> None:
        """Keep the count, where there is more than one face, beside what was tracked in a folder."""
        if self.most > 1:
            save_arrays(folder / COUNT_FILE, {"most": np.int64(self.most)})
        else:
            (folder / COUNT_FILE).unlink(missing_ok=True)

    @classmethod
    def load(cls, folder: Path) -> int:
        """The count that was kept in a folder; 1 where there is none."""
        try:
            return int(load_arrays(folder / COUNT_FILE)["most"])
        except (UserError, KeyError, TypeError, ValueError):
            return 1
