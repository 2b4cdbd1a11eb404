"""The matte of the person in a photo: three looks of the segmenter, made to agree, and only what hangs on the face.

The segmenter sees whatever it is given as 256x256 pixels. The shown crop has the finest edge, but a crop through
shoulders or along a dark corner misleads it: lamps, bars and shadows come along. The whole photo has a coarse edge and
is hardly ever wrong about what is a person. So the whole photo says where the edge may be and the crops where it is;
then the edge itself, hair by hair, is solved for from the photo's colours (`matting.py`).
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from core.data.records import IMAGE_SIZE
from core.libs.flame_model.topology import N_FACE
from core.libs.foreground import share_of
from core.libs.nearest import nearest_means
from core.libs.numeric import over_channels, smoothstep
from core.libs.tracker.crop import crop_image
from core.libs.tracker.matte_settings import MatteSettings
from core.libs.tracker.matting import solved_matte
from core.libs.tracker.morphology import closed, dilated, disc

Segmenter = Callable[[np.ndarray], np.ndarray]  # (H, W, 3) uint8 RGB to (H, W) in 0..1


MATTE = MatteSettings()
VERSION = "7"  # of all here that changes what comes out


def photo_matte(
    image: np.ndarray,
    wide_crop: np.ndarray,
    pixels: np.ndarray,
    inside: np.ndarray,
    points: np.ndarray,
    margin: int,
    segment: Segmenter,
    settings: MatteSettings = MATTE,
) -> np.ndarray:
    """The matte (S, S) float32 in 0..1 of the person in a wide crop.

    Args:
        image: (H, W, 3) uint8 RGB, the whole photo. wide_crop: (3,) x, y, side of the crop in it.
        pixels: (S, S, 3) uint8, the wide crop. inside: (S, S) bool, where it shows the photo.
        points: (478, 2 or more) the tracker's points in pixels of the wide crop.
        margin: pixels that the wide crop has more than the shown one on every side.
        segment: looks at one picture.
    """
    return begin_matte(image, wide_crop, pixels, inside, points, margin, segment, settings)()


def begin_matte(
    image: np.ndarray,
    wide_crop: np.ndarray,
    pixels: np.ndarray,
    inside: np.ndarray,
    points: np.ndarray,
    margin: int,
    segment: Segmenter,
    settings: MatteSettings = MATTE,
) -> Callable[[], np.ndarray]:
    """What gives the same: the segmenter has looked when this returns, and is not asked again."""
    size = len(pixels)
    looked, agreed = _looks(pixels, margin, segment, settings)
    coarse = np.array(segment(image), np.float32)

    def rest() -> np.ndarray:
        matte, whole = looked, crop_image(coarse, wide_crop, size)
        face = _face(points, (size, size))
        seen = [look[face > 0].mean() if face.any() else 1.0 for look in (looked, whole)]
        if seen[1] > settings.face:
            cell = max(image.shape[:2]) / settings.grid * size / float(wide_crop[2])
            # Two looks that are sure outvote it: what is small in the whole photo, it may overlook
            whole = np.where(agreed > settings.sure, np.maximum(whole, agreed), whole)
            matte = _between(matte, whole, inside, settings.cells * cell)
        elif seen[0] < settings.face:
            # A segmenter may fail where a photo shows hardly more than a face. Which that is the tracker has said, and
            # a face alone that moves before its own hair is worse than a head that is a little too large.
            matte = np.maximum(matte, _head(face, settings))
        matte = np.maximum(matte, cv2.erode(face, disc(settings.rim * _height(face))))
        matte = _connected(matte * inside, face > 0, settings)
        matte = _connected(solved_matte(pixels, matte, inside, settings), face > 0, settings)
        return _completed(pixels, matte, inside, settings).astype(np.float32)

    return rest


def one_look(image: np.ndarray, points: np.ndarray, segment: Segmenter, settings: MatteSettings = MATTE) -> np.ndarray:
    """The matte (H, W) in 0..1 of whoever has a face at `points` (478, 2 or more) in a picture (H, W, 3) uint8."""
    seen = np.asarray(segment(image), np.float32)
    return _connected(seen, _face(points, image.shape[:2]) > 0, settings)


def _face(points: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The face (H, W) uint8 of the tracker's points in pixels."""
    face = np.zeros(shape[:2], np.uint8)
    cv2.fillConvexPoly(face, cv2.convexHull(points[:N_FACE, :2].round().astype(np.int32)), 1)
    return face


