"""A few frames of a video, evenly spaced, in one picture: `python -m demos.contact_sheet VIDEO [PICTURE]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

from core.data.image import write_image
from core.data.video import VideoReader
from core.errors import command
from core.output.contact_sheet import Grid
from core.output.watermark import metadata

FRAMES = 8
WIDTH = 768  # of a wide frame in the sheet; square ones get half
GAP = 4


def contact_sheet(video: Path, frames: int = FRAMES) -> np.ndarray:
    """The sheet (H, W, 3) uint8. The video is read twice, so that no more than `frames` pictures are held."""
    reader = VideoReader(video)
    count = sum(1 for _ in reader)
    wanted = {round(i * (count - 1) / max(frames - 1, 1)) for i in range(frames)}
    wide = reader.size[0] > 2 * reader.size[1]
    width, columns = (WIDTH, 2) if wide else (WIDTH // 2, 4)
    height = round(reader.size[1] * width / reader.size[0])
    tiles = [cv2.resize(f.image, (width, height), interpolation=cv2.INTER_AREA) for f in reader if f.index in wanted]
    grid = Grid(len(tiles), (width, height), columns, gap=GAP)
    sheet = grid.empty(255)
    for number, tile in enumerate(tiles):
        grid.put(sheet, number, tile)
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", type=Path)
    parser.add_argument("picture", type=Path, nargs="?", help="default: beside the video")
    arguments = parser.parse_args()
    picture = arguments.picture or arguments.video.with_suffix(".png")
    write_image(picture, contact_sheet(arguments.video), metadata("see the video"))
    print(f"contact sheet: {picture}")


if __name__ == "__main__":
    sys.exit(command(main))
