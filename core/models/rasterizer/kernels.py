"""Everything numba compiles here: the kernel of the surface rule, the two of the alpha rule, and what they share.

One file, because numba's cache on disk looks at the stamp of the file a kernel stands in. The rules are stated in
`surface.py` and `alpha.py`. All numbers are float32. Frame: q = (-x_cam, -y_cam, z_cam): x right, y down, z away from
the camera; pixel centres are integers. `power` is written with halved, negated conics: (hxx dx + hxy dy) dx + hyy dy^2.
"""

from __future__ import annotations

import numpy as np
from numba import get_thread_id, njit, prange

from core.models.rasterizer._simd import (
    BLOCK,
    block_columns,
    block_rows,
    load8,
    load16,
    load_block,
    ramp,
    store8,
    store16,
    vmax,
    vmin,
    where_ge,
)

BAND = 16  # rows of a band of the surface rule: 16 rows of 512 pixels with 8 lanes are 256 KB, which fits the L2 cache
TILE = 16  # tiles of the alpha rule, part of its definition
LANES = 8  # colours and accumulators are padded to a multiple of this
CHUNK = 2048  # Gaussians projected by one task
FAR = np.float32(1e30)  # depth of a pixel that no Gaussian covers

NEAR = np.float32(0.2)  # Gaussians whose centre is nearer are dropped: the only frustum test
CLAMP = np.float32(1.3)  # the tangent in the Jacobian is clamped to 1.3 times the half field of view
W_EPS = np.float32(1e-7)  # added to the divisor of the projection, as the published renderer does

# A set because numba takes no frozenset. No nnan or ninf: NaN must fail its comparison and be culled.
FASTMATH = {"contract", "reassoc", "arcp", "nsz"}

EXP_MIN = np.float32(-8.0)  # both rules cut earlier: 1/255 is exp(-5.54)

# Chebyshev fit of exp on [EXP_MIN / 16, 0], degree 5: 1.3e-8 relative; 2.5e-6 with four squarings in float32.
_E0 = np.float32(0.9999999914291052)
_E1 = np.float32(0.9999987645338196)
_E2 = np.float32(0.4999710205698506)
_E3 = np.float32(0.16641667401136154)
_E4 = np.float32(0.04068220051775976)
_E5 = np.float32(0.0065045072997236275)


@njit(inline="always", fastmath=FASTMATH, error_model="numpy")
def exp_neg(p):
    """exp(p) for p in [EXP_MIN, 0] as a polynomial, so that LLVM can put it into vector lanes (libm is a call)."""
    x = p * np.float32(0.0625)
    e = _E0 + x * (_E1 + x * (_E2 + x * (_E3 + x * (_E4 + x * _E5))))
    e = e * e
    e = e * e
    e = e * e
    return e * e


@njit(inline="always", fastmath=FASTMATH, error_model="numpy")
def project_covariance(cam, qx, qy, iz, s, i, fx, fy, tan_x, tan_y):
    """2D covariance (kxx, kxy, kyy) in px^2 of Gaussian i: K = J Rc S Rc^T J^T with the tangent clamp."""
    lim_x = CLAMP * tan_x
    lim_y = CLAMP * tan_y
    a = min(max(qx * iz, -lim_x), lim_x)
    b = min(max(qy * iz, -lim_y), lim_y)
    gx = fx * iz
    gy = fy * iz
    # Rows of J Rc. Rc[0] = -R[:, 0], Rc[1] = -R[:, 1], Rc[2] = R[:, 2] (row-vector convention, x and y flipped).
    m00 = -gx * (cam[0] + a * cam[2])
    m01 = -gx * (cam[3] + a * cam[5])
    m02 = -gx * (cam[6] + a * cam[8])
    m10 = -gy * (cam[1] + b * cam[2])
    m11 = -gy * (cam[4] + b * cam[5])
    m12 = -gy * (cam[7] + b * cam[8])
    sxx = s[i, 0]
    sxy = s[i, 1]
    sxz = s[i, 2]
    syy = s[i, 3]
    syz = s[i, 4]
    szz = s[i, 5]
    h0 = sxx * m00 + sxy * m01 + sxz * m02
    h1 = sxy * m00 + syy * m01 + syz * m02
    h2 = sxz * m00 + syz * m01 + szz * m02
    kxx = m00 * h0 + m01 * h1 + m02 * h2
    kxy = m10 * h0 + m11 * h1 + m12 * h2
    h0 = sxx * m10 + sxy * m11 + sxz * m12
    h1 = sxy * m10 + syy * m11 + syz * m12
    h2 = sxz * m10 + syz * m11 + szz * m12
    return kxx, kxy, m10 * h0 + m11 * h1 + m12 * h2


