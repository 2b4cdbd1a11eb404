"""Bilinear resizing with half-pixel centres, the three kinds that the published network uses."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def resize_smooth(x: Tensor, size: int) -> Tensor:  # (B, C, H, W) -> (B, C, size, size)
    """Bilinear and antialiased: where it shrinks, the triangle is as wide as the step between outputs."""
    return functional.interpolate(x, (size, size), mode="bilinear", align_corners=False, antialias=True)


def up2(x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C, 2 H, 2 W)
    """Bilinear upsampling by two."""
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def down2(x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C, H / 2, W / 2)
    """Bilinear downsampling by two without antialiasing, which is the mean of each 2 x 2 block."""
    return functional.avg_pool2d(x, 2)
