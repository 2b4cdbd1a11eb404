"""The two kernels of the surface rule, which `surface.py` states: project and bin the Gaussians, then splat them.

`power` is written with halved, negated conics: (hxx dx + hxy dy) dx + hyy dy^2.
"""

from __future__ import annotations

import numpy as np
from numba import get_thread_id, prange

from core.models.rasterizer import _simd, exponential, projection
from core.models.rasterizer._simd import (
    BLOCK,
    add_block,
    block_columns,
    block_rows,
    load4,
    load8,
    load16,
    load_block,
    load_column,
    ramp,
    store4,
    store8,
    store16,
    store_block,
    store_whole,
    vceil,
    vfloor,
    vmax,
    vmin,
    vsqrt,
    where_ge,
    where_gt,
)
from core.models.rasterizer.compiled import kernel
from core.models.rasterizer.exponential import exp_neg
from core.models.rasterizer.projection import NEAR, W_EPS, project_covariance

BAND = 16  # rows of a band: 16 rows of 512 pixels with 8 lanes are 256 KB, which fits the L2 cache
LANES = 8  # colours and accumulators are padded to a multiple of this
WIDE = BLOCK * BLOCK  # Gaussians projected at once; there must be as many
CHUNK = 2048  # Gaussians projected by one task
DRAWN, SPARED, BLANK = 0, 1, 2  # what becomes of a block: it is drawn, left as it is, or nothing is in it
FAR = np.float32(1e30)  # depth of a pixel that no Gaussian covers


