"""Self-reenactment: the first frame of a clip, moved like the clip, against the clip itself and against a 2D warp.

    python -m benchmarks.self_reenactment [--clips A.mp4 B.mp4] [--frames N] [--stride K] [--dump DIR] [--json OUT]

Every frame is compared over the whole 512x512 crop, on black by the matte of each side. Frames are sorted by how far
the head is turned from the source, as the face tracker's points say. The warp is `core.evaluation.warp_baseline`,
driven by the face tracker's points themselves; the avatar gets what the track holds, codes and camera. Keypoint
distances are between the face tracked afresh in the truth's pictures and afresh in the result's. The first frame, which
is the source, is not scored. Options of a run (`--enhanced`, ...) may be added and are handed to the avatar.

The track also says what the driver's open mouth shows, four numbers a frame that are read off its pictures; `--mouth
plain` leaves them out, for comparison with figures of methods that do not look into it. The warp never sees them.

The built-in head was made from these very clips. `--head FILE` takes another, such as one that was made without the
clip that is measured: `python -m tools.build_open_head --data ../shared/data --exclude obama --out FILE`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import _report as report
from benchmarks._inputs import add_inputs, find_clips
from benchmarks._performance import Performance, frame_indices, lossless_first_frame, source_in_crop
from benchmarks._truth import Truth, code_of, digest, on_black, settled_points, track_faces, with_soft_border
from core.command_line import load_options
from core.components import default_components
from core.data.array_file import load_arrays, save_arrays
from core.errors import UserError, command
from core.evaluation import metrics
from core.evaluation.warp_baseline import PiecewiseAffineWarp
from core.libs.tracker.mediapipe_tracker import MediaPipeTracker

CLIPS = ("obama", "d0", "d10", "d13", "d19", "s18")
BINS = (("0-3", 0, 3), ("3-6", 3, 6), ("6-12", 6, 12), ("> 12", 12, 999), ("> 6", 6, 999), ("all", 0, 999))
SCORES = ("PSNR", "SSIM", "face PSNR", "AKD")
METHODS = ("avatar", "warp", "static")
MOST_DB = 60.0  # of a frame that equals the truth
MIN_FRAMES = 5  # of a clip in a bin, to count in the mean over clips
SHORT = 120  # frames of the clip that the prototype was measured on
_BASELINE_CODE = (
    *("core/evaluation/pictures.py", "core/evaluation/points.py", "core/evaluation/warp_baseline.py"),
    "benchmarks/self_reenactment.py",
)


@dataclass(frozen=True)
class Result:
    """The scores of one clip: `index` (N,) frames, `angle` (N,) degrees, `scores` by method (N, 4) as in SCORES."""

    name: str
    index: np.ndarray
    angle: np.ndarray
    scores: dict[str, np.ndarray]
    identity: float

    def within(self, low: float, high: float) -> np.ndarray:
        """Which frames are turned that far; the source itself is none of them."""
        return (self.angle >= low) & (self.angle < high) & (self.index > 0)

    def mean(self, method: str, which: np.ndarray) -> np.ndarray:
        """(4,) over the frames on which every method has a face."""
        if not which.any():
            return np.full(len(SCORES), np.nan)
        found = which & np.all([np.isfinite(s[:, 3]) for s in self.scores.values()], axis=0)
        values = self.scores[method][which].mean(0)
        values[3] = self.scores[method][found, 3].mean() if found.any() else np.nan
        return values


def main(arguments: Sequence[str] | None = None) -> list[Result]:
    """Run the benchmark and print its tables."""
    args, rest = _parser().parse_known_args(arguments)
    paths = find_clips(args.clips, args.data, CLIPS)
    tracker = MediaPipeTracker()
    results, components = [], None
    for path in paths:
        start = time.perf_counter()
        settings = ["-i", str(lossless_first_frame(path)), "-d", str(path), "--model", "lifted", "--motion", "absolute"]
        options = load_options([*settings, "--quiet", "--background", "black", *rest])
        components = components or default_components(options, open_head=args.head)
        performance = Performance(options, components, tracker if args.source_crop == "driver" else None)
        tracked = time.perf_counter()
        result = _measure(path, performance, tracker, args)
        results.append(result)
        print(_by_angle(path.stem, [result]))
        spent = (tracked - start, time.perf_counter() - tracked, 1e3 * performance.render_seconds)
        print(
            f"source frame: avatar {result.identity:.1f} dB; {len(result.index) - 1} frames; tracking and avatar "
            f"{spent[0]:.1f} s, rendering and scoring {spent[1]:.1f} s, "
            f"{spent[2] / max(performance.rendered, 1):.1f} ms a frame rendered\n",
            flush=True,
        )
    tracker.close()
    if len(results) > 1:
        print(_by_angle(f"mean over {len(results)} clips", results), end="\n\n")
    print(report.requirements(_requirements(results)))
    if args.json:
        _save(args.json, results)
    return results


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.self_reenactment", description=__doc__.split("\n")[0])
    add_inputs(parser, CLIPS)
    parser.add_argument("--frames", type=int, metavar="N", help="only the first N frames of every clip")
    parser.add_argument("--stride", type=int, default=1, metavar="K", help="only every K-th frame")
    parser.add_argument(
        "--source-crop",
        choices=("driver", "own"),
        default="driver",
        help="crop the source as the clip's first frame is cropped (default), or around its own face as a photo is",
    )
    parser.add_argument("--head", type=Path, metavar="FILE", help="another open head than the one that is built in")
    parser.add_argument("--dump", type=Path, metavar="DIR", help="write a contact sheet for every clip")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all scores of all frames")
    return parser


def _measure(path: Path, performance: Performance, tracker: MediaPipeTracker, args: argparse.Namespace) -> Result:
    frames = frame_indices(len(performance.track), args.frames, args.stride)
    truth = Truth(path, performance.track, frames, tracker)
    if not len(truth.indices) or truth.indices[0] != 0:
        raise UserError(f"{path}: no face in the first frame")
    angle = metrics.rotation_between(truth.driver[truth.indices], truth.driver[0])
    source = with_soft_border(source_in_crop(lossless_first_frame(path), performance.track.crops[0], tracker))
    points = settled_points(source.image, tracker)
    warp = PiecewiseAffineWarp(source.image, source.matte, points, source.margin)
    still = on_black(*source.shown())
    baseline_key = digest(truth.key, source.image, source.matte, points, code_of(*_BASELINE_CODE))

    def moved(index: int) -> np.ndarray:
        return on_black(*warp(truth.driver[index]))

    scores = {
        "avatar": _scores(performance, truth, tracker),
        "warp": _kept(truth.folder / f"warp-{baseline_key}.npz", lambda: _scores(moved, truth, tracker)),
        "static": _kept(truth.folder / f"static-{baseline_key}.npz", lambda: _scores(lambda _: still, truth, tracker)),
    }
    result = Result(path.stem, truth.indices, angle, scores, float(scores["avatar"][0, 0]))
    if args.dump:
        _dump(args.dump, result, truth, performance, moved)
    return result


def _scores(make: Callable[[int], np.ndarray], truth: Truth, tracker: MediaPipeTracker) -> np.ndarray:
    """(N, 4): the SCORES of the pictures that `make` gives for the frames; AKD is NaN where no face is found."""
    scores = np.empty((len(truth.indices), len(SCORES)))

    def images() -> Iterator[np.ndarray]:
        for row, index, points in zip(scores, truth.indices, truth.points, strict=True):
            image, wanted = make(int(index)), truth.image(index)
            row[0] = min(metrics.psnr(image, wanted), MOST_DB)
            row[1] = metrics.ssim(image, wanted)
            row[2] = min(metrics.face_psnr(image, wanted, points), MOST_DB)
            yield image

    found = track_faces(images(), tracker)
    scores[:, 3] = [metrics.akd(a, b) for a, b in zip(found, truth.points, strict=True)]
    return scores


def _kept(file: Path, make: Callable[[], np.ndarray]) -> np.ndarray:
    """The scores in a file, computed where they are not there."""
    if not file.is_file():
        save_arrays(file, {"scores": make()})
    return load_arrays(file)["scores"]


def _by_angle(title: str, results: Sequence[Result]) -> str:
    """The table by angle of one clip, or of the mean over clips with at least `MIN_FRAMES` frames in a bin."""
    rows = []
    for label, low, high in BINS:
        counted = [(r, r.within(low, high)) for r in results]
        counted = [(r, which) for r, which in counted if which.sum() >= (MIN_FRAMES if len(results) > 1 else 1)]
        if not counted:
            continue
        avatar, warp, static = (np.mean([r.mean(m, which) for r, which in counted], 0) for m in METHODS)
        rows.append(
            [
                label,
                f"{sum(which.sum() for _, which in counted)}" + (f"/{len(counted)}" if len(results) > 1 else ""),
                *(report.number(v[0]) for v in (avatar, warp, static)),
                report.number(avatar[0] - warp[0], sign=True),
                *(report.number(v[1], 3) for v in (avatar, warp, static)),
                *(report.number(v[2]) for v in (avatar, warp, static)),
                *(report.number(v[3]) for v in (avatar, warp, static)),
                report.number(avatar[3] / warp[3]),
            ]
        )
    header = [title, "frames" + ("/clips" if len(results) > 1 else ""), "PSNR avatar", "warp", "static", "a-w"]
    header += ["SSIM avatar", "warp", "static", "face avatar", "warp", "static", "AKD avatar", "warp", "static", "a/w"]
    lost = sum(int(np.isnan(r.scores["avatar"][:, 3]).sum()) for r in results)
    return report.table(header, rows) + (f"\nno face found in {lost} frames of the avatar" if lost else "")


def _requirements(results: Sequence[Result]) -> list[list[str]]:
    rows = []
    for result in results:
        if result.name == "obama":
            for label, last in (("", 10**9), (f", first {SHORT} frames", SHORT)):
                psnr, ssim, _, akd = result.mean("avatar", result.within(0, 999) & (result.index < last))
                rows.append(report.requirement(f"obama{label}: PSNR", psnr, 25.8, True))
                rows.append(report.requirement(f"obama{label}: SSIM", ssim, 0.880, True, 3))
                rows.append(report.requirement(f"obama{label}: AKD", akd, 2.0, False))
    gains = {name: (0.0 if name == "0-3" else 0.5 if name == "all" else 1.2) for name in ("0-3", "all", "> 6")}
    for name, limit in gains.items():
        low, high = next((a, b) for label, a, b in BINS if label == name)
        counted = [(r, r.within(low, high)) for r in results]
        counted = [(r, w) for r, w in counted if w.sum() >= MIN_FRAMES]
        gain = [(r.mean("avatar", w) - r.mean("warp", w))[0] for r, w in counted]
        value = float(np.mean(gain)) if gain else float("nan")
        rows.append(report.requirement(f"PSNR over the warp, {name} deg, dB", value, limit, True))
    pairs = [(r.mean("avatar", r.within(0, 999))[3], r.mean("warp", r.within(0, 999))[3]) for r in results]
    ratio = float(np.mean([a for a, _ in pairs]) / np.mean([w for _, w in pairs]))
    rows.append(report.requirement("AKD over the warp's, all", ratio, 1.15, False))
    return rows


def _dump(
    folder: Path, result: Result, truth: Truth, performance: Performance, moved: Callable[[int], np.ndarray]
) -> None:
    """A contact sheet: frames spread evenly, then those where the avatar loses most, against the warp and in AKD."""
    n = len(result.index)
    even = np.linspace(0, n - 1, 6).round().astype(int)
    loss = result.scores["warp"][:, 0] - result.scores["avatar"][:, 0]
    keypoints = np.nan_to_num(result.scores["avatar"][:, 3], nan=1e9)
    chosen = [("even", k) for k in even]
    chosen += [("worst PSNR against the warp", k) for k in np.argsort(-loss)[:3]]
    chosen += [("worst AKD", k) for k in np.argsort(-keypoints)[:2]]
    rows = []
    for why, k in chosen:
        i = int(result.index[k])
        wanted, avatar, warp = truth.image(i), performance(i), moved(i)
        label = f"{why}: frame {i}, {result.angle[k]:.1f} deg"
        for method in METHODS[:2]:
            psnr, ssim, face, akd = result.scores[method][k]
            label += f"; {method} {psnr:.1f} dB, {ssim:.3f}, face {face:.1f} dB, {akd:.1f} px"
        rows.append(
            (label, (wanted, avatar, warp, report.error_image(avatar, wanted), report.error_image(warp, wanted)))
        )
    columns = ("truth", "avatar", "warp", "error of the avatar x4", "error of the warp x4")
    report.contact_sheet(folder / f"self_{result.name}.png", rows, columns)


def _save(path: Path, results: Sequence[Result]) -> None:
    values = {
        r.name: {
            "frame": r.index.tolist(),
            "angle": r.angle.tolist(),
            **{method: dict(zip(SCORES, scores.T.tolist(), strict=True)) for method, scores in r.scores.items()},
        }
        for r in results
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))


if __name__ == "__main__":
    sys.exit(command(main))
