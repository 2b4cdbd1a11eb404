"""Which triangle of a mesh every pixel of a picture shows."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def rasterize_mesh(
    pixels: np.ndarray,  # (M, 2) float64
    depth: np.ndarray,  # (M,) float64
    triangles: np.ndarray,  # (F, 3) int32
    side: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a mesh with a z-buffer, both sides of its triangles.

    Args:
        pixels: (M, 2) where the vertices are in the picture, pixel centres at integers. depth: (M,) along the
            camera's axis. triangles: (F, 3). side: pixels of the square picture.

    Returns:
        pix_to_face: (side, side) int32, the front triangle under every pixel, -1 where there is none.
        bary_coords: (side, side, 3) float32, of the point in space, not of its picture: perspective is taken out.
    """
    pix_to_face = np.full((side, side), -1, np.int32)
    zbuf = np.full((side, side), np.inf)
    bary_coords = np.zeros((side, side, 3), np.float32)
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
                if z < zbuf[y, x]:
                    zbuf[y, x] = z
                    pix_to_face[y, x] = f
                    bary_coords[y, x, 0], bary_coords[y, x, 1], bary_coords[y, x, 2] = wa * z, wb * z, wc * z
    return pix_to_face, bary_coords
