"""The person of a photo, freed of what stands behind them: colours and matte that give the photo again over its plate.

A pixel at the outline is matte x person + (1 - matte) x background. The background is known, it is the plate's; the
person's colour is that of what is opaque nearby. Where the two differ the pixel itself says how much there is of
either; what it is beyond that is the person's: then the person over the plate is the photo, and over anything else
nothing of the old background comes along.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.libs.nearest import nearest_means
from core.libs.numeric import over_channels, smoothstep


@dataclass(frozen=True)
class ForegroundSettings:
    """Of `separate`, by eye on the development photos.

    Attributes:
        sure: matte from which on a pixel's colour is the person's own.
        smoothing: standard deviation over which that is averaged before it goes outwards, pixels of a 512-pixel crop.
        apart: colours' distance, 0..1, from which on a pixel tells how much there is of either, and from which alone.
        off: what of a pixel is neither, over that distance, up to which it is believed and from which it is not.
        faint: matte up to which a pixel's colour is that of what is opaque nearby, and from which on its own.
        least: matte below which there is nobody.
        rests: part of the head's motion, up to which a pixel rests, and from which it moves.
    """

    sure: float = 0.95
    smoothing: float = 2.0
    apart: tuple[float, float] = (0.08, 0.25)
    off: tuple[float, float] = (0.15, 0.4)
    faint: tuple[float, float] = (0.05, 0.35)
    least: float = 0.02
    rests: tuple[float, float] = (0.02, 0.1)


_DEFAULT = ForegroundSettings()


def share_of(
    picture: np.ndarray, person: np.ndarray, behind: np.ndarray, settings: ForegroundSettings = _DEFAULT
) -> tuple[np.ndarray, np.ndarray]:
    """How much of pixels (H, W, 3) is the person's colour and how much that behind them, both (H, W, 3), in 0..1.

    Returns that share (H, W), and how far it is to be believed, (H, W) in 0..1: not where both colours are alike, nor
    where the pixel is neither.
    """
    apart = person - behind
    square = np.maximum(over_channels(np.add, apart**2), 1e-6)
    share = np.clip(over_channels(np.add, (picture - behind) * apart) / square, 0, 1)
    off = np.sqrt(over_channels(np.add, (picture - behind - share[..., None] * apart) ** 2) / square)
    return share, smoothstep(np.sqrt(square), *settings.apart) * (1 - smoothstep(off, *settings.off))


def resting_plate(
    image: np.ndarray,
    colors: np.ndarray,
    matte: np.ndarray,
    plate: np.ndarray,
    moves: np.ndarray,
    settings: ForegroundSettings = _DEFAULT,
) -> np.ndarray:
    """A plate (H, W, 3) uint8 over which a person who hardly moves is the photo again.

    Where they do move, what the photo shows beside them would stay behind as their outline; there the plate stays.

    Args:
        image, plate: (H, W, 3) uint8. colors, matte: as `separate` gives them.
        moves: (H, W) in 0..1, of the head's motion.
    """
    part = matte[..., None].astype(np.float32)
    seen = (image - part * colors) / np.maximum(1 - part, 1e-3)
    rests = 1 - smoothstep(moves, *settings.rests)[..., None]
    known = np.where(part < settings.sure, rests, 0)
    return np.rint(plate + known * (seen.clip(0, 255) - plate)).astype(np.uint8)


def separate(
    image: np.ndarray,
    matte: np.ndarray,
    plate: np.ndarray,
    scale: float = 1.0,
    settings: ForegroundSettings = _DEFAULT,
) -> tuple[np.ndarray, np.ndarray]:
    """The person alone.

    Args:
        image, plate: (H, W, 3) uint8 RGB, the photo and what stands behind the person. matte: (H, W) in 0..1.
        scale: pixels of the photo for one of a 512-pixel crop.
    Returns:
        Colours (H, W, 3) uint8 and matte (H, W) float32. Where the matte is 0 it stays, and where it is
        sure it becomes 1 and the colours are the photo's.
    """
    sure = matte > settings.sure
    if not sure.any():
        return image.copy(), matte.astype(np.float32)
    photo, behind = image.astype(np.float32) / 255, plate.astype(np.float32) / 255
    person = nearest_means(photo, sure, settings.smoothing * scale)
    measured, told = share_of(photo, person, behind, settings)
    part = matte + told * (measured - matte)
    part = np.where(sure, 1, np.where(matte > settings.least, part, 0)).astype(np.float32)
    left = (photo - (1 - part[..., None]) * behind) / np.maximum(part, 1e-3)[..., None]
    own = smoothstep(part, *settings.faint)[..., None]
    colors = np.where(sure[..., None], photo, person + own * (left.clip(0, 1) - person))
    return np.rint(255 * colors).clip(0, 255).astype(np.uint8), part
