"""What a small, compressed driver still says, and whether it is known how surely: `python -m benchmarks.small_driver`.

Clips made poor (`core.evaluation.conditions`), tracked afresh, against the clips as they are, in the head's own points
at the true pose: expression errors and gaze are those of `core.evaluation.points`, each counted from its own mean, so
that a constant offset of the tracker says nothing here.

The first table has the driver as tracked and after what the improvements do to it. The second has what is alike read
alike with a noise for each frame: one taken from the frame's own picture, or the true one, which no program knows.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from benchmarks._inputs import add_inputs, find_clips
from benchmarks._report import table
from core.data.records import TrackedSequence
from core.data.video import VideoReader
from core.errors import command
from core.evaluation.conditions import poor_driver, track_in_crops
from core.evaluation.points import angle_between_gazes, correlation, expression, gaze_angles
from core.evaluation.setting import first_frames
from core.evaluation.track_truth import TrackTruth
from core.evaluation.truth import track_faces
from core.improvements import Improvements
from core.libs.filters.likeness import by_likeness
from core.libs.flame_model import OpenHead
from core.libs.tracker.base import FaceTracker
from core.libs.tracker.cache import TrackCache
from core.libs.tracker.driver import track_driver
from core.libs.tracker.opened import open_tracker
from core.options import Options

CLIPS = ("obama", "d0", "d10", "d13", "d19", "s18")
ALIKE = ("expression_opt", "gaze_correct")
WAYS: dict[str, tuple[str, ...]] = {
    "as tracked": (),
    "--temporal-smooth": ("temporal_smooth",),
    "--expression-opt --gaze-correct": ALIKE,
    "all three": ("temporal_smooth", *ALIKE),
}
_LEAST = 0.05  # of an error in hundredths of the eyes' distance: no frame is known exactly


@dataclass(frozen=True)
class Pair:
    """A clip's tracks, clean and poor, and what two looks at its poor pictures differ by.

    `apart`: (T,) between the expression of the points in a frame and in its mirror image.
    """

    clean: TrackedSequence
    poor: TrackedSequence
    apart: np.ndarray


@dataclass(frozen=True)
class Seen:
    """Expression (T, 6), hundredths of the eyes' distance, and gaze (T, 2), degrees, both from their means."""

    expression: np.ndarray
    gaze: np.ndarray

    def error(self, truth: Seen) -> np.ndarray:
        """(T,) root mean square over the six measures."""
        return np.sqrt(np.square(self.expression - truth.expression).mean(1))


def main() -> None:
    """Track, measure and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_inputs(parser, CLIPS)
    parser.add_argument("--frames", type=int, default=120, help="the first so many of each clip (default: 120)")
    arguments = parser.parse_args()
    head = OpenHead()
    with open_tracker(None) as tracker:
        pairs = [
            a_pair(clip, arguments.frames, tracker, head) for clip in find_clips(arguments.clips, arguments.data, CLIPS)
        ]
    header = ["", "error", "mouth, r", "lids, r", "brows, r", "gaze, degrees"]
    rows = [
        [name, *_means(pairs, lambda pair, names=names: improved(pair.poor, names), head)]
        for name, names in WAYS.items()
    ]
    print(table(header, rows))
    rows = []
    for name, noise in NOISES.items():
        told = np.mean([_told(pair, noise, head) for pair in pairs])
        row = _means(pairs, lambda pair, noise=noise: alike(pair, noise(pair, head)), head)
        rows.append([name, "-" if np.isnan(told) else f"{told:.2f}", *row])
    print(table(["noise of a frame", "r to its error", *header[1:]], rows))


def a_pair(clip: Path, frames: int, tracker: FaceTracker, head: OpenHead) -> Pair:
    """A clip, tracked clean and poor; the poor one in the clean one's crops."""
    clean = track_driver(clip, cache=TrackCache(), tracker=tracker, open_head=head)
    assert clean.crops is not None  # it is a video
    filmed, scale = poor_driver(clip, 0)
    poor = track_in_crops(filmed, clean.crops * np.float32(scale), tracker, head)
    pictures = [frame.image for _, frame in zip(range(frames), VideoReader(filmed), strict=False)]
    seen = track_faces(pictures, tracker)
    mirrored = track_faces([np.ascontiguousarray(picture[:, ::-1]) for picture in pictures], tracker)
    measures = 100 * np.stack([expression(seen), expression(mirrored)[:, [0, 1, 3, 2, 5, 4]]])  # right and left change
    measures -= np.nanmean(measures, 1, keepdims=True)
    apart = np.nan_to_num(np.sqrt(np.square(measures[0] - measures[1]).mean(1)))
    return Pair(first_frames(clean, frames), first_frames(poor, frames), apart)


