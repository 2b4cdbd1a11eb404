"""What smoothing does to known motion: `python -m benchmarks.smoothing`.

First on sinusoids with white noise, where the truth is known. Then on the tracks of real clips, which are taken for the
truth: as they are, where smoothing must leave blinks and closed lips alone, and with tracking noise added, which it
must take out again. All in parameters and projected points; what is rendered is measured elsewhere.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks._inputs import add_data, find_clips
from benchmarks._report import number, requirement, requirements, table
from core.data.records import TrackedSequence
from core.errors import command
from core.evaluation.tracking_noise import add_tracking_noise
from core.libs.flame_model import OpenHead
from core.libs.flame_model.topology import EYE_PAIRS, LIP_PAIRS, N_FACE
from core.libs.geometry import to_camera, to_pixels
from core.libs.temporal_smoother import TemporalSmoother
from core.libs.tracker.cache import TrackCache
from core.libs.tracker.driver import track_driver

CLIPS = ("obama", "d0", "d10", "d13", "d19", "s18")
NOISES = (0.02, 0.05, 0.1, 0.2)
SETTINGS = tuple((alpha, window) for window in (3, 5, 10) for alpha in (0.7, 0.5, 0.3))
SMOOTHEST = {"alpha": 0.3, "window_size": 10}  # that the specification names
_FPS, _SECONDS, _CHANNELS = 25, 10, 100
_AROUND = 6  # frames before and after a closing that say how open it was
_LEAST_EYE, _LEAST_LIPS = 0.5, 0.02  # of the eyes' median opening; of the lips', in head units
_BESIDE = 5  # frames by which a lag is looked for


def main() -> None:
    """Measure and print the tables and the requirements."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", nargs="*", metavar="CLIP", help="names in the data, or files; none: sinusoids only")
    add_data(parser)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    clips = find_clips(arguments.clips, arguments.data, CLIPS)
    rows = synthetic(arguments.seeds)
    settings(arguments.seeds)
    rows += real(clips)
    print(requirements(rows))


