"""From parameters to pictures, frame by frame: the layers of a picture in their order, for files and for live use."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.components import Avatar
from core.data.records import TrackedFrame, TrackedSource
from core.improvements import Improvements
from core.models.request import DrawRequest
from core.pipeline.backdrop import Backdrop

if TYPE_CHECKING:
    import torch

    from core.libs.flame_model import Head
    from core.libs.geometry import Camera


@dataclass(frozen=True)
class Drawing:
    """What draws the frames of a motion.

    Attributes:
        model: renders. head: evaluates the parameters. avatar: what `model` made of the photo. source: that photo.
        improvements: of the picture, those that are on.
        backdrop: what the person is put over; None where there is nothing, or the avatar draws on it already.
        transparent: nothing is behind the person, and pictures come with an alpha channel.
        camera: that draws; None: of the photo's shown crop.
        bare: pictures are the person alone, straight RGB and matte (4, H, W), as drawn: whoever asked puts them over
            something, and no improvement changes pictures.
    """

    model: Avatar
    head: Head
    avatar: Any
    source: TrackedSource
    improvements: Improvements
    backdrop: Backdrop | None = None
    transparent: bool = False
    camera: Camera | None = None
    bare: bool = False

    def pictures(self, frames: Iterable[TrackedFrame]) -> Generator[torch.Tensor, None, None]:
        """The pictures (3, H, W) in 0..1 of frames, (4, H, W) where `transparent`, in the host's memory.

        A GPU draws the next one while the last one's eyes are seen to on the host.
        """
        from core.libs.geometry import seen_from
        from core.runtime.device import on_host  # it loads torch

        improvements, backdrop = self.improvements, self.backdrop
        alone = backdrop is not None or self.transparent or self.bare
        draw = self.model.draw_foreground if alone else self.model.render
        source_transform = self.source.frame.transform_matrix
        shown: deque[np.ndarray | None] = deque()

        def begin() -> Iterator[torch.Tensor]:
            for frame in frames:
                vertices, transform = self.head.evaluate(frame), seen_from(frame.transform_matrix, frame.view)
                points = improvements.points(vertices, transform, self.head, self.source.size)
                if points is not None and self.camera is not None:
                    points = points - self.camera.corner
                shown.append(points)
                request = DrawRequest(
                    vertices,
                    frame.transform_matrix,
                    detail=improvements.source_detail(source_transform, transform),
                    torso_motion=frame.torso_motion,
                    view=frame.view,
                    mouth=frame.mouth_interior,
                    camera=self.camera,
                )
                picture = draw(self.avatar, request)
                yield picture if alone else improvements.sharpen(picture, points)

        for index, picture in enumerate(on_host(begin())):
            points = shown.popleft()
            if self.bare:
                yield picture
            elif backdrop is not None:
                yield improvements.over(picture, backdrop.at(index), points)
            elif alone:
                yield improvements.cut_out(picture, points)
            else:
                yield improvements.clear_eyes(picture, points)
