"""Gaussians for what the photo does not show, textured from what it shows.

A triangle of the face that stands edge-on to the camera, or turned away, has no pixels of its own. When the head turns
it opens to the view, and so does what lies behind the cheek. Both get Gaussians, in the colours of `texture`.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from core.libs.flame_model import topology as topo
from core.libs.mesh import face_triangles
from core.libs.nearest import nearest_values
from core.libs.numeric import smoothstep
from core.models.LiftedAvatar.inpaint.texture import (
    border_points,
    face_colors,
    nose_points,
    sample,
    shown_border,
    soft_clip,
    surrounding_colors,
)
from core.models.LiftedAvatar.inpaint.visibility import hidden_triangles, shows_triangles
from core.models.LiftedAvatar.layers import Photo


@dataclass(frozen=True)
class Inpainting:
    """Gaussians of hidden triangles.

    Attributes:
        triangles: (G,) indices of the triangles that are inpainted.
        jacobian: (G, 3, 2) as `binding.barycentric_jacobian`, from the triangle's own plane instead of the picture.
        face: (K,) index into `triangles` of each Gaussian. bary_coords: (K, 3).
        colors: (K, 4) RGB in 0..1 and the matte.
        need: (K,) in 0..1, how little the photo shows there.
    """

    triangles: np.ndarray
    jacobian: np.ndarray
    face: np.ndarray
    bary_coords: np.ndarray
    colors: np.ndarray
    need: np.ndarray


def inpaint(
    photo: Photo,
    mirror: np.ndarray,  # (478,) the point on the other half of the face
) -> Inpainting:
    """Gaussians for the hidden triangles of the face and of its border with the surroundings."""
    mesh, camera, fringe = photo.mesh, photo.camera, photo.fringe
    points, pixels, triangles = mesh.points, mesh.pixels, mesh.triangles
    image = np.concatenate([photo.image, photo.matte[..., None]], -1)
    numbers = photo.settings.inpaint
    unsure = photo.doubt > numbers.unsure
    scale = camera.pixels_per_unit / float(photo.transform[2, 3])  # pixels of a head unit
    corners = points[triangles]
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    normal = np.cross(first, second)
    area = np.linalg.norm(normal, axis=1) / 2 * scale**2
    in_face = face_triangles(mesh)
    # What shows when a fringe goes:
    beneath = np.bincount(photo.pix_to_face[fringe >= 0], minlength=len(triangles)) > 0
    pix_to_face = np.where(fringe >= 0, fringe, photo.pix_to_face)
    of_person = np.where(photo.kept, pix_to_face, -1)
    hidden = beneath | hidden_triangles(mesh, area, pix_to_face, of_person, unsure, photo.settings.visibility)
    # Between the lips the mouth is painted; Gaussians there would be drawn out over the lips.
    hidden &= ~np.isin(triangles, topo.INNER_LIPS).all(1)
    chosen = np.flatnonzero((area > numbers.least_area * camera.scale**2) & hidden)
    if not len(chosen):
        return Inpainting(
            chosen, np.zeros((0, 3, 2)), np.zeros(0, int), np.zeros((0, 3)), np.zeros((0, 4)), np.zeros(0)
        )
    clean = (1 - cv2.dilate(unsure.astype(np.float32), np.ones((camera.odd(numbers.clean),) * 2)))[..., None]
    clean_person = np.where(clean[..., 0] > 0, of_person, -1)
    own_relief = nose_points(photo.rest, photo.settings.texture) | border_points(triangles)
    face, seen, mirrored = face_colors(
        points, pixels, triangles, clean_person, image, mirror, camera, photo.settings.texture, own_relief
    )
    border = shown_border(pixels, triangles, clean_person, image, camera, photo.settings.texture)
    # As far as the photo's own colours go on beside it, and not smooth ones.
    smooth_beside, all_beside = (
        np.bincount(of[of < topo.N_POINTS], minlength=topo.N_POINTS)
        for of in (triangles[chosen[~in_face[chosen]]], triangles[~in_face])
    )
    border = border * (1 - smooth_beside / np.maximum(all_beside, 1))
    colors = np.concatenate(
        [face, surrounding_colors(pixels, triangles, pix_to_face, image, camera, photo.settings.texture)]
    )
    smooth = cv2.GaussianBlur(image, (0, 0), photo.settings.texture.smoothing * camera.scale)
    soft = cv2.GaussianBlur(image, (0, 0), camera.scale)
    certain = np.where(photo.kept & ~unsure, pix_to_face, -1)

    flat = _flat(first[chosen], second[chosen], normal[chosen]) * scale
    owner, bary = triangle_samples(flat, numbers.spacing)
    corner, inner = triangles[chosen[owner]], in_face[chosen[owner]]
    places, paint = _between(bary, pixels[corner]), _between(bary, colors[corner])

    here, weight = corner[inner], bary[inner]
    opposite = mirror[here]
    standing_out = sample(soft, _between(weight, pixels[opposite]))
    standing_out = standing_out - _between(weight, sample(smooth, pixels[: topo.N_POINTS])[opposite])
    relief = soft_clip(standing_out, photo.settings.texture.max_relief)
    own = paint[inner] + _between(weight, mirrored[here].astype(float))[:, None] ** 2 * relief
    # Towards the seen side the photo's own colours: there is nothing to tell the two apart where they meet.
    visible_share = _between(weight, seen[here].astype(float)) ** 2
    # So at the face's border too, where hair and ears begin that the photo draws.
    like_photo = np.maximum(visible_share, _between(weight, border[here]) ** 2)
    clear = (like_photo * sample(clean, places[inner]))[:, None]  # no background in it
    own = own + clear * (sample(soft, places[inner]) - own)
    own[:, 3] = sample(photo.known[..., None], places[inner])  # nobody knows of a face beyond the photo
    paint[inner] = own
    # Where the photo shows the background, nothing of hair or neck stands out; and what lies between a person and
    # nothing is one of them: half a matte would be a pale veil beside the cheek.
    paint[~inner, 3] = smoothstep(paint[~inner, 3], *numbers.behind)
    around = (pix_to_face >= 0) & ~in_face[pix_to_face]
    paint[~inner, 3] = without_gaps(paint[~inner, 3], places[~inner], photo.matte, around, camera.odd(numbers.gap))
    paint[~inner, 3] *= sample(image[..., 3:], places[~inner])
    need = np.ones(len(owner))
    need[inner] -= visible_share * shows_triangles(certain, triangles, chosen[owner[inner]], places[inner])
    jacobian = _jacobian(flat) * numbers.spacing  # as wide as they stand apart
    return Inpainting(chosen, jacobian, owner, bary, np.clip(paint, 0, 1), need)


def without_gaps(
    hidden: np.ndarray,  # (K,) in 0..1
    places: np.ndarray,  # (K, 2)
    matte: np.ndarray,  # (S, S)
    around: np.ndarray,  # (S, S) bool
    widest: int,
) -> np.ndarray:
    """The matte (K,) of what the face hides, without narrow gaps between it and what the photo shows beside the face.

    Points of the surroundings lie farther apart than a strand of hair is wide, and tell nothing of it.

    Args:
        hidden: that matte, at pixels `places`. matte: of the photo. around: where it shows hair, neck or background.
        widest: pixels, an odd number, across a gap that is closed.
    """
    column, row = np.clip(np.rint(places).astype(int), 0, len(matte) - 1).T
    both = np.where(around, matte, 0).astype(np.float32)
    known = around.copy()
    known[row, column] = True
    np.maximum.at(both, (row, column), np.where(around[row, column], 0, hidden).astype(np.float32))
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (widest,) * 2)
    return np.maximum(hidden, cv2.morphologyEx(nearest_values(both, known), cv2.MORPH_CLOSE, brush)[row, column])


def _between(bary: np.ndarray, values: np.ndarray) -> np.ndarray:
    """What has values (K, 3, ...) at the corners of triangles, at points (K, 3) of them."""
    return np.einsum("ki,ki...->k...", bary, values)


def _jacobian(flat: np.ndarray) -> np.ndarray:
    """d(barycentric coordinates) / d(x, y), (T, 3, 2), of triangles' corners (T, 3, 2) in their own planes."""
    inverse = np.linalg.inv(np.stack([flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0]], 2))
    return np.concatenate([-inverse.sum(1, keepdims=True), inverse], 1)


