"""The two kernels of the alpha rule, which `alpha.py` states: project and bin the Gaussians, then composite them.

`power` is written with halved, negated conics: (hxx dx + hxy dy) dx + hyy dy^2.
"""

from __future__ import annotations

import numpy as np
from numba import get_thread_id, prange

from core.models.rasterizer import _simd, exponential, projection
from core.models.rasterizer._simd import (
    load8,
    load16,
    ramp,
    store8,
    store16,
    vmax,
    vmin,
    where_ge,
)
from core.models.rasterizer.compiled import kernel
from core.models.rasterizer.exponential import EXP_MIN, exp_neg
from core.models.rasterizer.projection import NEAR, W_EPS, project_covariance
from core.models.rasterizer.surface_kernels import FAR, LANES

TILE = 16  # pixels on a side of a tile, part of the rule's definition


@kernel(projection, _simd)
def alpha_project(
    xyz,  # (N, 3)
    cov,  # (N, 6)
    opacities,  # (N,)
    cam,  # (12,)
    fparams,  # (3,) tan_x, tan_y, blur
    size,  # (H, W)
    geo,  # (N, 9) u, v, -conic/2 xx, -conic xy, -conic/2 yy, extent x, extent y, opacity, depth
    tiles,  # (N, 4) first and one past the last tile column, then row; an empty range: dropped
):
    """Project the Gaussians and find the tiles that each touches: steps 1 to 5 of section 9 (shared/spec).

    The extent is where alpha falls below 1/255: beyond it a pixel is skipped anyway.
    """
    N = xyz.shape[0]
    H, W = size
    tan_x, tan_y, blur = fparams[0], fparams[1], fparams[2]
    half = np.float32(0.5)
    one = np.float32(1)
    zero = np.float32(0)
    tile = np.float32(TILE)
    fx = half * np.float32(W) / tan_x
    fy = half * np.float32(H) / tan_y
    grid_x = np.float32((W + TILE - 1) // TILE)
    grid_y = np.float32((H + TILE - 1) // TILE)
    for i in prange(N):
        tiles[i, 0] = 0
        tiles[i, 1] = 0
        x, y, z = xyz[i, 0], xyz[i, 1], xyz[i, 2]
        o = opacities[i]
        qz = x * cam[2] + y * cam[5] + z * cam[8] + cam[11]
        if not (qz > NEAR and o * np.float32(255) >= one):
            continue
        qx = -(x * cam[0] + y * cam[3] + z * cam[6] + cam[9])
        qy = -(x * cam[1] + y * cam[4] + z * cam[7] + cam[10])
        iz = one / (qz + W_EPS)
        u = half * np.float32(W - 1) + fx * qx * iz
        v = half * np.float32(H - 1) + fy * qy * iz
        s = cov[i, 0], cov[i, 1], cov[i, 2], cov[i, 3], cov[i, 4], cov[i, 5]
        kxx, kxy, kyy = project_covariance(cam, qx, qy, one / qz, s, fx, fy, tan_x, tan_y)
        kxx += blur
        kyy += blur
        det = kxx * kyy - kxy * kxy
        if not (abs(det) > zero):
            continue
        m = half * (kxx + kyy)
        radius = np.ceil(np.float32(3) * np.sqrt(m + np.sqrt(max(np.float32(0.1), m * m - det))))
        x0 = min(max(np.trunc((u - radius) / tile), zero), grid_x)
        x1 = min(max(np.trunc((u + radius + tile - one) / tile), zero), grid_x)
        y0 = min(max(np.trunc((v - radius) / tile), zero), grid_y)
        y1 = min(max(np.trunc((v + radius + tile - one) / tile), zero), grid_y)
        if not (x0 < x1 and y0 < y1):
            continue
        tiles[i, 0], tiles[i, 1] = np.int32(x0), np.int32(x1)
        tiles[i, 2], tiles[i, 3] = np.int32(y0), np.int32(y1)
        inv = one / det
        reach = np.sqrt(np.float32(2) * np.log(np.float32(255) * o) + np.float32(1e-2))
        geo[i, 0] = u
        geo[i, 1] = v
        geo[i, 2] = -half * kyy * inv
        geo[i, 3] = kxy * inv
        geo[i, 4] = -half * kxx * inv
        geo[i, 5] = reach * np.sqrt(kxx) if det > zero else FAR
        geo[i, 6] = reach * np.sqrt(kyy) if det > zero else FAR
        geo[i, 7] = o
        geo[i, 8] = qz


@kernel(exponential, _simd)
def alpha_composite(
    geo,  # (M, 9) in drawing order
    tiles,  # (M, 4)
    order,  # (M,) row of `colors` of each
    colors,  # (N * P,) padded channels
    bg,  # (C,)
    lists,  # (threads, M)
    acc,  # (threads, 256 * P)
    state,  # (threads, 2 * 256 + 16) T and live of the 256 pixels of a tile, 16 weights
    rows,  # (tile rows,) the order in which they are dealt to the threads
    image,  # (H, W, C)
    alpha,  # (H, W)
):
    """Composite front to back, a tile at a time (steps 6 and 7); each thread owns rows of tiles."""
    M = geo.shape[0]
    H, W, C = image.shape
    P = acc.shape[1] // (TILE * TILE)
    one = np.float32(1)
    zero = np.float32(0)
    limit = np.float32(0.99)
    least = np.float32(1 / 255)
    stop = np.float32(1e-4)
    live_at = TILE * TILE
    w_at = 2 * TILE * TILE
    for place in prange(len(rows)):
        tile_y = rows[place]
        thread = get_thread_id()
        a = acc[thread]
        s = state[thread]
        here = lists[thread]
        n = 0
        for j in range(M):
            if tiles[j, 2] <= tile_y and tile_y < tiles[j, 3]:
                here[n] = j
                n += 1
        top = tile_y * TILE
        bottom = min(H, top + TILE) - 1
        for tile_x in range((W + TILE - 1) // TILE):
            left = tile_x * TILE
            right = min(W, left + TILE) - 1
            a[:] = zero
            s[:w_at] = one
            if right - left < TILE - 1 or bottom - top < TILE - 1:  # pixels outside the picture never hold up the end
                for k in range(TILE * TILE):
                    if left + k % TILE > right or top + k // TILE > bottom:
                        s[live_at + k] = zero
            drawn = 0
            for at in range(n):
                j = here[at]
                if tile_x < tiles[j, 0] or tile_x >= tiles[j, 1]:
                    continue
                u, v = geo[j, 0], geo[j, 1]
                ex, ey = geo[j, 5], geo[j, 6]
                # Compared as floats: the extents may be far outside the range of integers.
                x0 = np.int64(max(np.ceil(u - ex), np.float32(left)))
                x1 = np.int64(min(np.floor(u + ex), np.float32(right)))
                y0 = np.int64(max(np.ceil(v - ey), np.float32(top)))
                y1 = np.int64(min(np.floor(v + ey), np.float32(bottom)))
                if x0 > x1 or y0 > y1:
                    continue
                hxx, hxy, hyy, o = geo[j, 2], geo[j, 3], geo[j, 4], geo[j, 7]
                first = np.int64(order[j]) * P
                dx = ramp(np.float32(left) - u)
                dx_dx = dx * dx * hxx
                for y in range(y0, y1 + 1):
                    dy = np.float32(y) - v
                    row = (y - top) * TILE
                    p = dx_dx + (dx * (hxy * dy) + hyy * dy * dy)
                    al = vmin(exp_neg(vmin(vmax(p, EXP_MIN), zero)) * o, limit)
                    al = where_ge(al, least, al, zero)
                    al = where_ge(zero, p, al, zero) * load16(s, live_at + row)
                    T = load16(s, row)
                    T_next = T * (one - al)
                    store16(s, row, where_ge(T_next, stop, T_next, T))
                    store16(s, live_at + row, where_ge(T_next, stop, load16(s, live_at + row), zero))
                    store16(s, w_at, where_ge(T_next, stop, al * T, zero))
                    for k in range(x0 - left, x1 - left + 1):
                        w = s[w_at + k]
                        if w > zero:
                            pixel = (row + k) * P
                            for c in range(0, P, LANES):
                                store8(a, pixel + c, load8(a, pixel + c) + load8(colors, first + c) * w)
                drawn += 1
                if drawn % 16 == 0:
                    live = zero
                    for k in range(live_at, w_at):
                        live += s[k]
                    if live == zero:
                        break
            for y in range(top, bottom + 1):
                for x in range(left, right + 1):
                    k = (y - top) * TILE + x - left
                    alpha[y, x] = one - s[k]
                    for c in range(C):
                        image[y, x, c] = a[k * P + c] + s[k] * bg[c]
