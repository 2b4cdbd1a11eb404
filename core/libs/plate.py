"""The plate of a photo: what stood behind the person, completed where the person was.

Most of it is never seen: a band beside the head is, when that turns or moves away. Lines that run behind the head go on
(`coherence`), then what the background is made of, patch by patch (`patch_match`), and its texture is the photo's own
at full size. The colours where both meet, and between patches from different places, are made to agree by Poisson's
equation: in a plain or blurred background, where every step shows, that leaves its slow gradients and its grain.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from core.libs.coherence import fill_along
from core.libs.nearest import nearest_values
from core.libs.numeric import over_channels, smoothstep
from core.libs.patch_match import PatchSettings, complete, taken_from
from core.libs.poisson import differences, fill_hole

VERSION = "17"  # of all that changes what comes out


@dataclass(frozen=True)
class PlateSettings:
    """How a plate is made. By eye, on portraits of 512 to 1024 pixels.

    Attributes:
        faint: matte from which a pixel is completed in part, and from which it is wholly.
        opaque: matte from which a pixel has the person's own colour.
        near: pixels from which that colour is taken, of a 512-pixel picture.
        beside: pixels beside it that are not either, where hair is too fine for the matte; of a 512-pixel picture.
        sources: how far from the person patches are taken, over the radius of the largest disc that fits into them.
        size: pixels of the longer side of the picture in which patches are looked for.
        patches: how they are put together.
        steps: grey levels by which patches differ from what the rim makes of it, from which and to which they count.
        strays: how far from the person pixels of their colours are theirs too, where these lead there: hair that the
            matte does not have; of a 512-pixel picture.
        mixed: share of the person's colour, over the background's, from which on a pixel is one of those.
        off: grey levels by which it may be another mixture, and that over what the two colours are apart.
        apart: grey levels by which the two must differ to be told apart.
        thin: pixels across, of a 512-pixel picture, below which hair is: what is wider is the background's. few: pixels
            of the small picture, below which a piece is none.
        bin: grey levels of a channel within which colours of the person are one; least: of their outline, at which
            that is one of theirs.
        nearest: how far away a colour of the person may be, over the nearest one.
        alike: grey levels within which a colour that the background has farther away is its own. along: how far away,
            over `strays`; the farther, the fewer grey levels.
        lines: pixels of that picture around a place that differs by the latter, which count, too: both sides of a line.
        grain: standard deviation up to which what is in a patch is grain, pixels of a 512-pixel picture.
        reach: how far the photo's colours tell beside the patches', of the longer side. rim: grey levels by which they
            tell at most.
    """

    faint: tuple[float, float] = (0.02, 0.15)
    opaque: float = 0.95
    near: float = 24.0
    beside: float = 3.0
    sources: float = 0.4
    size: int = 256
    patches: PatchSettings = field(default_factory=lambda: PatchSettings(tone=0.6))
    steps: tuple[float, float] = (12.0, 36.0)
    strays: float = 24.0
    mixed: float = 0.4
    off: tuple[float, float] = (6.0, 0.12)
    apart: float = 30.0
    thin: float = 8.0
    few: int = 4
    bin: float = 40.0
    least: float = 0.02
    nearest: float = 1.4
    alike: float = 14.0
    along: float = 3.0
    lines: int = 6
    grain: float = 2.0
    reach: float = 0.05
    rim: float = 40.0


_DEFAULT = PlateSettings()
_UNIT = 512  # pixels of the picture that lengths are of


def make_plate(
    image: np.ndarray,
    matte: np.ndarray,
    inside: np.ndarray | None = None,
    settings: PlateSettings = _DEFAULT,
    textured: bool = True,
) -> np.ndarray:
    """What stands behind a person.

    Args:
        image: (H, W, 3) uint8 RGB, a whole photo or a crop of it. matte: (H, W) in 0..1, of the person.
        inside: (H, W) bool, where a crop shows the photo, and what lies beyond is completed too; None: all of a
            whole photo, in which hair that the matte does not have is not looked for.
        textured: False: by colours alone, as smoothly as can be, which takes a tenth of the time.
    Returns:
        (H, W, 3) uint8. It is the picture where the matte is 0, a band beside the person excepted.
    """
    longer = max(matte.shape)
    reach = max(1, round(settings.beside * longer / _UNIT))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2)
    near = cv2.dilate(matte.astype(np.float32), disc)
    person = near > settings.faint[0]
    if inside is not None:  # a crop darkens at the photo's very border
        near[cv2.erode(inside.astype(np.uint8), np.ones((7, 7))) == 0] = 1
    hole = near > settings.faint[0]
    if hole.all():
        return image.copy()
    picture = _without_person(image, matte, settings)
    # In a whole photo people are small, and other things end beside them
    if textured and inside is not None:
        remains = _remains(picture, matte, hole, person, settings)
        near = np.maximum(near, cv2.GaussianBlur(remains, (0, 0), max(0.5, reach / 2)))
        hole = near > settings.faint[0]
    share = smoothstep(near, *settings.faint)[..., None]
    completed = (_patched if textured else _smooth)(picture, hole, settings)
    filled = picture + share * (completed - picture)
    return np.rint(filled).clip(0, 255).astype(np.uint8)


def _without_person(image: np.ndarray, matte: np.ndarray, settings: PlateSettings) -> np.ndarray:
    """The picture (H, W, 3) float32 without the little of the person that is in it where the matte is faint.

    A pixel is matte x person + (1 - matte) x background; the person's colour is that of what is opaque nearby. No more
    is taken away than the pixel differs from the background nearby: a matte is faint where nobody is, too.
    """
    picture = image.astype(np.float32)
    size = (2 * max(1, round(settings.near * max(matte.shape) / _UNIT)) + 1,) * 2

    def nearby(where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        share = cv2.blur(where.astype(np.float32), size)
        return share, cv2.blur(picture * where[..., None], size) / np.maximum(share, 1e-6)[..., None]

    share, person = nearby(matte > settings.opaque)
    known, behind = nearby(matte < settings.faint[0])
    apart = person - behind
    along, square = over_channels(np.add, (picture - behind) * apart), over_channels(np.add, apart**2)
    differs = along / np.maximum(square, 1)
    most = np.where(known > 0, np.clip(differs, 0, 1), 1)
    part = np.where(share > 0, np.clip(np.minimum(matte, most), 0, settings.opaque), 0).astype(np.float32)[..., None]
    return np.where(part > 0, (picture - part * person) / (1 - part), picture).clip(0, 255)


def _remains(
    picture: np.ndarray, matte: np.ndarray, hole: np.ndarray, person: np.ndarray, settings: PlateSettings
) -> np.ndarray:
    """(H, W) float32, 1 where a picture (H, W, 3) shows something of the person that lies beyond the hole (H, W).

    A mixture of a colour that the person has at their outline and of what the background farther away is, in one piece
    with the person's part of the hole (H, W). Looked for in a small picture.
    """
    from scipy.spatial import cKDTree  # a run that finds its plate does without it

    small, share = _shrunk(picture, hole, settings)
    unit = max(small.shape[:2]) / _UNIT
    radius = max(1, round(settings.strays * unit))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
    inner = (share < 0.5).astype(np.uint8)
    theirs = cv2.resize(person.astype(np.float32), share.shape[::-1], interpolation=cv2.INTER_AREA) > 0.5
    outer = cv2.dilate(theirs.astype(np.uint8), disc) | inner
    alone = (
        cv2.resize((matte > settings.opaque).astype(np.float32), share.shape[::-1], interpolation=cv2.INTER_AREA) > 0.99
    )
    rim = alone & (cv2.erode(alone.astype(np.uint8), disc) == 0)
    ring = (outer > 0) & (inner == 0)
    if outer.all() or not rim.any() or not ring.any():
        return np.zeros(hole.shape, np.float32)
    own = cv2.resize(picture, share.shape[::-1], interpolation=cv2.INTER_AREA)
    behind = fill_hole(small, outer > 0)[ring]
    away = _away(rim)[ring]
    seen, stray = own[ring] - behind, np.zeros(len(behind), bool)
    bins = (own // settings.bin).astype(int) @ np.array([10000, 100, 1])
    for one in np.unique(bins[rim]):
        places = rim & (bins == one)
        if places.sum() < settings.least * rim.sum():
            continue
        near = _away(places)[ring] < settings.nearest * (1 + away)
        toward = own[places].mean(0) - behind
        length = np.linalg.norm(toward, axis=1)
        part = (seen * toward).sum(1) / np.maximum(length, 1) ** 2
        beside = np.linalg.norm(seen - part[:, None] * toward, axis=1)
        fits = beside < settings.off[0] + settings.off[1] * length
        stray |= near & fits & (length > settings.apart) & (part > settings.mixed) & (part < 1 / (1 - settings.mixed))
    # What the background has farther away, too, is the background's
    clean = outer == 0
    step = settings.alike / (settings.along * radius)
    places = cKDTree(np.concatenate([step * np.argwhere(clean), small[clean]], 1).astype(np.float32))
    found = (
        places.query(np.concatenate([step * np.argwhere(ring), own[ring]], 1)[stray], workers=1)[0]
        if stray.any()
        else []
    )
    stray[stray] = np.asarray(found) > settings.alike
    theirs &= inner > 0
    both = theirs.astype(np.uint8)
    both[ring] = stray
    count, label = cv2.connectedComponents(both)
    attached = np.zeros(count, bool)
    attached[np.unique(label[theirs])] = True
    found = (attached[label] & (both > 0) & (inner == 0)).astype(np.uint8)
    core = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * max(1, round(settings.thin / 2 * unit)) + 1,) * 2)
    count, pieces = cv2.connectedComponents(found)
    wrong = np.bincount(pieces.ravel(), minlength=count) < settings.few
    wrong[np.unique(pieces[cv2.erode(found, core) > 0])] = True
    found[wrong[pieces]] = 0
    found = found.astype(np.float32)
    return cv2.resize(cv2.dilate(found, np.ones((3, 3))), hole.shape[::-1])


def _away(places: np.ndarray) -> np.ndarray:
    """(H, W) how far the nearest of some pixels (H, W) is."""
    return cv2.distanceTransform(1 - places.astype(np.uint8), cv2.DIST_L2, 5)


def _shrunk(picture: np.ndarray, hole: np.ndarray, settings: PlateSettings) -> tuple[np.ndarray, np.ndarray]:
    """A small picture (h, w, 3) float32 of what is known, and how much of each of its pixels is (h, w), 0 to 1."""
    height, width = hole.shape
    factor = min(1.0, settings.size / max(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    known = (~hole).astype(np.float32)
    share = cv2.resize(known, size, interpolation=cv2.INTER_AREA)
    small = cv2.resize(picture * known[..., None], size, interpolation=cv2.INTER_AREA)
    return small / np.maximum(share, 1e-6)[..., None], share


def _smooth(picture: np.ndarray, hole: np.ndarray, settings: PlateSettings) -> np.ndarray:
    """The picture (H, W, 3) float32 with colours in its hole that go on from its rim as smoothly as can be."""
    small, share = _shrunk(picture, hole, settings)
    colors = cv2.resize(fill_hole(small, share < 0.5), hole.shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.where(hole[..., None], colors, picture)


def _patched(picture: np.ndarray, hole: np.ndarray, settings: PlateSettings) -> np.ndarray:
    """The picture (H, W, 3) float32 with its hole filled from the rest of it."""
    height, width = hole.shape
    small, share = _shrunk(picture, hole, settings)
    hole_there = (share < 0.5).astype(np.uint8)
    # A background goes on as it is beside the person: not as a hand at the photo's border
    around = settings.sources * cv2.distanceTransform(hole_there, cv2.DIST_L2, 5).max()
    beside = cv2.distanceTransform(1 - hole_there, cv2.DIST_L2, 5) < around
    usable = share > 1 - 1e-3
    usable = usable & beside if (usable & beside).any() else usable
    found = complete(small, hole_there > 0, usable, fill_along(small, hole_there > 0), settings.patches)
    if found is None:
        return fill_hole(picture, hole)
    colors, places = found
    smooth = fill_hole(small, share < 0.5)
    # In a slow gradient patches make steps, where the rim alone says what there is
    apart = over_channels(np.maximum, np.abs(colors - smooth))
    line = cv2.dilate((apart > settings.steps[1]).astype(np.float32), np.ones((2 * settings.lines + 1,) * 2))
    differs = np.maximum(smoothstep(apart, *settings.steps), line)[..., None]
    colors = smooth + (colors - smooth) * differs
    colors, differs = (cv2.resize(part, (width, height), interpolation=cv2.INTER_CUBIC) for part in (colors, differs))
    rows, columns = taken_from(places, hole_there > 0, hole, settings.patches)
    # Patches that say no more than the rim have their grain for it, but not their slopes: these make steps, too
    known = (~hole).astype(np.float32)
    sigma = settings.grain * max(height, width) / _UNIT
    slopes = cv2.GaussianBlur(picture * known[..., None], (0, 0), sigma)
    slopes /= np.maximum(cv2.GaussianBlur(known, (0, 0), sigma), 1e-3)[..., None]
    differs = differs.clip(0, 1)[..., None]

    def texture(axis: int) -> np.ndarray:
        whole, grain = (differences(part, axis)[rows, columns] for part in (picture, picture - slopes))
        return grain + differs * (whole - grain)

    reach = settings.reach * max(height, width)
    rim = _bounded(picture, hole, colors, settings.rim)
    return np.where(hole[..., None], fill_hole(rim, hole, (texture(1), texture(0)), colors, reach), picture)


def _bounded(picture: np.ndarray, hole: np.ndarray, colors: np.ndarray, most: float) -> np.ndarray:
    """The picture (H, W, 3), beyond a hole (H, W) at most so far from the colours (H, W, 3) that the hole ends with.

    What ends at the hole, as a rope before a flag does, would else glow into it.
    """
    nearest = nearest_values(colors, hole)
    return nearest + np.clip(picture - nearest, -most, most)
