"""The slow, obvious twin of the kernels: both rules in plain torch and float64, each Gaussian over the whole picture.

It exists to be read and to be compared with. Tests hold the numba engine to it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from core.models.rasterizer.alpha_kernels import TILE
from core.models.rasterizer.surface import SurfaceSettings
from core.models.rasterizer.surface_kernels import FAR


def project(
    xyz: Tensor,  # [N, 3]
    cov: Tensor,  # [N, 6]
    transform: Tensor,  # [3, 4]
    focal: tuple[float, float],
    size: tuple[int, int],
    blur: float,
) -> tuple[Tensor, Tensor, Tensor]:  # [N, 2], [N], [N, 2, 2]
    """Pixel centres (u, v), depths and 2D covariances with the low-pass added; not culled."""
    H, W = size
    flip = torch.tensor([-1.0, -1.0, 1.0], dtype=xyz.dtype)
    R, t = transform[:, :3], transform[:, 3]
    q = (xyz @ R + t) * flip
    Rc = (R * flip).T  # head -> q for column vectors
    x, y, z = q.unbind(-1)
    F = torch.tensor([focal[0] * W / 2, focal[1] * H / 2], dtype=xyz.dtype)
    middle = torch.tensor([(W - 1) / 2, (H - 1) / 2], dtype=xyz.dtype)
    uv = middle + F * q[:, :2] / (z + 1e-7)[:, None]

    a = (x / z).clamp(-1.3 / focal[0], 1.3 / focal[0])
    b = (y / z).clamp(-1.3 / focal[1], 1.3 / focal[1])
    J = torch.zeros(len(xyz), 2, 3, dtype=xyz.dtype)
    J[:, 0, 0] = F[0] / z
    J[:, 0, 2] = -F[0] * a / z
    J[:, 1, 1] = F[1] / z
    J[:, 1, 2] = -F[1] * b / z
    S = cov[:, [0, 1, 2, 1, 3, 4, 2, 4, 5]].reshape(-1, 3, 3)
    M = J @ Rc
    K = M @ S @ M.mT + blur * torch.eye(2, dtype=xyz.dtype)
    return uv, z, K


def _power(uv: Tensor, K: Tensor, xs: Tensor, ys: Tensor) -> Tensor:  # [2], [2, 2], [1, W], [H, 1] -> [H, W]
    (A, B), (_, C) = torch.linalg.inv(K).tolist()
    dx, dy = uv[0] - xs, uv[1] - ys
    return -0.5 * (A * dx**2 + C * dy**2) - B * dx * dy


def splat_surface(
    xyz: Tensor,  # [N, 3]
    cov: Tensor,  # [N, 6]
    colors: Tensor,  # [N, C]
    opacities: Tensor,  # [N]
    transform: Tensor,  # [3, 4]
    focal: tuple[float, float],
    size: tuple[int, int],
    bg: Tensor,  # [C]
    settings: SurfaceSettings,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # [H, W, C], [H, W], [H, W], [H, W]
    """The rule stated at the top of `surface.py`: image, alpha, weight sum and depth of the front."""
    xyz, cov, colors, opacities, transform, bg = (a.double() for a in (xyz, cov, colors, opacities, transform, bg))
    H, W = size
    s = settings
    uv, z, K = project(xyz, cov, transform, focal, size, s.blur)
    xs = torch.arange(W, dtype=torch.float64)[None, :]
    ys = torch.arange(H, dtype=torch.float64)[:, None]
    drawn = [i for i in range(len(xyz)) if z[i] > 0.2 and opacities[i] > 0 and torch.linalg.det(K[i]) > 0]

    zbuf = torch.full((H, W), float(FAR), dtype=torch.float64)
    for i in drawn:
        if opacities[i] >= s.front_opacity:
            nearest = (xs == torch.floor(uv[i, 0] + 0.5)) & (ys == torch.floor(uv[i, 1] + 0.5))
            core = (_power(uv[i], K[i], xs, ys) >= -0.5 * s.core**2) | nearest
            zbuf = torch.where(core, torch.minimum(zbuf, z[i]), zbuf)

    weights = torch.zeros(H, W, dtype=torch.float64)
    summed = torch.zeros(H, W, colors.shape[1], dtype=torch.float64)
    end = math.exp(-0.5 * s.cutoff**2)
    for i in drawn:
        footprint = (torch.exp(_power(uv[i], K[i], xs, ys)) - end).clamp(min=0) / (1 - end)
        t = ((s.z_window - (z[i] - zbuf)) / (s.z_window / 2)).clamp(0, 1)
        w = opacities[i] * footprint * t**2 * (3 - 2 * t)
        weights += w
        summed += w[..., None] * colors[i]

    alpha = (weights / s.full_weight).clamp(max=1)
    mean = summed / weights.clamp(min=1e-30)[..., None]
    image = alpha[..., None] * mean + (1 - alpha)[..., None] * bg
    return image, alpha, weights, zbuf


def splat_alpha(
    xyz: Tensor,  # [N, 3]
    cov: Tensor,  # [N, 6]
    colors: Tensor,  # [N, C]
    opacities: Tensor,  # [N]
    transform: Tensor,  # [3, 4]
    focal: tuple[float, float],
    size: tuple[int, int],
    bg: Tensor,  # [C]
    blur: float,
) -> tuple[Tensor, Tensor]:  # [H, W, C], [H, W]
    """3D Gaussian splatting, step by step as in section 9 of the specification of the published network."""
    xyz, cov, colors, opacities, transform, bg = (a.double() for a in (xyz, cov, colors, opacities, transform, bg))
    H, W = size
    uv, z, K = project(xyz, cov, transform, focal, size, blur)
    det = torch.linalg.det(K)
    m = (K[:, 0, 0] + K[:, 1, 1]) / 2
    radius = torch.ceil(3 * torch.sqrt(m + torch.sqrt((m**2 - det).clamp(min=0.1))))
    xs = torch.arange(W, dtype=torch.float64)[None, :]
    ys = torch.arange(H, dtype=torch.float64)[:, None]

    T = torch.ones(H, W, dtype=torch.float64)
    stopped = torch.zeros(H, W, dtype=torch.bool)
    image = torch.zeros(H, W, colors.shape[1], dtype=torch.float64)
    # Depths are compared in float32, ties by index: the order the published renderer sorts by.
    for i in torch.argsort(z.float(), stable=True).tolist():
        if z[i] <= 0.2 or det[i] == 0:
            continue
        u, v, r = uv[i, 0], uv[i, 1], radius[i]
        columns = (torch.trunc((u - r) / TILE) * TILE <= xs) & (xs < torch.trunc((u + r + TILE - 1) / TILE) * TILE)
        rows = (torch.trunc((v - r) / TILE) * TILE <= ys) & (ys < torch.trunc((v + r + TILE - 1) / TILE) * TILE)
        power = _power(uv[i], K[i], xs, ys)
        alpha = (opacities[i] * torch.exp(power)).clamp(max=0.99)
        acts = rows & columns & (power <= 0) & (alpha >= 1 / 255) & ~stopped
        T_next = T * (1 - alpha)
        stopped |= acts & (T_next < 1e-4)
        acts &= ~stopped
        image += torch.where(acts, alpha * T, 0.0)[..., None] * colors[i]
        T = torch.where(acts, T_next, T)
    return image + T[..., None] * bg, 1 - T
