"""Photos and clips made from the demo's portrait, in every way that a stranger's may come."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from core.data.records import TrackedSequence

ROOT = Path(__file__).parents[1]
PORTRAIT = ROOT / "demos/examples/1.jpg"
TRACK = ROOT / "demos/drivers/obama"


def portrait(size: int = 360) -> np.ndarray:
    """(size, size, 3) uint8."""
    with Image.open(PORTRAIT) as image:
        return np.array(image.convert("RGB").resize((size, size), Image.Resampling.LANCZOS))


def face_clip(count: int = 4, size: int = 192) -> list[np.ndarray]:
    """The portrait, moving a pixel a frame."""
    return [np.roll(portrait(size), i, 1) for i in range(count)]


def save_clip(
    path: Path,
    images: Sequence[np.ndarray],
    rate: int | Fraction = 25,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    times: Sequence[int] | None = None,
    sound: float = 0.0,
    rotation: int | None = None,
    options: dict[str, str] | None = None,
    change: Callable[[av.VideoFrame], None] | None = None,
) -> Path:
    """A video file.

    Args:
        images: (H, W, 3) uint8 each. rate: frames per second. codec, pix_fmt, options: of the encoder.
        times: of the frames in units of 1 / rate. sound: seconds of a tone that go along.
        rotation: degrees that a player is to turn it. change: is called with each frame before it is encoded.
    """
    with av.open(str(path), "w") as output:
        height, width = images[0].shape[:2]
        stream = output.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.codec_context.time_base = stream.time_base = 1 / Fraction(rate)
        if rotation is not None:
            stream.set_display_rotation(degrees=rotation, hflip=False)
        tone = output.add_stream("aac", rate=44100, layout="mono") if sound else None
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = (times[index] if times else index), 1 / Fraction(rate)
            if change is not None:
                change(frame)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
        for start in range(0, round(sound * 44100), 1024):
            wave = np.sin((np.arange(1024) + start) * 0.06)[None].astype(np.float32) / 4
            samples = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            samples.sample_rate, samples.pts, samples.time_base = 44100, start, Fraction(1, 44100)
            output.mux(tone.encode(samples))
        if tone is not None:
            output.mux(tone.encode())
    return path


def tracked(folder: Path, frames: int = 2, **changes: object) -> Path:
    """The first frames of the demo's driver as a folder of their own, with some fields changed."""
    track = TrackedSequence.load(TRACK)
    cut = {name: value[:frames] for name, value in track.parameters.items() if len(value) > 1}
    cut |= {"bbox": track.bbox[:frames], "status": track.status[:frames], "times": track.times[:frames]}
    optional = ("crops", "torso_motion", "mouth_interior")
    cut |= {name: None if (v := getattr(track, name)) is None else v[:frames] for name in optional}
    replace(track, **{**cut, **changes}).save(folder)
    return folder
