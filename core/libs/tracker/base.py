"""What a face tracker is: the one interface that another tracker would have to fill.

A tracker sees pictures and says where the 478 points of the face mesh are and which pixels belong to the person. It
knows nothing of head models: `fit.py` turns its points into codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

N_POINTS = 478  # 468 of the face surface, then 5 of the right and 5 of the left iris (the person's right and left)


@dataclass(frozen=True)
class Observation:
    """One face in one picture.

    Attributes:
        points: (478, 3) float32. Columns are x (to the right) and y (down) in pixels of the picture, with pixel centres
            at integers, and z, the depth in pixels at the scale of x: smaller is nearer, zero near the head's centre.
    """

    points: np.ndarray  # (478, 3)

    @property
    def box(self) -> np.ndarray:  # (4,)
        """The tight box of the face surface, x0 y0 x1 y1 in pixels."""
        surface = self.points[:468, :2]
        return np.concatenate([surface.min(0), surface.max(0)])


class FaceTracker(Protocol):
    """Finds the points of a face and the matte of a person. Not thread-safe; close it when done."""

    name: str
    version: str

    def detect(self, image: np.ndarray) -> Observation | None:
        """The largest face of a picture on its own, or None. `image` is (H, W, 3) uint8 RGB."""
        ...

    def follow(self, image: np.ndarray) -> Observation | None:
        """The face of the next frame of a video: as `detect`, but near where the last frame had it."""
        ...

    def reset(self) -> None:
        """Forget the last frame: the next `follow` begins another video."""
        ...

    def matte(self, image: np.ndarray) -> np.ndarray:
        """How much of every pixel belongs to the person: (H, W) float32 in 0..1."""
        ...

    def close(self) -> None:
        """Free the models."""
        ...


@runtime_checkable
class ManyFaceTracker(FaceTracker, Protocol):
    """A tracker that also finds all faces of a picture; one that does not is taken to see one face."""

    def faces(self, image: np.ndarray, known: Sequence[np.ndarray] = ()) -> list[Observation]:
        """All faces of a picture (H, W, 3) uint8 RGB on its own, from left to right.

        `known`: boxes (4,) of faces that are known already: they may be left out, and need not be made sure of again.
        """
        ...

    def another(self) -> FaceTracker:
        """A tracker that follows a face of its own, with this one's models; it ends when this one is closed."""
        ...
