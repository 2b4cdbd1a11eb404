"""From Gaussians in the camera's frame to what `splat_bands` draws: footprints, the blocks they touch, lists by bands.

What is kept of a Gaussian are `WIDE` numbers: u, v, z, -conic/2 xx, -conic xy, -conic/2 yy; then whole numbers, the
first and last column and row of its footprint; its opacity; the column and row of the four pixels that its core covers,
and which of them (a bit each), -1 if it covers others; the last two say nothing.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from core.models.rasterizer import _simd
from core.models.rasterizer._simd import (
    BLOCK,
    store_rows,
    store_whole,
    vceil,
    vfloor,
    vmax,
    vmin,
    vsqrt,
    where_ge,
    where_gt,
)
from core.models.rasterizer.compiled import FASTMATH, kernel
from core.models.rasterizer.projection import NEAR

BAND = 16  # rows of a band: 16 rows of 512 pixels with 8 lanes are 256 KB, which fits the L2 cache
WIDE = BLOCK * BLOCK  # Gaussians projected at once; there must be as many. So many numbers are kept of each, too
DRAWN, SPARED, BLANK = 0, 1, 2  # what becomes of a block: it is drawn, left as it is, or nothing is in it


@njit(inline="always", fastmath=FASTMATH, error_model="numpy")
def find_footprints(u, v, z, kxx, kxy, kyy, weights, fparams, size, rows, places):
    """Of sixteen Gaussians at u, v, with a covariance in the picture: what is kept of them into `rows`, and into
    `places` the first and last block that each touches of a row of blocks, the first of a column, and one past the
    last; 0 there where it is not seen at all.
    """
    half, one, zero = np.float32(0.5), np.float32(1), np.float32(0)
    last_x, last_y = np.float32(size[1] - 1), np.float32(size[0] - 1)
    per_block = np.float32(1 / BAND)
    cutoff, core, front_opacity = fparams[3], fparams[4], fparams[7]
    core_ratio, p_core = core / cutoff, -half * core * core
    kxx = kxx + fparams[2]
    kyy = kyy + fparams[2]
    det = kxx * kyy - kxy * kxy
    inv = one / det
    hxx, hxy, hyy = kyy * -half * inv, kxy * inv, kxx * -half * inv
    rx, ry = vsqrt(kxx) * cutoff, vsqrt(kyy) * cutoff
    left, right = vmax(vceil(u - rx), zero), vmin(vfloor(u + rx), last_x)
    top, bottom = vmax(vceil(v - ry), zero), vmin(vfloor(v + ry), last_y)
    # The core covers the pixel nearest to the centre too
    near_x, near_y = vfloor(u + half), vfloor(v + half)
    core_x, core_y = rx * core_ratio, ry * core_ratio
    west, north = vmin(vceil(u - core_x), near_x), vmin(vceil(v - core_y), near_y)
    wide = vmax(vmax(vfloor(u + core_x), near_x) - west, vmax(vfloor(v + core_y), near_y) - north)
    dx, dy = west - u, north - v
    ex, ey = dx + one, dy + one
    across, down = near_x - west, near_y - north  # 0 or 1 where the core covers four pixels at most
    to_x, to_y = one - across, one - down
    low, high = dy * dy * hyy, ey * ey * hyy
    covered = (
        where_ge(vmax((dx * hxx + dy * hxy) * dx + low, p_core + half - across - down), p_core, one, zero)
        + where_ge(vmax((ex * hxx + dy * hxy) * ex + low, p_core + half - to_x - down), p_core, one + one, zero)
        + where_ge(vmax((dx * hxx + ey * hxy) * dx + high, p_core + half - across - to_y), p_core, np.float32(4), zero)
        + where_ge(vmax((ex * hxx + ey * hxy) * ex + high, p_core + half - to_x - to_y), p_core, np.float32(8), zero)
    )
    covered = where_gt(wide, np.float32(1.5), -one, covered)
    covered = where_gt(front_opacity, weights, zero, covered)
    store_rows(rows, (
        u, v, z, hxx, hxy, hyy, left, right, top, bottom, weights, west, north, covered, weights, weights
    ))  # fmt: skip
    # The blocks that it touches: first and one past the last, and none where it is not seen at all. The pixel
    # nearest to the centre may lie outside a tiny footprint.
    near_x, near_y = vmin(vmax(near_x, zero), last_x), vmin(vmax(near_y, zero), last_y)
    past = vfloor(vmax(bottom, near_y) * per_block) + one
    past = where_gt(weights, zero, past, zero)
    past = where_gt(z, NEAR, where_gt(det, zero, past, zero), zero)
    past = where_gt(u + rx, -one, where_gt(last_x + one, u - rx, past, zero), zero)
    past = where_gt(v + ry, -one, where_gt(last_y + one, v - ry, past, zero), zero)
    store_whole(places, 0, where_gt(past, zero, vfloor(vmin(left, near_x) * per_block), zero))
    store_whole(places, WIDE, where_gt(past, zero, vfloor(vmax(right, near_x) * per_block), zero))
    store_whole(places, 2 * WIDE, where_gt(past, zero, vfloor(vmin(top, near_y) * per_block), zero))
    store_whole(places, 3 * WIDE, past)


@njit(inline="always", error_model="numpy")
def shows(places, k, states):
    """Whether one of sixteen is seen in a block that is drawn. Those blocks are `DRAWN` from now on."""
    found = False
    # Most footprints touch no more than four blocks, all of them corners.
    for b in range(places[k + 2 * WIDE], places[k + 3 * WIDE]):
        for block in range(places[k], places[k + WIDE] + 1):
            if states[b, block] != SPARED:
                found = True
                if states[b, block] == BLANK:
                    states[b, block] = DRAWN
    return found


@kernel(_simd)
def list_by_bands(
    seen,  # (N,) of each chunk those that are drawn, in order, from where it begins
    begins,  # (chunks + 1,) where that is
    n_seen,  # (chunks,) how many these are
    band_range,  # (N, 2) of these, first band and one past the last
    counts,  # (chunks, bands) how many of a chunk touch a band; becomes the end of these in its list
    starts,  # (bands + 1,) out
    lists,  # (2 N or more,) out
):
    """List Gaussians by the bands of rows that they touch, in order.

    Returns the length that `lists` needs; where it is shorter nothing is listed.
    """
    n_chunks, n_bands = counts.shape
    total = 0
    for b in range(n_bands):
        starts[b] = total
        for chunk in range(n_chunks):
            total += counts[chunk, b]
    starts[n_bands] = total
    if total > lists.shape[0]:
        return total
    for b in range(n_bands):
        at = starts[b]
        for chunk in range(n_chunks):
            here = counts[chunk, b]
            counts[chunk, b] = at
            at += here
    for chunk in prange(n_chunks):
        for n in range(begins[chunk], begins[chunk] + n_seen[chunk]):
            for b in range(band_range[n, 0], band_range[n, 1]):
                lists[counts[chunk, b]] = seen[n]
                counts[chunk, b] += 1
    return total
