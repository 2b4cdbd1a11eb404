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
    lane_sum,
    load4,
    load4_and_one,
    load8,
    load16,
    load_block,
    load_column,
    prefetch,
    ramp,
    store4,
    store16,
    store_block,
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
from core.models.rasterizer.compiled import kernel
from core.models.rasterizer.exponential import exp_neg
from core.models.rasterizer.projection import NEAR, W_EPS, project_covariance

BAND = 16  # rows of a band: 16 rows of 512 pixels with 8 lanes are 256 KB, which fits the L2 cache
LANES = 8  # colours and accumulators are padded to a multiple of this
WIDE = BLOCK * BLOCK  # Gaussians projected at once; there must be as many. So many numbers are kept of each, too
CHUNK = 2048  # Gaussians projected by one task
DRAWN, SPARED, BLANK = 0, 1, 2  # what becomes of a block: it is drawn, left as it is, or nothing is in it
FAR = np.float32(1e30)  # depth of a pixel that no Gaussian covers


@kernel(projection, _simd)
def project_to_bands(
    xyz,  # (N, 3)
    cov,  # (N, 6)
    opacities,  # (N,)
    cam,  # (12,)
    fparams,  # (8,) tan_x, tan_y, blur, cutoff, core, z_window, full_weight, front_opacity
    size,  # (H, W)
    states,  # (bands, W / BAND) uint8, `SPARED` where nothing is drawn; on return the others are `DRAWN` or `BLANK`
    geo,  # (N, WIDE) of those that are drawn, see below
    seen,  # (N,) of each chunk those that are drawn, in order
    n_seen,  # (chunks,) how many these are
    band_range,  # (N, 2) of these, first band and one past the last
    counts,  # (chunks, bands) becomes the offset of each chunk in the list of each band
    starts,  # (bands + 1,)
    lists,  # (2 N or more,)
):
    """Project the Gaussians and list them by the bands of rows that they touch, in the order of their index.

    What is kept of a Gaussian: u, v, z, -conic/2 xx, -conic xy, -conic/2 yy; then whole numbers, the first and last
    column and row of its footprint, and those of its core; and its opacity, in both of the last two.

    Returns the length that `lists` needs; where it is shorter nothing is listed.
    """
    N = xyz.shape[0]
    H, W = size
    n_chunks, n_bands = counts.shape
    tan_x, tan_y, blur, cutoff = fparams[0], fparams[1], fparams[2], fparams[3]
    core_ratio = fparams[4] / cutoff
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
    points, covariances, flat_geo = xyz.reshape(-1), cov.reshape(-1), geo.reshape(-1)
    for b in range(n_bands):
        for block in range(states.shape[1]):
            states[b, block] = SPARED if states[b, block] == SPARED else BLANK

    for chunk in prange(n_chunks):
        for b in range(n_bands):
            counts[chunk, b] = 0
        begin, end = chunk * CHUNK, min(N, (chunk + 1) * CHUNK)
        count = begin
        rows, places = np.empty(WIDE * WIDE, np.float32), np.empty(4 * WIDE, np.int32)
        for first in range(begin, end, WIDE):
            # Sixteen at once, the last ones with some of those before; then one by one what is seen of them.
            at = min(first, end - WIDE)
            weights = load16(opacities, at)
            if lane_sum(weights) <= zero:
                continue
            x, y, z = (
                load_column(points, 3 * at, 0, 3),
                load_column(points, 3 * at, 1, 3),
                load_column(points, 3 * at, 2, 3),
            )
            qz = x * turn[2] + y * turn[5] + z * turn[8] + shift_z
            qx = zero - (x * turn[0] + y * turn[3] + z * turn[6] + shift_x)
            qy = zero - (x * turn[1] + y * turn[4] + z * turn[7] + shift_y)
            iz = one / (qz + W_EPS)
            s = (
                load_column(covariances, 6 * at, 0, 6), load_column(covariances, 6 * at, 1, 6),
                load_column(covariances, 6 * at, 2, 6), load_column(covariances, 6 * at, 3, 6),
                load_column(covariances, 6 * at, 4, 6), load_column(covariances, 6 * at, 5, 6),
            )  # fmt: skip
            kxx, kxy, kyy = project_covariance(turn, qx, qy, one / qz, s, fx, fy, tan_x, tan_y)
            kxx = kxx + blur
            kyy = kyy + blur
            det = kxx * kyy - kxy * kxy
            inv = one / det
            u, v = qx * fx * iz + mid_x, qy * fy * iz + mid_y
            rx, ry = vsqrt(kxx) * cutoff, vsqrt(kyy) * cutoff
            left, right = vmax(vceil(u - rx), zero), vmin(vfloor(u + rx), last_x)
            top, bottom = vmax(vceil(v - ry), zero), vmin(vfloor(v + ry), last_y)
            near_x, near_y = vfloor(u + half), vfloor(v + half)
            core_x, core_y = rx * core_ratio, ry * core_ratio
            store_rows(rows, (
                u, v, qz, kyy * -half * inv, kxy * inv, kxx * -half * inv, left, right, top, bottom,
                vmax(vceil(u - core_x), zero), vmin(vfloor(u + core_x), last_x),
                vmax(vceil(v - core_y), zero), vmin(vfloor(v + core_y), last_y), weights, weights
            ))  # fmt: skip
            # The blocks that it touches: first and one past the last, and none where it is not seen at all. The pixel
            # nearest to the centre may lie outside a tiny footprint.
            near_x, near_y = vmin(vmax(near_x, zero), last_x), vmin(vmax(near_y, zero), last_y)
            past = vfloor(vmax(bottom, near_y) * per_block) + one
            past = where_gt(weights, zero, past, zero)
            past = where_gt(qz, NEAR, where_gt(det, zero, past, zero), zero)
            past = where_gt(u + rx, -one, where_gt(last_x + one, u - rx, past, zero), zero)
            past = where_gt(v + ry, -one, where_gt(last_y + one, v - ry, past, zero), zero)
            store_whole(places, 0, where_gt(past, zero, vfloor(vmin(left, near_x) * per_block), zero))
            store_whole(places, WIDE, where_gt(past, zero, vfloor(vmax(right, near_x) * per_block), zero))
            store_whole(places, 2 * WIDE, where_gt(past, zero, vfloor(vmin(top, near_y) * per_block), zero))
            store_whole(places, 3 * WIDE, past)
            for i in range(first, min(first + WIDE, end)):
                k = i - at
                b1 = places[k + 3 * WIDE]
                if b1 == 0:
                    continue
                # Most footprints touch no more than four blocks, all of them corners.
                west, east, b0 = places[k], places[k + WIDE], places[k + 2 * WIDE]
                shows = False
                for b in range(b0, b1):
                    for block in range(west, east + 1):
                        if states[b, block] != SPARED:
                            shows = True
                            if states[b, block] == BLANK:
                                states[b, block] = DRAWN
                if not shows:
                    continue
                store16(flat_geo, i * WIDE, load16(rows, k * WIDE))
                seen[count] = i
                band_range[count, 0] = b0
                band_range[count, 1] = b1
                count += 1
                for b in range(b0, b1):
                    counts[chunk, b] += 1
        n_seen[chunk] = count - begin

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
        for n in range(chunk * CHUNK, chunk * CHUNK + n_seen[chunk]):
            for b in range(band_range[n, 0], band_range[n, 1]):
                lists[counts[chunk, b]] = seen[n]
                counts[chunk, b] += 1
    return total


