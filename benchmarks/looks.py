"""What a viewer sees: enlarged mouths, eyes, far cheeks and hair, before and after. `python -m benchmarks.looks`.

    python -m benchmarks.looks [--against COMMIT] [--quick] [--only mouth eyes far_side matte flicker]
                               [--photos A.jpg ...] [--drivers clip.mp4 ...] [--out DIR] [--json FILE]

Every photo is moved by every driver with the default settings, the figures of the eyes also with `--enhanced`. Into the
folder come `index.html`, which holds everything, and its sheets as PNG. With `--against` another commit renders the
same frames with its own code; the code that is here chooses frames and places and measures both.

* mouth: between the inner lips of the 14 open frames from the narrowest to the widest: contrast over the driver's, and
  the share of one flat colour (`core.evaluation.looks`); `wide` where the gap is above 0.16 of the eyes' distance.
* eyes: result and driver are tracked again, frame after frame; slopes over the driver of lids (over their own usual
  opening), gaze to the sides (where the lids are open) and mouth, with the correlation r; `mouth, wide`: openings over
  the driver's. The slopes allow for the tracker's error in both (Deming); `plain` are those of least squares, `drawn`
  those of the points that were drawn, before the tracker saw them. A driver that hardly moves its eyes in these frames
  gives none. `mirrored`: the same of the driver's own pictures, mirrored, which says how far the two measures of eyes
  are off 1 of themselves.
* far_side: the photo's own face turned 20 degrees both ways: how dark a thin line along the far cheek is, and how much
  stairs and dots break its outline, in levels, at the worse side; `rest` is the same unturned, as the photo has it.
* matte: the share of what is drawn that does not hang together with the face, and the share that is faint beyond a soft
  edge: smears, and background half taken along.
* flicker: second differences over time where nothing moves, in levels: mean, and the 99.9th percentile.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import _looks_page as page
from benchmarks import _looks_tables as tables
from benchmarks._inputs import DATA, DEMO_CLIP, add_data
from benchmarks._looks_run import PARTS, Experiment
from benchmarks._looks_sides import BUILD, Side, unpack
from core.errors import UserError, command
from core.libs.tracker.mediapipe_tracker import MediaPipeTracker

PHOTOS = ("monroe", "s0", "s10", "s11", "s2", "s3", "s4", "s7", "s8")
DRIVERS = ("obama", "d10", "d6", "d12")
QUICK_PHOTOS, QUICK_DRIVERS, QUICK_FRAMES = ("monroe", "s7"), ("obama",), 40
DEMO_PHOTOS = (Path("demos/examples/1.jpg"), Path("demos/examples/2.jpg"))
OUT = Path("render_results/looks")


def main(arguments: Sequence[str] | None = None) -> dict[str, dict[str, dict[str, float]]]:
    """Run the benchmark; returns its figures by side, what they are of, and name."""
    args, rest = _parser().parse_known_args(arguments)
    start = time.perf_counter()
    photos, drivers = _photos(args), _drivers(args)
    roots = {"now": Path.cwd()}
    if args.against:
        roots = {"before": unpack(args.against), **roots}
    sides = {name: Side(root, name) for name, root in roots.items()}
    tracker = MediaPipeTracker()
    try:
        experiment = Experiment(sides, tracker, args.only, rest, args.frames or (QUICK_FRAMES if args.quick else None))
        sections = experiment.run(photos, drivers, enhanced=not args.quick)
    finally:
        tracker.close()
        for side in sides.values():
            side.close()
    text = tables.text(experiment.figures, args.against, experiment.mirrored)
    print(text)
    files = page.write(args.out, f"Looks{f', before: {args.against}' if args.against else ''}", text, sections)
    print(f"\n{files[0]} and {len(files) - 1} sheets, in {time.perf_counter() - start:.0f} s")
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(experiment.figures, indent=1))
    return experiment.figures


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.looks", description=__doc__.split("\n")[0])
    parser.add_argument("--against", metavar="COMMIT", help="another commit, which is shown and measured beside")
    parser.add_argument("--quick", action="store_true", help="three photos, one driver, not --enhanced: a minute")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=" ".join(PARTS))
    parser.add_argument("--photos", nargs="+", type=Path, metavar="PHOTO", help="files, or names in the data")
    parser.add_argument("--drivers", nargs="+", type=Path, metavar="CLIP", help="files, or names in the data")
    parser.add_argument("--frames", type=int, metavar="N", help="of every driver, one after the other (default: 70)")
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help=f"where to write (default: {OUT})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    add_data(parser)
    return parser


def _photos(args: argparse.Namespace) -> list[Path]:
    if args.photos:
        return [_found(path, args.data / "sources", ".jpg") for path in args.photos]
    names = QUICK_PHOTOS if args.quick else PHOTOS
    shared = [path for path in (args.data / "sources" / f"{name}.jpg" for name in names) if path.is_file()]
    return [*shared, *(DEMO_PHOTOS[1:] if args.quick else DEMO_PHOTOS)]


def _drivers(args: argparse.Namespace) -> list[Path]:
    if args.drivers:
        return [_found(path, args.data / "drivers", ".mp4") for path in args.drivers]
    names = QUICK_DRIVERS if args.quick else DRIVERS
    shared = [path for path in (args.data / "drivers" / f"{name}.mp4" for name in names) if path.is_file()]
    if not shared and args.data != DATA:
        raise UserError(f"{args.data}/drivers holds none of {', '.join(names)}: name clips with --drivers")
    return shared if args.quick and shared else [*shared, DEMO_CLIP]


def _found(path: Path, folder: Path, ending: str) -> Path:
    for place in (path, folder / f"{path}{ending}"):
        if place.is_file():
            return place
    raise UserError(f"{path} is not there: name a file, or a name in {folder}")


if __name__ == "__main__":
    BUILD.mkdir(parents=True, exist_ok=True)
    sys.exit(command(main))
