"""Where a head's mouth and eyes open: the pairs of points by which lips and lids are measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.libs.flame_model.landmarks import LandmarkEmbedding
from core.libs.flame_model.topology import EYE_PAIRS, INNER_LIPS, LEFT_EYE, LIP_PAIRS, RIGHT_EYE

Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Openings:
    """Where a head's openings are, by points: its vertices, or landmarks on its mesh.

    Attributes:
        pairs: for lips, left lids, right lids, in this order: the pairs of an upper and a lower point by whose mean
            distance they are measured. Lips may be empty.
        rims: the same for the pairs that meet when they close, from corner to corner; empty where not known.
        eyes: the outer corners of the eyes, right and left.
        landmarks: vertices (P, 3) and weights (P, 3) of each point; None where points are vertices.
    """

    pairs: tuple[Pairs, Pairs, Pairs]
    rims: tuple[Pairs, Pairs, Pairs]
    eyes: tuple[int, int]
    landmarks: tuple[np.ndarray, np.ndarray] | None = None


def _rim(ring: tuple[int, ...]) -> Pairs:
    """The pairs of a loop whose two corners are its first and its middle point."""
    half = len(ring) // 2
    return tuple(zip(ring[1:half], ring[:half:-1], strict=True))


OPEN_HEAD_OPENINGS = Openings(
    (LIP_PAIRS, EYE_PAIRS["left"], EYE_PAIRS["right"]),
    (_rim(INNER_LIPS), _rim(LEFT_EYE), _rim(RIGHT_EYE)),
    (33, 263),
)
_FLAME_PAIRS: tuple[Pairs, Pairs, Pairs] = (  # by iBUG's 68 landmarks
    ((61, 67), (62, 66), (63, 65)),
    ((43, 47), (44, 46)),
    ((37, 41), (38, 40)),
)


def flame_openings(embedding: LandmarkEmbedding) -> Openings:
    """FLAME's openings by its landmarks, the lids' on their edges; its inner lips stand for their rims."""
    marks = (np.asarray(embedding.lid_corners), np.asarray(embedding.lid_weights, np.float64))
    return Openings(_FLAME_PAIRS, _FLAME_PAIRS, (36, 45), marks)
