"""The square crop around a head: upstream's for a picture; for a clip, as constant as keeps the face inside."""

from __future__ import annotations

import cv2
import numpy as np

from core.data.records import IMAGE_SIZE
from core.libs.flame_model.topology import N_FACE, OUTER_LIPS
from core.libs.tracker.mouth_ring import face_size
from core.libs.tracker.settings import CropSettings

_SETTINGS = CropSettings()


def face_box(points: np.ndarray) -> np.ndarray:
    """x0, y0, x1, y1 (..., 4) of the face surface among points (..., 478, 3)."""
    surface = points[..., :N_FACE, :2]
    return np.concatenate([surface.min(-2), surface.max(-2)], -1)


def head_box(points: np.ndarray, size: int = IMAGE_SIZE) -> np.ndarray:
    """x0, y0, x1, y1 (..., 4) float32 of the face surface in 0..1 of the crop, of points in its pixels."""
    return np.clip(face_box(points) / size, 0, 1).astype(np.float32)


def crop_around(box: np.ndarray, settings: CropSettings = _SETTINGS) -> np.ndarray:
    """x, y, side (..., 3) of the crop around a face's box (..., 4)."""
    side = settings.expansion * np.sqrt((box[..., 2] - box[..., 0]) * (box[..., 3] - box[..., 1]))
    corner = (box[..., :2] + box[..., 2:]) / 2 - side[..., None] / 2
    return np.concatenate([corner, side[..., None]], -1)


def steady_crops(box: np.ndarray, settings: CropSettings = _SETTINGS) -> np.ndarray:
    """Crops (T, 3) for the face's boxes in a clip (T, 4).

    The crops around each box, smoothed by the strongest of `settings.frames` with which the face stays inside in all
    frames: a crop that follows the head makes the shoulders drift, a constant one shows the head move as it was filmed.
    """
    wanted = crop_around(box, settings)
    centre = np.concatenate([wanted[:, :2] + wanted[:, 2:] / 2, wanted[:, 2:]], 1)
    for frames in settings.frames:
        smooth = np.broadcast_to(np.median(centre, 0), centre.shape) if np.isinf(frames) else _both_ways(centre, frames)
        crops = np.concatenate([smooth[:, :2] - smooth[:, 2:] / 2, smooth[:, 2:]], 1)
        low, high = box[:, :2] - crops[:, :2], crops[:, :2] + crops[:, 2:] - box[:, 2:]
        room = np.minimum(low, high).min(1) / crops[:, 2]
        size = wanted[:, 2] / crops[:, 2]
        if (room > settings.room).all() and (size > settings.smallest).all() and (size < settings.largest).all():
            break
    return crops.astype(np.float32)


def crop_image(image: np.ndarray, crop: np.ndarray, size: int = IMAGE_SIZE) -> np.ndarray:
    """The crop (x, y, side) of a picture (H, W, 3) as (size, size, 3) uint8, black beyond the picture."""
    x, y, side = (float(v) for v in crop)
    factor = size / side
    if factor < 1 / 1.5:  # shrinking: cut, then average areas, as warping would alias
        pad = 2
        x0, y0 = int(np.floor(x)) - pad, int(np.floor(y)) - pad
        n = int(np.ceil(side)) + 2 * pad + 1
        half = max(2, round(n * factor * 1.25))
        part = cv2.resize(_cut(image, x0, y0, n), (half, half), interpolation=cv2.INTER_AREA)
        ratio = half / n
        return crop_image(part, np.array([(x - x0) * ratio, (y - y0) * ratio, side * ratio]), size)
    matrix = np.array([[factor, 0, (0.5 - x) * factor - 0.5], [0, factor, (0.5 - y) * factor - 0.5]])
    flags = cv2.INTER_LINEAR if factor < 1.2 else cv2.INTER_CUBIC
    return cv2.warpAffine(image, matrix, (size, size), flags=flags)


