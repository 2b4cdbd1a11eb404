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
from av.stream import Discard, Disposition
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter

from core.data.image import MEDIA_OPTIONS, check_file, check_target, part_of
from core.errors import UserError

TICKS = 90_000  # ticks per second that a written file can tell apart at least (the clock of MPEG systems)
MAX_TIMESCALE = 2**31 - 1
MAX_FPS = 1000
COPIED_AUDIO = ("aac", "mp3", "opus")  # what browsers play inside mp4; the rest becomes AAC
METADATA_KEYS = ("title", "artist", "comment", "description", "synopsis", "copyright", "date", "genre", "show")
_AAC_FRAME = 1024
_AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
_AVCOL_SPC_BT709 = 1
_UNSPECIFIED_SPACES = (2, 3)  # AVCOL_SPC_UNSPECIFIED, AVCOL_SPC_RESERVED
_WARM_UP = Fraction(1, 10)  # seconds of copied audio kept before time 0: the decoder's priming, hidden by the edit list


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
        with _open(self.path) as container:
            stream = _video_stream(container, self.path)
            self.fps = _rate(stream)
            base = stream.base_rate
            self.variable = bool(base) and abs(base - self.fps) > self.fps / 1000
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
            self._start = (start or 0) * stream.time_base
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
        with _open(self.path) as container:
            stream = _video_stream(container, self.path)
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

    Attributes:
        frames: number of frames written.
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
    ) -> None:
        self.path = check_target(path, (".mp4", ".m4v", ".mov"))
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
        self._audio: _Audio | None = None
        self._part = part_of(self.path)
        try:
            self._part.touch()  # FFmpeg creates the file with its first packet: too late to hear of a missing right
            flags = {"movflags": "+faststart"}
            self._container = av.open(str(self._part.absolute()), "w", format="mp4", container_options=flags)
        except OSError as error:
            self._part.unlink(missing_ok=True)
            raise UserError(f"{self.path} cannot be written ({error.strerror}): check the folder") from error
        try:
            self._container.metadata.update({key: str(value) for key, value in (metadata or {}).items()})
            self._stream = self._add_video(crf, preset)
            if audio_from is not None:
                self._audio = _Audio.of(audio_from, self._container, Fraction(audio_offset))
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
        else:
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
            self._mux(None, self._last + 1 / self.fps)
            if self._audio:
                self._audio.close()
            self._container.close()
            self._part.replace(self.path)
        except OSError as error:
            self._discard()
            raise UserError(f"{self.path} cannot be written ({error.strerror}): check the disk") from error
        except BaseException:
            self._discard()
            raise
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
        self._part.unlink(missing_ok=True)


class _Audio:
    """The audio of one file on its way into another, as far as it is asked for.

    Both kinds start their clock at the source's video stream plus an offset, and are driven by `advance`.
    """

    mode: Literal["copied", "transcoded", "none", "unreadable"] = "none"

    def __init__(self, source: av.container.InputContainer, output: av.container.OutputContainer, offset: Fraction):
        self._source = source
        self._output = output
        self._origin = offset
        for stream in source.streams.video:
            if not _is_cover(stream) and stream.start_time is not None:
                self._origin += stream.start_time * stream.time_base
                break

    @staticmethod
    def of(path: Path, output: av.container.OutputContainer, offset: Fraction) -> "_Audio":
        """Choose copying or encoding and add the stream to `output`."""
        source = _open(path)
        try:
            stream = source.streams.best("audio")
            if stream is None or stream.codec_context is None:
                audio = _Audio(source, output, offset)
                audio.mode = "unreadable" if source.streams.audio else "none"
                return audio
            for other in source.streams:
                if other is not stream:
                    other.discard = Discard.all
            copied = stream.codec_context.codec.canonical_name in COPIED_AUDIO
            return (_CopiedAudio if copied else _EncodedAudio)(source, output, offset, stream)
        except BaseException:
            source.close()
            raise

    def advance(self, until: Fraction, last: bool = False) -> None:
        """Write what begins before `until` (seconds of the written video); `last`: nothing more will come."""

    def close(self) -> None:
        self._source.close()

    def _demux(self, stream: av.AudioStream) -> Iterator[av.Packet]:
        with suppress(av.FFmpegError, OSError):  # what cannot be read any more is silent
            yield from self._source.demux(stream)


class _CopiedAudio(_Audio):
    """Packets go over as they are."""

    mode = "copied"

    def __init__(self, source, output, offset, stream: av.AudioStream) -> None:
        super().__init__(source, output, offset)
        self._target = output.add_stream_from_template(stream)
        self._packets = self._demux(stream)
        self._pending = next(self._packets, None)
        self._shift = round(self._origin / stream.time_base)
        self._last_dts: int | None = None

    def advance(self, until: Fraction, last: bool = False) -> None:
        while (packet := self._pending) is not None:
            if packet.pts is not None and packet.size:
                time = (packet.pts - self._shift) * packet.time_base
                if time >= until:
                    return
                if time > -_WARM_UP:
                    self._write(packet)
            self._pending = next(self._packets, None)

    def _write(self, packet: av.Packet) -> None:
        packet.pts -= self._shift
        packet.dts = packet.pts  # audio is not reordered
        if self._last_dts is not None and packet.dts <= self._last_dts:
            return  # the muxer takes increasing times only; a repeated packet is a fault of the source
        self._last_dts = packet.dts
        packet.stream = self._target
        self._output.mux(packet)


