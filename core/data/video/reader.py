"""Videos as streams: frames one at a time, with their exact times."""

import weakref
from collections.abc import Collection, Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Self

import av
import numpy as np
from av.sidedata.sidedata import Type as SideData
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from core.data.image import check_file
from core.data.media import MAX_FPS, open_media, time_base, video_stream
from core.errors import UserError

_UNSPECIFIED_SPACES = (2, 3)  # AVCOL_SPC_UNSPECIFIED, AVCOL_SPC_RESERVED


@dataclass(frozen=True, slots=True, eq=False)  # arrays have no single truth value
class VideoFrame:
    """One decoded frame.

    Attributes:
        index: 0, 1, 2, ... in the order of display.
        time: seconds since the start of the video stream; strictly increasing.
        image: uint8 (H, W, 3) RGB, upright.
    """

    index: int
    time: Fraction
    image: np.ndarray


class VideoReader:
    """The frames of a video file, decoded as they are asked for; iterate as often as wanted.

    Attributes:
        path: the file.
        fps: average frame rate, exact (30000/1001 stays that).
        size: (width, height) of the images: upright, with square pixels.
        frame_estimate: number of frames as the file claims, None if it does not say.
        duration: seconds as the file claims, None if it does not say.
        has_audio: whether there is an audio stream.
        variable: whether the file's rates hint at frames of unequal length.
        lost: packets that could not be decoded, in the latest iteration so far.

    Raises:
        UserError: missing, a folder, empty, not a video, no video stream, no frame that can be decoded.
    """

    def __init__(self, path: Path) -> None:
        self.path = check_file(path, "video")
        self.lost = 0
        self._closed = False
        self._live: weakref.WeakSet[Generator[VideoFrame, None, None]] = weakref.WeakSet()
        with open_media(self.path) as container:
            stream = video_stream(container, self.path)
            self.fps = _rate(stream)
            base = stream.base_rate
            self.variable = base is not None and base > 0 and abs(base - self.fps) > self.fps / 1000
            self.duration = _duration(container, stream)
            self.has_audio = bool(container.streams.audio)
            self.frame_estimate = stream.frames or (round(self.duration * self.fps) if self.duration else None) or None
            # The orientation is only told with a frame, and a file without one is better refused here than later.
            first = next(self._decode(container, stream), None)
            if first is None:
                raise UserError(f"{self.path} holds no frame that can be decoded: it is empty or damaged, take another")
            aspect = stream.sample_aspect_ratio or Fraction(1)
            if not Fraction(1, 4) < aspect < 4:
                aspect = Fraction(1)
            self._aspect = aspect
            self._stored = _shape(first, aspect)
            self._orientation = _orientation(first)
            self.size = self._stored[::-1] if self._orientation[0] else self._stored
            # Without a start time in the header the first frame's own time is the start.
            start = stream.start_time if stream.start_time is not None else first.pts
            self._start = (start or 0) * time_base(stream)
        self.lost = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the iterations under way and free what they hold."""
        self._closed = True
        for frames in list(self._live):
            frames.close()

    def __iter__(self) -> Iterator[VideoFrame]:
        return self._begun(None)

    def at(self, indices: Collection[int]) -> Iterator[VideoFrame]:
        """The frames of these indices alone, in the order of display; those between are decoded, not converted."""
        return self._begun(frozenset(indices))

    def _begun(self, indices: frozenset[int] | None) -> Iterator[VideoFrame]:
        if self._closed:
            raise ValueError(f"the reader of {self.path} is closed")
        frames = self._frames(indices)
        self._live.add(frames)
        return frames

    def _frames(self, indices: frozenset[int] | None) -> Generator[VideoFrame, None, None]:
        self.lost = 0
        with open_media(self.path) as container:
            stream = video_stream(container, self.path)
            stream.thread_type = "AUTO"
            reformatter = VideoReformatter()
            last: Fraction | None = None
            final = float("inf") if indices is None else max(indices, default=-1)
            for index, frame in enumerate(self._decode(container, stream)):
                last = self._time(frame, last)
                if indices is None or index in indices:
                    yield VideoFrame(index, last, self._image(frame, reformatter))
                if index >= final:
                    return

    def _decode(self, container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
        """Frames in display order; what is damaged is counted in `lost` and passed over."""
        failures = 0  # in a row, of the demuxer: it may go on after one, but not forever
        while failures < 16:
            try:
                for packet in container.demux(stream):
                    failures = 0
                    try:
                        frames = packet.decode()
                    except av.FFmpegError:
                        self.lost += 1
                        continue
                    yield from frames
                return
            except (av.FFmpegError, OSError):
                self.lost += 1
                failures += 1

    def _time(self, frame: av.VideoFrame, last: Fraction | None) -> Fraction:
        step = 1 / self.fps
        if frame.pts is None or frame.time_base is None:
            return Fraction(0) if last is None else last + step
        time = frame.pts * Fraction(frame.time_base) - self._start
        # Containers round times to their tick (Matroska: 1 ms). Within a tick of the regular grid, the grid is meant.
        regular = round(time / step) * step
        tick = Fraction(frame.time_base)
        if abs(regular - time) <= tick < step / 8 and (last is None or regular > last):
            time = regular
        if last is None:
            return max(time, Fraction(0))
        return time if time > last else last + step

    def _image(self, frame: av.VideoFrame, reformatter: VideoReformatter) -> np.ndarray:
        width, height = _shape(frame, self._aspect)
        if (width, height) == self._stored:
            picture = _to_rgb(frame, self._stored, reformatter)
        else:  # the stream changed its size: fitted in, with black around it
            scale = min(self._stored[0] / width, self._stored[1] / height)
            width, height = max(1, int(width * scale)), max(1, int(height * scale))
            x, y = (self._stored[0] - width) // 2, (self._stored[1] - height) // 2
            picture = np.zeros((self._stored[1], self._stored[0], 3), np.uint8)
            picture[y : y + height, x : x + width] = _to_rgb(frame, (width, height), reformatter)
        transpose, flip_x, flip_y = self._orientation
        if transpose:
            picture = picture.transpose(1, 0, 2)
        if flip_x:
            picture = picture[:, ::-1]
        if flip_y:
            picture = picture[::-1]
        return np.ascontiguousarray(picture)


def _rate(stream: av.VideoStream) -> Fraction:
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate and 0 < rate <= MAX_FPS:
            return Fraction(rate)
    return Fraction(25)


def _duration(container: av.container.InputContainer, stream: av.VideoStream) -> Fraction | None:
    if stream.duration:
        return stream.duration * time_base(stream)
    return Fraction(container.duration, av.time_base) if container.duration else None


def _orientation(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """(transpose, flip x, flip y), in this order, that make the frame upright: its display matrix in quarter turns."""
    side = frame.side_data.get(SideData.DISPLAYMATRIX)  # type: ignore[call-overload]  # the stub knows numbers alone
    if side is None:
        return False, False, False
    a, b, _, c, d = np.frombuffer(bytes(side), np.int32)[:5]  # x' = a x + c y, y' = b x + d y, y down
    if abs(int(b)) + abs(int(c)) > abs(int(a)) + abs(int(d)):
        return True, bool(c < 0), bool(b < 0)
    return False, bool(a < 0), bool(d < 0)


def _shape(frame: av.VideoFrame, aspect: Fraction) -> tuple[int, int]:
    """(width, height) with square pixels; `aspect` is that of the stored ones."""
    return max(1, round(frame.width * aspect)), frame.height


def _to_rgb(frame: av.VideoFrame, size: tuple[int, int], reformatter: VideoReformatter) -> np.ndarray:
    """uint8 (H, W, 3) of `size`, full range, by the matrix the frame is tagged with."""
    space = None
    if frame.colorspace in _UNSPECIFIED_SPACES:
        # Untagged: what players assume. High definition is BT.709, the rest BT.601.
        space = Colorspace.ITU709 if frame.height > 576 or frame.width >= 1280 else Colorspace.ITU601
    rgb = reformatter.reformat(
        frame, *size, "rgb24", src_colorspace=space, dst_color_range=ColorRange.JPEG, threads=1
    ).to_ndarray()
    if frame.interlaced_frame and size[1] == frame.height > 2:
        # The lower lines were taken half a frame later: drawn from the upper ones, a moving face has no combs.
        rgb = rgb.copy()
        upper = rgb[0::2].astype(np.uint16)
        below = np.concatenate([upper[1:], upper[-1:]])[: rgb[1::2].shape[0]]
        rgb[1::2] = (upper[: below.shape[0]] + below + 1) // 2
    return rgb
