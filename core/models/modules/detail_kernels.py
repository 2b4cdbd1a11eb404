"""The compiled twin of `DetailEnhancer` for float32 pictures on the CPU: a luminance's bands, their gains, and back.

`detail_enhancer.py` states the rules and holds the reference in torch. Here every band is a few passes over its rows,
in one thread: threads would have to wait for one another at every level. Borders are those of OpenCV's pyrDown and
pyrUp: mirrored about the first and last pixel, where a smaller picture is enlarged repeated beyond its last.

Loops run from 0 over views: numba has to look for negative indices in a loop that begins elsewhere, and LLVM puts no
such loop into vector lanes.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_MARGIN = 4  # pixels of a level around what is needed of it: how far the local averages and the expansion reach
# With numpy's error model no division is checked for zero, which would keep its loop out of vector lanes.
_FASTMATH = {"nsz"}  # no more: what may be fused or regrouped depends on what is inlined, and that on the cache


@njit(inline="always")
def _mirror(i, n):
    """Index i of a row of n, at most n - 1 beyond its ends, mirrored about its first and last."""
    if i < 0:
        return -i
    return 2 * n - 2 - i if i >= n else i


@njit(cache=True, fastmath=_FASTMATH, error_model="numpy")
def _reduce_row(source, y, out):
    """Row y of half a picture (h, w) into `out` ((w + 1) // 2,): binomial 1 4 6 4 1 both ways."""
    h, w = source.shape
    wide = np.empty(w + 4, np.float32)
    a, b, c = source[_mirror(2 * y - 2, h)], source[_mirror(2 * y - 1, h)], source[2 * y]
    d, e = source[_mirror(2 * y + 1, h)], source[_mirror(2 * y + 2, h)]
    four, six = np.float32(4), np.float32(6)
    for x in range(w):
        wide[x + 2] = a[x] + e[x] + four * (b[x] + d[x]) + six * c[x]
    wide[1], wide[0] = wide[3], wide[4]
    wide[w + 2], wide[w + 3] = wide[w], wide[w - 1]
    scale = np.float32(1 / 256)
    for x in range(len(out)):
        k = 2 * x
        near = four * (wide[k + 1] + wide[k + 3]) + six * wide[k + 2]
        out[x] = (wide[k] + wide[k + 4] + near) * scale


@njit(cache=True, fastmath=_FASTMATH, error_model="numpy")
def _expand_row(source, y0, y1, x0, x1, y, out):
    """Row y of twice a picture, the window [y0:y1, x0:x1] of `source`, into the first of `out`: 2 (x1 - x0) values."""
    h, w = y1 - y0, x1 - x0
    narrow = np.empty(w + 2, np.float32)
    k = y // 2
    below = source[y0 + min(k + 1, h - 1)][x0:x1]
    here = source[y0 + k][x0:x1]
    eighth, half, six = np.float32(0.125), np.float32(0.5), np.float32(6)
    if y % 2 == 0:
        above = source[y0 + _mirror(k - 1, h)][x0:x1]
        for x in range(w):
            narrow[x + 1] = (above[x] + six * here[x] + below[x]) * eighth
    else:
        for x in range(w):
            narrow[x + 1] = (here[x] + below[x]) * half
    narrow[0], narrow[w + 1] = narrow[2], narrow[w]
    for x in range(w):
        out[2 * x] = (narrow[x] + six * narrow[x + 1] + narrow[x + 2]) * eighth
        out[2 * x + 1] = (narrow[x + 1] + narrow[x + 2]) * half


@njit(cache=True, fastmath=_FASTMATH, error_model="numpy")
def _changed_row(band, gaussian, window, y, flat, strong, noise, edge, strength, out):
    """Row y of strength * attention * (1 + edge) * band in a window into `out` (w,); see `DetailEnhancer`."""
    y0, y1, x0, x1 = window
    h, w = y1 - y0, x1 - x0
    contrast, across, down = np.empty(w + 4, np.float32), np.empty(w + 2, np.float32), np.empty(w + 2, np.float32)
    a, b = band[y0 + _mirror(y - 2, h)][x0:x1], band[y0 + _mirror(y - 1, h)][x0:x1]
    c = band[y0 + y][x0:x1]
    d, e = band[y0 + _mirror(y + 1, h)][x0:x1], band[y0 + _mirror(y + 2, h)][x0:x1]
    above, below = gaussian[y0 + _mirror(y - 1, h)][x0:x1], gaussian[y0 + _mirror(y + 1, h)][x0:x1]
    here = gaussian[y0 + y][x0:x1]
    two = np.float32(2)
    # Three loops, because LLVM puts none into vector lanes whose arrays it has to compare all with all.
    for x in range(w):
        contrast[x + 2] = abs(a[x]) + abs(b[x]) + abs(c[x]) + abs(d[x]) + abs(e[x])
    for x in range(w):
        across[x + 1] = above[x] + two * here[x] + below[x]
    for x in range(w):
        down[x + 1] = below[x] - above[x]
    contrast[1], contrast[0] = contrast[3], contrast[4]
    contrast[w + 2], contrast[w + 3] = contrast[w], contrast[w - 1]
    across[0], across[w + 1] = across[2], across[w - 1]
    down[0], down[w + 1] = down[2], down[w - 1]
    mean, eighth = np.float32(1 / 25), np.float32(0.125)
    flat, strong, noise, edge = flat * flat, strong * strong, noise * noise, edge * edge
    for x in range(w):
        local = (contrast[x] + contrast[x + 1] + contrast[x + 2] + contrast[x + 3] + contrast[x + 4]) * mean
        local = local * local
        right = (across[x + 2] - across[x]) * eighth
        lower = (down[x] + two * down[x + 1] + down[x + 2]) * eighth
        energy = right * right + lower * lower
        power = c[x] * c[x]
        # One division for attention's three fractions and for 1 + energy / (energy + edge).
        gain = local * strong * power * (energy + energy + edge)
        gain = gain / ((local + flat) * (local + strong) * (power + noise) * (energy + edge))
        out[x] = strength * gain * c[x]


@njit(cache=True, fastmath=_FASTMATH, error_model="numpy")
def _apply_row(picture, top, left, luma, y, change, weight, overshoot):
    """Add a row's change of the luminance (h, w), times its weight, to the picture, within its neighbours' range."""
    h, w = luma.shape
    first, last = 0, w
    while first < w and weight[first] <= 0:
        first += 1
    while last > first and weight[last - 1] <= 0:
        last -= 1
    if first == last:
        return
    x0, x1, n = max(first - 1, 0), min(last + 1, w), last - first
    above, here, below = luma[max(y - 1, 0)][x0:x1], luma[y][x0:x1], luma[min(y + 1, h - 1)][x0:x1]
    m = x1 - x0
    high, low = np.empty(m + 2, np.float32), np.empty(m + 2, np.float32)
    for x in range(m):
        high[x + 1] = max(max(above[x], here[x]), below[x])
    for x in range(m):
        low[x + 1] = min(min(above[x], here[x]), below[x])
    high[0], high[m + 1], low[0], low[m + 1] = high[1], high[m], low[1], low[m]
    high, low, here = high[first - x0 :], low[first - x0 :], here[first - x0 :]
    change, weight = change[first:], weight[first:]
    for x in range(n):
        most = max(max(high[x], high[x + 1]), high[x + 2])
        least = min(min(low[x], low[x + 1]), low[x + 2])
        room = overshoot * (most - least)
        wanted = here[x] + change[x] * weight[x]
        change[x] = max(min(wanted, most + room), least - room) - here[x]
    row = picture[top + y].reshape(-1)[3 * (left + first) :]
    added = np.empty(3 * n, np.float32)
    for x in range(n):
        added[3 * x], added[3 * x + 1], added[3 * x + 2] = change[x], change[x], change[x]
    zero, one = np.float32(0), np.float32(1)
    for x in range(3 * n):
        value = row[x] + added[x]
        value = value if value > zero else zero
        row[x] = value if value < one else one


@njit(cache=True, fastmath=_FASTMATH, error_model="numpy")
def _bounds(weight, height, width):
    """Rows and columns, first and last + 1 each, of a box where `weight` is above 0; all 0 where there are none.

    `weight` is of the size of the box, (height, width), or of half of it.
    """
    top, bottom, left, right = len(weight), 0, weight.shape[1], 0
    for y in range(len(weight)):
        row = weight[y]
        first = 0
        while first < len(row) and not row[first] > 0:
            first += 1
        if first == len(row):
            continue
        last = len(row)
        while not row[last - 1] > 0:
            last -= 1
        top, bottom = min(top, y), y + 1
        left, right = min(left, first), max(right, last)
    if bottom == 0:
        return 0, 0, 0, 0
    if len(weight) == height:
        return top, bottom, left, right
    # Of half the size: what is between two of its pixels is reached too.
    return max(2 * top - 2, 0), min(2 * bottom + 2, height), max(2 * left - 2, 0), min(2 * right + 2, width)


@njit(cache=True, fastmath=_FASTMATH, error_model="numpy", nogil=True)
def enhance_box(
    picture,  # (H, W, 3) in 0..1, changed in place
    top,  # of the box that is worked on
    left,
    sizes,  # (bands + 2, 3) height, width and place in a pyramid of every level, the box first, then the pyramid's end
    weight,  # (h', w') of the change, 0 to 1: of the size of the box, or of half of it rounded up
    scales,  # (bands, 3) flat, strong and noise of every band, finest first
    edge,  # scale of the edges
    strength,
    overshoot,
    work,  # (count,) enough for three pyramids: of the luminance, of its bands, and of their changes
):
    """Raise the bands of a box's luminance, in place."""
    bands, total = len(scales), sizes[-1, 2]
    height, width = sizes[0, 0], sizes[0, 1]
    wide = np.empty(width + 2, np.float32)
    red, green, blue = np.float32(0.299), np.float32(0.587), np.float32(0.114)
    # The windows of the levels: in the finest where the weight is above 0, in coarser ones what that depends on.
    # Borders of a window are treated as borders of a picture, which the margin keeps away from what is needed.
    windows = np.empty((bands, 4), np.int64)
    windows[0] = _bounds(weight, height, width)
    if windows[0, 1] == 0:
        return
    for i in range(bands):
        for k in range(2):
            begin, end = windows[i, 2 * k], windows[i, 2 * k + 1]
            windows[i, 2 * k] = begin = max(begin - _MARGIN, 0) // 2 * 2
            windows[i, 2 * k + 1] = end = min(end + _MARGIN, sizes[i, k])
            if i + 1 < bands:
                windows[i + 1, 2 * k] = max(begin // 2 - 1, 0)
                windows[i + 1, 2 * k + 1] = min((end + 1) // 2 + 1, sizes[i + 1, k])

    luma = work[: height * width].reshape((height, width))
    for y in range(height):
        row, out = picture[top + y].reshape(-1)[3 * left :], luma[y]
        for x in range(width):
            out[x] = red * row[3 * x] + green * row[3 * x + 1] + blue * row[3 * x + 2]
    source = luma
    for i in range(bands):
        h, w, at, n = sizes[i + 1, 0], sizes[i + 1, 1], sizes[i, 2], sizes[i, 0] * sizes[i, 1]
        smaller = work[sizes[i + 1, 2] : sizes[i + 1, 2] + h * w].reshape((h, w))
        band = work[total + at : total + at + n].reshape(source.shape)
        for y in range(h):
            _reduce_row(source, y, smaller[y])
        y0, y1, x0, x1 = windows[i]
        for y in range(y0, y1):
            _expand_row(smaller, y0 // 2, (y1 + 1) // 2, x0 // 2, (x1 + 1) // 2, y - y0, wide)
            here, out = source[y][x0:x1], band[y][x0:x1]
            for x in range(len(here)):
                out[x] = here[x] - wide[x]
        source = smaller
    # From the coarsest band to the finest; each adds the expanded change of the coarser ones.
    coarser = luma
    for step in range(bands):
        i = bands - 1 - step
        h, w, at = sizes[i, 0], sizes[i, 1], sizes[i, 2]
        y0, y1, x0, x1 = windows[i]
        source = work[at : at + h * w].reshape((h, w))
        band = work[total + at : total + at + h * w].reshape((h, w))
        change = work[2 * total + at : 2 * total + at + h * w].reshape((h, w))
        for y in range(y1 - y0):
            out = change[y0 + y][x0:x1]
            _changed_row(band, source, windows[i], y, scales[i, 0], scales[i, 1], scales[i, 2], edge, strength, out)
            if step > 0:
                _expand_row(coarser, y0 // 2, (y1 + 1) // 2, x0 // 2, (x1 + 1) // 2, y, wide)
                for x in range(len(out)):
                    out[x] += wide[x]
        coarser = change
    y0, y1, x0, x1 = windows[0]
    for y in range(y0, y1):
        if len(weight) == height:
            wide[:width] = weight[y]
        else:
            _expand_row(weight, 0, len(weight), 0, weight.shape[1], y, wide)
        _apply_row(picture, top, left, luma, y, coarser[y], wide, overshoot)


def level_sizes(height: int, width: int, bands: int) -> np.ndarray:  # (bands + 2, 3)
    """Height, width and place of the levels of a box; in the last row how many values there are in all."""
    out = np.zeros((bands + 2, 3), np.int64)
    for i in range(bands + 1):
        out[i, :2] = height, width
        out[i + 1, 2] = out[i, 2] + height * width
        height, width = (height + 1) // 2, (width + 1) // 2
    return out
