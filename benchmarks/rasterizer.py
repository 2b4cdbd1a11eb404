"""Times of the CPU rasterizer at 512x512: `python -m benchmarks.rasterizer`.

Prints the best of several runs for one thread and for all, their ratio, and each as a share of a frame of 25 fps. The
surface rule draws a head-like sheet with one Gaussian per pixel, the alpha rule as many Gaussians and channels as the
published network has.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numba
import numpy as np
import torch

from core.models.rasterizer import RasterWorkspace, covariances, render_gaussian, splat_surface, warm_up

SIZE = (512, 512)
PIXEL = 9.5 / 3072  # head units of a pixel at the usual distance
FRAME = 1 / 25


def best(run: Callable[[], object], repeats: int) -> float:  # seconds
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def surface_scene(channels: int, side: int = 447) -> tuple[np.ndarray, ...]:
    """A bulging sheet in camera space, one Gaussian of sigma 0.55 px per pixel: about 200,000."""
    s = np.linspace(-1, 1, side)
    gx, gy = np.meshgrid(s, s)
    z = 9.5 - 0.5 * np.sqrt(1 - 0.5 * (gx**2 + gy**2))
    reach = (side - 1) / 2 * PIXEL / 9.5
    xyz = np.stack([-gx * reach * z, -gy * reach * z, z], -1).reshape(-1, 3).astype(np.float32)
    sigma = 0.55 * PIXEL
    cov = np.tile(np.array([sigma**2, 0, 0, sigma**2, 0, 0.1 * sigma**2], np.float32), (len(xyz), 1))
    colors = np.random.default_rng(0).random((len(xyz), channels), np.float32)
    return xyz, cov, colors, np.full(len(xyz), 0.95, np.float32)


def alpha_scene(channels: int = 32, side: int = 296, scale: float = 0.006) -> dict[str, torch.Tensor]:
    """5,023 scattered Gaussians and two noisy planes of 296 x 296: 180,255, opaque nearly everywhere."""
    g = torch.Generator().manual_seed(0)
    s = torch.linspace(-0.85, 0.85, side)
    y, x = torch.meshgrid(s, s, indexing="ij")
    plane = torch.stack([x, y, torch.zeros_like(x)], -1).reshape(-1, 3).repeat(2, 1)
    plane[:, 2] = 0.2 * torch.randn(len(plane), generator=g)
    xyz = torch.cat([0.3 * torch.randn(5023, 3, generator=g), plane])
    n = len(xyz)
    scales = scale * torch.exp(0.5 * torch.randn(n, 3, generator=g))
    rotations = torch.nn.functional.normalize(torch.randn(n, 4, generator=g), dim=-1)
    return {
        "xyz": xyz,
        "colors": torch.randn(n, channels, generator=g),
        "opacities": torch.sigmoid(torch.randn(n, 1, generator=g)),
        "covariances": covariances(scales, rotations),
    }


def main() -> None:
    print(f"compile or load from the cache: {warm_up(('surface', 'alpha')):.1f} s")
    work = RasterWorkspace()
    runs: dict[str, tuple[Callable[[], object], int]] = {}
    for channels in (3, 4, 6, 8):
        scene = surface_scene(channels)
        runs[f"surface, {len(scene[0]):,} x {channels}"] = (lambda s=scene: splat_surface(*s, SIZE, 12.0, work), 40)
    gs = alpha_scene()
    camera = torch.tensor([[-1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, 9.5]])
    cam_params = {"focal_x": 12.0, "focal_y": 12.0, "size": SIZE}
    runs[f"alpha, {len(gs['xyz']):,} x 32"] = (lambda: render_gaussian(gs, camera, cam_params, workspace=work), 6)

    threads = numba.get_num_threads()
    print(f"{'best of several, 512x512':<28}{'1 thread':>12}{f'{threads} threads':>12}{'ratio':>8}{'of a frame':>12}")
    for name, (run, repeats) in runs.items():
        seconds = []
        for count in (1, threads):
            numba.set_num_threads(count)
            seconds.append(best(run, repeats))
        one, all_ = seconds
        print(f"{name:<28}{one * 1e3:>9.1f} ms{all_ * 1e3:>9.1f} ms{one / all_:>8.2f}{all_ / FRAME:>12.2f}")


if __name__ == "__main__":
    main()
