"""The cross-identity expression error, without and with the expression optimizer: off and on.

    python -m benchmarks.expression [--sources A.jpg ...] [--clips obama ...] [--stride K] [--dump DIR] [--json OUT]
    python -m benchmarks.expression --codes

The results are rendered and tracked afresh, as in `benchmarks.cross_identity`, and measured on landmarks alone. Of
every frame, for the driver and for the result:

* mouth: the gap of the inner lips over the distance of the outer eye corners, as it is: closed is zero on every face;
* eyes: the eye aspect ratio over the person's own open eye: the driver's is the median of its open frames, the
  result's that of the photo as the tracker sees it, whatever the result does;
* brows, smile: brows' height and mouth's width over the distance of the outer eye corners, less the median of each.

The error of one of them is the RMS difference of result and driver over the driver's standard deviation: 0 is the same
motion, 1 what a face that keeps still at the driver's mean would have. The expression error is the mean of the four.
`blink` is the part of an open eye that the result shows where the driver's eyes are most closed (the median over the
frames nearest to its smallest opening), `shut` the same for the driver itself; a blink that is lost shows in no mean
over frames. `--codes` compares the openings of head models instead, without rendering.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks import _report as report
from benchmarks._inputs import add_inputs, find_clips, find_photos
from benchmarks._performance import Performance, frame_indices
from benchmarks._truth import settled_points, track_faces
from core.command_line import load_options
from core.components import Components, default_components
from core.data.records import IMAGE_SIZE, SEEN, TrackedSequence
from core.data.video import VideoReader
from core.errors import command
from core.evaluation import metrics
from core.libs.expression_optimizer import ExpressionOptimizer
from core.libs.retargeting.expression import transfer_expression
from core.libs.retargeting.openings import FaceOpenings
from core.libs.retargeting.stage import Retargeting
from core.libs.tracker.crop import crop_image, to_crop
from core.libs.tracker.mediapipe_tracker import MediaPipeTracker

CLIPS = ("obama", "d10", "d13")
FEATURES = ("mouth", "eyes", "brows", "smile")
COLUMNS = ("error", *FEATURES, "r mouth", "r eyes", "amount mouth", "amount eyes", "blink", "shut")
_BROWS = ((105, (33, 133)), (334, (362, 263)))


def main(arguments: Sequence[str] | None = None) -> dict[str, dict[str, dict[str, float]]]:
    """Run the benchmark and print its tables."""
    args = _parser().parse_args(arguments)
    clips, sources = find_clips(args.clips, args.data, CLIPS), find_photos(args.sources, args.data)
    components = default_components(
        load_options(["-i", str(sources[0]), "-d", str(clips[0]), "--quiet", "--background", "black"])
    )
    results = _by_codes(sources, clips, components) if args.codes else _by_pictures(sources, clips, components, args)
    for name, value in results.pop("settings", {}).items():
        print(f"{name}: {value:.3f}")
    columns = list(next(iter(results.values()))["off"])
    rows = [[f"{pair} {k}", *(report.number(v[c], 3) for c in columns)] for pair, r in results.items() for k, v in
            r.items()]  # fmt: skip
    for state in ("off", "on"):
        mean = [report.number(float(np.mean([r[state][c] for r in results.values()])), 3) for c in columns]
        rows.append([f"mean {state}", *mean])
    print("\n" + report.table(["", *columns], rows))
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(results, indent=1))
    return results


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.expression", description=__doc__.split("\n")[0])
    add_inputs(parser, CLIPS, photos=True)
    parser.add_argument("--frames", type=int, metavar="N", help="only the first N frames of every clip")
    parser.add_argument("--stride", type=int, default=1, metavar="K", help="only every K-th frame")
    parser.add_argument("--codes", action="store_true", help="compare the head models' openings; render nothing")
    parser.add_argument("--dump", type=Path, metavar="DIR", help="write a contact sheet of mouths and eyes per pair")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table")
    return parser


def _motions(performance: Performance) -> dict[str, TrackedSequence]:
    """What is rendered, by whether the optimizer had a hand in it."""
    head, off = performance.components.head, performance.motion
    optimizer = ExpressionOptimizer(head=head)
    return {"off": off, "on": transfer_expression(optimizer, performance.source.frame, performance.track, off, head)}


def _by_pictures(
    sources: Sequence[Path], clips: Sequence[Path], components: Components, args: argparse.Namespace
) -> dict[str, dict[str, dict[str, float]]]:
    tracker, results = MediaPipeTracker(), {}
    for clip in clips:
        faces = track_faces((frame.image for frame in VideoReader(clip)), tracker)
        for photo in sources:
            options = load_options(
                ["-i", str(photo), "-d", str(clip), "--model", "lifted", "--quiet", "--background", "black"]
            )
            performance = Performance(options, components)
            index = np.array(frame_indices(len(performance.track), args.frames, args.stride))
            driver = to_crop(faces, performance.track.crops)
            own = settled_points(np.ascontiguousarray(performance.source.shown()[0]), tracker)
            pair, pictures = f"{photo.stem} by {clip.stem}", {}
            results[pair] = {}
            for state, motion in _motions(performance).items():
                performance.motion = motion
                pictures[state] = [performance(i) for i in index]
                points = track_faces(pictures[state], tracker)
                both = (performance.track.status[index] == SEEN) & np.isfinite(points[:, 0, 0] + driver[index, 0, 0])
                results[pair][state] = errors(driver[index][both], points[both], own)
            print(f"{pair}: error {results[pair]['off']['error']:.3f} off, {results[pair]['on']['error']:.3f} on",
                  flush=True)  # fmt: skip
            if args.dump:
                _dump(args.dump / f"expression_{clip.stem}_{photo.stem}.png", performance, clip, index, pictures)
    tracker.close()
    return results


def errors(driver: np.ndarray, result: np.ndarray, own: np.ndarray) -> dict[str, float]:
    """The figures of a pair from the points of driver and result (T, 478, 3) and of the photo (478, 3)."""
    ear = metrics.eye_opening(driver)
    theirs, mine = features(driver, metrics.usual_opening(ear)), features(result, metrics.eye_opening(own))
    values = {name: float(np.sqrt(np.mean((mine[name] - theirs[name]) ** 2)) / theirs[name].std()) for name in FEATURES}
    closed = np.argsort(theirs["eyes"])[: max(2, len(driver) // 100)]
    return {
        "error": float(np.mean(list(values.values()))),
        **values,
        "r mouth": metrics.correlation(theirs["mouth"], mine["mouth"]),
        "r eyes": metrics.correlation(theirs["eyes"], mine["eyes"]),
        "amount mouth": float(mine["mouth"].std() / theirs["mouth"].std()),
        "amount eyes": float(mine["eyes"].std() / theirs["eyes"].std()),
        "blink": float(np.median(mine["eyes"][closed])),
        "shut": float(np.median(theirs["eyes"][closed])),
    }


def features(points: np.ndarray, open_eyes: np.ndarray) -> dict[str, np.ndarray]:
    """What the module's text says is compared, each (T,), of points (T, 478, 3); `open_eyes` (2,) aspect ratios."""
    width = np.linalg.norm(points[:, 33] - points[:, 263], axis=-1)
    brows = np.mean([np.linalg.norm(points[:, b] - points[:, list(c)].mean(1), axis=-1) for b, c in _BROWS], 0) / width
    smile = np.linalg.norm(points[:, 61] - points[:, 291], axis=-1) / width
    return {
        "mouth": metrics.mouth_opening(points),
        "eyes": (metrics.eye_opening(points) / open_eyes).mean(-1),
        "brows": brows - np.median(brows),
        "smile": smile - np.median(smile),
    }


