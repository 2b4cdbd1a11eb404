"""Gaussians bound to triangles: which triangle a source pixel lies on, and where the triangle carries it."""

from __future__ import annotations

import numba
import numpy as np

_LONGEST = 12.0  # pixels of the picture that one pixel of the source may be stretched over
_TAKES_OVER = 4.2  # stretch at which a filling has half the say
_SMEARED = 6.0  # stretch of its own triangle at which a Gaussian has half the say, whatever is around it
_RIM_HASTE = 30.0  # power of the photo's share beside a rim in the rim's weight


@numba.njit(cache=True, parallel=True, fastmath=True)
def carry(
    points: np.ndarray,  # (M, 3) float32, where the mesh is now, camera frame
    triangles: np.ndarray,  # (F + G, 3) int32, those of the sheet, then the filled ones again
    n_sheet: int,  # F
    spread: np.ndarray,  # (F + G, 3, 2) float32, pixels to barycentric weights: d(weights)/d(x, y) at the source
    sigma: float,  # of a Gaussian at the source, pixels
    owner: np.ndarray,  # (N,) int32
    weights: np.ndarray,  # (N, 3) float32
    haste: np.ndarray,  # (N,) float32, see `Avatar.haste`
    outline: np.ndarray,  # (M,) int8, see `Avatar.outline`
    closed: np.ndarray,  # (M,) bool, see `Avatar.closed`
    fill_weight: float,  # of a filling's Gaussians while nothing is stretched
    xyz: np.ndarray,  # (N, 3) out
    covariances: np.ndarray,  # (N, 6) out
    opacities: np.ndarray,  # (N,) out
) -> None:
    """Centres, covariances and weights of the Gaussians where their triangles are now.

    The covariance is sigma^2 J J^T with J = d point / d pixel of the triangle. Where a triangle opens to the view, the
    photo's Gaussians give way to the filling's. How far is a value of the vertices, so that no triangle shows its edge.
    """
    one = np.float32(1)
    n_triangles = len(triangles)
    shape = np.empty((n_triangles, 7), np.float32)
    stretch = np.zeros((len(points), 2), np.float32)
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
        shape[f, 6] = one / (one + (longest / np.float32(_SMEARED)) ** 6)
        if f < n_sheet:
            for k in range(3):
                stretch[triangles[f, k], 0] += min(longest, np.float32(_LONGEST))
                stretch[triangles[f, k], 1] += one
    share = np.ones(len(points), np.float32)  # of the photo
    for v in range(len(points)):
        if not closed[v] and stretch[v, 1] > 0:
            share[v] = one / (one + (stretch[v, 0] / stretch[v, 1] / np.float32(_TAKES_OVER)) ** 6)
    rim = np.zeros(2, np.float32)  # what is left of it, as one, so that it does not break into pieces
    for side in range(2):
        total, count = np.float32(0), np.float32(0)
        for v in range(len(points)):
            if outline[v] == side + 1:
                total += share[v]
                count += one
        rim[side] = (total / max(count, one)) ** _RIM_HASTE
    least = np.float32(fill_weight)
    for g in numba.prange(len(owner)):
        f = owner[g]
        a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
        for k in range(3):
            xyz[g, k] = weights[g, 0] * points[a, k] + weights[g, 1] * points[b, k] + weights[g, 2] * points[c, k]
        for k in range(6):
            covariances[g, k] = shape[f, k]
        photo = one
        if haste[g] < -1:
            opacities[g] = rim[int(-haste[g]) - 2]
            continue
        if haste[g] != 0:
            photo = weights[g, 0] * share[a] + weights[g, 1] * share[b] + weights[g, 2] * share[c]
        if haste[g] > 0:
            photo *= shape[f, 6]
        if haste[g] < 0:
            at_least = -least * haste[g]
            photo = at_least + (one - at_least) * (one - photo)
        elif haste[g] > one:
            photo = photo ** haste[g]
        opacities[g] = photo


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
