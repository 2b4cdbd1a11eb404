"""Results of other programs beside this one's, and beside warps of the photo, by the same metrics.

    python -m core.evaluation.compare -d CLIP [NAME=FOLDER ...]
    python -m core.evaluation.compare --pairs FILE.yaml [NAME=FOLDER ...] [--methods still warp ours enhanced]

Every clip is moved by itself: its first frame is the photo, the clip the truth. FOLDER holds what another program made
of them: a video named as the pair, `obama.mp4` for `obama`; of as many frames as the clip, or of other frames, which
are then compared at the same time. Made here, beside them: `still`, the photo as it is; `warp`, the photo warped
triangle by triangle to the driver's points; `tps`, the same by a thin-plate spline; `ours` and `enhanced`, this one.

Each result is laid over the clip by one similarity for all its frames, that of the faces' points, so that another crop
or size costs nothing; and only the face is compared, as programs differ in what is behind it. What remains: which crop
a program saw the photo in, and which tracker moved it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from core.data.records import IMAGE_SIZE
from core.data.video import VideoReader
from core.errors import UserError
from core.evaluation import metrics
from core.evaluation.measure import Experiment
from core.evaluation.report import number, table
from core.evaluation.runner import open_experiment
from core.evaluation.setting import Setting
from core.evaluation.truth import Truth, settled_points, track_faces
from core.evaluation.variants import Pair, Variant, make_pair, read_pairs
from core.evaluation.warp_baseline import PiecewiseAffineWarp, ThinPlateWarp
from core.options import IMPROVEMENTS
from core.pipeline import to_image

ENDINGS = (".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi")
METHODS = ("still", "warp", "tps", "ours", "enhanced")
SCORES = {  # the columns of the table and their digits
    "PSNR of the face, dB": 2,
    "PSNR of the eyes, dB": 2,
    "detail fidelity": 3,
    "AKD, px": 2,
    "expression error, %": 2,
    "gaze error, degrees": 2,
    "pose error, degrees": 2,
    "jitter above the truth's, px": 2,
    "frames with a face": 3,
}
Pictures = Callable[[], Generator[np.ndarray, None, None]]  # of all frames of a clip, (H, W, 3) uint8, from the start


@dataclass(frozen=True)
class Alignment:
    """Where a result's pictures lie over the truth's: `truth = factor * result + shift`, pixels of both."""

    factor: float
    shift: np.ndarray

    @classmethod
    def of(cls, points: np.ndarray, truth: np.ndarray) -> Alignment:
        """The least-squares one of the stable points of both, (T, 478, 3), over all frames that have them."""
        both = np.isfinite(points[:, 0, 0]) & np.isfinite(truth[:, 0, 0])
        if not both.any():
            return cls(1.0, np.zeros(2))
        mine, theirs = (p[both][:, list(metrics.STABLE_POINTS), :2].reshape(-1, 2) for p in (points, truth))
        centred, goal = mine - mine.mean(0), theirs - theirs.mean(0)
        factor = float((centred * goal).sum() / np.square(centred).sum())
        return cls(factor, theirs.mean(0) - factor * mine.mean(0))

    def points(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 3) of the result in pixels of the truth; z at the scale of x."""
        out = points * self.factor
        out[..., :2] += self.shift
        return out

    def picture(self, image: np.ndarray) -> np.ndarray:
        """(512, 512, 3): a picture of the result as the truth's would lie."""
        if self.factor < 1:  # it is made smaller: by areas, or single pixels would be picked
            size = [max(1, round(n * self.factor)) for n in image.shape[1::-1]]
            ratio = np.array(size) / image.shape[1::-1]
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            factor, shift = self.factor / ratio, self.shift + self.factor * (0.5 / ratio - 0.5)
        else:
            factor, shift = np.full(2, self.factor), self.shift
        matrix = np.array([[factor[0], 0, shift[0]], [0, factor[1], shift[1]]])
        return cv2.warpAffine(image, matrix, (IMAGE_SIZE, IMAGE_SIZE), flags=cv2.INTER_CUBIC)


