"""Small videos whose pictures say their number, written by this project and as others write them."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from core.data.video import VideoReader, VideoWriter
from core.errors import UserError

SIZE = (96, 64)
NTSC = Fraction(30000, 1001)


def numbered(index: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A picture that says its number in eight grey blocks and tells its corners apart."""
    width, height = size
    picture = np.full((height, width, 3), 60, np.uint8)
    for bit in range(8):
        picture[height // 3 : 2 * height // 3, bit * width // 8 : (bit + 1) * width // 8] = 220 * (index >> bit & 1)
    picture[: height // 4, : width // 4] = 255
    return picture


def number(picture: np.ndarray) -> int:
    height, width = picture.shape[:2]
    return sum((picture[height // 2, int((bit + 0.5) * width / 8), 1] > 110) << bit for bit in range(8))


def write(path: Path, count: int, fps=Fraction(25), size=SIZE, times=None, **options) -> Path:
    with VideoWriter(path, fps, size, **options) as writer:
        for i in range(count):
            writer.write(numbered(i, size), None if times is None else times[i])
    return path


def make(path: Path, count=10, rate=25, size=SIZE, codec="libx264", pix_fmt="yuv420p", tone=None, rotation=None, **how):
    """A video as others write them, with PyAV alone.

    tone: (codec, frequency, rate, start in seconds, length in seconds). how: format, pts (list of ticks), time_base,
    video_start (seconds), options, setup (function of the stream), frame (function of the number).
    """
    with av.open(str(path), "w", format=how.get("format")) as output:
        stream = output.add_stream(codec, rate=rate, options=how.get("options", {}))
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        if "time_base" in how:
            stream.codec_context.time_base = how["time_base"]
        if rotation is not None:
            stream.set_display_rotation(**rotation)
        how.get("setup", lambda _: None)(stream)
        sound = None
        if tone:
            name, frequency, sampling, start, length = tone
            sound = output.add_stream(name, rate=sampling, layout="mono")
        unit = how.get("time_base", 1 / Fraction(rate))
        for i in range(count):
            frame = how["frame"](i) if "frame" in how else av.VideoFrame.from_ndarray(numbered(i, size))
            frame.pts = how["pts"][i] if "pts" in how else i + round(how.get("video_start", 0) / unit)
            frame.time_base = unit
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
        if sound:
            wave = np.sin(2 * np.pi * frequency * np.arange(int(sampling * length)) / sampling) * 0.5
            step = 1024
            for at in range(0, len(wave), step):
                piece = wave[at : at + step].astype(np.float32)[None]
                frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout="mono")
                frame.sample_rate, frame.time_base = sampling, Fraction(1, sampling)
                frame.pts = at + round(start * sampling)
                for part in av.AudioResampler(format=sound.codec_context.format.name, layout="mono").resample(frame):
                    output.mux(sound.encode(part))
            output.mux(sound.encode())
    return path


def sound_of(path: Path) -> tuple[np.ndarray, int, float]:
    """(samples (n,), rate, time of the first one relative to the video's start)."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        video = container.streams.video[0]
        frames = list(container.decode(stream))
        samples = np.concatenate(
            [f.to_ndarray().reshape(-1) if f.format.is_packed else f.to_ndarray()[0] for f in frames]
        )
        return samples.astype(np.float64), stream.rate, frames[0].time - float(video.start_time * video.time_base)


def onset_and_pitch(path: Path) -> tuple[float, float, float]:
    """(seconds at which the tone begins, seconds at which it ends, Hz)."""
    samples, rate, start = sound_of(path)
    loud = np.flatnonzero(np.abs(samples) > 0.25 * np.abs(samples).max())
    middle = samples[loud[0] : loud[-1]]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 1 << 18))
    return start + loud[0] / rate, start + loud[-1] / rate, np.argmax(spectrum) * rate / (1 << 18)


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(p) for p in container.demux(audio=0) if p.size]


def fails(path: Path, *words: str, call=VideoReader) -> None:
    with pytest.raises(UserError) as caught:
        call(path)
    message = str(caught.value)
    assert "\n" not in message
    for word in (str(path), *words):
        assert word in message
