"""Whatever reads files from outside, on files with bytes changed: it takes them or refuses them in one line.

    python tests/fuzz_readers.py [--files 3000] [--seed 0]

Small good files of every kind are changed at random, with a fixed seed, and read in a process of their own, so that a
crash inside a C library is seen, and told from a refusal, an exception that is none, and reading without end.
"""

from __future__ import annotations

import argparse
import collections
import faulthandler
import io
import pickle
import random
import resource
import subprocess
import sys
import tempfile
import traceback
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

_ARCHIVES = ("record", "archive")  # zip files
_BATCH = 250  # files for one process
_SECONDS = 20  # for one file
_MEMORY = 8 << 30


@dataclass
class Found:
    """What came of the files: how many by kind and end, and the files that a reader did not survive."""

    ends: collections.Counter = field(default_factory=collections.Counter)
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{kind:9} {end:8} {number}" for (kind, end), number in sorted(self.ends.items())]
        return "\n".join([*lines, f"{sum(self.ends.values())} files, {len(self.faults)} faults", *self.faults])


def fuzz(files: int, seed: int, folder: Path) -> Found:
    """Read that many changed files, made in a folder; files that show a fault stay there."""
    draw = random.Random(seed)
    good = good_files()
    found = Found()
    for first in range(0, files, _BATCH):
        names = []
        for number in range(first, min(first + _BATCH, files)):
            kind, name, data = draw.choice(good)
            other = draw.choice([d for k, _, d in good if k == kind])
            path = folder / f"{number:06}-{kind}-{name}"
            path.write_bytes(changed_inside(data, draw) if kind in _ARCHIVES else changed(data, other, draw))
            names.append(path.name)
        _read_all(folder, names, found)
    return found


def changed(data: bytes, other: bytes, draw: random.Random) -> bytes:
    """A few changes of the kinds that break readers."""
    out = bytearray(data)
    for _ in range(draw.choice([1, 1, 2, 4, 16])):
        if not out:
            break
        at, size = draw.randrange(len(out)), draw.choice([1, 2, 4, 8, 64])
        match draw.randrange(8):
            case 0:
                out[at] ^= 1 << draw.randrange(8)
            case 1:
                out[at : at + size] = draw.randbytes(size)
            case 2:  # a length or an offset, as either order writes it
                value = draw.choice([0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, len(out)])
                out[at : at + 4] = value.to_bytes(8, draw.choice(["big", "little"]))[-4:]
            case 3:
                del out[at : len(out) if draw.random() < 0.3 else at + size]
            case 4:
                out[at:at] = out[at : at + size] * draw.choice([1, 3, 100])
            case 5:
                out[at : at + size] = bytes(size)
            case 6:
                start = draw.randrange(len(other)) if other else 0
                out[at : at + size] = other[start : start + size]
            case 7:
                out[at : at + size] = b"\xff" * size
    return bytes(out)


def changed_inside(data: bytes, draw: random.Random) -> bytes:
    """A zip archive with one of its members changed, as its checksums would hide any other change; or as `changed`."""
    if draw.random() < 0.2:
        return changed(data, data, draw)
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        chosen = draw.choice(old.namelist())
        for name in old.namelist():
            member = old.read(name)
            new.writestr(name, changed(member, member, draw) if name == chosen else member)
    return out.getvalue()


def _read_all(folder: Path, names: list[str], found: Found) -> None:
    """Read files in processes of their own; a new one goes on behind a file that ended the last."""
    while names:
        command = [sys.executable, __file__, "--read", str(folder)]
        done = subprocess.run(command, input="\n".join(names), capture_output=True, text=True, cwd=ROOT, check=False)
        lines = [line.split(" ", 2) for line in done.stdout.splitlines() if line.startswith("@")]
        ended = {name: rest for _, name, rest in (line for line in lines if line[0] == "@end")}
        for name, end in ended.items():
            kind = name.split("-")[1]
            found.ends[kind, end.split(" ")[0]] += 1
            if end.startswith("fault"):
                found.faults.append(f"{name}: {end}")
            else:
                (folder / name).unlink()
        names = [name for name in names if name not in ended]
        if names:
            name, names = names[0], names[1:]
            found.ends[name.split("-")[1], "died"] += 1
            found.faults.append(f"{name}: the process ended with {done.returncode}: {done.stderr.strip()[-300:]}")


def read_here(folder: Path) -> None:
    """What the process of its own does: read the files whose names stand in its input."""
    readers = make_readers(folder)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    from core.errors import UserError

    for name in sys.stdin.read().split("\n"):
        faulthandler.dump_traceback_later(_SECONDS, exit=True)
        try:
            readers[name.split("-")[1]](folder / name)
            end = "taken"
        except UserError as error:
            end = "refused" if "\n" not in str(error) else f"fault: more than one line: {error!r}"
        except BaseException as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            end = f"fault: {type(error).__name__}: {error} at {Path(last.filename).name}:{last.lineno}"
        faulthandler.cancel_dump_traceback_later()
        print(f"@end {name} {' '.join(end.split())}", flush=True)