def score(pictures: Pictures, experiment: Experiment, stride: int) -> np.ndarray:
    """The values of `SCORES` of a result, whose pictures are those of the experiment's frames in their order."""
    truth, count = experiment.points, len(experiment.points)
    points = np.full(truth.shape, np.nan)
    with closing(pictures()) as images:
        found = track_faces((image for _, image in zip(range(count), images, strict=False)), experiment.tracker)
    points[: len(found)] = found
    place = Alignment.of(points, truth)
    points = place.points(points)
    compared: list[tuple[float, float, float]] = []
    with closing(pictures()) as images:
        for index, image in zip(range(count), images, strict=False):
            if index and index % stride == 0 and np.isfinite(truth[index, 0, 0]):
                shown, true = place.picture(image), experiment.truth.image(index)
                mask = metrics.face_mask(truth[index], (IMAGE_SIZE, IMAGE_SIZE))
                psnr = metrics.face_psnr(shown, true, truth[index]), metrics.eye_psnr(shown, true, truth[index])
                compared.append((*psnr, metrics.detail(shown, true, mask).fidelity))
    both = np.isfinite(points[:, 0, 0]) & np.isfinite(truth[:, 0, 0])
    both[0] = False  # it is the photo
    if not both.any():
        return np.full(len(SCORES), np.nan)
    mine, theirs = points[both], truth[both]
    of_points = [
        np.mean([metrics.akd(a, b) for a, b in zip(mine, theirs, strict=True)]),
        np.mean(metrics.expression_error(mine, theirs)),
        np.mean(metrics.gaze_error(mine, theirs)),
        np.mean(metrics.pose_error(mine, theirs)),
        metrics.jitter(points) - metrics.jitter(truth),
        both[1:].sum() / np.isfinite(truth[1:, 0, 0]).sum(),
    ]
    return np.array([*np.mean(compared, 0), *of_points])


def made_here(method: str, experiment: Experiment) -> Pictures:
    """The pictures of one of `METHODS`."""
    count = len(experiment.points)
    if method in ("ours", "enhanced"):
        on = dict.fromkeys(IMPROVEMENTS, method == "enhanced")
        variant = Variant(method, on)

        def drawn() -> Generator[np.ndarray, None, None]:
            with closing(experiment.pipeline(variant).pictures()) as pictures:
                for _, picture in zip(range(count), pictures, strict=False):
                    yield to_image(picture)

        return drawn
    source = experiment.source
    shown, matte = source.shown()
    if method == "still":
        still = (shown * matte[..., None]).astype(np.uint8)
        return lambda: (still for _ in range(count))
    settled = settled_points(source.image, experiment.tracker)
    if settled is None:
        raise UserError(f"{experiment.photo}: no human face found in the photo")
    kind = PiecewiseAffineWarp if method == "warp" else ThinPlateWarp
    warp = kind(source.image, source.matte, settled, source.margin)

    def warped() -> Generator[np.ndarray, None, None]:
        assert isinstance(experiment.truth, Truth)  # the clip is a video
        last = settled - np.array([source.margin, source.margin, 0])
        for points in experiment.truth.driver[:count]:
            last = points if np.isfinite(points[0, 0]) else last
            image, alpha = warp(last)
            yield (image * alpha[..., None]).astype(np.uint8)

    return warped


def result_of(name: str, folder: Path, pair: Pair, times: Sequence[Fraction]) -> Pictures:
    """The pictures of another program's result at the clip's frames. UserError where there is none that fits."""
    path = next((folder / f"{pair.name}{end}" for end in ENDINGS if (folder / f"{pair.name}{end}").is_file()), None)
    if path is None:
        raise UserError(
            f"{name}: {folder} holds no video called {pair.name}.mp4 ({', '.join(ENDINGS)}): name results as the pairs"
        )
    own = [frame.time for frame in VideoReader(path)]
    if not own:
        raise UserError(f"{path} has no frames")
    missing = float(times[-1] - times[0]) - float(own[-1] - own[0])
    if len(own) != len(times) and abs(missing) > 0.5:
        raise UserError(
            f"{path} lasts {float(own[-1] - own[0]):.2f} s and its clip {float(times[-1] - times[0]):.2f} s: give the "
            "result of the whole clip"
        )
    at = np.array([float(time - own[0]) for time in own])
    nearest = [int(np.abs(at - float(time - times[0])).argmin()) for time in times]
    wanted = list(range(len(times))) if len(own) == len(times) else nearest

    def read() -> Generator[np.ndarray, None, None]:
        left = iter(wanted)
        index = next(left)
        for frame in VideoReader(path):
            while index == frame.index:
                yield frame.image
                index = next(left, -1)

    return read


