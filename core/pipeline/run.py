"""The stations of a run, in their order. Nothing else knows this order.

Memory does not grow with the length of the driver, apart from its parameters (about 2 KiB a frame): it is tracked
first, and its pictures are decoded a second time where they are shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from core.background import Background, find_background
from core.components import Components, default_components
from core.data.image import write_image
from core.data.loader_track import DriverData
from core.data.records import TrackedFrame, TrackedSequence, TrackedSource
from core.data.video import VideoWriter
from core.improvements import Improvements
from core.notices import Run, frame_notices, notices, row_notice, size_notices
from core.options import Options
from core.output.contact_sheet import ContactSheet
from core.output.panels import fits, scaled, side_by_side
from core.output.watermark import Watermark, metadata
from core.pipeline.backdrop import Backdrop, VideoBackdrop, still_backdrop
from core.pipeline.choice import begin_photo
from core.pipeline.drawing import Drawing
from core.pipeline.driver import DriverStage, check_static_offset, frames_without_face
from core.pipeline.driver_panel import panel_pictures, panel_width, shows_whole
from core.pipeline.person import Person, begin_person
from core.pipeline.result import RenderedFrame, Report, make_folder, to_image
from core.preflight import Inputs, check_report, choose_model, find_inputs, find_output
from core.runtime.compiling import told_when_compiling
from core.runtime.memory import all_loaded, give_back_heap
from core.runtime.progress import Progress
from core.runtime.threads import WriteBehind, opencv_threads

if TYPE_CHECKING:
    import torch

    from core.libs.flame_model import FLAMEModel
    from core.pipeline.whole import Region
    from core.quality.photo import PhotoQuality


class Pipeline:
    """A run, from its options. What can be refused without looking into the pictures is refused at once, and what was
    given and has no effect is said.

    Args:
        options, components, progress: the usual ones where they are left out.
        inputs: photo and driver where they are known; what they hold tracked is not tracked again.

    Attributes:
        shown: is called by `run` with every picture on its way to the file.
        at_once: several pictures are drawn at once, where that is possible.
    """

    shown: Callable[[RenderedFrame], None] | None = None
    at_once = True

    def __init__(
        self,
        options: Options,
        components: Components | None = None,
        progress: Progress | None = None,
        inputs: Inputs | None = None,
    ) -> None:
        self.options = options
        self.progress = progress or Progress(options.quiet)
        self._given_components = components
        self.inputs = inputs or find_inputs(options)
        self.model_name, self.model_reason = choose_model(options)
        avatar = self.model_name if components is None else components.model.name
        run = Run(options, self.inputs, self.model_name)
        all_faces = run.whole and options.face == "all"  # which stay in their photo
        self.background = Background("photo") if all_faces else find_background(options, avatar)
        self.output = find_output(options, self.inputs, self.model_name, self.background)
        check_report(options)
        self.improvements = Improvements(replace(options, orbit=0.0) if run.whole else options)
        for line in notices(run):
            self.progress.say(line)

    @cached_property
    def components(self) -> Components:
        """The models, loaded when they are first needed."""
        if self._given_components is not None:
            return self._given_components
        with self.progress.stage("load", "loading the models"):
            components = default_components(self.options, self.model_name)
        all_loaded()
        return components

    @cached_property
    def source(self) -> TrackedSource:
        """The photo, tracked."""
        return self._photo_begun()

    @cached_property
    def _photo_begun(self) -> Callable[[], TrackedSource]:
        """What gives the tracked photo: it is seen, what is left is done in a thread while the driver is tracked."""
        with self.progress.stage("track source", "tracking the photo"), told_when_compiling(self.progress.say):
            return begin_photo(self.components, self.inputs.photo, self.options, self.progress)

    @cached_property
    def driver(self) -> DriverData:
        """The driver, tracked, as it is."""
        return self._driver_stage.run(self.inputs)

    @cached_property
    def _driver_stage(self) -> DriverStage:
        return DriverStage(self.options, self.components, self.model_name, self.progress)

    @cached_property
    def motion(self) -> TrackedSequence:
        """The parameters that are rendered: the driver's motion on the photo's person, frame after frame."""
        _, track, source = self._photo_begun, self.driver.track, self.source.frame
        check_static_offset(self.inputs.driver, track, self.components.head)
        from core.libs.retargeting.shots import with_shots  # it loads scipy

        if self.driver.kind != "motion":  # a program's codes are of nobody who could be cut away from
            track = with_shots(track)
        cuts = len(track.shot_frames) - 1
        if cuts and not track.stills:
            what = "1 cut" if cuts == 1 else f"{cuts} cuts"
            self.progress.say(f"{what} in the driver: every shot is smoothed, and its motion counted, on its own")
        track, plain = self.improvements.steady(track, self.source, self.components.pose_seen_small)
        head = self.components.head
        if self.components.retarget is not None:
            motion = self.components.retarget(source, track, head)
        else:  # the usual stage reads more of a head than a renderer does: its directions and joints
            stage = self.improvements.retargeting(head, track, self.source)
            motion = stage.run(source, track, cast("FLAMEModel", head), plain)
        return replace(motion, mouth_interior=None) if self.options.mouth == "plain" else motion

    @cached_property
    def avatar(self) -> Any:
        """The photo as something that can be moved."""
        with self.progress.stage("compile", "preparing the renderer (slow only the first time)"):
            self.components.model.warm_up()
            self.improvements.warm_up()
        with self.progress.stage("encode avatar", "building the avatar"):
            from core.libs.retargeting.neutral import resting_transform  # it loads torch

            self.improvements.set_source(self.source, self.components.head)
            return self._person().avatar(resting_transform(self.source.frame, self.motion))

    @cached_property
    def _person(self) -> Callable[[], Person]:
        """What gives who is moved: their avatar is built in a thread while the driver is tracked."""
        source = self._photo_begun
        with self.progress.stage("compile", "preparing the renderer (slow only the first time)"):
            self.components.model.warm_up()
        return begin_person(self.components, source, lambda: self.photo, self.background, self.options.force_retrack)

    def _begin(self) -> None:
        """Begin all in which photo and driver have no say in each other, side by side."""
        with self._driver_stage.ahead(self.inputs):
            _ = self._person

    def draw(self, frame: TrackedFrame) -> torch.Tensor:
        """The picture (3, H, W) in 0..1 of what is drawn of a frame, (4, H, W) where `transparent`, on the host."""
        return next(self._drawing().pictures([frame]))

    def pictures(self, bare: bool = False) -> Generator[torch.Tensor, None, None]:
        """The pictures of all frames of the motion, as `draw` gives them; `bare`: see `Drawing`."""
        drawing = self._drawing(bare)
        draw = drawing.pictures_at_once if self.at_once else drawing.pictures
        return draw(self.motion[index] for index in self.part)

    @property
    def part(self) -> range:
        """The frames of the motion that are made: all of them."""
        return range(len(self.motion))

    def images(self) -> Generator[np.ndarray, None, None]:
        """The pictures (H, W, 3) uint8 of all frames, without the mark: with --frame photo the whole photo."""
        region, put = self.region, None
        if region is not None:
            from core.pipeline.cut_out import placing

            put = placing(self.background, self.photo, self._person().alone, region, self.avatar.share, self.backdrop)
        bare = self.background.kind == "photo" and put is not None and not self.improvements.change_pictures
        with closing(self.pictures(bare)) as pictures:
            for index, picture in enumerate(pictures):
                yield to_image(picture) if put is None else put(picture.permute(1, 2, 0).numpy(), index)

    @cached_property
    def photo(self) -> np.ndarray:
        """The photo (H, W, 3) uint8 as the result shows it: its shown crop, or the whole."""
        if not self.source.joined:
            return self.source.shown()[0]
        from core.pipeline.whole import read_whole

        return read_whole(self.inputs.photo, self.progress.say)

    @cached_property
    def region(self) -> Region | None:
        """The part of the whole photo that is drawn; None where the frame is the head's crop."""
        source = self.source
        if not source.joined:
            return None
        from core.pipeline.whole import Region

        return Region.of(source, self.photo, self.avatar.share, self.motion.transform_matrix)

    def _drawing(self, bare: bool = False) -> Drawing:
        """What draws the frames; `bare`: see there."""
        parts = self.components.model, self.components.head, self.avatar, self.source
        camera = None if self.region is None else self.region.camera
        # Over anything but the photo the whole person has to be put, not what is drawn of them alone
        cut_out = camera is not None and self.background.kind != "photo"
        backdrop = None if cut_out or bare else self.backdrop
        return Drawing(*parts, self.improvements, backdrop, cut_out or self.transparent, camera, bare)

    @cached_property
    def backdrop(self) -> Backdrop | None:
        """What the person is put over; None where there is nothing, or the avatar draws on it already."""
        background, region, person = self.background, self.region, self._person()
        if background.kind == "video":
            assert background.path is not None  # `find_background` has seen it
            return VideoBackdrop(background.path, self.motion.times[self.part.start :], self._size, self.progress.say)
        moves = None if region is None else self.avatar.moves
        source = self.source if region is None else person.alone  # what stands still of them is put over the plate
        return still_backdrop(background, self.components, self._size, source, person.plate, region, moves)

    @property
    def _size(self) -> tuple[int, int]:
        """Width and height of a frame alone."""
        height, width = self.photo.shape[:2]
        return width, height

    @property
    def transparent(self) -> bool:
        """Whether pictures come with an alpha channel, (4, S, S), and nothing behind the person."""
        return self.background.kind == "transparent"

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height of what is written of a frame; beside a whole photo the driver's file is opened for it."""
        width, height = self._size
        if self.options.layout == "compare":  # on a sheet the photo stands before the row
            beside = panel_width(self.driver, height, self._whole_driver)
            width, height = fits((1 if self.inputs.stills else 2) * width + beside, height)
        return width, height

    def frames(self) -> Generator[RenderedFrame, None, None]:
        """The result, picture after picture."""
        from core.runtime.device import torch_threads  # it loads torch

        self._begin()
        motion, _, _ = self.motion, self.avatar, self.backdrop
        give_back_heap()  # a long clip was tracked and smoothed in it
        height, width = self.photo.shape[:2]
        mark = None if self.options.no_watermark else Watermark(width, height)
        self.progress.seconds["render"] = 0.0
        # What torch and OpenCV do for a frame is small, and their idle threads wait by spinning, which takes the cores
        # from the renderer and the encoder.
        with torch_threads(1), opencv_threads(1), self.progress.stage("video", "rendering", len(self.part)) as advance:
            drawn = self.images()
            for done, index in enumerate(self.part, 1):
                start = time.perf_counter()
                image = next(drawn)
                if mark is not None:
                    mark.put(image)
                self.progress.seconds["render"] += time.perf_counter() - start
                yield RenderedFrame(index, motion.times[index], image)
                advance(done, len(self.part))

    def run(self) -> Report:
        """Render everything into the output file."""
        start = time.perf_counter()
        self.progress.say(f"avatar: {self.model_name} ({self.model_reason})")
        self._begin()
        track = self.motion
        for line in (*frame_notices(self.source, self.options), *size_notices(self.source, self.options.size)):
            self.progress.say(line)
        if self.options.layout == "compare" and not self.inputs.stills and self.size[1] < self._size[1]:
            self.progress.say(row_notice(self.size[1], self._size[1]))
        make_folder(self.output.parent)
        write = self._write_picture if self.inputs.kind == "image" else self._write_video
        write = self._write_sheet if self.inputs.stills else write
        with closing(self._shown()) as frames:
            self.progress.seconds["write"] = write(frames)
        interpolated, held = frames_without_face(self.driver.track)
        return Report(
            output=self.output,
            model=self.model_name,
            frames=len(track),
            fps=track.fps,
            interpolated=interpolated,
            held=held,
            seconds=dict(self.progress.seconds),
            total=time.perf_counter() - start,
            stills=self.inputs.stills,
            advice=self.advice,
        )

    @cached_property
    def photo_quality(self) -> PhotoQuality:
        """How good the photo is for an avatar."""
        from core.quality.photo import measure_photo

        return measure_photo(self.source, self.components.head)

    @cached_property
    def advice(self) -> tuple[str, ...]:
        """What to know of the run before looking at its result, the worst first."""
        from core.quality.advice import advice
        from core.quality.series import turns

        yaw, smooths = turns(self.motion.transform_matrix)[:, 0], "temporal_smooth" in self.improvements.wanted
        return advice(self.photo_quality, self.driver.track, yaw, smooths)

    def _shown(self) -> Generator[RenderedFrame, None, None]:
        """The result, shown on its way."""
        with closing(self.frames()) as frames:
            for frame in frames:
                if self.shown is not None:
                    self.shown(frame)
                yield frame

    def _write_sheet(self, frames: Iterator[RenderedFrame]) -> float:
        sheet = self._sheet(len(self.motion))
        with self.panels() as panels:
            for frame in frames:
                sheet.put(panels(frame))
        start = time.perf_counter()
        write_image(self.output, sheet.image, metadata(self.model_name))
        return time.perf_counter() - start

    def _sheet(self, count: int) -> ContactSheet:
        """Where the results of single pictures are laid out."""
        return ContactSheet(count, self.size, first=None if self.options.layout == "result" else self.photo)

    def _write_picture(self, frames: Iterator[RenderedFrame]) -> float:
        with self.panels() as panels:
            image = panels(next(frames))
        for _ in frames:  # to its end, so that the stage is closed
            pass
        start = time.perf_counter()
        write_image(self.output, image, metadata(self.model_name))
        return time.perf_counter() - start

    def _write_video(self, frames: Iterator[RenderedFrame]) -> float:
        """Encode in a thread of its own, while the next frames are rendered. Returns the seconds that took."""
        busy = 0.0
        track = self.driver.track

        def consume(rendered: Iterator[RenderedFrame]) -> None:
            nonlocal busy
            writer = VideoWriter(
                self.output,
                track.fps,
                self.size,
                audio_from=self.inputs.sound or self.driver.audio,
                metadata=metadata(self.model_name),
                keep_partial=self.options.keep_partial,
                transparent=self.transparent,
            )
            try:
                with writer, self.panels() as panels:
                    for frame in rendered:
                        start = time.perf_counter()
                        writer.write(panels(frame), frame.time)
                        busy += time.perf_counter() - start
                    start = time.perf_counter()
            finally:
                if writer.kept is not None:
                    self.progress.say(f"kept: {writer.kept}, the first {writer.frames} of {len(track)} frames")
            busy += time.perf_counter() - start

        with WriteBehind(consume) as behind:
            for frame in frames:
                behind.put(frame)
        return busy

    @contextmanager
    def panels(self) -> Iterator[Callable[[RenderedFrame], np.ndarray]]:
        """What makes the picture that is written out of a rendered one."""
        if self.options.layout == "result":
            yield lambda frame: frame.image
            return
        before = () if self.inputs.stills else (self.photo,)
        with closing(self.driver_pictures()) as pictures:
            yield lambda frame: scaled(side_by_side([*before, next(pictures), frame.image]), self.size)

    @property
    def _whole_driver(self) -> bool:
        """Whether the driver's panel shows whole pictures, as the photo's does."""
        return self.source.joined and shows_whole(self.driver)

    def driver_pictures(self) -> Generator[np.ndarray, None, None]:
        """What the driver's panel shows."""
        return panel_pictures(self.driver, self.components, self._size[1], self._whole_driver)
