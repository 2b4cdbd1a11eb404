"""The avatar of a photo as a file for other programs: `python -m core.export -i PHOTO -o FILE [-d DRIVER]`."""

from __future__ import annotations

import argparse
import sys
from fractions import Fraction
from pathlib import Path
from typing import NoReturn

import numpy as np

from core.errors import UserError
from core.options import IMPROVEMENTS, Options

_PUPILS = 0.063  # metres between the pupils of an adult, on average
_MESH = ".mesh.glb"
_PAGE = ".html"
# What of the improvements that are on a file does not have.
_LEFT_OUT = {
    _PAGE: {
        "detail_enhance": "has no effect: a page shows the photo's pixels, without folds, and sharpens nothing",
        "gaze_correct": "acts on where the eyes look; a page does not sharpen them",
    },
    _MESH: {
        "detail_enhance": "has no effect: the mesh has the photo's own pixels",
        "gaze_correct": "has no effect: the mesh has the photo's own eyes",
    },
    "": {
        "detail_enhance": "acts on the photo's own detail and on folds; splats are not sharpened",
        "gaze_correct": "acts on where the eyes look; splats are not sharpened",
    },
}
_FORMATS = (".ply", ".spz", ".glb", _MESH, _PAGE)


def main(arguments: list[str] | None = None) -> int:
    """Run with the given arguments; returns the exit code: 0, or 2 where something given is wrong."""
    try:
        return _run(_parser().parse_args(arguments))
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def _run(given: argparse.Namespace) -> int:
    output: Path = given.output
    ending = _MESH if output.name.lower().endswith(_MESH) else output.suffix.lower()
    if ending not in _FORMATS:
        raise UserError(f"{output} must end in one of {', '.join(_FORMATS)}")
    if given.webcam is not None and ending != _PAGE:
        raise UserError("--webcam is of a page: end the output in .html, or leave it out")
    if given.at is not None and (given.driver is None or ending in (_MESH, _PAGE)):
        why = "name the driver with -d" if ending not in (_MESH, _PAGE) else "this file has the whole motion in it"
        raise UserError(f"--at says which moment of a driver is taken: {why}")
    options = Options(
        image_path=given.photo,
        driver_path=given.driver or given.photo,
        enhanced=given.enhanced,
        model="lifted",
        layout="result",
        frame="head",
        quiet=given.quiet,
        size=given.size,
        temporal_smooth=given.temporal_smooth or None,
        detail_enhance=given.detail_enhance or None,
        expression_opt=given.expression_opt or None,
        gaze_correct=given.gaze_correct or None,
    )
    if not given.quiet:
        for name, what in _LEFT_OUT.get(ending, _LEFT_OUT[""]).items():
            if options.wants(name):
                print(f"--{name.replace('_', '-')} {what}")
    from core.export import animated_mesh, moment, page, portrait_payload, write_mesh, write_page, write_splats
    from core.export.face_mesh import face_mesh_files
    from core.export.moment import frame_at
    from core.pipeline import Pipeline

    pipeline = Pipeline(options)
    if ending == _PAGE:
        tracker = face_mesh_files(given.quiet) if given.webcam else None
        payload = portrait_payload(pipeline, live=given.webcam)
        size = write_page(output, page(payload, tracker))
        if not given.quiet:
            print(f"{output}: {payload.values['length']:.1f} s of motion, {size / 1e6:.2f} MB; open it in a browser")
        return 0
    unit = _PUPILS / _pupils_apart(pipeline)
    if ending == _MESH:
        mesh = animated_mesh(pipeline, unit, moves=given.driver is not None)
        size = write_mesh(output, mesh)
        what = f"{len(mesh.points)} points, {len(mesh.targets)} morph targets"
        if mesh.times is not None:
            what += f", {len(mesh.times)} moments, off by {1e3 * mesh.error:.2g} mm"
    else:
        gaussians = moment(pipeline, frame_at(pipeline, Fraction(given.at or 0)))
        size = write_splats(output, gaussians, unit)
        what = f"{len(gaussians)} Gaussians"
    if not given.quiet:
        print(f"{output}: {what}, {size / 1e6:.1f} MB")
    return 0


def _pupils_apart(pipeline) -> float:
    """Head units between the pupils."""
    from core.libs.flame_model import topology as topo

    face = pipeline.components.head.evaluate(pipeline.source.frame)
    return float(np.linalg.norm(face[topo.RIGHT_IRIS[0]] - face[topo.LEFT_IRIS[0]]))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m core.export", description=__doc__, allow_abbrev=False)
    parser.add_argument("-i", dest="photo", type=Path, required=True, metavar="PHOTO", help="a picture with a face")
    parser.add_argument(
        "-o",
        dest="output",
        type=Path,
        required=True,
        metavar="FILE",
        help="a page that plays it: .html; splats: .ply, .spz or .glb; a textured mesh with its motion: .mesh.glb",
    )
    parser.add_argument(
        "-d", dest="driver", type=Path, metavar="DRIVER", help="whose motion it has; as of inference.py"
    )
    parser.add_argument("--at", type=_seconds, metavar="SECONDS", help="the moment of the driver (default: its first)")
    parser.add_argument(
        "--webcam",
        action=argparse.BooleanOptionalAction,
        help="of .html: it can also follow its viewer's camera; fetches MediaPipe's tracker (7 MB) once",
    )
    parser.add_argument("--size", type=int, choices=(512, 1024), default=512, help="of the picture, pixels")
    parser.add_argument("--enhanced", action="store_true", help="all four improvements")
    for name in IMPROVEMENTS:
        parser.add_argument(f"--{name.replace('_', '-')}", action="store_true", help="as of inference.py")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    return parser


def _seconds(text: str) -> Fraction:
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds") from None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see --help)")


if __name__ == "__main__":
    sys.exit(main())
