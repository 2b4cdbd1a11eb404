"""Holes in pictures completed from the rest of the picture, patch by patch.

Wexler, Shechtman and Irani (Space-time completion of video, 2007): from a first guess on, coarse to fine, every patch
of the hole is to look like one of the picture's, and the hole takes the mean of those that lie over it. The likest
patch is looked for as in Barnes, Shechtman, Finkelstein and Goldman (PatchMatch, 2009), with numbers from a hash in
the place of random ones: the same picture is always completed the same way.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numba
import numpy as np

from core.libs.nearest import nearest_pixels


@dataclass(frozen=True)
class PatchSettings:
    """How a hole is completed. By eye, on the backgrounds of portraits.

    Attributes:
        radius: pixels of a patch on every side of its middle. smallest: pixels of the coarsest level's longer side.
        rounds: of search and mean, at the coarsest level; one less at each finer one, to `fewest`.
        searches: passes over the picture in a round.
        far: squared grey levels a pixel of a patch that a source as far away as the picture is wide counts as worse.
        spread: grey levels by which a patch may differ from its source and still count for much in the mean.
        sure: how much surer a pixel is than one that lies a pixel farther from what is known; surest: how much more
            than what lies deepest.
        tone: how much the mean colour of a patch, squared, counts that is not the first guess's there.
    """

    radius: int = 3
    smallest: int = 40
    rounds: int = 8
    fewest: int = 2
    searches: int = 3
    far: float = 800.0
    spread: float = 12.0
    sure: float = 1.2
    surest: float = 20.0
    tone: float = 0.0


_DEFAULT = PatchSettings()


def complete(
    picture: np.ndarray,  # (H, W, 3) float32, grey levels
    hole: np.ndarray,  # (H, W) bool, what is to be completed
    usable: np.ndarray,  # (H, W) bool, what may be taken for it; nothing of the hole
    guess: np.ndarray,  # (H, W, 3) float32, the picture with its hole filled in some way, from which to start
    settings: PatchSettings = _DEFAULT,
) -> tuple[np.ndarray, np.ndarray] | None:
    """The picture with its hole completed, and the pixel (H, W, 2), y and x, each of the hole was taken from.

    Beyond the hole a pixel is its own. None where nothing can be taken.
    """
    levels = [(picture, hole, usable)]
    while max(levels[-1][1].shape) >= 2 * settings.smallest:
        halved = _halved(*levels[-1])
        if not _sources(halved[1], halved[2], settings.radius).any():
            break
        levels.append(halved)
    field: np.ndarray | None = None
    filled = levels[-1][0]
    for index in reversed(range(len(levels))):
        picture, hole, usable = levels[index]
        sources = _sources(hole, usable, settings.radius)
        if not sources.any():
            return None
        if field is None:
            filled = np.where(
                hole[..., None], cv2.resize(guess, hole.shape[::-1], interpolation=cv2.INTER_AREA), picture
            )
            field = _first_field(hole, sources)
        else:
            field = _doubled(field, hole, sources)
            filled = picture.copy()
            _vote(
                filled, picture, hole, field, _costs(hole), _sureness(hole, settings), settings.radius, np.float32(1e9)
            )
        costs = _costs(hole)
        sure = _sureness(hole, settings)
        tones = _tones(guess, picture, hole, settings)
        around = cv2.boxFilter(
            sure, -1, (2 * settings.radius + 1,) * 2, normalize=False, borderType=cv2.BORDER_CONSTANT
        )
        rounds = max(settings.fewest, settings.rounds - 2 * (len(levels) - 1 - index))
        penalty = np.float32(settings.far / max(hole.shape) ** 2)
        for number in range(rounds):
            _measure(filled, picture, *tones, field, costs, hole, sure, around, settings.radius, penalty)
            for search in range(settings.searches):
                _search(
                    filled,
                    picture,
                    *tones,
                    field,
                    costs,
                    hole,
                    sources,
                    sure,
                    around,
                    settings.radius,
                    penalty,
                    number * 8 + search,
                )
            _vote(filled, picture, hole, field, costs, sure, settings.radius, np.float32(settings.spread**2))
    assert field is not None
    return filled, field


def taken_from(
    field: np.ndarray,  # (h, w, 2) int, `complete`'s of a small picture
    small_hole: np.ndarray,  # (h, w) bool, of that
    hole: np.ndarray,  # (H, W) bool, of the same picture at full size
    settings: PatchSettings = _DEFAULT,
) -> tuple[np.ndarray, np.ndarray]:
    """The rows and columns (H, W) that the pixels of the large picture are taken from; beyond its hole their own."""
    field = _in_pieces(field, small_hole, settings.radius)
    height, width = hole.shape
    down, along = field.shape[0] / height, field.shape[1] / width
    y, x = np.mgrid[:height, :width]
    near_y = np.minimum((y + 0.5) * down, len(field) - 1).astype(int)
    near_x = np.minimum((x + 0.5) * along, field.shape[1] - 1).astype(int)
    away_y, away_x = field[near_y, near_x, 0] - near_y, field[near_y, near_x, 1] - near_x
    rows = np.where(hole, np.rint(y + away_y / down), y).clip(0, height - 2).astype(int)
    columns = np.where(hole, np.rint(x + away_x / along), x).clip(0, width - 2).astype(int)
    return rows, columns


def _in_pieces(field: np.ndarray, hole: np.ndarray, radius: int) -> np.ndarray:
    """A field (h, w, 2) in which neighbours in a hole (h, w) are taken from neighbours, if not always from the likest.

    Where a background is plain the same pixel is the likest one for all, and would be seen over and over.
    """
    height, width = hole.shape
    own = np.moveaxis(np.indices(hole.shape), 0, -1)
    away = field - own
    same = np.zeros(hole.shape, int)
    for axis in (0, 1):
        equal = (np.diff(away, axis=axis) == 0).all(-1)
        same += np.pad(equal, [(0, 1 - axis), (0, axis)]) + np.pad(equal, [(1 - axis, 0), (axis, 0)])
    side = 2 * radius + 1  # a patch can be taken wholly
    middle = np.minimum(own // side * side + radius, [height - 1, width - 1])
    row, column = middle[..., 0], middle[..., 1]
    apart = hole & hole[row, column] & (same < len(("of four neighbours", "two")))
    return np.where(apart[..., None], own + away[row, column], field)


def _halved(picture: np.ndarray, hole: np.ndarray, usable: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    height, width = hole.shape
    size = (width + 1) // 2, (height + 1) // 2
    known = (~hole).astype(np.float32)
    share = cv2.resize(known, size, interpolation=cv2.INTER_AREA)
    small = cv2.resize(picture * known[..., None], size, interpolation=cv2.INTER_AREA)
    small = small / np.maximum(share, 1e-6)[..., None]
    taken = cv2.resize(usable.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return small.astype(np.float32), share < 0.5, (taken > 0.99) & (share >= 0.5)


def _sources(hole: np.ndarray, usable: np.ndarray, radius: int) -> np.ndarray:
    """(H, W) bool, the middles of patches of which all can be taken."""
    kernel = np.ones((2 * radius + 1,) * 2, np.uint8)
    free = (usable & ~hole).astype(np.uint8)
    return cv2.erode(free, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0


def _first_field(hole: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """Every pixel from the source that is nearest."""
    rows, columns, _ = nearest_pixels(sources)
    return np.where(hole[..., None], np.stack([rows, columns], -1), _own_places(hole)).astype(np.int32)


def _own_places(hole: np.ndarray) -> np.ndarray:
    return np.moveaxis(np.indices(hole.shape, np.int32), 0, -1)


def _doubled(field: np.ndarray, hole: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """The field of a level of half the size."""
    height, width = hole.shape
    own = _own_places(hole)
    half = own // 2
    coarse = field[half[..., 0], half[..., 1]]
    out = 2 * coarse + own % 2
    out[..., 0] = out[..., 0].clip(0, height - 1)
    out[..., 1] = out[..., 1].clip(0, width - 1)
    lost = ~sources[out[..., 0], out[..., 1]]
    nearest = _first_field(hole, sources)
    return np.where(hole[..., None], np.where(lost[..., None], nearest, out), own).astype(np.int32)


def _sureness(hole: np.ndarray, settings: PatchSettings) -> np.ndarray:
    """(H, W) float32, 1 where the picture is known and less the deeper in its hole: what lies there is only guessed.

    As in the paper, so that a hole is completed from its rim, and not from what its middle has agreed on.
    """
    deep = cv2.distanceTransform(hole.astype(np.uint8), cv2.DIST_L2, 5)
    return np.maximum(settings.sure**-deep, 1 / settings.surest).astype(np.float32)


def _tones(
    guess: np.ndarray, picture: np.ndarray, hole: np.ndarray, settings: PatchSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Mean colours of patches, times the root of what they count: those of the first guess, and of the picture."""
    size, weight = (2 * settings.radius + 1,) * 2, np.float32(settings.tone) ** 0.5
    there = cv2.resize(guess, hole.shape[::-1], interpolation=cv2.INTER_AREA)
    wanted = np.where(hole[..., None], there, picture).astype(np.float32)
    return weight * cv2.blur(wanted, size), weight * cv2.blur(picture, size)