def _by_codes(
    sources: Sequence[Path], clips: Sequence[Path], components: Components
) -> dict[str, dict[str, dict[str, float]]]:
    """The openings of the head models; and what of the codes' variance lies within clips and what between people."""
    results, within, rests = {}, [], []
    for clip in clips:
        for photo in sources:
            options = load_options(
                ["-i", str(photo), "-d", str(clip), "--model", "lifted", "--quiet", "--background", "black"]
            )
            source, driver = (
                components.track_source(photo, False).frame,
                components.track_driver(clip, False, lambda *_: None),
            )
            off = Retargeting().run(source, driver, components.head)
            on = transfer_expression(ExpressionOptimizer(head=components.head), source, driver, off, components.head)
            theirs, mine = (FaceOpenings(components.head, components.head.openings, f) for f in (driver[0], source))
            gaps = theirs.gaps(driver.expcode, driver.posecode[:, 3:])[:, :3]
            own = mine.gaps(source.expcode[None], source.posecode[None, 3:])[0, :3]
            eye = metrics.usual_opening(gaps[:, 1:])
            pair = results[f"{photo.stem} by {options.driver_path.stem}"] = {}
            for state, motion in (("off", off), ("on", on)):
                got = mine.gaps(motion.expcode, motion.posecode[:, 3:])[:, :3]
                mouths, eyes = (
                    (gaps[:, 0] / theirs.width, got[:, 0] / mine.width),
                    (gaps[:, 1:] / eye, got[:, 1:] / own[1:]),
                )
                spans = [[np.ptp(np.percentile(v, [1, 99])) for v in pair] for pair in (mouths, eyes)]
                pair[state] = {
                    "mouth": float(np.sqrt(np.mean((mouths[0] - mouths[1]) ** 2)) / mouths[0].std()),
                    "eyes": float(np.sqrt(np.mean((eyes[0] - eyes[1]) ** 2)) / eyes[0].std()),
                    "span mouth": float(spans[0][1] / spans[0][0]),
                    "span eyes": float(spans[1][1] / spans[1][0]),
                    "least mouth": float(mouths[1].min()),
                    "least eyes": float(eyes[1].min()),
                }
        within.append(driver.expcode.var(0))
        rests.append(ExpressionOptimizer().fit_neutral(driver.expcode))
    rests += [components.track_source(photo, False).frame.expcode for photo in sources]
    motion = np.mean(within, 0).sum()
    results["settings"] = {"share of motion in the codes' variance": motion / (motion + np.var(rests, 0).sum())}
    return results


