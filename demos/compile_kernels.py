"""Compiles the kernels of a run, in two processes: `python -m demos.compile_kernels`; `make setup` does it.

Numba compiles on one core, whatever there is, and keeps what it compiled beside the sources. So the first process
tracks a photo and completes what is behind the person, and the second makes ready what draws and improves. Each takes
about half of the time. Where everything is compiled already, this takes a few seconds.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

PARTS = ("photo", "picture")


def compile_part(part: str, folder: Path) -> None:
    """What a run compiles for the photo, or for the pictures made of it; `folder` takes what is tracked."""
    from core.options import Options
    from core.pipeline.run import Pipeline

    example = Path(__file__).parent / "examples" / "1.jpg"
    run = Pipeline(Options(example, example, output=folder / "out.png", model="lifted", enhanced=True, quiet=True))
    if part == "photo":
        _ = run.motion, run.backdrop  # computed when they are asked for
    else:
        run.components.model.warm_up()
        run.improvements.warm_up()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="?", choices=PARTS, help="one of the two, in this process")
    part = parser.parse_args().part
    if part is not None:
        with tempfile.TemporaryDirectory() as folder:
            compile_part(part, Path(folder))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        # Tracked afresh: a photo that was tracked before would be looked up, and compile nothing
        environment = {**os.environ, "XDG_CACHE_HOME": folder}
        command = [sys.executable, "-m", "demos.compile_kernels"]
        running = [subprocess.Popen([*command, part], env=environment) for part in PARTS]
        return max(abs(one.wait()) for one in running)


if __name__ == "__main__":
    sys.exit(main())
