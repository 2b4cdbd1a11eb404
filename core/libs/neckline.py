"""The neckline of a person whom a photo cuts between chin and chest, with cloth beside the neck.

A collar that is cut goes round below the neck, as half an ellipse: what is seen to the left and right of the neck in
the photo's last row goes on along it and meets in the middle. Hair beside a neck is no collar, which is told by how
high it reaches; then nothing is closed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np

from core.data.records import IMAGE_SIZE
from core.libs.numeric import runs, smoothstep


@dataclass(frozen=True)
class SkinSettings:
    """What has the colour of a face's skin; shares of the box of a face, and differences of logarithms of colours.

    Attributes:
        rows, columns: part of the box that is looked at for it.
        dark: grey levels added to every colour, as a dark one's ratios are noise.
        blur: pixels of a 512-pixel crop.
        spread: how many standard deviations away a colour still is skin.
        hue: how far at least, of how far the face is from grey. light: how much lighter and darker at least.
        grey: how near to grey a face tells nothing.
    """

    rows: tuple[float, float] = (0.4, 0.85)
    columns: tuple[float, float] = (0.3, 0.7)
    dark: float = 20.0
    blur: float = 1.3
    spread: float = 3.0
    hue: float = 0.5
    light: float = 0.9
    grey: float = 0.02


@dataclass(frozen=True)
class NecklineSettings:
    """How a neckline is found and closed; by eye on photos cut below the chin.

    Attributes:
        skin: what is skin.
        least: columns of a neck, and of cloth beside it, of the face's width.
        gap: columns that do not part a neck, of the face's width: a necklace.
        below: how far from the middle of the face a neck is, of its width.
        opaque: matte of what is nothing but the person.
        blur: pixels of a 512-pixel crop, for what comes next.
        like: difference of colour, in CIELAB, up to which what hangs together is one thing.
        hair: height above the chin up to which clothes reach, of the face's.
        aspect: depth of the half ellipse, of half its width.
        edge: width of its edge, in pixels of a 512-pixel crop.
        band: how far around the neck what is seen beside it goes round as it is, of half the neck's width: a collar.
            plain: from where on it is what a shoulder is.
        meets: width over which left and right meet, of how far from the neck's middle that is.
        sharper: rows away from the photo for one away from the neckline, where colours are as much out of focus.
    """

    skin: SkinSettings = field(default_factory=SkinSettings)
    least: tuple[float, float] = (0.2, 0.04)
    gap: float = 0.05
    below: float = 0.1
    opaque: float = 0.9
    blur: float = 2.0
    like: float = 16.0
    hair: float = 0.3
    aspect: float = 0.6
    edge: float = 1.5
    band: float = 0.5
    plain: float = 2.0
    meets: float = 1.0
    sharper: float = 3.0


_DEFAULT = NecklineSettings()


def find_skin(image: np.ndarray, box: np.ndarray, settings: SkinSettings = _DEFAULT.skin) -> np.ndarray:
    """(S, S) bool, what of a picture (S, S, 3) uint8 has the colour of a face's skin.

    Ratios of colours tell, as shadow leaves them alone, within what the face itself has; and light, in a wide range.
    Where the face is grey nothing tells, and nothing is skin.

    Args:
        box: (4,) x0 y0 x1 y1 of the face, pixels.
    """
    blurred = cv2.GaussianBlur(image.astype(np.float32), (0, 0), settings.blur * len(image) / IMAGE_SIZE)
    colors = np.log(blurred + settings.dark)
    told = np.stack([colors[..., 0] - colors[..., 1], colors[..., 1] - colors[..., 2], colors.mean(-1)], -1)
    (x0, y0), size = box[:2], box[2:] - box[:2]
    (left, right), (top, bottom) = (
        np.rint(start + length * np.array(part)).astype(int).clip(0, len(image) - 1)
        for start, length, part in zip((x0, y0), size, (settings.columns, settings.rows), strict=True)
    )
    face = told[top : bottom + 1, left : right + 1].reshape(-1, 3)
    middle = np.median(face, 0)
    deviation = 1.4826 * np.median(np.abs(face - middle), 0)  # of a normal distribution
    away = np.abs(told - middle)
    hue = settings.hue * float(np.hypot(*middle[:2]))
    if hue < settings.grey:
        return np.zeros(image.shape[:2], bool)
    within = np.maximum(settings.spread * deviation, [hue, hue, settings.light])
    return (np.square(away[..., :2] / within[:2]).sum(-1) < 1) & (away[..., 2] < within[2])


class Neckline(NamedTuple):
    """Skin between columns `left` and `right` of a photo's last row, in pixels.

    `cloth`: whether that is on its left and right. `hair`: whether that is on one of them.
    """

    left: float
    right: float
    cloth: tuple[bool, bool]
    hair: bool

    @property
    def closes(self) -> bool:
        return any(self.cloth) and not self.hair

    @property
    def middle(self) -> float:
        return (self.left + self.right) / 2

    @property
    def half(self) -> float:
        return (self.right - self.left) / 2


def find_neckline(
    image: np.ndarray,
    matte: np.ndarray,
    skin: np.ndarray,
    last: int,
    box: np.ndarray,
    settings: NecklineSettings = _DEFAULT,
) -> Neckline | None:
    """The neck that a photo cuts; None where it cuts none.

    Args:
        image, matte, skin: (S, S, 3) uint8, (S, S) float32, (S, S) bool of `find_skin`.
        last: the last row that is the photo's. box: (4,) of the face, pixels.
    """
    if last <= box[3]:
        return None
    person, scale = matte > settings.opaque, len(image) / IMAGE_SIZE
    neck = cv2.medianBlur((skin & person)[: last + 1].astype(np.uint8), 5)[-1]  # grain does not part it
    if (run := _widest(neck, box, settings)) is None:
        return None
    blurred = cv2.GaussianBlur(image.astype(np.float32) / 255, (0, 0), settings.blur * scale)
    lab, clothes = cv2.cvtColor(blurred, cv2.COLOR_RGB2LAB), person & ~skin
    least, highest = round(settings.least[1] * (box[2] - box[0])), box[3] - settings.hair * (box[3] - box[1])
    cloth, hair = [], False
    for step, start in ((-1, run[0] - 1), (1, run[1] + 1)):
        beside = start + step * np.arange(2 * least)
        beside = beside[(beside >= 0) & (beside < len(image))]
        beside = beside[clothes[last, beside]]
        cloth.append(len(beside) >= least)
        hair |= cloth[-1] and _is_hair(lab, clothes, last, beside, highest, settings)
    return Neckline(float(run[0]), float(run[1]), (cloth[0], cloth[1]), hair)


def _widest(skin: np.ndarray, box: np.ndarray, settings: NecklineSettings) -> tuple[int, int] | None:
    """First and last column of the widest run of skin (S,) uint8 that is below a face's middle; None without one."""
    width, middle = box[2] - box[0], (box[0] + box[2]) / 2
    whole = cv2.morphologyEx(skin[None], cv2.MORPH_CLOSE, np.ones((1, 2 * round(settings.gap * width / 2) + 1)))[0]
    near = settings.below * width
    below = [(a, b - 1) for a, b in runs(whole) if a < middle + near and b > middle - near]
    first, end = max(below, key=lambda run: run[1] - run[0], default=(0, -1))
    return (int(first), int(end)) if end - first + 1 >= settings.least[0] * width else None