def improved(track: TrackedSequence, names: tuple[str, ...]) -> TrackedSequence:
    """The driver after some of the improvements, with relative motion: no offset is looked for."""
    options = Options(Path("photo.jpg"), Path("clip.mp4"), **dict.fromkeys(names, True))
    return Improvements(options).steady(track, None, None)[0]


def alike(pair: Pair, noise: np.ndarray) -> TrackedSequence:
    """The driver as frames that look alike have it, each with its noise (T,)."""
    track, noise = pair.poor, noise / np.exp(np.log(noise).mean())
    assert track.patches is not None  # the face is small
    names = ("expcode", "posecode", "eyecode")
    found = {name: by_likeness(getattr(track, name), track.patches, noise=noise).astype(np.float32) for name in names}
    return track.with_parameters(found)


def seen(track: TrackedSequence, clean: TrackedSequence, head: OpenHead) -> Seen:
    """What a track's codes show on the clean one's face in its poses."""
    codes = {name: getattr(track, name) for name in ("expcode", "posecode", "eyecode")}
    posed = replace(clean.with_parameters(codes), status=np.zeros(len(clean), np.int8))
    points = TrackTruth(posed, len(posed), head).points
    measures, gazes = 100 * expression(points), gaze_angles(points)
    return Seen(measures - measures.mean(0), gazes - np.median(gazes, 0))


def _true_error(pair: Pair, head: OpenHead) -> np.ndarray:
    return seen(pair.poor, pair.clean, head).error(seen(pair.clean, pair.clean, head)) + _LEAST


def _blur(pair: Pair, head: OpenHead) -> np.ndarray:
    """One over the energy of the mouth's finest detail."""
    assert pair.poor.patches is not None  # the face is small
    mouths = pair.poor.patches[:, 2].astype(np.float32)
    return 1 / np.maximum([float(cv2.Laplacian(mouth, cv2.CV_32F).std()) for mouth in mouths], 1)


NOISES: dict[str, Callable[[Pair, OpenHead], np.ndarray]] = {
    "all alike": lambda pair, head: np.ones(len(pair.poor)),
    "by the mouth's blur": lambda pair, head: _blur(pair, head) ** 2,
    "by what mirror images differ": lambda pair, head: pair.apart**2 + _LEAST,
    "by the true error": lambda pair, head: _true_error(pair, head) ** 2,
}


def _told(pair: Pair, noise: Callable[[Pair, OpenHead], np.ndarray], head: OpenHead) -> float:
    """How far a noise tells the true error."""
    return correlation(np.sqrt(noise(pair, head)), _true_error(pair, head))


def _means(pairs: list[Pair], make: Callable[[Pair], TrackedSequence], head: OpenHead) -> list[str]:
    """A table's row: the means over the clips."""
    rows = []
    for pair in pairs:
        mine, truth = seen(make(pair), pair.clean, head), seen(pair.clean, pair.clean, head)
        r = [correlation(mine.expression[:, k], truth.expression[:, k]) for k in range(6)]
        gaze = float(np.mean(angle_between_gazes(mine.gaze, truth.gaze)))
        rows.append([mine.error(truth).mean(), r[0], (r[2] + r[3]) / 2, (r[4] + r[5]) / 2, gaze])
    error, *rest, gaze = np.mean(rows, 0)
    return [f"{error:.3f}", *(f"{value:.3f}" for value in rest), f"{gaze:.2f}"]


if __name__ == "__main__":
    sys.exit(command(main))
