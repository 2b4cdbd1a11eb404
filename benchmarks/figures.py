"""The pictures of the README, made from the demo's own inputs: `python -m benchmarks.figures [--out docs]`.

strip.png: the photo, then frames of the driver, of the result without and with all four improvements. speed.png: what a
frame costs, stage by stage and flag by flag, on this machine (`benchmarks.cpu`).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks import _report as report
from benchmarks import cpu
from core.components import default_components
from core.errors import command
from core.options import Options
from core.output.mesh_panel import MeshPanel
from core.pipeline import Pipeline, to_image

PHOTO, DRIVER = Path("demos/examples/1.jpg"), Path("demos/drivers/obama")
OUT = Path("docs")
FRAMES = (10, 50, 95, 165, 225)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make both pictures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.figures", description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help=f"where to (default: {OUT})")
    parser.add_argument("--only", choices=("strip", "speed"), help="just one of them")
    args = parser.parse_args(arguments)
    if args.only != "speed":
        strip(args.out / "strip.png")
    if args.only != "strip":
        _speed(args.out)


def strip(path: Path) -> None:
    """Photo, driver, off, on: a contact sheet of the demo."""
    options = [Options(PHOTO, DRIVER, model="lifted", quiet=True, enhanced=on) for on in (False, True)]
    components = default_components(options[0])
    off, on = (Pipeline(o, components) for o in options)
    mesh = MeshPanel(np.asarray(components.head.faces))
    track = off.driver.track
    driver = [mesh.draw(components.head.evaluate(track[i]), track[i].transform_matrix) for i in FRAMES]
    photo = off.source.shown()[0]
    blank = np.full_like(photo, 30)
    results = [[to_image(run.draw(run.motion[i])) for i in FRAMES] for run in (off, on)]
    rows = [("driver", [photo, *driver]), ("off", [blank, *results[0]]), ("--enhanced", [blank, *results[1]])]
    report.contact_sheet(path, rows, ["photo", *(f"frame {i}" for i in FRAMES)])
    print(path)


def _speed(folder: Path) -> None:
    cpu.main(["--only", "lifted", "flags", "--out", str(folder)])
    (folder / "cpu.png").replace(folder / "speed.png")
    (folder / "cpu.json").replace(folder / "speed.json")
    print(folder / "speed.png")


if __name__ == "__main__":
    sys.exit(command(main))
