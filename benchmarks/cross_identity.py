"""Cross-identity: every source moved by other people, with the default settings; does the result do what they do?

    python -m benchmarks.cross_identity [--sources A.jpg ...] [--clips obama ...] [--stride K] [--dump DIR] [--json OUT]

The result is tracked afresh, frame after frame as a video, and what its face does is correlated with what the driver's
does: head angles, the opening of mouth and eyes, the gaze. Both sides are measured on landmarks alone, by
`core.evaluation.metrics`; the codes are not looked at. Options of a run (`--motion`, ...) may be added.

A face that only talks seems to nod where it is tracked. So the result is rendered once more, its expression frozen:
`pitch, frozen` is the pitch of that. By as much as an angle differs between the two (standard deviation), the tracker
errs; an angle counts in the requirements where the driver's own goes beyond that error: `... / error` above 1.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks import _report as report
from benchmarks._inputs import add_inputs, find_clips, find_photos
from benchmarks._performance import Performance, frame_indices
from benchmarks._truth import BUILD, track_faces
from core.command_line import load_options
from core.components import default_components
from core.data.records import SEEN, TrackedSequence
from core.data.video import VideoReader
from core.errors import UserError, command
from core.evaluation import metrics
from core.libs.tracker.crop import crop_image, to_crop
from core.libs.tracker.mediapipe_tracker import MediaPipeTracker

CLIPS = ("obama", "d10")
FOUND = 0.98
MEASURES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "yaw": lambda p: metrics.head_angles(p)[:, 0],
    "pitch": lambda p: metrics.head_angles(p)[:, 1],
    "roll": lambda p: metrics.head_angles(p)[:, 2],
    "mouth": metrics.mouth_opening,
    "eyes": lambda p: metrics.eye_opening(p).mean(-1),
    "gaze": metrics.gaze,
    "gaze across": lambda p: metrics.gaze(p)[:, 0],
    "gaze up/down": lambda p: metrics.gaze(p)[:, 1],
}
ANGLES = ("yaw", "pitch", "roll")
FROZEN = "pitch, frozen"
LIMITS = {"yaw": 0.95, "pitch": 0.95, "roll": 0.95, "mouth": 0.93, "eyes": 0.85, "gaze": 0.85}


def main(arguments: Sequence[str] | None = None) -> dict[str, dict[str, float]]:
    """Run the benchmark and print its tables."""
    args, rest = _parser().parse_known_args(arguments)
    clips, sources = find_clips(args.clips, args.data, CLIPS), find_photos(args.sources, args.data)
    tracker = MediaPipeTracker()
    components, rows, results = None, [], {}
    for clip in clips:
        for source in sources:
            start = time.perf_counter()
            options = load_options(
                ["-i", str(source), "-d", str(clip), "--model", "lifted", "--quiet", "--background", "black", *rest]
            )
            components = components or default_components(options)
            try:
                performance = Performance(options, components)
            except UserError as error:
                print(f"left out: {error}")
                continue
            result, images = _measure(performance, clip, tracker, args)
            name = f"{source.stem} by {clip.stem}"
            results[name] = result
            rows.append([name, *(report.number(v, 3) for v in result.values())])
            print(f"{name}: {time.perf_counter() - start:.1f} s", flush=True)
            if args.dump:
                _dump(args.dump / f"cross_{clip.stem}_{source.stem}.png", performance, clip, images)
    tracker.close()
    print("\n" + report.table(["correlation", "found", *MEASURES, FROZEN, *map(moves, ANGLES)], rows) + "\n")
    print(report.requirements(_requirements(results)))
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(results, indent=1))
    return results


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cross_identity", description=__doc__.split("\n")[0])
    add_inputs(parser, CLIPS, photos=True)
    parser.add_argument("--frames", type=int, metavar="N", help="only the first N frames of every clip")
    parser.add_argument("--stride", type=int, default=1, metavar="K", help="only every K-th frame")
    parser.add_argument("--dump", type=Path, metavar="DIR", help="write a contact sheet for every pair")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table")
    return parser


def _measure(
    performance: Performance, clip: Path, tracker: MediaPipeTracker, args: argparse.Namespace
) -> tuple[dict[str, float], dict[int, np.ndarray]]:
    """The fraction of frames with a face and the correlations; and the rendered frames that a sheet shows."""
    driver = to_crop(_driver_points(clip, tracker), performance.track.crops)
    indices = frame_indices(len(performance.track), args.frames, args.stride)
    shown = {indices[round(k)] for k in np.linspace(0, len(indices) - 1, 8)} if args.dump else set()
    images: dict[int, np.ndarray] = {}

    def rendered():
        for index in indices:
            image = performance(index)
            if index in shown:
                images[index] = image
            yield image

    result = track_faces(rendered(), tracker)
    index = np.array(indices)
    seen = (performance.track.status[index] == SEEN) & np.isfinite(driver[index, 0, 0])
    found = np.isfinite(result[:, 0, 0])
    both = seen & found
    values = {"found": float(found[seen].mean())}
    for name, measure in MEASURES.items():
        values[name] = metrics.correlation(measure(driver[index[both]]), measure(result[both]))
    moving, performance.motion = performance.motion, frozen(performance.motion)
    still = track_faces(map(performance, indices), tracker)
    performance.motion = moving
    both &= np.isfinite(still[:, 0, 0])
    return values | frozen_figures(driver[index[both]], result[both], still[both]), images


def frozen(motion: TrackedSequence) -> TrackedSequence:
    """The motion with the head as it is, and one expression throughout: the median of its codes, jaw and eyes too."""
    codes = {name: getattr(motion, name).copy() for name in ("expcode", "posecode", "eyecode")}
    codes["expcode"][:] = np.median(codes["expcode"], 0)
    codes["posecode"][:, 3:] = np.median(codes["posecode"][:, 3:], 0)
    codes["eyecode"][:] = np.median(codes["eyecode"], 0)
    return motion.with_parameters(codes)


def frozen_figures(driver: np.ndarray, result: np.ndarray, still: np.ndarray) -> dict[str, float]:
    """FROZEN and `moves` of every angle, from the points (T, 478, 3) of driver, result and the one that was frozen."""
    theirs, mine, without = (metrics.head_angles(points) for points in (driver, result, still))
    pitch = ANGLES.index("pitch")
    values = {FROZEN: metrics.correlation(theirs[:, pitch], without[:, pitch])}
    error = (mine - without).std(0)
    return values | {moves(a): float(theirs[:, i].std() / max(error[i], 1e-9)) for i, a in enumerate(ANGLES)}


def moves(angle: str) -> str:
    """The name of how far a driver's angle goes beyond the tracker's error."""
    return f"{angle} / error"


def _driver_points(clip: Path, tracker: MediaPipeTracker) -> np.ndarray:
    """(T, 478, 3): the driver's face in pixels of its pictures, tracked once for all sources."""
    if clip not in _DRIVERS:
        _DRIVERS[clip] = track_faces((frame.image for frame in VideoReader(clip)), tracker)
    return _DRIVERS[clip]


