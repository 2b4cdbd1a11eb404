"""What the photo does not show: the side of the face that is turned away, textured from the side that is seen.

A face triangle that stands edge-on to the camera, or turned away, has no pixels of its own. When the head turns it
opens to the view, and so does what lies behind the cheek. Both get Gaussians too, with the colours of `unseen`.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from core.libs.flame_model import topology as topo
from core.models.LiftedAvatar.unseen import BROAD, bounded, face_colors, in_front, sample, surrounding_colors

_OPENS_AT = 2.2  # a triangle with fewer pixels than its frontal area over this gets a filling
_SPACING = 1.4  # pixels of the source between the Gaussians of a filling


@dataclass(frozen=True)
class Filling:
    """Gaussians of hidden triangles.

    Attributes:
        triangles: (G,) indices of the triangles that are filled.
        spread: (G, 3, 2) as `binding.pixel_spread`, from the triangle's own plane instead of the picture.
        owner: (K,) index into `triangles` of each Gaussian. weights: (K, 3) barycentric.
        colors: (K, 4) RGB in 0..1 and the matte.
        need: (K,) in 0..1, how little the photo shows there.
    """

    triangles: np.ndarray
    spread: np.ndarray
    owner: np.ndarray
    weights: np.ndarray
    colors: np.ndarray
    need: np.ndarray


def fill(
    points: np.ndarray,  # (M, 3) camera frame
    pixels: np.ndarray,  # (M, 2)
    triangles: np.ndarray,  # (F, 3)
    owner: np.ndarray,  # (S, S) front triangle of every pixel
    rim: np.ndarray,  # (S, S) see `handover.find_rim`
    kept: np.ndarray,  # (S, S) bool, pixels that are the person's
    image: np.ndarray,  # (S, S, 4) RGB in 0..1 and the matte
    unsure: np.ndarray,  # (S, S) bool, pixels that are background as likely as face
    mirror: np.ndarray,  # (478,)
    scale: float,  # pixels per head unit
) -> Filling:
    """Fillings for the hidden triangles of the face and of its border with the surroundings."""
    corners = points[triangles]
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    normal = np.cross(first, second)
    area = np.linalg.norm(normal, axis=1) / 2 * scale**2
    in_face = (triangles < topo.N_FACE).all(1)
    beneath = np.bincount(owner[rim >= 0], minlength=len(triangles)) > 0  # what shows when a rim goes
    owner = np.where(rim >= 0, rim, owner)
    person = np.where(kept, owner, -1)
    opening = beneath | _opening(triangles, area, in_face, pixels, owner, person, unsure)
    chosen = np.flatnonzero((area > 2) & opening)
    clean = (1 - cv2.dilate(unsure.astype(np.float32), np.ones((5, 5))))[..., None]
    face, seen, mirrored = face_colors(
        points, pixels, triangles, np.where(clean[..., 0] > 0, person, -1), image, mirror
    )
    colors = np.concatenate([face, surrounding_colors(pixels, triangles, owner, image)])
    broad = cv2.GaussianBlur(image, (0, 0), BROAD)

    spreads, owners, weights, paints, needs = [], [], [], [], []
    sure = np.where(kept & ~unsure, owner, -1)
    soft = cv2.GaussianBlur(image, (0, 0), 1.0)
    for k, f in enumerate(chosen):
        flat = _flat(first[f], second[f], normal[f]) * scale
        spreads.append(_spread(flat) * _SPACING)  # as wide as they stand apart
        mix = _samples(flat)
        weights.append(mix)
        owners.append(np.full(len(mix), k))
        corner = triangles[f]
        paint = mix @ colors[corner]
        if in_face[f]:
            there = mix @ pixels[mirror[corner]]
            texture = bounded(sample(soft, there) - mix @ sample(broad, pixels[mirror[corner]]))
            paint = paint + (mix @ mirrored[corner])[:, None] ** 2 * texture
            # Towards the seen side the photo's own colours: there is nothing to tell the two apart where they meet.
            own = (mix @ seen[corner])[:, None] ** 2
            clear = own * sample(clean, mix @ pixels[corner])[:, None]  # no background in it
            paint = paint + clear * (sample(soft, mix @ pixels[corner]) - paint)
            paint[:, 3] = 1
            needs.append(1 - own[:, 0] * _shown(sure, triangles, f, mix @ pixels[corner]))
        else:  # where the photo shows the background, nothing of hair or neck stands out
            paint[:, 3] *= sample(image[..., 3:], mix @ pixels[corner])
            needs.append(np.ones(len(mix)))
        paints.append(np.clip(paint, 0, 1))
    if not len(chosen):
        return Filling(chosen, np.zeros((0, 3, 2)), np.zeros(0, int), np.zeros((0, 3)), np.zeros((0, 4)), np.zeros(0))
    return Filling(chosen, np.stack(spreads), *(np.concatenate(x) for x in (owners, weights, paints, needs)))


def _shown(owner: np.ndarray, triangles: np.ndarray, of: int, pixels: np.ndarray) -> np.ndarray:
    """(K,) whether the photo shows a triangle, or one beside it, at pixels (K, 2)."""
    column, row = np.clip(np.round(pixels).astype(int), 0, len(owner) - 1).T
    here = owner[row, column]
    return (here >= 0) & np.isin(triangles[here], triangles[of]).any(1)


def _opening(
    triangles: np.ndarray,
    area: np.ndarray,  # (F,) seen from the front, pixels
    in_face: np.ndarray,  # (F,)
    pixels: np.ndarray,
    owner: np.ndarray,
    person: np.ndarray,  # (S, S) `owner` where the person is, else -1
    unsure: np.ndarray,
) -> np.ndarray:
    """(F,) the triangles of which the photo shows too little to draw them when they turn to the camera."""

    def count(of: np.ndarray) -> np.ndarray:
        return np.bincount(of[of >= 0], minlength=len(triangles))

    hidden = count(np.where(in_face[owner], person, owner)) * _OPENS_AT < area
    # Face that overshoots the person in the photo counts as hidden too.
    face = in_face & (hidden | (count(np.where(unsure, person, -1)) > 0))
    touching = np.zeros(len(pixels), bool)
    touching[triangles[face]] = True
    behind = ~in_face & ~in_front(pixels, triangles, owner)[triangles].all(1)
    at_border = ~in_face & (triangles < topo.N_POINTS).any(1)
    # A ring of seen triangles around the hidden ones of the face, in which photo and filling change places.
    return in_face & touching[triangles].any(1) | hidden & (behind | at_border)


def _spread(flat: np.ndarray) -> np.ndarray:
    inverse = np.linalg.inv(np.stack([flat[1] - flat[0], flat[2] - flat[0]], 1))
    return np.stack([-inverse.sum(0), inverse[0], inverse[1]])


def _flat(first: np.ndarray, second: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """The corners (3, 2) of a triangle in its own plane, from its edges out of the first corner."""
    tangent = first / np.linalg.norm(first)
    other = np.cross(normal / np.linalg.norm(normal), tangent)
    return np.array([[0, 0], [first @ tangent, first @ other], [second @ tangent, second @ other]])


def _samples(flat: np.ndarray) -> np.ndarray:
    """Barycentric weights (K, 3) of points in rows over a triangle, about `_SPACING` apart, in slivers too.

    The rows lie along the longest edge. Towards a row's ends, where the triangle is lower than the row, its points are
    in the middle of what is left.
    """
    edges = np.roll(flat, -1, 0) - flat
    lengths = np.linalg.norm(edges, axis=1)
    start = int(np.argmax(lengths))
    base, apex = edges[start], flat[start - 1] - flat[start]
    foot = np.clip(apex @ base / lengths[start] ** 2, 1e-6, 1 - 1e-6)
    height = abs(base[0] * apex[1] - base[1] * apex[0]) / lengths[start]
    rows = max(1, round(height / _SPACING))
    weights = []
    for low in np.arange(rows) / rows:
        count = max(1, round(lengths[start] * (1 - low - 0.25 / rows) / _SPACING))
        x = low * foot + (np.arange(count) + 0.5) / count * (1 - low)
        top = np.minimum(np.minimum(x / foot, (1 - x) / (1 - foot)), low + 1 / rows)
        up = (low + top) / 2
        along = x - up * foot
        weights.append(np.stack([1 - up - along, along, up], 1))
    return np.roll(np.clip(np.concatenate(weights), 0, 1), start, axis=1)