@njit(cache=True, parallel=True, fastmath=FASTMATH, error_model="numpy")
def surface_kernel(
    xyz,  # (N, 3)
    cov,  # (N, 6)
    colors,  # (N, C)
    opacities,  # (N,)
    cam,  # (12,)
    fparams,  # (8,) tan_x, tan_y, blur, cutoff, core, z_window, full_weight, front_opacity
    bg,  # (C,)
    geo,  # (N, 8) u, v, z, -conic/2 xx, -conic xy, -conic/2 yy, radius x, radius y
    col,  # (N, P) opacity * color, opacity, zeros
    band_range,  # (N, 2) first band and one past the last
    counts,  # (chunks, bands) becomes the offset of each chunk in the list of each band
    starts,  # (bands + 1,)
    lists,  # (2 N or more,)
    acc,  # (threads, BAND * W * P)
    zbufs,  # (threads, BAND * W + 3 * W + 16)
    lane_w,  # (threads, 16)
    bands,  # (bands,) the order in which they are dealt to the threads
    image,  # (H, W, C)
    alpha,  # (H, W)
    weights,  # (H, W)
    depth,  # (H, W)
):
    """Phase 0: project and count per band. Returns the needed length of `lists`; draws if the list is long enough."""
    N = xyz.shape[0]
    C = colors.shape[1]
    P = col.shape[1]
    H, W = alpha.shape
    n_chunks, n_bands = counts.shape
    tan_x, tan_y, blur, cutoff, core = fparams[0], fparams[1], fparams[2], fparams[3], fparams[4]
    z_window, full_weight, front_opacity = fparams[5], fparams[6], fparams[7]
    half = np.float32(0.5)
    one = np.float32(1)
    zero = np.float32(0)
    fx = half * np.float32(W) / tan_x
    fy = half * np.float32(H) / tan_y
    mid_x = half * np.float32(W - 1)
    mid_y = half * np.float32(H - 1)
    last_x = np.float32(W - 1)
    last_y = np.float32(H - 1)

    for chunk in prange(n_chunks):
        for b in range(n_bands):
            counts[chunk, b] = 0
        for i in range(chunk * CHUNK, min(N, (chunk + 1) * CHUNK)):
            band_range[i, 0] = 0
            band_range[i, 1] = 0
            x, y, z = xyz[i, 0], xyz[i, 1], xyz[i, 2]
            o = opacities[i]
            qz = x * cam[2] + y * cam[5] + z * cam[8] + cam[11]
            if not (qz > NEAR and o > zero):
                continue
            qx = -(x * cam[0] + y * cam[3] + z * cam[6] + cam[9])
            qy = -(x * cam[1] + y * cam[4] + z * cam[7] + cam[10])
            iz = one / (qz + W_EPS)
            u = mid_x + fx * qx * iz
            v = mid_y + fy * qy * iz
            kxx, kxy, kyy = project_covariance(cam, qx, qy, one / qz, cov, i, fx, fy, tan_x, tan_y)
            kxx += blur
            kyy += blur
            det = kxx * kyy - kxy * kxy
            rx = cutoff * np.sqrt(kxx)
            ry = cutoff * np.sqrt(kyy)
            # One pixel of slack: the pixel nearest to the centre may lie outside a tiny footprint.
            if not (det > zero and u + rx > -one and u - rx < last_x + one and v + ry > -one and v - ry < last_y + one):
                continue
            inv = one / det
            geo[i, 0] = u
            geo[i, 1] = v
            geo[i, 2] = qz
            geo[i, 3] = -half * kyy * inv
            geo[i, 4] = kxy * inv
            geo[i, 5] = -half * kxx * inv
            geo[i, 6] = rx
            geo[i, 7] = ry
            for c in range(C):
                col[i, c] = o * colors[i, c]
            col[i, C] = o
            for c in range(C + 1, P):
                col[i, c] = zero
            y0 = np.int64(max(np.floor(v - ry), zero))
            y1 = np.int64(min(np.ceil(v + ry), last_y))
            b0 = y0 // BAND
            b1 = y1 // BAND + 1
            band_range[i, 0] = b0
            band_range[i, 1] = b1
            for b in range(b0, b1):
                counts[chunk, b] += 1

    total = 0
    for b in range(n_bands):
        starts[b] = total
        for chunk in range(n_chunks):
            here = counts[chunk, b]
            counts[chunk, b] = total
            total += here
    starts[n_bands] = total
    if total > lists.shape[0]:
        return total

    for chunk in prange(n_chunks):
        for i in range(chunk * CHUNK, min(N, (chunk + 1) * CHUNK)):
            for b in range(band_range[i, 0], band_range[i, 1]):
                lists[counts[chunk, b]] = i
                counts[chunk, b] += 1

    colf = col.reshape(-1)
    three = np.float32(3)
    floor_w = exp_neg(-half * cutoff * cutoff)
    scale_w = one / (one - floor_w)
    p_min = -half * cutoff * cutoff
    p_core = -half * core * core
    core_ratio = core / cutoff
    falloff = np.float32(2) / z_window

    for place in prange(n_bands):
        band = bands[place]
        thread = get_thread_id()
        a = acc[thread]
        zbuf = zbufs[thread]
        lw = lane_w[thread]
        top = band * BAND
        bottom = min(H, top + BAND) - 1
        zbuf[:] = FAR
        a[:] = zero
        begin = starts[band]
        end = starts[band + 1]

        for j in range(begin, end):
            i = lists[j]
            if col[i, C] < front_opacity:
                continue
            u, v, z = geo[i, 0], geo[i, 1], geo[i, 2]
            hxx, hxy, hyy = geo[i, 3], geo[i, 4], geo[i, 5]
            rx = geo[i, 6] * core_ratio
            ry = geo[i, 7] * core_ratio
            x0 = max(np.int64(np.ceil(u - rx)), 0)
            x1 = min(np.int64(np.floor(u + rx)), W - 1)
            y0 = max(np.int64(np.ceil(v - ry)), top)
            y1 = min(np.int64(np.floor(v + ry)), bottom)
            for y in range(y0, y1 + 1):
                dy = np.float32(y) - v
                for x in range(x0, x1 + 1):
                    dx = np.float32(x) - u
                    p = (hxx * dx + hxy * dy) * dx + hyy * dy * dy
                    k = (y - top) * W + x
                    if p >= p_core and z < zbuf[k]:
                        zbuf[k] = z
            xn = np.int64(np.floor(u + half))
            yn = np.int64(np.floor(v + half))
            if xn >= 0 and xn < W and yn >= top and yn <= bottom:
                k = (yn - top) * W + xn
                zbuf[k] = min(zbuf[k], z)

        for j in range(begin, end):
            i = lists[j]
            u, v, z = geo[i, 0], geo[i, 1], geo[i, 2]
            behind = z_window - z
            hxx, hxy, hyy = geo[i, 3], geo[i, 4], geo[i, 5]
            rx, ry = geo[i, 6], geo[i, 7]
            x0 = max(np.int64(np.ceil(u - rx)), 0)
            x1 = min(np.int64(np.floor(u + rx)), W - 1)
            y0 = max(np.int64(np.ceil(v - ry)), top)
            y1 = min(np.int64(np.floor(v + ry)), bottom)
            first = np.int64(i) * P
            c8 = load8(colf, first)
            for y in range(y0, y1 + 1, BLOCK):
                dy = block_rows(np.float32(y) - v)
                ny = min(BLOCK, y1 + 1 - y)
                p_y = dy * dy * hyy
                h_y = dy * hxy
                for x in range(x0, x1 + 1, BLOCK):
                    dx = block_columns(np.float32(x) - u)
                    p = (dx * hxx + h_y) * dx + p_y
                    e = vmax(exp_neg(vmax(p, p_min)) - floor_w, zero) * scale_w
                    k = (y - top) * W + x
                    t = vmin(vmax((load_block(zbuf, k, W) + behind) * falloff, zero), one)
                    store16(lw, 0, e * t * t * (three - t - t))
                    nx = min(BLOCK, x1 + 1 - x)
                    for r in range(ny):
                        at = (k + r * W) * P
                        for q in range(nx):
                            w = lw[r * BLOCK + q]
                            store8(a, at, load8(a, at) + c8 * w)
                            for c in range(LANES, P, LANES):
                                store8(a, at + c, load8(a, at + c) + load8(colf, first + c) * w)
                            at += P

        for y in range(top, bottom + 1):
            for x in range(W):
                k = (y - top) * W + x
                s = a[k * P + C]
                inv = one / max(s, full_weight)
                cover = s * inv if s < full_weight else one
                alpha[y, x] = cover
                weights[y, x] = s
                depth[y, x] = zbuf[k]
                for c in range(C):
                    image[y, x, c] = a[k * P + c] * inv + (one - cover) * bg[c]
    return total


@njit(cache=True, parallel=True, fastmath=FASTMATH, error_model="numpy")
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
    """Steps 1 to 5 of section 9. The extent is where alpha falls below 1/255: beyond it a pixel is skipped anyway."""
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
        kxx, kxy, kyy = project_covariance(cam, qx, qy, one / qz, cov, i, fx, fy, tan_x, tan_y)
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


@njit(cache=True, parallel=True, fastmath=FASTMATH, error_model="numpy")
def alpha_composite(
    geo,  # (M, 9) in drawing order
    tiles,  # (M, 4)
    order,  # (M,) row of `colors` of each
    colors,  # (N * P,) padded channels
    bg,  # (C,)
    lists,  # (threads, M)
    acc,  # (threads, 256 * P)
    state,  # (threads, 512 + 16) T and live of the 256 pixels of a tile, 16 weights
    rows,  # (tile rows,) the order in which they are dealt to the threads
    image,  # (H, W, C)
    alpha,  # (H, W)
):
    """Steps 6 and 7, a tile at a time; each thread owns rows of tiles."""
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
