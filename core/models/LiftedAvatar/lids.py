"""Lids: what the skin around an eye looks like once it is shut.

The tracker's lids lie inside the eye: the photo has lashes, liner, the iris's upper border and white beyond them, on
what the mesh takes for skin. While the eye is open they belong there. Carried along by lids that close they would be
left on both sides of the line where these meet, and the eye would look half open. So as an eye closes, what of the eye
lies beside its contour turns into skin that continues what is around it, and the upper lashes are drawn as one line
along the upper lid, which hangs over the eye, then over the lower lid.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import cv2
import numpy as np

from core.libs.face_measures import signed_lid_ratio
from core.libs.flame_model import topology as topo
from core.libs.numeric import smoothstep
from core.models.LiftedAvatar.contour import window
from core.models.LiftedAvatar.eye_places import EyePlaces
from core.models.LiftedAvatar.eye_settings import EyeSettings, LidSettings
from core.models.LiftedAvatar.eyes import close_nearly_shut
from core.models.LiftedAvatar.layers import Photo, Shot
from core.models.LiftedAvatar.lid_skin import lid_skin

_EYES_AND_BROWS = ((topo.RIGHT_EYE, topo.RIGHT_BROW), (topo.LEFT_EYE, topo.LEFT_BROW))
_DEFAULT, _EYES = LidSettings(), EyeSettings()


@dataclass(frozen=True)
class Lids:
    """The lids of one eye, shut.

    Lengths are over the width of the eye.

    Attributes:
        side: 0 for the right eye, 1 for the left. opening: how far it is open in the photo, see `signed_lid_ratio`.
        index: (n,) its Gaussians. skin: (n, 3) RGB in 0..1, what is there instead of the eye. share: (n,) how much.
        line: (n, 3) the colour of the lashes' line there. inside: (n,) bool, between the lids.
        eye: (n,) how much of the eye, as open as in the photo, lies between a Gaussian and the upper lid. lid: (n,) how
            much of a lid does. reach: (n,) how far the line goes from the upper lid.
    """

    side: int
    opening: float
    index: np.ndarray
    skin: np.ndarray
    share: np.ndarray
    line: np.ndarray
    inside: np.ndarray
    eye: np.ndarray
    lid: np.ndarray
    reach: np.ndarray


def paint_lids(
    image: np.ndarray,  # (S, S, 3) in 0..1
    pixels: np.ndarray,  # (478, 2) the tracker's points in it
    kept: np.ndarray,  # (S, S) bool, pixels that become Gaussians, in row-major order
    opening: np.ndarray,  # (2,) of the right and the left eye, see `signed_lid_ratio`
    scale: float = 1.0,  # its pixels for one of a 512-pixel photo
    settings: LidSettings = _DEFAULT,
) -> list[Lids]:
    """The shut lids of a photo; none for eyes that are shut or too small in it."""
    number = np.cumsum(kept.ravel()).reshape(kept.shape) - 1
    out = []
    for side, (ring, brow) in enumerate(_EYES_AND_BROWS):
        contour = pixels[list(ring)]
        width = float(np.linalg.norm(contour[0] - contour[8]))
        if width < settings.least_width * scale or opening[side] < settings.least_open:
            continue
        to_brow = np.linalg.norm(contour[1:8, None] - pixels[list(brow)], axis=-1).min() / width
        x0, y0, x1, y1 = window(contour, kept.shape, int(np.ceil(settings.window * width)))
        part, known = image[y0:y1, x0:x1], kept[y0:y1, x0:x1]
        if min(known.shape) < 3:
            continue
        place = EyePlaces.of(contour - [x0, y0], known.shape, settings)
        replaced = replaced_share(part, place, to_brow, settings)
        skin = lid_skin(part, known, replaced > 0, place, settings)
        if skin is None:
            continue
        lashes, thick = _lashes(part, skin, place, settings)
        share = np.where(place.beyond > 0, replaced, 1)
        here = known & (share > 0)
        reach = np.where(place.above, settings.line_above, settings.line_below) * thick
        # A line thinner than the pixels it is made of would be jagged.
        reach = np.maximum(reach, settings.least_line * scale / width) * place.arch
        fades = smoothstep(place.arch, *settings.line_ends)[..., None]
        line = skin + fades * np.minimum(lashes - skin, 0)
        out.append(
            Lids(
                side,
                float(opening[side]),
                number[y0:y1, x0:x1][here],
                skin[here].astype(np.float32),
                share[here].astype(np.float32),
                line[here].astype(np.float32),
                (place.beyond <= 0)[here],
                place.eye[here].astype(np.float32),
                place.lid[here].astype(np.float32),
                reach[here].astype(np.float32),
            )
        )
    return out


def close_lids(
    colors: np.ndarray,  # (N, C >= 3) of the Gaussians, in place
    lids: list[Lids],
    gaps: np.ndarray,  # (2,) how far the right and the left eye are open, see `signed_lid_ratio`
    settings: LidSettings = _DEFAULT,
) -> None:
    """Blend the Gaussians' colours into those of shut lids, as far as eyes are shut."""
    for lid in lids:
        part = np.array(gaps[lid.side] / lid.opening, np.float32)
        skin, line, eye = (
            1 - smoothstep(part, *limit)
            for limit in (settings.skin_closing, settings.line_closing, settings.eye_closing)
        )
        opened = np.clip(part, 0, 1)
        reach = lid.reach * np.where(lid.eye > 0, 1, 1 + opened)  # the upper lid is stretched the more it closes
        away = (lid.lid + opened * lid.eye) / reach
        line = (1 - smoothstep(away, 0, 1)) * line
        line = np.where(lid.inside, np.maximum(line, eye), line)
        share = (np.where(lid.inside, eye, skin) * lid.share)[:, None].astype(np.float32)
        now = colors[lid.index, :3]
        now = now + share * (lid.skin - now)
        colors[lid.index, :3] = now + line[:, None].astype(np.float32) * (lid.line - now)


