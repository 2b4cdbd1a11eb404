"""One improvement alone, on arrays: smooth a tracked driver and keep it as a driver for `inference.py -d RESULT`.

Run: `python -m examples.one_improvement [FOLDER RESULT]`
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from core.data.records import TrackedSequence
from core.errors import command
from core.libs.temporal_smoother import TemporalSmoother


def smooth(track: TrackedSequence, strength: float = 1.0) -> TrackedSequence:
    """The track with its codes (T, N) and transforms (T, 3, 4) smoothed; times and all else as they are."""
    smoother = TemporalSmoother(strength=strength, fps=float(track.fps))
    return track.with_parameters(smoother.smooth_sequence(track.parameters))


def unrest(track: TrackedSequence) -> float:
    """Root mean square of the second differences over time of the expression codes."""
    return float(np.sqrt(np.square(np.diff(track.expcode, 2, axis=0)).mean()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path("demos/drivers/obama"))
    parser.add_argument("result", type=Path, nargs="?", default=Path("render_results/smoothed"))
    arguments = parser.parse_args()
    smoothed = smooth(track := TrackedSequence.load(arguments.folder))
    print(f"{smoothed.save(arguments.result)}: second differences {unrest(track):.4f} -> {unrest(smoothed):.4f}")


if __name__ == "__main__":
    sys.exit(command(main))
