"""A run in which all people of the photo move: each as somebody of the driver, left to left, or all as one.

    animate(Options("us.jpg", "clip.mp4", face="all"))                      # all as the driver's largest face
    animate(Options("us.jpg", "two.mp4", face="all", driver_face="all"))    # each as their own

Every person is a run of their own in the whole photo; their pictures are put into one, who is farther back first.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from core.components import Components
from core.data.loader_track import DriverData
from core.data.records import TrackedSequence, TrackedSource
from core.errors import UserError
from core.options import Options
from core.pipeline.choice import people_of
from core.pipeline.driver import frames_without_face
from core.pipeline.driver_panel import shows_whole
from core.pipeline.run import Pipeline
from core.preflight import Inputs
from core.runtime.progress import Progress


class Everybody(Pipeline):
    """A run with all people of the photo; used as a `Pipeline` is."""

    def __init__(
        self,
        options: Options,
        components: Components | None = None,
        progress: Progress | None = None,
        inputs: Inputs | None = None,
    ) -> None:
        super().__init__(
            options if options.face == "all" else replace(options, face="all"), components, progress, inputs
        )
        if self.model_name != "lifted":
            raise UserError("--face all: the network draws one head; choose one with --face N, or take --model lifted")

    @property
    def _each_their_own(self) -> bool:
        """Whether the driver's people move one of the photo's each."""
        return self.options.driver_face == "all" and self.inputs.tracked is None and self.inputs.frames is None

    def _begin(self) -> None:
        """The runs of the people begin theirs."""

    @cached_property
    def faces(self) -> np.ndarray:
        """The boxes (N, 4) of all faces of the photo, left to right."""
        with self.progress.stage("find faces", "finding the faces of the photo"):
            people = people_of(self.components, "--face")
            boxes, _ = people.photo_faces(self.inputs.photo, self.options.force_retrack)
        if not len(boxes):
            raise UserError(f"{self.inputs.photo}: no human face found; give a photo in which faces are seen")
        return boxes

    @cached_property
    def drivers(self) -> list[DriverData]:
        """The driver of each person who moves, from the photo's left."""
        if not self._each_their_own:
            return [self._one_driver] * len(self.faces)
        count, path = len(self.faces), self.inputs.driver
        with self.progress.stage("track driver", "tracking the people of the driver") as advance:
            people = people_of(self.components, "--driver-face")
            found = people.track_driver(path, None, self.options.force_retrack, advance)
        tracks = [found[number] for number in sorted(found)]
        for number, track in enumerate(tracks, 1):
            interpolated, held = frames_without_face(track)
            if interpolated or held:
                self.progress.say(
                    f"person {number} of the driver is not seen in {interpolated + held} of {len(track)} frames: "
                    f"{interpolated} interpolated, {held} held"
                )
        if len(tracks) < count:
            still = f"number {count}" if len(tracks) == count - 1 else f"numbers {len(tracks) + 1} to {count}"
            self.progress.say(
                f"{count} people in the photo, {len(tracks)} in the driver: {still} from the photo's left stay still"
            )
        elif len(tracks) > count:
            self.progress.say(
                f"{len(tracks)} people in the driver, {count} in the photo: the first {count} from the driver's left "
                "are followed"
            )
        return [DriverData(path, self.inputs.kind, track) for track in tracks[:count]]

    @cached_property
    def _one_driver(self) -> DriverData:
        return Pipeline.driver.func(self)  # type: ignore[attr-defined]

    @property
    def driver(self) -> DriverData:
        """The first one's."""
        return self.drivers[0]

    @cached_property
    def runs(self) -> list[Pipeline]:
        """The run of each person who moves, from the photo's left."""
        components, quiet = self.components, Progress(quiet=True)
        chosen = replace(self.options, driver_face="largest", frame="photo", background="photo")
        return [
            Pipeline(replace(chosen, face=number), components, quiet, replace(self.inputs, tracked=driver))
            for number, driver in enumerate(self.drivers, 1)
        ]

    @property
    def _whole_driver(self) -> bool:
        return shows_whole(self.driver)

    @property
    def source(self) -> TrackedSource:
        """The first one, tracked."""
        return self.runs[0].source

    @property
    def motion(self) -> TrackedSequence:
        """The first one's; all others are as long."""
        return self.runs[0].motion

    @property
    def photo(self) -> np.ndarray:
        """The whole photo (H, W, 3) uint8."""
        return self.runs[0].photo

    @cached_property
    def avatar(self) -> list[Any]:
        """Everybody, as something that can be moved."""
        with self.progress.stage("track source", "tracking the photo"):
            for run in self.runs:
                _ = run.source
        with self.progress.stage("compile", "preparing the renderer (slow only the first time)"):
            self.components.model.warm_up()
            self.improvements.warm_up()
        with self.progress.stage("encode avatar", "building the avatars"):
            return [run.avatar for run in self.runs]

    @cached_property
    def backdrop(self) -> None:
        """Everybody has their own, which is completed here; there is none for all."""
        with self.progress.stage("plate", "completing what is behind the people"):
            for run in self.runs:
                _ = run.backdrop

    def images(self) -> Generator[np.ndarray, None, None]:
        """The whole photo (H, W, 3) uint8 with everybody moved, frame after frame, without the mark."""
        from core.pipeline.together import together  # it loads numba

        order = np.argsort((self.faces[:, 2:] - self.faces[:, :2]).max(1)[: len(self.runs)], kind="stable")
        with ExitStack() as stack:
            runs = [self.runs[int(i)] for i in order]
            for run in runs:
                run.at_once = False  # what is drawn at once has buffers of its own, here those of everybody
            drawn = [stack.enter_context(closing(run.images())) for run in runs]
            parts = [(run.region.rows, run.region.columns) for run in runs if run.region is not None]
            for pictures in zip(*drawn, strict=True):
                yield together(self.photo, pictures, parts)