def _flat(first: np.ndarray, second: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """The corners (T, 3, 2) of triangles in their own planes, from their edges (T, 3) out of the first corner."""
    tangent = first / np.linalg.norm(first, axis=1, keepdims=True)
    other = np.cross(normal / np.linalg.norm(normal, axis=1, keepdims=True), tangent)
    across, along = np.stack([tangent, other], 2), np.stack([np.zeros_like(first), first, second], 1)
    return along @ across


def triangle_samples(flat: np.ndarray, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Points in rows over triangles (T, 3, 2), about `spacing` apart, in slivers too: the triangle (K,) that each lies
    in, in order, and its barycentric weights (K, 3) there.

    The rows lie along the longest edge. Towards a row's ends, where the triangle is lower than the row, its points are
    in the middle of what is left.
    """
    every = np.arange(len(flat))
    edges = np.roll(flat, -1, 1) - flat
    lengths = np.linalg.norm(edges, axis=2)
    start = lengths.argmax(1)
    longest, base, apex = lengths[every, start], edges[every, start], flat[every, start - 1] - flat[every, start]
    foot = np.clip((apex * base).sum(1) / longest**2, 1e-6, 1 - 1e-6)
    height = np.abs(base[:, 0] * apex[:, 1] - base[:, 1] * apex[:, 0]) / longest
    rows = np.maximum(1, np.rint(height / spacing)).astype(np.int64)
    owner, number = _counted(rows)  # of rows
    low, step = number / rows[owner], 1 / rows[owner]
    count = np.maximum(1, np.rint(longest[owner] * (1 - low - 0.25 * step) / spacing)).astype(np.int64)
    row, number = _counted(count)  # of points
    owner, low, step = owner[row], low[row], step[row]
    foot = foot[owner]
    x = low * foot + (number + 0.5) / count[row] * (1 - low)
    top = np.minimum(np.minimum(x / foot, (1 - x) / (1 - foot)), low + step)
    up = (low + top) / 2
    along = x - up * foot
    weights = np.clip(np.stack([1 - up - along, along, up], 1), 0, 1)
    return owner, np.take_along_axis(weights, (np.arange(3) - start[owner][:, None]) % 3, 1)


def _counted(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Things of which there are so many (N,) each, one after the other: which one it is, and which of its own."""
    which = np.repeat(np.arange(len(counts)), counts)
    return which, np.arange(len(which)) - (counts.cumsum() - counts)[which]
