"""What the photo does not show: the side of the face that is turned away, textured from the side that is seen.

A face triangle that stands edge-on to the camera, or turned away, has no pixels of its own. When the head turns it
opens to the view. It gets Gaussians too, coloured by the mirror image of the other cheek, shifted smoothly so that
it meets what is seen; where both sides are hidden, by the smoothest colours between the seen points.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spl

from core.libs.flame_model import topology as topo

_OPENS_AT = 2.2  # a triangle with fewer pixels than its frontal area over this gets a filling
_SPACING = 1.3  # pixels of the source between the Gaussians of a filling


@dataclass(frozen=True)
class Filling:
    """Gaussians of hidden triangles.

    Attributes:
        triangles: (G,) indices of the triangles that are filled.
        spread: (G, 3, 2) as `binding.pixel_spread`, from the triangle's own plane instead of the picture.
        owner: (K,) index into `triangles` of each Gaussian. weights: (K, 3) barycentric.
        colors: (K, 4) RGB in 0..1 and the matte.
    """

    triangles: np.ndarray
    spread: np.ndarray
    owner: np.ndarray
    weights: np.ndarray
    colors: np.ndarray


def fill(
    points: np.ndarray,  # (M, 3) camera frame
    pixels: np.ndarray,  # (M, 2)
    triangles: np.ndarray,  # (F, 3)
    owner: np.ndarray,  # (S, S) front triangle of every pixel
    image: np.ndarray,  # (S, S, 4) RGB in 0..1 and the matte
    mirror: np.ndarray,  # (478,)
    scale: float,  # pixels per head unit
) -> Filling:
    """Fillings for the hidden triangles of the face and of its border with the surroundings."""
    corners = points[triangles]
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = np.linalg.norm(np.cross(first, second), axis=1) / 2 * scale**2
    seen_pixels = np.bincount(owner[owner >= 0], minlength=len(triangles))
    in_face = (triangles < topo.N_FACE).all(1)
    at_border = ~in_face & (triangles < topo.N_POINTS).any(1)
    hidden = (in_face | at_border) & (seen_pixels * _OPENS_AT < area) & (area > 2)
    chosen = np.flatnonzero(hidden)
    visible = _visible(triangles, hidden & in_face)
    colors, mirrored = _vertex_colors(triangles[in_face], visible, pixels, image, mirror)
    colors = np.concatenate([colors, _sample(cv2.GaussianBlur(image, (0, 0), 2.0), pixels[topo.N_POINTS :])])
    broad = cv2.GaussianBlur(image, (0, 0), 4.0)

    spreads, owners, weights, paints = [], [], [], []
    soft = cv2.GaussianBlur(image, (0, 0), 1.0)
    for k, f in enumerate(chosen):
        tangent = first[f] / np.linalg.norm(first[f])
        normal = np.cross(first[f], second[f])
        other = np.cross(normal / np.linalg.norm(normal), tangent)
        flat = np.stack([[0, 0], [first[f] @ tangent, first[f] @ other], [second[f] @ tangent, second[f] @ other]])
        flat = flat * scale  # the triangle in its own plane, pixels
        spreads.append(_spread(flat) * _SPACING)  # as wide as they stand apart
        sample = _samples(flat)
        weights.append(sample)
        owners.append(np.full(len(sample), k))
        corner = triangles[f]
        paint = sample @ colors[corner]
        if in_face[f] and mirrored[corner].all():
            other_side = mirror[corner]
            there = (sample @ pixels[other_side]).astype(np.float32)
            texture = cv2.remap(soft, there[None, :, 0], there[None, :, 1], cv2.INTER_LINEAR)[0]
            smooth = sample @ _sample(broad, pixels[other_side])
            paint = paint + texture - smooth
        if in_face[f]:
            paint[:, 3] = 1
        else:  # where the photo shows the background, nothing of hair or neck stands out
            paint[:, 3] *= _sample(image[..., 3:], sample @ pixels[corner])
        paints.append(np.clip(paint, 0, 1))
    if not len(chosen):
        return Filling(chosen, np.zeros((0, 3, 2)), np.zeros(0, int), np.zeros((0, 3)), np.zeros((0, 4)))
    return Filling(chosen, np.stack(spreads), *(np.concatenate(x) for x in (owners, weights, paints)))


def _visible(triangles: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """(478,) whether a point of the face lies on no hidden triangle."""
    out = np.ones(topo.N_POINTS, bool)
    flagged = triangles[hidden].ravel()
    out[flagged[flagged < topo.N_POINTS]] = False
    return out


def _vertex_colors(
    triangles: np.ndarray, visible: np.ndarray, pixels: np.ndarray, image: np.ndarray, mirror: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Colours of the face's points (478, 4), and which of them could be taken from the mirror image (478,)."""
    n = topo.N_POINTS
    soft = cv2.GaussianBlur(image, (0, 0), 4.0)
    own = _sample(soft, pixels[:n])
    # The border of the face keeps what the photo shows there if it is hair: no rim of skin stands out.
    oval = np.array(topo.FACE_OVAL)
    visible = visible.copy()
    person = _sample(cv2.erode(np.ascontiguousarray(image[..., 3]), np.ones((17, 17)))[..., None], pixels[oval])
    visible[oval] |= person > 0.9
    mirrored = visible[mirror]
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    adjacency = sp.coo_matrix((np.ones(len(edges)), edges.T), (n, n)).tocsr()
    adjacency = ((adjacency + adjacency.T) > 0).astype(float)
    laplacian = sp.diags(np.asarray(adjacency.sum(1)).ravel() + 1e-9) - adjacency
    difference = _harmonic(laplacian, visible & mirrored, own - own[mirror])
    plain = _harmonic(laplacian, visible, own)
    colors = np.where(visible[:, None], own, np.where(mirrored[:, None], own[mirror] + difference, plain))
    return colors, mirrored


def _harmonic(laplacian: sp.csr_matrix, known: np.ndarray, values: np.ndarray) -> np.ndarray:
    free = np.flatnonzero(~known)
    fixed = np.flatnonzero(known)
    out = values.copy()
    if len(free) and len(fixed):
        rhs = -laplacian[free][:, fixed] @ values[fixed]
        out[free] = spl.spsolve(laplacian[free][:, free].tocsc() + 1e-9 * sp.identity(len(free)), rhs).reshape(
            -1, values.shape[1]
        )
    return out


def _sample(image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Bilinear samples (N, C) at pixels (N, 2)."""
    p = pixels.astype(np.float32)
    samples = cv2.remap(image, p[None], None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
    return samples.reshape(len(p), *image.shape[2:]) if image.shape[2] > 1 else samples.reshape(-1)


def _spread(flat: np.ndarray) -> np.ndarray:
    inverse = np.linalg.inv(np.stack([flat[1] - flat[0], flat[2] - flat[0]], 1))
    return np.stack([-inverse.sum(0), inverse[0], inverse[1]])


def _samples(flat: np.ndarray) -> np.ndarray:
    """Barycentric weights (K, 3) of a regular grid of points over a triangle, its middle at least."""
    low, high = flat.min(0), flat.max(0)
    axes = [np.arange(a + _SPACING / 2, b, _SPACING) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes), -1).reshape(-1, 2)
    weights = np.concatenate([np.ones((len(grid), 1)), grid], 1) @ np.linalg.inv(np.c_[np.ones(3), flat])
    inside = weights[(weights > 0).all(1)]
    return inside if len(inside) else np.full((1, 3), 1 / 3)
