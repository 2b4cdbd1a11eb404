"""The sinusoidal code of a viewing direction (Mildenhall et al., NeRF, ECCV 2020), in the published order."""

from __future__ import annotations

import torch
from torch import Tensor

FREQUENCIES = (1.0, 2.0, 4.0, 8.0)
DIRECTION_DIM = 3 * (2 * len(FREQUENCIES) + 1)


def direction_code(directions: Tensor) -> Tensor:  # (..., 3) -> (..., 27)
    """Sines by coordinate and then frequency, cosines likewise, the direction itself; no factor pi."""
    angles = (directions[..., None] * directions.new_tensor(FREQUENCIES)).flatten(-2)
    return torch.cat([angles.sin(), angles.cos(), directions], -1)
