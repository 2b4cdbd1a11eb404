"""Builds `open_head.npz`: a head in FLAME's file layout over the tracker's mesh, with no licence to accept.

    python -m tools.build_open_head --data ../shared/data
    python -m tools.build_open_head --data ../shared/data --exclude obama --out build/open_head-obama.npz

What goes in are the tracker's points on faces of real people: expressions from six clips (`CLIPS` of
`tools/open_head/observe.py`), how people differ from those and the 40 pictures of vfhq_demo. The benchmarks report on
the same clips; `--exclude` makes a head without one of them, for `benchmarks.self_reenactment --head`. What comes out
holds only statistics of them: a mean face, how faces differ (shape) and how they move (expression). Where the data run
out, smooth harmonics of the mesh complete the two bases. All directions are scaled to one standard deviation, so a code
of 1 is as common in all of them.

Every set of points is first brought into the head frame (+x to the person's left, +y up, +z out of the face) by a
similarity fitted to points that expressions hardly move.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from core.errors import UserError
from core.libs.flame_model import OPEN_HEAD
from tools.open_head.head import build
from tools.open_head.observe import observe


def main() -> None:
    """Track the data, compute the statistics, write the asset."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with drivers/*.mp4 and vfhq_demo/img_lmdb")
    parser.add_argument("--out", type=Path, default=OPEN_HEAD, help="default: the file that comes with the program")
    about = "one of the clips to do without, as `obama`, so that it can be tested on; may be given more than once"
    parser.add_argument("--exclude", action="append", default=[], metavar="CLIP", help=about)
    arguments = parser.parse_args()
    if arguments.exclude and arguments.out == OPEN_HEAD:
        parser.error("--exclude makes a head for a test: say with --out where it goes")

    identities, clips = observe(arguments.data, arguments.exclude)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    head = build(identities, clips)
    np.savez_compressed(arguments.out, **head)
    print(f"{arguments.out}: {arguments.out.stat().st_size / 2**20:.2f} MiB, {len(head['v_template'])} vertices")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
