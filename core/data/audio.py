"""The sound of one file on its way into another."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, cast

import av
import numpy as np
from av.stream import Discard

from core.data.image import check_file
from core.data.media import is_cover, open_media, time_base
from core.errors import UserError

COPIED_AUDIO = ("aac", "mp3", "opus")  # what browsers play inside mp4; the rest becomes AAC
_AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)


@dataclass(frozen=True)
class SoundFormat:
    """What sound a container takes: mp4's, and its relatives'.

    Attributes:
        copied: codecs whose packets go over as they are. codec: what all others become.
        rates: samples per second it has; 48,000 for any other. frame: samples it encodes at a time.
        samples: FFmpeg's name of how it takes them.
    """

    copied: tuple[str, ...] = COPIED_AUDIO
    codec: str = "aac"
    rates: tuple[int, ...] = _AAC_RATES
    frame: int = 1024
    samples: str = "fltp"


OPUS = SoundFormat(("opus",), "libopus", (48_000,), 960, "flt")  # WebM's
MP4 = SoundFormat()


def check_sound(path: Path) -> None:
    """UserError where a file has no sound that can be read."""
    check_file(path, "sound")
    try:
        source = open_media(path)
    except UserError:
        raise UserError(f"{path} is no sound file: give a WAV, MP3, M4A or FLAC file, or a video with sound") from None
    with source:
        stream = source.streams.best("audio")
        if not isinstance(stream, av.AudioStream) or stream.codec_context is None:
            raise UserError(f"{path} has no sound that can be read: give a WAV, MP3, M4A or FLAC file")


class AudioTrack:
    """The audio of one file on its way into another, as far as it is asked for.

    Both kinds start their clock at the source's video stream plus an offset, and are driven by `advance`.
    """

    mode: Literal["copied", "transcoded", "none", "unreadable"] = "none"

    def __init__(self, source: av.container.InputContainer, output: av.container.OutputContainer, offset: Fraction):
        self._source = source
        self._output = output
        self._origin = offset
        for stream in source.streams.video:
            if not is_cover(stream) and stream.start_time is not None:
                self._origin += stream.start_time * time_base(stream)
                break

    @staticmethod
    def of(
        path: Path, output: av.container.OutputContainer, offset: Fraction, sound: SoundFormat = MP4
    ) -> "AudioTrack":
        """Choose copying or encoding and add the stream to `output`."""
        source = open_media(path)
        try:
            stream = source.streams.best("audio")
            if not isinstance(stream, av.AudioStream) or stream.codec_context is None:
                audio = AudioTrack(source, output, offset)
                audio.mode = "unreadable" if source.streams.audio else "none"
                return audio
            for other in source.streams:
                if other is not stream:
                    other.discard = Discard.all
            if stream.codec_context.codec.canonical_name in sound.copied:
                return _Copied(source, output, offset, stream)
            return _Encoded(source, output, offset, stream, sound)
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


class _Copied(AudioTrack):
    """Packets go over as they are."""

    mode = "copied"
    priming = Fraction(1, 10)  # seconds kept before time 0: what a decoder is primed with, hidden by the edit list

    def __init__(self, source, output, offset, stream: av.AudioStream) -> None:
        super().__init__(source, output, offset)
        self._target = output.add_stream_from_template(stream)
        self._packets = self._demux(stream)
        self._pending = next(self._packets, None)
        self._shift = round(self._origin / time_base(stream))
        self._last_dts: int | None = None

    def advance(self, until: Fraction, last: bool = False) -> None:
        while (packet := self._pending) is not None:
            if packet.pts is not None and packet.size:
                time = (packet.pts - self._shift) * packet.time_base
                if time >= until:
                    return
                if time > -self.priming:
                    self._write(packet)
            self._pending = next(self._packets, None)

    def _write(self, packet: av.Packet) -> None:
        assert packet.pts is not None  # `advance` has looked
        packet.pts -= self._shift
        packet.dts = packet.pts  # audio is not reordered
        if self._last_dts is not None and packet.dts <= self._last_dts:
            return  # the muxer takes increasing times only; a repeated packet is a fault of the source
        self._last_dts = packet.dts
        packet.stream = self._target
        try:
            self._output.mux(packet)
        except OSError:
            raise  # the disk's
        except av.FFmpegError:
            pass  # a damaged packet, which decoders would pass over too


class _Encoded(AudioTrack):
    """Sound is decoded and encoded anew."""

    mode = "transcoded"

    def __init__(self, source, output, offset, stream: av.AudioStream, sound: SoundFormat) -> None:
        super().__init__(source, output, offset)
        self._format = sound
        self._rate = stream.rate if stream.rate in sound.rates else 48_000
        self._layout = "mono" if stream.layout.nb_channels == 1 else "stereo"
        self._target = output.add_stream(
            sound.codec, rate=self._rate, layout=self._layout, format=sound.samples, bit_rate=192_000
        )
        self._sound = self._samples(stream)
        self._buffer = np.zeros((1 if self._layout == "mono" else 2, 0), np.float32)
        self._written = 0  # samples

    def advance(self, until: Fraction, last: bool = False) -> None:
        end = round(until * self._rate)
        size = self._format.frame
        while self._written < end and (last or self._written + size <= end):
            wanted = min(size, end - self._written)
            while self._buffer.shape[1] < wanted and (piece := next(self._sound, None)) is not None:
                self._buffer = np.concatenate([self._buffer, piece], axis=1)
            chunk, self._buffer = self._buffer[:, :wanted], self._buffer[:, wanted:]
            if chunk.shape[1] == 0:
                break
            if not self._format.samples.endswith("p"):  # not planar: sample by sample
                chunk = chunk.T.reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(chunk), format=self._format.samples, layout=self._layout
            )
            frame.sample_rate = self._rate
            frame.time_base = Fraction(1, self._rate)
            frame.pts = self._written
            self._written += frame.samples
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
                start = round((frame.pts * (frame.time_base or time_base(stream)) - self._origin) * self._rate)
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
                frames = cast("list[av.AudioFrame]", packet.decode())
            except av.FFmpegError:
                continue
            for frame in frames:
                try:
                    yield from resampler.resample(frame)
                except ValueError:  # the stream changed its rate or layout
                    resampler = new()
                    yield from resampler.resample(frame)
        yield from resampler.resample(None)
