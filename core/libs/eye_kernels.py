"""The compiled twin of `EyeEnhancer` for float32 pictures on the CPU: one eye's box, from pixels to pixels.

`eye_enhancer.py` states the rules and holds the reference in numpy and OpenCV; names are the same. Loops run from 0
over views: numba has to look for negative indices in a loop that begins elsewhere, and LLVM puts no such loop into
vector lanes.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_FASTMATH = {"nsz"}  # no more: what may be fused or regrouped depends on what is inlined, and that on the cache


@njit(inline="always")
def _mirror(i, n):
    """Index i of a row of n, mirrored about its first and last as often as it takes."""
    while i < 0 or i >= n:
        i = -i if i < 0 else 2 * n - 2 - i
    return i


@njit(cache=True, fastmath=_FASTMATH, error_model="numpy")
def _low_pass(values, side, out):
    """The mean over `side` x `side` pixels of `values` (h, w), mirrored at the borders, twice, into `out`."""
    h, w = values.shape
    half = side // 2
    rows, wide = np.empty((h, w), np.float32), np.empty(w + side - 1, np.float32)
    scale = np.float32(1) / np.float32(side * side)
    for turn in range(2):
        source = values if turn == 0 else out
        for y in range(h):
            total = rows[y]
            total[:] = 0
            for k in range(side):
                row = source[_mirror(y + k - half, h)]
                for x in range(w):
                    total[x] += row[x]
        for y in range(h):
            wide[half : half + w] = rows[y]
            for k in range(half):
                wide[k] = rows[y, _mirror(k - half, w)]
                wide[half + w + k] = rows[y, _mirror(w + k, w)]
            total = out[y]
            total[:] = 0
            for k in range(side):
                part = wide[k : k + w]
                for x in range(w):
                    total[x] += part[x]
            for x in range(w):
                total[x] *= scale


@njit(cache=True, fastmath=_FASTMATH, error_model="numpy")
def _box_side(sigma):
    """Pixels of a box that, run twice, has about the variance of a Gaussian of `sigma` pixels, at least 0.8."""
    return 2 * max(int(np.rint(1.22 * max(sigma, 0.8))), 1) + 1


@njit(cache=True, fastmath=_FASTMATH, error_model="numpy")
def _edge_difference(edges, photo, to_photo, weight, low, high, added):
    """Add photo less frame (h, w) to `added`, by `weight`, times a ramp of their correlation from `low` to `high`.

    `to_photo` (2, 3) leads from the frame's pixels to the photo's. Bilinear, at positions in 1/32 pixel, rounded as
    OpenCV's warpAffine does, with repeated borders.
    """
    h, w = edges.shape
    ph, pw = photo.shape
    warped = np.empty((h, w), np.float32)
    cross = photo_power = frame_power = np.float32(0)
    for y in range(h):
        begin_u = int(np.rint(1024 * (to_photo[0, 1] * y + to_photo[0, 2]))) + 16
        begin_v = int(np.rint(1024 * (to_photo[1, 1] * y + to_photo[1, 2]))) + 16
        for x in range(w):
            share = weight[y, x]
            if not share > 0:
                continue
            u = (int(np.rint(1024 * to_photo[0, 0] * x)) + begin_u) >> 5
            v = (int(np.rint(1024 * to_photo[1, 0] * x)) + begin_v) >> 5
            fu, fv = np.float32(u & 31) * np.float32(1 / 32), np.float32(v & 31) * np.float32(1 / 32)
            x0, y0 = min(max(u >> 5, 0), pw - 1), min(max(v >> 5, 0), ph - 1)
            x1, y1 = min(max((u >> 5) + 1, 0), pw - 1), min(max((v >> 5) + 1, 0), ph - 1)
            above = photo[y0, x0] + fu * (photo[y0, x1] - photo[y0, x0])
            below = photo[y1, x0] + fu * (photo[y1, x1] - photo[y1, x0])
            value = above + fv * (below - above)
            warped[y, x] = value
            here = edges[y, x]
            cross += share * value * here
            photo_power += share * value * value
            frame_power += share * here * here
    power = photo_power * frame_power
    correlation = cross / np.sqrt(power) if power > 0 else np.float32(0)
    reliable = min(max((correlation - low) / (high - low), np.float32(0)), np.float32(1))
    if reliable == 0:
        return
    for y in range(h):
        for x in range(w):
            if weight[y, x] > 0:
                added[y, x] += reliable * weight[y, x] * (warped[y, x] - edges[y, x])


@njit(cache=True, fastmath=_FASTMATH, error_model="numpy")
def _affine_fit(ring, target):
    """The affine map (2, 3) that takes six points nearest to six others, by least squares."""
    middle, goal = np.zeros(2), np.zeros(2)
    for i in range(6):
        middle += ring[i] / 6
        goal += target[i] / 6
    xx = xy = yy = 0.0
    cross = np.zeros((2, 2))
    for i in range(6):
        x, y = ring[i, 0] - middle[0], ring[i, 1] - middle[1]
        xx, xy, yy = xx + x * x, xy + x * y, yy + y * y
        for k in range(2):
            cross[k, 0] += x * (target[i, k] - goal[k])
            cross[k, 1] += y * (target[i, k] - goal[k])
    det = xx * yy - xy * xy
    out = np.empty((2, 3))
    for k in range(2):
        out[k, 0] = (cross[k, 0] * yy - cross[k, 1] * xy) / det
        out[k, 1] = (cross[k, 1] * xx - cross[k, 0] * xy) / det
        out[k, 2] = goal[k] - out[k, 0] * middle[0] - out[k, 1] * middle[1]
    return out


@njit(cache=True, fastmath=_FASTMATH, error_model="numpy", nogil=True)
def clear_eye(
    picture,  # (H, W, 3) in 0..1, changed in place
    x0,  # of the box
    y0,
    lids,  # (h, w) what lies between the lids
    ring,  # (6, 2) in the box, as all that follows
    iris,  # (2,)
    eye,  # (6,) radius, width, tilt, visibility, the mask's deviations along and across
    known,  # whether there is a photo
    photo,  # (ph, pw) its edges
    photo_ring,  # (6, 2) in them
    photo_iris,  # (2,)
    photo_eye,  # (3,) radius, tilt, contrast
    settings,  # (10,) contrast, detail, then of `EyeSettings`: contrast_sigma, noise, largest_change, contrast_target,
    # unrelated, same, iris_disc, edge_sigma
):
    """Make one eye clearer."""
    h, w = lids.shape
    zero, one = np.float32(0), np.float32(1)
    radius, width, tilt, visibility = eye[0], eye[1], eye[2], np.float32(eye[3])
    contrast, detail, contrast_sigma = np.float32(settings[0]), np.float32(settings[1]), settings[2]
    noise, steepness, target = np.float32(settings[3] ** 2), np.float32(1 / settings[4]), np.float32(settings[5])
    iris_disc, edge_sigma = np.float32(settings[8]), settings[9]
    luminance, mask = np.empty((h, w), np.float32), np.empty((h, w), np.float32)
    added, smooth = np.zeros((h, w), np.float32), np.empty((h, w), np.float32)
    red, green, blue = np.float32(0.299), np.float32(0.587), np.float32(0.114)
    c, s = np.cos(tilt), np.sin(tilt)
    middle_x, middle_y = ring[:, 0].mean(), ring[:, 1].mean()
    end = np.float32(np.exp(-2.0))
    scale = one / (one - end)
    ux, uy = np.float32(c / eye[4]), np.float32(s / eye[4])
    vx, vy = np.float32(-s / eye[5]), np.float32(c / eye[5])
    for y in range(h):
        row, out = picture[y0 + y, x0:], luminance[y]
        for x in range(w):
            out[x] = red * row[x, 0] + green * row[x, 1] + blue * row[x, 2]
        dy, out = np.float32(y - middle_y), mask[y]
        for x in range(w):
            dx = np.float32(x) - np.float32(middle_x)
            u, v = ux * dx + uy * dy, vx * dx + vy * dy
            # exp(-(u^2 + v^2) / 2), eight times an eighth of it by its Taylor series: the mask ends at exp(-2).
            p = max((u * u + v * v) * np.float32(-0.5 / 8), np.float32(-0.3))
            e = one + p * (
                one
                + p * (np.float32(1 / 2) + p * (np.float32(1 / 6) + p * (np.float32(1 / 24) + p * np.float32(1 / 120))))
            )
            e = e * e
            e = e * e
            e = e * e
            out[x] = max(e - end, zero) * scale

    if known:
        edges, inside, outside = (
            np.empty((h, w), np.float32),
            np.empty((h, w), np.float32),
            np.empty((h, w), np.float32),
        )
        _low_pass(luminance, _box_side(edge_sigma * radius), smooth)
        square = np.float32(1 / radius**2)
        for y in range(h):
            dy = np.float32(y - iris[1])
            for x in range(w):
                dx = np.float32(x) - np.float32(iris[0])
                disc = min(max((iris_disc - (dx * dx + dy * dy) * square) * np.float32(2), zero), one)
                edges[y, x] = luminance[y, x] - smooth[y, x]
                inside[y, x] = disc * lids[y, x]
                outside[y, x] = (one - disc) * mask[y, x]
        ratio = photo_eye[0] / radius
        turn = photo_eye[1] - tilt
        to_photo = np.empty((2, 3))
        to_photo[0, 0], to_photo[0, 1] = ratio * np.cos(turn), -ratio * np.sin(turn)
        to_photo[1, 0], to_photo[1, 1] = ratio * np.sin(turn), ratio * np.cos(turn)
        for k in range(2):
            to_photo[k, 2] = photo_iris[k] - to_photo[k, 0] * iris[0] - to_photo[k, 1] * iris[1]
        low, high = np.float32(settings[6]), np.float32(settings[7])
        _edge_difference(edges, photo, to_photo, inside, low, high, added)
        _edge_difference(edges, photo, _affine_fit(ring, photo_ring), outside, low, high, added)

    sharp, total, energy = luminance, zero, zero
    for y in range(h):
        for x in range(w):
            added[y, x] *= detail
            sharp[y, x] += mask[y, x] * added[y, x]
    _low_pass(sharp, _box_side(contrast_sigma * width), smooth)
    for y in range(h):
        for x in range(w):
            sharp[y, x] -= smooth[y, x]
            total += mask[y, x]
            energy += mask[y, x] * sharp[y, x] * sharp[y, x]
    gain = contrast
    if known:
        found = np.sqrt(energy / max(total, np.float32(1e-6)))
        gain = zero
        if found > 0:
            gain = min(max(target * np.float32(photo_eye[2]) / found - one, -contrast), contrast)
    for y in range(h):
        row = picture[y0 + y, x0:]
        for x in range(w):
            power = sharp[y, x] * sharp[y, x]
            change = added[y, x] + gain * sharp[y, x] * (power / (power + noise))
            change = visibility * mask[y, x] * change / (one + abs(change) * steepness)
            for k in range(3):
                row[x, k] = min(max(row[x, k] + change, zero), one)
