"""Runs beside another one: the same photo, driver and models, with other improvements."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from core.components import Avatar
from core.data.records import TrackedSource
from core.models.request import DrawRequest
from core.options import IMPROVEMENTS
from core.pipeline.run import Pipeline
from core.runtime.progress import Progress

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class SharedAvatars:
    """An avatar's model that builds a photo's avatar once for each anchor; for one photo."""

    model: Avatar
    _built: dict[bytes | None, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.model.name

    def warm_up(self) -> float:
        return self.model.warm_up()

    def encode(self, source: TrackedSource, anchor: np.ndarray | None = None) -> Any:
        key = None if anchor is None else anchor.tobytes()
        if key not in self._built:
            self._built[key] = self.model.encode(source, anchor)
        return self._built[key]

    @property
    def background(self) -> np.ndarray:
        return self.model.background

    def draw_foreground(self, avatar: Any, request: DrawRequest) -> torch.Tensor:
        return self.model.draw_foreground(avatar, request)

    def render(self, avatar: Any, request: DrawRequest) -> torch.Tensor:
        return self.model.render(avatar, request)


def runs_beside(run: Pipeline, variants: Mapping[str, Collection[str]]) -> dict[str, Pipeline]:
    """For each label a quiet pipeline on a run's photo and driver with these improvements on, and no others.

    Photo and driver are tracked for `run`, if they are not yet; avatars are built once for all that start from the same
    place. The improvements' own settings, and all other options, are those of `run`.
    """
    source = run.source
    components = replace(
        run.components,
        track_source=lambda path, force: source,
        model=SharedAvatars(run.components.model),
        people=None,
    )
    chosen = replace(run.options, variants=False, report=None, face="largest", driver_face="largest")
    inputs = replace(run.inputs, tracked=run.driver)
    return {
        label: Pipeline(replace(chosen, **improved(*names)), components, Progress(quiet=True), inputs)
        for label, names in variants.items()
    }


def improved(*names: str) -> dict[str, Any]:
    """Values of `Options` by which these improvements are on and no others."""
    return {"enhanced": False, **{name: name in names for name in IMPROVEMENTS}}