def compare(
    pairs: Sequence[Pair],
    others: Mapping[str, Path],
    methods: Sequence[str] = METHODS,
    *,
    stride: int = 4,
    frames: int | None = None,
    arguments: Sequence[str] = (),
) -> dict[str, np.ndarray]:
    """(pairs, `SCORES`) of every method and program. UserError where a pair has a photo or a result is missing."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in (*methods, *others)}
    for pair in pairs:
        if not pair.same_person:
            raise UserError(f"{pair.name}: only a clip's own first frame can be compared picture by picture; no photo")
        with open_experiment(Setting(pair, None, stride, frames, tuple(arguments))) as experiment:
            results = {name: result_of(name, folder, pair, experiment.all_times) for name, folder in others.items()}
            for name in methods:
                found[name].append(score(made_here(name, experiment), experiment, stride))
            for name, pictures in results.items():
                found[name].append(score(pictures, experiment, stride))
    return {name: np.stack(rows) for name, rows in found.items()}


def markdown(found: Mapping[str, np.ndarray], pairs: Sequence[Pair]) -> str:
    """The means over clips as a table, then those of every clip."""
    parts = [_table(f"mean over {len(pairs)} clips", {name: rows.mean(0) for name, rows in found.items()})]
    if len(pairs) > 1:
        parts += [
            _table(pair.name, {name: rows[number] for name, rows in found.items()}) for number, pair in enumerate(pairs)
        ]
    return "\n\n".join(parts)


def _table(title: str, rows: Mapping[str, np.ndarray]) -> str:
    lines = [
        [name, *(number(value, digits) for value, digits in zip(values, SCORES.values(), strict=True))]
        for name, values in rows.items()
    ]
    return table([title, *SCORES], lines)


def _named_folder(text: str) -> tuple[str, Path]:
    name, given, folder = text.partition("=")
    if not given or not name or name in METHODS:
        raise UserError(f"{text}: give results as NAME=FOLDER, under a name that is none of {', '.join(METHODS)}")
    if not Path(folder).is_dir():
        raise UserError(f"{name}: {folder} is no folder")
    return name, Path(folder)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m core.evaluation.compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("results", nargs="*", metavar="NAME=FOLDER", help="results of another program")
    parser.add_argument("-d", "--driver", type=Path, metavar="CLIP", help="one clip")
    parser.add_argument("--pairs", type=Path, metavar="FILE.yaml", help="several clips: a list of driver and name")
    parser.add_argument(
        "--methods", nargs="*", choices=METHODS, default=METHODS, help="what is made here (default: all)"
    )
    parser.add_argument("--stride", type=int, default=4, metavar="N", help="compare every N-th picture (default: 4)")
    parser.add_argument("--frames", type=int, metavar="N", help="only the first N frames")
    parser.add_argument("--model", default="lifted", help="the avatar of `ours` and `enhanced` (default: lifted)")
    given = parser.parse_args(arguments)
    try:
        if (given.pairs is None) == (given.driver is None):
            raise UserError("give a clip with -d, or several with --pairs FILE.yaml (see --help)")
        pairs = read_pairs(given.pairs) if given.pairs else [make_pair(None, given.driver)]
        others = dict(_named_folder(text) for text in given.results)
        settings = {"stride": given.stride, "frames": given.frames, "arguments": ("--model", given.model)}
        print(markdown(compare(pairs, others, given.methods, **settings), pairs))
        return 0
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
