"""A photo moved by a camera: a picture comes in, the portrait of that moment goes out.

    session = LiveSession(Options("me.jpg", enhanced=True))
    for picture, seconds in camera:                       # (H, W, 3) uint8 RGB, and when it was taken
        session.step(picture, seconds).image              # (512, 512, 3) uint8 RGB

`LiveSession.run` does the same for a camera that does not wait: a thread reads it, and pictures that come faster than
they are drawn are left out, so what is shown is never older than one picture and what it takes to draw it.
`LiveDriver` is the part that draws nothing: what the camera shows becomes the parameters that are drawn. All of it is
causal: what comes later changes nothing of what was given. What an open mouth shows is judged by what it showed so far:
at first the avatar's teeth are as is usual for the opening.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np

from core.background import find_background
from core.components import Components, default_components
from core.data.records import TrackedFrame, TrackedSource
from core.errors import UserError
from core.improvements import Improvements
from core.libs.flame_model import OpenHead
from core.libs.retargeting.live import LiveRetargeting, LiveSettings
from core.libs.tracker.base import FaceTracker
from core.libs.tracker.live import LiveTracker
from core.options import IMPROVEMENTS, Options
from core.output.watermark import Watermark
from core.pipeline.backdrop import asks_for_plate, still_backdrop
from core.pipeline.choice import tracked_photo
from core.pipeline.drawing import Drawing
from core.pipeline.person import Person
from core.pipeline.result import to_image
from core.runtime.progress import Progress
from core.runtime.threads import Newest

_SETTINGS = LiveSettings()
_SMOOTHED = ("expcode", "posecode", "eyecode", "transform_matrix")
# Of a file, of the network, or of what a camera has no time for.
_NOT_LIVE = (
    *("driver_path", "resume_path", "audio", "device", "motion", "take", "orbit", "output", "layout"),
    *("variants", "keep_partial", "accept_flame_license", "driver_face", "frame"),
)


@dataclass(frozen=True)
class LivePicture:
    """A portrait.

    Attributes:
        image: (S, S, 3) uint8 RGB, an array of its own. taken: when its camera picture was taken, seconds.
        motion: the parameters that are drawn. face: whether the camera picture showed a face that moved it.
        seconds: what the stages took, by name: `track` and `draw`; with `run` also `wait`, until the tracker
            had time, and `total`, from the camera picture to this one.
        dropped: camera pictures that were left out so far.
    """

    image: np.ndarray
    taken: float
    motion: TrackedFrame
    face: bool
    seconds: dict[str, float]
    dropped: int = 0


@dataclass(frozen=True)
class LiveMotion:
    """What is to be drawn for a camera picture: see `LivePicture`."""

    frame: TrackedFrame
    taken: float
    face: bool
    seconds: float  # of tracking and retargeting


class LiveDriver:
    """Makes the parameters that are drawn of a camera's pictures.

    Args:
        source: the photo. head: the open head.
        tracker: finds points and matte; not closed here.
        improvements: that may be switched on, with their settings; see `improvements`.
        fps: of the camera, about: how far back the smoother looks.
        settings: how the neutral is found. mouth: whether open mouths are looked into.

    Attributes:
        improvements: names of those that are on, `core.options.IMPROVEMENTS`; setting it acts on the next picture.
    """

    def __init__(
        self,
        source: TrackedFrame,
        head: OpenHead,
        tracker: FaceTracker,
        improvements: Improvements,
        fps: float = 25.0,
        settings: LiveSettings = _SETTINGS,
        mouth: bool = True,
    ) -> None:
        self._tracker = LiveTracker(tracker, head, mouth=mouth)
        self._retargeting = LiveRetargeting(source, head, settings)
        self._patience = settings.patience
        has = improvements.wanted
        self._smoother = improvements.smoother(fps) if "temporal_smooth" in has else None
        self._optimizer = improvements.live_optimizer(head) if "expression_opt" in has else None
        self._gaze = improvements.live_gaze(source, head) if "gaze_correct" in has else None
        self._last_seen = -np.inf
        self._lock = threading.RLock()  # what is asked of it acts between two pictures, whoever asks
        self.improvements = has

    @property
    def improvements(self) -> tuple[str, ...]:
        return self._on

    @improvements.setter
    def improvements(self, names: Collection[str]) -> None:
        with self._lock:
            self._on = tuple(names)
            self._retargeting.optimizer = self._optimizer if "expression_opt" in names else None
            self._retargeting.eyes = self._gaze if "gaze_correct" in names else None

    def step(self, picture: np.ndarray, now: float) -> LiveMotion:
        """What is to be drawn for a picture (H, W, 3) uint8 RGB that was taken at `now`, seconds; it must not go back.

        Without a face the last motion is held for a moment and then goes to rest.
        """
        with self._lock:
            return self._step(picture, now)

    def _step(self, picture: np.ndarray, now: float) -> LiveMotion:
        start = time.perf_counter()
        found = self._tracker.track(_checked(picture), now)
        if found is None:
            motion = self._retargeting.next(None, now)
            return LiveMotion(motion, now, False, time.perf_counter() - start)
        frame, changed = found.frame, found.changed
        if self._smoother is not None:
            if "temporal_smooth" not in self._on or changed is not None or now - self._last_seen > self._patience:
                self._smoother.reset()
            if "temporal_smooth" in self._on:
                smoothed: dict[str, Any] = self._smoother.smooth({name: getattr(frame, name) for name in _SMOOTHED})
                frame = replace(frame, **smoothed)
        self._last_seen = now
        motion = self._retargeting.next(frame, now, changed)
        return LiveMotion(motion, now, True, time.perf_counter() - start)

    def calibrate(self) -> None:
        """Take what was seen last for the neutral: the person looks straight ahead with a relaxed face."""
        with self._lock:
            self._retargeting.calibrate()

    def forget(self) -> None:
        """Begin anew: another person sits down before the camera."""
        with self._lock:
            for part in (self._tracker, self._retargeting, self._gaze):
                if part is not None:
                    part.forget()
            if self._smoother is not None:
                self._smoother.reset()


class LiveSession:
    """A photo that moves like whoever is before a camera; a context manager.

    Args:
        options: of the photo and of what is drawn: those of the command line but for what belongs to a file. Which of
            the improvements are on at first; all of them can be switched on.
        components, progress: the usual ones where they are left out.
        tracker: of the camera's faces, left open; MediaPipe's where it is left out.
        fps: of the camera, about.
    Raises:
        UserError: no photo, no face in it, or an option that says nothing here.
    """

    def __init__(
        self,
        options: Options,
        components: Components | None = None,
        progress: Progress | None = None,
        tracker: FaceTracker | None = None,
        fps: float = 25.0,
    ) -> None:
        _check(options)
        options = replace(options, frame="head")
        assert options.image_path is not None
        progress = progress or Progress(options.quiet)
        unset: dict[str, Any] = dict.fromkeys(IMPROVEMENTS)
        all_on = replace(options, enhanced=True, **unset)
        background = find_background(options, "lifted")
        if background.kind == "video":
            raise UserError(
                f"--background: {background.path} is a video, which runs along with files only: give a picture"
            )
        with progress.stage("load", "loading the models"):
            self._components = components or default_components(options, "lifted")
            self._improvements = Improvements(all_on)
        head: Any = self._components.head
        with progress.stage("track source", "tracking the photo"):
            self.source: TrackedSource = tracked_photo(self._components, options.image_path, options, progress)
        with progress.stage("compile", "preparing the renderer (slow only the first time)"):
            self._components.model.warm_up()
            self._improvements.warm_up()
        with progress.stage("encode avatar", "building the avatar"):
            self._improvements.set_source(self.source, head)
            parts, source = self._components, self.source
            asks = asks_for_plate(background, parts, source)
            person = Person(parts, source, lambda: source.shown()[0], asks, options.force_retrack)
            self._avatar = person.avatar(source.frame.transform_matrix)
            self._backdrop = still_backdrop(background, parts, (source.size,) * 2, source, person.plate)
            self._transparent = background.kind == "transparent"
        self._own: Any = None
        if tracker is None:
            from core.libs.tracker.mediapipe_tracker import MediaPipeTracker  # it takes a second

            tracker = self._own = MediaPipeTracker()
        self._mark = None if options.no_watermark else Watermark(self.source.size, self.source.size)
        mouth = options.mouth == "auto"
        self.driver = LiveDriver(self.source.frame, head, tracker, self._improvements, fps, mouth=mouth)
        self.improvements = tuple(name for name in IMPROVEMENTS if options.wants(name))

    @property
    def improvements(self) -> tuple[str, ...]:
        """The names of those that are on; setting it acts on the next picture. UserError for other names."""
        return self.driver.improvements

    @improvements.setter
    def improvements(self, names: Collection[str]) -> None:
        some = self._improvements.only(names)
        parts = self._components.model, self._components.head, self._avatar, self.source
        self._drawing = Drawing(*parts, some, self._backdrop, self._transparent)
        self.driver.improvements = some.wanted

    def calibrate(self) -> None:
        """See `LiveDriver.calibrate`."""
        self.driver.calibrate()

    def forget(self) -> None:
        """See `LiveDriver.forget`."""
        self.driver.forget()

    def step(self, picture: np.ndarray, now: float) -> LivePicture:
        """The portrait for a camera picture (H, W, 3) uint8 RGB that was taken at `now`, seconds."""
        return self.draw(self.driver.step(picture, now))

    def draw(self, motion: LiveMotion, dropped: int = 0) -> LivePicture:
        """The portrait of what `LiveDriver.step` gave."""
        from core.runtime.device import torch_threads  # it loads torch

        start = time.perf_counter()
        with torch_threads(1):  # idle threads of torch wait by spinning
            image = to_image(next(self._drawing.pictures([motion.frame])))
        if self._mark is not None:
            self._mark.put(image)
        seconds = {"track": motion.seconds, "draw": time.perf_counter() - start}
        return LivePicture(image, motion.taken, motion.frame, motion.face, seconds, dropped)

    def run(
        self,
        camera: Callable[[], np.ndarray | None],
        show: Callable[[LivePicture], bool | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read a camera in a thread of its own; track, draw and show until one of both ends.

        Tracking and drawing follow one another: side by side they would make one another late, and more pictures would
        pass that are older (`python -m benchmarks.live`).

        Args:
            camera: gives the next picture (H, W, 3) uint8 RGB when there is one, None at its end.
            show: is called in this thread with every portrait; False ends the session.
            clock: seconds.
        """
        run_live(camera, self.driver.step, self.draw, show, clock)

    def close(self) -> None:
        """Free the tracker's models, where they are this session's own."""
        if self._own is not None:
            self._own.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def run_live(
    camera: Callable[[], np.ndarray | None],
    follow: Callable[[np.ndarray, float], LiveMotion],
    draw: Callable[[LiveMotion, int], LivePicture],
    show: Callable[[LivePicture], bool | None],
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """See `LiveSession.run`. An error of the camera is raised here."""
    taken: Newest[tuple[np.ndarray, float]] = Newest()
    stop, errors = threading.Event(), []

    def read() -> None:
        try:
            while not stop.is_set() and (picture := camera()) is not None:
                taken.put((picture, clock()))
        except BaseException as error:
            errors.append(error)
        finally:
            taken.close()

    reading = threading.Thread(target=read, name="read", daemon=True)
    reading.start()
    try:
        while (item := taken.take()) is not None:
            picture, at = item
            waited = clock() - at
            portrait = draw(follow(picture, at), taken.dropped)
            seconds = portrait.seconds | {"wait": waited, "total": clock() - at}
            if show(replace(portrait, seconds=seconds)) is False:
                break
    finally:
        stop.set()
        reading.join()
    if errors:
        raise errors[0]


def _checked(picture: np.ndarray) -> np.ndarray:
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or min(picture.shape[:2]) < 16:
        raise ValueError(f"a camera picture is (H, W, 3) uint8 RGB, got {picture.dtype} {picture.shape}")
    return picture


def _check(options: Options) -> None:
    """UserError for what is missing, or says nothing here."""
    if options.image_path is None:
        raise UserError("a live session needs a photo: give one with -i")
    if options.model == "gagavatar":
        raise UserError("live, the built-in avatar is drawn: leave --model gagavatar out")
    if options.frame == "head":  # which is drawn in any case
        options = replace(options, frame="auto")
    usual = {f.name: f.default for f in fields(options)}
    for name in _NOT_LIVE:
        if getattr(options, name) != usual[name]:
            raise UserError(f"{name} does nothing in a live session: leave it out")
