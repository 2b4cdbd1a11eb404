"""The models of runs, loaded once for all that fit them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from core.components import Components, default_components
from core.libs.tracker.cache import TrackCache
from core.options import Options
from core.preflight import choose_model
from core.runtime.progress import Progress

# These say nothing to the models; a new option is taken to do so until it stands here.
_OF_A_RUN = {"image_path", "driver_path", "force_retrack", "audio", "face", "driver_face", "motion", "take", "orbit"}
_OF_A_RUN |= {"mouth", "output", "layout", "variants", "report", "keep_partial", "no_watermark", "quiet"}
_IMPROVING = {f.name for f in fields(Options) if f.metadata["group"] == "improvements"}


class LoadedModels:
    """The components of the last run, for the next one; for one thread.

    Args:
        cache: where tracks are kept; the user's folder where it is left out.
        make: `default_components`, or what takes its place.
    """

    def __init__(self, cache: TrackCache | None = None, make: Callable[..., Components] = default_components) -> None:
        self.cache = cache
        self._make = make
        self._loaded: tuple[tuple[Any, ...], Components] | None = None

    def get(self, options: Options, progress: Progress) -> Components:
        """The components of a run, those of the last one where they fit."""
        model, _ = choose_model(options)
        of_models = [f.name for f in fields(options) if f.name not in _OF_A_RUN | _IMPROVING]
        key = (model, options.whole_photo, *(getattr(options, name) for name in of_models))
        if self._loaded is None or self._loaded[0] != key:
            self._loaded = None
            with progress.stage("load", "loading the models"):
                self._loaded = key, self._make(options, model, cache=self.cache)
        return self._loaded[1]