def _dump(
    path: Path, performance: Performance, clip: Path, index: np.ndarray, pictures: dict[str, list[np.ndarray]]
) -> None:
    """A contact sheet: driver, off and on at frames spread over how open mouth and eyes are."""
    head, track = performance.components.head, performance.track
    face = FaceOpenings(head, head.openings, track[0])
    gaps = face.gaps(track.expcode[index], track.posecode[index, 3:])[:, :3]
    by_mouth, by_eyes = np.argsort(gaps[:, 0]), np.argsort(gaps[:, 1:].mean(1))
    last = len(index) - 1
    chosen = [by_mouth[round(q * last)] for q in (0, 0.5, 0.8, 1)] + [
        by_eyes[round(q * last)] for q in (0, 0.02, 0.1, 1)
    ]
    wanted = {int(index[k]): k for k in chosen}
    shown = {f.index: crop_image(f.image, track.crops[f.index]) for f in VideoReader(clip) if f.index in wanted}
    photo = performance.source.shown()[0]
    rows = [("driver", [shown[int(index[k])] for k in chosen])]
    rows += [(state, [images[k] for k in chosen]) for state, images in pictures.items()]
    rows = [(label, [_face_of(photo), *map(_face_of, images)]) for label, images in rows]
    report.contact_sheet(path, rows, ["photo", *(f"frame {index[k]}" for k in chosen)])


def _face_of(image: np.ndarray) -> np.ndarray:
    """The middle of a crop, where the face is."""
    low, high = round(0.2 * IMAGE_SIZE), round(0.8 * IMAGE_SIZE)
    return image[low:high, low:high]


if __name__ == "__main__":
    sys.exit(command(main))
