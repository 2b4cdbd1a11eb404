"""The skin below the lower lip, which a wide opening presses together: it is never folded under the lip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from core.libs.flame_model import topology as topo
from core.models.LiftedAvatar.layers import Photo, Shot
from core.models.LiftedAvatar.settings import ChinSettings

# From the lower lip's outer edge down to the jaw line, column by column, the person's right first.
_COLUMNS = np.array(
    [
        (146, 43, 202, 210, 169, 150),
        (91, 106, 204, 211, 170, 149),
        (181, 182, 194, 32, 140, 176),
        (84, 83, 201, 208, 171, 148),
        (17, 18, 200, 199, 175, 152),
        (314, 313, 421, 428, 396, 377),
        (405, 406, 418, 262, 369, 400),
        (321, 335, 424, 431, 395, 378),
        (375, 273, 422, 430, 394, 379),
    ]
)
_DEFAULT = ChinSettings()


def unfold_chin(
    face: np.ndarray,  # (478, 3) head space
    photo: np.ndarray,  # (478, 3) the same in the photo's expression
    settings: ChinSettings = _DEFAULT,
) -> np.ndarray:
    """The face with its chin lowered where the lower lip would come to lie over it.

    Trackers let the lips part further than the chin goes down, and a driver's lips may part further than a photo's chin
    is long. Skin does not slide under the lip: the jaw goes along.
    """
    y, reference = face[_COLUMNS, 1], photo[_COLUMNS, 1]
    least = settings.least * np.maximum(reference[:, :-1] - reference[:, 1:], 0)
    lowered = y.copy()
    for k in range(1, y.shape[1]):
        lowered[:, k] = np.minimum(y[:, k], lowered[:, k - 1] - least[:, k - 1])
    if (lowered == y).all():
        return face
    out = face.copy()
    out[_COLUMNS, 1] = lowered
    return out


@dataclass(frozen=True)
class ChinLayer:
    """Keeps the chin from folding under the lip.

    Attributes:
        photo: (478, 3) the face in the photo, head space. settings: see `ChinSettings`.
    """

    photo: np.ndarray
    settings: ChinSettings = _DEFAULT

    @classmethod
    def build(cls, photo: Photo) -> tuple[Self, Photo]:
        """Of the face as the photo has it; the photo stays as it is."""
        return cls(photo.in_head[: topo.N_POINTS], photo.settings.chin), photo

    def draw(self, shot: Shot) -> None:
        """Move the face's points."""
        shot.face = unfold_chin(shot.face, self.photo, self.settings)
