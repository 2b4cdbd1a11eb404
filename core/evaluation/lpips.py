"""LPIPS with AlexNet (Zhang, Isola, Efros, Shechtman, Wang: The Unreasonable Effectiveness of Deep Features, 2018).

The network is written out here, in plain torch, because the package of that name needs torchvision. Its weights are two
published files, which are not part of this project and not fetched: AlexNet's as torchvision has them
(`alexnet-owt-7be5be79.pth`) and LPIPS' own of version 0.1 (`alex.pth`, in the package's wheel under `weights/v0.1`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from core.errors import UserError
from core.evaluation.pictures import unit_pair

ALEXNET, LINEAR = "alexnet-owt-7be5be79.pth", "alex.pth"
_CHANNELS = (64, 192, 384, 256, 256)
_PLACES = (0, 3, 6, 8, 10)  # of the convolutions among AlexNet's features


class Lpips(nn.Module):
    """The distance of two pictures; its parameters are named as in the two files, put into one dictionary."""

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        kernels = ((3, 11, 4, 2), (64, 5, 1, 2), (192, 3, 1, 1), (384, 3, 1, 1), (256, 3, 1, 1))
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, size, step, margin)
            for (before, size, step, margin), after in zip(kernels, _CHANNELS, strict=True)
        )
        self.weights = nn.ParameterList(nn.Parameter(torch.ones(channels)) for channels in _CHANNELS)
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188]).reshape(3, 1, 1))
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450]).reshape(3, 1, 1))

    def features(self, picture: Tensor) -> list[Tensor]:  # (N, 3, H, W) in -1..1
        """What each of the five layers answers, its channels scaled to the length 1 at every place."""
        found, now = [], (picture - self.shift) / self.scale
        for number, layer in enumerate(self.convolutions):
            if number in (1, 2):
                now = functional.max_pool2d(now, 3, 2)
            now = functional.relu(layer(now))
            found.append(now / (now.square().sum(1, keepdim=True).sqrt() + 1e-10))
        return found

    def forward(self, one: Tensor, other: Tensor) -> Tensor:  # (N, 3, H, W) in -1..1, to (N,)
        """The weighted squared differences of the answers, their means over places, summed over layers."""
        pairs = zip(self.weights, self.features(one), self.features(other), strict=True)
        return torch.stack(
            [(weight[:, None, None] * (a - b).square()).sum(1).mean((1, 2)) for weight, a, b in pairs]
        ).sum(0)


def load_lpips(folder: Path) -> Lpips:
    """The network with the weights of a folder. UserError where a file is missing or is another one."""
    network = Lpips()
    features, linear = (_read(folder / name) for name in (ALEXNET, LINEAR))
    values = {}
    for number, place in enumerate(_PLACES):
        for part in ("weight", "bias"):
            values[f"convolutions.{number}.{part}"] = features.get(f"features.{place}.{part}")
        weight = linear.get(f"lin{number}.model.1.weight")
        values[f"weights.{number}"] = None if weight is None else weight.flatten()
    missing = [name for name, value in values.items() if value is None]
    if missing:
        raise UserError(f"{folder}: {ALEXNET} and {LINEAR} lack {missing[0]}; they are not the published files")
    try:
        network.load_state_dict(values, strict=False)
    except RuntimeError as error:
        raise UserError(
            f"{folder}: {ALEXNET} or {LINEAR} is another network ({str(error).splitlines()[-1].strip()})"
        ) from error
    return network.eval()


def distance(network: Lpips, image: np.ndarray, truth: np.ndarray) -> float:
    """LPIPS of two pictures (H, W, 3), uint8 or in 0..1: smaller is nearer."""
    one, other = (torch.from_numpy(x).permute(2, 0, 1)[None].float() * 2 - 1 for x in unit_pair(image, truth))
    with torch.no_grad():
        return float(network(one, other))


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise UserError(f"{path} does not exist: put {ALEXNET} and {LINEAR} into the folder of --lpips-weights")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises what the damage leads to
        raise UserError(f"{path} cannot be read ({type(error).__name__}): get the file again") from error
