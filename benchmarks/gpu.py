"""The published network on CUDA: `python -m benchmarks.gpu [--frames N] [--json FILE]`.

On the deterministic weights of `tests.synthetic_checkpoint`, which cost what the released ones cost: frames per second
of `core.pipeline.Pipeline` from codes to pictures in the host's memory, plain and with all four improvements; half
precision against float32; gsplat against the CPU's rasterizer; milliseconds of each stage, alone and waited for.
Without CUDA it says so, writes nothing and ends with 2. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import _report as report
from benchmarks.network import best
from core.components import Components
from core.data.image import write_image
from core.data.records import IMAGE_SIZE, TrackedSource
from core.errors import UserError
from core.libs.flame_model import FLAMEModel
from core.libs.geometry import head_rotation
from core.models.GAGAvatar.adapter import PublishedAvatar
from core.models.GAGAvatar.models import CAMERA, GAGAvatar
from core.models.modules.style_unet_engine import StyleUNetEngine, exact_convolutions, fast_dtype
from core.models.rasterizer import render_gaussian
from core.models.request import DrawRequest
from core.options import Options
from core.pipeline import Pipeline
from core.runtime.device import on_host, upload
from tests.synthetic_checkpoint import LAYOUT, write
from tests.synthetic_flame import random_flame, write_flame
from tests.synthetic_head import a_clip, a_frame

RESULTS = Path(__file__).parent / "results"
FPS, ENHANCED_SHARE, PSNR, RASTER = 200.0, 0.95, 50.0, 2e-3  # required
SCENES = ("raster_64x64", "raster_96x128", "raster_edge_50x70")
_FIRST = 5  # frames that do not count: memory, libraries and the graph are made in them


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark, print its tables and write its results; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.split("\n")[0])
    parser.add_argument("--frames", type=int, default=300, metavar="N", help="of each run (default: 300)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="default: benchmarks/results/gpu-<device>.json")
    args = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        print("no CUDA: torch sees no NVIDIA GPU here, nothing was measured", file=sys.stderr)
        return 2
    device = torch.device("cuda")
    try:
        measured = measure(device, args.frames)
    except UserError as error:  # gsplat is missing or cannot be compiled
        print(f"nothing was measured: {error}", file=sys.stderr)
        return 2
    result = machine() | measured
    name = re.sub(r"[^a-z0-9]+", "-", torch.cuda.get_device_name().lower()).strip("-")
    path = args.json or RESULTS / f"gpu-{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"\n{path}")
    return 0


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    properties = torch.cuda.get_device_properties(0)
    return {
        "device": properties.name,
        "device_memory_gib": round(properties.total_memory / 2**30, 1),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "gsplat": version("gsplat"),
        "python": sys.version.split()[0],
    }


def measure(device: torch.device, frames: int, rounds: int = 20, first: int = _FIRST) -> dict[str, Any]:
    """All figures, printed as they come. The device may be the CPU, to try the program: its figures say nothing."""
    with tempfile.TemporaryDirectory() as folder:
        experiment = Experiment.make(Path(folder), device, frames + first)
        agreement = {name: golden_scene(name, device) for name in SCENES}
        agreement["end_to_end"] = end_to_end(experiment, Path(folder))
        rates = {name: rate(experiment, name == "enhanced", first) for name in ("plain", "enhanced")}
        again = {name: rate(experiment, name == "enhanced", first) for name in ("enhanced", "plain")}
        rates = {name: max(rates[name], again[name], key=lambda r: r["fps"]) for name in rates}
        stages, psnr = network_stages(experiment, rounds)
    rows = [[name, *(f"{value:.1f}" for value in values.values())] for name, values in rates.items()]
    print("\n" + report.table(["run", "fps", "fps with the tools over time", "memory, MiB"], rows))
    print("\n" + report.table(["stage, alone", "ms"], [[name, f"{ms:.3f}"] for name, ms in stages.items()]))
    print(
        "\n" + report.table(["gsplat against the CPU", "relative L2"], [[n, f"{e:.1e}"] for n, e in agreement.items()])
    )
    share = rates["enhanced"]["fps"] / rates["plain"]["fps"]
    rows = [
        report.requirement("frames per second, all four improvements", rates["enhanced"]["fps"], FPS, True, 1),
        report.requirement("enhanced, of the plain rate", share, ENHANCED_SHARE, True),
        report.requirement("half precision, dB of PSNR from float32", psnr, PSNR, True, 1),
        report.requirement("gsplat, relative L2 at worst", max(agreement.values()), RASTER, False, 5),
    ]
    print("\n" + report.requirements(rows))
    return {
        "frames": frames,
        "rates": rates,
        "enhanced_share": share,
        "half_precision": str(experiment.dtype)[6:],
        "half_precision_psnr_db": psnr,
        "raster_relative_l2": agreement,
        "stages_ms": stages,
        "requirements": [dict(zip(("what", "value", "limit", "verdict"), row, strict=True)) for row in rows],
    }


@dataclass(frozen=True)
class Experiment:
    """What every run shares: the network and its head, a made-up photo and driver, both tracked, and their files."""

    model: PublishedAvatar
    head: FLAMEModel
    source: TrackedSource
    options: Options

    @classmethod
    def make(cls, folder: Path, device: torch.device, frames: int) -> Experiment:
        """`frames` of a head that nods, speaks and looks around; a photo of blocks and noise."""
        checkpoint, flame = write(folder)
        head = FLAMEModel(path=flame, no_lmks=True)
        random = np.random.default_rng(0)
        image = (255 * blocks_and_noise(random)).astype(np.uint8).transpose(1, 2, 0)
        frame = replace(a_frame(random), head="flame")
        whole = np.ones((IMAGE_SIZE, IMAGE_SIZE), np.float32)
        source = TrackedSource(frame, np.ascontiguousarray(image), whole, 0, whole > 0)
        a, b = a_frame(random), a_frame(random)
        moved = []
        for swing in np.sin(np.arange(frames, dtype=np.float32) / 8):
            share = (1 + swing) / 2
            codes = {n: (1 - share) * getattr(a, n) + share * getattr(b, n) for n in ("expcode", "posecode", "eyecode")}
            turn = head_rotation(np.radians([4 * swing, 8 * swing, 0]))
            transform = np.concatenate([turn, a.transform_matrix[:, 3:]], 1).astype(np.float32)
            moved.append(replace(a, **codes, transform_matrix=transform))
        replace(a_clip(moved), head="flame").save(folder / "driver")
        write_image(folder / "photo.png", source.image)
        options = Options(
            image_path=folder / "photo.png",
            driver_path=folder / "driver",
            output=folder / "out.mp4",
            resume_path=checkpoint,
            model="gagavatar",
            quiet=True,
        )
        return cls(PublishedAvatar(GAGAvatar.from_checkpoint(checkpoint, device), head), head, source, options)

    @property
    def device(self) -> torch.device:
        return self.model.network.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the upsampler's convolutions, if they are faithful."""
        return fast_dtype(self.device)

    def pipeline(self, enhanced: bool) -> Pipeline:
        """A run of the program on these components."""

        def untracked(*_: object) -> Any:
            raise AssertionError("the driver is a tracked folder")

        components = Components(
            track_source=lambda path, force: self.source,
            track_driver=untracked,
            crop=untracked,
            head=self.head,
            model=self.model,
        )
        return Pipeline(replace(self.options, enhanced=enhanced), components)


