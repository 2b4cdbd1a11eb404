"""Videos written frame by frame, at exact times, the driver's audio carried over; whole or not at all."""

import math
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter

from core.data.audio import MP4, OPUS, AudioTrack, SoundFormat
from core.data.image import check_file, check_target
from core.data.media import MAX_FPS
from core.data.part_file import PartFile
from core.errors import UserError

MAX_TIMESCALE = 2**31 - 1
METADATA_KEYS = ("title", "artist", "comment", "description", "synopsis", "copyright", "date", "genre", "show")
_AVCOL_SPC_BT709 = 1
# Chroma as the mean of all four pixels that share it; by default libswscale takes that of two, and rounds roughly.
_EXACT = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP


class VideoWriter:
    """Write frames to an mp4 file (H.264, yuv420p, BT.709), whole or not at all.

    Or, with an alpha channel, to a .mov (ProRes 4444) or a .webm (VP9), whose times are rounded to milliseconds.

    Use as a context manager: the file appears under its name when the block ends well; when it ends with an
    exception, or without a frame, nothing is left.

    Args:
        path: ends in .mp4, .m4v or .mov, a transparent one in .mov or .webm; an existing file is replaced.
        fps: frames per second, exact; frames written without a time are 1 / fps apart.
        size: (width, height) of the images; an odd one is made even by repeating the last column or row.
        audio_from: file whose audio goes along, cut to the length of the video. Its time 0 is the start of its video
            stream, as in `VideoReader`.
        audio_offset: seconds on that clock at which the written video starts.
        crf: x264's constant rate factor, and VP9's; smaller is better and larger.
        preset: x264's preset.
        transparent: images have an alpha channel.
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
        transparent: bool = False,
    ) -> None:
        self.path = check_target(path, (".mov", ".webm") if transparent else (".mp4", ".m4v", ".mov"))
        self._kind = _kind_of(self.path, transparent)
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
            flags = {} if self._kind.container == "webm" else {"movflags": "+faststart"}
            target = str(self._part.path.absolute())
            self._container = av.open(target, "w", format=self._kind.container, container_options=flags)
        except OSError as error:
            self._part.discard()
            raise UserError(f"{self.path} cannot be written ({error.strerror}): check the folder") from error
        try:
            self._container.metadata.update({key: str(value) for key, value in (metadata or {}).items()})
            self._stream = self._add_video(crf, preset)
            if audio_from is not None:
                self._audio = AudioTrack.of(audio_from, self._container, Fraction(audio_offset), self._kind.sound)
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
            image: uint8 (H, W, 3) RGB, (H, W, 4) where the video is transparent, of the writer's size.
            time: seconds at which it is shown, above the last one's; None: 1 / fps after the last one. The first
                frame is always shown from 0.
        Raises:
            UserError: the disk does not take it.
            ValueError: wrong shape, type or order, or the writer is closed.
        """
        width, height = self.size
        if self._done:
            raise ValueError(f"the writer of {self.path} is closed")
        shape = (height, width, self._kind.channels)
        if image.shape != shape or image.dtype != np.uint8:
            raise ValueError(f"image must be uint8 {shape}, got {image.dtype} {image.shape}")
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
        options = {}  # ProRes is of one quality
        if self._kind.codec == "libx264":
            options = {"crf": str(crf), "preset": preset, "bf": "0"}
        elif self._kind.codec == "libvpx-vp9":  # hidden reference frames and alpha channels exclude one another
            options = {"crf": str(crf), "b": "0", "deadline": "realtime", "cpu-used": "6", "auto-alt-ref": "0"}
        stream = self._container.add_stream(self._kind.codec, rate=self.fps, options=options)
        assert isinstance(stream, av.VideoStream)  # each of the three is a video's
        stream.width, stream.height = (n + n % 2 for n in self.size)
        stream.pix_fmt = self._kind.pixels
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
        stored = "rgba" if self._kind.channels == 4 else "rgb24"
        frame = av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(image), format=stored)
        return self._reformatter.reformat(
            frame,
            format=self._kind.pixels,
            dst_colorspace=Colorspace.ITU709,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
            interpolation=_EXACT,
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


@dataclass(frozen=True)
class _Kind:
    """How a video is stored. `channels`: of the images. `sound`: how its sound is."""

    container: str
    codec: str
    pixels: str
    channels: int = 3
    sound: SoundFormat = MP4


def _kind_of(path: Path, transparent: bool) -> _Kind:
    if not transparent:
        return _Kind("mp4", "libx264", "yuv420p")
    if path.suffix.lower() == ".webm":
        return _Kind("webm", "libvpx-vp9", "yuva420p", 4, OPUS)
    return _Kind("mov", "prores_aw", "yuva444p10le", 4)  # prores_ks works longer for no more


def partial_of(path: Path) -> Path:
    """Where what there is of a video goes when its run ends early: `clip.mp4` to `clip-partial.mp4`."""
    return path.with_stem(f"{path.stem}-partial")


def _timescale(fps: Fraction, least: int = 90_000) -> int:
    """Ticks per second: 1 / fps is a whole number of them, and so is 1 / least if that fits.

    `least`: ticks per second that a written file can tell apart at least, by default the clock of MPEG systems.
    """
    scale = math.lcm(fps.numerator, least)
    if scale > MAX_TIMESCALE:
        scale = fps.numerator * max(1, least // fps.numerator)
    if scale > MAX_TIMESCALE:
        raise ValueError(f"fps {fps} is too finely divided for mp4")
    return scale
