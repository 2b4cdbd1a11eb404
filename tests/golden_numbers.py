"""The golden numbers of the published network, and the made inputs that they belong to."""

from __future__ import annotations

import json
import re

import numpy as np
import torch
from torch import Tensor

from tests.synthetic_checkpoint import LAYOUT

GOLDEN = LAYOUT.parent


class Golden:
    """A file of numbers, each with the slice of the full array that was stored."""

    def __init__(self, name: str) -> None:
        with np.load(GOLDEN / f"{name}.npz") as archive:
            self.arrays = {key: archive[key] for key in archive.files}
        self.meta = json.loads(str(self.arrays.pop("__meta__")))["arrays"]

    def tensor(self, key: str) -> Tensor:
        return torch.from_numpy(self.arrays[key])

    def pair(self, key: str, full: Tensor) -> tuple[np.ndarray, np.ndarray]:
        assert list(full.shape) == self.meta[key]["shape"], f"{key}: {tuple(full.shape)}"
        text = self.meta[key]["slice"]
        got = full.numpy() if text == "full" else full.numpy()[_index(text)]
        want = self.arrays[key]
        assert got.shape == want.shape, f"{key}: {got.shape}, stored {want.shape}"
        return got.astype(np.float64), want.astype(np.float64)

    def relative(self, key: str, full: Tensor) -> float:
        got, want = self.pair(key, full)
        return float(np.linalg.norm(got - want) / np.linalg.norm(want))

    def largest(self, key: str, full: Tensor) -> float:
        got, want = self.pair(key, full)
        return float(np.abs(got - want).max())


def _index(text: str) -> tuple:
    """numpy's index notation as an index."""

    def part(piece: str) -> object:
        if piece.startswith("["):
            return [int(n) for n in piece[1:-1].split(",")]
        numbers = [int(n) if n else None for n in piece.split(":")]
        return numbers[0] if ":" not in piece else slice(*numbers)

    return tuple(part(piece) for piece in re.findall(r"\[[^]]*]|[^,]+", text))


def blocks(values: np.ndarray, size: int) -> np.ndarray:
    """Every value as a block of size x size."""
    return values.repeat(size, -2).repeat(size, -1)


def smooth_image(seed: int, cells: int, side: int, batch: tuple[int, ...] = ()) -> Tensor:
    """A picture of coarse blocks and noise, in 0..1."""
    random = np.random.RandomState(seed)
    coarse = random.random_sample((*batch, 3, cells, cells))
    fine = random.random_sample((*batch, 3, side, side))
    return torch.from_numpy((0.6 * blocks(coarse, side // cells) + 0.4 * fine).astype(np.float32))


def raster_like(seed: int, side: int) -> Tensor:
    random = np.random.RandomState(seed)
    coarse = random.standard_normal((1, 32, 16, 16))
    fine = random.standard_normal((1, 32, side, side))
    return torch.from_numpy((blocks(coarse, side // 16) + 0.3 * fine).astype(np.float32))


def normals(seed: int, *shape: int) -> Tensor:
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape).astype(np.float32))


def watch(layers: dict, seen: dict) -> list:
    """Hooks that put what each layer gives into `seen`, under its name."""
    return [
        layer.register_forward_hook(lambda _m, _i, out, key=key: seen.__setitem__(key, out))
        for key, layer in layers.items()
    ]


def psnr(a: Tensor, b: Tensor) -> float:
    return -10 * torch.log10((a - b).square().mean()).item()
