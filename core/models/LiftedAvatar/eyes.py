"""Eyes: an iris that turns under lids that close over it.

The photo's eye is split in two: the white, which stays on the proxy mesh, with the iris painted out of it, and the
iris, a disc that goes where the head's iris points go and is cut off by the lids' contour.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import cv2
import numpy as np

from core.libs.face_measures import across_corners, contour_ratio, signed_lid_ratio
from core.libs.flame_model import topology as topo
from core.libs.numeric import smoothstep
from core.models.LiftedAvatar.contour import contour_mask, window
from core.models.LiftedAvatar.eye_settings import EyeSettings
from core.models.LiftedAvatar.iris_kernel import paint_iris
from core.models.LiftedAvatar.iris_place import corner_axes, place_in_eye, place_iris
from core.models.LiftedAvatar.layers import Photo, Shot
from core.models.LiftedAvatar.limbus import Limbus, common_size

_EYES = ((topo.RIGHT_EYE, topo.RIGHT_IRIS), (topo.LEFT_EYE, topo.LEFT_IRIS))
_DEFAULT = EyeSettings()


def close_nearly_shut(
    face: np.ndarray,  # (478, 3) head space
    reference: np.ndarray,  # (2,) lid gaps in the photo, see `signed_lid_ratio`
    settings: EyeSettings = _DEFAULT,
) -> np.ndarray:
    """The face (478, 3) with nearly shut eyes shut: a tracker leaves a gap between lids that touch.

    At `of_reference` of the photo's gap and above nothing changes; below, the lids move towards one another.
    """
    gaps, face = signed_lid_ratio(face), face.copy()
    for gap, rest, (ring, _) in zip(gaps, reference, _EYES, strict=True):
        begins = min(settings.shut_below, settings.of_reference * rest)
        share = smoothstep(np.array(gap), settings.shut * begins, begins)
        upper, lower = list(ring[1:8]), list(ring[:8:-1])
        meet = settings.meet * face[upper] + (1 - settings.meet) * face[lower]
        face[upper] = meet + share * (face[upper] - meet)
        face[lower] = meet + share * (face[lower] - meet)
    return face


@dataclass(frozen=True)
class Iris:
    """One iris as seen in the photo, completed behind the lids.

    Attributes:
        ring: points of the lids' contour. points: of the iris, its centre first.
        texture: (n, n, 3) float32, centred; around: (n, n, 3) the photo there, lids and all. radius: pixels of the
            photo.
        axes: (2, 2) rows: half the distances of the tracker's border points in the photo, the horizontal pair's and the
            vertical one's, pixels.
        grown: the radius over that of the tracker's points. beside: (2,) the centre from theirs, along and across the
            line of the eye's corners, over their radius.
        place: (2,) where the centre is in the photo, from the middle of the corners along and across their line, over
            the width of the eye. room: radii that it is inside the nearer corner.
        drop: (16,) how far the photo's lower lid lies below the contour, over the width of the eye; 0 for the upper.
        opening: how far the lids are apart in the photo, over the width of the eye.
    """

    ring: tuple[int, ...]
    points: tuple[int, ...]
    texture: np.ndarray
    around: np.ndarray
    radius: float
    axes: np.ndarray
    grown: float
    beside: np.ndarray
    place: np.ndarray
    room: float
    drop: np.ndarray
    opening: float


def extract_irises(
    image: np.ndarray,  # (S, S, 3) float32 in 0..1
    pixels: np.ndarray,  # (478, 2) the tracker's points in it
    scale: float = 1.0,  # its pixels for one of a 512-pixel photo
    settings: EyeSettings = _DEFAULT,
) -> tuple[np.ndarray, list[Iris]]:
    """The photo (S, S, 3) without its irises, and the irises; eyes that are shut or too small stay as they are."""
    original, image, irises = image, image.copy(), []
    found = [eye for ring, points in _EYES if (eye := _Eye.find(original, pixels, ring, points, scale, settings))]
    grown = common_size([eye.limbus for eye in found], settings.least_rise)
    for eye in found:
        shift = eye.limbus.centre(grown, settings.least_rise)
        contour, (x0, y0, x1, y1) = eye.contour, eye.box
        centre, radius = eye.centre + eye.radius * shift, eye.radius * grown
        y, x = np.mgrid[y0:y1, x0:x1].astype(np.float32)
        away = np.hypot(x - centre[0], y - centre[1]) / radius
        visible = eye.lids[(away < 1)].sum() / max(np.pi * radius**2, 1)
        if visible < settings.least_visible:
            continue
        part = original[y0:y1, x0:x1]
        skin = _skin_below(original, contour, settings)
        white = _white(part, eye.lids, away, x - centre[0], y - centre[1], radius, skin, settings)
        if white is None:
            continue
        inside = cv2.distanceTransform((eye.lids > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
        soft = np.clip(inside / (settings.soft_edge * scale), 0, 1)
        alpha = eye.lids * soft * (1 - smoothstep(away, *settings.white))
        image[y0:y1, x0:x1] = part * (1 - alpha[..., None]) + white * alpha[..., None]
        texture, around = _texture(original, contour, centre, radius, settings.disc[1])
        ring = pixels[list(eye.ring)]
        place, width = place_in_eye(centre, ring)
        room = (0.5 - abs(place[0])) * width / radius
        iris = Iris(eye.ring, eye.points, texture, around, radius, _border_axes(pixels[list(eye.points)]), grown,
                    corner_axes(contour) @ shift, place, room, eye.drop, eye.opening)  # fmt: skip
        irises.append(iris)
    return image, irises


def draw_iris(
    image: np.ndarray,  # (H, W, C >= 3) float32 in 0..1, in place
    iris: Iris,
    pixels: np.ndarray,  # (478, 2) the face's points in it
    scale: float = 1.0,  # its pixels for one of a 512-pixel picture
    settings: EyeSettings = _DEFAULT,
) -> None:
    """Paint an iris where a picture's points have it, between the lids."""
    ring, points = (pixels[list(rows)].astype(np.float64) for rows in (iris.ring, iris.points))
    of_iris = iris.drop, iris.beside, iris.place, iris.axes, iris.grown, iris.room, iris.opening
    limits = settings.inside, settings.seen, settings.least_axis, settings.lashes, settings.closing
    contour, centre, to_photo, off, gap = place_iris(ring, points, *of_iris, *limits)
    x0, y0, x1, y1 = box = window(contour, image.shape[:2], 2)
    if x1 <= x0 or y1 <= y0:
        return
    # At its place in the photo the disc covers the white that is painted there; elsewhere it has nothing to cover.
    moved = float(smoothstep(np.array(off), *settings.moved))
    inner, outer = (a + moved * (b - a) for a, b in zip(settings.disc, settings.moved_disc, strict=True))
    # It is cut by the lids' edges and does not fade, but for what it is grown by, which lids that touch would show.
    left = float(smoothstep(np.array(gap / scale), *settings.touching))
    lids = contour_mask(contour, *box, grow=settings.growth * scale)
    disc = iris.around, iris.texture, moved, centre, to_photo, iris.radius, inner, outer, left
    paint_iris(image, x0, y0, lids, *disc)


