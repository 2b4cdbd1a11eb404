"""Makes the demo's video driver and its second portrait: `python -m demos.make_driver [--portrait PHOTO] [--out DIR]`.

talk.mp4 is synthetic: the portrait `examples/1.jpg`, moved by frames of the recorded motion in `drivers/obama`,
stronger than it was recorded, with head turns, nods and looks to the side added here, and rendered by the built-in
avatar on a plain background. Its sound is made here too: a hummed tone that is as loud as the mouth is open. 2.jpg is a
crop of the portrait of Grace Hopper that comes with matplotlib. Nothing in it is random.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import wave
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.signal import lfilter

from core.data.image import read_image, write_image
from core.data.records import IMAGE_SIZE, TrackedSequence
from core.data.video import VideoWriter
from core.errors import UserError
from core.libs.flame_model import FLAMEModel
from core.libs.flame_model.topology import LIP_PAIRS
from core.libs.geometry import head_angles, head_rotation
from core.options import Options
from core.output.watermark import metadata
from core.pipeline import Pipeline

DEMOS = Path(__file__).parent
MOTION = DEMOS / "drivers/obama"
FPS = Fraction(25)
FIRST, FRAMES = 60, 130  # of the recorded motion: four blinks, talking, lips that close
STRENGTH = 1.4  # of expressions, about their median
BACKGROUND = "#8593a3"
CROP = slice(0, 512)  # of the rows of Grace Hopper's portrait, which is 512 wide

# Seconds, then degrees that are added there; smooth between.
TURNS = {
    "yaw": ((0.0, 0), (0.7, 0), (1.4, 17), (2.0, 15), (2.9, -16), (3.4, -16), (4.3, 0), (5.2, 0)),
    "pitch": ((0.0, 0), (1.7, 0), (2.1, 6), (2.5, -3), (3.3, -3), (3.7, 6), (4.3, 0), (5.2, 0)),
    "roll": ((0.0, 0), (1.4, -4), (2.9, 4), (4.3, 0), (5.2, 0)),
}
LOOKS = ((0.0, 0), (0.45, 0), (0.6, 14), (1.2, 4), (2.1, 4), (2.3, -14), (3.1, -4), (4.0, -4), (4.3, 8), (5.2, 0))

RATE = 24_000  # of the sound
_PITCH = 118.0  # Hz
_LOUDNESS = 0.18  # of full scale
_FORMANTS = ((320.0, 780.0), (1150.0, 1350.0), (2500.0, 2600.0))  # Hz, mouth closed and open


def driver_motion() -> TrackedSequence:
    """The motion of the driver: recorded, made stronger, with turns and looks added."""
    recorded = TrackedSequence.load(MOTION)
    part = slice(FIRST, FIRST + FRAMES)
    times = tuple(i / FPS for i in range(FRAMES))
    seconds = np.array([float(t) for t in times])
    expression = recorded.expcode[part]
    usual = np.median(expression, axis=0)
    angles = head_angles(recorded.transform_matrix[part, :, :3].astype(np.float64))
    added = np.stack([_curve(TURNS[name], seconds) for name in ("roll", "yaw", "pitch")], 1)
    turned = head_rotation(angles + np.radians(added))
    eyes = recorded.eyecode[part].copy()
    eyes[:, [1, 4]] += np.radians(_curve(LOOKS, seconds))[:, None]
    moved = np.concatenate([turned, recorded.transform_matrix[part, :, 3:]], -1).astype(np.float32)
    expression = (usual + STRENGTH * (expression - usual)).astype(np.float32)
    changed = {"expcode": expression, "eyecode": eyes, "transform_matrix": moved, "times": times, "crops": None}
    return replace(recorded.take(np.arange(FRAMES) + FIRST), **changed, fps=FPS)


def hum(opening: np.ndarray, seconds: float) -> np.ndarray:
    """A voice without words, (N,) float in -1..1: as loud as the mouth is open, (T,) in 0..1 at `FPS`.

    A train of pulses through three resonances (source and filter, Fant 1960), of which the lowest rises with the mouth.
    """
    n = round(seconds * RATE)
    time = np.arange(n) / RATE
    opened = np.interp(time, np.arange(len(opening)) / float(FPS), opening)
    pitch = _PITCH * (1 + 0.06 * np.sin(2 * np.pi * 0.7 * time) + 0.05 * opened)
    phase = np.cumsum(pitch) / RATE
    voice = np.diff(np.floor(phase), prepend=0.0) - pitch / RATE  # pulses, without their mean
    block = RATE // 100  # the resonances move in steps of 10 ms
    for closed, wide in _FORMANTS:
        state, out = np.zeros(2), np.empty(n)
        for start in range(0, n, block):
            here = slice(start, start + block)
            frequency = closed + (wide - closed) * opened[start]
            radius = np.exp(-np.pi * (60 + 0.05 * frequency) / RATE)
            a = [1.0, -2 * radius * np.cos(2 * np.pi * frequency / RATE), radius**2]
            out[here], state = lfilter([sum(a)], a, voice[here], zi=state)
        voice = out
    voice *= opened
    return _LOUDNESS * voice / np.abs(voice).max()


def make_driver(path: Path, photo: Path) -> None:
    """Write the video driver."""
    motion = driver_motion()
    head = FLAMEModel()
    lips = np.array([_lip_gap(head.evaluate(frame)) for frame in motion])
    low, high = np.percentile(lips, [20, 95])
    opening = np.clip((lips - low) / (high - low), 0, 1)
    with tempfile.TemporaryDirectory() as folder:
        track, sound = Path(folder) / "talk", Path(folder) / "talk.wav"
        motion.save(track)
        _write_wav(sound, hum(opening, FRAMES / FPS))
        options = Options(photo, track, model="lifted", enhanced=True, background=BACKGROUND)
        settings = {"crf": 21, "preset": "slow", "metadata": metadata("lifted")}
        with VideoWriter(path, FPS, (IMAGE_SIZE, IMAGE_SIZE), sound, **settings) as writer:
            for frame in Pipeline(options).frames():
                writer.write(frame.image, frame.time)


def make_portrait(path: Path) -> None:
    """Write the crop of Grace Hopper's portrait."""
    import matplotlib

    image = read_image(Path(matplotlib.get_data_path()) / "sample_data/grace_hopper.jpg")
    write_image(path, image[CROP])


def _curve(keys: Sequence[tuple[float, float]], seconds: np.ndarray) -> np.ndarray:
    """A curve through points that stays between them (Fritsch and Carlson)."""
    return PchipInterpolator(*zip(*keys, strict=True))(seconds)


def _lip_gap(vertices: np.ndarray) -> float:
    return float(np.mean([np.linalg.norm(vertices[upper] - vertices[lower]) for upper, lower in LIP_PAIRS]))


def _write_wav(path: Path, samples: np.ndarray) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.rint(samples * 32767).astype("<i2").tobytes())


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--portrait", type=Path, default=DEMOS / "examples/1.jpg", metavar="PHOTO", help="what is moved"
    )
    parser.add_argument("--out", type=Path, default=DEMOS, metavar="DIR", help="where to (default: demos)")
    args = parser.parse_args(arguments)
    try:
        for name in ("examples", "drivers"):
            (args.out / name).mkdir(parents=True, exist_ok=True)
        make_portrait(args.out / "examples/2.jpg")
        make_driver(args.out / "drivers/talk.mp4", args.portrait)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
