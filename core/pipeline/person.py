"""The person of a photo, apart from what is behind them, and as something that can be moved."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from core.components import Components
from core.data.records import TrackedSource
from core.pipeline.backdrop import person_of, plate_of
from core.runtime.progress import Progress


class Person:
    """Who is moved; all of it is made when it is asked for.

    Args:
        components, progress: of the run. source: the photo, tracked.
        photo: gives it (H, W, 3) uint8 as the result shows it. apart: whether what is behind them has to be known.
    """

    def __init__(
        self,
        components: Components,
        source: TrackedSource,
        photo: Callable[[], np.ndarray],
        apart: bool,
        progress: Progress,
    ) -> None:
        self._components, self._progress = components, progress
        self._source, self._photo, self._apart = source, photo, apart

    @cached_property
    def plate(self) -> np.ndarray | None:
        """What is behind the person, (S, S, 3) uint8 of the photo's wide crop; None: it is not asked for."""
        if not self._apart:
            return None
        photo = self._photo() if self._source.joined else None
        with self._progress.stage("plate", "completing what is behind the person"):
            return plate_of(self._components, self._source, photo)

    @cached_property
    def alone(self) -> TrackedSource:
        """The photo; where the avatar is drawn alone, with the person's own colours."""
        return self._source if self.plate is None else person_of(self._components, self._source, self.plate)

    def avatar(self, anchor: np.ndarray, anew: bool) -> Any:
        """What the run's model makes of them at an anchor (3, 4): that of a run before where it is the same.

        `anew`: made again, whatever is known.
        """
        components, kept = self._components, self._components.kept

        def make() -> Any:
            return components.model.encode(self.alone, anchor)

        if kept is None or not kept.are_of(components.model):
            return make()
        if self.plate is not None and components.separate is None:  # who is not freed of it goes on beyond the photo
            return make()
        return kept.avatar(self._source, self.plate, anchor, make, anew)
