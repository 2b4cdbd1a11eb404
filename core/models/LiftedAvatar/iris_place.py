"""Where an iris is drawn in its eye: a gaze that is carried over must not lose it at a corner or behind a lid.

Compiled: of an eye's few points numpy's calls take longer than the sums. Points are (x, y) float64 in pixels; a ring
is (16, 2), begins at the outer corner and runs over the upper lid, see `face_measures.contour_ratio`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np


class IrisPlace(NamedTuple):
    """An iris in a picture.

    Attributes:
        contour: (16, 2) of what the lids leave to be seen. centre: (2,).
        to_photo: (2, 2) what takes a row of the picture's offsets from the centre to the photo's.
        off: radii that it is away from its place in the photo. gap: pixels between the lids.
    """

    contour: np.ndarray
    centre: np.ndarray
    to_photo: np.ndarray
    off: float
    gap: float


@numba.njit(cache=True, nogil=True)
def across_corners(ring: np.ndarray) -> tuple[np.ndarray, float]:
    """The compiled twin of `face_measures.across_corners`."""
    x, y = ring[8, 0] - ring[0, 0], ring[8, 1] - ring[0, 1]
    width = math.sqrt(x * x + y * y)
    unit = (1.0 if x > 0 else -1.0) / max(width, 1e-6)
    return np.array([-unit * y, unit * x]), width


@numba.njit(cache=True, nogil=True)
def corner_axes(ring: np.ndarray) -> np.ndarray:
    """(2, 2) unit vectors along and across the corners of a ring."""
    down, _ = across_corners(ring)
    return np.array([[down[1], -down[0]], [down[0], down[1]]])


@numba.njit(cache=True, nogil=True)
def place_in_eye(centre: np.ndarray, ring: np.ndarray) -> tuple[np.ndarray, float]:
    """A point (2,) from the middle of an eye's corners along and across their line, over its width; and the width."""
    down, width = across_corners(ring)
    x, y = centre[0] - (ring[0, 0] + ring[8, 0]) / 2, centre[1] - (ring[0, 1] + ring[8, 1]) / 2
    return np.array([x * down[1] - y * down[0], x * down[0] + y * down[1]]) / max(width, 1e-6), width


@numba.njit(cache=True, nogil=True)
def between_corners(centre: np.ndarray, ring: np.ndarray, margin: float) -> np.ndarray:
    """A point (2,) moved along the line of an eye's corners until it is `margin` pixels inside them."""
    x, y = ring[8, 0] - ring[0, 0], ring[8, 1] - ring[0, 1]
    width = math.sqrt(x * x + y * y)
    if width < 2 * margin + 1e-6:
        return centre.copy()
    along = ((centre[0] - ring[0, 0]) * x + (centre[1] - ring[0, 1]) * y) / width
    move = (min(max(along, margin), width - margin) - along) / width
    return np.array([centre[0] + move * x, centre[1] + move * y])


@numba.njit(cache=True, nogil=True)
def between_lids(
    centre: np.ndarray,
    contour: np.ndarray,
    ring: np.ndarray,
    own: float,
    opening: float,
    radius: float,
    seen: float,
    closing: tuple[float, float],
) -> np.ndarray:
    """A point (2,) moved across the line of an eye's corners until lids that are open hide no more of its iris than
    half, or than the photo's hide: a gaze carried over would lose it behind lids that open less than the driver's.

    Behind closing lids it stays where it is.

    Args:
        centre: pixels. contour: (16, 2) of the lids as they are drawn. ring: as tracked. radius: of the iris.
        own: how far below the line of the corners it is in the photo, over the width of the eye. opening: of the lids
            there, the same.
        seen, closing: see `EyeSettings`.
    """
    down, width = across_corners(ring)
    middle = (ring[0] + ring[8]) / 2
    x, y = contour[:, 0] - middle[0], contour[:, 1] - middle[1]
    along, across = x * down[1] - y * down[0], x * down[0] + y * down[1]
    x0, y0 = centre[0] - middle[0], centre[1] - middle[1]
    at, there = x0 * down[1] - y0 * down[0], x0 * down[0] + y0 * down[1]
    upper = _height_at(at, along[:9], across[:9])
    lower = _height_at(at, np.append(along[8:], along[:1]), np.append(across[8:], across[:1]))
    hidden, own = (1 - seen) * radius, own * width
    kept = min(max(there, min(upper - hidden, own)), max(lower + hidden, own))
    opened = _smoothstep(_lid_ratio(ring) / max(opening, 1e-6), closing[0], closing[1])
    return centre + opened * (kept - there) * down


