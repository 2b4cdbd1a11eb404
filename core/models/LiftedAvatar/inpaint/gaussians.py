"""Gaussians for what the photo does not show, textured from what it shows.

A triangle of the face that stands edge-on to the camera, or turned away, has no pixels of its own. When the head turns
it opens to the view, and so does what lies behind the cheek. Both get Gaussians, in the colours of `texture`.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from core.libs.flame_model import topology as topo
from core.models.LiftedAvatar.inpaint.texture import (
    border_points,
    face_colors,
    nose_points,
    sample,
    shown_border,
    soft_clip,
    surrounding_colors,
)
from core.models.LiftedAvatar.inpaint.visibility import face_triangles, hidden_triangles, shows_triangle
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

    jacobians, faces, weights, paints, needs = [], [], [], [], []
    for k, f in enumerate(chosen):
        flat = _flat(first[f], second[f], normal[f]) * scale
        jacobians.append(_jacobian(flat) * numbers.spacing)  # as wide as they stand apart
        bary = triangle_samples(flat, numbers.spacing)
        weights.append(bary)
        faces.append(np.full(len(bary), k))
        corner = triangles[f]
        places = bary @ pixels[corner]
        paint = bary @ colors[corner]
        if in_face[f]:
            opposite = bary @ pixels[mirror[corner]]
            standing_out = sample(soft, opposite) - bary @ sample(smooth, pixels[mirror[corner]])
            relief = soft_clip(standing_out, photo.settings.texture.max_relief)
            paint = paint + (bary @ mirrored[corner])[:, None] ** 2 * relief
            # Towards the seen side the photo's own colours: there is nothing to tell the two apart where they meet.
            visible_share = (bary @ seen[corner])[:, None] ** 2
            # So at the face's border too, where hair and ears begin that the photo draws.
            like_photo = np.maximum(visible_share, (bary @ border[corner])[:, None] ** 2)
            clear = like_photo * sample(clean, places)[:, None]  # no background in it
            paint = paint + clear * (sample(soft, places) - paint)
            paint[:, 3] = 1
            needs.append(1 - visible_share[:, 0] * shows_triangle(certain, triangles, f, places))
        else:  # where the photo shows the background, nothing of hair or neck stands out
            paint[:, 3] *= sample(image[..., 3:], places)
            needs.append(np.ones(len(bary)))
        paints.append(np.clip(paint, 0, 1))
    return Inpainting(chosen, np.stack(jacobians), *(np.concatenate(x) for x in (faces, weights, paints, needs)))


def _jacobian(flat: np.ndarray) -> np.ndarray:
    """d(barycentric coordinates) / d(x, y), (3, 2), of a triangle's corners (3, 2) in its own plane."""
    inverse = np.linalg.inv(np.stack([flat[1] - flat[0], flat[2] - flat[0]], 1))
    return np.stack([-inverse.sum(0), inverse[0], inverse[1]])


def _flat(first: np.ndarray, second: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """The corners (3, 2) of a triangle in its own plane, from its edges out of the first corner."""
    tangent = first / np.linalg.norm(first)
    other = np.cross(normal / np.linalg.norm(normal), tangent)
    return np.array([[0, 0], [first @ tangent, first @ other], [second @ tangent, second @ other]])


def triangle_samples(flat: np.ndarray, spacing: float) -> np.ndarray:
    """Barycentric weights (K, 3) of points in rows over a triangle (3, 2), about `spacing` apart, in slivers too.

    The rows lie along the longest edge. Towards a row's ends, where the triangle is lower than the row, its points are
    in the middle of what is left.
    """
    edges = np.roll(flat, -1, 0) - flat
    lengths = np.linalg.norm(edges, axis=1)
    start = int(np.argmax(lengths))
    base, apex = edges[start], flat[start - 1] - flat[start]
    foot = np.clip(apex @ base / lengths[start] ** 2, 1e-6, 1 - 1e-6)
    height = abs(base[0] * apex[1] - base[1] * apex[0]) / lengths[start]
    rows = max(1, round(height / spacing))
    weights = []
    for low in np.arange(rows) / rows:
        count = max(1, round(lengths[start] * (1 - low - 0.25 / rows) / spacing))
        x = low * foot + (np.arange(count) + 0.5) / count * (1 - low)
        top = np.minimum(np.minimum(x / foot, (1 - x) / (1 - foot)), low + 1 / rows)
        up = (low + top) / 2
        along = x - up * foot
        weights.append(np.stack([1 - up - along, along, up], 1))
    return np.roll(np.clip(np.concatenate(weights), 0, 1), start, axis=1)
