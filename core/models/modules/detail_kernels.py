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

# With numpy's error model no division is checked for zero, which would keep its loop out of vector lanes.
_FASTMATH = {"contract", "reassoc", "arcp", "nsz"}  # a set, because numba takes no frozenset


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
def _expand_row(source, y, out):
    """Row y of twice a picture (h, w) into the first of `out`, which has room for 2 w + 2."""
    h, w = source.shape
    narrow = np.empty(w + 2, np.float32)
    k = y // 2
    below = source[min(k + 1, h - 1)]
    here = source[k]
    eighth, half, six = np.float32(0.125), np.float32(0.5), np.float32(6)
    if y % 2 == 0:
        above = source[_mirror(k - 1, h)]
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
def _changed_row(band, gaussian, y, flat, strong, core, edge, strength, out):
    """Row y of strength * attention * (1 + edge) * band into `out` (w,); see `DetailEnhancer`."""
    h, w = band.shape
    contrast, across, down = np.empty(w + 4, np.float32), np.empty(w + 2, np.float32), np.empty(w + 2, np.float32)
    a, b, c = band[_mirror(y - 2, h)], band[_mirror(y - 1, h)], band[y]
    d, e = band[_mirror(y + 1, h)], band[_mirror(y + 2, h)]
    above, here, below = gaussian[_mirror(y - 1, h)], gaussian[y], gaussian[_mirror(y + 1, h)]
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
    flat, strong, core, edge = flat * flat, strong * strong, core * core, edge * edge
    for x in range(w):
        local = (contrast[x] + contrast[x + 1] + contrast[x + 2] + contrast[x + 3] + contrast[x + 4]) * mean
        local = local * local
        right = (across[x + 2] - across[x]) * eighth
        lower = (down[x] + two * down[x + 1] + down[x + 2]) * eighth
        energy = right * right + lower * lower
        power = c[x] * c[x]
        # One division for attention's three fractions and for 1 + energy / (energy + edge).
        gain = local * strong * power * (energy + energy + edge)
        gain = gain / ((local + flat) * (local + strong) * (power + core) * (energy + edge))
        out[x] = strength * gain * c[x]


@njit(cache=True, fastmath=_FASTMATH, error_model="numpy")
def _apply_row(picture, top, left, luma, y, change, share, overshoot):
    """Add what a row of the luminance (h, w) gains, times its share, to the picture, within its neighbours' range."""
    h, w = luma.shape
    first, last = 0, w
    while first < w and share[first] <= 0:
        first += 1
    while last > first and share[last - 1] <= 0:
        last -= 1
    if first == last:
        return
    high, low = np.empty(w + 2, np.float32), np.empty(w + 2, np.float32)
    above, here, below = luma[max(y - 1, 0)], luma[y], luma[min(y + 1, h - 1)]
    for x in range(w):
        high[x + 1] = max(max(above[x], here[x]), below[x])
    for x in range(w):
        low[x + 1] = min(min(above[x], here[x]), below[x])
    high[0], high[w + 1], low[0], low[w + 1] = high[1], high[w], low[1], low[w]
    n = last - first
    high, low, here, change, share = high[first:], low[first:], here[first:], change[first:], share[first:]
    for x in range(n):
        most = max(max(high[x], high[x + 1]), high[x + 2])
        least = min(min(low[x], low[x + 1]), low[x + 2])
        room = overshoot * (most - least)
        wanted = here[x] + change[x] * share[x]
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


@njit(cache=True, fastmath=_FASTMATH, error_model="numpy", nogil=True)
def enhance_box(
    picture,  # (H, W, 3) in 0..1, changed in place
    top,  # of the box that is worked on
    left,
    sizes,  # (bands + 2, 3) height, width and place in a pyramid of every level, the box first, then the pyramid's end
    inside,  # (h', w') share of the change that is made: of the size of the box, or of half of it rounded up
    scales,  # (bands, 3) flat, strong and core of every band, finest first
    edge,  # scale of the edges
    strength,
    overshoot,
    work,  # (count,) enough for three pyramids: of the luminance, of its bands, and of what these gain
):
    """Raise the bands of a box's luminance, in place."""
    bands, total = len(scales), sizes[-1, 2]
    height, width = sizes[0, 0], sizes[0, 1]
    wide = np.empty(width + 2, np.float32)
    red, green, blue = np.float32(0.299), np.float32(0.587), np.float32(0.114)
    luma = work[: height * width].reshape((height, width))
    for y in range(height):
        row, out = picture[top + y, left:], luma[y]
        for x in range(width):
            out[x] = red * row[x, 0] + green * row[x, 1] + blue * row[x, 2]
    source = luma
    for i in range(bands):
        h, w, at, n = sizes[i + 1, 0], sizes[i + 1, 1], sizes[i, 2], sizes[i, 0] * sizes[i, 1]
        smaller = work[sizes[i + 1, 2] : sizes[i + 1, 2] + h * w].reshape((h, w))
        band = work[total + at : total + at + n].reshape(source.shape)
        for y in range(h):
            _reduce_row(source, y, smaller[y])
        for y in range(len(source)):
            _expand_row(smaller, y, wide)
            here, out = source[y], band[y]
            for x in range(len(here)):
                out[x] = here[x] - wide[x]
        source = smaller
    # From the coarsest band to the finest, so that each takes up what the coarser ones have gained.
    coarser = luma
    for step in range(bands):
        i = bands - 1 - step
        h, w, at = sizes[i, 0], sizes[i, 1], sizes[i, 2]
        source = work[at : at + h * w].reshape((h, w))
        band = work[total + at : total + at + h * w].reshape((h, w))
        change = work[2 * total + at : 2 * total + at + h * w].reshape((h, w))
        for y in range(h):
            out = change[y]
            _changed_row(band, source, y, scales[i, 0], scales[i, 1], scales[i, 2], edge, strength, out)
            if step > 0:
                _expand_row(coarser, y, wide)
                for x in range(w):
                    out[x] += wide[x]
        coarser = change
    for y in range(height):
        if inside.shape[0] == height:
            wide[:width] = inside[y]
        else:
            _expand_row(inside, y, wide)
        _apply_row(picture, top, left, luma, y, coarser[y], wide, overshoot)


def level_sizes(height: int, width: int, bands: int) -> np.ndarray:  # (bands + 2, 3)
    """Height, width and place of the levels of a box; in the last row how many values there are in all."""
    out = np.zeros((bands + 2, 3), np.int64)
    for i in range(bands + 1):
        out[i, :2] = height, width
        out[i + 1, 2] = out[i, 2] + height * width
        height, width = (height + 1) // 2, (width + 1) // 2
    return out