def sinusoids(noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Clean and noisy (T, 100): 0.2-2.5 Hz at 25 frames a second, amplitudes 0.1-1, white noise."""
    random = np.random.default_rng(seed)
    rate, phase, size = (random.uniform(a, b, _CHANNELS) for a, b in ((0.2, 2.5), (0, 2 * np.pi), (0.1, 1)))
    time = np.arange(_SECONDS * _FPS)[:, None] / _FPS
    clean = size * np.sin(2 * np.pi * rate * time + phase)
    return clean, clean + random.normal(0, noise, clean.shape)


def best_lag(result: np.ndarray, clean: np.ndarray) -> int:
    """By how many frames (T, D) is late: the shift at which it fits the truth best."""
    inner = slice(_BESIDE, len(clean) - _BESIDE)
    errors = [rms(np.roll(result, -lag, 0)[inner] - clean[inner]) for lag in range(-_BESIDE, _BESIDE + 1)]
    return int(np.argmin(errors)) - _BESIDE


def live(values: np.ndarray, **settings: object) -> np.ndarray:
    """(T, D) one frame at a time."""
    smoother = TemporalSmoother(**settings)
    return np.stack([smoother.smooth({"expcode": frame})["expcode"] for frame in values])


def synthetic(seeds: int) -> list[list[str]]:
    """Prints the table of the sinusoids; returns their requirements."""
    ways = {
        "sequence": lambda z: TemporalSmoother().smooth_sequence({"expcode": z})["expcode"],
        "live": live,
        "average, alpha 0.5": lambda z: live(z, use_kalman=False),
    }
    ratio, lag = {}, {}
    for noise in NOISES:
        trials = [sinusoids(noise, seed) for seed in range(seeds)]
        for way, run in ways.items():
            results = [run(z) for _, z in trials]
            ratio[way, noise] = rms(np.stack([r - c for r, (c, _) in zip(results, trials, strict=True)])) / noise
            lag[way, noise] = max((best_lag(r, c) for r, (c, _) in zip(results, trials, strict=True)), key=abs)
    print("RMSE to the clean signal over that of the noisy one (lag in frames)\n")
    rows = [[way, *(f"{ratio[way, n]:.2f} ({lag[way, n]})" for n in NOISES)] for way in ways]
    print(table(["white noise", *map(str, NOISES)], rows), "\n")
    return [
        requirement("sequence, noise 0.1", ratio["sequence", 0.1], 0.58, False),
        requirement("sequence, noise 0.2", ratio["sequence", 0.2], 0.55, False),
        requirement("sequence, noise 0.02", ratio["sequence", 0.02], 1.0, False),
        requirement("sequence, lag in frames", max(abs(lag["sequence", n]) for n in NOISES), 0, False, 0),
        requirement("live, noise 0.1", ratio["live", 0.1], 0.85, False),
        requirement("live, noise 0.2", ratio["live", 0.2], 0.8, False),
        requirement("live, lag in frames", max(abs(lag["live", n]) for n in NOISES), 1, False, 0),
    ]


def settings(seeds: int, noise: float = 0.1) -> None:
    """Prints what alpha and window_size do to the sinusoids: error over the noise's, jitter over the clean signal's."""
    trials = [sinusoids(noise, seed) for seed in range(seeds)]
    clean = np.stack([truth for truth, _ in trials])
    rough = rms(np.diff(clean, 2, axis=1))

    def row(name: str, results: Sequence[np.ndarray]) -> list[str]:
        found = np.stack(results)
        lag = max((best_lag(r, c) for r, c in zip(found, clean, strict=True)), key=abs)
        return [name, f"{rms(found - clean) / noise:.2f}", f"{rms(np.diff(found, 2, axis=1)) / rough:.2f}", f"{lag}"]

    rows = [row("as it came", [noisy for _, noisy in trials]) + [""] * 3]
    for alpha, window in SETTINGS:
        own = {"alpha": alpha, "window_size": window}
        clips = [TemporalSmoother(**own).smooth_sequence({"expcode": noisy})["expcode"] for _, noisy in trials]
        lively = row("", [live(noisy, **own) for _, noisy in trials])[1:]
        rows.append(row(f"alpha {alpha}, window {window}", clips) + lively)
    print(f"settings, noise {noise}: error over the noise's, jitter over the clean signal's, lag in frames\n")
    print(table(["setting", "clip", "jitter", "lag", "live", "jitter", "lag"], rows), "\n")


@dataclass(frozen=True)
class Seen:
    """What a track stands for: points (T, 468, 2) in pixels, openings (T,) of eyes and lips in head units."""

    points: np.ndarray
    eyes: np.ndarray
    lips: np.ndarray

    @classmethod
    def of(cls, track: TrackedSequence, head: OpenHead) -> Seen:
        """The points under the track's own pose."""
        vertices = np.stack([head.evaluate(frame)[:N_FACE] for frame in track]).astype(np.float64)
        points = to_pixels(to_camera(vertices, track.transform_matrix.astype(np.float64)))
        eyes = np.concatenate([EYE_PAIRS["left"], EYE_PAIRS["right"]])
        return cls(points, _opening(vertices, eyes), _opening(vertices, np.array(LIP_PAIRS)))

    @property
    def jitter(self) -> float:
        """RMS second difference of the points, pixels."""
        return distance(np.diff(self.points, 2, axis=0))


def _opening(vertices: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    return (vertices[:, pairs[:, 0], 1] - vertices[:, pairs[:, 1], 1]).mean(1)


def closings(opening: np.ndarray, least: float) -> list[tuple[int, float]]:
    """Frames at which something that was open is most shut, by at least `least`, with how far it went."""
    found = []
    for t in range(2, len(opening) - 2):
        depth = _depth(opening, t)
        if opening[t] == opening[t - 2 : t + 3].min() and opening[t] < opening[t - 1] and depth > least:
            found.append((t, depth))
    return found


def _depth(opening: np.ndarray, t: int) -> float:
    before, after = opening[max(t - _AROUND, 0) : t], opening[t + 1 : t + 1 + _AROUND]
    return min(before.max(), after.max()) - opening[max(t - 1, 0) : t + 2].min()


def kept(truth: np.ndarray, opening: np.ndarray, least: float) -> list[float]:
    """Of each closing of the truth (T,), the part of its depth that is left, at most a frame beside it."""
    return [_depth(opening, t) / depth for t, depth in closings(truth, least)]


def real(paths: Sequence[Path]) -> list[list[str]]:
    """Prints the tables of the clips; returns their requirements."""
    head, rows, limits = OpenHead(), [], []
    blinks, lips, cut = [], [], []
    less_blinks, less_lips = [], []
    for path in paths:
        if not path.is_file():
            print(f"{path}: not there, left out")
            continue
        clean = track_driver(path, cache=TrackCache())
        noisy = add_tracking_noise(clean, head=head)
        truth, worse = Seen.of(clean, head), Seen.of(noisy, head)
        same, better = (Seen.of(smoothed(track), head) for track in (clean, noisy))
        eye, mouth = (kept(*pair) for pair in _closing_pairs(truth, same))
        blinks, lips = blinks + eye, lips + mouth
        less = (kept(*pair) for pair in _closing_pairs(truth, Seen.of(smoothed(clean, **SMOOTHEST), head)))
        less_blinks, less_lips = (had + more for had, more in zip((less_blinks, less_lips), less, strict=True))
        cut.append(1 - (better.jitter - truth.jitter) / (worse.jitter - truth.jitter))
        rows.append(
            [
                path.stem,
                number(distance(same.points - truth.points)),
                f"{len(eye)}: {number(100 * min(eye, default=np.nan), 0)}",
                f"{len(mouth)}: {number(100 * min(mouth, default=np.nan), 0)}",
                number(distance(worse.points - truth.points)),
                number(distance(better.points - truth.points)),
                number(truth.jitter),
                number(worse.jitter),
                number(better.jitter),
            ]
        )
    if not rows:
        return []
    print("real clips: points in pixels; blinks and closings of the lips: how many, and per cent left of the worst\n")
    header = ["clip", "moved", "blinks", "lips", "noise", "smoothed", "jitter", "with noise", "smoothed"]
    print(table(header, rows), "\n")
    least = (number(100 * min(values, default=np.nan), 0) for values in (less_blinks, less_lips))
    print("with alpha 0.3 and window 10, per cent left of the worst blink and closing of the lips:", *least, "\n")
    limits.append(requirement("a blink keeps of its depth", min(blinks, default=np.nan), 0.9, True))
    limits.append(requirement("a closing of the lips keeps", min(lips, default=np.nan), 0.9, True))
    limits.append(requirement("jitter from noise taken out", min(cut), 0.4, True))
    return limits


def _closing_pairs(truth: Seen, result: Seen) -> list[tuple[np.ndarray, np.ndarray, float]]:
    return [
        (truth.eyes, result.eyes, _LEAST_EYE * float(np.median(truth.eyes))),
        (truth.lips, result.lips, max(_LEAST_LIPS, 0.25 * float(np.ptp(np.percentile(truth.lips, [5, 95]))))),
    ]


def smoothed(track: TrackedSequence, **settings: object) -> TrackedSequence:
    """The track as the pipeline would smooth it."""
    return track.with_parameters(TemporalSmoother(fps=float(track.fps), **settings).smooth_sequence(track.parameters))


def jitter(values: np.ndarray) -> float:
    """RMS second difference of (T, D)."""
    return rms(np.diff(values, 2, axis=0))


def distance(vectors: np.ndarray) -> float:
    """RMS length of vectors (..., 2)."""
    return float(np.sqrt((vectors**2).sum(-1).mean()))


def rms(values: np.ndarray) -> float:
    """Root mean square."""
    return float(np.sqrt((values**2).mean()))


if __name__ == "__main__":
    sys.exit(command(main))