def _head(face: np.ndarray, settings: MatteSettings) -> np.ndarray:
    """The head (H, W) float32 in 0 and 1 that a face (H, W) uint8 has usually, with a neck down to the border."""
    head = dilated(face > 0, settings.hair * _height(face))
    rows = np.flatnonzero(face.any(1))
    neck = cv2.erode(face, disc(settings.neck * _height(face)))
    head[rows[-1] :] |= neck.any(0)
    return head.astype(np.float32)


def _height(face: np.ndarray) -> int:
    """Of a face (H, W), in pixels."""
    rows = np.flatnonzero(face.any(1))
    return int(rows[-1] - rows[0] + 1) if len(rows) else 0


def without_bars(image: np.ndarray, settings: MatteSettings = MATTE) -> np.ndarray:
    """Where a picture (H, W, 3) uint8 shows something, (H, W) bool: not in bars of one colour along its borders.

    A bar is two rows or columns or more, of one colour all along, beside which the picture begins all along.
    """
    shown = np.ones(image.shape[:2], bool)
    height, width = shown.shape
    top, bottom = _bar(image, settings.bar), height - _bar(image[::-1], settings.bar)
    left = _bar(image.swapaxes(0, 1), settings.bar)
    right = width - _bar(image.swapaxes(0, 1)[::-1], settings.bar)
    if top >= bottom or left >= right:
        return shown
    shown[:top] = shown[bottom:] = False
    shown[:, :left] = shown[:, right:] = False
    return shown


def _bar(rows: np.ndarray, limit: float) -> int:
    """How many of the first rows (H, W, 3) are a bar: of the first one's colour, and the picture begins all along it.

    A wall behind a head is of one colour too, but the head begins in the middle of a row.
    """
    color, count = np.median(rows[0], 0), 0
    while count < len(rows):  # by pieces: most pictures have no bar, and only their first rows are looked at
        piece = rows[count : 2 * count + 8]
        uniform = np.abs(piece.astype(np.float32) - color).mean(2).mean(1) < limit
        count += len(piece) if uniform.all() else int(uniform.argmin())
        if not uniform.all():
            break
    if not 1 < count < len(rows) - 1:
        return 0
    # The border itself may be blurred over two pixels; a slow gradient is no border
    begins = np.abs(rows[count + 1].astype(np.float32) - rows[count - 2]).mean(1) > 2 * limit
    return count if begins.mean() > 0.5 else 0


def two_looks(pixels: np.ndarray, margin: int, segment: Segmenter, settings: MatteSettings = MATTE) -> np.ndarray:
    """The matte (S, S) of a wide crop; what is shown of it is looked at on its own, where it is seen larger."""
    return _looks(pixels, margin, segment, settings)[0]


def _looks(pixels: np.ndarray, margin: int, segment: Segmenter, settings: MatteSettings) -> tuple[np.ndarray, ...]:
    """The matte (S, S) of `two_looks`, and what both looks agree on: 0 where only the wide crop is looked at."""
    wide = np.array(segment(pixels), np.float32)
    size = len(pixels) - 2 * margin
    shown = slice(margin, margin + size)
    edge = np.minimum(np.arange(size), np.arange(size)[::-1])
    share = np.clip(np.minimum.outer(edge, edge) / (settings.seam * size / IMAGE_SIZE), 0, 1)
    matte, agreed = wide.copy(), np.zeros_like(wide)
    near = segment(np.ascontiguousarray(pixels[shown, shown]))
    matte[shown, shown] += share * (near - wide[shown, shown])
    agreed[shown, shown] = np.minimum(near, wide[shown, shown])
    return matte, agreed


def _between(matte: np.ndarray, whole: np.ndarray, inside: np.ndarray, reach: float) -> np.ndarray:
    """A matte held between a coarse one (S, S) that is shrunk and one that is grown by `reach` pixels.

    Beyond the photo nothing is known: there the coarse one continues as it is at the photo's border.
    """
    person = np.where(inside, whole, 0)
    kernel = disc(reach)
    most = cv2.GaussianBlur(cv2.dilate(person, kernel), (0, 0), max(reach / 2, 0.5))
    known = np.where(inside, whole, 1)  # the photo's border is no edge of the person
    least = cv2.GaussianBlur(cv2.erode(known, kernel), (0, 0), max(reach / 2, 0.5))
    return np.maximum(np.minimum(matte, most), least)


