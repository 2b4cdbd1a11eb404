"""What stands behind the person, frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np

from core.background import Background
from core.components import Avatar, Components
from core.data.image import read_image
from core.data.records import TrackedSource
from core.data.video import VideoReader
from core.errors import UserError

if TYPE_CHECKING:
    from core.pipeline.whole import Region


class Backdrop(Protocol):
    """Pictures behind the person, as large as the frames."""

    def at(self, index: int) -> np.ndarray:
        """(H, W, 3) float32 RGB in 0..1 behind frame `index`; it may be read until the next call, not written to."""
        ...


class StillBackdrop:
    """One picture behind all frames: (H, W, 3) uint8 RGB."""

    def __init__(self, picture: np.ndarray) -> None:
        self._picture = np.ascontiguousarray(picture, np.float32) / 255

    def at(self, index: int) -> np.ndarray:
        return self._picture


class PlainBackdrop:
    """A colour, RGB in 0..1, behind all frames of a size (width, height)."""

    def __init__(self, color: tuple[float, float, float], size: tuple[int, int]) -> None:
        self._picture = np.empty((size[1], size[0], 3), np.float32)
        self._picture[...] = color

    def at(self, index: int) -> np.ndarray:
        return self._picture


class VideoBackdrop:
    """A video that runs along, from its start at frame 0; one that ends begins again, and a line says so.

    Args:
        path: of the video. times: of the frames, seconds. size: (width, height) of the frames. say: tells a line.
    """

    def __init__(
        self, path: Path, times: Sequence[Fraction], size: tuple[int, int], say: Callable[[str], None]
    ) -> None:
        self._reader = VideoReader(path)
        self._times, self._size, self._say = times, size, say
        self._told = False
        duration = self._reader.duration
        if duration is not None and len(times) and duration < times[-1]:
            self._tell()
        self._frames = self._endless()
        self._next = next(self._frames)
        self._show(*self._next)

    def at(self, index: int) -> np.ndarray:
        now = self._times[index]
        if now < self._time:  # asked again from the start
            self._restart()
        while self._next[0] <= now:
            self._show(*self._next)
            self._next = next(self._frames)
        return self._picture

    def _restart(self) -> None:
        self._frames = self._endless()
        self._show(*next(self._frames))
        self._next = next(self._frames)

    def _show(self, time: Fraction, image: np.ndarray) -> None:
        self._time = time
        self._picture = cover(image, self._size).astype(np.float32) / 255

    def _endless(self) -> Iterator[tuple[Fraction, np.ndarray]]:
        begins = Fraction(0)
        while True:
            last = Fraction(0)
            for frame in self._reader:
                last = frame.time
                yield begins + last, frame.image
            begins += last + 1 / self._reader.fps
            self._tell()

    def _tell(self) -> None:
        if not self._told:
            self._say(f"{self._reader.path.name} is shorter than the driver: it runs again from its start")
        self._told = True


def cover(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture (h, w, 3) uint8 as (H, W, 3) of a size (W, H): scaled until it covers that, its middle cut out."""
    height, width = picture.shape[:2]
    if (width, height) == size:
        return picture
    factor = max(size[0] / width, size[1] / height)
    scaled = max(size[0], round(width * factor)), max(size[1], round(height * factor))
    shrinks = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    picture = cv2.resize(picture, scaled, interpolation=shrinks)
    left, top = (scaled[0] - size[0]) // 2, (scaled[1] - size[1]) // 2
    return np.ascontiguousarray(picture[top : top + size[1], left : left + size[0]])


def drawn_alone(background: Background, model: Avatar) -> bool:
    """Whether the avatar is drawn alone, to be put over the background, and not on one of its own.

    Raises:
        UserError: the avatar draws on nothing but its own background.
    """
    if background.kind == "transparent":
        return True
    able = hasattr(model, "draw_foreground")
    if background.color is not None:
        return able and background.color != tuple(model.background.tolist())
    if not able and background.asked:
        raise UserError(f"--background: the avatar {model.name} has a background of its own; give none")
    return able


def asks_for_plate(background: Background, components: Components, source: TrackedSource) -> bool:
    """Whether what stands behind the person of a photo has to be known: it is shown, or the person is freed of it."""
    if not (source.joined or drawn_alone(background, components.model)):
        return False
    return components.separate is not None or source.joined or background.kind == "photo"


def plate_of(components: Components, source: TrackedSource, photo: np.ndarray | None = None) -> np.ndarray:
    """What stands behind the person of a photo (H, W, 3), (S, S, 3) uint8 of the wide crop.

    Where the frame is the head's crop, the photo is not asked for.
    """
    if not source.joined:
        return components.plate(source.image, source.matte, source.inside)
    from core.pipeline.whole import whole_plate  # it loads torch

    assert photo is not None
    return whole_plate(components, source, photo)


def person_of(components: Components, source: TrackedSource, plate: np.ndarray) -> TrackedSource:
    """The person of a photo over its plate, with their own colours.

    Where the head's crop goes on beyond the photo, so does the person.
    """
    if source.joined:
        return source if components.separate is None else components.separate(source, plate)
    from core.libs.beyond_photo import continued_beyond, guessed_beyond  # it loads numba

    continued = continued_beyond(source)
    if components.separate is None:
        return continued
    return guessed_beyond(components.separate(continued, plate), source, continued)


def still_backdrop(
    background: Background,
    components: Components,
    size: tuple[int, int],
    source: TrackedSource,
    plate: np.ndarray | None = None,
    region: Region | None = None,
    moves: np.ndarray | None = None,
) -> Backdrop | None:
    """What a person is put over that stays the same; None where there is nothing, or the avatar draws on it already.

    `size`: (width, height) of the frames. `plate`: of the photo's wide crop, where it is known. `region`: of the whole
    photo that is drawn; then the photo is what stands behind that, and anything else is as large as the frames.
    `moves`: (S, S) see `core.models.LiftedAvatar.models.Avatar`.

    Raises:
        UserError: the avatar draws on nothing but its own background.
    """
    if background.kind == "transparent" or (region is None and not drawn_alone(background, components.model)):
        return None
    if background.color is not None:
        return PlainBackdrop(background.color, size)
    if background.kind == "photo":
        if plate is None:
            plate = components.plate(source.image, source.matte, source.inside)
        if region is None:
            return StillBackdrop(source.middle(plate))
        if source.foreground is None or moves is None:
            return StillBackdrop(region.cut(source, plate))
        parts = source.image, source.foreground, source.matte, plate, moves
        image, colors, matte, behind, moved = (region.cut(source, part) for part in parts)
        from core.libs.foreground import resting_plate

        return StillBackdrop(resting_plate(image, colors, matte, behind, moved))
    assert background.path is not None  # `find_background` has seen it
    return StillBackdrop(cover(read_image(background.path), size))
