"""The lifting plane: where the pixels of the source picture start from in head space."""

from __future__ import annotations

import torch
from torch import Tensor

from core.data.records import FOCAL


def lifting_plane(transform: Tensor, size: int) -> tuple[Tensor, Tensor]:  # (3, 4) -> (size * size, 3), (3,)
    """Points on the plane through the origin across the camera's axis, row by row, and that axis as a direction.

    `transform` is head to camera, row vectors. The rays are not normalised, so that the points lie on a plane.
    """
    # Exact, and by the inverse: float32 rotations are orthonormal to 1e-7, and the camera is ten times as far away as
    # the plane is large.
    exact = transform.double()
    to_head = torch.linalg.inv(exact[:, :3])
    center, axis = -(exact[:, 3] @ to_head), to_head[2]
    distance = (center @ axis).abs()
    at = 1 - 2 * torch.arange(size, device=transform.device, dtype=exact.dtype) / (size - 1)
    y, x = torch.meshgrid(at, at, indexing="ij")
    rays = torch.stack([x / FOCAL, y / FOCAL, torch.ones_like(x)], -1).reshape(-1, 3)
    return (center + distance * (rays @ to_head)).to(transform), axis.to(transform)
