"""Which known pixel of a picture is nearest to each: what is not known takes over what that one has."""

from __future__ import annotations

import cv2
import numpy as np


def nearest_pixels(known: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows and columns (H, W) of the nearest pixel that is known (H, W) bool, and how far away that is, in pixels.

    A pixel that is known is its own. At least one has to be.
    """
    distance, label = cv2.distanceTransformWithLabels(
        1 - known.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    places = np.zeros((label.max() + 1, 2), np.int64)
    places[label[known]] = np.argwhere(known)
    rows, columns = np.moveaxis(places[label], -1, 0)
    return rows, columns, distance


def nearest_values(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(H, W, ...) in which every pixel has the value of the nearest one that is known (H, W) bool."""
    rows, columns, _ = nearest_pixels(known)
    return values[rows, columns]


def nearest_means(image: np.ndarray, known: np.ndarray, sigma: float) -> np.ndarray:
    """The same of a picture (H, W, C) averaged over what is known nearby; float32.

    Args:
        sigma: standard deviation of that mean, in pixels.
    """
    weight = cv2.GaussianBlur(known.astype(np.float32), (0, 0), sigma)
    means = cv2.GaussianBlur(image * known[..., None], (0, 0), sigma) / np.maximum(weight, 1e-3)[..., None]
    return nearest_values(means.astype(np.float32), known)
