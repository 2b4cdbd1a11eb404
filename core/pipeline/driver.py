"""The driver of a run: read or tracked, in the codes of the head that is rendered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from core.components import Components
from core.data.loader_track import DriverData
from core.data.picture_folder import PictureFolder
from core.data.records import HELD, INTERPOLATED, TrackedSequence
from core.errors import UserError
from core.notices import SMALL_FACES, small_faces_only
from core.options import Options
from core.pipeline.choice import people_of, say_driver_faces
from core.preflight import Inputs
from core.runtime.ahead import Ahead
from core.runtime.memory import give_back_heap
from core.runtime.progress import Advance, Progress

if TYPE_CHECKING:
    from core.libs.flame_model import Head


class DriverStage:
    """Makes a tracked driver of what was given, and says what was left out or stood in for.

    Args:
        options: of the run: whose motion it is of several people, and whether what is in the cache is tracked again.
        components: of the run: who tracks, and whose codes are wanted. model_name: the avatar's, for messages.
        progress: told what is under way.
    """

    def __init__(self, options: Options, components: Components, model_name: str, progress: Progress) -> None:
        self.components, self.model_name, self.progress = components, model_name, progress
        self.force, self.face = options.force_retrack, options.driver_face
        # Whether `--expression-opt` is on and does nothing but for a small face, which is then said
        self.small_only = small_faces_only(options)
        self._begun: Ahead[TrackedSequence] | None = None
        self._is_made = False

    @contextmanager
    def ahead(self, inputs: Inputs) -> Iterator[None]:
        """Begin to track a video in a thread, silently, for a later `run`; with an error in the block that ends, too.

        Where the components do not track photo and driver side by side, nothing is begun.
        """
        side_by_side = hasattr(self.components.track_source, "begin")
        known = inputs.tracked is not None or self._begun is not None or self._is_made
        if side_by_side and inputs.kind == "video" and not known:
            self._begun = Ahead(partial(self._track, inputs.driver))
        try:
            yield
        except BaseException:
            if self._begun is not None:
                self._begun.cancel()
                self._begun = None
            raise

    def run(self, inputs: Inputs) -> DriverData:
        """The driver of these inputs. UserError where it cannot be read, or has codes of another head."""
        components = self.components
        if inputs.tracked is None and inputs.frames is not None:
            self.progress.say(f"{inputs.driver}: the motion is tracked from its {len(inputs.frames)} pictures")
            driver = self._track_pictures(inputs.frames)
        elif inputs.tracked is not None:
            driver = inputs.tracked
        else:
            with self.progress.stage("track driver", "tracking the driver") as advance:
                begun = self._begun
                track = self._track(inputs.driver, advance) if begun is None else begun.wait(advance)
                driver = DriverData(inputs.driver, inputs.kind, track)
            give_back_heap()
            if self.face == "largest":
                say_driver_faces(components, inputs.driver, self.progress)
        self._is_made = True
        driver = self._for_the_head(driver)
        if self.small_only and inputs.tracked is None and driver.track.patches is None:
            self.progress.say("--expression-opt has no effect: " + SMALL_FACES)
        if driver.track.lost:
            self.progress.say(f"{driver.track.lost} frames of the driver are damaged and left out")
        interpolated, held = frames_without_face(driver.track)
        if interpolated or held:
            self.progress.say(
                f"no face in {interpolated + held} of {len(driver.track)} frames of the driver: {interpolated} "
                f"interpolated, {held} held"
            )
        return driver

    def _track(self, driver: Path, advance: Advance) -> TrackedSequence:
        if not isinstance(self.face, int):
            return self.components.track_driver(driver, self.force, advance)
        people = people_of(self.components, "--driver-face")
        return people.track_driver(driver, [self.face], self.force, advance)[self.face]

    def _track_pictures(self, frames: PictureFolder) -> DriverData:
        """A driver from the pictures of a folder."""
        assert self.components.track_folder is not None  # else `_for_the_head` does not ask for it
        with self.progress.stage("track driver", "tracking the driver") as advance:
            if isinstance(self.face, int):
                people = people_of(self.components, "--driver-face")
                track, shown = people.track_folder(frames, self.face, self.force, advance)
            else:
                track, shown = self.components.track_folder(frames, self.force, advance)
        if len(shown) < len(frames):
            left_out = len(frames) - len(shown)
            self.progress.say(f"no face in {left_out} of {len(frames)} pictures of the driver: left out")
        return DriverData(frames.path, "folder", track, frames=frames, shown=shown)

    def _for_the_head(self, driver: DriverData) -> DriverData:
        """The driver in the codes of the head that is rendered."""
        track, wanted = driver.track, self.components.head.kind
        if track.head == wanted:
            return driver
        frames = PictureFolder.find(driver.path, driver.keys) if driver.keys and self.components.track_folder else None
        if frames is not None:
            self.progress.say(
                f"{driver.path} was tracked for the {track.head} head: its {len(frames)} pictures are tracked instead"
            )
            return self._track_pictures(frames)
        if self.components.convert is not None:
            converted = self.components.convert(track, driver.path)
            self.progress.say(f"{driver.path} holds codes of the {track.head} head: they become the {wanted} head's")
            return replace(driver, track=converted)
        raise UserError(
            f"{driver.path} was tracked for the {track.head} head, {self.model_name} moves the {wanted} head: give the "
            f"video itself or its pictures, or track it with `python -m core.libs.tracker --save FOLDER VIDEO`"
        )


def check_static_offset(driver: Path, track: TrackedSequence, head: Head) -> None:
    """A tracked folder may come from anywhere: what its codes leave of the face must be of this head."""
    if track.static_offset is None:
        return
    shape = head.evaluate(replace(track[0], static_offset=None)).shape
    got = track.static_offset.shape[-2:]
    if got != shape:
        raise UserError(f"{driver}: static_offset has shape {got}, the {track.head} head's is {shape}; track it again")


def frames_without_face(track: TrackedSequence) -> tuple[int, int]:
    """How many frames had no face, by what stands in for it: interpolated, held."""
    return int((track.status == INTERPOLATED).sum()), int((track.status == HELD).sum())
