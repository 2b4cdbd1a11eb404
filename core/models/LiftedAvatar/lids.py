"""Lids: what the skin around an eye looks like once it is shut.

The tracker's lids lie inside the eye: the photo has lashes, the iris's upper border and white beyond them, on what the
mesh takes for skin. While the eye is open they belong there. Carried along by lids that close they would be left on
both sides of the line where these meet, and the eye would look half open. So as an eye closes, the colours beside its
contour turn into the skin further away, and the eye itself, squeezed between the lids, into the line of the lashes.
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
from core.models.LiftedAvatar.contour import extrapolate_colors, window
from core.models.LiftedAvatar.eyes import close_nearly_shut
from core.models.LiftedAvatar.layers import Photo, Shot
from core.models.LiftedAvatar.settings import EyeSettings, LidSettings

_RINGS = (topo.RIGHT_EYE, topo.LEFT_EYE)
_DEFAULT, _EYES = LidSettings(), EyeSettings()


@dataclass(frozen=True)
class Lids:
    """The lids of one eye, shut.

    Attributes:
        side: 0 for the right eye, 1 for the left. opening: how far it is open in the photo, see `signed_lid_ratio`.
        index: (n,) its Gaussians. skin: (n, 3) RGB in 0..1, what is there instead of the eye. share: (n,) how much.
        lashes: (n, 3) what their line adds to that. place: (n,) -1 on the lower lid, 0 between the lids, 1 above.
    """

    side: int
    opening: float
    index: np.ndarray
    skin: np.ndarray
    share: np.ndarray
    lashes: np.ndarray
    place: np.ndarray


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
    for side, ring in enumerate(_RINGS):
        contour = pixels[list(ring)]
        width = float(np.linalg.norm(contour[0] - contour[8]))
        if width < settings.least_width * scale or opening[side] < settings.least_open:
            continue
        x0, y0, x1, y1 = window(contour, kept.shape, int(np.ceil(settings.skin_reach * width)))
        part, known = image[y0:y1, x0:x1], kept[y0:y1, x0:x1]
        if min(known.shape) < 3:
            continue
        beyond, above, arch = _distances(contour - [x0, y0], known.shape, width)
        skin = _skin(part, known, beyond, above, width, settings)
        if skin is None:
            continue
        lashes, thick = _lashes(part, skin, contour - [x0, y0], width, settings)
        reach = 2 * arch * thick * (1 + (settings.lashes_above - 1) * above)
        line = np.where(beyond > 0, 1 - smoothstep(beyond / reach, 0, 1), 1)[..., None]
        dark = line * np.minimum(lashes - skin, 0)
        share = 1 - smoothstep(beyond, settings.eye_beyond, settings.skin_from)
        here = known & (share > 0)
        out.append(
            Lids(
                side,
                float(opening[side]),
                number[y0:y1, x0:x1][here],
                skin[here].astype(np.float32),
                share[here].astype(np.float32),
                dark[here].astype(np.float32),
                np.where(beyond > 0, np.where(above > 0.5, 1, -1), 0)[here],
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
        limits = settings.lower_closing, settings.line_closing, settings.skin_closing
        lower, line, upper = (1 - smoothstep(part, *limit) for limit in limits)
        share = (np.where(lid.place == 0, line, upper) * lid.share)[:, None].astype(np.float32)
        shade = (np.choose(lid.place + 1, (lower, line, upper)) * lid.share)[:, None].astype(np.float32)
        now = colors[lid.index, :3]
        colors[lid.index, :3] = now + share * (lid.skin - now) + shade * lid.lashes


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


def _distances(contour: np.ndarray, shape: tuple[int, int], width: float) -> tuple[np.ndarray, ...]:
    """Where the pixels of a window of a shape (h, w) lie, beside an eye's contour (16, 2) of a width in pixels.

    Returns:
        beyond: (h, w) distance from the contour over the width, negative inside.
        above: (h, w) in 0..1, 1 above the middle line between the lids and 0 below it.
        arch: (h, w) thickness of a line along the lids, 1 in their middle and less towards the corners.
    """
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float64)
    here = np.stack([x, y], -1)
    polygon = contour.astype(np.float32)[:, None]
    beyond = [-cv2.pointPolygonTest(polygon, (float(a), float(b)), True) for a, b in here.reshape(-1, 2)]
    axis = (contour[8] - contour[0]) / width
    down = (1.0 if axis[0] > 0 else -1.0) * np.array([-axis[1], axis[0]])
    # The middle line between the lids, over the place along the corners.
    upper, lower = contour[:9], np.concatenate([contour[:1], contour[:7:-1]])
    places = np.linspace(0, 1, 9)
    along = (here - contour[0]) @ axis / width
    middle = np.zeros(shape)
    for lid in (upper, lower):
        at = np.maximum.accumulate((lid - contour[0]) @ axis / width)
        heights = np.interp(places, at, (lid - contour[0]) @ down)
        middle += np.interp(along, places, heights) / 2
    above = middle - (here - contour[0]) @ down
    arch = np.sqrt(np.clip(4 * along * (1 - along), 0.04, 1))
    return np.reshape(beyond, shape) / width, smoothstep(above / width, -0.02, 0.02), arch


def _skin(
    part: np.ndarray,  # (h, w, 3) a window of the photo
    known: np.ndarray,  # (h, w) bool, pixels of the person
    beyond: np.ndarray,  # (h, w) see `_distances`
    above: np.ndarray,  # (h, w)
    width: float,
    settings: LidSettings,
) -> np.ndarray | None:
    """The skin (h, w, 3) that the pixels around an eye would show: that further away, by normalised convolution.

    Of what lies above and what lies below neither the darkest nor the brightest: folds, brows and lashes are no skin of
    the lids, and what shines is no colour of its own.
    """
    bright, certain = part.mean(2), np.zeros(known.shape, np.float32)
    around = known & (beyond >= settings.skin_from) & (beyond < settings.skin_reach)
    for half in (above > 0.5, above <= 0.5):
        here = around & half
        if here.sum() >= 6:
            low, high = np.percentile(bright[here], settings.skin_percentiles)
            certain[here & (bright >= low) & (bright <= high)] = 1
    if not certain.any():
        return None
    return extrapolate_colors(part, certain, tuple((sigma * width, share) for sigma, share in settings.skin_smoothing))


def _lashes(
    part: np.ndarray, skin: np.ndarray, contour: np.ndarray, width: float, settings: LidSettings
) -> tuple[np.ndarray, float]:
    """The upper lashes' colour (3,), and how thick their line is over the eye's width.

    Across the upper lid pictures go from the eye over the lashes, where they are darkest, to the skin; the line ends
    half way between. Of the lid's points the one in the middle counts: the iris darkens some, light brightens some.
    """
    axis = (contour[8] - contour[0]) / width
    up = (-1.0 if axis[0] > 0 else 1.0) * np.array([-axis[1], axis[0]])
    steps = np.linspace(0, 1.3 * settings.lashes[1], 27)
    places = (contour[1:8, None] + steps[:, None] * width * up).astype(np.float32)
    colours = cv2.remap(part, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    beside = cv2.remap(skin, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    bright, reference = colours.mean(2), beside.mean(2)  # (7, 27)
    at = bright[:, steps < settings.eye_beyond].argmin(1)
    darkest = colours[np.arange(7), at]
    past = (bright > (darkest.mean(1)[:, None] + reference) / 2) & (np.arange(len(steps)) >= at[:, None])
    ends = np.where(past.any(1), steps[past.argmax(1)], steps[-1])
    return darkest[np.argsort(darkest.mean(1))[3]], float(np.clip(np.median(ends), *settings.lashes))
