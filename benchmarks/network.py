"""The published network on this machine: `python -m benchmarks.network [--checkpoint FILE]`.

Without a checkpoint it takes the deterministic weights of `tests.synthetic_checkpoint`, which cost the same. The
upsampler is timed against a plain run of the specification line by line in float32, in turns in the same process, and
each step of the faster one on its own; PSNR is against the plain run. Best of several; run it on an idle machine.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numba
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks import _report as report
from core.errors import command
from core.models.GAGAvatar.models import N_VERTICES, GAGAvatar, NetworkAvatar
from core.models.modules.style_unet_engine import PrecisionSettings, StyleUNetEngine, fast_dtype
from core.models.rasterizer import warm_up

GFLOP = 136.9  # of the upsampler for one frame, section 13 of the specification
RATIO, RASTER = 2.0, 0.4  # required: times as fast as the plain run; seconds


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark and print its tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.network", description=__doc__.split("\n")[0])
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="default: deterministic weights")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="runs of each (default: 5)")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        network = GAGAvatar.from_checkpoint(args.checkpoint or _deterministic(Path(folder)), args.device)
        capability = torch.backends.cpu.get_cpu_capability()
        print(f"{args.device}; {os.cpu_count()} cores, {capability}; fastest type {fast_dtype(network.device)}")
        print(f"threads: torch {torch.get_num_threads()}, numba {numba.get_num_threads()}")
        avatar, vertices, transform = _scene(network)
        raster = _raster(network, avatar, vertices, transform, args.rounds)
        _upsampler(network, raster, args.rounds)
        frame = best([lambda: network.render(avatar, vertices, transform)], args.rounds, network.device)[0]
        print(f"\na frame, vertices to picture: {frame:.3f} s")


def best(runs: Sequence[Callable[[], object]], rounds: int, device: torch.device) -> list[float]:  # seconds
    """The best time of each, after one run that does not count; they take turns."""
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(rounds + 1):
        for k, run in enumerate(runs):
            start = time.perf_counter()
            run()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            times[k].append(time.perf_counter() - start)
    return [min(t[1:]) for t in times]


def _deterministic(folder: Path) -> Path:
    from tests.synthetic_checkpoint import write_checkpoint

    return write_checkpoint(folder / "GAGAvatar.pt")


def _scene(network: GAGAvatar) -> tuple[NetworkAvatar, Tensor, Tensor]:
    """A picture of blocks and noise, encoded; vertices on an ellipsoid of a head's size; a camera a little aside."""
    random = np.random.default_rng(0)
    picture = 0.6 * random.random((3, 16, 16)).repeat(32, 1).repeat(32, 2) + 0.4 * random.random((3, 512, 512))
    picture = torch.from_numpy(picture.astype(np.float32))
    vertices = random.normal(size=(N_VERTICES, 3))
    vertices *= np.array([0.4, 0.6, 0.5]) / np.linalg.norm(vertices, axis=1, keepdims=True)
    facing = torch.tensor([[-1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, 9.5]])
    aside = torch.tensor([[-0.96, 0, -0.28, 0], [0, 1, 0, 0], [0.28, 0, -0.96, 9.5]])
    warm_up(("alpha",), (32,))
    start = time.perf_counter()
    avatar = network.encode(picture, facing)
    if network.device.type == "cuda":
        torch.cuda.synchronize()
    print(f"encoding a source, once: {time.perf_counter() - start:.2f} s")
    device = network.device
    return avatar, torch.from_numpy(vertices.astype(np.float32)).to(device), aside.to(device)


def _raster(network: GAGAvatar, avatar: NetworkAvatar, vertices: Tensor, transform: Tensor, rounds: int) -> Tensor:
    n, channels = avatar.gaussians["colors"].shape
    seconds = best([lambda: network.rasterize(avatar, vertices, transform)], rounds, network.device)[0]
    print(f"\nrasterizer, {n:,} x {channels}: {seconds:.3f} s a frame\n")
    print(report.requirements([report.requirement("rasterizer, seconds a frame", seconds, RASTER, False)]))
    return network.rasterize(avatar, vertices, transform)


def _upsampler(network: GAGAvatar, raster: Tensor, rounds: int) -> None:
    """Plain, then with each step of the engine added; GFLOP/s against one large convolution of the same type."""
    net, device, fast = network.upsampler, network.device, fast_dtype(network.device)
    plain_input = raster.contiguous()
    whole = net(plain_input)
    runs: dict[str, tuple[torch.dtype, Callable[[], Tensor]]] = {
        "plain, float32": (torch.float32, lambda: net(plain_input)),
        "plain, channels last": (torch.float32, lambda: net(raster)),
    }
    for dtype in dict.fromkeys((torch.float32, fast)):
        engine = StyleUNetEngine(net, dtype)
        runs[f"engine, {str(dtype)[6:]}"] = (dtype, lambda engine=engine: engine(raster))
    types = list(dict.fromkeys((torch.float32, fast)))
    large = [_large_convolution(dtype, device) for dtype in types]
    timed = best([*(run for _, run in runs.values()), *(run for _, run in large)], rounds, device)
    seconds = timed[: len(runs)]
    reach = {dtype: work / s for dtype, (work, _), s in zip(types, large, timed[len(runs) :], strict=True)}
    rows = []
    for (name, (dtype, run)), s in zip(runs.items(), seconds, strict=True):
        error = (run() - whole).square().mean().item()
        psnr = "-" if name.startswith("plain, float32") else f"{-10 * np.log10(max(error, 1e-14)):.1f}"
        reached = GFLOP / s
        share = reached / reach[dtype]
        rows.append([name, f"{s:.3f}", f"{seconds[0] / s:.2f}", psnr, f"{reached:.0f}", f"{share:.2f}"])
    for dtype, value in reach.items():
        print(f"a large convolution in {str(dtype)[6:]} reaches {value:.0f} GFLOP/s")
    header = ["upsampler", "seconds", "times plain", "PSNR, dB", "GFLOP/s", "of a large convolution"]
    print("\n" + report.table(header, rows) + "\n")
    checks = [report.requirement("upsampler, times as fast as plain float32", seconds[0] / seconds[-1], RATIO, True)]
    if fast != torch.float32:
        checks.append(
            report.requirement(
                f"PSNR of {str(fast)[6:]}, dB", float(rows[-1][3]), PrecisionSettings().faithful, True, 1
            )
        )
    print(report.requirements(checks))


def _large_convolution(
    dtype: torch.dtype, device: torch.device, dim: int = 256, side: int = 64, repeats: int = 10
) -> tuple[float, Callable[[], object]]:
    """GFLOP and a run of a 3 x 3 convolution of 256 to 256 channels on 64 x 64 pixels, ten times."""
    x = torch.ones(1, dim, side, side, dtype=dtype, device=device).contiguous(memory_format=torch.channels_last)
    weight = torch.ones(dim, dim, 3, 3, dtype=dtype, device=device).contiguous(memory_format=torch.channels_last)

    def run() -> None:
        for _ in range(repeats):
            functional.conv2d(x, weight, padding=1)

    return 2e-9 * 9 * dim * dim * side * side * repeats, run


if __name__ == "__main__":
    sys.exit(command(main))