def closing(lids: list[Lids], gaps: np.ndarray, settings: LidSettings = _DEFAULT) -> bool:
    """Whether `close_lids` changes anything at lid gaps (2,)."""
    return any(gaps[lid.side] < settings.skin_closing[1] * lid.opening for lid in lids)


@dataclass(frozen=True)
class LidLayer:
    """Lids that close: the face's points, then the colours around them.

    Attributes:
        openings: (2,) how far the eyes are open in the photo. shut: the lids of those that can be drawn shut.
        settings: see `LidSettings`. eyes: see `EyeSettings`, for when an eye is shut.
    """

    openings: np.ndarray
    shut: list[Lids]
    settings: LidSettings = _DEFAULT
    eyes: EyeSettings = _EYES

    @classmethod
    def build(cls, photo: Photo) -> tuple[Self, Photo]:
        """The lids; the photo stays as it is."""
        settings = photo.settings.lids
        shut = paint_lids(photo.image, photo.landmarks, photo.kept, photo.openings, photo.camera.scale, settings)
        return cls(photo.openings, shut, settings, photo.settings.eyes), photo

    @cached_property
    def recolored(self) -> tuple[int, int]:
        """First and last + 1 of the Gaussians whose colours change; there must be lids."""
        index = np.concatenate([lid.index for lid in self.shut])
        return int(index.min()), int(index.max()) + 1

    def draw(self, shot: Shot) -> None:
        """Close the lids as far as the shot's face has them closed."""
        shot.face = close_nearly_shut(shot.face, self.openings, self.eyes)
        if closing(self.shut, gaps := signed_lid_ratio(shot.face), self.settings):
            first, end = self.recolored
            close_lids(shot.own_colors(first, end), self.shut, gaps, self.settings)


def replaced_share(
    part: np.ndarray,  # (h, w, 3) a window of the photo
    place: EyePlaces,
    to_brow: float,  # from the upper lid, over the width
    settings: LidSettings,
) -> np.ndarray:
    """How much of the photo's pixels (h, w) shut lids replace: what of eye, lashes and liner lies beside the contour.

    That follows the travel of the lids: at the corners, which stay where they are, nothing is replaced.
    """
    reach = lash_reach(part, place, settings)
    reach = np.interp(place.nearest, np.arange(17), np.append(reach, reach[0]))
    reach = cv2.GaussianBlur(reach, (0, 0), settings.even * place.width)
    moves = smoothstep(place.travel, *settings.travel)
    share = (1 - smoothstep(place.beyond - reach * moves, *settings.soft)) * np.minimum(2 * moves, 1)
    thin = _single_lashes(part, share, moves, place, to_brow, settings)
    return np.maximum.reduce([share, thin, corner_spots(part, place, settings)])


