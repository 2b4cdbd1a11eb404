"""What detail brings: self-reenactment with the first frame as source, each half of it off and on, against the truth.

    python -m benchmarks.detail [--clips A.mp4 B.mp4] [--stride K] [--strength S] [--dump DIR] [--json OUT]

Columns: gradient energy inside the hull of the face (mean squared Sobel) over the truth's; the same on the skin, the
hull's border and what is between the lips left out; PSNR of the crop and inside the hull; GMSD of both; milliseconds a
frame. The source is not scored. `best gain` is what a band of the picture would have to be multiplied by to be nearest
to the truth (least squares, inside the hull): below 1, every amplification costs PSNR, whatever makes it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks import _report as report
from benchmarks._inputs import add_inputs, find_clips
from benchmarks._performance import Performance, frame_indices, lossless_first_frame, to_image
from benchmarks._truth import Truth
from benchmarks.self_reenactment import CLIPS
from core.command_line import load_options
from core.components import default_components
from core.errors import command
from core.evaluation import metrics
from core.libs.flame_model import topology as topo
from core.libs.geometry import to_camera, to_pixels
from core.libs.tracker.mediapipe_tracker import MediaPipeTracker
from core.models.modules.detail_enhancer import DetailEnhancer, face_matte, source_detail_fade
from core.models.request import DrawRequest

METHODS = {"off": (0.0, 0.0), "source's": (1.0, 0.0), "pyramid": (0.0, 1.0), "both": (1.0, 1.0)}
SCORES = ("energy", "skin energy", "PSNR", "face PSNR", "GMSD", "face GMSD", "ms")
MOST_DB = 60.0
BAND_SIGMAS = (1.0, 2.0, 4.0)
_RIM, _LIPS = 8, 4  # pixels left out of the skin at the hull's border and around the opening of the lips


@dataclass(frozen=True)
class Result:
    """One clip: `scores` by method (N, len(SCORES)), `best_gain` (3,) of the bands of the picture without detail."""

    name: str
    scores: dict[str, np.ndarray]
    best_gain: np.ndarray

    def mean(self, method: str) -> np.ndarray:
        """(len(SCORES),) over all frames but the source's."""
        return self.scores[method][1:].mean(0)


class Detailed:
    """The frames of a performance with detail.

    Args:
        performance: whose avatar and motion. source, enhancer: strengths of the photo's own detail and of the pyramid.
    """

    def __init__(self, performance: Performance, source: float, enhancer: float) -> None:
        self._performance, self._source, self._strength = performance, source, enhancer
        self._enhancer = DetailEnhancer()

    def __call__(self, index: int) -> np.ndarray:
        """(512, 512, 3) uint8."""
        performance = self._performance
        photo, frame = performance.source.frame, performance.motion[index]
        vertices = performance.components.head.evaluate(replace(frame, static_offset=photo.static_offset))
        transform = frame.transform_matrix
        detail = self._source * source_detail_fade(photo.transform_matrix, transform) if self._source else 0.0
        picture = performance.components.model.render(
            performance.avatar,
            DrawRequest(
                vertices, transform, detail=detail, torso_motion=frame.torso_motion, mouth=frame.mouth_interior
            ),
        )
        if self._strength:
            face = to_pixels(to_camera(vertices[: topo.N_FACE].astype(np.float64), transform))
            rings = (topo.INNER_LIPS, topo.RIGHT_EYE, topo.LEFT_EYE)
            matte = face_matte(face, picture.shape[1:], [face[list(ring)] for ring in rings])
            picture = self._enhancer(picture[None], self._strength, matte)[0]
        return to_image(picture)


def main(arguments: Sequence[str] | None = None) -> list[Result]:
    """Run the benchmark and print its tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detail", description=__doc__.split("\n")[0])
    add_inputs(parser, CLIPS)
    parser.add_argument("--stride", type=int, default=10, metavar="K", help="only every K-th frame (default: 10)")
    parser.add_argument("--strength", type=float, default=1.0, help="multiplies both halves' strength (default: 1)")
    parser.add_argument("--dump", type=Path, metavar="DIR", help="write faces off, on and true, twice as large")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all scores of all frames")
    args = parser.parse_args(arguments)
    clips = find_clips(args.clips, args.data, CLIPS)
    torch.set_num_threads(1)  # as the pipeline does
    tracker, components, results = MediaPipeTracker(), None, []
    for path in clips:
        options = ["-i", str(lossless_first_frame(path)), "-d", str(path), "--model", "lifted", "--motion", "absolute"]
        options = load_options(["--background", "black", *options, "--quiet"])
        components = components or default_components(options)
        performance = Performance(options, components, tracker)
        truth = Truth(path, performance.track, frame_indices(len(performance.track), None, args.stride), tracker)
        result = _measure(path.stem, performance, truth, args.strength)
        results.append(result)
        print(_table([result]), flush=True)
        if args.dump:
            _dump(args.dump, path.stem, performance, truth, args.strength)
    tracker.close()
    if len(results) > 1:
        print(_table(results))
    print(report.requirements(_requirements(results)))
    if args.json:
        values = {
            r.name: {m: dict(zip(SCORES, s.T.tolist(), strict=True)) for m, s in r.scores.items()} for r in results
        }
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(values))
    return results


def _measure(name: str, performance: Performance, truth: Truth, strength: float) -> Result:
    makers = {method: Detailed(performance, *(strength * s for s in both)) for method, both in METHODS.items()}
    scores: dict[str, list[tuple[float, ...]]] = {method: [] for method in METHODS}
    products = np.zeros((len(BAND_SIGMAS), 2))
    for make in makers.values():
        make(int(truth.indices[0]))  # warm
    for index, points in zip(map(int, truth.indices), truth.points, strict=True):
        wanted = truth.image(index)
        hull = metrics.hull_mask(points, wanted.shape[:2])
        skin = _skin(hull, points)
        for method, make in makers.items():
            start = time.perf_counter()
            image = make(index)
            spent = 1e3 * (time.perf_counter() - start)
            scores[method].append((*_scores(image, wanted, hull, skin), spent))
            if method == "off" and index != truth.indices[0]:
                for k, (x, y) in enumerate(zip(_bands(image), _bands(wanted), strict=True)):
                    products[k] += (x * y)[hull].sum(), (x * x)[hull].sum()
    return Result(name, {m: np.array(s) for m, s in scores.items()}, products[:, 0] / products[:, 1])


def _scores(image: np.ndarray, truth: np.ndarray, hull: np.ndarray, skin: np.ndarray) -> tuple[float, ...]:
    energies = [metrics.gradient_energies(image, m) / metrics.gradient_energies(truth, m) for m in (hull, skin)]
    distances = [min(metrics.psnr(image, truth, mask), MOST_DB) for mask in (None, hull)]
    return (*energies, *distances, metrics.gmsd(image, truth), metrics.gmsd(image, truth, hull))


def _skin(hull: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(H, W) bool: the hull (H, W) without its border and without what is between the lips."""
    lips = np.zeros(hull.shape, np.uint8)
    cv2.fillPoly(lips, [points[list(topo.INNER_LIPS), :2].round().astype(np.int32)], 1)
    inner = cv2.erode(hull.astype(np.uint8), np.ones((2 * _RIM + 1,) * 2), borderValue=0)
    return (inner > cv2.dilate(lips, np.ones((2 * _LIPS + 1,) * 2))).astype(bool)


