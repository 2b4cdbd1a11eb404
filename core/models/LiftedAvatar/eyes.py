"""Eyes: an iris that turns under lids that close over it.

The photo's eye is split in two: the white, which stays on the sheet, with the iris painted out of it, and the iris, a
disc that goes where the head's iris points go and is cut off by the lids' contour.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from core.libs.flame_model import topology as topo
from core.models.LiftedAvatar.contour import contour_mask, window

_EYES = ((topo.RIGHT_EYE, topo.RIGHT_IRIS), (topo.LEFT_EYE, topo.LEFT_IRIS))
_SOLID, _GONE = 1.04, 1.22  # of the iris radius: where the disc begins to fade, and where it ends
_LEAST_INSIDE = 0.7  # of the radius, that an iris stays inside the corners: a gaze carried over must not lose it
_LEAST_SEEN = 0.25  # share of the disc that the photo must show


def lid_gap(face: np.ndarray) -> np.ndarray:
    """How far each eye is open, right then left (2,): lid distance over eye width, of points (478, 3) in head space.

    Negative where the lids have gone through one another.
    """
    out = []
    for side in ("right", "left"):
        corner, other = (face[i] for i in topo.EYE_CORNERS[side])
        upper, lower = (face[list(lid)] for lid in zip(*topo.EYE_PAIRS[side], strict=True))
        distance = np.linalg.norm(upper - lower, axis=1) * np.sign(upper[:, 1] - lower[:, 1])
        out.append(distance.mean() / np.linalg.norm(corner - other))
    return np.array(out)


def shut_lids(face: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """The face (478, 3) with nearly shut eyes shut: a tracker leaves a gap between lids that touch.

    `usual` (2,) is how far the eyes are open in the photo; there and above two thirds of it nothing changes.
    """
    gaps, face = lid_gap(face), face.copy()
    for gap, rest, (ring, _) in zip(gaps, usual, _EYES, strict=True):
        begins = min(0.18, 0.65 * rest)
        share = _ramp(np.array(gap), 0.35 * begins, begins)
        upper, lower = list(ring[1:8]), list(ring[:8:-1])
        meet = 0.25 * face[upper] + 0.75 * face[lower]
        face[upper] = meet + share * (face[upper] - meet)
        face[lower] = meet + share * (face[lower] - meet)
    return face


@dataclass(frozen=True)
class Iris:
    """One iris as seen in the photo, completed behind the lids.

    Attributes:
        ring: points of the lids' contour. points: of the iris, its centre first.
        texture: (n, n, 4) float32 RGB and coverage, centred. radius: pixels of the photo.
    """

    ring: tuple[int, ...]
    points: tuple[int, ...]
    texture: np.ndarray
    radius: float


def split_eyes(image: np.ndarray, pixels: np.ndarray) -> tuple[np.ndarray, list[Iris]]:
    """The photo without its irises, and the irises; eyes that are shut are left as they are.

    `image` is (S, S, 3) float32 in 0..1, `pixels` (478, 2) the tracker's points in it.
    """
    image, irises = image.copy(), []
    original = image.copy()
    for ring, points in _EYES:
        centre, radius = pixels[list(points)].mean(0), _radius(pixels[list(points)])
        lids = contour_mask(pixels[list(ring)], *window(pixels[list(ring)], image.shape[:2], 4))
        x0, y0, x1, y1 = window(pixels[list(ring)], image.shape[:2], 4)
        if radius < 2 or x1 - x0 < 6 or y1 - y0 < 4:
            continue
        y, x = np.mgrid[y0:y1, x0:x1].astype(np.float32)
        away = np.hypot(x - centre[0], y - centre[1]) / radius
        seen = lids[(away < 1)].sum() / max(np.pi * radius**2, 1)
        if seen < _LEAST_SEEN:
            continue
        part = original[y0:y1, x0:x1]
        white = _white(part, lids, away, x - centre[0])
        if white is None:
            continue
        cover = lids * (1 - _ramp(away, _GONE, _GONE + 0.15))
        image[y0:y1, x0:x1] = part * (1 - cover[..., None]) + white * cover[..., None]
        irises.append(Iris(ring, points, _texture(original, pixels[list(ring)], centre, radius), radius))
    return image, irises


def draw_iris(image: np.ndarray, iris: Iris, pixels: np.ndarray) -> None:
    """Put an iris into a picture (H, W, C >= 3) in place, where `pixels` (478, 2) have it."""
    ring = pixels[list(iris.ring)]
    x0, y0, x1, y1 = box = window(ring, image.shape[:2], 2)
    if x1 <= x0 or y1 <= y0:
        return
    radius = _radius(pixels[list(iris.points)])
    centre = _between_corners(pixels[list(iris.points)].mean(0), ring[0], ring[8], _LEAST_INSIDE * radius)
    scale, middle = iris.radius / max(radius, 1e-3), (len(iris.texture) - 1) / 2
    y, x = np.mgrid[y0:y1, x0:x1].astype(np.float32)
    there = np.stack([(x - centre[0]) * scale + middle, (y - centre[1]) * scale + middle], -1).astype(np.float32)
    disc = cv2.remap(iris.texture, there, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    cover = disc[..., 3:] * contour_mask(ring, *box)[..., None]
    part = image[y0:y1, x0:x1, :3]
    part += cover * (disc[..., :3] - part)


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


def _ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _white(part: np.ndarray, lids: np.ndarray, away: np.ndarray, side: np.ndarray) -> np.ndarray | None:
    """The white of an eye behind its iris: what is seen left and right of it, run together."""
    white = (lids > 0.9) & (away > 1.2)
    sides = [part[white & (side * sign > 0)] for sign in (-1, 1)]
    sides = [s for s in sides if len(s) >= 6]
    if not sides:
        return None
    # The brighter half of a side is the white, the rest are lashes and corners.
    means = [s[s.mean(1) >= np.median(s.mean(1))].mean(0) for s in sides]
    left, right = means[0], means[-1]
    reach = np.abs(side[lids > 0.5]).max() + 1e-6
    mix = (0.5 + 0.5 * np.clip(side / reach, -1, 1))[..., None]
    out = left * (1 - mix) + right * mix
    # The lids' shadow: darker towards the upper contour.
    inner = cv2.distanceTransform((lids > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    depth = np.clip(inner / max(0.35 * inner.max(), 1), 0, 1)
    return (out * (0.72 + 0.28 * depth[..., None])).astype(np.float32)


def _texture(image: np.ndarray, ring: np.ndarray, centre: np.ndarray, radius: float) -> np.ndarray:
    """The disc with what the lids hide filled in from the opposite side, (n, n, 4)."""
    half = int(np.ceil(radius * _GONE)) + 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float32)
    away = np.hypot(x, y) / radius
    lids = contour_mask(ring, 0, 0, image.shape[1], image.shape[0])
    seen = cv2.erode(lids, np.ones((3, 3)))
    flips = ((1, 1), (1, -1), (-1, -1), (-1, 1))
    total, weight = np.zeros((*x.shape, 3), np.float32), np.zeros(x.shape, np.float32)
    for fx, fy in flips:
        there = np.stack([centre[0] + fx * x, centre[1] + fy * y], -1).astype(np.float32)
        visible = cv2.remap(seen, there, None, cv2.INTER_LINEAR) * (1 - np.minimum(weight, 1))
        total += visible[..., None] * cv2.remap(image, there, None, cv2.INTER_CUBIC)
        weight += visible
    # What no flip shows takes the mean of its distance from the centre.
    rings = np.clip((away * 6).astype(int), 0, 11)
    means = np.zeros((12, 3), np.float32)
    for r in range(12):
        here = (rings == r) & (weight > 0.5)
        means[r] = (total[here] / weight[here, None]).mean(0) if here.any() else means[max(r - 1, 0)]
    rgb = total + (1 - np.minimum(weight, 1))[..., None] * means[rings]
    rgb = np.clip(rgb / np.maximum(weight, 1)[..., None], 0, 1)
    return np.concatenate([rgb, (1 - _ramp(away, _SOLID, _GONE))[..., None]], -1).astype(np.float32)
