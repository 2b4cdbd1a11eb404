"""The two kernels of the surface rule, which `surface.py` states: project and bin the Gaussians, then splat them.

`power` is written with halved, negated conics: (hxx dx + hxy dy) dx + hyy dy^2.
"""

from __future__ import annotations

import numpy as np
from numba import get_thread_id, njit, prange

from core.models.rasterizer import _simd, exponential, projection
from core.models.rasterizer._simd import (
    BLOCK,
    add_block,
    block_columns,
    block_rows,
    load8,
    load_block,
    store8,
    store16,
    store_block,
    vmax,
    vmin,
    where_ge,
)
from core.models.rasterizer.compiled import FASTMATH, kernel
from core.models.rasterizer.exponential import exp_neg
from core.models.rasterizer.projection import NEAR, W_EPS, project_covariance

BAND = 16  # rows of a band: 16 rows of 512 pixels with 8 lanes are 256 KB, which fits the L2 cache
LANES = 8  # colours and accumulators are padded to a multiple of this
CHUNK = 2048  # Gaussians projected by one task
DRAWN, SPARED, BLANK = 0, 1, 2  # what becomes of a block: it is drawn, left as it is, or nothing is in it
FAR = np.float32(1e30)  # depth of a pixel that no Gaussian covers


@njit(inline="always", fastmath=FASTMATH, error_model="numpy")
def _shows(spared, u, v, rx, ry, last_x, last_y):
    """Whether a footprint touches a block that is to be drawn."""
    zero = np.float32(0)
    first, end = np.int64(max(np.floor(u - rx), zero)) // BAND, np.int64(min(np.ceil(u + rx), last_x)) // BAND + 1
    top, bottom = np.int64(max(np.floor(v - ry), zero)) // BAND, np.int64(min(np.ceil(v + ry), last_y)) // BAND + 1
    for b in range(top, bottom):
        for c in range(first, end):
            if spared[b, c] != SPARED:
                return True
    return False


@kernel(projection)
def project_to_bands(
    xyz,  # (N, 3)
    cov,  # (N, 6)
    colors,  # (N, C)
    opacities,  # (N,)
    cam,  # (12,)
    fparams,  # (8,) tan_x, tan_y, blur, cutoff, core, z_window, full_weight, front_opacity
    size,  # (H, W)
    spared,  # (bands, W / BAND) uint8, `SPARED` where nothing is drawn
    geo,  # (N, 8) u, v, z, -conic/2 xx, -conic xy, -conic/2 yy, radius x, radius y
    col,  # (N, P) opacity * color, opacity, zeros
    band_range,  # (N, 2) first band and one past the last
    counts,  # (chunks, bands) becomes the offset of each chunk in the list of each band
    starts,  # (bands + 1,)
    lists,  # (2 N or more,)
):
    """Project the Gaussians and list them by the bands of rows that they touch, in the order of their index.

    Returns the length that `lists` needs; where it is shorter nothing is listed.
    """
    N = xyz.shape[0]
    C = colors.shape[1]
    P = col.shape[1]
    H, W = size
    n_chunks, n_bands = counts.shape
    tan_x, tan_y, blur, cutoff = fparams[0], fparams[1], fparams[2], fparams[3]
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
            # Its covariance is looked at only if it may reach a block that is to be drawn.
            scale = max(fx, fy) * iz
            spread = (cov[i, 0] + cov[i, 3] + cov[i, 5]) * (one + tan_x * tan_x + tan_y * tan_y)
            reach = cutoff * np.sqrt(scale * scale * spread + blur)
            if not (u + reach > -one and u - reach < last_x + one and v + reach > -one and v - reach < last_y + one):
                continue
            if not _shows(spared, u, v, reach, reach, last_x, last_y):
                continue
            kxx, kxy, kyy = project_covariance(cam, qx, qy, one / qz, cov, i, fx, fy, tan_x, tan_y)
            kxx += blur
            kyy += blur
            det = kxx * kyy - kxy * kxy
            rx = cutoff * np.sqrt(kxx)
            ry = cutoff * np.sqrt(kyy)
            # One pixel of slack: the pixel nearest to the centre may lie outside a tiny footprint.
            if not (det > zero and u + rx > -one and u - rx < last_x + one and v + ry > -one and v - ry < last_y + one):
                continue
            y0 = np.int64(max(np.floor(v - ry), zero))
            y1 = np.int64(min(np.ceil(v + ry), last_y))
            b0 = y0 // BAND
            b1 = y1 // BAND + 1
            if not _shows(spared, u, v, rx, ry, last_x, last_y):
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
    return total


