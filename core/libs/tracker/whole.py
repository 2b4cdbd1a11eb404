"""A person in a whole photo: the crop in which all that moves lies, at the photo's own scale and on its own pixels."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from core.libs.numeric import runs, smoothstep
from core.libs.tracker.base import FaceTracker
from core.libs.tracker.crop import crop_image
from core.libs.tracker.guided_filter import guided_filter
from core.libs.tracker.matte import one_look, photo_matte, without_bars
from core.libs.tracker.matte_settings import MatteSettings
from core.libs.tracker.settings import WholeSettings

VERSION = "9"  # of all here that changes what comes out
_SETTINGS = WholeSettings()


def fit_photo(image: np.ndarray, settings: WholeSettings = _SETTINGS) -> np.ndarray:
    """A photo (H, W, 3) uint8, reduced where a side of it is longer than `settings.largest` pixels."""
    height, width = image.shape[:2]
    factor = settings.largest / max(height, width)
    if factor >= 1:
        return image
    return cv2.resize(image, (round(width * factor), round(height * factor)), interpolation=cv2.INTER_AREA)


def shown_box(image: np.ndarray) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of a picture (H, W, 3) without the bars along its borders."""
    shown = without_bars(image)
    rows, columns = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def shown_share(image: np.ndarray, crop: np.ndarray) -> float:
    """How much of a crop (x, y, side) a picture (H, W, 3) shows: 0..1."""
    box = np.array(shown_box(image), np.float64)
    sides = np.minimum(box[2:], crop[:2] + crop[2]) - np.maximum(box[:2], crop[:2])
    return float(np.maximum(sides, 0).prod() / crop[2] ** 2)


@dataclass(frozen=True)
class WholeCrop:
    """The crop of a whole photo that is drawn.

    Attributes:
        crop: (3,) int64 x, y and side of its shown part, the head's, in pixels of the photo.
        size: pixels that this is drawn with, the same number where the photo's scale is kept. margin: pixels drawn
            beside it, on every side.
    """

    crop: np.ndarray
    size: int
    margin: int

    @property
    def wide(self) -> np.ndarray:
        """(3,) x, y and side with the margin, in pixels of the photo."""
        part = self.margin * float(self.crop[2]) / self.size
        return np.array([self.crop[0] - part, self.crop[1] - part, self.crop[2] + 2 * part])


def whole_crop(crop: np.ndarray, settings: WholeSettings = _SETTINGS) -> WholeCrop:
    """Around the crop (3,) of a head: on whole pixels, at a smaller scale where it has too many."""
    side = max(round(float(crop[2])), 1)
    corner = np.round(crop[:2] + (crop[2] - side) / 2).astype(np.int64)
    size = min(side, round(settings.drawn / (1 + 2 * settings.margin)))
    return WholeCrop(np.array([*corner, side]), size, round(settings.margin * size))


def mirrored(picture: np.ndarray, whole: WholeCrop, box: tuple[int, int, int, int]) -> np.ndarray:
    """The wide crop (S, S, ...) of a picture (H, W, ...), which goes on beyond a box of it as its mirror image."""
    x, y, side = whole.wide
    x0, y0 = int(np.floor(x)) - 2, int(np.floor(y)) - 2
    count = int(np.ceil(side)) + 5
    rows = _mirror(np.arange(y0, y0 + count), box[1], box[3])
    columns = _mirror(np.arange(x0, x0 + count), box[0], box[2])
    part = picture[rows[:, None], columns]
    return crop_image(part, np.array([x - x0, y - y0, side]), whole.size + 2 * whole.margin)


