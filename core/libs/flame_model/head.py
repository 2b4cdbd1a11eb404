"""What the rest of the program asks of a head: the one interface that another head would have to fill."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from core.data.records import TrackedFrame
from core.libs.flame_model.flame import IrisGain
from core.libs.flame_model.openings import Openings


class Head(Protocol):
    """A head model of V vertices: `OpenHead`, `FlameHead`, or one of your own."""

    faces: Any  # (F, 3) triangles

    @property
    def kind(self) -> str:
        """Whose codes it takes, one of `core.data.records.HEADS`."""
        ...

    @property
    def default_motion(self) -> str:
        """`relative` or `absolute`, where nobody says."""
        ...

    @property
    def has_tracker_mesh(self) -> bool:
        """Whether its first 478 vertices are the tracker's points, all of which it knows then."""
        ...

    @property
    def iris_gain(self) -> IrisGain:
        """How far its irises show that an eye has turned."""
        ...

    @property
    def openings(self) -> Openings | None:
        """Where mouth and eyes open; None where it says nothing of them."""
        ...

    def evaluate(self, frame: TrackedFrame) -> np.ndarray:  # (V, 3)
        """The vertices of a frame, float32 in head space. UserError where its codes are another head's."""
        ...

    def landmarks(self, vertices: np.ndarray) -> np.ndarray:  # (478, 3)
        """The tracker's points on vertices (V, 3), NaN those that it does not know."""
        ...

    def joints(self, frame: TrackedFrame) -> np.ndarray:  # (5, 3)
        """Root, neck, jaw, left and right eye of a person at rest."""
        ...
