"""Parts of a picture that show one smooth piece of the mesh: resampled from the photo instead of splatted.

Splatting moves each pixel of the photo on its own, which is needed where the surface ends, opens or lies behind itself.
Where it shows one piece that is hardly stretched, as most of hair, neck and shoulders do, the same weights are had from
the other side: a pixel of the picture is looked up in the photo, and its colour is the mean of the Gaussians around
there. That is the splat's picture but for what perspective bends within a triangle, what is faint, and the rounding of
places, at a tenth of its time.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit, prange

from core.models.LiftedAvatar.binding import Binding, Role
from core.models.LiftedAvatar.settings import SmoothSettings
from core.models.rasterizer import RasterWorkspace, SurfaceSettings, _simd
from core.models.rasterizer._simd import (
    fold,
    lane_sum,
    load4,
    load16,
    load_column,
    load_spread,
    store4,
    store16,
    store_whole,
    vfloor,
    vmax,
    vmin,
    where_ge,
    where_gt,
)
from core.models.rasterizer.compiled import kernel
from core.models.rasterizer.footprints import BAND, DRAWN, SPARED

BLOCK = BAND  # pixels of a side of the blocks that are looked at as one
TAPS = _simd.BLOCK  # pixels of the photo on a side around a place; a Gaussian of a pixel's size does not reach beyond
NEAR = TAPS - 1  # pixels beside a block that have to be smooth too: Gaussians reach as far
NOTHING, PLAIN, OTHER = 0, 1, 2  # what a triangle bears: no Gaussian, those of the photo as they are, or others too
_EMPTY, _MIXED = -1, -2  # in place of the triangle that a pixel shows: none, or what has to be splatted


@dataclass(frozen=True)
class SmoothParts:
    """What is known before anything moves, of N Gaussians on F triangles of a mesh and a photo's wide crop (S, S).

    Attributes:
        pixels: (M, 2) float64 the mesh in the wide crop. triangles: (F, 3) int32. bears: (F,) int8, see `PLAIN`.
        of_mesh: (G,) which of these the inpainted triangles are, that come after them.
        gaussian: (S, S) int32 the Gaussian of a pixel. usable: (S, S) bool, all pixels around have a plain one.
        weights: (levels, steps, steps, TAPS, TAPS) float32 of the pixels around a place, by how the surface is
            stretched and the place's fractions down and across.
        settings: see there.
    """

    pixels: np.ndarray
    triangles: np.ndarray
    bears: np.ndarray
    of_mesh: np.ndarray
    gaussian: np.ndarray
    usable: np.ndarray
    weights: np.ndarray
    settings: SmoothSettings

    @classmethod
    def of(
        cls,
        binding: Binding,
        pixels: np.ndarray,  # (M, 2)
        kept: np.ndarray,  # (S, S) bool, pixels that became the first Gaussians, row by row
        sigma: float,  # of a Gaussian in the photo, pixels
        inpaint_weight: float,  # see `LiftedSettings`
        surface: SurfaceSettings,
        settings: SmoothSettings,
    ) -> SmoothParts:
        """Of what was bound to a mesh.

        Where nothing is stretched much, pixels that fade weigh as much as others do, and what is painted for when they
        are gone weighs next to nothing.
        """
        triangles, n_mesh, count = binding.triangles[: binding.n_mesh], binding.n_mesh, int(kept.sum())
        role, face = binding.role[:count], binding.face[:count]
        bears = np.full(n_mesh, NOTHING, np.int8)
        bears[face] = PLAIN
        bears[face[role > Role.INPAINTED]] = OTHER
        numbers = {tuple(corners): f for f, corners in enumerate(triangles.tolist())}
        of_mesh = np.array([numbers[tuple(corners)] for corners in binding.triangles[n_mesh:].tolist()], np.int64)
        seen = inpaint_weight * binding.need[count:] > settings.faint
        bears[of_mesh[binding.face[count:][seen] - n_mesh]] = OTHER
        gaussian = np.full(kept.shape, -1, np.int32)
        gaussian[kept] = np.arange(count)
        plain = np.zeros(kept.shape, np.uint8)
        plain[kept] = (bears[face] == PLAIN) & (binding.fade_exponent[:count] <= settings.fades)
        around = np.ones((2 * (TAPS // 2) + 1,) * 2, np.uint8)
        usable = cv2.erode(plain, around, borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0
        least, most = (1 / value**2 for value in reversed(settings.stretch))
        growth = np.linspace(least, most, settings.levels)  # of the blur, seen in the photo
        weights = np.stack([_weights(sigma**2 + surface.blur * g, surface.cutoff, settings.steps) for g in growth])
        return cls(
            np.ascontiguousarray(pixels, np.float64), triangles, bears, of_mesh, gaussian, usable, weights, settings
        )

    def draw(
        self,
        moved: np.ndarray,  # (M, 2) float64, the mesh in the picture
        depth: np.ndarray,  # (M,)
        colors: np.ndarray,  # (N, 4) float32
        size: tuple[int, int],  # height and width of the picture
        work: RasterWorkspace,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw the smooth blocks of a picture, in the buffers that `splat_surface` draws the rest in.

        Returns which these are, (bands, columns of blocks) uint8, `SPARED` or `DRAWN`, and which triangles (F + G,) are
        seen in them alone, or not at all.
        """
        height, width = size
        n_mesh, settings = len(self.triangles), self.settings
        n_bands, n_columns = -(-height // BLOCK), -(-width // BLOCK)
        blocks = work.get("blocks", (n_bands, n_columns), np.uint8)
        shown, clear = work.get("triangle", size, np.int32), work.get("clear", (height, n_columns), np.bool_)
        maps, kinds = work.get("maps", (n_mesh, 3, TAPS)), work.get("kinds", (n_mesh,), np.int8)
        rows, stretch = work.get("rows", (n_mesh, 2), np.int64), np.array(settings.stretch)
        meshes = moved, depth, self.pixels, self.triangles, self.bears
        _map_triangles(*meshes, stretch, settings.levels, settings.steps, height, maps, kinds, rows)
        _show_triangles(moved, self.triangles, kinds, rows, shown, clear)
        image, alpha, front = work.get("image", (*size, 4)), work.get("alpha", size), work.get("depth", size)
        photo = self.gaussian.reshape(-1), self.usable, colors.reshape(-1), self.weights.reshape(-1), settings.steps
        _resample(shown, clear, maps.reshape(-1), *photo, blocks, image.reshape(-1), alpha, front)
        done = work.get("done", (n_mesh + len(self.of_mesh),), np.bool_)
        _find_done(moved, self.triangles, kinds, blocks, np.array(size), done)
        done[n_mesh:] = done[self.of_mesh]
        return blocks, done


def _weights(square_sigma: float, cutoff: float, steps: int) -> np.ndarray:
    """(steps, steps, TAPS, TAPS) float32: the splat's weights of the pixels around a place, their sum 1."""
    fraction = np.arange(steps) / steps
    away = np.arange(TAPS) - (TAPS // 2 - 1) - fraction[:, None]
    square = (away**2)[:, None, :, None] + (away**2)[None, :, None, :]
    least = np.exp(-(cutoff**2) / 2)
    weights = np.maximum(np.exp(-square / (2 * square_sigma)) - least, 0)
    return np.ascontiguousarray(weights / weights.sum((2, 3), keepdims=True), np.float32)


@njit(cache=True, nogil=True)
def _map_triangles(
    moved: np.ndarray,  # (M, 2)
    depth: np.ndarray,  # (M,)
    pixels: np.ndarray,  # (M, 2)
    triangles: np.ndarray,  # (F, 3)
    bears: np.ndarray,  # (F,)
    stretch: np.ndarray,  # (2,) least and most
    levels: int,
    steps: int,
    height: int,  # of the picture
    # (F, 3, 4) out, constant, times x, times y: of what a pixel of the picture shows column and row in the photo, the
    # depth, and which are the first of its weights
    maps: np.ndarray,
    kinds: np.ndarray,  # (F,) out: as `bears`, but what is turned away or stretched has to be splatted
    rows: np.ndarray,  # (F, 2) out: of the picture, the first and one past the last
) -> None:
    least, most = 1 / stretch[1] ** 2, 1 / stretch[0] ** 2
    for f in range(len(triangles)):
        kinds[f] = bears[f]
        a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
        low = min(moved[a, 1], min(moved[b, 1], moved[c, 1]))
        high = max(moved[a, 1], max(moved[b, 1], moved[c, 1]))
        rows[f, 0] = int(min(max(np.ceil(low), 0.0), float(height)))
        rows[f, 1] = int(min(max(np.ceil(high), 0.0), float(height)))
        if bears[f] != PLAIN:
            continue
        bx, by, cx, cy = (
            moved[b, 0] - moved[a, 0], moved[b, 1] - moved[a, 1], moved[c, 0] - moved[a, 0], moved[c, 1] - moved[a, 1]
        )  # fmt: skip
        px, py, qx, qy = (
            pixels[b, 0] - pixels[a, 0], pixels[b, 1] - pixels[a, 1],
            pixels[c, 0] - pixels[a, 0], pixels[c, 1] - pixels[a, 1],
        )  # fmt: skip
        area, before = bx * cy - by * cx, px * qy - py * qx
        if not area * before > 0:
            kinds[f] = OTHER
            continue
        # Columns of d(photo) / d(picture)
        xx, xy = (px * cy - qx * by) / area, (qx * bx - px * cx) / area
        yx, yy = (py * cy - qy * by) / area, (qy * bx - py * cx) / area
        half = (xx * xx + xy * xy + yx * yx + yy * yy) / 2
        rest = np.sqrt(max(half * half - (xx * yy - xy * yx) ** 2, 0.0))
        if half + rest > most or half - rest < least:
            kinds[f] = OTHER
            continue
        level = np.round((abs(before / area) - least) / (most - least) * (levels - 1))
        zb, zc = depth[b] - depth[a], depth[c] - depth[a]
        zx, zy = (zb * cy - zc * by) / area, (zc * bx - zb * cx) / area
        x, y = moved[a, 0], moved[a, 1]
        maps[f] = 0
        maps[f, 0, 0], maps[f, 1, 0], maps[f, 2, 0] = pixels[a, 0] - xx * x - xy * y, xx, xy
        maps[f, 0, 1], maps[f, 1, 1], maps[f, 2, 1] = pixels[a, 1] - yx * x - yy * y, yx, yy
        maps[f, 0, 2], maps[f, 1, 2], maps[f, 2, 2] = depth[a] - zx * x - zy * y, zx, zy
        maps[f, 0, 3] = level * steps * steps


@njit(inline="always")
def _widen(moved, a, b, top, bottom, lefts, rights):
    """Widen what a triangle covers of rows `top` to `bottom` to where the edge between two points is in them; that is
    the same to the bit from both of its sides.
    """
    low, high = (a, b) if a < b else (b, a)
    x, y, across, down = moved[low, 0], moved[low, 1], moved[high, 0] - moved[low, 0], moved[high, 1] - moved[low, 1]
    first = max(int(np.ceil(min(max(min(y, moved[high, 1]), float(top)), float(bottom)))), top)
    end = min(int(np.ceil(min(max(max(y, moved[high, 1]), float(top)), float(bottom)))), bottom)
    for row in range(first, end):
        at = x + (row - y) / down * across
        lefts[row - top], rights[row - top] = min(lefts[row - top], at), max(rights[row - top], at)


@njit(cache=True, parallel=True, nogil=True)
def _show_triangles(
    moved: np.ndarray,  # (M, 2)
    triangles: np.ndarray,  # (F, 3)
    kinds: np.ndarray,  # (F,)
    rows: np.ndarray,  # (F, 2)
    shown: np.ndarray,  # (H, W) int32 out: the one plain triangle that a pixel shows, or `_EMPTY` or `_MIXED`
    clear: np.ndarray,  # (H, columns) bool out: whether there is one in the row of a block and beside it
) -> None:
    height, width = shown.shape
    for band in prange((height + BLOCK - 1) // BLOCK):
        top, bottom = band * BLOCK, min((band + 1) * BLOCK, height)
        shown[top:bottom] = _EMPTY
        lefts, rights = np.empty(BLOCK), np.empty(BLOCK)  # where a triangle begins and ends in rows
        for f in range(len(triangles)):
            first_row, end_row = max(rows[f, 0], top), min(rows[f, 1], bottom)
            if first_row >= end_row or kinds[f] == NOTHING:
                continue
            a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
            lefts[:], rights[:] = np.inf, -np.inf
            _widen(moved, a, b, first_row, end_row, lefts, rights)
            _widen(moved, b, c, first_row, end_row, lefts, rights)
            _widen(moved, c, a, first_row, end_row, lefts, rights)
            for y in range(first_row, end_row):
                left, right = lefts[y - first_row], rights[y - first_row]
                if not left < right:
                    continue
                first = int(min(max(np.ceil(left), 0.0), float(width)))
                end = int(min(max(np.ceil(right), 0.0), float(width)))
                if kinds[f] == PLAIN:
                    for x in range(first, end):
                        shown[y, x] = f if shown[y, x] == _EMPTY else _MIXED
                else:
                    shown[y, first:end] = _MIXED
        for y in range(top, bottom):
            for column in range(clear.shape[1]):
                least = np.int32(0)
                for x in range(max(column * BLOCK - NEAR, 0), min((column + 1) * BLOCK + NEAR, width)):
                    least = min(least, shown[y, x])
                clear[y, column] = least == 0


@kernel(_simd)
def _resample(
    shown,  # (H, W) int32
    clear,  # (H, columns)
    maps,  # (F * 3 * 4,)
    gaussian,  # (S * S,)
    usable,  # (S, S)
    colors,  # (N * 4,)
    weights,  # (levels * steps * steps * TAPS * TAPS,)
    steps,
    blocks,  # (bands, columns) out
    image,  # (H * W * 4,) out where a block is smooth
    alpha,  # (H, W) out, the same
    depth,  # (H, W) out, the same
):
    """Draw the blocks in which every pixel, and those beside, show a triangle whose Gaussians are the photo's own."""
    height, width = shown.shape
    side = np.int64(len(usable))
    zero, one, half, count, end = np.float32(0), np.float32(1), np.float32(0.5), np.float32(steps), np.float32(side)
    before = TAPS // 2 - 1
    for band in prange(blocks.shape[0]):
        top, bottom = band * BLOCK, min((band + 1) * BLOCK, height)
        # Of the pixels of a row of a block: what `maps` says of them; then column and row in the photo, and the weights
        places, spots = np.empty(BLOCK * TAPS, np.float32), np.empty(3 * BLOCK, np.int32)
        depths = np.empty(BLOCK, np.float32)
        for column in range(blocks.shape[1]):
            left, right = column * BLOCK, min((column + 1) * BLOCK, width)
            smooth = True
            for y in range(max(top - NEAR, 0), min(bottom + NEAR, height)):
                smooth &= clear[y, column]
            y = top
            while smooth and y < bottom:
                for k in range(BLOCK):
                    x = min(left + k, right - 1)
                    m = np.int64(shown[y, x]) * (3 * TAPS)
                    of_column = load4(maps, m) + load4(maps, m + TAPS) * np.float32(x)
                    store4(places, k * TAPS, of_column + load4(maps, m + 2 * TAPS) * np.float32(y))
                # To the nearest step: then whole pixels and fractions
                u, v = load_column(places, 0, 0, 4), load_column(places, 0, 1, 4)
                u, v = vfloor(u * count + half), vfloor(v * count + half)
                i, j = vfloor(u / count), vfloor(v / count)
                inside = where_ge(vmin(i, j), zero, where_gt(end, vmax(i, j), one, zero), zero)
                if lane_sum(inside) < np.float32(BLOCK):
                    smooth = False
                    break
                store_whole(spots, 0, i)
                store_whole(spots, BLOCK, j)
                store_whole(spots, 2 * BLOCK, load_column(places, 0, 3, 4) + (v - j * count) * count + (u - i * count))
                store16(depths, 0, load_column(places, 0, 2, 4))
                for k in range(right - left):
                    smooth &= usable[spots[BLOCK + k], spots[k]]
                if not smooth:
                    break
                for k in range(right - left):
                    g = (np.int64(spots[BLOCK + k]) - before) * side + np.int64(spots[k]) - before
                    w = np.int64(spots[2 * BLOCK + k]) * (TAPS * TAPS)
                    # The colours of `TAPS` pixels beside one another, row by row
                    a = load16(colors, np.int64(gaussian[g]) * 4) * load_spread(weights, w)
                    b = load16(colors, np.int64(gaussian[g + side]) * 4) * load_spread(weights, w + TAPS)
                    c = load16(colors, np.int64(gaussian[g + 2 * side]) * 4) * load_spread(weights, w + 2 * TAPS)
                    d = load16(colors, np.int64(gaussian[g + 3 * side]) * 4) * load_spread(weights, w + 3 * TAPS)
                    x = left + k
                    store4(image, (y * width + x) * 4, fold((a + b) + (c + d)))
                    alpha[y, x] = one
                    depth[y, x] = depths[k]
                y += 1
            blocks[band, column] = SPARED if smooth else DRAWN


@njit(cache=True, nogil=True)
def _find_done(
    moved: np.ndarray,  # (M, 2)
    triangles: np.ndarray,  # (F, 3)
    kinds: np.ndarray,  # (F,)
    blocks: np.ndarray,  # (bands, columns) uint8
    size: np.ndarray,  # (2,) height and width
    done: np.ndarray,  # (F + G,) out, of which the first F are set
) -> None:
    """Triangles whose Gaussians reach no pixel outside of smooth blocks."""
    for f in range(len(triangles)):
        done[f] = kinds[f] == PLAIN
        if not done[f]:
            continue
        low_x, low_y, high_x, high_y = np.inf, np.inf, -np.inf, -np.inf
        for k in range(3):
            x, y = moved[triangles[f, k], 0], moved[triangles[f, k], 1]
            low_x, low_y, high_x, high_y = min(low_x, x), min(low_y, y), max(high_x, x), max(high_y, y)
        left, right = max(int(np.floor(low_x)) - NEAR, 0), min(int(np.ceil(high_x)) + NEAR, size[1] - 1)
        top, bottom = max(int(np.floor(low_y)) - NEAR, 0), min(int(np.ceil(high_y)) + NEAR, size[0] - 1)
        if left > right or top > bottom:
            continue
        for band in range(top // BLOCK, bottom // BLOCK + 1):
            for column in range(left // BLOCK, right // BLOCK + 1):
                done[f] &= blocks[band, column] == SPARED
