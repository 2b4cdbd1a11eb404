"""The skin below the lower lip, never folded under it by a wide opening, nor stretched there alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from core.libs.flame_model import topology as topo
from core.models.LiftedAvatar.layers import Photo, Shot
from core.models.LiftedAvatar.settings import ChinSettings

# From the lower lip's outer edge down to the jaw line, column by column, the person's right first.
COLUMNS = np.array(
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
    y, reference = face[COLUMNS, 1], photo[COLUMNS, 1]
    least = settings.least * np.maximum(reference[:, :-1] - reference[:, 1:], 0)
    lowered = y.copy()
    for k in range(1, y.shape[1]):
        lowered[:, k] = np.minimum(y[:, k], lowered[:, k - 1] - least[:, k - 1])
    if (lowered == y).all():
        return face
    out = face.copy()
    out[COLUMNS, 1] = lowered
    return out


def spread_chin(
    face: np.ndarray,  # (478, 3) head space
    photo: np.ndarray,  # (478, 3) the same in the photo's expression
    settings: ChinSettings = _DEFAULT,
) -> np.ndarray:
    """The face with the stretch of the skin right below the lower lip spread over the chin; lip and jaw line stay.

    A lip that is pulled up takes only the nearest points along, and what the photo has there is the lip's own edge,
    which would be smeared. No points of a column are farther apart, over the photo, than `most`, or than the column as
    a whole is.
    """
    y, reference = face[COLUMNS, 1], photo[COLUMNS, 1]
    gaps = np.maximum(reference[:, :-1] - reference[:, 1:], 0)
    whole = (y[:, 0] - y[:, -1]) / np.maximum(reference[:, 0] - reference[:, -1], 1e-6)
    most = np.maximum(settings.most, whole)[:, None] * gaps
    raised = y.copy()
    for k in range(1, y.shape[1] - 1):
        raised[:, k] = np.maximum(y[:, k], raised[:, k - 1] - most[:, k - 1])
    if (raised == y).all():
        return face
    out = face.copy()
    out[COLUMNS, 1] = raised
    return out


def chin_triangles(triangles: np.ndarray) -> np.ndarray:
    """(N, 3) those of a mesh's triangles (F, 3) that lie between the lower lip's outer edge and the jaw line."""
    return triangles[np.isin(triangles, COLUMNS).all(1) & ~np.isin(triangles, COLUMNS[:, 0]).all(1)]


def unflip_chin(
    face: np.ndarray,  # (478, 3) head space
    photo: np.ndarray,  # (478, 3) the same in the photo's expression
    triangles: np.ndarray,  # (N, 3) see `chin_triangles`
    settings: ChinSettings = _DEFAULT,
) -> np.ndarray:
    """The face with the chin's skin moved aside where a lip that is pulled sideways would come to lie over it.

    Seen from the front every triangle keeps its side and a share of its area: constraints on areas, solved by position
    based dynamics (Mueller et al. 2007); the lip stays where it is.
    """
    reference, _ = _areas(photo[triangles, :2])
    sign, least = np.sign(reference), settings.least_area * np.abs(reference)
    if (sign * _areas(face[triangles, :2])[0] >= least).all():
        return face
    place = face[:, :2].astype(np.float64)
    free = np.zeros(len(face))
    free[COLUMNS[:, 1:-1]], free[COLUMNS[:, -1]] = 1.0, settings.jaw_moves
    count = np.maximum(np.bincount(triangles.ravel(), minlength=len(face)), 1)[:, None]
    for _ in range(settings.rounds):
        area, slope = _areas(place[triangles])
        lacks = np.maximum(least - sign * area, 0)
        weight = free[triangles]
        give = lacks * sign / np.maximum((weight[..., None] * slope**2).sum((1, 2)), 1e-9)
        step = np.zeros_like(place)
        np.add.at(step, triangles, weight[..., None] * give[:, None, None] * slope)
        place += settings.overrelaxed * step / count
    out = face.copy()
    out[:, :2] = place
    return out


def _areas(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Signed areas (N,) of triangles (N, 3, 2), and their gradients (N, 3, 2)."""
    opposite = np.roll(corners, -2, 1) - np.roll(corners, -1, 1)
    slope = np.stack([-opposite[..., 1], opposite[..., 0]], -1) / 2
    return (slope * corners).sum((1, 2)) / 2, slope


@dataclass(frozen=True)
class ChinLayer:
    """Keeps the chin from folding under the lip, and its stretch from smearing the lip's edge.

    Attributes:
        photo: (478, 3) the face in the photo, head space. triangles: (N, 3) of the chin. settings: see `ChinSettings`.
    """

    photo: np.ndarray
    triangles: np.ndarray
    settings: ChinSettings = _DEFAULT

    @classmethod
    def build(cls, photo: Photo) -> tuple[Self, Photo]:
        """Of the face as the photo has it; the photo stays as it is."""
        triangles = chin_triangles(photo.mesh.triangles)
        return cls(photo.in_head[: topo.N_POINTS], triangles, photo.settings.chin), photo

    def draw(self, shot: Shot) -> None:
        """Move the face's points."""
        face = spread_chin(unfold_chin(shot.face, self.photo, self.settings), self.photo, self.settings)
        shot.face = unflip_chin(face, self.photo, self.triangles, self.settings)
