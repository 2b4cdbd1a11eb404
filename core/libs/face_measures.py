"""How far a mouth and eyes are open, by the tracker's points: every definition in use, once.

They differ where they must: a height along the head's vertical, which is negative when lips cross, is not a distance,
which never is; a distance can be measured in a picture, a height cannot. `points` are (478, 3) in head space (+y up)
where nothing else is said. Lid measures are eye aspect ratios: the distance of the lids over the eye's width
(Soukupova and Cech, CVWW 2016).

Not here: the metrics' own copies (`core.evaluation.points`), which must not share an error with what they measure;
the openings as functions of expression codes (`core.libs.retargeting.openings`); and the eye enhancer's, which is
worked out of six points in Python's numbers, for speed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from core.libs import numeric
from core.libs.flame_model import topology as topo
from core.libs.flame_model.openings import Pairs

if TYPE_CHECKING:
    from torch import Tensor

# Of left, then right eye: corners and pairs of lid points among those that iBUG's 68 have too.
CORNERS_68 = ((362, 263), (33, 133))
LIDS_68 = (((385, 380), (387, 373)), ((160, 144), (158, 153)))


def opening_height(points: np.ndarray, pairs: Pairs = topo.LIP_PAIRS) -> np.floating:
    """How far the upper points of pairs lie above the lower ones, the mean of all; negative where they cross.

    Without `pairs` the lips' inner rims at three places. In the unit and the type of the points.
    """
    upper, lower = np.array(pairs).T
    return (points[upper, 1] - points[lower, 1]).sum() / len(upper)


def lip_distance(points: np.ndarray) -> float:
    """The mean distance of the inner lips at the same three places, of points (478, 2) or (478, 3) of any space."""
    return float(np.mean([np.linalg.norm(points[a] - points[b]) for a, b in topo.LIP_PAIRS]))


def lid_ratio(points: np.ndarray) -> np.ndarray:  # (..., 478, 2..3) to (..., 2)
    """Mean distance of three pairs of lid points over the eye's width, left then right, in any space."""
    out = []
    for side in ("left", "right"):
        upper, lower = np.array(topo.EYE_PAIRS[side]).T
        gaps = np.linalg.norm(points[..., upper, :] - points[..., lower, :], axis=-1).mean(-1)
        inner, outer = topo.EYE_CORNERS[side]
        out.append(gaps / np.linalg.norm(points[..., inner, :] - points[..., outer, :], axis=-1))
    return np.stack(out, -1)


def signed_lid_ratio(points: np.ndarray) -> np.ndarray:  # (478, 3) to (2,)
    """Mean height of three pairs of lid points over the eye's width, right then left; negative where the lids crossed.

    As the openings that retargeting sets, it does not see how far an upper point lies beside its lower one: of lids
    that are nearly shut that is most of their distance, and not the same in both eyes.
    """
    out = []
    for side in ("right", "left"):
        corner, other = (points[i] for i in topo.EYE_CORNERS[side])
        out.append(opening_height(points, topo.EYE_PAIRS[side]) / np.linalg.norm(corner - other))
    return np.array(out)


def lid_ratio_68(points: Tensor) -> Tensor:  # (..., 478, 3) to (..., 2)
    """As `lid_ratio`, by the two pairs of lid points that iBUG's 68 landmarks have: those that every head knows."""
    lids = points[..., LIDS_68, :]  # (..., eye, pair, lid, 3)
    corners = points[..., CORNERS_68, :]
    gap = (lids[..., 0, :] - lids[..., 1, :]).norm(dim=-1).mean(-1)
    return gap / (corners[..., 0, :] - corners[..., 1, :]).norm(dim=-1).clamp_min(1e-9)


def contour_ratio(contour: np.ndarray) -> float:  # (16, 2)
    """How far the middles of an eye's lids are apart across its corners, over its width, in a picture.

    The contour begins at the outer corner and runs over the upper lid. Negative where the lids crossed.
    """
    down, width = across_corners(contour)
    return float((contour[9:].sum(0) / 7 - contour[1:8].sum(0) / 7) @ down) / max(width, 1e-6)


def across_corners(contour: np.ndarray) -> tuple[np.ndarray, float]:  # (16, 2)
    """The unit vector (2,) across the corners of an eye's contour, downwards on the face, and the eye's width."""
    axis = contour[8] - contour[0]
    width = math.sqrt(axis @ axis)
    sign = 1.0 if axis[0] > 0 else -1.0  # contours begin at the outer corner: the left eye's runs to the left
    return sign * np.array([-axis[1], axis[0]]) / max(width, 1e-6), width


def open_lid_ratio(ratios: np.ndarray, percentile: float = 80.0) -> np.ndarray:  # (T, 2) to (2,)
    """A clip's open eyes: a percentile of each eye's openings, against which it is judged whether an iris is visible.

    The percentile is by eye: blinks take less than a fifth of a clip.
    """
    return numeric.percentile(ratios, percentile)


def open_lid_gap(gaps: np.ndarray) -> float:  # (T,)
    """A clip's open eye with the blinks left out: the median of its gaps above half the widest (90th percentile).

    The unit of a driver's lids when expressions are carried over. Eyes that are opened wide for a while raise it less
    than `open_lid_ratio`.
    """
    wide = float(numeric.percentile(gaps, 90))
    return float(np.median(gaps[gaps >= min(wide / 2, wide)]))


def lip_contact(gaps: np.ndarray, most: float) -> float:  # (T,)
    """The gap at which a clip's lips touch: its second percentile, of size `most` at most, in the gaps' unit.

    A tracker sees lips that touch a little apart or one over the other; where they never touch, no more than `most`.
    """
    return float(np.clip(numeric.percentile(gaps, 2), -most, most))


def lips_apart(gap: float, most: float) -> float:
    """Whether lips whose smallest gap is this are apart: 0 up to `most`, 1 from twice that on. In the gap's unit."""
    return min(max(gap / most - 1, 0.0), 1.0)


def closed_lip_gap(gap: float, most: float) -> float:
    """How much of the smallest gap of lips is that of lips that touch: all of it, of size `most` at most.

    None of it where the lips are apart (`lips_apart`). In the gap's unit.
    """
    return float(np.clip(gap, -most, most)) * (1 - lips_apart(gap, most))