@kernel(exponential, _simd)
def splat_bands(
    fparams,  # (8,) as above
    bg,  # (C,)
    geo,  # (N, 8) this and the next four as `project_to_bands` leaves them
    col,  # (N, P)
    starts,  # (bands + 1,)
    lists,  # (as many as starts[bands],)
    acc,  # (threads, (BAND + BLOCK - 1) * W * P)
    zbufs,  # (threads, (BAND + BLOCK - 1) * W + 16)
    lane_w,  # (threads, 16)
    bands,  # (bands,) the order in which they are dealt to the threads
    spared,  # (bands, W / BAND) uint8, `SPARED` where blocks are left as they are; on return `BLANK` where they are
    image,  # (H, W, C) out
    alpha,  # (H, W) out
    weights,  # (H, W) out
    depth,  # (H, W) out
):
    """Draw band after band: its front surface, the weighted sums of what is on it, and their quotient."""
    H, W, C = image.shape
    P = col.shape[1]
    n_bands = len(bands)
    cutoff, core, z_window, full_weight, front_opacity = fparams[3], fparams[4], fparams[5], fparams[6], fparams[7]
    half = np.float32(0.5)
    one = np.float32(1)
    zero = np.float32(0)
    colf = col.reshape(-1)
    three = np.float32(3)
    floor_w = exp_neg(-half * cutoff * cutoff)
    scale_w = one / (one - floor_w)
    p_min = -half * cutoff * cutoff
    p_core = -half * core * core
    core_ratio = core / cutoff
    falloff = np.float32(2) / z_window
    outside = np.float32(-1e30)

    for place in prange(n_bands):
        band = bands[place]
        thread = get_thread_id()
        a = acc[thread]
        zbuf = zbufs[thread]
        lw = lane_w[thread]
        top = band * BAND
        bottom = min(H, top + BAND) - 1
        begin = starts[band]
        end = starts[band + 1]
        blocks = spared[band]
        for block in range(len(blocks)):
            blocks[block] = SPARED if blocks[block] == SPARED else BLANK
        for j in range(begin, end):
            i = lists[j]
            first = np.int64(max(np.floor(geo[i, 0] - geo[i, 6]), zero)) // BAND
            last = np.int64(min(np.ceil(geo[i, 0] + geo[i, 6]), np.float32(W - 1))) // BAND
            for block in range(first, last + 1):
                if blocks[block] == BLANK:
                    blocks[block] = DRAWN
        for block in range(len(blocks)):
            if blocks[block] == BLANK:
                continue
            left, right = block * BAND, min((block + 1) * BAND, W)
            for y in range(bottom - top + 1):
                for k in range(y * W + left, y * W + right):
                    zbuf[k] = FAR
                for k in range((y * W + left) * P, (y * W + right) * P):
                    a[k] = zero

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
            for y in range(y0, y1 + 1, BLOCK):
                dy = block_rows(np.float32(y) - v)
                p_y = dy * dy * hyy
                h_y = dy * hxy
                for x in range(x0, x1 + 1, BLOCK):
                    dx = block_columns(np.float32(x) - u)
                    p = (dx * hxx + h_y) * dx + p_y
                    k = (y - top) * W + x
                    before = load_block(zbuf, k, W)
                    if x + BLOCK > W:  # beyond the right border the next row begins
                        p = where_ge(block_columns(np.float32(x)), np.float32(W), outside, p)
                    store_block(zbuf, k, W, where_ge(p, p_core, vmin(before, z), before))
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
                p_y = dy * dy * hyy
                h_y = dy * hxy
                for x in range(x0, x1 + 1, BLOCK):
                    dx = block_columns(np.float32(x) - u)
                    p = (dx * hxx + h_y) * dx + p_y
                    e = vmax(exp_neg(vmax(p, p_min)) - floor_w, zero) * scale_w
                    k = (y - top) * W + x
                    t = vmin(vmax((load_block(zbuf, k, W) + behind) * falloff, zero), one)
                    w = e * t * t * (three - t - t)
                    if P == LANES and x + BLOCK <= W:
                        add_block(a, k * P, W * P, c8, w)
                        continue
                    store16(lw, 0, w)
                    nx = min(BLOCK, x1 + 1 - x)
                    for r in range(min(BLOCK, y1 + 1 - y)):
                        at = (k + r * W) * P
                        for q in range(nx):
                            w_q = lw[r * BLOCK + q]
                            store8(a, at, load8(a, at) + c8 * w_q)
                            for c in range(LANES, P, LANES):
                                store8(a, at + c, load8(a, at + c) + load8(colf, first + c) * w_q)
                            at += P

        for block in range(len(blocks)):
            left, right = block * BAND, min((block + 1) * BAND, W)
            if blocks[block] == SPARED:
                continue
            for y in range(top, bottom + 1):
                if blocks[block] == BLANK:
                    for x in range(left, right):
                        alpha[y, x] = zero
                        weights[y, x] = zero
                        depth[y, x] = FAR
                        for c in range(C):
                            image[y, x, c] = bg[c]
                    continue
                for x in range(left, right):
                    k = (y - top) * W + x
                    s = a[k * P + C]
                    inv = one / max(s, full_weight)
                    covered = s * inv if s < full_weight else one
                    alpha[y, x] = covered
                    weights[y, x] = s
                    depth[y, x] = zbuf[k]
                    for c in range(C):
                        image[y, x, c] = a[k * P + c] * inv + (one - covered) * bg[c]
