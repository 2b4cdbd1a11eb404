"""Which points and triangles of a proxy mesh the photo shows."""

from __future__ import annotations

import numpy as np

from core.libs.flame_model import topology as topo
from core.libs.mesh import OvershootSettings, ProxyMesh, face_triangles, far_side, rasterize_mesh, view_cosine
from core.models.LiftedAvatar.inpaint_settings import VisibilitySettings

_DEFAULT, _OVERSHOOT = VisibilitySettings(), OvershootSettings()


def visible_points(
    pixels: np.ndarray,  # (M, 2)
    triangles: np.ndarray,  # (F, 3)
    pix_to_face: np.ndarray,  # (S, S)
) -> np.ndarray:
    """(M,) bool: a pixel within one of a point shows one of the point's triangles."""
    column, row = np.round(pixels).astype(int).T
    visible = np.zeros(len(pixels), bool)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            x = np.clip(column + dx, 0, pix_to_face.shape[1] - 1)
            face = pix_to_face[np.clip(row + dy, 0, len(pix_to_face) - 1), x]
            visible |= (face >= 0) & (triangles[face] == np.arange(len(pixels))[:, None]).any(1)
    return visible


def edge_on_triangles(mesh: ProxyMesh, normals: np.ndarray, settings: VisibilitySettings = _DEFAULT) -> np.ndarray:
    """(F,) bool: triangles of the face with normals (F, 3) that the photo sees edge-on."""
    return (view_cosine(normals) < settings.edge_on) & face_triangles(mesh)


def turned_away(
    mesh: ProxyMesh,
    normals: np.ndarray,  # (F, 3)
    settings: VisibilitySettings = _DEFAULT,
    overshoot: OvershootSettings = _OVERSHOOT,
) -> np.ndarray:
    """(F,) bool: the same, and those of a three-quarter view's far cheek and temple that face sideways."""
    side = far_side(mesh, overshoot)
    columns = mesh.pixels[:, 0] - mesh.pixels[list(topo.FACE_OVAL), 0].mean()
    sideways = (side * columns[mesh.triangles] > 0).all(1) & (view_cosine(normals) < overshoot.cosine)
    return edge_on_triangles(mesh, normals, settings) | sideways & face_triangles(mesh)


def hidden_triangles(
    mesh: ProxyMesh,
    area: np.ndarray,  # (F,) seen from the front, pixels
    pix_to_face: np.ndarray,  # (S, S)
    of_person: np.ndarray,  # (S, S) the same where the person is, else -1
    unsure: np.ndarray,  # (S, S) bool, pixels that are background as likely as face
    settings: VisibilitySettings = _DEFAULT,
) -> np.ndarray:
    """(F,) bool: triangles of which the photo shows too little to draw them when they turn to the camera, a ring of
    seen ones around the hidden ones of the face, in which photo and inpainting change places, and those of the
    surroundings that the face hides a part of: when it moves off, that part would be a crack.
    """
    triangles, in_face = mesh.triangles, face_triangles(mesh)

    def count(of: np.ndarray) -> np.ndarray:
        return np.bincount(of[of >= 0], minlength=len(triangles))

    scarce = count(np.where(in_face[pix_to_face], of_person, pix_to_face)) * settings.scarce < area
    # Face that overshoots the person in the photo counts as hidden too.
    face = in_face & (scarce | (count(np.where(unsure, of_person, -1)) > 0))
    touching = np.zeros(len(mesh.pixels), bool)
    touching[triangles[face]] = True
    behind = ~in_face & ~visible_points(mesh.pixels, triangles, pix_to_face)[triangles].all(1)
    at_border = ~in_face & (triangles < topo.N_POINTS).any(1)
    # Which triangle has the pixels of an edge is the rasterizer's rule: counted as it draws them with nothing in front.
    cut = np.zeros(len(triangles), bool)
    for of in (np.flatnonzero(at_border), np.flatnonzero(~in_face & ~at_border)):
        alone, _ = rasterize_mesh(mesh.pixels, mesh.points[:, 2], triangles[of], len(pix_to_face))
        drawn = np.bincount(alone[alone >= 0], minlength=len(of))
        cut[of] = count(pix_to_face)[of] < settings.cut * drawn
    return in_face & touching[triangles].any(1) | scarce & (behind | at_border) | cut


def shows_triangles(pix_to_face: np.ndarray, triangles: np.ndarray, of: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """(K,) bool: a picture (S, S) shows triangles (K,), or ones that share a point with them, at pixels (K, 2)."""
    column, row = np.clip(np.round(pixels).astype(int), 0, len(pix_to_face) - 1).T
    face = pix_to_face[row, column]
    return (face >= 0) & (triangles[face][:, :, None] == triangles[of][:, None]).any((1, 2))