def compared_crop(image: np.ndarray, crop: np.ndarray, size: int) -> np.ndarray:
    """The crop (x, y, side) of a picture (H, W, 3) or of its grey levels (H, W) as grey levels (size, size) uint8,
    black beyond the picture.

    For comparing frames with one another, many times as fast as `crop_image`: halved while it is larger by half, then
    interpolated. Of a picture that was `halved` before, as often as `halvings` says at most, it is the same.
    """
    crop, inside = _within(image, crop, 1 << halvings(float(crop[2]), size))
    if not inside.size:
        return np.zeros((size, size), np.uint8)
    grey = cv2.cvtColor(inside, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else inside
    small, crop = _halved_down_to(grey, crop, 1.5 * size)
    return _warped(small, crop, size, (0, 0, size, size))


def halvings(side: float, size: int) -> int:
    """How often `compared_crop` halves a picture whose crop is `side` pixels wide and becomes `size` wide."""
    count = 0
    while side >= 1.5 * size:
        side, count = side / 2, count + 1
    return count


def crop_part(image: np.ndarray, crop: np.ndarray, part: np.ndarray, size: int = IMAGE_SIZE) -> np.ndarray:
    """A rectangle of the crop alone: x0, y0, x1, y1 (4,) whole pixels of it, as it would be in one `size` wide.

    For reading colours, not for showing: halved while it is larger by two, then interpolated.
    """
    scale = float(crop[2]) / size
    whole = 1 << int(np.log2(max(scale, 1.0)))  # pixels that become one
    crop, inside = _within(image, crop, whole)
    crop, inside = _as_far_as(inside, crop, part, scale, whole)
    if not inside.size:
        return np.zeros((part[3] - part[1], part[2] - part[0], 3), np.uint8)
    small, crop = _halved_down_to(inside, crop, 2 * size)
    return _warped(small, crop, size, tuple(int(v) for v in part))


def mouth_part(points: np.ndarray, size: int = IMAGE_SIZE, cheeks: bool = True, margin: int = 8) -> np.ndarray:
    """x0, y0, x1, y1 (4,) of the face in its crop: what a look into its mouth takes, for `crop_part`.

    The whole face with its `cheeks`, whose colour is read now and then, else the lips as far as they may be searched.
    `margin` pixels more on every side, as far as the crop goes.
    """
    if cheeks:
        box = face_box(points)
    else:
        lips = points[..., list(OUTER_LIPS), :2]
        reach = 0.12 * face_size(points)  # further than the ring and its view go
        box = np.concatenate([lips.min(-2) - reach, lips.max(-2) + reach], -1)
    box = box + np.array([-margin, -margin, margin + 1, margin + 1])
    corner = np.clip(box[:2], 0, size - 2)
    return np.concatenate([corner, np.maximum(np.clip(box[2:], 0, size), corner + 2)]).astype(int)


def halved(image: np.ndarray) -> np.ndarray:
    """A picture (H, W, ...) of half the size: the means of every four pixels; an odd row or column is left out."""
    height, width = image.shape[0] // 2, image.shape[1] // 2
    return cv2.resize(image[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)


def to_crop(points: np.ndarray, crops: np.ndarray, size: int = IMAGE_SIZE) -> np.ndarray:
    """Points (..., N, 3) of the picture in pixels of its crop (..., 3), which is drawn `size` pixels wide."""
    factor = size / crops[..., 2]
    out = points * factor[..., None, None]
    out[..., :2] = (points[..., :2] - crops[..., None, :2] + 0.5) * factor[..., None, None] - 0.5
    return out


def _within(image: np.ndarray, crop: np.ndarray, whole: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The crop (x, y, side) in what of the picture it covers, and that, a view.

    So many pixels as `whole` become one: it begins and ends where these do in the picture.
    """
    x, y, side = (float(v) for v in crop)
    height, width = image.shape[:2]
    x0, y0 = (int(np.clip(v // whole - 1, 0, most // whole)) * whole for v, most in ((x, width), (y, height)))
    x1, y1 = (
        int(np.clip(np.ceil((v + side) / whole) + 2, 0, -(-most // whole))) * whole
        for v, most in ((x, width), (y, height))
    )
    return np.array([x - x0, y - y0, side]), image[y0:y1, x0:x1]


def _as_far_as(
    image: np.ndarray, crop: np.ndarray, part: np.ndarray, scale: float, whole: int
) -> tuple[np.ndarray, np.ndarray]:
    """The crop (x, y, side) in what of a picture a part of it takes, and that, a view.

    It begins where so many pixels as `whole` begin, which become one: halves are those of the whole picture. `scale`:
    pixels of the picture in one of the crop's.
    """
    low, high = crop[:2] + part[:2] * scale, crop[:2] + part[2:] * scale
    x0, y0 = (max(0, int(v // whole) - 2) * whole for v in low)
    x1, y1 = (max(0, int(v // whole) + 4) * whole for v in high)
    return crop - [x0, y0, 0], image[y0:y1, x0:x1]


def _halved_down_to(image: np.ndarray, crop: np.ndarray, side: float) -> tuple[np.ndarray, np.ndarray]:
    """A picture and its crop (x, y, side), halved until the crop is less than `side` wide."""
    while crop[2] >= side and min(image.shape[:2]) >= 2:
        image, crop = halved(image), crop / 2
    return image, crop


def _warped(image: np.ndarray, crop: np.ndarray, size: int, part: tuple[int, ...]) -> np.ndarray:
    """The part (x0, y0, x1, y1) of a crop that is drawn `size` wide."""
    x, y, side = (float(v) for v in crop)
    factor = size / side
    x0, y0, x1, y1 = part
    matrix = np.array([[factor, 0, (0.5 - x) * factor - 0.5 - x0], [0, factor, (0.5 - y) * factor - 0.5 - y0]])
    flags = cv2.INTER_LINEAR if factor < 1.2 else cv2.INTER_CUBIC
    return cv2.warpAffine(image, matrix, (x1 - x0, y1 - y0), flags=flags)


def _both_ways(values: np.ndarray, frames: float) -> np.ndarray:
    """Exponential smoothing forwards and backwards: no lag."""
    from scipy.signal import filtfilt

    gain = 1 - np.exp(-1 / frames)
    pad = min(len(values) - 1, int(4 * frames))
    return filtfilt([gain], [1, gain - 1], values, axis=0, padtype="odd", padlen=pad) if pad > 0 else values


def _cut(image: np.ndarray, x: int, y: int, side: int) -> np.ndarray:
    """A square of a picture, black beyond it."""
    height, width = image.shape[:2]
    out = np.zeros((side, side, *image.shape[2:]), image.dtype)
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + side, width), min(y + side, height)
    if x1 > x0 and y1 > y0:
        out[y0 - y : y1 - y, x0 - x : x1 - x] = image[y0:y1, x0:x1]
    return out
