"""The stages of the GAGAvatar network, to be timed: with the released weights, or with made-up ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from core.data.records import IMAGE_SIZE

DISTANCE = 9.5  # head units, of the camera
_SPREAD = (0.35, 0.5, 0.4)  # half axes of the egg that stands in for a head, head units

Stage = Callable[[int], object]


def network_stages(checkpoint: Path) -> tuple[dict[str, Stage], Stage, str]:
    """The stages of a frame by name, the encoder, and a line about the weights. ImportError without the network."""
    from core.models.GAGAvatar.models import N_VERTICES, GAGAvatar

    if checkpoint.is_file():
        network, about = GAGAvatar.from_checkpoint(checkpoint), f"weights of {checkpoint}"
    else:
        network, about = (
            _made_up(GAGAvatar),
            "made-up weights of tests/synthetic_checkpoint.py, which draw no face",
        )
    random = torch.Generator().manual_seed(0)
    image = torch.rand(3, IMAGE_SIZE, IMAGE_SIZE, generator=random)
    transform = torch.cat([torch.diag(torch.tensor([-1.0, 1, -1])), torch.tensor([[0.0], [0], [DISTANCE]])], 1)
    egg = torch.nn.functional.normalize(torch.randn(N_VERTICES, 3, generator=random), dim=1) * torch.tensor(_SPREAD)
    avatar = network.encode(image, transform)
    stages: dict[str, Stage] = {
        "network, a frame": lambda i: network.render(avatar, egg, transform),
        "raster": lambda i: network.rasterize(avatar, egg, transform),
    }
    return stages, lambda i: network.encode(image, transform), f"{about}, {len(avatar.gaussians['xyz']):,} Gaussians"


def _made_up(kind):
    from tests.synthetic_checkpoint import layout, tensors

    with torch.device("meta"):
        network = kind()
    network.load_state_dict(tensors(layout()["keys"]), strict=True, assign=True)
    return network.requires_grad_(False).eval()
