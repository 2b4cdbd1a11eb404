"""Holes filled along the lines that run into them: a first guess for what is completed patch by patch.

Bornemann and Maerz (Fast image inpainting based on coherence transport, 2007): from its rim inwards every pixel is the
mean of what is known near it, weighted by how well it lies in the direction in which the picture changes least; that
direction is the structure tensor's, and is carried inwards with the colours. Where nothing has a direction, the mean is
the same on all sides.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numba
import numpy as np

from core.libs.numeric import over_channels


@dataclass(frozen=True)
class CoherenceSettings:
    """How a hole is filled along lines. By eye, on the backgrounds of portraits.

    Attributes:
        radius: pixels around one that tell its colour.
        sharp: how much less one counts that lies aside of the direction, as the exponent over a pixel squared.
        window: standard deviation over which directions are averaged, pixels.
        least: squared grey levels a pixel of change, from which on there is a direction.
    """

    radius: int = 4
    sharp: float = 4.0
    window: float = 2.0
    least: float = 4.0


_DEFAULT = CoherenceSettings()


def fill_along(
    picture: np.ndarray,  # (H, W, 3) float32, grey levels
    hole: np.ndarray,  # (H, W) bool
    settings: CoherenceSettings = _DEFAULT,
) -> np.ndarray:
    """The picture (H, W, 3) with its hole filled; as it is where there is nothing else."""
    if hole.all() or not hole.any():
        return picture.copy()
    away = cv2.distanceTransform(hole.astype(np.uint8), cv2.DIST_L2, 5)
    rows, columns = np.nonzero(hole)
    order = np.argsort(away[rows, columns], kind="stable")
    filled = picture.copy()
    tensor = _tensor(picture, hole, settings.window)
    _fill(filled, tensor, ~hole, rows[order], columns[order], settings.radius, settings.sharp, settings.least)
    return filled


def _tensor(picture: np.ndarray, hole: np.ndarray, sigma: float) -> np.ndarray:
    """(H, W, 3) float32: xx, xy and yy of the structure tensor of what is known, averaged over what is known nearby."""
    sure = cv2.erode((~hole).astype(np.uint8), np.ones((3, 3)), borderType=cv2.BORDER_REPLICATE).astype(np.float32)
    across, down = (cv2.Sobel(picture, cv2.CV_32F, *axis, scale=1 / 8) for axis in ((1, 0), (0, 1)))
    products = across**2, across * down, down**2
    parts = np.stack([over_channels(np.add, part) for part in products], -1) * sure[..., None]
    share = np.maximum(cv2.GaussianBlur(sure, (0, 0), sigma), 1e-6)
    return cv2.GaussianBlur(parts, (0, 0), sigma) / share[..., None]


@numba.njit(cache=True, nogil=True)
def _fill(filled, tensor, known, rows, columns, radius, sharp, least):
    """In place, in the order of the pixels; `known` grows by each."""
    height, width = known.shape
    for index in range(len(rows)):
        y, x = rows[index], columns[index]
        # The directions around, as far as they are known; they count by how near they are
        xx, xy, yy, count = 0.0, 0.0, 0.0, 0.0
        for dy in range(-radius, radius + 1):
            for dx in range(-radius, radius + 1):
                py, px = y + dy, x + dx
                if 0 <= py < height and 0 <= px < width and known[py, px]:
                    weight = 1.0 / (dy * dy + dx * dx)
                    xx += weight * tensor[py, px, 0]
                    xy += weight * tensor[py, px, 1]
                    yy += weight * tensor[py, px, 2]
                    count += weight
        if count == 0.0:
            continue
        xx, xy, yy = xx / count, xy / count, yy / count
        # Across the lines: the eigenvector of the greater eigenvalue; how sure, by how much that is the greater
        apart = np.sqrt((xx - yy) ** 2 + 4 * xy * xy)
        angle = 0.5 * np.arctan2(2 * xy, xx - yy)
        nx, ny = np.cos(angle), np.sin(angle)
        strength = sharp * apart / (xx + yy + least)
        red, green, blue, total = 0.0, 0.0, 0.0, 0.0
        for dy in range(-radius, radius + 1):
            for dx in range(-radius, radius + 1):
                py, px = y + dy, x + dx
                if 0 <= py < height and 0 <= px < width and known[py, px]:
                    aside = nx * dx + ny * dy
                    weight = np.exp(-strength * aside * aside) / np.sqrt(float(dy * dy + dx * dx)) + 1e-9
                    red += weight * filled[py, px, 0]
                    green += weight * filled[py, px, 1]
                    blue += weight * filled[py, px, 2]
                    total += weight
        filled[y, x, 0], filled[y, x, 1], filled[y, x, 2] = red / total, green / total, blue / total
        tensor[y, x, 0], tensor[y, x, 1], tensor[y, x, 2] = xx, xy, yy
        known[y, x] = True