@kernel(exponential, _simd)
def splat_bands(
    fparams,  # (8,) as above
    bg,  # (C,)
    geo,  # (N, WIDE) this, the next but one and `lists` as `project_to_bands` leaves them
    colors,  # (N, 4) or (N, P): then of C colours, 1 and zeros
    starts,  # (bands + 1,)
    lists,  # (as many as starts[bands],)
    acc,  # (threads, P / LANES * (BAND + BLOCK - 1) * (W + BAND) * LANES)
    zbufs,  # (threads, (BAND + BLOCK - 1) * (W + BAND))
    lane_w,  # (threads, 16)
    bands,  # (bands,) the order in which they are dealt to the threads
    states,  # (bands, W / BAND) uint8, `SPARED` where blocks are left as they are, `BLANK` where nothing is in them
    image,  # (H, W, C) out
    alpha,  # (H, W) out
    weights,  # (H, W) out
    depth,  # (H, W) out
):
    """Draw band after band: its front surface, the weighted sums of what is on it, and their quotient."""
    H, W, C = image.shape
    P = -(-(C + 1) // LANES) * LANES
    pitch = W + BAND  # room for what is drawn beyond the right border
    layer = (BAND + BLOCK - 1) * pitch * LANES  # of the sums of as many channels
    n_bands = len(bands)
    cutoff, core, z_window, full_weight = fparams[3], fparams[4], fparams[5], fparams[6]
    front_opacity = fparams[7]
    half = np.float32(0.5)
    one = np.float32(1)
    zero = np.float32(0)
    colf, geof = colors.reshape(-1), geo.reshape(-1)
    row = colors.shape[1]
    three = np.float32(3)
    floor_w = exp_neg(-half * cutoff * cutoff)
    scale_w = one / (one - floor_w)
    p_min = -half * cutoff * cutoff
    p_core = -half * core * core
    falloff = np.float32(2) / z_window
    ahead = 32  # Gaussians by which memory is asked for in advance
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
        blank = ramp(zero) * zero
        for block in range(states.shape[1]):
            if states[band, block] != DRAWN:
                continue
            for y in range(bottom - top + 1):
                k = y * pitch + block * BAND
                store16(zbuf, k, blank + FAR)
                for c in range(0, P // LANES * layer, layer):
                    for n in range(c + k * LANES, c + (k + BAND) * LANES, BAND):
                        store16(a, n, blank)

        for j in range(begin, end):
            g = np.int64(lists[j]) * WIDE
            prefetch(geof, np.int64(lists[min(j + ahead, end - 1)]) * WIDE)
            if geof[g + 14] < front_opacity:
                continue
            u, v, z = geof[g], geof[g + 1], geof[g + 2]
            hxx, hxy, hyy = geof[g + 3], geof[g + 4], geof[g + 5]
            x0, x1 = np.int64(geof[g + 10]), np.int64(geof[g + 11])
            y, y1 = max(np.int64(geof[g + 12]), top), min(np.int64(geof[g + 13]), bottom)
            if x1 < x0 + 2 and y1 < y + 2:  # as most are
                if y <= y1 and x0 <= x1:
                    k = (y - top) * pitch + x0
                    dx, dy = np.float32(x0) - u, np.float32(y) - v
                    ex, ey = dx + one, dy + one
                    zbuf[k] = min(zbuf[k], z if (dx * hxx + dy * hxy) * dx + dy * dy * hyy >= p_core else FAR)
                    zbuf[k + 1] = min(zbuf[k + 1], z if (ex * hxx + dy * hxy) * ex + dy * dy * hyy >= p_core else FAR)
                    k += pitch
                    zbuf[k] = min(zbuf[k], z if (dx * hxx + ey * hxy) * dx + ey * ey * hyy >= p_core else FAR)
                    zbuf[k + 1] = min(zbuf[k + 1], z if (ex * hxx + ey * hxy) * ex + ey * ey * hyy >= p_core else FAR)
                y = y1 + 1
            while y <= y1:
                dy = block_rows(np.float32(y) - v)
                p_y = dy * dy * hyy
                h_y = dy * hxy
                x = x0
                while x <= x1:
                    dx = block_columns(np.float32(x) - u)
                    p = (dx * hxx + h_y) * dx + p_y
                    k = (y - top) * pitch + x
                    before = load_block(zbuf, k, pitch)
                    store_block(zbuf, k, pitch, where_ge(p, p_core, vmin(before, z), before))
                    x += BLOCK
                y += BLOCK
            xn, yn = np.int64(np.floor(u + half)), np.int64(np.floor(v + half))
            if xn >= 0 and xn < W and yn >= top and yn <= bottom:
                k = (yn - top) * pitch + xn
                zbuf[k] = min(zbuf[k], z)

        for j in range(begin, end):
            i = np.int64(lists[j])
            prefetch(colf, np.int64(lists[min(j + ahead, end - 1)]) * row)
            g = i * WIDE
            u, v, behind, most = geof[g], geof[g + 1], z_window - geof[g + 2], geof[g + 14] * scale_w
            hxx, hxy, hyy = geof[g + 3], geof[g + 4], geof[g + 5]
            x0, x1 = np.int64(geof[g + 6]), np.int64(geof[g + 7])
            y, y1 = max(np.int64(geof[g + 8]), top), min(np.int64(geof[g + 9]), bottom)
            while y <= y1:
                dy = block_rows(np.float32(y) - v)
                p_y = dy * dy * hyy
                h_y = dy * hxy
                x = x0
                while x <= x1:
                    dx = block_columns(np.float32(x) - u)
                    p = (dx * hxx + h_y) * dx + p_y
                    e = vmax(exp_neg(vmax(p, p_min)) - floor_w, zero) * most
                    k = (y - top) * pitch + x
                    t = vmin(vmax((load_block(zbuf, k, pitch) + behind) * falloff, zero), one)
                    w = e * t * t * (three - t - t)
                    if C == BLOCK:
                        add_block(a, k * LANES, pitch * LANES, load4_and_one(colf, i * BLOCK), w)
                    else:
                        for c in range(0, P, LANES):
                            add_block(a, c // LANES * layer + k * LANES, pitch * LANES, load8(colf, i * P + c), w)
                    x += BLOCK
                y += BLOCK

        last = C // LANES * layer + C % LANES  # of the sums of weights
        for block in range(states.shape[1]):
            left, right = block * BAND, min((block + 1) * BAND, W)
            if states[band, block] == SPARED:
                continue
            for y in range(top, bottom + 1):
                if states[band, block] == BLANK:
                    for x in range(left, right):
                        alpha[y, x] = zero
                        weights[y, x] = zero
                        depth[y, x] = FAR
                        for c in range(C):
                            image[y, x, c] = bg[c]
                    continue
                k = (y - top) * pitch + left
                if C == BLOCK and left + BAND <= W:
                    s16 = load_column(a, k * LANES, BLOCK, LANES)
                    inv16 = one / vmax(s16, full_weight)
                    covered16 = where_ge(s16, full_weight, one, s16 * inv16)
                    at = np.int64(y) * W + left
                    store16(flat_alpha, at, covered16)
                    store16(flat_weights, at, s16)
                    store16(flat_depth, at, load16(zbuf, k))
                    store16(lw, 0, inv16)
                    for n in range(BAND):
                        own = load4(a, (k + n) * LANES) * lw[n]
                        store4(flat_image, (at + n) * BLOCK, own + load4(bg, 0) * (one - flat_alpha[at + n]))
                    continue
                for x in range(left, right):
                    k = (y - top) * pitch + x
                    s = a[last + k * LANES]
                    inv = one / max(s, full_weight)
                    covered = s * inv if s < full_weight else one
                    alpha[y, x] = covered
                    weights[y, x] = s
                    depth[y, x] = zbuf[k]
                    for c in range(C):
                        own = a[c // LANES * layer + k * LANES + c % LANES]
                        image[y, x, c] = own * inv + (one - covered) * bg[c]