@dataclass(frozen=True)
class IrisLayer:
    """The irises of the eyes that are open in the photo."""

    irises: list[Iris]
    settings: EyeSettings = _DEFAULT

    @classmethod
    def build(cls, photo: Photo) -> tuple[Self, Photo]:
        """The irises, and the photo with the white of the eye in their place."""
        image, irises = extract_irises(photo.image, photo.landmarks, photo.camera.scale, photo.settings.eyes)
        return cls(irises, photo.settings.eyes), replace(photo, image=image)

    def draw(self, shot: Shot) -> None:
        """Paint them between the lids."""
        pixels = shot.landmarks
        for iris in self.irises:
            draw_iris(shot.image, iris, pixels, shot.camera.scale, self.settings)


def warm_up() -> None:
    """Compile the kernels, or load them from the cache on disk."""
    ring, corner = np.arange(32.0).reshape(16, 2), np.zeros(2)
    place_in_eye(corner, ring)
    corner_axes(ring)
    pixels = np.zeros((topo.N_POINTS, 2))
    pixels[list(topo.RIGHT_EYE)] = ring
    disc = np.zeros((2, 2, 3), np.float32)
    numbers = 1.0, np.eye(2), 1.0, corner, corner, 1.0, np.zeros(16), 1.0
    draw_iris(np.zeros((40, 40, 4), np.float32), Iris(topo.RIGHT_EYE, topo.RIGHT_IRIS, disc, disc, *numbers), pixels)


def _radius(points: np.ndarray) -> float:
    return float(np.linalg.norm(points[1:] - points.mean(0), axis=1).mean())


