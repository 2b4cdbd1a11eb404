"""Occluded texture: colours of the mesh's points that the photo does not show, continued from those that it shows.

Skin continues skin and the surroundings continue the surroundings, each by the smoothest colours between its visible
points (a harmonic function on the mesh): the light at the border of what is seen goes on beyond it. What stands out of
the smooth colours on the other half of the face, as a brow does, is put on top in grey.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from core.libs.flame_model import topology as topo
from core.libs.geometry import Camera
from core.libs.mesh import triangle_normals, view_cosine
from core.models.LiftedAvatar.inpaint.visibility import visible_points
from core.models.LiftedAvatar.inpaint_settings import TextureSettings

if TYPE_CHECKING:
    import scipy.sparse as sp

_DEFAULT = TextureSettings()
_NOSE_OUTLINE = (168, 193, 417, 245, 465, 129, 358, 2, 98, 327, 64, 294)  # the tracker's points


def sample(image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Bilinear samples (N, C) at pixels (N, 2); (N,) of a picture with one channel."""
    side = math.isqrt(len(pixels)) + 1  # as a square: OpenCV takes rows of 32,766 at most
    p = np.zeros((side * side, 2), np.float32)
    p[: len(pixels)] = pixels
    p = p.reshape(side, side, 2)
    samples = cv2.remap(image, p, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    samples = samples.reshape(side * side, -1)[: len(pixels)]
    return samples if image.shape[2] > 1 else samples[:, 0]


def nose_points(face: np.ndarray, settings: TextureSettings = _DEFAULT) -> np.ndarray:
    """(478,) bool: points of the nose, of a face (478, 3) in head space at rest.

    What stands out on one side of it is the shade that it throws itself, and not what is on the other side.
    """
    outline = face[list(_NOSE_OUTLINE), :2].astype(np.float32)
    middle = outline.mean(0)
    hull = cv2.convexHull(middle + (outline - middle) * settings.nose_growth)
    inside = [cv2.pointPolygonTest(hull, (float(x), float(y)), False) >= 0 for x, y, _ in face[: topo.N_FACE]]
    return np.array(inside + [False] * (topo.N_POINTS - topo.N_FACE))


def border_points(triangles: np.ndarray) -> np.ndarray:
    """(478,) bool: points on the outline of the face, and those that triangles (F, 3) of the face join to it.

    What stands out there is the other side's hairline, ear and jaw's shade: on this side they are elsewhere, or hidden.
    """
    on_outline = np.isin(np.arange(topo.N_POINTS), topo.FACE_OVAL)
    of_face = triangles[(triangles < topo.N_FACE).all(1)]
    on_outline[of_face[on_outline[of_face].any(1)]] = True
    return on_outline


def soft_clip(differences: np.ndarray, limit: float) -> np.ndarray:
    """Differences of colours (...,) kept below a limit by tanh, which bends small ones too; see `max_relief`."""
    return limit * np.tanh(differences / limit)


def face_colors(
    points: np.ndarray,  # (M, 3) camera frame
    pixels: np.ndarray,  # (M, 2)
    triangles: np.ndarray,  # (F, 3)
    pix_to_face: np.ndarray,  # (S, S) where the person is, else -1
    image: np.ndarray,  # (S, S, 4) RGB in 0..1 and the matte
    mirror: np.ndarray,  # (478,)
    camera: Camera | None = None,  # of the photo
    settings: TextureSettings = _DEFAULT,
    smooth_at: np.ndarray | None = None,  # (478,) bool, points that take nothing over from the other half
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the face's points look like.

    Returns:
        colors: (478, 4). seen: (478,) bool, points that the photo shows. mirrored: (478,) bool, those whose
            opposite it shows, and that look like it.
    """
    n, camera = topo.N_POINTS, camera or Camera()
    smoothing = settings.smoothing * camera.scale
    normal = triangle_normals(points, triangles)
    in_face = (triangles < topo.N_FACE).all(1)
    total = np.zeros_like(points)
    np.add.at(total, triangles[in_face], normal[in_face][:, None])
    visible = visible_points(pixels, triangles, pix_to_face)[:n]
    sampled = sample(cv2.GaussianBlur(image, (0, 0), smoothing), pixels[:n])
    good = in_face & (view_cosine(normal) > settings.least_cosine)
    skin, near = _skin(image, pix_to_face, good, pixels[:n], smoothing, settings.sure_matte)
    seen = visible & (view_cosine(total[:n]) > settings.least_cosine) & (near > settings.least_skin)
    sampled[seen, :3] = skin[seen]
    # The border of the face keeps what the photo shows there if it is hair: no fringe of skin stands out.
    known = seen | shown_border(pixels, triangles, pix_to_face, image, camera, settings)
    laplacian = _laplacian(triangles[in_face], n)
    smooth = _harmonic(laplacian, known, sampled)
    mirrored = seen[mirror] if smooth_at is None else seen[mirror] & ~smooth_at
    twin = sampled[mirror, :3].mean(1, keepdims=True)
    standing_out = twin - _harmonic(laplacian, seen & mirrored, twin)
    relief = soft_clip(standing_out, settings.max_relief) * mirrored[:, None]
    smooth[:, :3] += np.where(known[:, None], 0, relief)
    smooth[:, 3] = 1
    return smooth, seen, mirrored


def shown_border(
    pixels: np.ndarray,  # (M, 2)
    triangles: np.ndarray,  # (F, 3)
    pix_to_face: np.ndarray,  # (S, S) where the person is, else -1
    image: np.ndarray,  # (S, S, 4) RGB in 0..1 and the matte
    camera: Camera,  # of the photo
    settings: TextureSettings = _DEFAULT,
) -> np.ndarray:
    """(478,) bool: points of the face's border that the photo shows, well inside the person."""
    oval = np.array(topo.FACE_OVAL)
    inner = cv2.erode(np.ascontiguousarray(image[..., 3]), np.ones((camera.odd(settings.border),) * 2))
    person = sample(inner[..., None], pixels[oval]) > settings.least_border_matte
    out = np.zeros(topo.N_POINTS, bool)
    out[oval] = visible_points(pixels, triangles, pix_to_face)[oval] & person
    return out


def surrounding_colors(
    pixels: np.ndarray,  # (M, 2)
    triangles: np.ndarray,  # (F, 3)
    pix_to_face: np.ndarray,  # (S, S) the background's too
    image: np.ndarray,  # (S, S, 4)
    camera: Camera | None = None,  # of the photo
    settings: TextureSettings = _DEFAULT,
) -> np.ndarray:
    """Colours and matte of the surroundings' points (M - 478, 4)."""
    n = topo.N_POINTS
    smoothing = settings.smoothing * (camera or Camera()).scale
    around = ((pix_to_face < 0) | ~(triangles < n).all(1)[pix_to_face]).astype(np.float32)[..., None]
    near = sample(cv2.GaussianBlur(around, (0, 0), smoothing / 2)[..., None], pixels[n:])
    sampled = (
        sample(cv2.GaussianBlur(image * around, (0, 0), smoothing / 2), pixels[n:]) / np.maximum(near, 1e-3)[:, None]
    )
    outside = (pixels[n:] < 0).any(1) | (pixels[n:] > len(image) - 1).any(1)
    known = (visible_points(pixels, triangles, pix_to_face)[n:] & (near > settings.least_surroundings)) | outside
    return _harmonic(_laplacian(triangles - n, len(sampled)), known, sampled)


def _skin(
    image: np.ndarray,
    pix_to_face: np.ndarray,
    good: np.ndarray,
    pixels: np.ndarray,
    smoothing: float,
    sure_matte: float,
) -> tuple[np.ndarray, np.ndarray]:
    """The photo's colours (N, 3) averaged over the pixels of `good` triangles (F,) alone, and the share of these."""
    mask = ((pix_to_face >= 0) & good[pix_to_face] & (image[..., 3] > sure_matte)).astype(np.float32)[..., None]
    near = sample(cv2.GaussianBlur(mask, (0, 0), smoothing)[..., None], pixels)
    total = sample(cv2.GaussianBlur(image[..., :3] * mask, (0, 0), smoothing), pixels)
    return total / np.maximum(near, 1e-3)[:, None], near


def _laplacian(triangles: np.ndarray, n: int) -> sp.csr_matrix:
    """Of the graph of the triangles' edges between points 0..n - 1; others are left out."""
    import scipy.sparse as sp  # a run that finds its avatar does without it

    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    edges = edges[((edges >= 0) & (edges < n)).all(1)]
    adjacency = sp.coo_matrix((np.ones(len(edges)), edges.T), (n, n)).tocsr()
    adjacency = ((adjacency + adjacency.T) > 0).astype(float)
    return (sp.diags(np.asarray(adjacency.sum(1)).ravel() + 1e-9) - adjacency).tocsr()


def _harmonic(laplacian: sp.csr_matrix, known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values (N, C) with those that are not known replaced by the smoothest continuation of the others."""
    import scipy.sparse as sp
    import scipy.sparse.linalg as spl

    free = np.flatnonzero(~known)
    fixed = np.flatnonzero(known)
    out = values.copy()
    if len(free) and len(fixed):
        rhs = -laplacian[free][:, fixed] @ values[fixed]
        out[free] = spl.spsolve(laplacian[free][:, free].tocsc() + 1e-9 * sp.identity(len(free)), rhs).reshape(
            -1, values.shape[1]
        )
    return out
