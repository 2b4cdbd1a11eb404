"""Move a photo like a driver and write the video, as the command line does.

Run: `python -m examples.animate [PHOTO DRIVER] [-o FILE]`
"""

import argparse
import sys
from pathlib import Path

from core.errors import command
from core.options import Options
from core.pipeline import Report, animate


def talking(photo: Path, driver: Path, output: Path | None = None) -> Report:
    """Write `photo` moved like `driver`, with all four improvements, as a video of the result alone."""
    return animate(Options(photo, driver, enhanced=True, layout="result", output=output, quiet=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("photo", type=Path, nargs="?", default=Path("demos/examples/1.jpg"))
    parser.add_argument("driver", type=Path, nargs="?", default=Path("demos/drivers/obama"))
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: below render_results/")
    arguments = parser.parse_args()
    print(talking(arguments.photo, arguments.driver, arguments.output))


if __name__ == "__main__":
    sys.exit(command(main))