def _border_axes(points: np.ndarray) -> np.ndarray:
    """(2, 2) rows: half the vectors between the opposite border points of an iris (5, 2), its centre first."""
    return np.stack([points[1] - points[3], points[2] - points[4]]) / 2


@dataclass(frozen=True)
class _Eye:
    """An eye of the photo that is open and large enough: its lids' contour as seen, and where its iris may be."""

    ring: tuple[int, ...]
    points: tuple[int, ...]
    contour: np.ndarray  # (16, 2)
    drop: np.ndarray  # (16,)
    opening: float
    box: tuple[int, int, int, int]
    lids: np.ndarray  # (h, w)
    centre: np.ndarray  # (2,) the tracker's
    radius: float
    limbus: Limbus

    @classmethod
    def find(
        cls,
        image: np.ndarray,
        pixels: np.ndarray,
        ring: tuple[int, ...],
        points: tuple[int, ...],
        scale: float,
        settings: EyeSettings,
    ) -> Self | None:
        """None where it is too small."""
        centre, radius = pixels[list(points)].mean(0), _radius(pixels[list(points)])
        contour = pixels[list(ring)]
        if np.linalg.norm(contour[0] - contour[8]) < settings.least_width * scale:
            return None
        drop, opening = _lower_lid(image, contour, settings), contour_ratio(contour)
        contour = _lowered(contour, drop, opening)
        x0, y0, x1, y1 = box = window(contour, image.shape[:2], 4)
        if radius < settings.least_radius * scale or x1 - x0 < 6 or y1 - y0 < 4:
            return None
        lids = contour_mask(contour, *box)
        limbus = Limbus.search(image, lids, box, centre, radius, settings)
        return cls(ring, points, contour, drop, opening, box, lids, centre, radius, limbus)


def _lowered(ring: np.ndarray, drop: np.ndarray, opening: float) -> np.ndarray:
    """The contour (16, 2) with its lower lid where the photo has it; as far as the eye is as open as there."""
    down, width = across_corners(ring)
    share = np.clip(contour_ratio(ring) / max(opening, 1e-6), 0, 1)
    return ring + (drop * width * share)[:, None] * down


def _lower_lid(image: np.ndarray, ring: np.ndarray, settings: EyeSettings) -> np.ndarray:
    """How far below a contour (16, 2) the lower lid is seen, over the eye's width (16,); 0 where it cannot be told.

    The tracker's lids lie up to a tenth of the width inside the eye. Downwards from each of their points colours go
    from the eye's to the skin's; the lid is where they are half way.
    """
    down, width = across_corners(ring)
    steps = np.linspace(*settings.lid_search, 65)
    places = ring[9:, None] + steps[:, None] * width * down  # (7, 65, 2)
    colours = cv2.remap(image, places.astype(np.float32), None, cv2.INTER_LINEAR)
    above, below = settings.lid_samples
    eye, skin = colours[:, steps < above].mean(1), colours[:, steps > below].mean(1)
    contrast = np.square(eye - skin).sum(-1)
    part = ((colours - skin[:, None]) * (eye - skin)[:, None]).sum(-1) / np.maximum(contrast, 1e-6)[:, None]
    past = (part < 0.5) & (steps >= 0)
    found = np.where(past.any(1), steps[past.argmax(1)], 0)
    found[(contrast < settings.least_contrast**2) | (found > settings.most_drop)] = 0
    padded = np.pad(found, 2)  # the corners stay
    smooth = np.median([padded[k : k + 9] for k in range(3)], 0)
    smooth = (smooth[:-2] + 2 * smooth[1:-1] + smooth[2:]) / 4
    return np.concatenate([np.zeros(9), smooth])