def rate(experiment: Experiment, enhanced: bool, first: int) -> dict[str, float]:
    """Frames per second from the codes of the motion to pictures on the host, and the same with what makes the motion.

    The pipeline encodes on another thread, which does not run here.
    """
    pipeline = experiment.pipeline(enhanced)
    start = time.perf_counter()
    count = len(pipeline.motion)
    over_time = (time.perf_counter() - start) / count
    _ = pipeline.avatar
    if experiment.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    start = 0.0
    for frame in pipeline.frames():
        if frame.index == first - 1:
            start = time.perf_counter()
    per_frame = (time.perf_counter() - start) / (count - first)
    memory = torch.cuda.max_memory_allocated() / 2**20 if experiment.device.type == "cuda" else 0.0
    return {"fps": 1 / per_frame, "fps_with_motion": 1 / (per_frame + over_time), "memory_mib": memory}


@torch.inference_mode()
def network_stages(experiment: Experiment, rounds: int) -> tuple[dict[str, float], float]:
    """Milliseconds of each stage, each waited for, and the PSNR of half precision."""
    pipeline, model, network = experiment.pipeline(True), experiment.model, experiment.model.network
    frame = pipeline.motion[0]
    avatar = pipeline.avatar
    vertices, transform = experiment.head.evaluate(frame), frame.transform_matrix
    picture = model.render(avatar, DrawRequest(vertices, transform, detail=1.0))
    here = picture.cpu()
    there, camera = upload(torch.from_numpy(vertices), experiment.device), torch.from_numpy(transform)
    raster = network.rasterize(avatar.network, there, camera)
    engine = StyleUNetEngine(network.upsampler, experiment.dtype)

    @exact_convolutions()
    def plain() -> Tensor:
        return network.upsampler(raster.contiguous())

    runs = {
        "FLAME, on the host": lambda: experiment.head.evaluate(frame),
        "vertices to the device": lambda: upload(torch.from_numpy(vertices), experiment.device),
        "raster, 32 channels": lambda: network.rasterize(avatar.network, there, camera),
        "raster, 40 channels": lambda: network.rasterize(avatar.network, there, camera, avatar.channels),
        "upsampler, plain float32": plain,
        "upsampler, launched": lambda: engine(raster),
        "upsampler, as frames use it": lambda: network.upsample(raster),
        "image tools, on the host": lambda: pipeline.improvements.finish(
            here.clone(), vertices, transform, experiment.head
        ),
        "a picture to the host": lambda: list(on_host([picture])),
    }
    seconds = best(list(runs.values()), rounds, experiment.device)
    error = (engine(raster) - plain()).square().mean().item()
    psnr = -10 * float(np.log10(max(error, 1e-14)))
    return {name: 1000 * s for name, s in zip(runs, seconds, strict=True)}, psnr


