"""Videos in and out as streams: frames one at a time, exact rates and times, the driver's audio carried over.

Conventions: times are seconds as `Fraction`, 0 at the start of the video stream; images are uint8 (H, W, 3) RGB;
sizes are (width, height).
"""

import math
import os
import weakref
from collections.abc import Generator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import av
import numpy as np
from av.sidedata.sidedata import Type as SideData
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter

from core.data.audio import AudioTrack
from core.data.image import check_file, check_target
from core.data.media import open_media, time_base, video_stream
from core.data.part_file import PartFile
from core.errors import UserError

TICKS = 90_000  # ticks per second that a written file can tell apart at least (the clock of MPEG systems)
MAX_TIMESCALE = 2**31 - 1
MAX_FPS = 1000
METADATA_KEYS = ("title", "artist", "comment", "description", "synopsis", "copyright", "date", "genre", "show")
_AVCOL_SPC_BT709 = 1
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
        if self._closed:
            raise ValueError(f"the reader of {self.path} is closed")
        frames = self._frames()
        self._live.add(frames)
        return frames

    def _frames(self) -> Generator[VideoFrame, None, None]:
        self.lost = 0
        with open_media(self.path) as container:
            stream = video_stream(container, self.path)
            stream.thread_type = "AUTO"
            reformatter = VideoReformatter()
            last: Fraction | None = None
            for index, frame in enumerate(self._decode(container, stream)):
                last = self._time(frame, last)
                yield VideoFrame(index, last, self._image(frame, reformatter))

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