def _costs(hole: np.ndarray) -> np.ndarray:
    return np.zeros(hole.shape, np.float32)


@numba.njit(cache=True, nogil=True, fastmath=True)
def _distance(filled, picture, wanted, means, sure, around, y, x, sy, sx, radius, penalty, limit):
    """Mean squared difference of two patches, weighted, and what distance and tone add; given up above `limit`."""
    height, width = filled.shape[:2]
    total, area = np.float32(0), around[y, x]
    far = penalty * np.float32((y - sy) ** 2 + (x - sx) ** 2)
    for k in range(3):
        far += (wanted[y, x, k] - means[sy, sx, k]) ** 2
    bound = (limit - far) * area
    for dy in range(-radius, radius + 1):
        py = y + dy
        if py < 0 or py >= height:
            continue
        for dx in range(-radius, radius + 1):
            px = x + dx
            if px < 0 or px >= width:
                continue
            square = np.float32(0)
            for k in range(3):
                step = filled[py, px, k] - picture[sy + dy, sx + dx, k]
                square += step * step
            total += sure[py, px] * square
        if total > bound:
            return np.float32(1e12)
    return total / area + far


@numba.njit(cache=True, parallel=True, nogil=True, fastmath=True)
def _measure(filled, picture, wanted, means, field, costs, hole, sure, around, radius, penalty):
    height, width = hole.shape
    for y in numba.prange(height):
        for x in range(width):
            if hole[y, x]:
                sy, sx = field[y, x, 0], field[y, x, 1]
                costs[y, x] = _distance(
                    filled, picture, wanted, means, sure, around, y, x, sy, sx, radius, penalty, np.float32(1e11)
                )


