"""Inside open mouths: does the avatar show there what the driver shows? `python -m benchmarks.mouth`.

    python -m benchmarks.mouth [--clips obama ...] [--sources A.jpg ...] [--frames N] [--mouths plain auto] [--sheet P]

Frames with open lips, spread evenly from the narrowest to the widest; only pixels between the inner lips count, without
their rim of 2 pixels.

* A clip by itself: the photo is the clip's own resting frame, `--motion absolute`, all improvements on. PSNR over the
  frames, and the correlation of grey values with the driver's.
* Other people's photos, as they are moved by default with all improvements on.

For both: contrast is the standard deviation of grey values between the lips over that of the driver's there, flat the
share of pixels within 8 levels of the commonest colour. Means over frames; `wide` over those whose lips are apart by
more than 0.16 of the distance of the outer eye corners. A slab of white on black has contrast too: look at the sheet.

`auto` reads the driver's picture, four numbers a frame; where figures are compared with others that were made without,
`plain` is the one to take. Without names after `--mouths` the avatar draws as it does without that option, so that this
also runs on older versions.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks import _report as report
from benchmarks._inputs import add_inputs, find_clips
from benchmarks._looks_parts import OPEN, SEEN_INTO, WIDE
from benchmarks._performance import lossless_first_frame, source_in_crop, to_image
from benchmarks._truth import BUILD
from core.command_line import load_options
from core.components import Components, default_components
from core.data.image import write_image
from core.data.records import SEEN, TrackedFrame
from core.data.video import VideoReader
from core.errors import command
from core.evaluation import looks
from core.libs.flame_model import Head
from core.libs.flame_model import topology as topo
from core.libs.geometry import to_camera, to_pixels
from core.libs.retargeting.neutral import neutral_frame
from core.libs.tracker.crop import crop_image
from core.libs.tracker.mediapipe_tracker import MediaPipeTracker
from core.pipeline import Pipeline

CLIPS = ("obama", "d10", "d13", "d6", "d12")
PHOTOS = ("s0", "s4", "s8", "monroe")
CONTRAST, MOST_FLAT = 0.6, 0.35
TILE = 256
MEASURES = ("PSNR", "correlation", "contrast", "flat", "wide: contrast", "wide: flat")


@dataclass(frozen=True)
class Look:
    """A frame's picture (512, 512, 3) uint8 and the points (478, 2) of the head that it shows."""

    image: np.ndarray
    points: np.ndarray

    @property
    def inside(self) -> np.ndarray:
        """(512, 512) bool: between the inner lips, without their rim."""
        return looks.inside_lips(self.points, self.image.shape[:2])

    @property
    def tile(self) -> np.ndarray:
        """(TILE, TILE, 3) the mouth, enlarged."""
        lips = self.points[list(topo.OUTER_LIPS)]
        low, high = lips.min(0), lips.max(0)
        side = 1.3 * float((high - low).max())
        scale, (x, y) = TILE / side, (low + high) / 2
        matrix = np.array([[scale, 0, TILE / 2 - scale * x], [0, scale, TILE / 2 - scale * y]])
        return cv2.warpAffine(self.image, matrix, (TILE, TILE), flags=cv2.INTER_CUBIC)


def main(arguments: Sequence[str] | None = None) -> dict[str, dict[str, float]]:
    """Run the benchmark and print its tables."""
    args, rest = _parser().parse_known_args(arguments)
    clips = find_clips(args.clips, args.data, CLIPS)
    photos = args.sources if args.sources is not None else [args.data / f"sources/{name}.jpg" for name in PHOTOS]
    photos = [path for path in photos if path.is_file()]
    tracker, components, results, rows = MediaPipeTracker(), {}, {}, []
    for clip in clips:
        drivers: dict[int, Look] = {}
        for photo in (None, *photos):
            for mouth in args.mouths or (None,):
                run = _pipeline(clip, photo, mouth, rest, components, tracker)
                if not drivers:
                    drivers = _drivers(run, clip, args.frames)
                    rows.append((f"{clip.stem}: the driver", [look.tile for look in drivers.values()]))
                drawn = {i: _drawn(run, i) for i in drivers}
                name = f"{clip.stem if photo is None else photo.stem} by {clip.stem}" + (f", {mouth}" if mouth else "")
                results[name] = _measure(list(drivers.values()), list(drawn.values()), photo is None)
                print(f"{name}: " + ", ".join(f"{k} {report.number(v)}" for k, v in results[name].items()), flush=True)
                rows.append((name, [look.tile for look in drawn.values()]))
    tracker.close()
    print("\n" + report.table(["inside the lips", *MEASURES], [_row(name, r) for name, r in results.items()]) + "\n")
    print(report.requirements(_requirements(results, args.mouths)))
    if args.sheet:
        widest = max(len(tiles) for _, tiles in rows)
        empty = np.zeros((TILE, TILE, 3), np.uint8)
        rows = [(label, [*tiles, *[empty] * (widest - len(tiles))]) for label, tiles in rows]
        report.contact_sheet(args.sheet, rows, [""] * widest)
    return results


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mouth", description=__doc__.split("\n")[0])
    add_inputs(parser, CLIPS)
    parser.add_argument("--sources", nargs="*", type=Path, metavar="PHOTO", help=f"default: {' '.join(PHOTOS)}")
    parser.add_argument("--frames", type=int, default=14, metavar="N", help="open frames of every clip (default: 14)")
    parser.add_argument("--mouths", nargs="*", default=["plain", "auto"], help="values of --mouth (default: both)")
    parser.add_argument("--sheet", type=Path, metavar="PNG", help="write a sheet of the mouths, enlarged")
    return parser


