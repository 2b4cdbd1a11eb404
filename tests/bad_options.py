"""Checkpoints, files of options, options and outputs that are refused."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from bad_files import BLANK, Build, Make, Refused, Runs, cut, options
from faces import PORTRAIT, TRACK, save_clip
from synthetic_flame import random_flame, write_flame


def config(text: str | bytes) -> Build:
    def build(folder: Path) -> list:
        (folder / "options.yaml").write_bytes(text.encode() if isinstance(text, str) else text)
        return ["-i", PORTRAIT, "-d", TRACK, "--config", folder / "options.yaml"]

    return build


def checkpoint(make: Make, flame: Make | None = None) -> Build:
    """A checkpoint that `make` writes, beside a file in FLAME's layout."""

    def build(folder: Path) -> list:
        make(folder / "net.pt")
        (flame or (lambda path: write_flame(path, random_flame())))(folder / "FLAME_with_eye.pt")
        return ["-i", PORTRAIT, "-d", TRACK, "-r", folder / "net.pt"]

    return build


def no_cuda() -> str:
    if torch.cuda.is_available():
        pytest.skip("CUDA is there")
    return "cuda"


UNFOLDING = "a0: &a0 [x, x]\n" + "".join(f"a{i + 1}: &a{i + 1} [*a{i}, *a{i}]\n" for i in range(30))
REFUSED: Refused = {
    # checkpoints
    "checkpoint: not there": (options("-r", "none.pt"), "none.pt does not exist"),
    "checkpoint: a path that is too long": (options("-r", "x" * 300), "File name too long"),
    "checkpoint: a text": (checkpoint(lambda p: p.write_text("no weights")), "not a checkpoint that can be read"),
    "checkpoint: zero bytes": (checkpoint(lambda p: p.touch()), "not a checkpoint that can be read"),
    "checkpoint: cut in the middle": (
        checkpoint(cut(lambda p: torch.save({"model": {"a": torch.ones(9999)}}, p))),
        "not a checkpoint that can be read",
    ),
    "checkpoint: a pickle that runs code": (
        checkpoint(lambda p: p.write_bytes(pickle.dumps(Runs()))),
        "not a checkpoint that can be read",
    ),
    "checkpoint: a zip with a pickle that runs code": (
        checkpoint(lambda p: torch.save({"model": Runs()}, p)),
        "not a checkpoint that can be read",
    ),
    "checkpoint: of something else": (checkpoint(lambda p: torch.save({"state": 1}, p)), "has no entry 'model'"),
    "checkpoint: missing weights": (checkpoint(lambda p: torch.save({"model": {}}, p)), "missing"),
    "checkpoint: weights of something else": (
        checkpoint(lambda p: torch.save({"model": {"head.weight": torch.ones(3)}}, p)),
        "1 unexpected (head.weight)",
    ),
    "checkpoint: weights without names": (
        checkpoint(lambda p: torch.save({"model": {7: torch.ones(3)}}, p)),
        "not the published checkpoint",
    ),
    "checkpoint: a list of weights": (checkpoint(lambda p: torch.save([torch.ones(3)], p)), "has no entry 'model'"),
    "checkpoint: no FLAME file": (
        checkpoint(lambda p: torch.save({"model": {}}, p), lambda p: torch.save([1], p)),
        "FLAME_with_eye.pt",
    ),
    # yaml
    "yaml: an unknown key": (config("layuot: result"), "did you mean 'layout'?"),
    "yaml: a wrong type": (config("quiet: 7"), "quiet must be true or false, got 7"),
    "yaml: a list": (config("- quiet"), "holds no options"),
    "yaml: a tab": (config("quiet:\ttrue\n\tx: 1"), "is not yaml"),
    "yaml: an object": (config("quiet: !!python/object/apply:os.mkdir [ran]"), "is not yaml"),
    "yaml: binary": (config(b"\xff\xfe\x00"), "not a text file"),
    "yaml: aliases that unfold": (config(UNFOLDING), "holds aliases"),
    "yaml: brackets without end": (config("a: " + "[" * 5000), "too large"),
    "yaml: a megabyte": (config("#" * 1_000_000), "too large"),
    "yaml: a device": (options("--config", "/dev/zero"), "too large"),
    # options
    "options: a strength out of its limits": (options("--gaze-strength", "7"), "gaze_strength must be between 0 and 1"),
    "options: NaN for a strength": (options("--smooth-strength", "nan"), "must be between"),
    "options: a checkpoint for the built-in avatar": (
        options("--model", "lifted", "-r", "a.pt"),
        "reads no checkpoint",
    ),
    "options: CUDA for the built-in avatar": (options("--device", "cuda"), "runs on the CPU"),
    "options: an unknown device": (options("--device", "tpu"), "invalid choice: 'tpu'"),
    "options: CUDA where there is none": (
        lambda f: [*checkpoint(Path.touch)(f), "--model", "gagavatar", "--device", no_cuda()],
        "PyTorch sees no CUDA device here",
    ),
    "options: a background that is not there": (options("--background", "room.jpg"), "no file of that name is there"),
    "options: a background that is no picture": (
        options("--background", Path(__file__)),
        "neither a picture nor a video",
    ),
    "options: a transparent mp4": (
        options("--background", "transparent", "-o", "out.mp4"),
        "cannot be transparent: give it the ending .mov or .webm",
    ),
    "options: a folder as background": (options("--background", "/"), "is a folder"),
    # outputs
    "output: a picture for a video": (options("-o", "out.jpg"), "must end in one of .mp4"),
    "output: a video for a picture": (
        lambda f: ["-i", PORTRAIT, "-d", PORTRAIT, "-o", "out.mp4"],
        "must end in one of .png",
    ),
    "output: in a file": (options("-o", Path("/dev/null/out.mp4")), "cannot be written"),
    "output: where nothing can be written": (options("-o", "/proc/out.mp4"), "cannot be written"),
    "output: a name that is too long": (options("-o", "x" * 300 + ".mp4"), "File name too long"),
    "output: a folder's name that is too long": (options("-o", "x" * 300 + "/a.mp4"), "cannot be"),
    "output: what is kept of it is the driver": (
        lambda f: ["-i", PORTRAIT, "-d", save_clip(f / "a-partial.mp4", [BLANK]), "-o", f / "a.mp4", "--keep-partial"],
        "is an input of this run",
    ),
}
