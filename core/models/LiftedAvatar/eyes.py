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
from core.models.LiftedAvatar.contour import contour_mask, extrapolate_colors, window
from core.models.LiftedAvatar.layers import Photo, Shot
from core.models.LiftedAvatar.settings import EyeSettings

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
        texture: (n, n, 4) float32 RGB and coverage, centred. radius: pixels of the photo.
        grown: the radius over that of the tracker's points. beside: (2,) the centre from theirs, along and across the
            line of the eye's corners, over their radius.
        drop: (16,) how far the photo's lower lid lies below the contour, over the width of the eye; 0 for the upper.
        opening: how far the lids are apart in the photo, over the width of the eye.
    """

    ring: tuple[int, ...]
    points: tuple[int, ...]
    texture: np.ndarray
    radius: float
    grown: float
    beside: np.ndarray
    drop: np.ndarray
    opening: float


def extract_irises(
    image: np.ndarray,  # (S, S, 3) float32 in 0..1
    pixels: np.ndarray,  # (478, 2) the tracker's points in it
    scale: float = 1.0,  # its pixels for one of a 512-pixel photo
    settings: EyeSettings = _DEFAULT,
) -> tuple[np.ndarray, list[Iris]]:
    """The photo (S, S, 3) without its irises, and the irises; eyes that are shut or too small stay as they are."""
    image, irises = image.copy(), []
    original = image.copy()
    for ring, points in _EYES:
        centre, radius = pixels[list(points)].mean(0), _radius(pixels[list(points)])
        contour = pixels[list(ring)]
        if np.linalg.norm(contour[0] - contour[8]) < settings.least_width * scale:
            continue
        drop, opening = _lower_lid(original, contour, settings), contour_ratio(contour)
        contour = _lowered(contour, drop, opening)
        x0, y0, x1, y1 = box = window(contour, image.shape[:2], 4)
        if radius < settings.least_radius * scale or x1 - x0 < 6 or y1 - y0 < 4:
            continue
        lids = contour_mask(contour, *box)
        grown, shift = _limbus(original, lids, box, centre, radius, settings.least_rise)
        beside = _axes(contour) @ shift
        centre, radius = centre + radius * shift, radius * grown
        y, x = np.mgrid[y0:y1, x0:x1].astype(np.float32)
        away = np.hypot(x - centre[0], y - centre[1]) / radius
        visible = lids[(away < 1)].sum() / max(np.pi * radius**2, 1)
        if visible < settings.least_visible:
            continue
        part = original[y0:y1, x0:x1]
        white = _white(part, lids, away, x - centre[0], y - centre[1], radius, settings)
        if white is None:
            continue
        alpha = lids * (1 - smoothstep(away, *settings.white))
        image[y0:y1, x0:x1] = part * (1 - alpha[..., None]) + white * alpha[..., None]
        texture = _texture(original, contour, centre, radius, settings.disc)
        irises.append(Iris(ring, points, texture, radius, grown, beside, drop, opening))
    return image, irises


def draw_iris(
    image: np.ndarray,  # (H, W, C >= 3) float32 in 0..1, in place
    iris: Iris,
    pixels: np.ndarray,  # (478, 2) the face's points in it
    scale: float = 1.0,  # its pixels for one of a 512-pixel picture
    settings: EyeSettings = _DEFAULT,
) -> None:
    """Paint an iris where a picture's points have it, between the lids."""
    ring = pixels[list(iris.ring)]
    contour = _lowered(ring, iris.drop, iris.opening)
    x0, y0, x1, y1 = box = window(contour, image.shape[:2], 2)
    if x1 <= x0 or y1 <= y0:
        return
    tracked = _radius(pixels[list(iris.points)])
    radius = tracked * iris.grown
    centre = pixels[list(iris.points)].mean(0) + tracked * (iris.beside @ _axes(ring))
    centre = _between_corners(centre, ring[0], ring[8], settings.inside * radius)
    scale, middle = iris.radius / max(radius, 1e-3), (len(iris.texture) - 1) / 2
    y, x = np.mgrid[y0:y1, x0:x1].astype(np.float32)
    places = np.stack([(x - centre[0]) * scale + middle, (y - centre[1]) * scale + middle], -1).astype(np.float32)
    disc = cv2.remap(iris.texture, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    # What it is grown by would show it through lids that touch.
    open_lids = smoothstep(np.array(contour_ratio(ring)), *settings.touching)
    alpha = disc[..., 3:] * contour_mask(contour, *box, grow=settings.growth * scale)[..., None] * open_lids
    part = image[y0:y1, x0:x1, :3]
    part += alpha * (disc[..., :3] - part)


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


def _radius(points: np.ndarray) -> float:
    return float(np.linalg.norm(points[1:] - points.mean(0), axis=1).mean())


def _between_corners(centre: np.ndarray, a: np.ndarray, b: np.ndarray, margin: float) -> np.ndarray:
    """A point (2,) moved along the line of an eye's corners until it is `margin` pixels inside them."""
    width = float(np.linalg.norm(b - a))
    if width < 2 * margin + 1e-6:
        return centre
    axis = (b - a) / width
    along = float((centre - a) @ axis)
    return centre + (np.clip(along, margin, width - margin) - along) * axis


def _axes(ring: np.ndarray) -> np.ndarray:
    """(2, 2) unit vectors along and across the corners of a contour (16, 2)."""
    down, _ = across_corners(ring)
    return np.array([[down[1], -down[0]], down])


def _limbus(
    image: np.ndarray,  # (S, S, 3)
    lids: np.ndarray,  # (h, w) how much of the pixels of the window `box` is between the lids
    box: tuple[int, int, int, int],
    centre: np.ndarray,  # (2,) the tracker's
    radius: float,
    least_rise: float,
) -> tuple[float, np.ndarray]:
    """The iris's true radius and the shift of its centre (2,), over the tracker's radius.

    The circle across which the picture brightens most (the integro-differential operator of Daugman, PAMI 1993), of
    circles near the tracker's, on the arcs left and right that lids do not hide; the tracker's own where none is clear.
    """
    angles = np.radians(np.concatenate([np.arange(-40, 41, 8), np.arange(140, 221, 8)]))
    radii = np.arange(0.7, 2.05, 0.05)
    around = np.stack([np.cos(angles), np.sin(angles)], -1)  # (A, 2)
    shifts = np.array([(0.12 * i, 0.12 * j) for i in range(-3, 4) for j in range(-1, 2)])
    places = centre + radius * (shifts[:, None, None] + radii[:, None, None] * around)  # (S, R, A, 2)
    grey = image.mean(2)
    flat = places.reshape(len(shifts), -1, 2).astype(np.float32)
    values = cv2.remap(grey, flat, None, cv2.INTER_LINEAR).reshape(places.shape[:-1])
    inside = cv2.remap(lids, flat - np.float32(box[:2]), None, cv2.INTER_LINEAR).reshape(places.shape[:-1])
    weight = np.minimum(inside[:, 2:], inside[:, :-2])
    rise = ((values[:, 2:] - values[:, :-2]) * weight).sum(-1) / np.maximum(weight.sum(-1), 1e-6)
    rise[weight.sum(-1) < 0.3 * len(angles)] = 0
    distance = np.linalg.norm(shifts, axis=1)[:, None] + np.abs(radii[1:-1] - 1.1)
    score = cv2.GaussianBlur(rise, (3, 1), 0) * (1 - 0.3 * distance)  # of two clear circles the nearer
    best, at = np.unravel_index(score.argmax(), score.shape)
    if score[best, at] < least_rise:
        return 1.0, np.zeros(2)
    return float(radii[1 + at]), shifts[best]


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
    settings: EyeSettings,
) -> np.ndarray | None:
    """The white of an eye behind its iris (h, w, 3): what is visible beside it, continued by normalised convolution.

    None where nothing of it is visible.
    """
    white = (lids > 0.9) & (away > 1.2)
    bright, certain = part.mean(2), np.zeros(lids.shape, np.float32)
    for sign in (-1, 1):
        here = white & (side * sign > 0)
        if here.sum() >= 6:  # the brighter half of a side is the white, the rest are lashes and corners
            certain[here & (bright >= np.median(bright[here]))] = 1
    if not certain.any():
        return None
    colors = extrapolate_colors(part, certain, ((0.5 * radius, 1.0), (1.5 * radius, 1e-2), (6.0 * radius, 1e-4)))
    # The upper lid's shadow.
    inner = cv2.distanceTransform((lids > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    depth = np.clip(inner / max(settings.shadow_depth * inner.max(), 1), 0, 1)
    shadow = 1 - settings.shadow * (1 - depth) * smoothstep(-below / radius, -0.3, 0.5)
    return (colors * shadow[..., None]).astype(np.float32)


def _texture(
    image: np.ndarray, ring: np.ndarray, centre: np.ndarray, radius: float, disc: tuple[float, float]
) -> np.ndarray:
    """The iris's disc (n, n, 4), RGB and coverage; what the lids hide is taken from its mirror images.

    `disc`: radii at which it begins to fade and ends.
    """
    half = int(np.ceil(radius * disc[1])) + 2
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
    return np.concatenate([rgb, (1 - smoothstep(away, *disc))[..., None]], -1).astype(np.float32)