def whole_pixels(
    image: np.ndarray,
    whole: WholeCrop,
    points: np.ndarray,
    tracker: FaceTracker,
    settings: WholeSettings = _SETTINGS,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The wide crop (S, S, 3) uint8 of a photo (H, W, 3), mirrored beyond it, and the matte (S, S) of the person.

    Also returns where the crop shows the photo or as much of its mirror image as may come into sight, (S, S) bool.

    Args:
        points: (478, 2 or more) the tracker's points in pixels of the photo.

    The matte is solved for at no more than `settings.solved` pixels; a guided filter (He, Sun and Tang 2013) takes it
    to the photo's own.
    """
    box = shown_box(image)
    pixels = mirrored(image, whole, box)
    side = len(pixels)
    solved = min(side, settings.solved)
    wide, margin = whole.wide, round(whole.margin * solved / side)
    # Mirrored: a person who is cut by black is seen to end before it
    small = pixels if solved == side else cv2.resize(pixels, (solved, solved), interpolation=cv2.INTER_AREA)
    inside = crop_image(255 * without_bars(image).astype(np.uint8), wide, solved) > 127
    factor = solved / wide[2]
    placed = (points[:, :2] - wide[:2] + 0.5) * factor - 0.5
    matte = photo_matte(image, wide, small, inside, placed, margin, tracker.matte)
    # Back on the photo's pixels, so that it is mirrored where they are
    inset = wide[2] / solved  # the border's own pixels are mixtures
    y, x = (_mirror_at(np.arange(side), start, side / wide[2], *ends, inset) for start, ends in _axes(wide, box))
    across, down = np.meshgrid(*((v * solved / side + 0.5 * solved / side - 0.5).astype(np.float32) for v in (x, y)))
    matte = cv2.remap(matte, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    if solved < side:
        radius = max(2, round(settings.guided * side / solved))
        matte = guided_filter(pixels, matte, radius, settings.smoothing * 255**2)
    place = np.arange(side)
    reach = settings.mirrored * whole.size
    near = [
        (place > (low - start) * side / wide[2] - reach) & (place < (high - start) * side / wide[2] + reach)
        for start, (low, high) in _axes(wide, box)
    ]
    matte = _rounded(np.clip(matte, 0, 1), wide, box, points, settings)
    return pixels, matte.astype(np.float32), near[0][:, None] & near[1]


def _rounded(
    matte: np.ndarray, wide: np.ndarray, box: tuple[int, int, int, int], points: np.ndarray, settings: WholeSettings
) -> np.ndarray:
    """The matte (S, S) of a person whose head ends soon beyond the sides of a photo: ears and hair, and no second face.

    What a side cuts of a head goes on as half an ellipse. Shoulders go on as they are mirrored.
    """
    side, scale = len(matte), len(matte) / wide[2]
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    place = (np.arange(side) + 0.5) / scale
    across, down = place + wide[0], place + wide[1]
    head = 1 - smoothstep((down - high[1]) / (settings.shoulders * (high[1] - low[1])), -1, 0)
    out = matte.copy()
    for beyond, room in ((box[0] - across, low[0] - box[0]), (across - box[2], box[2] - high[0])):
        beside, within = np.flatnonzero(beyond > 0), np.flatnonzero(beyond < -settings.border / scale)
        if not len(beside) or not len(within):
            continue
        cut = matte[:, within[0] if beside[0] < within[0] else within[-1]] > 0.5
        depth = np.zeros(side)
        for first, end in runs(cut):
            rows = np.arange(end - first) + 0.5
            depth[first:end] = settings.bulge * np.sqrt(rows * (end - first - rows))
        most = settings.cheek * max(room, settings.beside * (high[0] - low[0])) * scale
        columns = slice(beside[0], beside[-1] + 1)
        past = beyond[columns] * scale - np.minimum(depth, most)[:, None]
        out[:, columns] *= 1 - head[:, None] * smoothstep(past / (settings.edge * scale), 0, 1)
    return out


def whole_matte(image: np.ndarray, points: np.ndarray, tracker: FaceTracker, settings: MatteSettings) -> np.ndarray:
    """The matte (H, W) uint8 of a person in a photo (H, W, 3), as the tracker sees it in one look.

    `points`: (478, 2 or more) the tracker's points in pixels of the photo.
    """
    return np.rint(255 * one_look(image, points, tracker.matte, settings)).astype(np.uint8)


def _axes(wide: np.ndarray, box: tuple[int, int, int, int]) -> tuple[tuple[float, tuple[int, int]], ...]:
    """Where a crop begins and the box's ends, down and across."""
    return ((float(wide[1]), (box[1], box[3])), (float(wide[0]), (box[0], box[2])))


def _mirror(places: np.ndarray, start: int, end: int) -> np.ndarray:
    """Places (N,) int along an axis, mirrored into start .. end - 1, both of which come twice."""
    length = end - start
    places = (places - start) % (2 * length)
    return start + np.where(places < length, places, 2 * length - 1 - places)


def _mirror_at(pixels: np.ndarray, start: float, scale: float, low: int, high: int, inset: float) -> np.ndarray:
    """Pixels (N,) of a crop that begins at `start` of the photo, mirrored into low .. high less an inset of it."""
    places = (pixels + 0.5) / scale + start  # of the photo, edges at integers
    length = high - low
    over = (places - low) % (2 * length)
    mirrored = low + np.where(over < length, over, 2 * length - over)
    places = np.clip(mirrored, low + min(inset, length / 2), high - min(inset, length / 2))
    return (places - start) * scale - 0.5
