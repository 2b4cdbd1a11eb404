"""Antialiasing of the outlines at which one part of the surface ends in front of another, or in front of nothing.

The rasterizer's front is a yes or a no in every pixel, so that such an outline is made of stairs. Here the pixels on
both sides of it take a share of each other's colour, by where the outline passes through them: morphological
antialiasing (Reshetov 2009) with the place of the outline read off the front surface's depth instead of the colours.
"""

from __future__ import annotations

import numba
import numpy as np

from core.models.LiftedAvatar.settings import EdgeSettings
from core.models.rasterizer import _simd
from core.models.rasterizer._simd import lane_sum, load8, load16, ramp, store16, vmax, vmin, where_ge, where_gt
from core.models.rasterizer.compiled import FASTMATH, kernel
from core.models.rasterizer.footprints import BAND, DRAWN
from core.models.rasterizer.surface_kernels import FAR, LANES

_DEFAULT = EdgeSettings()
BLOCK = BAND  # pixels of a row that are looked through at once
ROW = LANES  # pixels of a row of a disc that are looked at in one go
SPREAD = 2  # rows that splats reach beyond an outline


def disc(radius: float) -> np.ndarray:
    """(K, 2) int64: the steps x, y from a pixel to those within a radius, itself among them."""
    reach = int(radius)
    x, y = np.meshgrid(np.arange(-reach, reach + 1), np.arange(-reach, reach + 1))
    near = x**2 + y**2 <= radius**2
    return np.stack([x[near], y[near]], 1).astype(np.int64)


