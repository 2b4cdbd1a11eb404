"""Take the result picture by picture and do something of one's own with each: here, write every N-th as a PNG.

Run: `python -m examples.frame_by_frame [PHOTO DRIVER] [--every N] [--folder FOLDER]`
"""

import argparse
import sys
from pathlib import Path

from core.data.image import write_image
from core.errors import command
from core.options import Options
from core.output.watermark import metadata
from core.pipeline import Pipeline


def write_some(options: Options, every: int, folder: Path) -> list[Path]:
    """Write every `every`-th frame of a run, named by its milliseconds. One picture at a time is in memory."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for frame in Pipeline(options).frames():  # frame.image: (512, 512, 3) uint8 RGB; frame.time: seconds, a Fraction
        if frame.index % every == 0:
            written.append(folder / f"{round(1000 * frame.time):07d}.png")
            write_image(written[-1], frame.image, metadata("GAGAvatar Enhanced"))
    return written


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("photo", type=Path, nargs="?", default=Path("demos/examples/1.jpg"))
    parser.add_argument("driver", type=Path, nargs="?", default=Path("demos/drivers/obama"))
    parser.add_argument("--every", type=int, default=24, metavar="N")
    parser.add_argument("--folder", type=Path, default=Path("render_results/frames"))
    arguments = parser.parse_args()
    print(*write_some(Options(arguments.photo, arguments.driver), arguments.every, arguments.folder), sep="\n")


if __name__ == "__main__":
    sys.exit(command(main))
