"""The compiled twin of `EyeEnhancer` for float32 pictures on the CPU: one eye's box, from pixels to pixels.

`eye_enhancer.py` states the rules and holds the reference in numpy and OpenCV; names are the same. Loops run from 0
over views: numba has to look for negative indices in a loop that begins elsewhere, and LLVM puts no such loop into
vector lanes.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_FASTMATH = {"nsz"}  # no more: what may be fused or regrouped depends on what is inlined, and that on the cache
_DISC = np.float32(1.5)  # square of the distance from the iris's middle, in radii, where its disc ends


@njit(inline="always")
def _mirror(i, n):
    """Index i of a row of n, mirrored about its first and last as often as it takes."""
    while i < 0 or i >= n:
        i = -i if i < 0 else 2 * n - 2 - i
    return i


@njit(cache=True, fastmath=_FASTMATH, error_model="numpy")
def _broad(values, side, out):
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
def _side(sigma):
    return 2 * max(int(np.rint(1.22 * max(sigma, 0.8))), 1) + 1


@njit(cache=True, fastmath=_FASTMATH, error_model="numpy")
def _difference(edges, photo, there, weight, low, high, added):
    """Add photo less frame (h, w) to `added`, by `weight`, as far as the two correlate.

    Bilinear, with places in 1/32 pixel, which are rounded as OpenCV's warpAffine does, and repeated borders.
    """
    h, w = edges.shape
    ph, pw = photo.shape
    carried = np.empty((h, w), np.float32)
    both = theirs = mine = np.float32(0)
    for y in range(h):
        begin_u = int(np.rint(1024 * (there[0, 1] * y + there[0, 2]))) + 16
        begin_v = int(np.rint(1024 * (there[1, 1] * y + there[1, 2]))) + 16
        for x in range(w):
            share = weight[y, x]
            if not share > 0:
                continue
            u = (int(np.rint(1024 * there[0, 0] * x)) + begin_u) >> 5
            v = (int(np.rint(1024 * there[1, 0] * x)) + begin_v) >> 5
            fu, fv = np.float32(u & 31) * np.float32(1 / 32), np.float32(v & 31) * np.float32(1 / 32)
            x0, y0 = min(max(u >> 5, 0), pw - 1), min(max(v >> 5, 0), ph - 1)
            x1, y1 = min(max((u >> 5) + 1, 0), pw - 1), min(max((v >> 5) + 1, 0), ph - 1)
            above = photo[y0, x0] + fu * (photo[y0, x1] - photo[y0, x0])
            below = photo[y1, x0] + fu * (photo[y1, x1] - photo[y1, x0])
            value = above + fv * (below - above)
            carried[y, x] = value
            here = edges[y, x]
            both += share * value * here
            theirs += share * value * value
            mine += share * here * here
    power = theirs * mine
    alike = both / np.sqrt(power) if power > 0 else np.float32(0)
    amount = min(max((alike - low) / (high - low), np.float32(0)), np.float32(1))
    if amount == 0:
        return
    for y in range(h):
        for x in range(w):
            if weight[y, x] > 0:
                added[y, x] += amount * weight[y, x] * (carried[y, x] - edges[y, x])


@njit(cache=True, fastmath=_FASTMATH, error_model="numpy")
def _to_lids(ring, there):
    """The affine map (2, 3) that leads six points nearest to six others, in the least squares' sense."""
    middle, goal = np.zeros(2), np.zeros(2)
    for i in range(6):
        middle += ring[i] / 6
        goal += there[i] / 6
    xx = xy = yy = 0.0
    cross = np.zeros((2, 2))
    for i in range(6):
        x, y = ring[i, 0] - middle[0], ring[i, 1] - middle[1]
        xx, xy, yy = xx + x * x, xy + x * y, yy + y * y
        for k in range(2):
            cross[k, 0] += x * (there[i, k] - goal[k])
            cross[k, 1] += y * (there[i, k] - goal[k])
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
    eye,  # (6,) radius, width, tilt, amount, the mask's deviations along and across
    known,  # whether there is a photo
    photo,  # (ph, pw) its edges
    photo_ring,  # (6, 2) in them
    photo_iris,  # (2,)
    photo_eye,  # (3,) radius, tilt, contrast
    settings,  # (8,) contrast, detail, fine, core, most, reach, and between what correlations edges are alike
):
    """Make one eye clearer."""
    h, w = lids.shape
    zero, one = np.float32(0), np.float32(1)
    radius, width, tilt, amount = eye[0], eye[1], eye[2], np.float32(eye[3])
    contrast, detail, fine = np.float32(settings[0]), np.float32(settings[1]), settings[2]
    core, most, reach = np.float32(settings[3] ** 2), np.float32(1 / settings[4]), np.float32(settings[5])
    luminance, mask = np.empty((h, w), np.float32), np.empty((h, w), np.float32)
    added, broad = np.zeros((h, w), np.float32), np.empty((h, w), np.float32)
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
        _broad(luminance, _side(0.35 * radius), broad)
        square = np.float32(1 / radius**2)
        for y in range(h):
            dy = np.float32(y - iris[1])
            for x in range(w):
                dx = np.float32(x) - np.float32(iris[0])
                disc = min(max((_DISC - (dx * dx + dy * dy) * square) * np.float32(2), zero), one)
                edges[y, x] = luminance[y, x] - broad[y, x]
                inside[y, x] = disc * lids[y, x]
                outside[y, x] = (one - disc) * mask[y, x]
        ratio = photo_eye[0] / radius
        turn = photo_eye[1] - tilt
        there = np.empty((2, 3))
        there[0, 0], there[0, 1] = ratio * np.cos(turn), -ratio * np.sin(turn)
        there[1, 0], there[1, 1] = ratio * np.sin(turn), ratio * np.cos(turn)
        for k in range(2):
            there[k, 2] = photo_iris[k] - there[k, 0] * iris[0] - there[k, 1] * iris[1]
        low, high = np.float32(settings[6]), np.float32(settings[7])
        _difference(edges, photo, there, inside, low, high, added)
        _difference(edges, photo, _to_lids(ring, photo_ring), outside, low, high, added)

    sharp, total, energy = luminance, zero, zero
    for y in range(h):
        for x in range(w):
            added[y, x] *= detail
            sharp[y, x] += mask[y, x] * added[y, x]
    _broad(sharp, _side(fine * width), broad)
    for y in range(h):
        for x in range(w):
            sharp[y, x] -= broad[y, x]
            total += mask[y, x]
            energy += mask[y, x] * sharp[y, x] * sharp[y, x]
    gain = contrast
    if known:
        found = np.sqrt(energy / max(total, np.float32(1e-6)))
        gain = zero
        if found > 0:
            gain = min(max(reach * np.float32(photo_eye[2]) / found - one, -contrast), contrast)
    for y in range(h):
        row = picture[y0 + y, x0:]
        for x in range(w):
            power = sharp[y, x] * sharp[y, x]
            change = added[y, x] + gain * sharp[y, x] * (power / (power + core))
            change = amount * mask[y, x] * change / (one + abs(change) * most)
            for k in range(3):
                row[x, k] = min(max(row[x, k] + change, zero), one)