class Antialiasing:
    """What `antialias` needs from picture to picture."""

    def __init__(self, settings: EdgeSettings = _DEFAULT) -> None:
        self._settings = settings
        self._disc = disc(settings.radius)
        self._sums = _sums(self._disc)
        self._places, self._values = np.empty((0, 0), np.int32), np.empty((0, 0, 4), np.float32)
        self._marks = np.empty((0, 0), np.bool_)

    def run(
        self,
        image: np.ndarray,
        alpha: np.ndarray,
        depth: np.ndarray,
        jump: float,
        blocks: np.ndarray | None = None,  # (H / BLOCK, W / BLOCK) uint8, both rounded up
    ) -> None:
        """See `antialias`; `jump`: head units of depth from which on it is an outline; `blocks`: which may have one."""
        if self._places.shape != depth.shape:
            self._places = np.empty(depth.shape, np.int32)
            self._values = np.empty(image.shape, np.float32)
            self._marks = np.empty((len(depth), -(-depth.shape[1] // BLOCK)), np.bool_)
        numbers = np.float32(jump), self._settings.hole
        if blocks is None:
            blocks = np.full((-(-len(depth) // BLOCK), self._marks.shape[1]), DRAWN, np.uint8)
        scratch = self._places, self._values, self._marks
        antialias(image, alpha, depth, *numbers, self._disc, self._sums, blocks, *scratch)


def _sums(steps: np.ndarray) -> np.ndarray:
    """(4 * (2 R + 1) * ROW,) float32, row by row of a disc of reach R: how much a pixel adds to the number of those in
    the disc, then to their sums of x, of y, and to the number of the middle nine. Empty where a row exceeds `ROW`.
    """
    reach = int(steps.max())
    if 2 * reach + 1 > ROW:
        return np.empty(0, np.float32)
    table = np.zeros((4, 2 * reach + 1, ROW), np.float32)
    for x, y in steps.tolist():
        table[:, y + reach, x + reach] = 1, x, y, max(abs(x), abs(y)) < 2
    return table.reshape(-1)


@numba.njit(inline="always", fastmath=FASTMATH, error_model="numpy")
def _exchange(a, b):
    return vmin(a, b), vmax(a, b)


@numba.njit(inline="always", fastmath=FASTMATH, error_model="numpy")
def _wider(gap, twice, low, high):
    return vmax(gap, high - low), where_gt(high - low, gap, high + low, twice)


@numba.njit(fastmath=FASTMATH, error_model="numpy")
def _find_gaps(flat, at, above, below):
    """Of sixteen pixels beside one another, each with its eight neighbours, in rows that begin so far before `at` and
    behind it: the least depth, the largest, the widest gap between depths in order, and the middle of the first of
    those as wide; f32x16 all. Nine are put in order by 25 exchanges, as few as can be (Codish et al. 2014).
    """
    a, b, c = load16(flat, at - above - 1), load16(flat, at - above), load16(flat, at - above + 1)
    d, e, f = load16(flat, at - 1), load16(flat, at), load16(flat, at + 1)
    g, h, i = load16(flat, at + below - 1), load16(flat, at + below), load16(flat, at + below + 1)
    (a, d), (b, h), (c, f), (e, i) = _exchange(a, d), _exchange(b, h), _exchange(c, f), _exchange(e, i)
    (a, h), (c, e), (d, i), (f, g) = _exchange(a, h), _exchange(c, e), _exchange(d, i), _exchange(f, g)
    (a, c), (b, d), (e, f), (h, i) = _exchange(a, c), _exchange(b, d), _exchange(e, f), _exchange(h, i)
    (b, e), (d, g), (f, h) = _exchange(b, e), _exchange(d, g), _exchange(f, h)
    (a, b), (c, e), (d, f), (g, i) = _exchange(a, b), _exchange(c, e), _exchange(d, f), _exchange(g, i)
    (c, d), (e, f), (g, h) = _exchange(c, d), _exchange(e, f), _exchange(g, h)
    (b, c), (d, e), (f, g) = _exchange(b, c), _exchange(d, e), _exchange(f, g)
    gap, twice = b - a, b + a
    gap, twice = _wider(gap, twice, b, c)
    gap, twice = _wider(gap, twice, c, d)
    gap, twice = _wider(gap, twice, d, e)
    gap, twice = _wider(gap, twice, e, f)
    gap, twice = _wider(gap, twice, f, g)
    gap, twice = _wider(gap, twice, g, h)
    gap, twice = _wider(gap, twice, h, i)
    return a, i, gap, twice * np.float32(0.5)


@numba.njit(fastmath=True)
def _in_front(depth, flat, x, y, limit, around, sums):
    """Of the disc around a pixel, how many are in front; the sums of how far these lie along x and y; how many of the
    middle nine are.
    """
    height, width = depth.shape
    reach = (len(sums) // (4 * ROW) - 1) // 2
    if len(sums) > 0 and x >= reach and y >= reach and x - reach + ROW <= width and y < height - reach:
        zero, one = np.float32(0), np.float32(1)
        size = len(sums) // 4
        at = np.int64(y - reach) * width + x - reach
        ahead = where_ge(limit, load8(flat, at), one, zero)
        total, toward_x = ahead * load8(sums, 0), ahead * load8(sums, size)
        toward_y, beside = ahead * load8(sums, 2 * size), ahead * load8(sums, 3 * size)
        for k in range(ROW, size, ROW):
            at += width
            ahead = where_ge(limit, load8(flat, at), one, zero)
            total = total + ahead * load8(sums, k)
            toward_x = toward_x + ahead * load8(sums, k + size)
            toward_y = toward_y + ahead * load8(sums, k + 2 * size)
            beside = beside + ahead * load8(sums, k + 3 * size)
        return lane_sum(total), lane_sum(toward_x), lane_sum(toward_y), lane_sum(beside)
    total, toward_x, toward_y, beside = 0, 0, 0, 0
    for k in range(len(around)):
        v, u = min(max(y + around[k, 1], 0), height - 1), min(max(x + around[k, 0], 0), width - 1)
        if depth[v, u] <= limit:
            total += 1
            toward_x += around[k, 0]
            toward_y += around[k, 1]
            beside += abs(around[k, 0]) < 2 and abs(around[k, 1]) < 2
    return np.float32(total), np.float32(toward_x), np.float32(toward_y), np.float32(beside)


@kernel(_simd)
def antialias(
    image: np.ndarray,  # (H, W, 4) RGB and the matte, both times what is covered; changed
    alpha: np.ndarray,  # (H, W) how much is covered
    depth: np.ndarray,  # (H, W) of the front surface
    jump: float,  # of depth, from which on it is an outline
    hole: int,  # see `EdgeSettings`
    around: np.ndarray,  # (K, 2) int64 of `disc`
    sums: np.ndarray,  # of `_sums`
    states: np.ndarray,  # (H / BLOCK, W / BLOCK) uint8, both rounded up: outlines touch what is `DRAWN`
    places: np.ndarray,  # (H, W) int32 scratch
    values: np.ndarray,  # (H, W, 4) scratch
    marks: np.ndarray,  # (H, W / BLOCK) bool scratch: whether this block of a row, or one beside it, is steep
) -> None:
    """The picture with its outlines antialiased, and the colours beside them no longer times what is covered.

    Where the depths of a pixel and its eight neighbours part by more than `jump`, those before the widest gap are in
    front: a surface that turns edge-on falls back by more than that from pixel to pixel, and is still one. The outline
    is taken for the straight line that leaves the same share of a disc in front, at a right angle to where these lie; a
    pixel's coverage by the front is half of it and its centre's distance from the line. The rest is the colour of the
    pixel across the line, mixed by matte. Where the outline is no line, as that of a strand, a pixel keeps half of its
    own colour; a pixel behind that has the front all around it is a hole, and is closed, and one in front with nothing
    beside it is a speck, and goes. Beyond the front, where there is nothing behind it, splats end with it.
    """
    zero, half, one, bit = np.float32(0), np.float32(0.5), np.float32(1), np.float32(1e-3)
    height, width = depth.shape
    count = len(around)
    flat, flat_alpha = depth.reshape(-1), alpha.reshape(-1)
    radius = np.sqrt(np.float32(count) / np.float32(np.pi))  # of the disc with as many pixels
    slope = np.float32(np.pi) * radius * half  # of the line's distance over the share in front, about a half
    straight = np.float32(2 / 3) * radius**3  # how far to one side the front lies, summed, if a line parts the disc
    found = np.zeros(height, np.int64)
    # Differences of three by three pixels are a sum of at most four between neighbours
    quarter = np.float32(jump) / np.float32(4)
    blocks = (width + BLOCK - 1) // BLOCK
    blank = ramp(zero) * zero
    for y in numba.prange(height):
        below = min(y + 1, height - 1)
        marks[y, :] = False
        for k in range(blocks):
            band, last = y // BLOCK, min(k + 1, blocks - 1)
            if states[band, k] != DRAWN and states[below // BLOCK, k] != DRAWN and states[band, last] != DRAWN:
                continue
            first, end = k * BLOCK, min((k + 1) * BLOCK, width)
            if end < width:
                at, under_at = np.int64(y) * width + first, np.int64(below) * width + first
                pixels, under, right = load16(flat, at), load16(flat, under_at), load16(flat, at + 1)
                fall = vmax(vmax(pixels - under, under - pixels), vmax(pixels - right, right - pixels))
                steep = lane_sum(where_gt(fall, quarter, one, zero)) > zero
            else:
                steep = False
                for x in range(first, end):
                    fall_down, fall_right = depth[below, x] - depth[y, x], depth[y, min(x + 1, width - 1)] - depth[y, x]
                    steep |= max(abs(fall_down), abs(fall_right)) > quarter
            if steep:
                marks[y, max(k - 1, 0)] = marks[y, k] = marks[y, last] = True
    for y in numba.prange(height):
        up, down = max(y - 1, 0), min(y + 1, height - 1)
        nearest, farthest, wanted = (
            np.empty(BLOCK, np.float32),
            np.empty(BLOCK, np.float32),
            np.empty(BLOCK, np.float32),
        )
        gaps, middles = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
        three = np.empty(3 * (BLOCK + 2), np.float32)  # at the picture's borders: rows and columns go on as they end
        for block in range(blocks):
            looked_at = False
            for v in range(max(y - SPREAD, 0), min(y + SPREAD, height - 1) + 1):
                looked_at |= marks[v, block]
            if not looked_at:
                continue
            first, end = block * BLOCK, min((block + 1) * BLOCK, width)
            if first > 0 and end < width:
                at = np.int64(y) * width + first
                here = np.int64(up) * width + first, at, np.int64(down) * width + first
                lowest = highest = load16(flat, at)
                for row in here:
                    for start in (row - 1, row, row + 1):
                        seen = load16(flat, start)
                        lowest, highest = vmin(lowest, seen), vmax(highest, seen)
                cover = load16(flat_alpha, at)
                partly = where_gt(cover, bit, where_ge(lowest, FAR, one, where_gt(one, cover, one, zero)), zero)
                touched = where_gt(highest - lowest, jump, one, partly)
                if lane_sum(touched) == zero:
                    continue
                store16(wanted, 0, touched)
                found16 = _find_gaps(flat, at, at - here[0], here[2] - at)
            else:
                for k in range(BLOCK + 2):
                    column = min(max(first - 1 + k, 0), width - 1)
                    three[k] = depth[up, column]
                    three[k + BLOCK + 2] = depth[y, column]
                    three[k + 2 * (BLOCK + 2)] = depth[down, column]
                store16(wanted, 0, blank + one)
                found16 = _find_gaps(three, BLOCK + 3, BLOCK + 2, BLOCK + 2)
            store16(nearest, 0, found16[0])
            store16(farthest, 0, found16[1])
            store16(gaps, 0, found16[2])
            store16(middles, 0, found16[3])
            for x in range(first, end):
                if wanted[x - first] == zero:
                    continue
                near, far = nearest[x - first], farthest[x - first]
                gap, limit = zero, near
                if far - near > jump:
                    if far >= FAR:  # no gap is wider than that to where nothing is
                        gap, limit = far - near, half * far
                    else:
                        gap, limit = gaps[x - first], middles[x - first]
                if not gap > jump:
                    covered = alpha[y, x]
                    if covered < one and covered > bit and near < FAR:
                        places[y, found[y]] = x
                        for c in range(4):
                            values[y, found[y], c] = image[y, x, c] / covered
                        found[y] += 1
                    elif near >= FAR and covered > bit:  # what splats spread beyond the outline
                        for k in range(count):
                            v, u = min(max(y + around[k, 1], 0), height - 1), min(max(x + around[k, 0], 0), width - 1)
                            if depth[v, u] < FAR:
                                places[y, found[y]] = x
                                values[y, found[y], :] = zero
                                found[y] += 1
                                break
                    continue
                total, toward_x, toward_y, beside = _in_front(depth, flat, x, y, limit, around, sums)
                size = np.sqrt(toward_x * toward_x + toward_y * toward_y)
                to_x, to_y = one, zero
                if size > zero:
                    to_x, to_y = toward_x / size, toward_y / size
                distance = (total / np.float32(count) - half) * slope
                share = min(max(half + distance, zero), one)
                front = depth[y, x] <= limit
                empty = depth[y, x] < FAR and alpha[y, x] <= bit
                # Where the outline is no line, as that of a strand, a pixel keeps at least half of its own.
                sure = min(max(size / straight * 4 - np.float32(2.4), zero), one)
                if empty:
                    front, share = False, one
                elif front:
                    # Of the other side, in all cases.
                    share = one if beside <= 9 - hole else min(one - share, half + half * sure)
                    to_x, to_y = -to_x, -to_y
                else:
                    share = one if beside >= hole else min(share, half + half * sure)
                if share <= zero and depth[y, x] < FAR and alpha[y, x] >= one:
                    continue
                scale = one / max(abs(to_x), abs(to_y))
                across_x, across_y = np.int64(-1), np.int64(-1)
                for step in range(1, 3):
                    u = x + np.int64(np.floor(to_x * scale * np.float32(step) + half))
                    v = y + np.int64(np.floor(to_y * scale * np.float32(step) + half))
                    if u < 0 or v < 0 or u >= width or v >= height:
                        break
                    if (depth[v, u] <= limit) != front and (alpha[v, u] > bit or depth[v, u] >= FAR):
                        across_x, across_y = u, v
                        break
                if across_x < 0:
                    across_x, across_y, share = np.int64(x), np.int64(y), zero
                # Where there is a front nothing shines through: what it covers in part it covers.
                own, other = one / max(alpha[y, x], bit), one / max(alpha[across_y, across_x], bit)
                mine = (one - share) * own * image[y, x, 3] if depth[y, x] < FAR else zero
                theirs = share * other * image[across_y, across_x, 3] if depth[across_y, across_x] < FAR else zero
                matte = mine + theirs
                n = found[y]
                places[y, n] = x
                for k in range(3):
                    mixed = mine * own * image[y, x, k] + theirs * other * image[across_y, across_x, k]
                    values[y, n, k] = mixed / max(matte, np.float32(1e-6))
                values[y, n, 3] = matte
                found[y] = n + 1
    for y in numba.prange(height):
        for n in range(found[y]):
            for k in range(4):
                image[y, places[y, n], k] = values[y, n, k]
