"""The avatar as the pipeline makes it, frame by frame in any order."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from core.components import Components
from core.data.records import TrackedSequence, TrackedSource
from core.evaluation.truth import lossless_first_frame, source_in_crop
from core.libs.tracker.mediapipe_tracker import MediaPipeTracker
from core.options import Options
from core.pipeline import Pipeline, to_image

__all__ = ["Performance", "frame_indices", "lossless_first_frame", "source_in_crop", "to_image"]


class Performance:
    """A photo moved by a driver, with the options of a run. The components may be shared between performances.

    Args:
        options: of the run. components: of its pipeline.
        tracker: given, the photo is the driver's first frame and is cropped as that is.

    Attributes:
        source: the photo, tracked. track: the driver as it was tracked. motion: what is rendered. avatar: what renders.
        render_seconds: spent in `__call__` so far, over `rendered` frames.
    """

    def __init__(
        self, options: Options, components: Components | None = None, tracker: MediaPipeTracker | None = None
    ) -> None:
        self._pipeline = pipeline = Pipeline(options, components)
        if tracker is not None:
            crop, head = pipeline.driver.track.crops[0], pipeline.components.open_head
            pipeline.source = source_in_crop(options.image_path, crop, tracker, open_head=head)
        self.components = pipeline.components
        self.source: TrackedSource = pipeline.source
        self.track: TrackedSequence = pipeline.driver.track
        self.motion: TrackedSequence = pipeline.motion
        self.avatar = pipeline.avatar
        self.render_seconds, self.rendered = 0.0, 0

    def __call__(self, index: int) -> np.ndarray:
        """(512, 512, 3) uint8: the frame `index` of the result, without a mark."""
        start = time.perf_counter()
        image = to_image(self._pipeline.draw(self.motion[index]))
        self.render_seconds += time.perf_counter() - start
        self.rendered += 1
        return image


def frame_indices(total: int, limit: int | None, stride: int) -> Sequence[int]:
    """Every `stride`-th of the first `limit` frames."""
    return range(0, min(total, limit or total), max(stride, 1))