def make_readers(folder: Path) -> dict[str, Callable[[Path], object]]:
    """How each kind of file is read."""
    from fractions import Fraction

    import numpy as np

    from core.command_line import read_config
    from core.data.image import kind_of, read_image
    from core.data.loader_track import DriverData
    from core.data.upstream_folder import read_pictures
    from core.data.video import VideoReader, VideoWriter
    from core.models.GAGAvatar.checkpoint import read_checkpoint

    box = folder / f"box-{random.randrange(10**9)}"
    (box / "img_lmdb").mkdir(parents=True)

    def in_a_folder(name: str) -> Callable[[Path], Path]:
        def place(path: Path) -> Path:
            for old in box.iterdir():
                if old.is_file():
                    old.unlink()
            (box / name).write_bytes(path.read_bytes())
            return box

        return place

    ours, theirs, pictures = (in_a_folder(name) for name in ("track.npz", "smoothed.pkl", "img_lmdb/data.mdb"))

    def video(path: Path) -> None:
        kind_of(path)
        with VideoReader(path) as reader:
            for frame in reader:
                if frame.index > 40:
                    break
            size = reader.size
        with VideoWriter(box / "out.mp4", Fraction(25), (64, 64), path) as writer:
            for _ in range(3):
                writer.write(np.zeros((64, 64, 3), np.uint8))
        if size[0] * size[1] > 10**9:
            raise AssertionError("an impossible size")

    def photo(path: Path) -> None:
        kind_of(path)
        read_image(path)

    def codes(path: Path) -> None:
        if kind_of(path) == "motion":
            DriverData.from_motion(path)

    return {
        "codes": codes,
        "archive": codes,
        "picture": photo,
        "video": video,
        "record": lambda path: DriverData.from_folder(ours(path)),
        "pickle": lambda path: DriverData.from_folder(theirs(path)),
        "lmdb": lambda path: list(read_pictures(pictures(path), ("a_1", "a_2", "a_3")) or []),
        "yaml": read_config,
        "weights": read_checkpoint,
    }


def good_files() -> list[tuple[str, str, bytes]]:
    """Kind, name and bytes of small good files."""
    import lmdb
    import numpy as np
    import torch
    from faces import TRACK, portrait, save_clip, tracked
    from PIL import Image

    from core.data.records import TrackedSequence

    image = Image.fromarray(portrait(48))
    good = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for ending in ("png", "jpg", "webp", "gif", "tiff", "bmp", "ppm", "jp2", "avif"):
            path = folder / f"a.{ending}"
            try:
                image.save(path)
            except (OSError, KeyError, ValueError):  # this Pillow cannot write it
                continue
            good.append(("picture", path.name, path.read_bytes()))
        image.save(folder / "deep.tiff", compression="tiff_lzw")
        Image.fromarray(np.asarray(image)).save(folder / "moving.png", save_all=True, append_images=[image.rotate(9)])
        for path in (folder / "deep.tiff", folder / "moving.png"):
            good.append(("picture", path.name, path.read_bytes()))
        frames = [np.roll(portrait(64), i, 1) for i in range(4)]
        for ending, codec, sound in (
            ("mp4", "libx264", 0.3),
            ("mkv", "libx264", 0.3),
            ("webm", "libvpx", 0),
            ("avi", "mpeg4", 0),
            ("ts", "libx264", 0.3),
            ("mov", "mjpeg", 0),
        ):
            pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            path = save_clip(folder / f"a.{ending}", frames, codec=codec, pix_fmt=pix_fmt, sound=sound)
            good.append(("video", path.name, path.read_bytes()))
        good.append(("record", "track.npz", (tracked(folder / "track", 3) / "track.npz").read_bytes()))
        track = TrackedSequence.load(TRACK)
        record = {name: value[0] for name, value in track.parameters.items()} | {"bbox": track.bbox[0]}
        for protocol in (2, 4, 5):
            good.append(("pickle", f"p{protocol}.pkl", pickle.dumps({"a_1": record, "a_2": record}, protocol)))
        with lmdb.open(str(folder / "lmdb"), map_size=1 << 20) as box, box.begin(write=True) as change:
            for key, ending in (("a_1", "PNG"), ("a_2", "JPEG"), ("a_3", "PNG")):
                stored = io.BytesIO()
                image.save(stored, ending)
                change.put(key.encode(), stored.getvalue())
        good.append(("lmdb", "data.mdb", (folder / "lmdb/data.mdb").read_bytes()))
        good.append(("yaml", "default.yaml", (ROOT / "configs/default.yaml").read_bytes()))
        torch.save({"model": {"a.weight": torch.ones(3, 4), "b": torch.zeros(7)}}, folder / "net.pt")
        values = np.random.default_rng(0).normal(size=(4, 106)).astype(np.float32)
        named = {"expcode": values[:, :100], "posecode": values[:, 100:], "fps": np.array(30)}
        np.save(folder / "c.npy", values)
        torch.save(torch.from_numpy(values), folder / "old.pt", _use_new_zipfile_serialization=False)
        torch.save({name: torch.from_numpy(value) for name, value in named.items()}, folder / "c.pt")
        np.savez_compressed(folder / "c.npz", **named)
        (folder / "c.pkl").write_bytes(pickle.dumps(named))
        for path in ("c.npy", "old.pt", "c.pkl"):
            good.append(("codes", path, (folder / path).read_bytes()))
        for path in ("c.pt", "c.npz"):
            good.append(("archive", path, (folder / path).read_bytes()))
        good.append(("weights", "net.pt", (folder / "net.pt").read_bytes()))
    return good


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--files", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="a folder for the files that show a fault")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.read:
        read_here(args.read)
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = args.keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        found = fuzz(args.files, args.seed, folder)
    print(found)
    return 1 if found.faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