def _is_hair(
    lab: np.ndarray, cloth: np.ndarray, last: int, beside: np.ndarray, highest: float, settings: NecklineSettings
) -> bool:
    """Whether what is beside a neck reaches higher than clothes do."""
    color = np.median(lab[last, beside], 0)
    like = cloth & (np.linalg.norm(lab - color, axis=-1) < settings.like)
    like[last + 1 :] = False
    _, part = cv2.connectedComponents(like.astype(np.uint8))
    parts = np.unique(part[last, beside])
    found = np.isin(part, parts[parts > 0])
    return bool(found[: max(round(highest), 0)].any())


class Around(NamedTuple):
    """Pixels below a photo as they lie around its neckline, each (D, S) float32.

    Attributes:
        skin: share of skin in 0..1.
        away: how far outside of the neckline, in pixels.
        columns: of the photo's last row, that go on there from the left and from the right.
        share: what of it comes from the right.
    """

    skin: np.ndarray
    away: np.ndarray
    columns: tuple[np.ndarray, np.ndarray]
    share: np.ndarray


def around(neck: Neckline, depth: np.ndarray, size: int, settings: NecklineSettings = _DEFAULT) -> Around:
    """Where each pixel below the photo lies.

    Args:
        depth: (D, 1) rows below the last one. size: of the crop.
    """
    x = np.arange(size, dtype=np.float32)[None] - np.float32(neck.middle)
    # As a share of the half ellipse, along the ray from its middle
    scaled = np.maximum(np.hypot(x / neck.half, depth / (settings.aspect * neck.half)), 1e-6)
    away = np.hypot(x, depth) * (1 - 1 / scaled)
    edge = settings.edge * size / IMAGE_SIZE
    skin = 1 - smoothstep(away / edge, -0.5, 0.5)
    out = neck.half + np.maximum(away, 0)
    share = smoothstep(x / (settings.meets * out), -0.5, 0.5)
    if not all(neck.cloth):
        share = np.full_like(share, float(neck.cloth[1]))
    return Around(skin, away, (neck.middle - out, neck.middle + out), share)
