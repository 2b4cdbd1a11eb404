"""Which triangle of a mesh every pixel of a picture shows."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True)
def cover(
    pixels: np.ndarray,  # (M, 2) float64
    depth: np.ndarray,  # (M,) float64
    triangles: np.ndarray,  # (F, 3) int32
    side: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The front triangle under every pixel (side, side), -1 where none, and barycentric weights (side, side, 3).

    The weights are those of the point in space, not of its picture: perspective is taken out.
    """
    owner = np.full((side, side), -1, np.int32)
    front = np.full((side, side), np.inf)
    weights = np.zeros((side, side, 3), np.float32)
    for f in range(len(triangles)):
        a, b, c = triangles[f]
        ax, ay = pixels[a]
        bx, by = pixels[b]
        cx, cy = pixels[c]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if abs(area) < 1e-9:
            continue
        x0, x1 = max(int(np.ceil(min(ax, bx, cx))), 0), min(int(np.floor(max(ax, bx, cx))), side - 1)
        y0, y1 = max(int(np.ceil(min(ay, by, cy))), 0), min(int(np.floor(max(ay, by, cy))), side - 1)
        for y in range(y0, y1 + 1):
            for x in range(x0, x1 + 1):
                wa = ((bx - x) * (cy - y) - (by - y) * (cx - x)) / area
                wb = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) / area
                wc = 1 - wa - wb
                if wa < -1e-7 or wb < -1e-7 or wc < -1e-7:
                    continue
                wa, wb, wc = wa / depth[a], wb / depth[b], wc / depth[c]
                z = 1 / (wa + wb + wc)
                if z < front[y, x]:
                    front[y, x] = z
                    owner[y, x] = f
                    weights[y, x, 0], weights[y, x, 1], weights[y, x, 2] = wa * z, wb * z, wc * z
    return owner, weights