def _bands(image: np.ndarray) -> list[np.ndarray]:
    values, bands = metrics.luminance(image), []
    for sigma in BAND_SIGMAS:
        softer = cv2.GaussianBlur(values, (0, 0), sigma)
        bands.append(values - softer)
        values = softer
    return bands


def _table(results: Sequence[Result]) -> str:
    """One clip's methods, or their means over the clips."""
    off, rows = np.mean([r.mean("off") for r in results], 0), []
    for method in METHODS:
        values = np.mean([r.mean(method) for r in results], 0)
        change = values - off
        row = [method, *(report.number(v, 3) for v in values[:2])]
        for k, digits in ((2, 2), (3, 2), (4, 4), (5, 4)):
            row += [report.number(values[k], digits), report.number(change[k], digits + 1, sign=True)]
        rows.append([*row, report.number(values[6], 1)])
    title = results[0].name if len(results) == 1 else f"mean of {len(results)}"
    header = [title, *SCORES[:2], "PSNR", "", "face PSNR", "", "GMSD", "", "face GMSD", "", "ms"]
    gains = ", ".join(report.number(g) for g in np.mean([r.best_gain for r in results], 0))
    return f"{report.table(header, rows)}\nbest gain of the bands around {_sizes()} pixels: {gains}\n"


def _sizes() -> str:
    return ", ".join(f"{2 * s:g}" for s in BAND_SIGMAS)


def _requirements(results: Sequence[Result]) -> list[list[str]]:
    rows = []
    for r in results:
        off, on = r.mean("off"), r.mean("both")
        rows.append(report.requirement(f"{r.name}: gradient energy over the truth's", on[0], 0.9, True))
        rows.append(report.requirement(f"{r.name}: the same", on[0], 1.1, False))
        rows.append(report.requirement(f"{r.name}: PSNR against off, dB", on[2] - off[2], -0.1, True, 3))
        rows.append(report.requirement(f"{r.name}: GMSD against off", on[4] - off[4], 0.0, False, 5))
    off, on = (np.mean([r.mean(m) for r in results], 0) for m in ("off", "both"))
    rows.append(report.requirement("mean of the clips: gradient energy", on[0], 0.9, True))
    rows.append(report.requirement("mean of the clips: the same", on[0], 1.1, False))
    rows.append(report.requirement("mean of the clips: PSNR against off, dB", on[2] - off[2], -0.1, True, 3))
    rows.append(report.requirement("mean of the clips: GMSD against off", on[4] - off[4], 0.0, False, 5))
    return rows


def _dump(folder: Path, name: str, performance: Performance, truth: Truth, strength: float) -> None:
    """The face off, on and in truth, twice as large, in three frames."""
    off = Detailed(performance, 0.0, 0.0)
    on = Detailed(performance, strength, strength)
    rows = []
    for k in np.linspace(0, len(truth.indices) - 1, 3).round().astype(int):
        index, points = int(truth.indices[k]), truth.points[k][:, :2]
        left, top = np.maximum(points.min(0) - 24, 0).astype(int)
        right, bottom = np.minimum(points.max(0) + 24, 511).astype(int)

        def cut(make: Callable[[int], np.ndarray], index=index, box=(left, top, right, bottom)) -> np.ndarray:
            x0, y0, x1, y1 = box
            return cv2.resize(make(index)[y0:y1, x0:x1], None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)

        rows.append(np.concatenate([cut(off), cut(on), cut(truth.image)], 1))
    folder.mkdir(parents=True, exist_ok=True)
    for i, row in enumerate(rows):
        cv2.imwrite(str(folder / f"detail_{name}_{i}.png"), row[..., ::-1])


if __name__ == "__main__":
    sys.exit(command(main))
