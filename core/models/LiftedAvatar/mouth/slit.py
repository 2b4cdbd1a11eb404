"""Pixels between lips that touch in the photo: each goes with the lip that is nearer.

The proxy mesh spans the opening with triangles a pixel or two high. Gaussians on them would be drawn out over both lips
as soon as these part, as scratches.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from core.libs.face_measures import opening_height
from core.libs.flame_model import topology as topo
from core.models.LiftedAvatar.binding import barycentric_jacobian
from core.models.LiftedAvatar.contour import window
from core.models.LiftedAvatar.layers import Photo
from core.models.LiftedAvatar.mouth.settings import MM


def without_slit(photo: Photo) -> Photo:
    """The photo with these pixels on the lips; the same photo where its lips are apart."""
    if opening_height(photo.face) / MM >= photo.settings.mouth.photo_blend.touching[1]:
        return photo
    x0, y0, x1, y1 = window(photo.landmarks[list(topo.INNER_LIPS)], photo.image.shape[:2], 4)
    part = slice(y0, y1), slice(x0, x1)
    pix_to_face, bary_coords = photo.pix_to_face.copy(), photo.bary_coords.copy()
    pix_to_face[part], bary_coords[part] = onto_lips(
        pix_to_face[part], bary_coords[part], photo.mesh.pixels, photo.mesh.triangles
    )
    return replace(photo, pix_to_face=pix_to_face, bary_coords=bary_coords)


def onto_lips(
    pix_to_face: np.ndarray,  # (h, w) the front triangle of each pixel, -1 where none
    bary_coords: np.ndarray,  # (h, w, 3)
    pixels: np.ndarray,  # (M, 2) the mesh's points in the picture
    triangles: np.ndarray,  # (F, 3)
) -> tuple[np.ndarray, np.ndarray]:
    """Triangles and barycentric coordinates with those of pixels between the lips on the nearest other triangle.

    Its plane is continued to them: their coordinates are linear in pixels, and beyond 0..1.
    """
    from scipy.ndimage import distance_transform_edt  # a run that finds its avatar does without it

    slit = (pix_to_face >= 0) & np.isin(triangles, topo.INNER_LIPS).all(1)[pix_to_face]
    others = (pix_to_face >= 0) & ~slit
    if not slit.any() or not others.any():
        return pix_to_face, bary_coords
    line, column = np.nonzero(slit)
    near_line, near_column = distance_transform_edt(~others, return_distances=False, return_indices=True)[:, slit]
    face = pix_to_face[near_line, near_column]
    slope = barycentric_jacobian(pixels, triangles[face])
    away = np.stack([column - near_column, line - near_line], 1)
    pix_to_face, bary_coords = pix_to_face.copy(), bary_coords.copy()
    bary_coords[slit] = bary_coords[near_line, near_column] + np.einsum("nij,nj->ni", slope, away)
    pix_to_face[slit] = face
    return pix_to_face, bary_coords