def _white(
    part: np.ndarray,  # (h, w, 3) a window of the photo
    lids: np.ndarray,  # (h, w) how much of it is between the lids
    away: np.ndarray,  # (h, w) from the iris's centre, in radii
    side: np.ndarray,  # (h, w) to the right of it, pixels
    below: np.ndarray,  # (h, w) pixels
    radius: float,
    skin: np.ndarray,  # (3,) below the eye
    settings: EyeSettings,
) -> np.ndarray | None:
    """The white of an eye behind its iris (h, w, 3): from what is visible on one side of it to that on the other.

    None where nothing of it is visible.
    """
    # What is white has all three channels; skin, of which some lies between the tracker's lids, has not.
    white, weakest = (lids > 0.9) & (away > 1.1), part.min(2)
    seen: list[np.ndarray | None] = []
    for sign in (-1, 1):
        here = white & (side * sign > 0)
        # The brightest quarter of a side is the white, the rest are lashes, shade and corners.
        bright = here & (weakest >= np.quantile(weakest[here], settings.white_from)) if here.sum() >= 6 else None
        seen.append(None if bright is None else _less_colored(part[bright].mean(0), skin, settings.white_color))
    known = [color for color in seen if color is not None]
    if not known:
        return None
    brightest = max(known, key=lambda color: float(color.mean()))
    sides = [_in_light(brightest if color is None else color, brightest, settings.least_white) for color in seen]
    share = smoothstep(side / radius, -1.2, 1.2)[..., None]
    colors = (1 - share) * sides[0] + share * sides[1]
    # It is a ball's: less light comes from where it turns to the corners.
    turned = np.clip(np.abs(side) / (settings.ball * radius), 0, 1)
    colors *= (settings.at_corners + (1 - settings.at_corners) * np.sqrt(1 - turned**2))[..., None]
    # The lids' shadow.
    inner = cv2.distanceTransform((lids > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    depth = np.clip(inner / max(settings.shadow_depth * inner.max(), 1), 0, 1)
    upper, lower = settings.shadow
    shadow = 1 - (lower + (upper - lower) * smoothstep(-below / radius, -0.3, 0.5)) * (1 - depth)
    return (colors * shadow[..., None]).astype(np.float32)


def _skin_below(image: np.ndarray, ring: np.ndarray, settings: EyeSettings) -> np.ndarray:
    """The colour (3,) of the skin below an eye with the contour (16, 2)."""
    down, width = across_corners(ring)
    places = (ring[9:] + settings.lid_search[1] * width * down).astype(np.float32)
    return np.median(cv2.remap(image, places[None], None, cv2.INTER_LINEAR)[0], 0)


def _less_colored(color: np.ndarray, skin: np.ndarray, most: float) -> np.ndarray:
    """A white (3,) with at most a part of the skin's saturation: both are in the same light, and one is white."""
    saturation = [1 - c.min() / max(float(c.max()), 1e-6) for c in (color, skin)]
    kept = min(1.0, most * saturation[1] / max(saturation[0], 1e-6))
    return color.max() + kept * (color - color.max())


def _in_light(color: np.ndarray, brightest: np.ndarray, least: float) -> np.ndarray:
    """A side's white (3,) where the other's is `brightest`: in the shade it keeps some of it; what is below `least` of
    the other's brightness is the less of a white the darker it is."""
    missing = max(0.0, least - float(color.mean() / max(brightest.mean(), 1e-6))) / least
    return color + missing * (brightest - color)


def _texture(
    image: np.ndarray, ring: np.ndarray, centre: np.ndarray, radius: float, reach: float
) -> tuple[np.ndarray, np.ndarray]:
    """The iris and what is around it (n, n, 3), what the lids hide taken from its mirror images; and with the lids.

    `reach`: radii up to which there is any.
    """
    half = int(np.ceil(radius * reach)) + 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float32)
    away = np.hypot(x, y) / radius
    lids = contour_mask(ring, 0, 0, image.shape[1], image.shape[0])
    certain = cv2.erode(lids, np.ones((3, 3)))
    flips = ((1, 1), (1, -1), (-1, -1), (-1, 1))
    total, weight = np.zeros((*x.shape, 3), np.float32), np.zeros(x.shape, np.float32)
    for fx, fy in flips:
        places = np.stack([centre[0] + fx * x, centre[1] + fy * y], -1).astype(np.float32)
        visible = cv2.remap(certain, places, None, cv2.INTER_LINEAR) * (1 - np.minimum(weight, 1))
        total += visible[..., None] * cv2.remap(image, places, None, cv2.INTER_CUBIC)
        weight += visible
    # What no flip shows takes the mean of its distance from the centre.
    rings = np.clip((away * 6).astype(int), 0, 11)
    means = np.zeros((12, 3), np.float32)
    for r in range(12):
        here = (rings == r) & (weight > 0.5)
        means[r] = (total[here] / weight[here, None]).mean(0) if here.any() else means[max(r - 1, 0)]
    rgb = total + (1 - np.minimum(weight, 1))[..., None] * means[rings]
    rgb = np.clip(rgb / np.maximum(weight, 1)[..., None], 0, 1)
    around = cv2.remap(image, np.stack([centre[0] + x, centre[1] + y], -1).astype(np.float32), None, cv2.INTER_CUBIC)
    return rgb.astype(np.float32), np.clip(around, 0, 1).astype(np.float32)
