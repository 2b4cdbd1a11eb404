"""Track a video into a driver folder that holds numbers only: `python -m core.libs.tracker --save FOLDER VIDEO`.

A folder of pictures is tracked as well.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from core.data.picture_folder import PictureFolder
from core.errors import UserError
from core.libs.tracker.driver import track_driver
from core.libs.tracker.folder import track_folder


def main() -> int:
    """Parse, track, save."""
    parser = argparse.ArgumentParser(prog="python -m core.libs.tracker", description=__doc__.splitlines()[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("--save", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--head", type=Path, metavar="FILE", help="FLAME_with_eye.pt, for --model gagavatar")
    arguments = parser.parse_args()
    try:
        frames = PictureFolder.find(arguments.video) if arguments.video.is_dir() else None
        if frames is None:
            sequence = track_driver(arguments.video, head=arguments.head)
        else:
            sequence, _ = track_folder(frames, head=arguments.head)
        sequence = replace(sequence, crops=None)  # without the video its crops say nothing
        file = sequence.save(arguments.save)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{file}: {len(sequence)} frames at {sequence.fps} fps, {file.stat().st_size / 1024:.0f} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