def golden_scene(name: str, device: torch.device) -> float:
    """How far the device's engine is from the CPU's in a scene of the golden numbers, relative L2."""
    with np.load(LAYOUT.parent / f"{name}.npz") as z:
        scene = {"xyz": z["means"], "colors": z["features"], "scales": z["scales"], "rotations": z["quats"]}
        scene |= {"opacities": z["opacities"].reshape(-1, 1)}
        transform, size = torch.from_numpy(z["transform"]), z["size"]
    tensors = {key: torch.from_numpy(value) for key, value in scene.items()}
    return _apart(tensors, transform, CAMERA | {"size": size}, device)


def end_to_end(experiment: Experiment, folder: Path) -> float:
    """The same for the whole chain's 180,255 Gaussians, under the camera of the golden numbers."""
    with np.load(LAYOUT.parent / "end_to_end.npz") as z:
        names = ("shapecode", "expcode", "posecode", "eyecode", "source_transform", "driver_transform")
        codes = {name: torch.from_numpy(z[name]) for name in names}
    head = FLAMEModel(path=write_flame(folder / "golden_flame.pt", random_flame()), no_lmks=True)
    with torch.no_grad():
        vertices = head(*(codes[name] for name in names[:4]))[0]
    picture = torch.from_numpy(blocks_and_noise(np.random.RandomState(1071)))
    avatar = experiment.model.network.encode(picture, codes["source_transform"])
    xyz = torch.cat([vertices, avatar.gaussians["xyz"].cpu()[len(vertices) :]])
    scene = {"colors": avatar.gaussians["colors"], "opacities": avatar.gaussians["opacities"]}
    scene |= {"covariances": avatar.covariances, "xyz": xyz}
    return _apart(scene, codes["driver_transform"], CAMERA, experiment.device)


def blocks_and_noise(random: np.random.Generator | np.random.RandomState) -> np.ndarray:  # (3, 512, 512) in 0..1
    """The photo of the golden numbers' whole chain, where `random` is theirs."""
    draw = random.random_sample if isinstance(random, np.random.RandomState) else random.random
    coarse, fine = draw((3, 16, 16)), draw((3, IMAGE_SIZE, IMAGE_SIZE))
    side = IMAGE_SIZE // 16
    return (0.6 * coarse.repeat(side, -2).repeat(side, -1) + 0.4 * fine).astype(np.float32)


def _apart(scene: dict[str, Tensor], transform: Tensor, camera: dict[str, Any], device: torch.device) -> float:
    here = {name: value.cpu().float() for name, value in scene.items()}
    slow = render_gaussian(here, transform, camera, engine="numba")["images"]
    fast = render_gaussian({n: v.to(device) for n, v in here.items()}, transform, camera)["images"].cpu()
    return float((fast - slow).norm() / slow.norm())


if __name__ == "__main__":
    sys.exit(main())