def _pipeline(
    clip: Path,
    photo: Path | None,
    mouth: str | None,
    rest: Sequence[str],
    components: dict[str, Components],
    tracker: MediaPipeTracker,
) -> Pipeline:
    """The run of a photo, or of the clip's own resting frame, by a clip."""
    motion = "absolute" if photo is None else "relative"
    given = [
        "-i",
        str(photo or lossless_first_frame(clip)),
        "-d",
        str(clip),
        "--model",
        "lifted",
        "--enhanced",
        "--quiet",
        "--background",
        "black",
    ]
    given += ["--motion", motion, *(["--mouth", mouth] if mouth else []), *rest]
    options = load_options(given)
    components[motion] = components.get(motion) or default_components(options)
    run = Pipeline(options, components[motion])
    if photo is None:
        track = run.driver.track
        frame = neutral_frame(track, run.components.head)
        own = BUILD / f"{clip.stem}-{frame}-resting.png"
        BUILD.mkdir(parents=True, exist_ok=True)
        write_image(own, next(f.image for f in VideoReader(clip) if f.index == frame))
        run.source = source_in_crop(own, track.crops[frame], tracker)
    return run


def _drivers(run: Pipeline, clip: Path, count: int) -> dict[int, Look]:
    """The driver's open frames that are looked at, by their number: from the narrowest to the widest."""
    track, head = run.driver.track, run.components.head
    points = {int(i): _points(head, track[int(i)]) for i in np.flatnonzero(track.status == SEEN)}
    gaps = {i: float(looks.lip_gap(p)) for i, p in points.items()}
    ranked = [i for i, gap in gaps.items() if gap > SEEN_INTO] or [i for i, gap in gaps.items() if gap > OPEN]
    ranked = sorted(ranked, key=lambda i: gaps[i])
    chosen = {ranked[k] for k in np.linspace(0, len(ranked) - 1, min(count, len(ranked))).round().astype(int)}
    frames = {f.index: f.image for f in VideoReader(clip) if f.index in chosen}
    return {i: Look(crop_image(frames[i], track.crops[i]), points[i]) for i in sorted(frames)}


def _drawn(run: Pipeline, index: int) -> Look:
    frame = run.motion[index]
    return Look(to_image(run.draw(frame)), _points(run.components.head, frame))


def _points(head: Head, frame: TrackedFrame) -> np.ndarray:
    face = head.evaluate(frame)[: topo.N_POINTS].astype(np.float64)
    return to_pixels(to_camera(face, frame.transform_matrix))


def _measure(drivers: Sequence[Look], drawn: Sequence[Look], same: bool) -> dict[str, float]:
    """The MEASURES; PSNR and correlation only where both show the same face in the same place."""
    errors, correlations, contrasts, flats, wide = [], [], [], [], []
    for truth, look in zip(drivers, drawn, strict=True):
        theirs, mine = truth.inside, look.inside
        if same:
            theirs = mine = theirs & mine
        if min(theirs.sum(), mine.sum()) < looks.SETTINGS.least_inside:
            continue
        grey = [cv2.cvtColor(v.image, cv2.COLOR_RGB2GRAY).astype(np.float64) for v in (truth, look)]
        if same:
            errors.append(((truth.image[mine].astype(np.float64) - look.image[mine]) ** 2).ravel())
            correlations.append(np.corrcoef(grey[0][mine], grey[1][mine])[0, 1])
        contrasts.append(looks.contrast(look.image, mine) / max(looks.contrast(truth.image, theirs), 1e-6))
        flats.append(looks.flat_share(look.image[mine]))
        wide.append(looks.lip_gap(truth.points) > WIDE)
    psnr = 10 * np.log10(255**2 / np.concatenate(errors).mean()) if errors else np.nan
    of_wide = [[v for v, w in zip(values, wide, strict=True) if w] for values in (contrasts, flats)]
    mean = [float(np.mean(v)) if v else np.nan for v in (correlations, contrasts, flats, *of_wide)]
    return dict(zip(MEASURES, (float(psnr), *mean), strict=True))


def _row(name: str, result: dict[str, float]) -> list[str]:
    return [name, *(report.number(result[key], 1 if key == "PSNR" else 2) for key in MEASURES)]


def _requirements(results: dict[str, dict[str, float]], mouths: Sequence[str]) -> list[list[str]]:
    rows = []
    for mouth in mouths or ("",):
        own = [r for name, r in results.items() if name.endswith(mouth)]
        contrast, flat = (float(np.nanmean([r[key] for r in own])) for key in ("contrast", "flat"))
        rows.append(
            report.requirement(f"contrast over the driver's, mean, {mouth or 'as it is'}", contrast, CONTRAST, True)
        )
        rows.append(report.requirement(f"flat share, mean, {mouth or 'as it is'}", flat, MOST_FLAT, False))
    return rows


if __name__ == "__main__":
    sys.exit(command(main))
