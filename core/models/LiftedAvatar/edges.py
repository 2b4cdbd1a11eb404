"""Antialiasing of the outlines at which one part of the surface ends in front of another, or in front of nothing.

The rasterizer's front is a yes or a no in every pixel, so that such an outline is made of stairs. Here the pixels on
both sides of it take a share of each other's colour, by where the outline passes through them: morphological
antialiasing (Reshetov 2009) with the place of the outline read off the front surface's depth instead of the colours.
"""

from __future__ import annotations

import numba
import numpy as np

from core.models.LiftedAvatar.settings import EdgeSettings
from core.models.rasterizer.surface_kernels import BAND, DRAWN, FAR

_DEFAULT = EdgeSettings()
BLOCK = BAND  # pixels of a row that are looked through at once
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
        self._settings, self._disc = settings, np.empty((0, 4), np.int64)
        self._places, self._values = np.empty((0, 0), np.int32), np.empty((0, 0, 4), np.float32)
        self._steep, self._marks = np.empty((0, 0), np.bool_), np.empty((0, 0), np.bool_)

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
            steps = disc(self._settings.radius)
            beside = (np.abs(steps) < 2).all(1)
            self._disc = np.c_[steps, steps[:, 1] * depth.shape[1] + steps[:, 0], beside].astype(np.int64)
            self._values = np.empty(image.shape, np.float32)
            self._steep = np.empty(depth.shape, np.bool_)
            self._marks = np.empty((len(depth), -(-depth.shape[1] // BLOCK)), np.bool_)
        numbers = np.float32(jump), self._settings.hole
        if blocks is None:
            blocks = np.full((-(-len(depth) // BLOCK), self._marks.shape[1]), DRAWN, np.uint8)
        scratch = self._places, self._values, self._steep, self._marks
        antialias(image, alpha, depth, *numbers, self._disc, blocks, *scratch)


@numba.njit(inline="always")
def widest_gap(v0, v1, v2, v3, v4, v5, v6, v7, v8):
    """The widest gap between nine values in order, and its middle.

    They are put in order without a branch, by the network of 25 exchanges (Knuth, volume 3, 5.3.4).
    """
    v0, v3 = min(v0, v3), max(v0, v3)
    v1, v7 = min(v1, v7), max(v1, v7)
    v2, v5 = min(v2, v5), max(v2, v5)
    v4, v8 = min(v4, v8), max(v4, v8)
    v0, v7 = min(v0, v7), max(v0, v7)
    v2, v4 = min(v2, v4), max(v2, v4)
    v3, v8 = min(v3, v8), max(v3, v8)
    v5, v6 = min(v5, v6), max(v5, v6)
    v0, v2 = min(v0, v2), max(v0, v2)
    v1, v3 = min(v1, v3), max(v1, v3)
    v4, v5 = min(v4, v5), max(v4, v5)
    v7, v8 = min(v7, v8), max(v7, v8)
    v1, v4 = min(v1, v4), max(v1, v4)
    v3, v6 = min(v3, v6), max(v3, v6)
    v5, v7 = min(v5, v7), max(v5, v7)
    v0, v1 = min(v0, v1), max(v0, v1)
    v2, v4 = min(v2, v4), max(v2, v4)
    v3, v5 = min(v3, v5), max(v3, v5)
    v6, v8 = min(v6, v8), max(v6, v8)
    v2, v3 = min(v2, v3), max(v2, v3)
    v4, v5 = min(v4, v5), max(v4, v5)
    v6, v7 = min(v6, v7), max(v6, v7)
    v1, v2 = min(v1, v2), max(v1, v2)
    v3, v4 = min(v3, v4), max(v3, v4)
    v5, v6 = min(v5, v6), max(v5, v6)
    gap, middle, last = v1 - v0, (v0 + v1) / 2, v1
    for value in (v2, v3, v4, v5, v6, v7, v8):
        if value - last > gap:
            gap, middle = value - last, (value + last) / 2
        last = value
    return gap, middle


@numba.njit(cache=True, parallel=True, fastmath=True)
def antialias(
    image: np.ndarray,  # (H, W, 4) RGB and the matte, both times what is covered; changed
    alpha: np.ndarray,  # (H, W) how much is covered
    depth: np.ndarray,  # (H, W) of the front surface
    jump: float,  # of depth, from which on it is an outline
    hole: int,  # see `EdgeSettings`
    around: np.ndarray,  # (K, 4) int64 of `disc`: x, y, the step in memory, 1 for the middle nine
    states: np.ndarray,  # (H / BLOCK, W / BLOCK) uint8, both rounded up: outlines touch what is `DRAWN`
    places: np.ndarray,  # (H, W) int32 scratch
    values: np.ndarray,  # (H, W, 4) scratch
    steep: np.ndarray,  # (H, W) bool scratch
    marks: np.ndarray,  # (H, W / BLOCK) bool scratch
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
    count, reach = len(around), around[:, 0].max()
    flat = depth.reshape(-1)
    radius = np.sqrt(np.float32(count) / np.float32(np.pi))  # of the disc with as many pixels
    slope = np.float32(np.pi) * radius * half  # of the line's distance over the share in front, about a half
    straight = np.float32(2 / 3) * radius**3  # how far to one side the front lies, summed, if a line parts the disc
    found = np.zeros(height, np.int64)
    quarter = jump / 4  # differences of three by three pixels are a sum of at most four between neighbours
    blocks = (width + BLOCK - 1) // BLOCK
    for y in numba.prange(height):
        below = min(y + 1, height - 1)
        row = steep[y]
        for k in range(blocks):
            band, last = y // BLOCK, min(k + 1, blocks - 1)
            if states[band, k] != DRAWN and states[below // BLOCK, k] != DRAWN and states[band, last] != DRAWN:
                marks[y, k] = False
                continue
            first, end = k * BLOCK, min((k + 1) * BLOCK, width)
            for x in range(first, min(end, width - 1)):
                here = depth[y, x]
                row[x] = max(abs(depth[below, x] - here), abs(depth[y, x + 1] - here)) > quarter
            if end == width:
                row[width - 1] = abs(depth[below, width - 1] - depth[y, width - 1]) > quarter
            any_steep = False
            for x in range(first, end):
                any_steep |= row[x]
            marks[y, k] = any_steep
    for y in numba.prange(height):
        up, down = max(y - 1, 0), min(y + 1, height - 1)
        for block in range(blocks):
            left, right = max(block - 1, 0), min(block + 1, blocks - 1)
            looked_at = False
            for v in range(max(y - SPREAD, 0), min(y + SPREAD, height - 1) + 1):
                for k in range(left, right + 1):
                    looked_at |= marks[v, k]
            if not looked_at:
                continue
            for x in range(block * BLOCK, min((block + 1) * BLOCK, width)):
                west, east = max(x - 1, 0), min(x + 1, width - 1)
                a, b, c = depth[up, west], depth[y, west], depth[down, west]
                near, far = min(a, min(b, c)), max(a, max(b, c))
                a, b, c = depth[up, x], depth[y, x], depth[down, x]
                near, far = min(near, min(a, min(b, c))), max(far, max(a, max(b, c)))
                a, b, c = depth[up, east], depth[y, east], depth[down, east]
                near, far = min(near, min(a, min(b, c))), max(far, max(a, max(b, c)))
                gap, limit = zero, near
                if far >= FAR:  # no gap is wider than that to where nothing is
                    gap, limit = far - near, half * far
                elif far - near > jump:
                    a, b, c = depth[up, west], depth[y, west], depth[down, west]
                    d, e, f = depth[up, x], depth[y, x], depth[down, x]
                    gap, limit = widest_gap(a, b, c, d, e, f, depth[up, east], depth[y, east], depth[down, east])
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
                total, toward_x, toward_y, beside = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
                if x >= reach and y >= reach and x < width - reach and y < height - reach:
                    at = np.int64(y) * width + x
                    for k in range(count):
                        ahead = np.int64(flat[at + around[k, 2]] <= limit)
                        total += ahead
                        toward_x += ahead * around[k, 0]
                        toward_y += ahead * around[k, 1]
                        beside += ahead * around[k, 3]
                else:
                    for k in range(count):
                        v, u = min(max(y + around[k, 1], 0), height - 1), min(max(x + around[k, 0], 0), width - 1)
                        ahead = np.int64(depth[v, u] <= limit)
                        total += ahead
                        toward_x += ahead * around[k, 0]
                        toward_y += ahead * around[k, 1]
                        beside += ahead * around[k, 3]
                size = np.sqrt(np.float32(toward_x * toward_x + toward_y * toward_y))
                to_x, to_y = one, zero
                if size > zero:
                    to_x, to_y = np.float32(toward_x) / size, np.float32(toward_y) / size
                distance = (np.float32(total) / np.float32(count) - half) * slope
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
