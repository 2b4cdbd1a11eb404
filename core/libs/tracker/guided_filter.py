"""The guided filter with a colour picture as its guide (He, Sun and Tang, Guided Image Filtering, PAMI 2013).

As `cv2.ximgproc.guidedFilter` has it, which keeps two dozen planes as large as the picture: here sums run along rows.
"""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, nogil=True, error_model="numpy")
def guided_filter(
    guide: np.ndarray,  # (H, W, 3) uint8
    values: np.ndarray,  # (H, W) float32
    radius: int,  # of the square windows, pixels
    smoothing: float,  # variance of the guide, grey levels squared, that counts as none
) -> np.ndarray:  # (H, W) float32
    """Values that are locally linear in the guide's colours. Beyond its borders the picture is mirrored."""
    height, width = values.shape
    share = 1 / (2 * radius + 1) ** 2
    columns, means = np.zeros((width, 13)), np.empty((width, 13))
    slopes = np.empty((height, width, 4), np.float32)
    for y in range(-radius, radius):
        _add_products(columns, guide, values, _mirrored(y, height), 1.0)
    for y in range(height):
        _add_products(columns, guide, values, _mirrored(y + radius, height), 1.0)
        _across(columns, radius, share, means)
        for x in range(width):
            r, g, b, v, rv, gv, bv, rr, rg, rb, gg, gb, bb = means[x]
            rv, gv, bv = rv - r * v, gv - g * v, bv - b * v
            rr, gg, bb = rr - r * r + smoothing, gg - g * g + smoothing, bb - b * b + smoothing
            rg, rb, gb = rg - r * g, rb - r * b, gb - g * b
            # The inverse of the colours' covariance by cofactors
            i00, i01, i02 = gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg
            i11, i12, i22 = rr * bb - rb * rb, rg * rb - rr * gb, rr * gg - rg * rg
            scale = 1 / (rr * i00 + rg * i01 + rb * i02)
            a0 = scale * (i00 * rv + i01 * gv + i02 * bv)
            a1 = scale * (i01 * rv + i11 * gv + i12 * bv)
            a2 = scale * (i02 * rv + i12 * gv + i22 * bv)
            slopes[y, x, 0], slopes[y, x, 1], slopes[y, x, 2] = a0, a1, a2
            slopes[y, x, 3] = v - a0 * r - a1 * g - a2 * b
        _add_products(columns, guide, values, _mirrored(y - radius, height), -1.0)
    out = np.empty((height, width), np.float32)
    columns, means = np.zeros((width, 4)), np.empty((width, 4))
    for y in range(-radius, radius):
        columns += slopes[_mirrored(y, height)]
    for y in range(height):
        columns += slopes[_mirrored(y + radius, height)]
        _across(columns, radius, share, means)
        for x in range(width):
            a0, a1, a2, offset = means[x]
            out[y, x] = a0 * guide[y, x, 0] + a1 * guide[y, x, 1] + a2 * guide[y, x, 2] + offset
        columns -= slopes[_mirrored(y - radius, height)]
    return out


@numba.njit(cache=True, nogil=True)
def _mirrored(place: int, count: int) -> int:
    """A row or column within the picture for one that may lie beyond it."""
    while not 0 <= place < count:
        place = -1 - place if place < 0 else 2 * count - 1 - place
    return place


@numba.njit(cache=True, nogil=True)
def _across(columns: np.ndarray, radius: int, share: float, means: np.ndarray) -> None:
    """The means (W, K) of the columns' means (W, K) in a window, of which a pixel has a share."""
    width, count = columns.shape
    running = np.zeros(count)
    for x in range(-radius, radius):
        running += columns[_mirrored(x, width)]
    for x in range(width):
        last, first = columns[_mirrored(x + radius, width)], columns[_mirrored(x - radius, width)]
        for k in range(count):
            running[k] += last[k]
            means[x, k] = share * running[k]
            running[k] -= first[k]


@numba.njit(cache=True, nogil=True)
def _add_products(columns: np.ndarray, guide: np.ndarray, values: np.ndarray, y: int, sign: float) -> None:
    """Add a row's colours, values and products to the columns' means (W, 13), or take them away."""
    for x in range(len(columns)):
        r, g, b, v = float(guide[y, x, 0]), float(guide[y, x, 1]), float(guide[y, x, 2]), float(values[y, x])
        total = columns[x]
        total[0] += sign * r
        total[1] += sign * g
        total[2] += sign * b
        total[3] += sign * v
        total[4] += sign * r * v
        total[5] += sign * g * v
        total[6] += sign * b * v
        total[7] += sign * r * r
        total[8] += sign * r * g
        total[9] += sign * r * b
        total[10] += sign * g * g
        total[11] += sign * g * b
        total[12] += sign * b * b
