"""Where an iris ends in a photo: the limbus, the border between it and the white."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np

from core.models.LiftedAvatar.eye_settings import EyeSettings


@dataclass(frozen=True)
class Limbus:
    """How clear circles near a tracker's iris are, by radius (R,) and shift of the centre (S, 2), over the tracker's.

    The circle across which the picture brightens most (the integro-differential operator of Daugman, PAMI 1993), on the
    arcs left and right that lids do not hide. Brightness is the weakest of the three channels: the white has all of
    them, a blue iris and skin have not, so that neither the pupil in the one nor the other beside the eye passes for
    the border.

    Attributes:
        score: (S, R) rise of brightness across a tenth of the radius, less for what is farther from the tracker's.
    """

    radii: np.ndarray
    shifts: np.ndarray
    score: np.ndarray

    @classmethod
    def search(
        cls,
        image: np.ndarray,  # (S, S, 3)
        lids: np.ndarray,  # (h, w) how much of the pixels of the window `box` is between the lids
        box: tuple[int, int, int, int],
        centre: np.ndarray,  # (2,) the tracker's
        radius: float,
        settings: EyeSettings,
    ) -> Self:
        """Of the circles near one."""
        angles = np.radians(np.concatenate([np.arange(-40, 41, 8), np.arange(140, 221, 8)]))
        radii = np.arange(0.7, 2.05, 0.05)
        half = len(angles) // 2
        around = np.stack([np.cos(angles), np.sin(angles)], -1)  # (A, 2)
        shifts = np.array([(0.12 * i, 0.12 * j) for i in range(-3, 4) for j in range(-1, 2)])
        places = centre + radius * (shifts[:, None, None] + radii[:, None, None] * around)  # (S, R, A, 2)
        flat = places.reshape(len(shifts), -1, 2).astype(np.float32) - np.float32(box[:2])
        grey = image[box[1] : box[3], box[0] : box[2]].min(2)
        values = cv2.remap(grey, flat, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        inside = cv2.remap(lids, flat, None, cv2.INTER_LINEAR).reshape(places.shape[:-1])
        values = values.reshape(places.shape[:-1])
        weight = np.minimum(inside[:, 2:], inside[:, :-2])
        # A circle through the border on one side and the pupil on the other is none: the weaker side counts as well.
        arcs = (values[:, 2:] - values[:, :-2]) * weight, weight
        rises, weights = (np.stack([a[..., :half], a[..., half:]], -1).sum(-2) for a in arcs)  # (S, R, 2 sides)
        mean = rises.sum(-1) / np.maximum(weights.sum(-1), 1e-6)
        seen = (weights > settings.limbus_side * half).all(-1)
        weaker = np.where(seen, (rises / np.maximum(weights, 1e-6)).min(-1), mean)
        rise = (mean + weaker) / 2
        rise[weights.sum(-1) < 0.3 * len(angles)] = 0
        # Beyond the border is the white, on both sides; beyond the pupil and a highlight is more iris.
        beyond = (values[:, 2:] * weight).sum(-1) / np.maximum(weight.sum(-1), 1e-6)
        white = np.quantile(grey[lids > 0.9], settings.limbus_white) if (lids > 0.9).any() else 1.0
        whiteness = np.clip(beyond / max(float(white), 1e-6), 0, 1) ** 2
        # Of two clear ones the nearer.
        near = np.exp(-np.square(shifts).sum(-1) / (2 * settings.limbus_near**2))[:, None] * (
            1 - 0.3 * np.abs(radii[1:-1] - 1.1)
        )
        score = cv2.GaussianBlur(rise, (3, 1), 0) * whiteness * near
        return cls(radii[1:-1], shifts, score)

    def centre(self, grown: float, least_rise: float) -> np.ndarray:
        """The shift (2,) of the clearest circle of a radius; none where it is not clear."""
        scores = self.score[:, np.abs(self.radii - grown).argmin()]
        return self.shifts[scores.argmax()] if scores.max() >= least_rise else np.zeros(2)


def common_size(limbi: list[Limbus], least_rise: float) -> float:
    """The one radius of both irises, over the tracker's: the clearest of both together; 1 where none is clear."""
    best = [limbus.score.max(0) for limbus in limbi if limbus.score.max() >= least_rise]
    return float(limbi[0].radii[np.sum(best, 0).argmax()]) if best else 1.0
