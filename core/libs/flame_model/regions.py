"""Which part of the face each vertex of a head belongs to, without a mask file: by its distance to the landmarks.

For the open head the split of the expression code into regions is true by construction; for FLAME, whose directions
are global, it has to be read off what each direction moves, and that needs to know where the regions are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.libs.flame_model.flame import FLAMEModel
from core.libs.flame_model.topology import LANDMARKS_68

# Chains of the 68 landmarks, closed where they end as they begin.
_CHAINS = {
    "eyes": ((36, 37, 38, 39, 40, 41, 36), (42, 43, 44, 45, 46, 47, 42)),
    "mouth": ((48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 48), (60, 61, 62, 63, 64, 65, 66, 67, 60)),
    "brows": ((17, 18, 19, 20, 21), (22, 23, 24, 25, 26)),
    "nose": ((27, 28, 29, 30, 33), (31, 32, 33, 34, 35), (31, 30, 35)),
}
# A cheek lies between the jaw line and a nostril or a corner of the mouth: pairs of landmarks.
_ACROSS_CHEEKS = (
    *((1, 31), (2, 31), (3, 31), (4, 48), (5, 48), (6, 48), (7, 58), (8, 57)),
    *((15, 35), (14, 35), (13, 35), (12, 54), (11, 54), (10, 54), (9, 56)),
)


@dataclass(frozen=True)
class RegionSettings:
    """How far regions reach; all by eye.

    Attributes:
        eyes, mouth, brows, nose, cheeks: how far a region reaches, the deviation of a Gaussian of the distance in
            widths of the face.
        across: where a cheek's lines have points, from the jaw line (0) inwards (1 is the other end).
        link_points: how many points stand for a link of a chain.
        least: smaller weights are 0.
        sharpness: the power of its weight with which a region competes for a vertex that is in reach of two.
    """

    eyes: float = 0.07
    mouth: float = 0.10
    brows: float = 0.085
    nose: float = 0.07
    cheeks: float = 0.14
    across: tuple[float, ...] = (0.0, 0.25, 0.5)
    link_points: int = 5
    least: float = 0.02
    sharpness: int = 4


def face_regions(head: FLAMEModel, settings: RegionSettings | None = None) -> dict[str, np.ndarray]:
    """How far each vertex belongs to the eyes, mouth, brows, nose and cheeks (jaw line included) of a head.

    Weights (V,) float32 in 0..1 by name, from the template. Those of a vertex sum to 1 at most; skull, neck and
    eyeballs belong to none. ValueError where a head has no landmarks.
    """
    from scipy.spatial import cKDTree  # a run that finds photo and driver in the cache does without it

    s = settings or RegionSettings()
    template = head.template.numpy().astype(np.float64)
    marks = head.landmarks(template)[list(LANDMARKS_68)].astype(np.float64)
    width = np.linalg.norm(marks[16] - marks[0])
    skin = head.weights[:, 3:].sum(1).numpy() < 0.5
    windows = {}
    reaches = {"eyes": s.eyes, "mouth": s.mouth, "brows": s.brows, "nose": s.nose, "cheeks": s.cheeks}
    for name, reach in reaches.items():
        if name == "cheeks":
            points = _cheeks(marks, template[skin], s.across)
        else:
            points = _chain_points(marks, _CHAINS[name], s.link_points)
        distance, _ = cKDTree(points).query(template)
        window = np.exp(-0.5 * (distance / (reach * width)) ** 2) * skin
        windows[name] = np.where(window < s.least, 0, window)
    # A vertex in reach of two regions belongs to the nearer one by far the more: lips are no cheeks.
    total = np.maximum(sum(window**s.sharpness for window in windows.values()), 1e-12)
    return {name: (window ** (1 + s.sharpness) / total).astype(np.float32) for name, window in windows.items()}


def _chain_points(marks: np.ndarray, chains: tuple[tuple[int, ...], ...], link_points: int) -> np.ndarray:
    """Points (N, 3) along chains of landmarks (68, 3)."""
    part = np.linspace(0, 1, link_points)[:, None, None]
    out = []
    for chain in chains:
        places = marks[list(chain)]
        out.append((places[:-1] + part * (places[1:] - places[:-1])).reshape(-1, 3))
    return np.concatenate(out)


def _cheeks(marks: np.ndarray, skin: np.ndarray, across: tuple[float, ...]) -> np.ndarray:
    """Points (N, 3) of the cheeks: the skin (V, 3) nearest to straight lines through them."""
    from scipy.spatial import cKDTree

    start, end = (marks[list(side)] for side in zip(*_ACROSS_CHEEKS, strict=True))
    part = np.array(across)[:, None, None]
    _, nearest = cKDTree(skin).query((start + part * (end - start)).reshape(-1, 3))
    return skin[nearest]
