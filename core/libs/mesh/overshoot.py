"""Where the mesh of a face misses the far cheek's outline: it reaches over hair or veil, or leaves some skin out."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from core.libs.flame_model import topology as topo
from core.libs.geometry import Camera
from core.libs.mesh.normals import triangle_normals, view_cosine
from core.libs.mesh.proxy import ProxyMesh
from core.libs.nearest import nearest_means, nearest_values
from core.libs.numeric import over_channels

NOSE_TIP = 1  # the tracker's point


@dataclass(frozen=True)
class OvershootSettings:
    """Of `find_not_skin`. By eye on the shared faces.

    Attributes:
        nose: how near to a side of the face the nose is, in widths of it, where that side is the far one.
        cosine: to the line of sight of triangles that face sideways: below it a pixel may be hair, above it is skin.
        below: heights of the face from its top, from which on: above is the hairline.
        difference: between colours, beyond which a pixel is no skin. smoothing: standard deviation of skin's, pixels.
        edge_cosine, edge_difference: the same of skin that the mesh leaves out, over what of the mesh is beside it.
        person: of the matte, from which on a pixel is the person's. sure_matte: from which on its colour is skin's.
        mixed: pixels around hair that have some of its colour.
    """

    nose: float = 0.38
    cosine: float = 0.5
    below: float = 0.2
    difference: float = 0.12
    smoothing: float = 2.0
    edge_cosine: float = 0.2
    edge_difference: float = 0.15
    person: float = 0.5
    sure_matte: float = 0.9
    mixed: int = 5


_DEFAULT = OvershootSettings()


def face_triangles(mesh: ProxyMesh) -> np.ndarray:
    """(F,) bool: triangles of the face."""
    return (mesh.triangles < topo.N_FACE).all(1)


def nose_share(mesh: ProxyMesh) -> float:
    """Where the nose is between the left end of the face's outline and the right one, 0 to 1."""
    columns = mesh.pixels[list(topo.FACE_OVAL), 0]
    return float((mesh.pixels[NOSE_TIP, 0] - columns.min()) / np.ptp(columns))


def find_not_skin(
    mesh: ProxyMesh,
    pix_to_face: np.ndarray,  # (S, S) front triangle of every pixel, -1 where there is none
    image: np.ndarray,  # (S, S, 3) RGB in 0..1
    matte: np.ndarray,  # (S, S)
    camera: Camera | None = None,  # of the photo
    settings: OvershootSettings = _DEFAULT,
    with_mixed: bool = True,
) -> np.ndarray:
    """(S, S) bool: hair or veil beside the far cheek, over which the mesh of the face reaches.

    It would come round with the cheek as a dark line. Only in a three-quarter view, and only on its far side: elsewhere
    hair that hangs over the face would be taken for it. `with_mixed`: pixels around it that have some of its colour
    count too.
    """
    camera = camera or Camera()
    nothing = np.zeros(pix_to_face.shape, bool)
    side = far_side(mesh, settings)
    if not side:
        return nothing
    normals = triangle_normals(mesh.points, mesh.triangles)
    cosine = view_cosine(normals)
    face = face_triangles(mesh)
    on_face = (pix_to_face >= 0) & face[pix_to_face]
    sideways = face & (cosine < settings.cosine) & (np.abs(normals[:, 0]) > np.abs(normals[:, 1]))
    firm = on_face & (cosine > settings.cosine)[pix_to_face] & (matte > settings.sure_matte)
    if not firm.any():
        return nothing
    skin = nearest_means(image, firm, settings.smoothing * camera.scale)
    unlike = over_channels(np.maximum, np.abs(image - skin)) > settings.difference
    far = side * (np.arange(image.shape[1])[None] - mesh.pixels[NOSE_TIP, 0]) > 0
    below = _below_hairline(mesh, len(image), settings)
    unlike &= on_face & sideways[pix_to_face] & below & far
    # Moles and lashes are within the face; hair and veil come from outside it.
    outside = ~on_face & far
    _, part = cv2.connectedComponents((unlike | outside).astype(np.uint8))
    touching = np.zeros(part.max() + 1, bool)
    touching[np.unique(part[outside])] = True
    found = unlike & touching[part]
    if not with_mixed:
        return found
    mixed = cv2.dilate(found.astype(np.uint8), np.ones((camera.odd(settings.mixed),) * 2)) > 0
    return mixed & on_face & below & far


def find_skin_beyond(
    mesh: ProxyMesh,
    pix_to_face: np.ndarray,  # (S, S) front triangle of every pixel, -1 where there is none
    image: np.ndarray,  # (S, S, 3) RGB in 0..1
    matte: np.ndarray,  # (S, S)
    camera: Camera | None = None,  # of the photo
    settings: OvershootSettings = _DEFAULT,
) -> np.ndarray:
    """(S, S) bool: what looks like the skin of the far cheek beside it, which the mesh leaves out.

    Only in a three-quarter view, and only on its far side. What is broad of it is neck or ear.
    """
    camera = camera or Camera()
    nothing = np.zeros(pix_to_face.shape, bool)
    side = far_side(mesh, settings)
    if not side:
        return nothing
    on_face = (pix_to_face >= 0) & face_triangles(mesh)[pix_to_face]
    cosine = view_cosine(triangle_normals(mesh.points, mesh.triangles))
    # Near the outline, where skin is in the shade: what is beyond it is as dark.
    firm = on_face & (cosine > settings.edge_cosine)[pix_to_face] & (matte > settings.sure_matte)
    if not firm.any():
        return nothing
    skin = nearest_values(cv2.GaussianBlur(image, (0, 0), camera.scale), firm)
    like_skin = over_channels(np.maximum, np.abs(image - skin)) < settings.edge_difference
    # Beneath the nose too, which in a view from the side stands out over the chin.
    far = side * (np.arange(image.shape[1])[None] - mesh.pixels[list(topo.FACE_OVAL), 0].mean()) > 0
    return like_skin & ~on_face & far & _below_hairline(mesh, len(image), settings) & (matte > settings.person)


def far_side(mesh: ProxyMesh, settings: OvershootSettings = _DEFAULT) -> int:
    """On which side of a three-quarter view the far cheek is: -1 left, 1 right; 0: it is no three-quarter view."""
    nose = nose_share(mesh)
    if min(nose, 1 - nose) > settings.nose:
        return 0
    return -1 if nose < 0.5 else 1


def _below_hairline(mesh: ProxyMesh, rows: int, settings: OvershootSettings) -> np.ndarray:
    """(rows, 1) bool."""
    oval = mesh.pixels[list(topo.FACE_OVAL), 1]
    return np.arange(rows)[:, None] > oval.min() + settings.below * np.ptp(oval)
