"""What a benchmark runs on: clips and photos of the data, files, or the demo's where the data is not here."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from core.errors import UserError

DATA = Path("../shared/data")
DEMO_CLIP = Path("demos/drivers/talk.mp4")
DEMO_PHOTO = Path("demos/examples/2.jpg")  # not 1.jpg: that is the face in the clip


def add_inputs(parser: argparse.ArgumentParser, clips: Sequence[str], photos: bool = False) -> None:
    """Add `--clips`, `--data` and, with `photos`, `--sources`; without `--clips` it is None: the usual `clips`."""
    if photos:
        parser.add_argument("--sources", nargs="+", type=Path, metavar="PHOTO", help="default: all faces in the data")
    names = " ".join(clips)
    parser.add_argument("--clips", nargs="+", metavar="CLIP", help=f"names in the data, or files (default: {names})")
    add_data(parser)


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add `--data`."""
    about = f"the folder with drivers/ and sources/ (default: {DATA}, or the demo's inputs where it is not here)"
    parser.add_argument("--data", type=Path, default=DATA, help=about)


def find_clips(wanted: Sequence[str] | None, data: Path, usual: Sequence[str]) -> list[Path]:
    """The videos that were asked for, or the usual ones.

    Args:
        wanted: files, or names in `data`/drivers; None where nothing was asked for.
        data: the folder of the data. Where it is the usual one and not here, the usual clips are the demo's.
        usual: names.
    Raises:
        UserError: one of them is not there.
    """
    if wanted is None and _demo_instead(data):
        print(f"{data} is not here: {DEMO_CLIP}, which is synthetic; its figures say nothing about real people")
        return [_there(DEMO_CLIP)]
    names = usual if wanted is None else wanted
    return [_there(Path(name) if Path(name).suffix else data / "drivers" / f"{name}.mp4") for name in names]


def find_photos(wanted: Sequence[Path] | None, data: Path) -> list[Path]:
    """As `find_clips`: the photos that were asked for, or all of the data's that are faces by their names."""
    if wanted is not None:
        return [_there(path) for path in wanted]
    if _demo_instead(data):
        return [_there(DEMO_PHOTO)]
    folder = _there(data / "sources")
    return [p for p in sorted(folder.iterdir()) if p.suffix in (".jpg", ".png") and not p.stem.startswith("not_")]


def _demo_instead(data: Path) -> bool:
    return data == DATA and not data.is_dir()


def _there(path: Path) -> Path:
    if not path.exists():
        raise UserError(
            f"{path} is not there: name clips as files, such as {DEMO_CLIP}, or the folder that holds drivers/ and "
            "sources/ with --data"
        )
    return path
