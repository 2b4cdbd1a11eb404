"""Deterministic weights in the released layout: `python -m tests.synthetic_checkpoint FOLDER`.

Writes `GAGAvatar.pt` and `FLAME_with_eye.pt`, from which the golden numbers were made. The rule for every tensor stands
beside its shape in `tests/golden/checkpoint_keys.json`. The result is no face.
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

LAYOUT = Path(__file__).parent / "golden" / "checkpoint_keys.json"
CHECKPOINT = "GAGAvatar.pt"
FLAME = "FLAME_with_eye.pt"
N_VERTICES, N_FACES = 5023, 9976


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


def flame() -> dict[str, dict[str, Tensor]]:
    """A head in FLAME's layout: random points on an ellipsoid, with random faces, directions and landmarks."""

    def source(key: str) -> np.random.RandomState:
        return np.random.RandomState(zlib.crc32(f"flame.{key}".encode()))

    def rows(values: np.ndarray) -> np.ndarray:
        return values / values.sum(-1, keepdims=True)

    template = source("v_template").standard_normal((N_VERTICES, 3))
    regressor, random = np.zeros((5, N_VERTICES)), source("J_regressor")
    for joint in range(5):
        chosen = random.randint(0, N_VERTICES, 8)
        np.add.at(regressor[joint], chosen, rows(random.random_sample(8)))
    model = {
        "f": source("f").randint(0, N_VERTICES, (N_FACES, 3)),
        "v_template": template / np.linalg.norm(template, axis=1, keepdims=True) * (0.08, 0.12, 0.10),
        "shapedirs": 0.0005 * source("shapedirs").standard_normal((N_VERTICES, 3, 400)),
        "posedirs": 0.001 * source("posedirs").standard_normal((N_VERTICES, 3, 36)),
        "J_regressor": regressor,
        "kintree_table": np.array([[4294967295, 0, 1, 1, 1], [0, 1, 2, 3, 4]]),
        "weights": rows(source("weights").random_sample((N_VERTICES, 5)) ** 4),
    }
    landmarks = {}
    for kind, shape in (("static_lmk_*", (51,)), ("dynamic_lmk_*", (79, 17)), ("full_lmk_*_with_eye", (1, 70))):
        faces, weights = kind.replace("*", "faces_idx"), kind.replace("*", "bary_coords")
        landmarks[faces] = source(faces).randint(0, N_FACES, shape)
        landmarks[weights] = rows(source(weights).random_sample((*shape, 3)))
    return {"flame_model": _as_tensors(model), "lmk_embeddings": _as_tensors(landmarks)}


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
    torch.save(flame(), folder / FLAME)
    return write_checkpoint(folder / CHECKPOINT), folder / FLAME


def _draw(name: str, entry: dict) -> Tensor:
    random = np.random.RandomState(zlib.crc32(name.encode()))
    values = random.standard_normal(entry["shape"])
    values *= entry["scale"]
    values += entry["offset"]
    return torch.from_numpy(values.astype(np.float32))


def _as_tensors(arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """Integers as int64, the rest as float32."""
    return {
        name: torch.from_numpy(a.astype(np.int64 if a.dtype.kind == "i" else np.float32)) for name, a in arrays.items()
    }


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.synthetic_checkpoint", description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    for path in write(parser.parse_args(arguments).folder):
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
