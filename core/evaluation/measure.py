"""One pair, many variants: renders each as the pipeline does and measures every frame against the truth."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import cv2
import numpy as np

from core.components import Components
from core.data.array_file import load_arrays, save_arrays
from core.data.loader_track import DriverData
from core.data.records import IMAGE_SIZE, TrackedSequence, TrackedSource
from core.errors import UserError
from core.evaluation import metrics
from core.evaluation.conditions import (
    Condition,
    PoorDriverSettings,
    PoorPhotoSettings,
    poor_driver,
    poor_photo,
    track_in_crops,
)
from core.evaluation.oracles import best_filter, best_smoothing
from core.evaluation.setting import Setting, first_frames, usual_components
from core.evaluation.timing import FrameTimer, Video, peak_memory, reset_peak_memory
from core.evaluation.track_truth import TrackTruth
from core.evaluation.tracking_noise import add_tracking_noise
from core.evaluation.truth import Truth, digest, lossless_first_frame, source_in_crop
from core.evaluation.variants import ALL, BEST_FILTER, BEST_SMOOTHING, OFF, Variant
from core.libs.flame_model import FlameHead, OpenHead
from core.libs.tracker.base import FaceTracker
from core.options import IMPROVEMENTS
from core.pipeline import Pipeline
from core.preflight import find_inputs

COLUMNS_FILE = "columns.npz"
VIDEO_FILE = "video.mp4"
MOTION_ONLY = ("temporal_smooth", "expression_opt")  # improvements that change nothing but the motion
PICTURE, DRIVER_PICTURE = "{:05d}.png", "driver-{:05d}.png"

Advance = Callable[[int], None]  # frames measured since the last call


@dataclass(frozen=True)
class MeasureSettings:
    """How much of a clip is measured and kept.

    Attributes:
        shown: frames of a contact sheet. timed: frames on which a variant and off take turns.
        ms_ssim_stride: compared frames from one MS-SSIM to the next; it costs more than all others together.
        most_db: the PSNR of a picture that equals the truth.
    """

    shown: int = 5
    timed: int = 32
    ms_ssim_stride: int = 2
    most_db: float = 60.0


class Experiment:
    """What all variants of a setting share: the track, the photo, the truth and its optical flow.

    Args:
        setting: what is measured. tracker: finds the faces in the results.
        make_components: the components of a pipeline for options, and for another open head as `open_head`.
        crop_source: the photo of self-reenactment in a given crop, as `source_in_crop`.
        settings: how much is measured and kept.
    """

    def __init__(
        self,
        setting: Setting,
        tracker: FaceTracker,
        make_components: Callable[..., Components] = usual_components,
        crop_source: Callable[..., TrackedSource] = source_in_crop,
        settings: MeasureSettings = MeasureSettings(),
    ) -> None:
        self._settings = settings
        pair = setting.pair
        if pair.head is not None:
            make_components = partial(make_components, open_head=pair.head)
        self.setting, self.tracker, self._make_components = setting, tracker, make_components
        self.photo = pair.source or lossless_first_frame(pair.driver)
        self._options = setting.options(self.photo)
        self._components = components = make_components(self._options)
        self._open_head = components.open_head or OpenHead()
        self._inputs = find_inputs(self._options)
        recorded = None if self._inputs.tracked is None else self._inputs.tracked.track
        track = self._track(components, recorded)
        self._length = min(len(track), setting.frames or len(track))
        if self._length < 3:
            raise UserError(f"{pair.driver}: the ablation needs at least three frames, there are {self._length}")
        self.clean = first_frames(track, self._length)
        self.all_times, self._full_crops = track.times, track.crops
        self._crop_source = crop_source
        self.clean_source = self._source(self.photo)
        self.source, self.track = self._under(setting.condition)
        self.truth: Truth | TrackTruth
        if recorded is None:
            self.truth = Truth(pair.driver, track, range(self._length), tracker)
        else:
            self.truth = TrackTruth(recorded, self._length, self._open_head)
        self.points = np.full((self._length, metrics.N_POINTS, 3), np.nan)
        self.points[self.truth.indices] = self.truth.points
        if not len(self.truth.indices):
            raise UserError(f"{pair.driver}: no face was found in its frames")
        seen = self.truth.indices
        even = np.linspace(0, len(seen) - 1, settings.shown + 1)[1:].round().astype(int)
        self.shown = sorted({int(seen[k]) for k in even})

    def _under(self, condition: Condition | None) -> tuple[TrackedSource, TrackedSequence]:
        """Photo and track under a condition."""
        if condition is None:
            return self.clean_source, self.clean
        if condition.kind == "tracking-noise":
            return self.clean_source, self._noisy(condition.seed)
        if condition.kind == "poor-photo":
            return self._source(poor_photo(self.photo), PoorPhotoSettings().scale), self.clean
        if self._inputs.tracked is not None:
            raise UserError(f"{self.setting.pair.driver}: --poor-driver needs a video as driver, to make it worse")
        return self.clean_source, self._poorly_tracked(condition)

    def _source(self, photo: Path, scale: float = 1.0) -> TrackedSource:
        """A photo, tracked: in self-reenactment in the crop of the driver's first frame, which is `scale` as large."""
        if not self.setting.pair.same_person:
            return self._components.track_source(photo, False)
        assert self.clean.crops is not None  # the driver is a video then
        head = self._components.head
        flame = head.path if isinstance(head, FlameHead) else None
        return self._crop_source(photo, self.clean.crops[0] * np.float32(scale), self.tracker, flame, self._open_head)

    def _poorly_tracked(self, condition: Condition) -> TrackedSequence:
        """The driver as a poor camera gives it, tracked afresh, in the crops of the clean one."""
        how = PoorDriverSettings().only(condition.parts)
        clip, scale = poor_driver(self.setting.pair.driver, condition.seed, how)
        assert self._full_crops is not None  # the driver is a video
        track = track_in_crops(clip, self._full_crops * np.float32(scale), self.tracker, self._open_head)
        convert = self._components.convert
        if track.head != self._components.head.kind and convert is not None:
            track = convert(track, clip)
        return first_frames(track, self._length)

    def pipeline(self, variant: Variant) -> Pipeline:
        """The pipeline of a variant, on the shared track and photo."""
        options = variant.applied(self._options)
        same_components = set(variant.changes) <= set(IMPROVEMENTS)  # loading the network takes long
        source = self.clean_source if variant.true_photo else self.source
        if variant.fitted == BEST_FILTER:
            source = best_filter(self.source, self.clean_source)
        components = replace(
            self._components if same_components else self._make_components(options),
            track_source=lambda path, force: source,
        )
        known = {name: getattr(self.clean, name) for name in variant.true_parameters}
        track = best_smoothing(self.track, self.clean) if variant.fitted == BEST_SMOOTHING else self.track
        tracked = DriverData(self._inputs.driver, self._inputs.kind, replace(track, **known))
        return Pipeline(options, components, inputs=replace(self._inputs, tracked=tracked))

    def _track(self, components: Components, recorded: TrackedSequence | None) -> TrackedSequence:
        """The driver's track in the codes of the head that is rendered."""
        if recorded is None:
            return components.track_driver(self.setting.pair.driver, False, lambda done, total: None)
        if recorded.head == components.head.kind or components.convert is None:
            return recorded
        return components.convert(recorded, self.setting.pair.driver)

    def _noisy(self, seed: int) -> TrackedSequence:
        """The track with noise, which is made in the open head's codes whatever head is rendered."""
        convert, head = self._components.convert, self._open_head
        if self.clean.head == head.kind or convert is None:
            return add_tracking_noise(self.clean, seed, head=head)
        from core.libs.tracker.cache import TrackCache
        from core.libs.tracker.driver import track_driver

        if self._inputs.tracked is not None:
            opened = self._inputs.tracked.track
        else:
            opened = track_driver(self.setting.pair.driver, cache=TrackCache(), open_head=head)
        noisy = add_tracking_noise(first_frames(opened, self._length), seed, head=head)
        return convert(noisy, self.setting.pair.driver)

    def run(self, variant: Variant, folder: Path, advance: Advance = lambda frames: None) -> None:
        """Render and measure a variant; leaves its columns, the frames of the sheet and, of off and all, a video.

        A variant that draws the pictures of one that this experiment has measured before, as `--expression-opt` does
        with `--motion absolute`, is only timed; all else of its columns is that one's.
        """
        folder.mkdir(parents=True, exist_ok=True)
        reset_peak_memory()
        columns = self._empty()
        pipeline = self.pipeline(variant)
        rendered = FrameTimer(pipeline)
        reference = None if variant.name == OFF else FrameTimer(self.pipeline(Variant(OFF)))
        pictures = self._pictures_of(pipeline, variant)
        if pictures in self._measured and variant.name not in (OFF, ALL):
            self._time(rendered, reference, columns, self._measured[pictures], folder, advance)
            return
        self._measured[pictures] = folder
        points = self._follow(self._frames(rendered, reference, columns, folder, variant, advance), columns)
        columns |= metrics.point_columns(points, self.points, self.setting.pair.same_person)
        columns["peak_memory_mib"] = np.array(peak_memory())
        columns["fps"] = np.array(float(self.track.fps))
        columns["shown"], columns["shown_points"] = np.array(self.shown), self._zoomed(points)
        columns["stages"] = np.array([[name, repr(value)] for name, value in rendered.seconds.items()])
        save_arrays(folder / COLUMNS_FILE, columns)

    def _pictures_of(self, pipeline: Pipeline, variant: Variant) -> str:
        """What decides a variant's pictures: the motion that is drawn, and how it is drawn."""
        motion = pipeline.motion
        values = [np.asarray(value) for value in vars(motion).values() if isinstance(value, np.ndarray)]
        drawn = {name: value for name, value in variant.changes.items() if name not in MOTION_ONLY}
        return digest(*values, repr(sorted(drawn.items())), repr((variant.true_photo, variant.fitted)))

    def _time(
        self,
        rendered: FrameTimer,
        reference: FrameTimer | None,
        columns: dict[str, np.ndarray],
        same: Path,
        folder: Path,
        advance: Advance,
    ) -> None:
        """Time a variant whose pictures are those in the folder `same`."""
        known = load_arrays(same / COLUMNS_FILE)
        with closing(rendered), closing(reference or rendered):
            for _ in zip(range(self._settings.timed + 1), self._turns(rendered, reference, columns), strict=False):
                pass
        for index in self.shown:
            shutil.copyfile(same / PICTURE.format(index), folder / PICTURE.format(index))
        known |= {"ms": columns["ms"], "ms_off": columns["ms_off"], "peak_memory_mib": np.array(peak_memory())}
        known["stages"] = np.array([[name, repr(value)] for name, value in rendered.seconds.items()])
        save_arrays(folder / COLUMNS_FILE, known)
        advance(self._length)

    def _empty(self) -> dict[str, np.ndarray]:
        names = ["ms", "ms_off", "found"]
        if self.setting.pair.same_person:
            names += ["psnr", "face_psnr", "eye_psnr", "ssim", "ms_ssim", "gmsd", "stability", "detail"]
            names += ["detail_energy", "detail_correlation", "gradient", "gradient_truth"]
            names += ["lpips"] if self._lpips else []
        names += ["csim"] if self._csim else []
        return {name: np.full(self._length, np.nan) for name in names}

    def _frames(
        self,
        rendered: FrameTimer,
        reference: FrameTimer | None,
        columns: dict[str, np.ndarray],
        folder: Path,
        variant: Variant,
        advance: Advance,
    ) -> Iterator[np.ndarray]:
        """The pictures of the result; what compares them with the truth's is filled in on the way."""
        video = Video(folder / VIDEO_FILE, self.track, variant.name == OFF) if variant.name in (OFF, ALL) else None
        before: np.ndarray | None = None
        with closing(rendered), closing(reference or rendered), closing(video or rendered):
            for index, image in enumerate(self._turns(rendered, reference, columns)):
                if before is not None and self._is_sampled(index):
                    self._compare(index, image, before, columns)
                self._keep(index, image, folder, video, variant.name == OFF)
                before = image
                yield image
                advance(1)
        if reference is None:
            columns["ms_off"] = columns["ms"].copy()

    def _turns(
        self, rendered: FrameTimer, reference: FrameTimer | None, columns: dict[str, np.ndarray]
    ) -> Iterator[np.ndarray]:
        """The pictures of a variant; at first off's are drawn too, and what each takes is filled in."""
        for index in range(self._length):
            timed = reference if index <= self._settings.timed else None
            if timed is not None and index % 2:  # by turns first: who comes second finds the caches warm
                columns["ms_off"][index] = timed()[1]
            image, milliseconds = rendered()
            if timed is not None and not index % 2:
                columns["ms_off"][index] = timed()[1]
            if reference is None or timed is not None:
                columns["ms"][index] = milliseconds
            yield image

    def _keep(self, index: int, image: np.ndarray, folder: Path, video: Video | None, with_truth: bool) -> None:
        """What sheet and video are made of later; the run without improvements keeps the driver's pictures as well."""
        beside = [image]
        if with_truth and np.isfinite(self.points[index, 0, 0]):
            beside = [self.truth.image(index), image]
        elif with_truth:
            beside = [np.zeros_like(image), image]
        if index in self.shown:
            for name, picture in zip((DRIVER_PICTURE, PICTURE)[-len(beside) :], beside, strict=True):
                cv2.imwrite(str(folder / name.format(index)), picture[..., ::-1])
        if video is not None:
            video.write(np.concatenate(beside, 1), index)

    def _is_sampled(self, index: int) -> bool:
        """Every stride-th frame with a face; not the first, which may be the photo itself."""
        return index > 0 and index % self.setting.stride == 0 and bool(np.isfinite(self.points[index, 0, 0]))

    def _compare(self, index: int, image: np.ndarray, before: np.ndarray, columns: dict[str, np.ndarray]) -> None:
        """The columns that need the true picture, for one frame."""
        if not self.setting.pair.same_person:
            return
        most = self._settings.most_db
        truth, points, size = self._true_image(index), self.points[index], (IMAGE_SIZE, IMAGE_SIZE)
        mask = metrics.face_mask(points, size)
        agreement = metrics.detail(image, truth, mask)
        values = {
            "psnr": min(metrics.psnr(image, truth), most),
            "face_psnr": min(metrics.face_psnr(image, truth, points), most),
            "eye_psnr": min(metrics.eye_psnr(image, truth, points), most),
            "ssim": metrics.ssim(image, truth),
            "gmsd": metrics.gmsd(image, truth),
            "stability": metrics.temporal_stability(image, before, self._flow(index)),
            "detail": agreement.fidelity,
            "detail_energy": agreement.energy,
            "detail_correlation": agreement.correlation,
            "gradient": metrics.gradient_energies(image, mask),
            "gradient_truth": metrics.gradient_energies(truth, mask),
        }
        if index % (self._settings.ms_ssim_stride * self.setting.stride) == 0:
            values["ms_ssim"] = metrics.ms_ssim(image, truth)
        if self._lpips:
            values["lpips"] = self._lpips(image, truth)
        for name, value in values.items():
            columns[name][index] = value

    def _follow(self, images: Iterator[np.ndarray], columns: dict[str, np.ndarray]) -> np.ndarray:
        """(T, 478, 3): the face followed through the result."""
        points = np.full((self._length, metrics.N_POINTS, 3), np.nan)
        self.tracker.reset()
        for index, image in enumerate(images):
            if (found := self.tracker.follow(image)) is not None:
                points[index] = found.points
                if self._csim and self._is_sampled(index):
                    columns["csim"][index] = self._csim(image, found.points, *self._photo_face)
            columns["found"][index] = found is not None
        self.tracker.reset()
        columns["found"][~np.isfinite(self.points[:, 0, 0])] = np.nan
        return points

    def _zoomed(self, points: np.ndarray) -> np.ndarray:
        """(K, 2, 478, 2) float32: where the driver's face is in the frames of the sheet, and where the result's is."""
        theirs, mine = (x[self.shown, :, :2].astype(np.float32) for x in (self.points, points))
        return np.stack([theirs, np.where(np.isfinite(mine), mine, theirs)], 1)

    def _true_image(self, index: int) -> np.ndarray:
        if index not in self._images:
            self._images[index] = self.truth.image(index)
        return self._images[index]

    def _flow(self, index: int) -> np.ndarray:
        """The truth's flow into a frame; kept, at half precision, because every variant needs it."""
        if index not in self._flows:
            flow = metrics.backward_flow(self._true_image(index), self.truth.image(index - 1))
            self._flows[index] = flow.astype(np.float16)
        return self._flows[index].astype(np.float32)

    @cached_property
    def _measured(self) -> dict[str, Path]:
        return {}  # folders of results by what decides their pictures

    @cached_property
    def _images(self) -> dict[int, np.ndarray]:
        return {}

    @cached_property
    def _flows(self) -> dict[int, np.ndarray]:
        return {}

    @cached_property
    def _lpips(self) -> metrics.PictureMetric | None:
        return metrics.lpips_metric(self.setting.lpips_weights)

    @cached_property
    def _csim(self) -> metrics.FaceMetric | None:
        return metrics.csim_metric()

    @cached_property
    def _photo_face(self) -> tuple[np.ndarray, np.ndarray]:
        image = self.source.shown()[0]
        found = self.tracker.detect(image)
        if found is None:
            raise UserError(f"{self.photo}: no face was found in it")
        return image, found.points
