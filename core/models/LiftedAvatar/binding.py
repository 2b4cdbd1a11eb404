"""Gaussians bound to triangles: which triangle a source pixel lies on, and where the triangle carries it."""

from __future__ import annotations

import numba
import numpy as np

_LONGEST = 12.0  # pixels of the picture that one pixel of the source may be stretched over
_TAKES_OVER = 3.0  # stretch at which a filling begins to show


@numba.njit(cache=True, parallel=True, fastmath=True)
def carry(
    points: np.ndarray,  # (M, 3) float32, where the mesh is now, camera frame
    triangles: np.ndarray,  # (F, 3) int32
    spread: np.ndarray,  # (F, 3, 2) float32, pixels to barycentric weights: d(weights)/d(x, y) at the source
    sigma: float,  # of a Gaussian at the source, pixels
    owner: np.ndarray,  # (N,) int32
    weights: np.ndarray,  # (N, 3) float32
    share: np.ndarray,  # (F,) float32, see `Avatar.share`
    xyz: np.ndarray,  # (N, 3) out
    covariances: np.ndarray,  # (N, 6) out
    opacities: np.ndarray,  # (N,) out
) -> None:
    """Centres, covariances and weights of the Gaussians where their triangles are now.

    The covariance is sigma^2 J J^T with J = d point / d pixel of the triangle.
    """
    n_triangles = len(triangles)
    shape = np.empty((n_triangles, 7), np.float32)
    for f in range(n_triangles):
        a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
        for k in range(6):
            i = (0, 0, 0, 1, 1, 2)[k]
            j = (0, 1, 2, 1, 2, 2)[k]
            total = np.float32(0)
            for axis in range(2):
                sa, sb, sc = spread[f, 0, axis], spread[f, 1, axis], spread[f, 2, axis]
                ji = points[a, i] * sa + points[b, i] * sb + points[c, i] * sc
                jj = points[a, j] * sa + points[b, j] * sb + points[c, j] * sc
                total += ji * jj
            shape[f, k] = total * np.float32(sigma * sigma)
        # The longer axis of its picture, in pixels of the 512-pixel crop for one pixel of the source.
        half = (shape[f, 0] + shape[f, 3]) / 2
        rest = np.sqrt(max(half * half - shape[f, 0] * shape[f, 3] + shape[f, 1] ** 2, np.float32(0)))
        longest = np.sqrt(half + rest) / np.float32(sigma) * np.float32(3072.0) / points[a, 2]
        if longest > _LONGEST:
            for k in range(6):
                shape[f, k] *= (np.float32(_LONGEST) / longest) ** 2
        shape[f, 6] = share[f]
        if share[f] < 0:
            shape[f, 6] = 1 / (1 + (longest / np.float32(_TAKES_OVER)) ** 6)
    for g in numba.prange(len(owner)):
        f = owner[g]
        a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
        for k in range(3):
            xyz[g, k] = weights[g, 0] * points[a, k] + weights[g, 1] * points[b, k] + weights[g, 2] * points[c, k]
        for k in range(6):
            covariances[g, k] = shape[f, k]
        opacities[g] = shape[f, 6]


def pixel_spread(pixels: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """d(barycentric weights) / d(x, y) of every triangle in the source picture, (F, 3, 2); zero for degenerate ones."""
    a, b, c = (pixels[triangles[:, i]] for i in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    safe = np.where(np.abs(area) < 1e-6, np.inf, area)
    slopes = [(q[:, 1] - r[:, 1], r[:, 0] - q[:, 0]) for q, r in ((b, c), (c, a), (a, b))]
    return (np.stack([np.stack(s, -1) for s in slopes], 1) / safe[:, None, None]).astype(np.float32)


@numba.njit(cache=True, parallel=True, fastmath=True)
def compose(
    image: np.ndarray,  # (H, W, 4) RGB and the matte
    background: np.ndarray,  # (3,)
    out: np.ndarray,  # (H, W, 3)
) -> None:
    """The person over a background, everything kept in 0..1.

    Holes one or two pixels wide, as they open where a sheet turns edge-on, take the mean of what lies on both sides.
    """
    zero, one = np.float32(0), np.float32(1)
    height, width = image.shape[:2]
    for y in numba.prange(height):
        pixel = np.empty(4, np.float32)
        for x in range(width):
            for k in range(4):
                pixel[k] = image[y, x, k]
            if pixel[3] < 0.6:
                for i in range(8):
                    step_x, step_y = (1, 0, 1, 1, 2, 0, 1, 2)[i], (0, 1, 1, -1, 0, 2, 2, 1)[i]
                    ax, ay, bx, by = x - step_x, y - step_y, x + step_x, y + step_y
                    if min(ax, ay, bx, by) < 0 or max(ax, bx) >= width or max(ay, by) >= height:
                        continue
                    if image[ay, ax, 3] > 0.9 and image[by, bx, 3] > 0.9:
                        for k in range(4):
                            pixel[k] = (image[ay, ax, k] + image[by, bx, k]) * np.float32(0.5)
                        break
            matte = min(max(pixel[3], zero), one)
            for k in range(3):
                out[y, x, k] = min(max(pixel[k], zero), one) * matte + background[k] * (one - matte)
