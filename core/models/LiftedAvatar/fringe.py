"""The border of the person, freed of the background that shines through it."""

from __future__ import annotations

import cv2
import numpy as np

_SURE = 0.6  # matte from which on a pixel's colour is the person's own
_SOFT = 2.0  # pixels over which the person's colours are averaged before they are carried outwards


def without_fringe(image: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """The photo (S, S, 3) in 0..1 with the colours of its half-transparent border taken from just inside.

    Else a bright background leaves a rim around the hair that moves with the head.
    """
    sure = matte > _SURE
    if not sure.any():
        return image
    _, label = cv2.distanceTransformWithLabels(
        1 - sure.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    weight = cv2.GaussianBlur(sure.astype(np.float32), (0, 0), _SOFT)
    inner = cv2.GaussianBlur(image * sure[..., None], (0, 0), _SOFT) / np.maximum(weight, 1e-3)[..., None]
    nearest = np.zeros((label.max() + 1, 3), np.float32)
    nearest[label[sure]] = inner[sure]
    own = np.clip(matte / _SURE, 0, 1)[..., None] ** 2
    return np.where(sure[..., None], image, image * own + nearest[label] * (1 - own)).astype(np.float32)
