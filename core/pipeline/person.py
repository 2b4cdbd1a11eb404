"""The person of a photo, apart from what is behind them, and as something that can be moved."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from core.background import Background
from core.components import Components
from core.data.records import TrackedSource
from core.pipeline.backdrop import asks_for_plate, person_of, plate_of
from core.runtime.compiling import kernels_at_once
from core.runtime.memory import give_back_heap
from core.runtime.threads import beside

if TYPE_CHECKING:
    from core.kept_avatars import KeptAvatars


def begin_person(
    components: Components,
    source: Callable[[], TrackedSource],
    photo: Callable[[], np.ndarray],
    background: Background,
    anew: bool,
) -> Callable[[], Person]:
    """What gives the person of a photo over a background; their avatar is built in a thread, where kernels of two
    threads may run at once. `source`: gives the photo, tracked, and is waited for. For the rest see `Person`.
    """

    def begun() -> Person:
        tracked = source()
        person = Person(components, tracked, photo, asks_for_plate(background, components, tracked), anew)
        person.begin()
        give_back_heap()  # the driver may be tracked for long
        return person

    return beside(begun) if kernels_at_once() else cache(begun)


class Person:
    """Who is moved; all of it is made when it is asked for.

    Args:
        components: of the run. source: the photo, tracked.
        photo: gives it (H, W, 3) uint8 as the result shows it. apart: whether what is behind them has to be known.
        anew: whether an avatar is made that a run before has kept.
    """

    def __init__(
        self,
        components: Components,
        source: TrackedSource,
        photo: Callable[[], np.ndarray],
        apart: bool,
        anew: bool,
    ) -> None:
        self._components, self._anew = components, anew
        self._source, self._photo, self._apart = source, photo, apart

    @cached_property
    def plate(self) -> np.ndarray | None:
        """What is behind the person, (S, S, 3) uint8 of the photo's wide crop; None: it is not asked for."""
        if not self._apart:
            return None
        return plate_of(self._components, self._source, self._photo() if self._source.joined else None)

    @cached_property
    def alone(self) -> TrackedSource:
        """The photo; where the avatar is drawn alone, with the person's own colours."""
        return self._source if self.plate is None else person_of(self._components, self._source, self.plate)

    def avatar(self, anchor: np.ndarray) -> Any:
        """What the run's model makes of them at an anchor (3, 4)."""
        kept = self._kept
        if kept is None:
            return self._components.model.encode(self.alone, anchor)
        return kept.model.at(self._at_photo, anchor)

    def begin(self) -> None:
        """Make ahead what the driver has no say in."""
        _ = self.plate if self._kept is None else self._at_photo

    @cached_property
    def _at_photo(self) -> Any:
        """The avatar with the photo's own anchor: that of a run before where it is the same."""
        kept = self._kept
        assert kept is not None  # whoever asks has seen it
        return kept.avatar(self._source, self.plate, lambda: self._components.model.encode(self.alone), self._anew)

    @property
    def _kept(self) -> KeptAvatars | None:
        """Where the run's avatars are kept; None: nowhere."""
        kept = self._components.kept
        if kept is None or not kept.are_of(self._components.model):
            return None
        # Who goes on beyond the photo without being freed of what is behind is nobody whom a file's name tells
        return None if self.plate is not None and self._components.separate is None else kept
