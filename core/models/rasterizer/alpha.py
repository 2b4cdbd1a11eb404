"""Alpha compositing on the CPU: 3D Gaussian splatting as the published network was trained with.

Tiles of 16x16 pixels, front to back, alpha at most 0.99 and at least 1/255, a pixel ends before its transmittance falls
below 1e-4. `reference.splat_alpha` says it step by step in plain torch.
"""

from __future__ import annotations

import numba
import numpy as np

from core.models.rasterizer.alpha_kernels import TILE, alpha_composite, alpha_project
from core.models.rasterizer.surface import RasterWorkspace, deal, pack_camera
from core.models.rasterizer.surface_kernels import LANES


def splat_alpha(
    xyz: np.ndarray,  # (N, 3)
    cov: np.ndarray,  # (N, 6)
    colors: np.ndarray,  # (N, C)
    opacities: np.ndarray,  # (N,)
    size: tuple[int, int],
    focal: tuple[float, float],
    workspace: RasterWorkspace,
    *,
    transform: np.ndarray,  # (3, 4)
    bg_color: np.ndarray,  # (C,)
    blur: float,
) -> tuple[np.ndarray, np.ndarray]:  # (H, W, C), (H, W)
    """Image over the background and alpha = 1 - T; views of the workspace. Float32 in, shapes checked by the caller."""
    H, W = size
    N, C = colors.shape
    xyz, cov, colors, opacities = (np.ascontiguousarray(array, np.float32) for array in (xyz, cov, colors, opacities))
    fparams = np.array([1 / focal[0], 1 / focal[1], blur], np.float32)
    geo = workspace.get("alpha_geo", (N, 9))
    tiles = workspace.get("alpha_tiles", (N, 4), np.int32)
    alpha_project(xyz, cov, opacities, pack_camera(transform), fparams, np.array([H, W]), geo, tiles)

    # Depths are positive: their bits sort as they do. The index below breaks ties as a stable sort would.
    drawn = np.flatnonzero(tiles[:, 0] < tiles[:, 1])
    keys = (geo[drawn, 8].view(np.uint32).astype(np.uint64) << np.uint64(32)) | drawn.astype(np.uint64)
    keys.sort()
    order = (keys & np.uint64(0xFFFFFFFF)).astype(np.int32)

    P = -(-C // LANES) * LANES
    if P != C:
        padded = workspace.get("alpha_col", (N, P))
        padded[:, :C] = colors
        padded[:, C:] = 0
        colors = padded
    threads = numba.config.NUMBA_NUM_THREADS
    image = workspace.get("image", (H, W, C))
    alpha = workspace.get("alpha", (H, W))
    alpha_composite(
        geo[order],
        tiles[order],
        order,
        colors.reshape(-1),
        np.ascontiguousarray(bg_color, np.float32),
        workspace.get("alpha_lists", (threads, len(order)), np.int32),
        workspace.get("alpha_acc", (threads, TILE * TILE * P)),
        workspace.get("alpha_state", (threads, 2 * TILE * TILE + TILE)),
        deal(-(-H // TILE)),
        image,
        alpha,
    )
    return image, alpha
