"""Measure how closely a photo follows a clip: expression and pose distance, without improvements and with.

Run: `python -m examples.measure_a_pair [PHOTO CLIP]`; `python -m core.evaluation.ablation` measures far more.
"""

import argparse
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from core.errors import command
from core.evaluation.reenactment import Reenactment, measure
from core.libs.tracker.mediapipe_tracker import MediaPipeTracker
from core.options import Options
from core.pipeline import animate


def follow(photo: Path, clip: Path, **options: Any) -> Reenactment:
    """The photo moved like the clip, tracked again and compared with the clip frame by frame; smaller is closer."""
    with tempfile.TemporaryDirectory() as folder, closing(MediaPipeTracker()) as tracker:
        result = Path(folder) / "result.mp4"
        animate(Options(photo, clip, output=result, layout="result", quiet=True, **options))
        return measure(result, clip, photo, tracker, csim=None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("photo", type=Path, nargs="?", default=Path("demos/examples/2.jpg"))
    parser.add_argument("clip", type=Path, nargs="?", default=Path("demos/drivers/talk.mp4"))
    arguments = parser.parse_args()
    for name, enhanced in (("without improvements", False), ("with all four", True)):
        found = follow(arguments.photo, arguments.clip, motion="absolute", enhanced=enhanced)
        print(f"{name}: {found.frames} frames, AED {found.aed:.4f}, APD {found.apd:.4f} rad")


if __name__ == "__main__":
    sys.exit(command(main))
