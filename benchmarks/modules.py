"""What each improvement gains and costs on its own: the specification's figures per module, measured.

    python -m benchmarks.modules [--clips A.mp4 B.mp4] [--stride K] [--frames N] [--json OUT]

Self-reenactment: a clip's first frame is moved like the clip, which is the truth, as it was tracked and with tracking
noise. Scores of a frame, means over frames and then over clips:

* PSNR, of the crop. eye PSNR, in the boxes around the eyes.
* high-frequency PSNR: of the finest band of the luminance's Laplacian pyramid (structures of about 2 pixels), in the
  face; its error is the band's difference, its range 1.
* flow error: mean over the face of the distance in pixels between the result's optical flow from the frame before and
  the truth's. Consistency of the flow is this, the smaller the better.
* eye sharpness: squared gradient of the luminance in the eyes' boxes over the truth's.
* BRISQUE (Mittal, Moorthy, Bovik 2012) of the face's box, lower is better, by the package `brisque`, whose wheel brings
  the trained model: `pip install brisque`. Without it the row says so.

Costs: milliseconds as a ratio to a frame without improvements, taken in turns (`benchmarks.cpu`), and MiB that a
process holds at most beyond one without, each variant in a process of its own: while the motion is made, and while
frames are drawn.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from benchmarks import _report as report
from benchmarks import cpu
from benchmarks._inputs import add_inputs, find_clips
from benchmarks.self_reenactment import CLIPS
from core.data.records import IMAGE_SIZE
from core.errors import UserError, command
from core.evaluation import metrics
from core.evaluation.conditions import Condition
from core.evaluation.measure import Experiment
from core.evaluation.setting import Setting
from core.evaluation.timing import peak_memory, reset_peak_memory
from core.evaluation.truth import lossless_first_frame
from core.evaluation.variants import ALL, OFF, Pair, Variant, standard_variants
from core.libs.tracker.mediapipe_tracker import MediaPipeTracker
from core.options import Options
from core.pipeline import Pipeline, to_image
from core.runtime.device import torch_threads
from core.runtime.memory import give_back_memory

# name of a score, digits, unit
SCORES = {
    "PSNR, dB": 2,
    "high-frequency PSNR, dB": 2,
    "eye PSNR, dB": 2,
    "flow error, px": 3,
    "eye sharpness over the truth's": 3,
    "BRISQUE, lower": 1,
}
BALANCED = Variant("temporal + detail", {"temporal_smooth": True, "detail_enhance": True})  # the specification's mode
SIZE = (IMAGE_SIZE, IMAGE_SIZE)
_MOST_DB = 60.0
Score = Callable[[np.ndarray], float]


def main(arguments: Sequence[str] | None = None) -> dict[str, object]:
    """Run the benchmark, print its tables and return their numbers."""
    args = _parser().parse_args(arguments)
    clips = find_clips(args.clips, args.data, CLIPS)
    brisque = brisque_score()
    variants = [variant for variant in standard_variants() if not variant.name.startswith("without ")]
    found: dict[str, object] = {}
    for title, noise in () if args.no_scores else (("as tracked", None), ("with tracking noise", 0)):
        scores = [_clip(clip, noise, variants, args, brisque) for clip in clips]
        means = {v.name: np.mean([clip[v.name] for clip in scores], 0) for v in variants}
        truth = float(np.mean([clip["truth"][-1] for clip in scores]))
        found[title] = {name: dict(zip(SCORES, values.tolist(), strict=True)) for name, values in means.items()}
        print(f"\n{title}, mean of {len(clips)} clips, every {args.stride}th of {args.frames} frames")
        print(scores_table(means), flush=True)
        print("BRISQUE: not measured, pip install brisque" if brisque is None else f"BRISQUE of the truth: {truth:.1f}")
    if not args.no_cost:
        found["cost"] = _costs(clips[0], [*variants[:-1], BALANCED, variants[-1]], args.frames)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(found, indent=1))
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.modules", description=__doc__.split("\n")[0])
    add_inputs(parser, CLIPS)
    parser.add_argument("--stride", type=int, default=6, metavar="K", help="only every K-th frame (default: 6)")
    parser.add_argument("--frames", type=int, default=120, metavar="N", help="of each clip (default: 120)")
    parser.add_argument("--no-scores", action="store_true", help="only milliseconds and memory")
    parser.add_argument("--no-cost", action="store_true", help="leave out milliseconds and memory")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers")
    return parser


def _clip(
    clip: Path, noise: int | None, variants: Sequence[Variant], args: argparse.Namespace, brisque: Score | None
) -> dict[str, np.ndarray]:
    """(len(SCORES),) the means over the frames of a clip for each variant, and the truth's own under `truth`."""
    tracker = MediaPipeTracker()
    setting = Setting(
        Pair(clip.stem, clip),
        None if noise is None else Condition("tracking-noise", noise),
        args.stride,
        args.frames,
        ("--model", "lifted"),
    )
    experiment = Experiment(setting, tracker)
    indices = [int(i) for i in experiment.truth.indices if i > 0 and i % args.stride == 0]
    if not indices:
        raise UserError(
            f"{clip}: none of its frames is compared: the first is the photo, then every {args.stride}th counts: more "
            f"--frames than {args.stride}, or a smaller --stride"
        )
    rows: dict[str, list[np.ndarray]] = {"truth": []}
    for variant in variants:
        pipeline = experiment.pipeline(variant)
        rows[variant.name] = [_frame(experiment, pipeline, index, brisque) for index in indices]
    for index in indices:
        rows["truth"].append(
            _scores(experiment, index, experiment.truth.image(index), experiment.truth.image(index - 1), brisque)
        )
    tracker.close()
    return {name: np.mean(values, 0) for name, values in rows.items()}


