"""Colour decontamination: the border of the person, freed of the background that shines through it."""

from __future__ import annotations

import cv2
import numpy as np

from core.models.LiftedAvatar.settings import DecontaminationSettings

_DEFAULT = DecontaminationSettings()


def decontaminate_colors(
    image: np.ndarray,  # (S, S, 3) in 0..1
    matte: np.ndarray,  # (S, S) in 0..1
    scale: float = 1.0,  # pixels of the photo for one of a 512-pixel photo
    settings: DecontaminationSettings = _DEFAULT,
) -> np.ndarray:
    """The photo (S, S, 3) with the colours of its half-transparent border taken from just inside the person.

    Otherwise a bright background leaves a fringe around the hair that moves with the head.
    """
    opaque = matte > settings.sure_matte
    if not opaque.any():
        return image
    _, label = cv2.distanceTransformWithLabels(
        1 - opaque.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    sigma = settings.smoothing * scale
    weight = cv2.GaussianBlur(opaque.astype(np.float32), (0, 0), sigma)
    inner = cv2.GaussianBlur(image * opaque[..., None], (0, 0), sigma) / np.maximum(weight, 1e-3)[..., None]
    nearest = np.zeros((label.max() + 1, 3), np.float32)
    nearest[label[opaque]] = inner[opaque]
    share = np.clip(matte / settings.sure_matte, 0, 1)[..., None] ** 2
    return np.where(opaque[..., None], image, image * share + nearest[label] * (1 - share)).astype(np.float32)