class VideoWriter:
    """Write frames to an mp4 file (H.264, yuv420p, BT.709), whole or not at all.

    Use as a context manager: the file appears under its name when the block ends well; when it ends with an
    exception, or without a frame, nothing is left.

    Args:
        path: ends in .mp4, .m4v or .mov; an existing file is replaced.
        fps: frames per second, exact; frames written without a time are 1 / fps apart.
        size: (width, height) of the images; an odd one is made even by repeating the last column or row.
        audio_from: file whose audio goes along, cut to the length of the video. Its time 0 is the start of its video
            stream, as in `VideoReader`.
        audio_offset: seconds on that clock at which the written video starts.
        crf: x264's constant rate factor; smaller is better and larger.
        preset: x264's preset.
        metadata: texts for the container, keys of `METADATA_KEYS`.
        keep_partial: what was written when an exception ends the block is finished as a file of its own, `partial`.

    Attributes:
        frames: number of frames written.
        partial: the file beside `path` that takes what was written before an exception.
        kept: `partial` where it was written, else None.
        audio: "copied", "transcoded", "none" (no audio given or found) or "unreadable" (no decoder for it).

    Raises:
        UserError: the target cannot be written, or `audio_from` cannot be opened.
    """

    def __init__(
        self,
        path: Path,
        fps: Fraction,
        size: tuple[int, int],
        audio_from: Path | None = None,
        *,
        audio_offset: Fraction = Fraction(0),
        crf: int = 17,
        preset: str = "superfast",
        metadata: Mapping[str, str] | None = None,
        keep_partial: bool = False,
    ) -> None:
        self.path = check_target(path, (".mp4", ".m4v", ".mov"))
        self.partial = partial_of(self.path)
        self.kept: Path | None = None
        self._keep_partial = keep_partial
        self.fps = Fraction(fps)
        self.size = size
        self.frames = 0
        if not 0 < self.fps <= MAX_FPS:
            raise ValueError(f"fps must be above 0 and at most {MAX_FPS}, got {fps}")
        if min(size) < 1:
            raise ValueError(f"size must be (width, height) of at least 1, got {size}")
        if unknown := set(metadata or {}) - set(METADATA_KEYS):
            raise ValueError(f"mp4 has no place for the metadata {sorted(unknown)}, only for {METADATA_KEYS}")
        if audio_from is not None:
            audio_from = check_file(audio_from, "video or audio")
            if self.path.exists() and self.path.samefile(audio_from):
                raise UserError(f"{self.path} is also the driver: write to another file")
        self._timescale = _timescale(self.fps)
        self._last: Fraction | None = None
        self._last_pts = -1
        self._reformatter = VideoReformatter()
        self._done = False
        self._audio: AudioTrack | None = None
        try:
            # Made here: FFmpeg creates the file with its first packet, too late to hear of a missing right.
            self._part = PartFile(self.path)
        except OSError as error:
            raise UserError(f"{self.path} cannot be written ({error.strerror}): check the folder") from error
        try:
            flags = {"movflags": "+faststart"}
            self._container = av.open(str(self._part.path.absolute()), "w", format="mp4", container_options=flags)
        except OSError as error:
            self._part.discard()
            raise UserError(f"{self.path} cannot be written ({error.strerror}): check the folder") from error
        try:
            self._container.metadata.update({key: str(value) for key, value in (metadata or {}).items()})
            self._stream = self._add_video(crf, preset)
            if audio_from is not None:
                self._audio = AudioTrack.of(audio_from, self._container, Fraction(audio_offset))
        except BaseException:
            self._discard()
            raise

    @property
    def audio(self) -> Literal["copied", "transcoded", "none", "unreadable"]:
        return self._audio.mode if self._audio else "none"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if kind is None:
            self.close()
            return
        if self._keep_partial and self._last is not None and not self._done:
            with suppress(Exception):  # it would hide the one that led here
                self._finish(self.partial)
                self.kept = self.partial
        self._discard()

    def write(self, image: np.ndarray, time: Fraction | None = None) -> None:
        """Add a frame.

        Args:
            image: uint8 (H, W, 3) RGB, of the writer's size.
            time: seconds at which it is shown, above the last one's; None: 1 / fps after the last one. The first
                frame is always shown from 0.
        Raises:
            UserError: the disk does not take it.
            ValueError: wrong shape, type or order, or the writer is closed.
        """
        width, height = self.size
        if self._done:
            raise ValueError(f"the writer of {self.path} is closed")
        if image.shape != (height, width, 3) or image.dtype != np.uint8:
            raise ValueError(f"image must be uint8 {(height, width, 3)}, got {image.dtype} {image.shape}")
        if self._last is None:
            time = Fraction(0)
        elif time is None:
            time = self._last + 1 / self.fps
        elif time <= self._last:
            raise ValueError(f"times must increase: {time} s comes after {self._last} s")
        self._last = time
        # Two times closer than a tick still need two different numbers.
        self._last_pts = max(round(time * self._timescale), self._last_pts + 1)
        frame = self._to_yuv(image)
        frame.pts = self._last_pts
        frame.time_base = Fraction(1, self._timescale)
        frame.duration = round(self._timescale / self.fps)
        self.frames += 1
        self._mux(frame, time)

    def close(self) -> None:
        """Finish the file and put it in its place; without a frame, leave nothing."""
        if self._done:
            return
        if self._last is None:
            self._discard()
            return
        try:
            self._finish(self.path)
        except OSError as error:
            self._discard()
            raise UserError(f"{self.path} cannot be written ({error.strerror}): check the disk") from error
        except av.FFmpegError as error:
            self._discard()
            raise self._unwritable(error) from error
        except BaseException:
            self._discard()
            raise

    def _finish(self, target: Path) -> None:
        assert self._last is not None  # without a frame there is nothing to finish
        self._mux(None, self._last + 1 / self.fps)
        if self._audio:
            self._audio.close()
        self._container.close()
        self._part.finish(target)
        self._done = True

    def _add_video(self, crf: int, preset: str) -> av.VideoStream:
        # Without B frames decoding times equal presentation times: with them the muxer takes the length of a video of
        # variable rate too short. It also saves a seventh of the time, for files a third larger.
        options = {"crf": str(crf), "preset": preset, "bf": "0"}
        stream = self._container.add_stream("libx264", rate=self.fps, options=options)
        stream.width, stream.height = (n + n % 2 for n in self.size)
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = Fraction(1, self._timescale)
        context.gop_size = max(1, math.ceil(4 * self.fps))  # a key frame every 4 s at most, for seeking
        context.colorspace = _AVCOL_SPC_BT709
        context.color_range = ColorRange.MPEG
        context.color_primaries = ColorPrimaries.BT709
        context.color_trc = ColorTrc.BT709
        # More threads hold more frames and bring little: the renderer has the cores.
        context.thread_type = "FRAME"
        context.thread_count = min(4, os.cpu_count() or 1)
        return stream

    def _to_yuv(self, image: np.ndarray) -> av.VideoFrame:
        height, width = image.shape[:2]
        if width % 2 or height % 2:
            image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(image), format="rgb24")
        return self._reformatter.reformat(
            frame,
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
            threads=1,  # a second one gains nothing here and takes a core from the renderer
        )

    def _mux(self, frame: av.VideoFrame | None, until: Fraction) -> None:
        try:
            self._container.mux(self._stream.encode(frame))
            if self._audio:
                self._audio.advance(until, last=frame is None)
        except OSError as error:
            raise UserError(f"{self.path} cannot be written ({error.strerror}): check the disk") from error
        except av.FFmpegError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: av.FFmpegError) -> Exception:
        """What the muxer does not take is the driver's sound, if there is one; the pictures are ours."""
        if self.audio == "none":
            return error
        return UserError(f"the driver's sound cannot be carried over ({error.strerror}): give the driver without it")

    def _discard(self) -> None:
        """Remove the unfinished file. An error on this way would hide the one that led here."""
        if self._done:
            return
        self._done = True
        with suppress(Exception):
            if self._audio:
                self._audio.close()
        with suppress(Exception):
            self._container.close()
        self._part.discard()


def partial_of(path: Path) -> Path:
    """Where what there is of a video goes when its run ends early: `clip.mp4` to `clip-partial.mp4`."""
    return path.with_stem(f"{path.stem}-partial")


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


def _timescale(fps: Fraction) -> int:
    """Ticks per second: 1 / fps is a whole number of them, and so is 1 / TICKS if that fits."""
    scale = math.lcm(fps.numerator, TICKS)
    if scale > MAX_TIMESCALE:
        scale = fps.numerator * max(1, TICKS // fps.numerator)
    if scale > MAX_TIMESCALE:
        raise ValueError(f"fps {fps} is too finely divided for mp4")
    return scale