_DRIVERS: dict[Path, np.ndarray] = {}


def _requirements(results: dict[str, dict[str, float]]) -> list[list[str]]:
    """The worst pair must reach the limits; a human in a photo or painting is one, a cartoon another matter."""
    rows = []
    for name, limit in {"found": FOUND, **LIMITS, FROZEN: LIMITS["pitch"]}.items():
        angle = moves(name.split(",")[0])
        values = {pair: result[name] for pair, result in results.items() if result.get(angle, np.inf) > 1}
        if not values:
            continue
        worst = min(values, key=lambda pair: np.nan_to_num(values[pair], nan=-2))
        below = sum(not value >= limit for value in values.values())
        label = f"{name}: worst ({worst}), {below} of {len(values)} below"
        rows.append(report.requirement(label, values[worst], limit, True, 3))
        rows.append(report.requirement(f"{name}: mean", float(np.mean(list(values.values()))), limit, True, 3))
    return rows


def _dump(path: Path, performance: Performance, clip: Path, images: dict[int, np.ndarray]) -> None:
    """A contact sheet: the driver above, the result below."""
    crops = performance.track.crops
    driver = {f.index: crop_image(f.image, crops[f.index]) for f in VideoReader(clip) if f.index in images}
    order = sorted(images)
    photo = performance.source.shown()[0]
    rows = [("driver", [photo, *(driver[i] for i in order)]), ("result", [photo, *(images[i] for i in order)])]
    report.contact_sheet(path, rows, ["source", *(f"frame {i}" for i in order)])


if __name__ == "__main__":
    BUILD.mkdir(parents=True, exist_ok=True)
    sys.exit(command(main))