def _completed(pixels: np.ndarray, matte: np.ndarray, inside: np.ndarray, settings: MatteSettings) -> np.ndarray:
    """The matte (S, S) with what the photo's colours say beside it, where the background around is plain.

    What lies in a bite of the outline and is unlike the background is worn: a clip, a ribbon. What lies just outside
    and is on the way from the background's colour to the person's is the person's blurred edge, or hair.
    """
    scale = len(matte) / IMAGE_SIZE
    person, sure = matte > settings.person, matte > settings.opaque
    if not sure.any():
        return matte
    filled = closed(person, settings.bite * scale)
    ground = (~dilated(filled, settings.clear * scale) & inside).astype(np.float32)
    size = (2 * round(settings.around * scale) + 1,) * 2
    share = cv2.blur(ground, size)
    colors = pixels.astype(np.float32) / 255
    mean = cv2.blur(colors * ground[..., None], size) / np.maximum(share, 1e-6)[..., None]
    square = cv2.blur(colors**2 * ground[..., None], size) / np.maximum(share, 1e-6)[..., None]
    spread = np.sqrt(over_channels(np.add, np.maximum(square - mean**2, 0)))
    known = inside & (share > settings.known)

    away = np.sqrt(over_channels(np.add, (colors - mean) ** 2))
    unlike = smoothstep(away - settings.spread * spread, *settings.unlike)
    around = dilated(filled, settings.bite * scale) & ~person
    things = ((unlike > 0.5) & around & known).astype(np.uint8)
    things = cv2.morphologyEx(things, cv2.MORPH_OPEN, disc(settings.thick * scale))  # outlines are blurred, too
    _, labels = cv2.connectedComponents(things)
    held = np.bincount(labels[filled & ~person], minlength=labels.max() + 1) / np.maximum(
        np.bincount(labels.ravel()), 1
    )
    held[0] = 0
    beside = disc(settings.beside * scale)
    near = cv2.dilate((held > settings.held).astype(np.uint8)[labels], beside) > 0
    worn = np.maximum(matte, np.where(near & known, unlike, 0))
    worn = np.where(near, cv2.morphologyEx(worn.astype(np.float32), cv2.MORPH_CLOSE, beside), worn)

    part, told = share_of(colors, nearest_means(colors, sure, settings.blurred * scale), mean)
    told = told * (1 - smoothstep(spread, *settings.plain)) * smoothstep(part, *settings.soft)
    edge = dilated(person, settings.edge * scale)
    # The colours of an edge end with it: what goes on beyond is a shadow on the background.
    ring = dilated(person, (settings.edge + settings.beyond) * scale) & ~edge & inside
    ring = (ring & (matte < 1 - settings.opaque)).astype(np.float32)
    size = (2 * round((settings.edge + settings.beyond) * scale) + 1,) * 2
    goes_on = cv2.blur(part * ring, size) / np.maximum(cv2.blur(ring, size), 1e-6)
    told = told * (1 - smoothstep(goes_on, *settings.shade))
    edge &= known
    return np.where(edge, np.maximum(worn, told * part), worn)


def _connected(matte: np.ndarray, face: np.ndarray, settings: MatteSettings) -> np.ndarray:
    """The matte of the part that holds most of the face, with the faint edge around it, small holes filled."""
    size = float(np.sqrt(matte.size))
    _, labels = cv2.connectedComponents((matte > settings.person).astype(np.uint8))
    held = np.bincount(labels[face & (labels > 0)], minlength=1)
    if not held.any():
        return matte
    person = labels == held.argmax()
    _, holes, stats, _ = cv2.connectedComponentsWithStats((~person).astype(np.uint8), connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] < settings.hole * size * size
    small[0] = False  # the person
    matte = np.where(small[holes], 1.0, matte)
    away = cv2.distanceTransform((~person).astype(np.uint8), cv2.DIST_L2, 5)
    near = settings.near * size
    return matte * np.clip(2 - away / (near / 2), 0, 1)
