"""A pair under one condition, and what a run of it starts from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.command_line import load_options
from core.components import Components, default_components
from core.data.records import TrackedSequence
from core.evaluation.conditions import Condition
from core.evaluation.variants import Pair
from core.options import Options
from core.preflight import choose_model


@dataclass(frozen=True)
class Setting:
    """A pair under one condition, and how thoroughly it is measured.

    Attributes:
        pair: what is rendered. condition: under which; None: driver and photo as they are.
        stride: what compares pictures looks at every stride-th frame; what is measured on points at every frame.
        frames: only the first so many of the driver; None for all.
        lpips_weights: folder of LPIPS' weights, without which it is not measured.
        arguments: options of the command line that every variant gets, such as `--model lifted`.
    """

    pair: Pair
    condition: Condition | None = None
    stride: int = 4
    frames: int | None = None
    arguments: tuple[str, ...] = ()
    lpips_weights: Path | None = None

    @property
    def name(self) -> str:
        """Of the pair, and of the condition where there is one."""
        return self.pair.name + ("" if self.condition is None else f"-{self.condition.name}")

    def options(self, photo: Path) -> Options:
        """The options of a run that changes nothing."""
        given = ["-i", str(photo), "-d", str(self.pair.driver), "--layout", "result", "--no-watermark", "--quiet"]
        given += ["--background", "black"]  # so that the person is compared, and no background
        motion = ["--motion", "absolute"] if self.pair.same_person else []
        return load_options([*given, *motion, *self.arguments])


def usual_components(options: Options, open_head: Path | None = None) -> Components:
    """The components of the avatar that the options lead to. `open_head`: the file of another than the built-in one."""
    return default_components(options, choose_model(options)[0], open_head)


def first_frames(track: TrackedSequence, n: int) -> TrackedSequence:
    """The first n frames of a sequence."""
    return track.take(np.arange(n)) if n < len(track) else track
