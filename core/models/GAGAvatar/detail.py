"""The photo's own detail: what it shows and the network does not, carried on the Gaussians into every frame.

At the photo's own pose the network's picture is subtracted from the photo. Each Gaussian that is seen there takes the
difference at its place as three more colours, and a frame's raster of these is added to the network's picture. A
Gaussian draws over many pixels, so that one pass gives the difference blurred; what is still missing is given to the
Gaussians again a few times (Irani and Peleg, Improving resolution by image registration, CVGIP 1991).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from core.data.records import FOCAL, IMAGE_SIZE
from core.models.GAGAvatar.models import COLORS, N_VERTICES, GAGAvatar, NetworkAvatar
from core.models.rasterizer.surface_kernels import LANES

CHANNELS = COLORS + LANES  # the network's, 3 of detail, the matte, and what fills up the rasterizer's vectors
DETAIL = slice(COLORS, COLORS + 3)
MATTE = COLORS + 3


@dataclass(frozen=True)
class SourceDetailSettings:
    """How the photo's detail is found; chosen without the released weights.

    Attributes:
        passes: of back-projection, at most.
        behind: head units that a Gaussian may lie behind the mean depth of its pixel and count as visible.
        limit: of a colour's detail: no picture in 0..1 differs by more.
    """

    passes: int = 4
    behind: float = 0.1
    limit: float = 1.0


_DEFAULT = SourceDetailSettings()


@torch.inference_mode()
def source_detail(
    network: GAGAvatar,
    avatar: NetworkAvatar,
    picture: Tensor,  # (3, 512, 512) in 0..1, the photo on black that the avatar was made of
    vertices: Tensor,  # (5023, 3) and
    transform: Tensor,  # (3, 4) of the photo
    settings: SourceDetailSettings = _DEFAULT,
) -> Tensor:  # (N, 3)
    """The photo's detail at each Gaussian."""
    missing = picture - network.render(avatar, vertices, transform)
    xyz, depth, place = _seen(avatar, vertices, transform)

    depths = network.rasterize(avatar, vertices, transform, torch.cat([depth, torch.ones_like(depth)], 1))
    mean_depth = depths[:, :1] / depths[:, 1:].clamp_min(1e-6)
    visible = (
        (depth > 0) & (depth <= _sample(mean_depth, place) + settings.behind) & (place[0, 0].abs().amax(1, True) < 1)
    )

    detail = torch.zeros(len(xyz), 3, device=xyz.device)
    left = missing[None]
    for _ in range(settings.passes):
        more = (detail + visible * _sample(left, place)).clamp_(-settings.limit, settings.limit)
        still = missing - network.rasterize(avatar, vertices, transform, more)
        if still.square().sum() >= left.square().sum():  # what is left is finer than the Gaussians can draw
            break
        detail, left = more, still
    return detail


@torch.inference_mode()
def source_matte(
    avatar: NetworkAvatar,
    matte: Tensor,  # (512, 512) in 0..1, of the photo
    vertices: Tensor,  # (5023, 3) and
    transform: Tensor,  # (3, 4) of the photo
) -> Tensor:  # (N, 1)
    """How much of each Gaussian is the person: the photo's matte where it lies, for FLAME's vertices all of it.

    The network was trained on black: how opaque it makes Gaussians of what is black anyway, nothing has told it.
    """
    _, _, place = _seen(avatar, vertices, transform)
    person = _sample(matte[None, None].to(place.device, torch.float32), place)
    person[:N_VERTICES] = 1
    return person


def _seen(avatar: NetworkAvatar, vertices: Tensor, transform: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gaussians (N, 3) of the photo, their depths (N, 1) and places (1, 1, N, 2), where -1 and 1 are its edges."""
    xyz = avatar.gaussians["xyz"].clone()
    xyz[:N_VERTICES] = vertices
    camera = xyz @ transform[:, :3] + transform[:, 3]
    depth = camera[:, 2:]
    return xyz, depth, (-FOCAL * camera[:, :2] / depth.clamp_min(1e-6))[None, None]


@torch.inference_mode()
def with_detail(
    network: GAGAvatar, avatar: NetworkAvatar, channels: Tensor, vertices: Tensor, transform: Tensor, strength: float
) -> tuple[Tensor, Tensor]:
    """The picture (3, 512, 512) in 0..1 of a frame with detail, on black, and its matte (512, 512).

    `channels` (N, 40): the network's own, 3 of detail, the matte, 4 that are empty.
    """
    raster = network.rasterize(avatar, vertices, transform, channels)
    picture = network.upsample(raster[:, :COLORS])[0]
    if strength:
        picture = picture.add_(raster[0, DETAIL], alpha=strength).clamp_(0, 1)
    return picture, raster[0, MATTE]


def _sample(image: Tensor, place: Tensor) -> Tensor:  # (1, C, H, W), (1, 1, N, 2) -> (N, C)
    assert image.shape[-2:] == (IMAGE_SIZE, IMAGE_SIZE), f"picture must be 512 x 512, got {tuple(image.shape)}"
    return functional.grid_sample(image, place, align_corners=False, padding_mode="border")[0, :, 0].T