def lash_reach(part: np.ndarray, place: EyePlaces, settings: LidSettings) -> np.ndarray:
    """How far lashes and liner reach beyond each of the contour's points (16,), over the width of the eye.

    Outwards from the lid the picture is darkest in the lashes; they end where it has come most of the way to the skin.
    """
    longest = np.where(np.arange(16) < 9, settings.upper_reach[1], settings.lower_reach[1])
    least = np.where(np.arange(16) < 9, settings.upper_reach[0], settings.lower_reach[0])
    steps = np.linspace(0, 1.3 * longest.max(), 40)
    outwards = np.where(np.arange(16) < 9, -1, 1)[:, None] * place.down
    places = (place.contour[:, None] + (steps * place.width)[None, :, None] * outwards[:, None]).astype(np.float32)
    bright = cv2.remap(part.mean(2), places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    skin = np.percentile(bright, settings.bright_skin, axis=1)
    at = np.where(steps < settings.darkest_within, bright, np.inf).argmin(1)
    dark = bright[np.arange(16), at]
    past = (bright > (dark + settings.to_skin * (skin - dark))[:, None]) & (np.arange(len(steps)) >= at[:, None])
    ends = np.where(past.any(1), steps[past.argmax(1)], steps[-1])
    ends[skin - dark < settings.least_contrast] = 0
    for lid in (slice(1, 8), slice(9, 16)):
        padded = np.pad(ends[lid], 1, mode="edge")
        ends[lid] = np.median([padded[:-2], padded[1:-1], padded[2:]], 0)
    return np.clip(ends, least, longest)


def corner_spots(part: np.ndarray, place: EyePlaces, settings: LidSettings) -> np.ndarray:
    """The eye's own corners (h, w) in 0..1, where they lie beside the tracker's: dark spots that end near it.

    What a closing (Serra, 1982) fills and what does not go on beyond `spot_reach`, as a fold would.
    """
    bright, width = part.mean(2), place.width
    size = max(3, round(settings.spot * width)) | 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    filled = cv2.morphologyEx(bright, cv2.MORPH_CLOSE, disc, borderType=cv2.BORDER_REPLICATE)
    dark = (filled - bright > settings.lash_depth * filled) & (place.beyond > 0)
    y, x = np.mgrid[: part.shape[0], : part.shape[1]]
    spots = np.zeros(dark.shape, np.float32)
    for corner in place.contour[[0, 8]]:
        away = np.hypot(x - corner[0], y - corner[1]) / width
        here = (dark & (away < settings.spot_reach)).astype(np.uint8)
        _, labels = cv2.connectedComponents(here, connectivity=8)
        goes_on = np.unique(labels[away > settings.spot_reach - 1.5 / width])
        spots[(labels > 0) & ~np.isin(labels, goes_on)] = 1
    return cv2.GaussianBlur(cv2.dilate(spots, np.ones((3, 3), np.uint8)), (0, 0), 0.7)


def _single_lashes(
    part: np.ndarray,  # (h, w, 3)
    share: np.ndarray,  # (h, w) what is replaced without them
    moves: np.ndarray,  # (h, w) in 0..1
    place: EyePlaces,
    to_brow: float,
    settings: LidSettings,
) -> np.ndarray:
    """Lashes one by one (h, w) in 0..1, where they stand out from those beside the lid.

    They are what a closing along the eye (Serra, 1982) fills: dark and thin in that direction, as folds are not.
    """
    bright = part.mean(2)
    length = max(3, round(settings.lash_gap * place.width)) | 1
    filled = cv2.morphologyEx(bright, cv2.MORPH_CLOSE, np.ones((1, length)), borderType=cv2.BORDER_REPLICATE)
    farthest = np.where(place.above, min(settings.longest_lash, settings.below_brow * to_brow), settings.lower_lash)
    # Structure tensor: across the lid, along it.
    sigma = settings.lash_blur * place.width
    field = cv2.GaussianBlur(place.beyond.astype(np.float32), (0, 0), 2 * sigma)
    normal = np.stack([cv2.Sobel(field, cv2.CV_32F, 1, 0), cv2.Sobel(field, cv2.CV_32F, 0, 1)], -1)
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-6)
    slope = np.stack([cv2.Sobel(bright, cv2.CV_32F, 1, 0), cv2.Sobel(bright, cv2.CV_32F, 0, 1)], -1)
    across = (slope * normal).sum(-1)
    along = slope[..., 0] * normal[..., 1] - slope[..., 1] * normal[..., 0]
    across, along = (cv2.GaussianBlur(np.square(v), (0, 0), sigma) for v in (across, along))
    thin = (filled - bright > settings.lash_depth * filled) & (along > settings.upright * across)
    thin &= (place.beyond < farthest) & (moves > 0)
    wide = np.ones((3, 3), np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats((thin & (share < 1)).astype(np.uint8), connectivity=8)
    beside = np.unique(labels[cv2.dilate((share > 0).astype(np.uint8), wide) > 0])
    long = np.flatnonzero(stats[:, cv2.CC_STAT_HEIGHT] >= settings.least_lash * place.width)
    lashes = np.isin(labels, np.intersect1d(beside, long)) & (labels > 0)
    grown = cv2.dilate(lashes.astype(np.float32), wide)
    return cv2.GaussianBlur(grown, (0, 0), 0.7) * np.minimum(2 * moves, 1)


def _lashes(part: np.ndarray, skin: np.ndarray, place: EyePlaces, settings: LidSettings) -> tuple[np.ndarray, float]:
    """The upper lashes' colour (3,), and how thick their line is over the eye's width.

    Across the upper lid pictures go from the eye over the lashes, where they are darkest, to the skin; the line ends
    half way between. Of the seven points the middle one counts for the thickness, the third darkest for the colour: the
    iris darkens some, light brightens some.
    """
    steps = np.linspace(0, 1.3 * settings.lashes[1], 27)
    places = (place.contour[1:8, None] - steps[:, None] * place.width * place.down).astype(np.float32)
    colours = cv2.remap(part, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    beside = cv2.remap(skin, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    bright, reference = colours.mean(2), beside.mean(2)  # (7, 27)
    at = bright[:, steps < settings.lash_samples].argmin(1)
    darkest = colours[np.arange(7), at]
    past = (bright > (darkest.mean(1)[:, None] + reference) / 2) & (np.arange(len(steps)) >= at[:, None])
    ends = np.where(past.any(1), steps[past.argmax(1)], steps[-1])
    return darkest[np.argsort(darkest.mean(1))[2]], float(np.clip(np.median(ends), *settings.lashes))