@numba.njit(cache=True, nogil=True, fastmath=True)
def _search(filled, picture, wanted, means, field, costs, hole, sources, sure, around, radius, penalty, number):
    """One pass of PatchMatch, forwards or, where `number` is odd, backwards, in place."""
    height, width = hole.shape
    step = 1 if number % 2 == 0 else -1
    for row in range(height):
        y = row if step > 0 else height - 1 - row
        for column in range(width):
            x = column if step > 0 else width - 1 - column
            if not hole[y, x]:
                continue
            best, by, bx = costs[y, x], field[y, x, 0], field[y, x, 1]
            for i in range(2):
                ny, nx = (y - step, x) if i == 0 else (y, x - step)
                if ny < 0 or ny >= height or nx < 0 or nx >= width:
                    continue
                sy, sx = field[ny, nx, 0] + (y - ny), field[ny, nx, 1] + (x - nx)
                if sy < 0 or sy >= height or sx < 0 or sx >= width or not sources[sy, sx]:
                    continue
                cost = _distance(filled, picture, wanted, means, sure, around, y, x, sy, sx, radius, penalty, best)
                if cost < best:
                    best, by, bx = cost, sy, sx
            reach = max(height, width) // 2
            seed = np.uint32((y * width + x) * 2654435761 + number * 40503 + 12345)
            while reach >= 1:
                seed = np.uint32(seed * np.uint32(1664525) + np.uint32(1013904223))
                sy = by + int((seed >> np.uint32(8)) % np.uint32(2 * reach + 1)) - reach
                seed = np.uint32(seed * np.uint32(1664525) + np.uint32(1013904223))
                sx = bx + int((seed >> np.uint32(8)) % np.uint32(2 * reach + 1)) - reach
                reach //= 2
                if sy < 0 or sy >= height or sx < 0 or sx >= width or not sources[sy, sx]:
                    continue
                cost = _distance(filled, picture, wanted, means, sure, around, y, x, sy, sx, radius, penalty, best)
                if cost < best:
                    best, by, bx = cost, sy, sx
            costs[y, x], field[y, x, 0], field[y, x, 1] = best, by, bx


@numba.njit(cache=True, parallel=True, nogil=True, fastmath=True)
def _vote(filled, picture, hole, field, costs, sure, radius, spread):
    """Every pixel of the hole as the mean of what the patches over it say, those that fit well before others."""
    height, width = hole.shape
    for y in numba.prange(height):
        for x in range(width):
            if not hole[y, x]:
                continue
            total = np.float32(1e-12)
            red, green, blue = np.float32(0), np.float32(0), np.float32(0)
            for dy in range(-radius, radius + 1):
                py = y + dy
                if py < 0 or py >= height:
                    continue
                for dx in range(-radius, radius + 1):
                    px = x + dx
                    if px < 0 or px >= width or not hole[py, px]:
                        continue
                    sy, sx = field[py, px, 0] - dy, field[py, px, 1] - dx
                    weight = sure[py, px] * np.exp(-min(costs[py, px] / spread, np.float32(20)))
                    red += weight * picture[sy, sx, 0]
                    green += weight * picture[sy, sx, 1]
                    blue += weight * picture[sy, sx, 2]
                    total += weight
            filled[y, x, 0], filled[y, x, 1], filled[y, x, 2] = red / total, green / total, blue / total