class _EncodedAudio(_Audio):
    """Sound is decoded and encoded as AAC."""

    mode = "transcoded"

    def __init__(self, source, output, offset, stream: av.AudioStream) -> None:
        super().__init__(source, output, offset)
        self._rate = stream.rate if stream.rate in _AAC_RATES else 48_000
        self._layout = "mono" if stream.layout.nb_channels == 1 else "stereo"
        self._target = output.add_stream("aac", rate=self._rate, layout=self._layout, format="fltp", bit_rate=192_000)
        self._sound = self._samples(stream)
        self._buffer = np.zeros((1 if self._layout == "mono" else 2, 0), np.float32)
        self._written = 0  # samples

    def advance(self, until: Fraction, last: bool = False) -> None:
        end = round(until * self._rate)
        size = _AAC_FRAME
        while self._written < end and (last or self._written + size <= end):
            wanted = min(size, end - self._written)
            while self._buffer.shape[1] < wanted and (piece := next(self._sound, None)) is not None:
                self._buffer = np.concatenate([self._buffer, piece], axis=1)
            chunk, self._buffer = self._buffer[:, :wanted], self._buffer[:, wanted:]
            if chunk.shape[1] == 0:
                break
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(chunk), format="fltp", layout=self._layout)
            frame.sample_rate = self._rate
            frame.time_base = Fraction(1, self._rate)
            frame.pts = self._written
            self._written += chunk.shape[1]
            self._output.mux(self._target.encode(frame))
        if last:
            self._output.mux(self._target.encode(None))

    def _samples(self, stream: av.AudioStream) -> Iterator[np.ndarray]:
        """float32 (channels, n) pieces without gaps from time 0 on."""
        position = 0
        channels = self._buffer.shape[0]
        for frame in self._resampled(stream):
            piece = frame.to_ndarray()
            if frame.pts is not None:
                start = round((frame.pts * frame.time_base - self._origin) * self._rate)
                # After the first piece only real gaps count: times in the file are rounded.
                if position == 0 or abs(start - position) > self._rate // 20:
                    for _ in range(position, start, self._rate):
                        silence = min(self._rate, start - position)
                        position += silence
                        yield np.zeros((channels, silence), np.float32)
                    piece = piece[:, max(0, position - start) :]
            if piece.shape[1]:
                position += piece.shape[1]
                yield piece

    def _resampled(self, stream: av.AudioStream) -> Iterator[av.AudioFrame]:
        def new() -> av.AudioResampler:
            return av.AudioResampler(format="fltp", layout=self._layout, rate=self._rate)

        resampler = new()
        for packet in self._demux(stream):
            try:
                frames = packet.decode()
            except av.FFmpegError:
                continue
            for frame in frames:
                try:
                    yield from resampler.resample(frame)
                except ValueError:  # the stream changed its rate or layout
                    resampler = new()
                    yield from resampler.resample(frame)
        yield from resampler.resample(None)


def _open(path: Path) -> av.container.InputContainer:
    """Open a media file; nothing but this file is read."""
    try:
        # An absolute path cannot be taken for a URL, whatever colons are in the name.
        return av.open(str(path.absolute()), options=MEDIA_OPTIONS, metadata_errors="replace")
    except (av.FFmpegError, OSError, ValueError) as error:
        raise UserError(f"{path} is not a video, or not a complete one: give an MP4, MOV, MKV, WebM or AVI") from error


def _is_cover(stream: av.VideoStream) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)


def _video_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    for stream in container.streams.video:
        if not _is_cover(stream):
            if stream.codec_context is None:
                raise UserError(f"{path} uses a video codec that is not supported: convert it to H.264 in an MP4 file")
            return stream
    raise UserError(f"{path} has no video stream: give a file with pictures in it, not only sound")


def _rate(stream: av.VideoStream) -> Fraction:
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate and 0 < rate <= MAX_FPS:
            return Fraction(rate)
    return Fraction(25)


def _duration(container: av.container.InputContainer, stream: av.VideoStream) -> Fraction | None:
    if stream.duration:
        return stream.duration * stream.time_base
    return Fraction(container.duration, av.time_base) if container.duration else None


def _orientation(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """(transpose, flip x, flip y), in this order, that make the frame upright: its display matrix in quarter turns."""
    side = frame.side_data.get(SideData.DISPLAYMATRIX)
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
