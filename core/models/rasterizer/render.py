"""`render_gaussian`: one function, two rules, three engines. Checks what comes in; the engines trust it.

Conventions: `cam_matrix` is [R | t] in PyTorch3D's row-vector form (p_cam = p R + t; +x left, +y up, +z away);
focal lengths are in normalised units (1 / tan of half the field of view); quaternions are w x y z and are used as
given, never normalised (the published weights rely on it); pixel centres are integers.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.errors import UserError
from core.models.rasterizer import alpha, reference, surface
from core.models.rasterizer.alpha_kernels import alpha_composite
from core.models.rasterizer.projection import LOW_PASS
from core.models.rasterizer.surface import RasterWorkspace, SurfaceSettings
from core.models.rasterizer.surface_kernels import splat_bands

RULES = ("alpha", "surface")
ENGINES = ("auto", "numba", "torch", "gsplat")


def covariances(scales: Tensor, rotations: Tensor) -> Tensor:  # [..., 3], [..., 4] -> [..., 6]
    """S = Q diag(s^2) Q^T as xx xy xz yy yz zz, with the quaternion as it is, of unit length or not."""
    w, x, y, z = rotations.unbind(-1)
    Q = torch.stack(
        [
            *(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
            *(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
            *(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
        ],
        dim=-1,
    ).unflatten(-1, (3, 3))
    M = Q * scales[..., None, :]
    S = M @ M.mT
    return torch.stack([S[..., 0, 0], S[..., 0, 1], S[..., 0, 2], S[..., 1, 1], S[..., 1, 2], S[..., 2, 2]], dim=-1)


def _batched(value: Any, name: str, tail: tuple[int | None, ...]) -> Tensor:  # -> [B, *tail]
    """A float32 tensor with a batch dimension, its other dimensions checked (None: any length)."""
    tensor = torch.as_tensor(value).detach().to(torch.float32)
    came = tuple(tensor.shape)
    if tensor.ndim == len(tail):
        tensor = tensor[None]
    fits = tensor.ndim == len(tail) + 1 and all(
        want is None or want == got for want, got in zip(tail, tensor.shape[1:], strict=True)
    )
    want = ", ".join("N" if n is None else str(n) for n in tail)
    assert fits, f"{name} must be ({want}) or (B, {want}), got {came}"
    return tensor


def _pick(engine: str, rule: str, on_cuda: bool) -> str:
    assert rule in RULES, f"rule must be one of {RULES}, got {rule!r}"
    assert engine in ENGINES, f"engine must be one of {ENGINES}, got {engine!r}"
    if engine == "auto":
        return "gsplat" if on_cuda and rule == "alpha" else "numba"
    if engine == "gsplat" and rule != "alpha":
        raise UserError(f"The gsplat engine knows the alpha rule only, not {rule!r}: use the engine numba or torch.")
    return engine


def render_gaussian(
    gs_params: dict[str, Any],
    cam_matrix: Tensor | np.ndarray,  # [B, 3, 4]
    cam_params: dict[str, Any],
    bg_color: Tensor | np.ndarray | None = None,  # [C]
    *,
    rule: str = "alpha",
    engine: str = "auto",
    settings: SurfaceSettings | None = None,
    workspace: RasterWorkspace | None = None,
    with_maps: bool = False,
    channels_last: bool = False,
) -> dict[str, Tensor]:
    """Pictures of Gaussians under one camera each.

    :param gs_params: `xyz` (B, N, 3), `colors` (B, N, C), `opacities` (B, N, 1) in 0..1, and either `covariances`
        (B, N, 6; xx xy xz yy yz zz in head space) or `scales` (B, N, 3) with `rotations` (B, N, 4). The batch dimension
        may be left out; a batch of one goes with any number of cameras. Torch (CPU or CUDA) or numpy.
    :param cam_matrix: head to camera (B, 3, 4)
    :param cam_params: `focal_x`, `focal_y` (12.0 in tracked data) and `size` [H, W]
    :param bg_color: (C,), or None for 0
    :param rule: `alpha` (3D Gaussian splatting) or `surface` (normalised surface splatting, see `surface.py`)
    :param engine: `numba` (CPU), `torch` (reference, slow), `gsplat` (CUDA, alpha rule only); `auto` takes gsplat for
        the alpha rule on CUDA tensors, else numba
    :param settings: of the surface rule
    :param workspace: buffers of the numba engine to reuse from call to call
    :param with_maps: surface rule: also `weights` (B, 1, H, W) and `depths` (B, 1, H, W; 1e30 where nothing is)
    :param channels_last: `images` with the channels of a pixel side by side in memory, as convolutions like them; the
        shape is the same
    :return: `images` (B, C, H, W) and `alphas` (B, 1, H, W), float32, on the device of `xyz`
    """
    xyz = _batched(gs_params["xyz"], "xyz", (None, 3))
    N = xyz.shape[1]
    colors = _batched(gs_params["colors"], "colors", (N, None))
    opacities = _batched(gs_params["opacities"], "opacities", (N, 1))
    if "covariances" in gs_params:
        cov = _batched(gs_params["covariances"], "covariances", (N, 6))
    else:
        cov = covariances(
            _batched(gs_params["scales"], "scales", (N, 3)), _batched(gs_params["rotations"], "rotations", (N, 4))
        )
    cams = _batched(cam_matrix, "cam_matrix", (3, 4))
    assert bool(torch.isfinite(cams).all()), f"cam_matrix must be finite, got {cams.tolist()}"
    focal = (float(cam_params["focal_x"]), float(cam_params["focal_y"]))
    H, W = (int(n) for n in cam_params["size"])
    assert min(H, W, *focal) > 0, f"size and focal must be positive, got {(H, W)} and {focal}"
    C = colors.shape[-1]
    device = xyz.device
    bg = torch.zeros(C) if bg_color is None else torch.as_tensor(bg_color).detach().to(torch.float32)
    assert bg.shape == (C,), f"bg_color must be ({C},), got {tuple(bg.shape)}"
    B = max(len(array) for array in (xyz, colors, opacities, cov, cams))
    for name, array in (("xyz", xyz), ("colors", colors), ("opacities", opacities), ("cam_matrix", cams)):
        assert len(array) in (1, B), f"{name} has batch {len(array)}, others have {B}"

    chosen = _pick(engine, rule, device.type == "cuda")
    if chosen == "gsplat":
        from core.models.rasterizer.gsplat_engine import render

        inputs = (a.expand(B, *a.shape[1:]) for a in (xyz, cov, colors, opacities[..., 0], cams))
        return render(*inputs, bg, focal, (H, W), LOW_PASS)

    settings = settings or SurfaceSettings()
    workspace = workspace or RasterWorkspace()
    maps: list[Tensor] = []
    for b in range(B):
        scene = [a[b if len(a) > 1 else 0].cpu() for a in (xyz, cov, colors, opacities[..., 0], cams)]
        if chosen == "torch" and rule == "surface":
            drawn = reference.splat_surface(*scene, focal, (H, W), bg.cpu(), settings)
        elif chosen == "torch":
            drawn = reference.splat_alpha(*scene, focal, (H, W), bg.cpu(), LOW_PASS)
        else:
            p, s, c, o, cam = (a.numpy() for a in scene)
            keywords = {"transform": cam, "bg_color": bg.cpu().numpy()}
            if rule == "surface":
                arrays = surface.splat_surface(
                    p, s, c, o, (H, W), focal, workspace, settings=settings, with_maps=True, **keywords
                )
            else:
                arrays = alpha.splat_alpha(p, s, c, o, (H, W), focal, workspace, blur=LOW_PASS, **keywords)
            drawn = tuple(torch.from_numpy(array) for array in arrays)
        # Copied, because the next call reuses the workspace.
        for k, array in enumerate(drawn):
            plane = array.reshape(H, W, -1).permute(2, 0, 1)
            if b == 0:
                layout = torch.channels_last if channels_last and k == 0 else torch.contiguous_format
                maps.append(torch.empty(B, *plane.shape, memory_format=layout))
            maps[k][b] = plane
    names = ("images", "alphas", "weights", "depths") if with_maps and rule == "surface" else ("images", "alphas")
    return {name: maps[k].to(device) for k, name in enumerate(names)}


def is_compiled(rule: str = "surface") -> bool:
    """Whether this process has the numba kernel of a rule ready (a cheap look; the cache on disk is not consulted)."""
    assert rule in RULES, f"rule must be one of {RULES}, got {rule!r}"
    return bool((splat_bands if rule == "surface" else alpha_composite).signatures)


def warm_up(rules: tuple[str, ...] = ("surface",), channels: tuple[int, ...] = (3,)) -> float:  # seconds
    """Compiles the numba kernels, or loads them from numba's cache on disk, by drawing a tiny picture with each.

    One compiled kernel serves every number of channels; `channels` only says which are drawn.
    """
    start = time.perf_counter()
    for rule in rules:
        for count in channels:
            gs_params = {
                "xyz": torch.zeros(1, 3),
                "colors": torch.ones(1, count),
                "opacities": torch.ones(1, 1),
                "covariances": torch.tensor([[1e-4, 0, 0, 1e-4, 0, 1e-4]]),
            }
            camera = torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 9.5]])
            cam_params = {"focal_x": 12.0, "focal_y": 12.0, "size": [16, 16]}
            render_gaussian(gs_params, camera, cam_params, rule=rule, engine="numba")
    return time.perf_counter() - start
