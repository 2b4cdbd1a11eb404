"""Are the pictures of a few fixed runs, byte for byte, what they were?

    python -m benchmarks.frames --save build/frames.json       # before a change
    python -m benchmarks.frames --against build/frames.json    # after it

Eight runs on the inputs of `demos/`: no improvement, each alone, all four, a picture as driver, and the network with
the made-up weights of `tests/synthetic_checkpoint.py`. For every run the SHA-256 of all its frames is printed; with
`--against`, whether it is the one in the file, and if not, the number of the first frame that differs. Exit code 1
when any differs. Sums are comparable on one machine only: another processor may round another way.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from core.data.records import TrackedSequence
from core.errors import UserError, command
from core.evaluation.setting import first_frames
from core.options import IMPROVEMENTS, Options
from core.pipeline import Pipeline

PHOTO = Path("demos/examples/1.jpg")
DRIVER = Path("demos/drivers/obama")
FRAMES = 40
NETWORK_FRAMES = 3


def runs(folder: Path, frames: int) -> Iterator[tuple[str, Options]]:
    """The eight runs by name, their made inputs written into `folder`."""
    clip = _first(folder / "clip", frames)
    common = {"driver_path": clip, "layout": "result", "model": "lifted", "quiet": True, "background": "black"}
    yield "plain", Options(PHOTO, **common)
    for name in IMPROVEMENTS:
        yield name, Options(PHOTO, **{name: True}, **common)
    yield "enhanced", Options(PHOTO, enhanced=True, **common)
    yield "picture", Options(PHOTO, enhanced=True, **{**common, "driver_path": PHOTO})
    checkpoint = _checkpoint(folder / "weights")
    short = _first(folder / "short", NETWORK_FRAMES)
    network = {"driver_path": short, "model": "gagavatar", "resume_path": checkpoint, "device": "cpu"}
    yield "network", Options(PHOTO, enhanced=True, **{**common, **network})


def sums(options: Options) -> list[str]:
    """The SHA-256 of every frame of a run."""
    return [hashlib.sha256(frame.image.tobytes()).hexdigest() for frame in Pipeline(options).frames()]


def _first(folder: Path, frames: int) -> Path:
    first_frames(TrackedSequence.load(DRIVER), frames).save(folder)
    return folder


def _read(path: Path) -> dict[str, list[str]]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} holds no sums of frames: write them with --save before the change") from error


def _checkpoint(folder: Path) -> Path:
    from tests.synthetic_checkpoint import CHECKPOINT, write

    write(folder)
    return folder / CHECKPOINT


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.frames", description=__doc__.split("\n")[0])
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the sums to this file")
    parser.add_argument("--against", type=Path, metavar="FILE", help="compare with the sums in this file")
    parser.add_argument("--frames", type=int, default=FRAMES, metavar="N", help=f"of the demo's driver ({FRAMES})")
    arguments = parser.parse_args()
    before = _read(arguments.against) if arguments.against else {}
    found, differ = {}, 0
    with tempfile.TemporaryDirectory() as name:
        for run, options in runs(Path(name), arguments.frames):
            found[run] = sums(options)
            whole = hashlib.sha256("".join(found[run]).encode()).hexdigest()[:16]
            verdict = ""
            if run in before:
                if len(before[run]) != len(found[run]):
                    raise UserError(f"{arguments.against} has {len(before[run])} frames of {run}: give its --frames")
                pairs = zip(found[run], before[run], strict=True)
                first = next((i for i, (new, old) in enumerate(pairs) if new != old), None)
                verdict = "same" if first is None else f"DIFFERS from frame {first} on"
                differ += first is not None
            print(f"{run:16} {len(found[run]):4} frames  {whole}  {verdict}", flush=True)
    if arguments.save:
        arguments.save.parent.mkdir(parents=True, exist_ok=True)
        arguments.save.write_text(json.dumps(found))
    return int(differ > 0)


if __name__ == "__main__":
    sys.exit(command(main))
