"""Which known pixel of a picture is nearest to each: what is not known takes over what that one has."""

from __future__ import annotations

import cv2
import numpy as np


def nearest_pixels(known: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows and columns (H, W) of the nearest pixel that is known (H, W) bool, and how far away that is, in pixels.

    A pixel that is known is its own. At least one has to be.
    """
    index, distance = _nearest(known)
    rows, columns = np.divmod(index, known.shape[1])
    return rows, columns, distance


def nearest_values(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(H, W, ...) in which every pixel has the value of the nearest one that is known (H, W) bool."""
    return np.take(values.reshape(known.size, *values.shape[2:]), _nearest(known)[0], 0)


def nearest_means(image: np.ndarray, known: np.ndarray, sigma: float) -> np.ndarray:
    """The same of a picture (H, W, C) averaged over what is known nearby; float32.

    Args:
        sigma: standard deviation of that mean, in pixels.
    """
    weight = cv2.GaussianBlur(known.astype(np.float32), (0, 0), sigma)
    means = cv2.GaussianBlur(image * known[..., None], (0, 0), sigma) / np.maximum(weight, 1e-3)[..., None]
    return nearest_values(means.astype(np.float32), known)


def _nearest(known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which pixel, row by row, is the nearest known one to each, (H, W) int32, and how far away that is."""
    distance, label = cv2.distanceTransformWithLabels(
        1 - known.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    places, own = np.zeros(known.size + 1, np.int32), np.flatnonzero(known).astype(np.int32)
    places[label.ravel()[own]] = own
    return places[label], distance
