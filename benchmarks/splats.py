"""Splats written, read back by other readers and drawn by another rule: `python -m benchmarks.splats`.

Prints the PSNR of the person between what is read back, composited by alpha, and what the surface rule draws, for
.ply, .spz and .glb of a moment of a run; `--pictures FOLDER` writes both beside each other.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from core.export import moment, write_splats
from core.options import Options
from core.pipeline import Pipeline
from tests.splat_readers import READERS, UNIT, draw, drawn_person, person_psnr

ASKED = 28  # decibels


def main() -> int:
    """Print a line for each photo; 1 where one falls short."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.splats", description=__doc__)
    parser.add_argument("photos", nargs="*", type=Path, default=[Path("demos/examples/1.jpg")])
    parser.add_argument("-d", dest="driver", type=Path, default=Path("demos/drivers/obama"))
    parser.add_argument("--frame", type=int, default=121, help="of the driver")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="write both there")
    given = parser.parse_args()
    least = np.inf
    for photo in given.photos:
        pipeline = Pipeline(Options(photo, given.driver, layout="result", model="lifted", quiet=True))
        frame = pipeline.motion[given.frame]
        gaussians, person = moment(pipeline, frame), drawn_person(pipeline, frame)
        row, found = [person[..., :3] * person[..., 3:]], []
        with tempfile.TemporaryDirectory() as folder:
            for ending, read in READERS.items():
                path = Path(folder) / f"avatar{ending}"
                write_splats(path, gaussians, UNIT)
                back = read(path)
                decibels = person_psnr(back, pipeline, frame)
                least = min(least, decibels)
                found.append(f"{ending} {path.stat().st_size / 1e6:.1f} MB {decibels:.1f} dB")
                row.append(draw(back, pipeline)[0])
        print(f"{photo.stem}: {len(gaussians)} Gaussians, {', '.join(found)}")
        if given.pictures:
            given.pictures.mkdir(parents=True, exist_ok=True)
            sheet = np.rint(255 * np.clip(np.concatenate(row, 1), 0, 1)).astype(np.uint8)
            cv2.imwrite(str(given.pictures / f"{photo.stem}.png"), sheet[..., ::-1])
    print(f"least {least:.1f} dB ({ASKED} asked: {'reached' if least >= ASKED else 'NOT REACHED'})")
    return int(least < ASKED)


if __name__ == "__main__":
    sys.exit(main())
