"""Gaussians on a moved mesh, projected where they are: what they share is taken once a triangle, and nothing of them is
kept but what is drawn.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from core.models.LiftedAvatar import binding
from core.models.LiftedAvatar.binding import SETTINGS, weigh
from core.models.rasterizer import _simd, footprints, projection
from core.models.rasterizer._simd import lane_sum, load4, load16, store4, store16, where_ge
from core.models.rasterizer.compiled import kernel
from core.models.rasterizer.footprints import WIDE, find_footprints, shows
from core.models.rasterizer.projection import W_EPS, project_covariance

_FAINT = np.float32(SETTINGS.faint)


@kernel(binding, projection, footprints, _simd)
def project_bound(
    points,  # (M, 3) the mesh in the frame of the camera that draws
    triangles,  # (F, 3)
    shape,  # (F, 7) this and the next of `shape_triangles`
    share,  # (M,)
    done,  # (F,) bool, triangles whose Gaussians are drawn otherwise, or not seen
    face,  # (K,) this and the next eight of `Groups`
    role,  # (K,)
    powered,  # (K,)
    begins,  # (K + 1,)
    tasks,  # (T + 1,)
    second,  # (N + WIDE,)
    third,  # (N + WIDE,)
    own,  # (N + WIDE,)
    order,  # (N,)
    dealt,  # (T,) the order in which tasks are dealt to the threads
    fringe,  # (2,) float32 what is left of the left and the right one
    least,  # float32, weight of inpainted Gaussians that are needed, while nothing is stretched
    colors,  # (N, 4)
    fparams,  # (8,) as `pack_settings` has them
    size,  # (H, W)
    states,  # this and the next five as `project` leaves them, but in the order of the groups
    geo,
    seen,
    n_seen,
    band_range,
    counts,
    tints,  # (N, 4) out, the colours of those that are drawn
):
    """Move the Gaussians with their triangles, weigh and project them, and note which bands of rows they touch."""
    H, W = size
    n_tasks, n_bands = counts.shape
    tan_x, tan_y = fparams[0], fparams[1]
    half, one, zero = np.float32(0.5), np.float32(1), np.float32(0)
    fx = half * np.float32(W) / tan_x
    fy = half * np.float32(H) / tan_y
    mid_x = half * np.float32(W - 1)
    mid_y = half * np.float32(H - 1)
    still = (one, zero, zero, zero, one, zero, zero, zero, one)
    flat_geo, flat_colors, flat_tints = geo.reshape(-1), colors.reshape(-1), tints.reshape(-1)
    for place in prange(n_tasks):
        task = dealt[place]
        for band in range(n_bands):
            counts[task, band] = 0
        begin = begins[tasks[task]]
        count = begin
        rows, places = np.empty(WIDE * WIDE, np.float32), np.empty(4 * WIDE, np.int32)
        powers = np.empty(WIDE, np.float32)
        for group in range(tasks[task], tasks[task + 1]):
            f = face[group]
            if done[f]:
                continue
            a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
            # q: x right, y down, as in `projection`
            ax, ay, az = -points[a, 0], -points[a, 1], points[a, 2]
            bx, by, bz = -points[b, 0] - ax, -points[b, 1] - ay, points[b, 2] - az
            cx, cy, cz = -points[c, 0] - ax, -points[c, 1] - ay, points[c, 2] - az
            of_a, of_b, of_c = share[a], share[b] - share[a], share[c] - share[a]
            s = (shape[f, 0], shape[f, 1], shape[f, 2], shape[f, 3], shape[f, 4], shape[f, 5])
            for at in range(begins[group], begins[group + 1], WIDE):
                end = min(at + WIDE, begins[group + 1])
                p, q = load16(second, at), load16(third, at)
                weights = weigh(role[group], p * of_b + q * of_c + of_a, shape[f, 6], load16(own, at), fringe, least)
                if powered[group]:
                    store16(powers, 0, weights)
                    for k in range(end - at):
                        powers[k] = powers[k] ** own[at + k]
                    weights = load16(powers, 0)
                weights = where_ge(weights, _FAINT, weights, zero)
                if lane_sum(weights) <= zero:
                    continue
                qx, qy, qz = p * bx + q * cx + ax, p * by + q * cy + ay, p * bz + q * cz + az
                iz = one / (qz + W_EPS)
                kxx, kxy, kyy = project_covariance(still, qx, qy, one / qz, s, fx, fy, tan_x, tan_y)
                u, v = qx * fx * iz + mid_x, qy * fy * iz + mid_y
                find_footprints(u, v, qz, kxx, kxy, kyy, weights, fparams, size, rows, places)
                for k in range(end - at):
                    if shows(places, k, states):
                        store16(flat_geo, count * WIDE, load16(rows, k * WIDE))
                        store4(flat_tints, count * 4, load4(flat_colors, order[at + k] * 4))
                        seen[count] = count
                        band_range[count, 0] = places[k + 2 * WIDE]
                        band_range[count, 1] = places[k + 3 * WIDE]
                        for band in range(band_range[count, 0], band_range[count, 1]):
                            counts[task, band] += 1
                        count += 1
        n_seen[task] = count - begin
