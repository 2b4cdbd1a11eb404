"""The alpha rule on CUDA by gsplat (1.5 or later), imported on first use.

gsplat cuts a footprint at 3.33 sigma, caps alpha at 0.999 and stops a pixel at `<=`: by design within 2e-3 relative L2
of the other engines, not closer. It normalises quaternions, so it is given covariances.
"""

from __future__ import annotations

import torch
from torch import Tensor

from core.errors import UserError

from .kernels import NEAR


def _rasterization():
    if not torch.cuda.is_available():
        raise UserError("The gsplat engine needs an NVIDIA GPU, and torch sees none: use --engine numba.")
    try:
        from gsplat import rasterization
    except ImportError as error:
        raise UserError(
            f"The gsplat engine needs gsplat ({error}): pip install gsplat, or use --engine numba."
        ) from error
    return rasterization


def render(
    xyz: Tensor,  # [B, N, 3]
    cov: Tensor,  # [B, N, 6]
    colors: Tensor,  # [B, N, C]
    opacities: Tensor,  # [B, N]
    cams: Tensor,  # [B, 3, 4]
    bg: Tensor,  # [C]
    focal: tuple[float, float],
    size: tuple[int, int],
    blur: float,
) -> dict[str, Tensor]:
    """`images` [B, C, H, W] and `alphas` [B, 1, H, W] on the GPU."""
    rasterization = _rasterization()
    H, W = size
    cuda = xyz.device if xyz.is_cuda else torch.device("cuda")
    xyz, cov, colors, opacities, cams, bg = (a.to(cuda) for a in (xyz, cov, colors, opacities, cams, bg))
    # gsplat wants column vectors in the frame x right, y down, and pixel centres at halves.
    flip = torch.tensor([-1.0, -1.0, 1.0], device=cuda)
    view = torch.eye(4, device=cuda).repeat(len(cams), 1, 1)
    view[:, :3, :3] = (cams[:, :, :3] * flip).mT
    view[:, :3, 3] = cams[:, :, 3] * flip
    K = torch.tensor([[focal[0] * W / 2, 0, W / 2], [0, focal[1] * H / 2, H / 2], [0, 0, 1]], device=cuda)
    full = cov[..., [0, 1, 2, 1, 3, 4, 2, 4, 5]].unflatten(-1, (3, 3))

    images, alphas = [], []
    for b in range(len(cams)):
        image, alpha, _ = rasterization(
            xyz[b],
            None,
            None,
            opacities[b],
            colors[b],
            view[b : b + 1],
            K[None],
            W,
            H,
            near_plane=float(NEAR),
            eps2d=blur,
            packed=False,
            covars=full[b],
        )
        images.append((image[0] + (1 - alpha[0]) * bg).permute(2, 0, 1))
        alphas.append(alpha[0].permute(2, 0, 1))
    return {"images": torch.stack(images).contiguous(), "alphas": torch.stack(alphas).contiguous()}