@numba.njit(cache=True, nogil=True)
def place_iris(
    ring: np.ndarray,  # (16, 2) the lids' in the picture
    points: np.ndarray,  # (5, 2) the iris's, its centre first
    drop: np.ndarray,  # (16,), of `Iris`, as the next six
    beside: np.ndarray,  # (2,)
    place: np.ndarray,  # (2,)
    axes: np.ndarray,  # (2, 2)
    grown: float,
    room: float,
    opening: float,
    inside: float,  # of `EyeSettings`, as all that follows
    seen: float,
    least_axis: float,
    lashes: float,
    closing: tuple[float, float],
) -> IrisPlace:
    """Where a picture's points have an iris of the photo."""
    contour = _lidded(ring, drop, opening, lashes, closing)
    middle = np.array([points[:, 0].mean(), points[:, 1].mean()])
    tracked = 0.0
    for k in range(1, 5):
        tracked += math.hypot(points[k, 0] - middle[0], points[k, 1] - middle[1]) / 4
    radius = tracked * grown
    to_corners = corner_axes(ring)
    centre = middle + tracked * (beside[0] * to_corners[0] + beside[1] * to_corners[1])
    centre = between_corners(centre, ring, min(inside, room) * radius)
    centre = between_lids(centre, contour, ring, place[1], opening, radius, seen, closing)
    # From the ellipse of the border points to the photo's.
    border = np.stack((points[1] - points[3], points[2] - points[4])) / 2
    to_photo = _to_photo(border, axes, least_axis)
    now, width = place_in_eye(centre, ring)
    off = math.hypot(now[0] - place[0], now[1] - place[1]) * width / max(radius, 1e-3)
    return IrisPlace(contour, centre, to_photo, off, _lid_ratio(contour) * width)


@numba.njit(cache=True, nogil=True)
def _smoothstep(value: float, low: float, high: float) -> float:
    """`core.libs.numeric.smoothstep` of a plain number."""
    t = min(max((value - low) / (high - low), 0.0), 1.0)
    return t * t * (3 - 2 * t)


@numba.njit(cache=True, nogil=True)
def _lid_ratio(ring: np.ndarray) -> float:
    """The compiled twin of `face_measures.contour_ratio`."""
    down, width = across_corners(ring)
    gap = 0.0
    for k in range(7):
        gap += (ring[9 + k, 0] - ring[1 + k, 0]) * down[0] + (ring[9 + k, 1] - ring[1 + k, 1]) * down[1]
    return gap / 7 / max(width, 1e-6)


@numba.njit(cache=True, nogil=True)
def _height_at(at: float, along: np.ndarray, across: np.ndarray) -> float:
    """Of a lid's points (9,) in any order, linear between them and constant beyond."""
    order = np.argsort(along, kind="mergesort")
    return float(np.interp(at, along[order], across[order]))


@numba.njit(cache=True, nogil=True)
def _lidded(
    ring: np.ndarray, drop: np.ndarray, opening: float, lashes: float, closing: tuple[float, float]
) -> np.ndarray:
    """What the lids of a ring leave to be seen of an iris, itself a contour (16, 2).

    Of a closing eye: the upper lashes hang over it, no lower than the lower lid, and what lies below the tracker's
    lower lid is skin, as `lids` has it.
    """
    down, width = across_corners(ring)
    opened = _smoothstep(_lid_ratio(ring) / max(opening, 1e-6), closing[0], closing[1])
    out = ring.copy()
    for k in range(16):
        out[k] += opened * drop[k] * width * down
    for k in range(1, 8):
        gap = (out[16 - k, 0] - out[k, 0]) * down[0] + (out[16 - k, 1] - out[k, 1]) * down[1]
        out[k] += min(lashes * width * (1 - opened), max(gap, 0.0)) * down
    return out


@numba.njit(cache=True, nogil=True)
def _turned(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The singular values (2,) of a matrix (2, 2), greatest first, and its right and left singular vectors as rows.

    By the angle that diagonalises matrix' matrix (Jacobi).
    """
    a, b, c, d = matrix[0, 0], matrix[0, 1], matrix[1, 0], matrix[1, 1]
    angle = math.atan2(2 * (a * b + c * d), a * a + c * c - b * b - d * d) / 2
    right = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    left, sizes = np.empty((2, 2)), np.empty(2)
    for k in range(2):
        x, y = a * right[k, 0] + b * right[k, 1], c * right[k, 0] + d * right[k, 1]
        sizes[k] = math.hypot(x, y)
        if sizes[k] > 1e-9 * sizes[0]:
            left[k] = np.array([x, y]) / sizes[k]
        else:  # square to the first one
            left[k] = np.array([-left[0, 1], left[0, 0]]) if k else right[k]
    return sizes, right, left


@numba.njit(cache=True, nogil=True)
def _to_photo(axes: np.ndarray, of_photo: np.ndarray, least: float) -> np.ndarray:
    """(2, 2) what takes places (N, 2) on an ellipse with these axes, from its centre, to the photo's.

    The ellipse is at most as narrow as `least` of its length: one that has turned into the corner is still an iris.
    """
    from_photo, out = np.zeros((2, 2)), np.zeros((2, 2))
    sizes, right, left = _turned(of_photo)
    for k in range(2):
        if sizes[k] > 1e-2 * sizes[0]:
            for i in range(2):
                from_photo[i] += right[k, i] / sizes[k] * (left[k, 0] * axes[0] + left[k, 1] * axes[1])
    sizes, right, left = _turned(from_photo)
    for k in range(2):
        size = max(sizes[k], max(least * sizes[0], 1e-3))
        for i in range(2):
            out[i] += right[k, i] / size * left[k]
    return out
