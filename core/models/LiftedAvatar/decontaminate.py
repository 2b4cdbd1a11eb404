"""Colour decontamination: the border of the person, freed of the background that shines through it."""

from __future__ import annotations

import numpy as np

from core.libs.nearest import nearest_means
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
    nearest = nearest_means(image, opaque, settings.smoothing * scale)
    share = np.clip(matte / settings.sure_matte, 0, 1)[..., None] ** 2
    return np.where(opaque[..., None], image, image * share + nearest * (1 - share)).astype(np.float32)
