"""The alpha rule on CUDA by gsplat (1.5), imported on first use.

gsplat cuts a footprint at 3.33 sigma, caps alpha at 0.999 and stops a pixel at `<=`: by design within 2e-3 relative L2
of the other engines, not closer. It normalises quaternions, so it is given covariances. Its kernels are compiled when
it is first used, with the CUDA toolkit's nvcc, and kept in torch's cache of extensions.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from core.errors import UserError
from core.models.rasterizer.projection import NEAR
from core.runtime.device import upload


def _rasterization() -> Callable[..., tuple[Tensor, Tensor, dict]]:
    if not torch.cuda.is_available():
        raise UserError("The gsplat engine needs an NVIDIA GPU, and torch sees none: take --device cpu.")
    try:
        from gsplat import rasterization
        from gsplat.cuda import _backend  # compiles the kernels; there are none where there is nothing to do it with
    except ImportError as error:
        raise UserError(f"--device cuda needs gsplat ({error}): pip install .[cuda], or take --device cpu.") from error
    except (OSError, RuntimeError) as error:  # what torch raises where a compiler fails
        reason = (str(error).strip() or type(error).__name__).split("\n")[0]
        raise UserError(f"gsplat's kernels cannot be compiled ({reason}): take --device cpu.") from error
    if _backend._C is None:
        raise UserError(
            "gsplat compiles its kernels on first use and finds no nvcc: install the CUDA toolkit "
            f"{torch.version.cuda}, or take --device cpu."
        )
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
    """`images` [B, C, H, W] (channels last in memory) and `alphas` [B, 1, H, W] on the GPU."""
    rasterization = _rasterization()
    cuda = xyz.device if xyz.is_cuda else torch.device("cuda")
    xyz, cov, colors, opacities = (a.to(cuda) for a in (xyz, cov, colors, opacities))
    return draw(rasterization, xyz, cov, colors, opacities, cams, bg, focal, size, blur)


def draw(
    rasterization: Callable[..., tuple[Tensor, Tensor, dict]],
    xyz: Tensor,
    cov: Tensor,
    colors: Tensor,
    opacities: Tensor,
    cams: Tensor,
    bg: Tensor,
    focal: tuple[float, float],
    size: tuple[int, int],
    blur: float,
) -> dict[str, Tensor]:
    """What `render` says, by a function that takes what `gsplat.rasterization` takes, on the device of `xyz`.

    `cams` and `bg` are best on the CPU: what is made of them is uploaded without waiting for the GPU.
    """
    H, W = size
    B = len(cams)
    # gsplat wants column vectors in the frame x right, y down, and pixel centres at halves.
    view = torch.eye(4, device=cams.device).repeat(B, 1, 1, 1)  # [B, 1, 4, 4]: one camera for each scene
    view[:, 0, :3, :3] = cams[:, :, :3].mT
    view[:, 0, :3, 3] = cams[:, :, 3]
    view[:, 0, :2] *= -1
    K = torch.tensor([[focal[0] * W / 2, 0, W / 2], [0, focal[1] * H / 2, H / 2], [0, 0, 1]])
    image, alpha, _ = rasterization(
        xyz,
        None,
        None,
        opacities,
        colors,
        upload(view, xyz.device),
        upload(K.repeat(B, 1, 1, 1), xyz.device),
        W,
        H,
        near_plane=float(NEAR),
        eps2d=blur,
        packed=False,
        backgrounds=upload(bg.repeat(B, 1, 1), xyz.device) if bool(bg.any()) else None,
        covars=cov[..., [0, 1, 2, 1, 3, 4, 2, 4, 5]].unflatten(-1, (3, 3)),
    )
    return {"images": image[:, 0].permute(0, 3, 1, 2), "alphas": alpha[:, 0].permute(0, 3, 1, 2)}