@kernel(projection, _simd)
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
    seen,  # (N,) of each chunk those that are drawn, in order
    n_seen,  # (chunks,) how many these are
    band_range,  # (N, 2) of these, first band and one past the last
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
    per_block = np.float32(1 / BAND)

    turn = (cam[0], cam[1], cam[2], cam[3], cam[4], cam[5], cam[6], cam[7], cam[8])
    shift_x, shift_y, shift_z = cam[9], cam[10], cam[11]
    points, covariances, flat_colors, flat_col = xyz.reshape(-1), cov.reshape(-1), colors.reshape(-1), col.reshape(-1)

    for chunk in prange(n_chunks):
        for b in range(n_bands):
            counts[chunk, b] = 0
        n_seen[chunk] = 0
        begin, end = chunk * CHUNK, min(N, (chunk + 1) * CHUNK)
        lanes, places = np.empty(8 * WIDE, np.float32), np.empty(4 * WIDE, np.int32)
        for first in range(begin, end, WIDE):
            past = min(first + WIDE, end)
            weighs = False
            for i in range(first, past):
                weighs |= opacities[i] > zero
            if not weighs:
                continue
            # Sixteen at once, the last ones with some of those before; then one by one what is seen of them.
            at = min(first, end - WIDE)
            x, y, z = (
                load_column(points, 3 * at, 3), load_column(points, 3 * at + 1, 3), load_column(points, 3 * at + 2, 3)
            )  # fmt: skip
            qz = x * turn[2] + y * turn[5] + z * turn[8] + shift_z
            qx = zero - (x * turn[0] + y * turn[3] + z * turn[6] + shift_x)
            qy = zero - (x * turn[1] + y * turn[4] + z * turn[7] + shift_y)
            iz = one / (qz + W_EPS)
            s = (
                load_column(covariances, 6 * at, 6), load_column(covariances, 6 * at + 1, 6),
                load_column(covariances, 6 * at + 2, 6), load_column(covariances, 6 * at + 3, 6),
                load_column(covariances, 6 * at + 4, 6), load_column(covariances, 6 * at + 5, 6),
            )  # fmt: skip
            kxx, kxy, kyy = project_covariance(turn, qx, qy, one / qz, s, fx, fy, tan_x, tan_y)
            kxx = kxx + blur
            kyy = kyy + blur
            det = kxx * kyy - kxy * kxy
            inv = one / det
            u, v = qx * fx * iz + mid_x, qy * fy * iz + mid_y
            rx, ry = vsqrt(kxx) * cutoff, vsqrt(kyy) * cutoff
            store16(lanes, 0, u)
            store16(lanes, WIDE, v)
            store16(lanes, 2 * WIDE, qz)
            store16(lanes, 3 * WIDE, kyy * -half * inv)
            store16(lanes, 4 * WIDE, kxy * inv)
            store16(lanes, 5 * WIDE, kxx * -half * inv)
            store16(lanes, 6 * WIDE, rx)
            store16(lanes, 7 * WIDE, ry)
            # The blocks that it touches: first and one past the last, and none where it is not seen at all. One pixel
            # of slack: the pixel nearest to the centre may lie outside a tiny footprint.
            past_x = vfloor(vmin(vceil(u + rx), last_x) * per_block) + one
            past_y = vfloor(vmin(vceil(v + ry), last_y) * per_block) + one
            past_y = where_gt(load16(opacities, at), zero, past_y, zero)
            past_y = where_gt(qz, NEAR, where_gt(det, zero, past_y, zero), zero)
            past_y = where_gt(u + rx, -one, where_gt(last_x + one, u - rx, past_y, zero), zero)
            past_y = where_gt(v + ry, -one, where_gt(last_y + one, v - ry, past_y, zero), zero)
            store_whole(places, 0, where_gt(past_y, zero, vfloor(vmax(u - rx, zero) * per_block), zero))
            store_whole(places, WIDE, where_gt(past_y, zero, past_x, zero))
            store_whole(places, 2 * WIDE, where_gt(past_y, zero, vfloor(vmax(v - ry, zero) * per_block), zero))
            store_whole(places, 3 * WIDE, past_y)
            for i in range(first, past):
                k = i - at
                left, right, b0, b1 = places[k], places[k + WIDE], places[k + 2 * WIDE], places[k + 3 * WIDE]
                if b1 == 0:
                    continue
                # Whether one of them is to be drawn: most footprints touch no more than four, all of them corners.
                shows = spared[b0, left] & spared[b0, right - 1] & spared[b1 - 1, left] & spared[b1 - 1, right - 1]
                if shows == SPARED:
                    for b in range(b0 + 1, b1 - 1):
                        for c in range(left, right):
                            shows &= spared[b, c]
                    for c in range(left + 1, right - 1):
                        shows &= spared[b0, c] & spared[b1 - 1, c]
                    if shows == SPARED:
                        continue
                for n in range(8):
                    geo[i, n] = lanes[k + n * WIDE]
                if C == BLOCK:
                    store4(flat_col, i * P, load4(flat_colors, i * BLOCK) * opacities[i])
                else:
                    for c in range(C):
                        col[i, c] = opacities[i] * colors[i, c]
                col[i, C] = opacities[i]
                for c in range(C + 1, P):
                    col[i, c] = zero
                seen[begin + n_seen[chunk]] = i
                n_seen[chunk] += 1
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
        for n in range(n_seen[chunk]):
            i = seen[chunk * CHUNK + n]
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
    acc,  # (threads, ((BAND + BLOCK - 1) * W + BAND) * P)
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
    flat_image, flat_alpha = image.reshape(-1), alpha.reshape(-1)
    flat_weights, flat_depth = weights.reshape(-1), depth.reshape(-1)

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
        blank = ramp(zero) * zero
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
            for y in range(bottom - top + 1):  # beyond the right border the next row begins, which is cleared as well
                k = y * W + block * BAND
                store16(zbuf, k, blank + FAR)
                for n in range(k * P, (k + BAND) * P, BAND):
                    store16(a, n, blank)

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
                k = (y - top) * W + left
                if C == BLOCK and P == LANES and left + BAND <= W:
                    s16 = load_column(a, k * P + C, P)
                    inv16 = one / vmax(s16, full_weight)
                    covered16 = where_ge(s16, full_weight, one, s16 * inv16)
                    at = np.int64(y) * W + left
                    store16(flat_alpha, at, covered16)
                    store16(flat_weights, at, s16)
                    store16(flat_depth, at, load16(zbuf, k))
                    store16(lw, 0, inv16)
                    for n in range(BAND):
                        own = load4(a, (k + n) * P) * lw[n]
                        store4(flat_image, (at + n) * BLOCK, own + load4(bg, 0) * (one - flat_alpha[at + n]))
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