def _frame(experiment: Experiment, pipeline: Pipeline, index: int, brisque: Score | None) -> np.ndarray:
    before, now = (to_image(pipeline.draw(pipeline.motion[i])) for i in (index - 1, index))
    return _scores(experiment, index, now, before, brisque)


def _scores(
    experiment: Experiment, index: int, image: np.ndarray, before: np.ndarray, brisque: Score | None
) -> np.ndarray:
    """(len(SCORES),) of one frame, given its predecessor."""
    truth, points = experiment.truth.image(index), experiment.points[index]
    face, eyes = metrics.face_mask(points, SIZE), eye_mask(points)
    flows = metrics.backward_flow(image, before), metrics.backward_flow(truth, experiment.truth.image(index - 1))
    values = [
        min(metrics.psnr(image, truth), _MOST_DB),
        min(high_frequency_psnr(image, truth, face), _MOST_DB),
        min(metrics.eye_psnr(image, truth, points), _MOST_DB),
        flow_error(*flows, face),
        metrics.gradient_energies(image, eyes) / metrics.gradient_energies(truth, eyes),
        np.nan if brisque is None else brisque(_box(image, points)),
    ]
    return np.array(values, np.float64)


def high_frequency_psnr(image: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """`psnr` of the finest band of the luminance's Laplacian pyramid in 0..1, over a mask (H, W); infinite if equal."""
    difference = (_finest_band(image) - _finest_band(truth))[mask]
    error = float(np.square(difference, dtype=np.float64).mean())
    return float("inf") if error == 0 else float(-10 * np.log10(error))


def flow_error(flow: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """Mean end-point error in pixels of a flow (H, W, 2) over a mask (H, W)."""
    return float(np.linalg.norm(flow - truth, axis=-1)[mask].mean())


def eye_mask(points: np.ndarray) -> np.ndarray:
    """(H, W) bool: the boxes around both eyes."""
    mask = np.zeros(SIZE, bool)
    for x0, y0, x1, y1 in metrics.eye_boxes(points, SIZE):
        mask[y0:y1, x0:x1] = True
    return mask


def brisque_score() -> Score | None:
    """BRISQUE of a picture (H, W, 3) uint8, or None where the package is not installed."""
    try:
        from brisque import BRISQUE
    except ImportError:
        return None
    return BRISQUE(url=False).score


def scores_table(means: dict[str, np.ndarray]) -> str:
    """Scores by variant: the value of off, and how far each of the others is from it."""
    others = [name for name in means if name != OFF]
    rows = []
    for k, (score, digits) in enumerate(SCORES.items()):
        off = means[OFF][k]
        changes = [report.number(means[name][k] - off, digits, sign=True) for name in others]
        rows.append([score, report.number(off, digits), *changes])
    return report.table(["", OFF, *others], rows)


def _finest_band(image: np.ndarray) -> np.ndarray:
    values = metrics.luminance(image) / 255
    return values - cv2.pyrUp(cv2.pyrDown(values), dstsize=values.shape[::-1])


def _box(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The box around the face, without what is beyond the picture."""
    low, high = (f(points[:468, :2].astype(np.float64), 0) for f in (np.min, np.max))
    (x0, y0), (x1, y1) = (np.clip(v, 0, IMAGE_SIZE).astype(int) for v in (low, high))
    return np.ascontiguousarray(image[y0:y1, x0:x1])


def _costs(clip: Path, variants: Sequence[Variant], frames: int) -> dict[str, dict[str, float]]:
    """Milliseconds as a ratio, and MiB, by variant."""
    options = Options(lossless_first_frame(clip), clip, model="lifted", quiet=True, no_watermark=True)
    with torch_threads(1):  # as the pipeline does
        times = {row.name: row for row in cpu.flags(options, frames, variants)}
    spawned = multiprocessing.get_context("spawn")  # what this process holds is not to be theirs
    with ProcessPoolExecutor(1, spawned, max_tasks_per_child=1) as pool:
        peaks = {v.name: pool.submit(peaks_of, v.applied(options), frames).result() for v in variants}
    rows, found = [], {}
    for variant in variants:
        name = variant.name
        beyond = np.subtract(peaks[name], peaks[OFF])
        row = times[name]
        rows.append([name, f"{row.ms:.1f}", f"{row.ratio:.2f}", *(f"{v:+.0f}" for v in beyond)])
        found[name] = {"ms": row.ms, "ratio": row.ratio, "motion MiB": beyond[0], "drawing MiB": beyond[1]}
    header = ["", "ms a frame", f"ratio to {OFF}", "MiB more, motion", "MiB more, drawing"]
    print(f"\ncost, {clip.name}, {frames} frames\n{report.table(header, rows)}")
    print(f"{OFF}: {peaks[OFF][0]:.0f} MiB while the motion is made, {peaks[OFF][1]:.0f} MiB while frames are drawn")
    for name in (BALANCED.name, ALL):
        print(f"{name}: {1 / times[name].ratio:.2f} of the frame rate of {OFF}")
    return found


def peaks_of(options: Options, frames: int) -> tuple[float, float]:
    """MiB that this process holds at most: while the motion is made, and while frames are drawn."""
    with torch_threads(1):
        pipeline = Pipeline(options)
        _ = pipeline.source, pipeline.driver
        give_back_memory()
        reset_peak_memory()
        motion = pipeline.motion
        making = peak_memory()
        _ = pipeline.avatar
        give_back_memory()
        reset_peak_memory()
        for index in range(min(frames, len(motion))):
            to_image(pipeline.draw(motion[index]))
        return making, peak_memory()


if __name__ == "__main__":
    sys.exit(command(main))
