"""Deterministic weights in the released layout: `python -m tests.synthetic_checkpoint FOLDER`.

Writes `GAGAvatar.pt`, from which the golden numbers were made, and a `FLAME_with_eye.pt` with a face in it, which the
tracker can be fitted to. The rule for every tensor stands beside its shape in `tests/golden/checkpoint_keys.json`. What
these weights draw is no face.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tests.synthetic_flame import face_like_flame, write_flame

LAYOUT = Path(__file__).parent / "golden" / "checkpoint_keys.json"
CHECKPOINT = "GAGAvatar.pt"
FLAME = "FLAME_with_eye.pt"


def layout() -> dict:
    """Names, shapes and recipe of the checkpoint."""
    return json.loads(LAYOUT.read_text())


def small_upsampler(name: str) -> dict[str, Tensor]:
    """The weights of one of the small configurations that have golden numbers."""
    keys = layout()["small_upsampler_configs"]["style_unet_64" if name == "style_unet_32to64" else name]
    return tensors(keys, "upsampler.")


def tensors(keys: dict[str, dict], prefix: str = "") -> dict[str, Tensor]:
    """The tensors of those keys that begin with `prefix`, without it."""
    return {name.removeprefix(prefix): _draw(name, entry) for name, entry in keys.items() if name.startswith(prefix)}


def write_checkpoint(path: Path, state: dict[str, Tensor] | None = None) -> Path:
    """Write `GAGAvatar.pt`; `state` in place of the deterministic weights."""
    known = layout()
    state = tensors(known["keys"]) if state is None else dict(state)
    for name, shape in known["not_needed_at_inference"]["keys"].items():
        state.setdefault(name, torch.zeros(1).expand(shape))  # one stored number: nobody reads it
    torch.save({"model": state, "meta_cfg": known["meta_cfg_example"]}, path)
    return path


def write(folder: Path) -> tuple[Path, Path]:
    """Write both files into a folder; returns them."""
    folder.mkdir(parents=True, exist_ok=True)
    return write_checkpoint(folder / CHECKPOINT), write_flame(folder / FLAME, face_like_flame())


def _draw(name: str, entry: dict) -> Tensor:
    random = np.random.RandomState(zlib.crc32(name.encode()))
    values = random.standard_normal(entry["shape"])
    values *= entry["scale"]
    values += entry["offset"]
    return torch.from_numpy(values.astype(np.float32))


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.synthetic_checkpoint", description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    for path in write(parser.parse_args(arguments).folder):
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
