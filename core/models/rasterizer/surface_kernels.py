"""The kernels of the surface rule, which `surface.py` states: Gaussians are projected, listed by bands, and splatted.

`power` is written with halved, negated conics: (hxx dx + hxy dy) dx + hyy dy^2.
"""

from __future__ import annotations

import numpy as np
from numba import get_thread_id, prange

from core.models.rasterizer import _simd, exponential, footprints, projection
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
    load_quad,
    prefetch,
    ramp,
    store4,
    store16,
    store_block,
    store_quad,
    vmax,
    vmin,
    where_ge,
)
from core.models.rasterizer.compiled import kernel
from core.models.rasterizer.exponential import exp_neg
from core.models.rasterizer.footprints import BAND, BLANK, DRAWN, SPARED, WIDE, find_footprints, shows
from core.models.rasterizer.projection import W_EPS, project_covariance

LANES = 8  # colours and accumulators are padded to a multiple of this
CHUNK = 2048  # Gaussians projected by one task
FAR = np.float32(1e30)  # depth of a pixel that no Gaussian covers


@kernel(projection, footprints, _simd)
def project(
    xyz,  # (N, 3)
    cov,  # (N, 6)
    opacities,  # (N,)
    cam,  # (12,)
    fparams,  # (8,) tan_x, tan_y, blur, cutoff, core, z_window, full_weight, front_opacity
    size,  # (H, W)
    states,  # (bands, W / BAND) uint8, `SPARED` where nothing is drawn, `BLANK` elsewhere; `DRAWN` where one is seen
    geo,  # (N, WIDE) of those that are drawn, see `footprints`
    seen,  # (N,) this and the next three as `list_by_bands` takes them
    n_seen,  # (chunks,)
    band_range,  # (N, 2)
    counts,  # (chunks, bands)
):
    """Project the Gaussians, chunks of `CHUNK`, and note which bands of rows they touch."""
    N = xyz.shape[0]
    H, W = size
    n_chunks, n_bands = counts.shape
    tan_x, tan_y = fparams[0], fparams[1]
    half = np.float32(0.5)
    one = np.float32(1)
    zero = np.float32(0)
    fx = half * np.float32(W) / tan_x
    fy = half * np.float32(H) / tan_y
    mid_x = half * np.float32(W - 1)
    mid_y = half * np.float32(H - 1)

    turn = (cam[0], cam[1], cam[2], cam[3], cam[4], cam[5], cam[6], cam[7], cam[8])
    shift_x, shift_y, shift_z = cam[9], cam[10], cam[11]
    points, covariances, flat_geo = xyz.reshape(-1), cov.reshape(-1), geo.reshape(-1)
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
            u, v = qx * fx * iz + mid_x, qy * fy * iz + mid_y
            find_footprints(u, v, qz, kxx, kxy, kyy, weights, fparams, size, rows, places)
            for i in range(first, min(first + WIDE, end)):
                k = i - at
                if shows(places, k, states):
                    store16(flat_geo, i * WIDE, load16(rows, k * WIDE))
                    seen[count] = i
                    band_range[count, 0] = places[k + 2 * WIDE]
                    band_range[count, 1] = places[k + 3 * WIDE]
                    for b in range(band_range[count, 0], band_range[count, 1]):
                        counts[chunk, b] += 1
                    count += 1
        n_seen[chunk] = count - begin


@kernel(exponential, _simd)
def splat_bands(
    fparams,  # (8,) as above
    bg,  # (C,)
    geo,  # (N, WIDE) see `footprints`
    colors,  # (N, 4) or (N, P): then of C colours, 1 and zeros
    starts,  # (bands + 1,)
    lists,  # (as many as starts[bands],) as `list_by_bands` leaves them
    acc,  # (threads, P / LANES * (BAND + BLOCK - 1) * (W + BAND) * LANES)
    zbufs,  # (threads, (BLOCK + BAND + BLOCK) * (W + BAND)), room for cores that reach out of a band
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
        quads = np.empty((1 << BLOCK) * BLOCK, np.float32)  # below all depths where a core covers one of four pixels
        for k in range(len(quads)):
            quads[k] = -FAR if (k // BLOCK) >> (k % BLOCK) & 1 else FAR
        for block in range(states.shape[1]):
            if states[band, block] != DRAWN:
                continue
            for y in range(bottom - top + 1):
                k = y * pitch + block * BAND
                store16(zbuf, k + BLOCK * pitch, blank + FAR)
                for c in range(0, P // LANES * layer, layer):
                    for n in range(c + k * LANES, c + (k + BAND) * LANES, BAND):
                        store16(a, n, blank)

        for j in range(begin, end):
            g = np.int64(lists[j]) * WIDE
            prefetch(geof, np.int64(lists[min(j + ahead, end - 1)]) * WIDE)
            z = geof[g + 2]
            which = np.int64(geof[g + 13])
            if which >= 0:  # as of most
                row_at = min(max(np.int64(geof[g + 12]) - top, -BLOCK), BAND) + BLOCK
                k = row_at * pitch + np.int64(geof[g + 11])
                store_quad(zbuf, k, pitch, vmin(load_quad(zbuf, k, pitch), vmax(load4(quads, which * BLOCK), z)))
                continue
            u, v = geof[g], geof[g + 1]
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
                    k = (y - top + BLOCK) * pitch + x
                    before = load_block(zbuf, k, pitch)
                    store_block(zbuf, k, pitch, where_ge(p, p_core, vmin(before, z), before))
                    x += BLOCK
                y += BLOCK
            xn, yn = np.int64(np.floor(u + half)), np.int64(np.floor(v + half))
            if xn >= 0 and xn < W and yn >= top and yn <= bottom:
                k = (yn - top + BLOCK) * pitch + xn
                zbuf[k] = min(zbuf[k], z)

        for j in range(begin, end):
            i = np.int64(lists[j])
            prefetch(colf, np.int64(lists[min(j + ahead, end - 1)]) * row)
            g = i * WIDE
            u, v, behind, most = geof[g], geof[g + 1], z_window - geof[g + 2], geof[g + 10] * scale_w
            hxx, hxy, hyy = geof[g + 3], geof[g + 4], geof[g + 5]
            x0, x1 = np.int64(geof[g + 6]) & -2, np.int64(geof[g + 7])
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
                    t = vmin(vmax((load_block(zbuf, k + BLOCK * pitch, pitch) + behind) * falloff, zero), one)
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
                    store16(flat_depth, at, load16(zbuf, k + BLOCK * pitch))
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
                    depth[y, x] = zbuf[k + BLOCK * pitch]
                    for c in range(C):
                        own = a[c // LANES * layer + k * LANES + c % LANES]
                        image[y, x, c] = own * inv + (one - covered) * bg[c]
