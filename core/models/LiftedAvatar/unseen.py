"""Colours of the sheet's points that the photo does not show, continued from those that it shows.

Skin continues skin and the surroundings continue the surroundings, each by the smoothest colours between its seen
points (a harmonic function on the mesh): the light at the border of what is seen goes on beyond it. What stands out of
the smooth colours on the other half of the face, as a brow does, is put on top in grey.
"""

from __future__ import annotations

import cv2
import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spl

from core.libs.flame_model import topology as topo

BROAD = 4.0  # pixels over which a point's colour is averaged
MOST = 0.1  # that the other half of the face may add to a colour or take from it
_LEAST_FACING = 0.25  # cosine to the line of sight below which the photo's colours are not to be trusted


def sample(image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Bilinear samples (N, C) at pixels (N, 2); (N,) of a picture with one channel."""
    p = pixels.astype(np.float32)
    samples = cv2.remap(image, p[None], None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
    return samples.reshape(len(p), *image.shape[2:]) if image.shape[2] > 1 else samples.reshape(-1)


def bounded(colors: np.ndarray) -> np.ndarray:
    """Differences of colours, within `MOST`."""
    return MOST * np.tanh(colors / MOST)


def in_front(pixels: np.ndarray, triangles: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """(M,) whether a point (M, 2) of the sheet is seen: a pixel beside it belongs to one of its triangles."""
    column, row = np.round(pixels).astype(int).T
    hit = np.zeros(len(pixels), bool)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            here = owner[np.clip(row + dy, 0, len(owner) - 1), np.clip(column + dx, 0, owner.shape[1] - 1)]
            hit |= (here >= 0) & (triangles[here] == np.arange(len(pixels))[:, None]).any(1)
    return hit


def face_colors(
    points: np.ndarray,  # (M, 3) camera frame
    pixels: np.ndarray,  # (M, 2)
    triangles: np.ndarray,  # (F, 3)
    owner: np.ndarray,  # (S, S) front triangle of every pixel that is the person's, else -1
    image: np.ndarray,  # (S, S, 4) RGB in 0..1 and the matte
    mirror: np.ndarray,  # (478,)
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Colours of the face's points (478, 4); which of them the photo shows (478,), and of which the mirror image."""
    n = topo.N_POINTS
    normal = normals(points, triangles)
    in_face = (triangles < topo.N_FACE).all(1)
    total = np.zeros_like(points)
    np.add.at(total, triangles[in_face], normal[in_face][:, None])
    front = in_front(pixels, triangles, owner)[:n]
    own = sample(cv2.GaussianBlur(image, (0, 0), BROAD), pixels[:n])
    skin, near = _skin(image, owner, in_face & (facing(normal) > _LEAST_FACING), pixels[:n])
    seen = front & (facing(total[:n]) > _LEAST_FACING) & (near > 0.05)
    own[seen, :3] = skin[seen]
    # The border of the face keeps what the photo shows there if it is hair: no rim of skin stands out.
    oval = np.array(topo.FACE_OVAL)
    person = sample(cv2.erode(np.ascontiguousarray(image[..., 3]), np.ones((17, 17)))[..., None], pixels[oval])
    known = seen.copy()
    known[oval] |= front[oval] & (person > 0.9)
    laplacian = _laplacian(triangles[in_face], n)
    smooth = _harmonic(laplacian, known, own)
    mirrored = seen[mirror]
    twin = own[mirror, :3].mean(1, keepdims=True)
    relief = bounded(twin - _harmonic(laplacian, seen & mirrored, twin)) * mirrored[:, None]
    smooth[:, :3] += np.where(known[:, None], 0, relief)
    smooth[:, 3] = 1
    return smooth, seen, mirrored


def surrounding_colors(
    pixels: np.ndarray,  # (M, 2)
    triangles: np.ndarray,  # (F, 3)
    owner: np.ndarray,  # (S, S) front triangle of every pixel, the background's too
    image: np.ndarray,  # (S, S, 4)
) -> np.ndarray:
    """Colours and matte of the surroundings' points (M - 478, 4)."""
    n = topo.N_POINTS
    around = ((owner < 0) | ~(triangles < topo.N_POINTS).all(1)[owner]).astype(np.float32)[..., None]
    near = sample(cv2.GaussianBlur(around, (0, 0), BROAD / 2)[..., None], pixels[n:])
    own = sample(cv2.GaussianBlur(image * around, (0, 0), BROAD / 2), pixels[n:]) / np.maximum(near, 1e-3)[:, None]
    outside = (pixels[n:] < 0).any(1) | (pixels[n:] > len(image) - 1).any(1)
    known = (in_front(pixels, triangles, owner)[n:] & (near > 0.1)) | outside
    return _harmonic(_laplacian(triangles - n, len(own)), known, own)


def normals(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(F, 3) as long as twice the triangles' areas."""
    a, b, c = (points[triangles[:, i]] for i in range(3))
    return np.cross(b - a, c - a)


def facing(normal: np.ndarray) -> np.ndarray:
    """(F,) cosine of the angle between normals (F, 3) and the line of sight."""
    return np.abs(normal[:, 2]) / np.maximum(np.linalg.norm(normal, axis=1), 1e-12)


def _skin(image: np.ndarray, owner: np.ndarray, good: np.ndarray, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The photo's colours (N, 3) averaged over the pixels of `good` triangles (F,) alone, and the share of these."""
    mask = ((owner >= 0) & good[owner] & (image[..., 3] > 0.95)).astype(np.float32)[..., None]
    near = sample(cv2.GaussianBlur(mask, (0, 0), BROAD)[..., None], pixels)
    total = sample(cv2.GaussianBlur(image[..., :3] * mask, (0, 0), BROAD), pixels)
    return total / np.maximum(near, 1e-3)[:, None], near


def _laplacian(triangles: np.ndarray, n: int) -> sp.csr_matrix:
    """Of the graph of the triangles' edges between points 0..n - 1; others are left out."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    edges = edges[((edges >= 0) & (edges < n)).all(1)]
    adjacency = sp.coo_matrix((np.ones(len(edges)), edges.T), (n, n)).tocsr()
    adjacency = ((adjacency + adjacency.T) > 0).astype(float)
    return (sp.diags(np.asarray(adjacency.sum(1)).ravel() + 1e-9) - adjacency).tocsr()


def _harmonic(laplacian: sp.csr_matrix, known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values (N, C) with those that are not known replaced by the smoothest continuation of the others."""
    free = np.flatnonzero(~known)
    fixed = np.flatnonzero(known)
    out = values.copy()
    if len(free) and len(fixed):
        rhs = -laplacian[free][:, fixed] @ values[fixed]
        out[free] = spl.spsolve(laplacian[free][:, free].tocsc() + 1e-9 * sp.identity(len(free)), rhs).reshape(
            -1, values.shape[1]
        )
    return out
