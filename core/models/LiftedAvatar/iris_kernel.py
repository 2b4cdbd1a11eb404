"""The compiled kernel that paints one iris, in one pass over the window of its lids."""

from __future__ import annotations

import math

import numba
import numpy as np


@numba.njit(cache=True, nogil=True, error_model="numpy")
def paint_iris(
    image: np.ndarray,  # (H, W, C >= 3) float32, in place
    x0: int,  # of the window in the picture
    y0: int,
    lids: np.ndarray,  # (h, w) float32: how much of each pixel of the window lies between them
    around: np.ndarray,  # (n, n, 3) float32, see `Iris`
    texture: np.ndarray,  # (n, n, 3) float32
    moved: float,  # 0 where the photo's surroundings are drawn, 1 for the texture
    centre: np.ndarray,  # (2,) in the picture
    to_photo: np.ndarray,  # (2, 2) what takes a row of the picture's offsets from the centre to the photo's
    radius: float,  # in the photo
    inner: float,  # radii at which the disc begins to fade
    outer: float,  # and at which it ends
    left: float,  # of all of it, 0 to 1
) -> None:
    """Lay an iris over a picture as far as its disc and the lids let it be seen.

    Sampled as OpenCV's `remap` does: bilinear, at positions in 1/32 pixel, with repeated borders.
    """
    one, zero = np.float32(1), np.float32(0)
    step, share, all_of_it = np.float32(1 / 32), np.float32(moved), np.float32(left)
    rest = one - share
    a, b, c, d = to_photo.astype(np.float32).ravel()
    middle_x, middle_y = np.float32(centre[0]), np.float32(centre[1])
    size, begin, width = np.float32(radius), np.float32(inner), np.float32(outer - inner)
    last = len(texture) - 1
    half = np.float32(last / 2)
    for i in range(lids.shape[0]):
        y = np.float32(y0 + i) - middle_y
        for j in range(lids.shape[1]):
            if lids[i, j] <= zero:
                continue
            x = np.float32(x0 + j) - middle_x
            u, v = x * a + y * c, x * b + y * d
            t = min(max((math.sqrt(u * u + v * v) / size - begin) / width, zero), one)
            alpha = (one - t * t * (np.float32(3) - np.float32(2) * t)) * lids[i, j] * all_of_it
            if alpha <= zero:
                continue
            across, down = int(np.rint((u + half) * np.float32(32))), int(np.rint((v + half) * np.float32(32)))
            fu, fv = np.float32(across & 31) * step, np.float32(down & 31) * step
            west, east = min(max(across >> 5, 0), last), min(max((across >> 5) + 1, 0), last)
            above, below = min(max(down >> 5, 0), last), min(max((down >> 5) + 1, 0), last)
            for k in range(3):
                colour = (
                    (rest * around[above, west, k] + share * texture[above, west, k]) * ((one - fv) * (one - fu))
                    + (rest * around[above, east, k] + share * texture[above, east, k]) * ((one - fv) * fu)
                    + (rest * around[below, west, k] + share * texture[below, west, k]) * (fv * (one - fu))
                    + (rest * around[below, east, k] + share * texture[below, east, k]) * (fv * fu)
                )
                image[y0 + i, x0 + j, k] += alpha * (colour - image[y0 + i, x0 + j, k])
