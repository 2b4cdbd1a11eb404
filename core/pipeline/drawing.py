"""From parameters to pictures, frame by frame: the layers of a picture in their order, for files and for live use."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from core.components import Avatar
from core.data.records import TrackedFrame, TrackedSource
from core.improvements import Improvements
from core.models.request import DrawRequest
from core.pipeline.backdrop import Backdrop
from core.runtime.compiling import kernels_at_once
from core.runtime.memory import giving_back
from core.runtime.threads import LaneSettings, in_lanes

if TYPE_CHECKING:
    import torch

    from core.libs.flame_model import Head
    from core.libs.geometry import Camera

_LANES = LaneSettings()  # of pictures that are drawn at once
_LANES_BESIDE_GPU = LaneSettings(most=4)  # of pictures that are finished meanwhile; chosen on sixteen cores


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

        A GPU draws the next one while the last one is finished on the host.
        """
        from core.runtime.device import on_host  # it loads torch

        shown: deque[np.ndarray | None] = deque()

        def begin() -> Iterator[torch.Tensor]:
            for frame in frames:
                picture, points = self._drawn(frame)
                shown.append(points)
                yield picture

        for index, picture in enumerate(on_host(begin())):
            yield self._finished(picture, shown.popleft(), self._behind(index))

    def pictures_at_once(self, frames: Iterable[TrackedFrame]) -> Generator[torch.Tensor, None, None]:
        """The same pictures, to the same bytes; several are drawn at once, each by some of the cores.

        What joins and waits within a picture is done side by side with the next. Where the avatar or the machine allows
        none of it they are drawn one after another.
        """
        threads, lanes = _shares(self.model)
        if lanes < 2:
            yield from self.pictures(frames)
            return
        begin = partial(_begin_lane, threads)
        if _on_gpu(self.model):
            yield from self._beside_gpu(frames, lanes, begin)
            return

        def draw(lane: Drawing, item: tuple[TrackedFrame, np.ndarray | None]) -> torch.Tensor:
            frame, behind = item
            return lane._finished(*lane._drawn(frame), behind)

        items = ((frame, self._behind(index)) for index, frame in enumerate(giving_back(frames)))
        yield from in_lanes(items, [partial(draw, lane) for lane in self._others(lanes)], begin)

    def _beside_gpu(
        self, frames: Iterable[TrackedFrame], lanes: int, begin: Callable[[], None]
    ) -> Generator[torch.Tensor, None, None]:
        """The same pictures: while a GPU draws one, threads evaluate the frames after it and finish the ones before."""
        from core.runtime.device import on_host

        def finish(lane: Drawing, item: tuple[torch.Tensor, Any, Any]) -> torch.Tensor:
            return lane._finished(*item)

        with closing(in_lanes(frames, [self._placed], begin)) as placed:
            shown: deque[tuple[np.ndarray | None, np.ndarray | None]] = deque()

            def draw() -> Iterator[torch.Tensor]:
                for index, (request, points) in enumerate(placed):
                    shown.append((points, self._behind(index)))
                    yield self._draw(request)

            items = ((picture, *shown.popleft()) for picture in on_host(draw()))
            finishers = [replace(self, improvements=self.improvements.another()) for _ in range(lanes)]
            yield from in_lanes(items, [partial(finish, lane) for lane in finishers], begin)

    def _behind(self, index: int) -> np.ndarray | None:
        return None if self.backdrop is None else self.backdrop.at(index)

    def _others(self, count: int) -> list[Drawing]:
        """So many that draw the same in other threads, also while this one draws something else."""
        another: Any = self.model  # `_shares` has seen that it can
        twins = ((another.another(self.avatar), self.improvements.another()) for _ in range(count))
        return [replace(self, avatar=avatar, improvements=improvements) for avatar, improvements in twins]

    @property
    def _alone(self) -> bool:
        return self.backdrop is not None or self.transparent or self.bare

    def _drawn(self, frame: TrackedFrame) -> tuple[torch.Tensor, np.ndarray | None]:
        """A frame as the avatar draws it, and the face's points in it."""
        request, points = self._placed(frame)
        return self._draw(request), points

    def _placed(self, frame: TrackedFrame) -> tuple[DrawRequest, np.ndarray | None]:
        """What the avatar is asked to draw for a frame, and the face's points in that."""
        from core.libs.geometry import seen_from

        improvements = self.improvements
        vertices, transform = self.head.evaluate(frame), seen_from(frame.transform_matrix, frame.view)
        points = improvements.points(vertices, transform, self.head, self.source.size)
        if points is not None and self.camera is not None:
            points = points - self.camera.corner
        request = DrawRequest(
            vertices,
            frame.transform_matrix,
            detail=improvements.source_detail(self.source.frame.transform_matrix, transform),
            torso_motion=frame.torso_motion,
            view=frame.view,
            mouth=frame.mouth_interior,
            camera=self.camera,
        )
        return request, points

    def _draw(self, request: DrawRequest) -> torch.Tensor:
        """The picture as the avatar draws it; a GPU's with its channels side by side, as tools on the host like."""
        draw = self.model.draw_foreground if self._alone else self.model.render
        picture = draw(self.avatar, request)
        if not _on_gpu(self.model):
            return picture
        return picture.permute(1, 2, 0).contiguous().permute(2, 0, 1)

    def _finished(self, picture: torch.Tensor, points: np.ndarray | None, behind: np.ndarray | None) -> torch.Tensor:
        """What `_drawn` gave, on the host, over what is `behind`, sharpened and with its eyes seen to."""
        if self.bare:
            return picture
        if behind is not None:
            return self.improvements.over(picture, behind, points)
        if self._alone:
            return self.improvements.cut_out(picture, points)
        return self.improvements.clear_eyes(self.improvements.sharpen(picture, points), points)


def _on_gpu(model: Avatar) -> bool:
    """Whether the host is free while a picture is drawn."""
    return getattr(model, "on_gpu", False)


def _begin_lane(threads: int) -> None:
    import torch
    from numba import set_num_threads

    set_num_threads(threads)
    torch.set_num_threads(1)  # idle threads of torch wait by spinning


def _shares(model: Avatar) -> tuple[int, int]:
    """How many threads each picture's kernels take, and how many pictures are worked on at once.

    Only where the avatar can be drawn twice at once, or is drawn on a GPU, and numba runs kernels of several threads at
    once.
    """
    if not (hasattr(model, "another") or _on_gpu(model)) or not kernels_at_once():
        return 1, 1
    from numba import get_num_threads

    lanes = min(threads := get_num_threads(), (_LANES_BESIDE_GPU if _on_gpu(model) else _LANES).most)
    return threads // lanes, lanes
