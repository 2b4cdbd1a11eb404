"""From features to the parameters of Gaussians, with what the released weights were trained with left as it is.

Both give a dict of (B, N, n): `colors` 32, `opacities` 1, `scales` 3, `rotations` 4 (w x y z); the planes' also
`positions` 1, how far along the viewing direction a Gaussian is moved.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.models.modules.direction_code import DIRECTION_DIM

COLORS = 32
MAX_SCALE = 0.05  # head units


class LinearGSGenerator(nn.Module):
    """One Gaussian per row of features: those bound to the vertices of the head."""

    def __init__(self, in_dim: int = 1024, dir_dim: int = DIRECTION_DIM) -> None:
        super().__init__()
        hidden = in_dim // 4
        layers: list[nn.Module] = [nn.Linear(in_dim, hidden)]
        for _ in range(3):
            layers += [nn.ReLU(), nn.Linear(hidden, hidden)]
        self.feature_layers = nn.Sequential(*layers)
        self.color_layers = _head(hidden + dir_dim, COLORS)
        self.opacity_layers = _head(hidden + dir_dim, 1)
        self.scale_layers = _head(hidden + dir_dim, 3)
        self.rotation_layers = _head(hidden + dir_dim, 4)

    def forward(self, features: Tensor, direction: Tensor) -> dict[str, Tensor]:  # (B, N, in_dim), (B, dir_dim)
        hidden = self.feature_layers(features)
        hidden = torch.cat([hidden, direction[:, None].expand(-1, hidden.shape[1], -1)], -1)
        colors = self.color_layers(hidden)
        return {
            "colors": torch.cat([colors[..., :3].sigmoid(), colors[..., 3:]], -1),
            "opacities": self.opacity_layers(hidden).sigmoid(),
            "scales": MAX_SCALE * self.scale_layers(hidden).sigmoid(),
            # Over the points, not over the quaternion: all N must come in one call.
            "rotations": functional.normalize(self.rotation_layers(hidden), dim=1),
        }


class ConvGSGenerator(nn.Module):
    """One Gaussian per pixel of a feature map: those of a lifting plane, row by row."""

    def __init__(self, in_dim: int = 256, dir_dim: int = DIRECTION_DIM, hidden: int = 128) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width in (in_dim + dir_dim, hidden, hidden):
            layers += [nn.Conv2d(width, hidden, 3, padding=1), nn.ReLU()]
        self.gaussian_conv = nn.Sequential(*layers, nn.Conv2d(hidden, COLORS + 9, 1))

    def forward(self, features: Tensor, direction: Tensor) -> dict[str, Tensor]:  # (B, in_dim, H, W), (B, dir_dim)
        plane = direction[:, :, None, None].expand(-1, -1, *features.shape[2:])
        raw = self.gaussian_conv(torch.cat([features, plane], 1))
        colors, opacities, scales, rotations, positions = raw.split([COLORS, 1, 3, 4, 1], 1)
        # On the first three columns of the map, in all channels; not on the first three channels.
        colors = torch.cat([colors[..., :3].sigmoid(), colors[..., 3:]], -1)
        maps = {
            "colors": colors,
            "opacities": opacities.sigmoid(),
            "scales": MAX_SCALE * scales.sigmoid(),
            "rotations": functional.normalize(rotations, dim=1),
            "positions": positions.sigmoid(),
        }
        return {name: value.flatten(2).transpose(1, 2) for name, value in maps.items()}


def _head(in_dim: int, out_dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(in_dim, 128), nn.ReLU(), nn.Linear(128, out_dim))
