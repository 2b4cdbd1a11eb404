"""The avatar as the pipeline makes it, frame by frame in any order."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks._truth import BUILD, digest
from core.data.image import read_image, write_image
from core.data.records import TrackedSequence, TrackedSource
from core.data.video import VideoReader
from core.libs.motion_transfer import resting_transform
from core.libs.tracker.mediapipe_tracker import MediaPipeTracker
from core.libs.tracker.track import track_source_image
from core.options import Options
from core.pipeline import Parts, Pipeline, default_parts, image_tools


def lossless_first_frame(clip: Path) -> Path:
    """The first frame of a video as a PNG: the photo of self-reenactment."""
    path = BUILD / f"{clip.stem}-{digest(clip.read_bytes())}-source.png"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, next(iter(VideoReader(clip))).image)
    return path


def source_in_crop(photo: Path, crop: np.ndarray, tracker: MediaPipeTracker) -> TrackedSource:
    """As `track_source`, but in a given crop (x, y, side): that of the driver's first frame, which the photo is.

    With its own crop, set around its own face, the photo would be shown at another size and place than the clip, and
    what is not the head - the shoulders - could not be where the clip has it.
    """
    return track_source_image(read_image(photo), tracker, str(photo), crop)


class Performance:
    """A photo moved by a driver, with the options of a run. The parts may be shared between performances.

    Args:
        options: of the run. parts: of its pipeline.
        tracker: given, the photo is the driver's first frame and is cropped as that is.

    Attributes:
        source: the photo, tracked. track: the driver as it was tracked. motion: what is rendered.
        render_seconds: spent in `__call__` so far, over `rendered` frames.
    """

    def __init__(self, options: Options, parts: Parts | None = None, tracker: MediaPipeTracker | None = None) -> None:
        pipeline = Pipeline(options, parts or default_parts(options))
        if tracker is not None:
            pipeline.source = source_in_crop(options.image_path, pipeline.driver.track.crops[0], tracker)
        self.parts = pipeline.parts
        self.source: TrackedSource = pipeline.source
        self.track: TrackedSequence = pipeline.driver.track
        self.motion: TrackedSequence = pipeline.motion
        self.parts.model.warm_up()
        self.avatar = self.parts.model.encode(self.source, resting_transform(self.source.frame, self.motion))
        self._image_tools = image_tools(options)
        self.render_seconds, self.rendered = 0.0, 0

    def __call__(self, index: int) -> np.ndarray:
        """(512, 512, 3) uint8: the frame `index` of the result, without a mark."""
        start = time.perf_counter()
        frame = replace(self.motion[index], residual=self.source.frame.residual)
        picture = self.parts.model.render(self.avatar, self.parts.head.evaluate(frame), frame.transform_matrix)
        for tool in self._image_tools:
            picture = tool(picture, frame)
        self.render_seconds += time.perf_counter() - start
        self.rendered += 1
        return to_image(picture)


def to_image(picture: torch.Tensor) -> np.ndarray:
    """(3, H, W) in 0..1 to (H, W, 3) uint8."""
    values = picture.clamp(0, 1).mul(255).round().byte()
    return values.permute(1, 2, 0).contiguous().numpy()


def frame_indices(total: int, limit: int | None, stride: int) -> Sequence[int]:
    """Every `stride`-th of the first `limit` frames."""
    return range(0, min(total, limit or total), max(stride, 1))
