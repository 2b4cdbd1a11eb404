"""What a frame costs on this CPU, stage by stage, and how that grows: everything as a ratio to a baseline of this run.

    python -m benchmarks.cpu [--clip obama] [--frames 40] [--out build/cpu] [--only lifted flags ...]

The baseline is the built-in avatar, everything off, numba on all threads and torch on one, as the pipeline has it.
What is compared with it takes turns with it, frame by frame, so that other work on the machine hits both alike;
medians are printed. The network is timed with its real weights where they are, else with made-up ones, whose
Gaussians are no face. Writes cpu.json and cpu.png.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path

import numba
import numpy as np
import torch

from benchmarks import _report as report
from benchmarks._inputs import add_data, find_clips
from benchmarks._network import network_stages
from benchmarks.rasterizer import alpha_scene, surface_scene
from core.components import default_components
from core.data.records import TrackedSequence
from core.errors import command
from core.evaluation.plots import new_figure
from core.evaluation.truth import lossless_first_frame
from core.evaluation.variants import OFF, Variant, standard_variants
from core.models.rasterizer import RasterWorkspace, render_gaussian, splat_surface
from core.models.request import DrawRequest
from core.options import Options
from core.pipeline import Pipeline, to_image
from core.runtime.device import torch_threads

OUT = Path("build/cpu")
WARM_UP = 4  # rounds that are not counted
SIZES = (256, 512, 768, 1024)
GAUSSIANS = (50_000, 100_000, 200_000, 400_000)
LENGTHS = (1, 4, 16)  # times the clip
DISTANCE = 9.5  # head units, of the scenes
_FAR = 12  # times: bars of lengths further apart than this are not drawn


@dataclass(frozen=True)
class Row:
    """A line of the result: what was timed, its median in ms and its ratio to the baseline of its section."""

    section: str
    name: str
    ms: float
    ratio: float
    baseline: str

    @property
    def fps(self) -> float:
        return 1e3 / self.ms


def main(arguments: Sequence[str] | None = None) -> list[Row]:
    """Run the benchmark, print its tables, write its files."""
    args = _parser().parse_args(arguments)
    (clip,) = find_clips(args.clip and [args.clip], args.data, ["obama"])
    options = Options(lossless_first_frame(clip), clip, model="lifted", quiet=True, no_watermark=True)
    print(f"{os.cpu_count()} cores, torch on {torch.get_num_threads()} threads, numba on {numba.get_num_threads()}")
    rows: list[Row] = []
    sections: dict[str, Callable[[], list[Row]]] = {
        "lifted": lambda: lifted(options, args.frames),
        "flags": lambda: flags(options, args.frames),
        "network": lambda: network(options, args.frames, args.checkpoint),
        "sizes": lambda: sizes(args.repeats),
        "gaussians": lambda: gaussians(args.repeats),
        "threads": lambda: threads(options, args.frames),
        "length": lambda: length(options),
    }
    for name in args.only or sections:
        with torch_threads(torch.get_num_threads() if name == "network" else 1):  # as the pipeline does
            found = sections[name]()
        rows += found
        if found:
            lines = [[r.name, f"{r.ms:.2f}", f"{r.fps:.1f}", f"{r.ratio:.2f}"] for r in found]
            print("\n" + report.table([name, "ms", "per second", f"ratio to {found[0].baseline}"], lines), flush=True)
    args.out.mkdir(parents=True, exist_ok=True)
    machine = {"cores": os.cpu_count(), "torch": torch.__version__, "numba": numba.__version__, "clip": clip.name}
    content = {"machine": machine, "rows": [{**asdict(row), "fps": row.fps} for row in rows]}
    (args.out / "cpu.json").write_text(json.dumps(content, indent=1))
    plot(args.out / "cpu.png", rows)
    print(f"\nwritten: {args.out / 'cpu.json'}, {args.out / 'cpu.png'}")
    return rows


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cpu", description=__doc__.split("\n")[0])
    parser.add_argument("--clip", metavar="CLIP", help="a name in the data, or a file (default: obama)")
    add_data(parser)
    parser.add_argument("--frames", type=int, default=40, metavar="N", help="frames timed (default: 40)")
    parser.add_argument("--repeats", type=int, default=9, metavar="N", help="of each raster (default: 9)")
    parser.add_argument("--checkpoint", type=Path, default=Options().resume_path, help="the network's weights")
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help=f"where to write (default: {OUT})")
    names = ("lifted", "flags", "network", "sizes", "gaussians", "threads", "length")
    parser.add_argument("--only", nargs="+", choices=names, help="only these sections")
    return parser


def in_turns(tasks: dict[str, Callable[[int], object]], rounds: int, warm_up: int = WARM_UP) -> dict[str, float]:
    """The median ms of tasks that are called one after the other in every round, each time beginning with another."""
    times: dict[str, list[float]] = {name: [] for name in tasks}
    names = list(tasks)
    for number in range(-warm_up, rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            start = time.perf_counter()
            tasks[name](max(number, 0))
            if number >= 0:
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: float(np.median(values)) for name, values in times.items()}


def _rows(section: str, times: dict[str, float], baseline: str) -> list[Row]:
    return [Row(section, name, ms, ms / times[baseline], baseline) for name, ms in times.items()]


def lifted(options: Options, frames: int) -> list[Row]:
    """The stages of the built-in avatar. Those of a run are spread over the frames of the clip."""
    tracking = time.perf_counter()
    components = default_components(options)
    fresh = components.track_driver(options.driver_path, True, lambda done, total: None)
    tracking = 1e3 * (time.perf_counter() - tracking) / len(fresh)
    pipeline = Pipeline(options, replace(components, track_driver=lambda path, force, advance: fresh))
    source = time.perf_counter()
    _ = pipeline.source
    encode = time.perf_counter()
    _ = pipeline.avatar
    done = time.perf_counter()
    head, model, motion = pipeline.components.head, pipeline.components.model, pipeline.motion
    vertices = [head.evaluate(frame) for frame in _some(motion, frames)]
    picture = model.render(pipeline.avatar, DrawRequest(vertices[0], motion[0].transform_matrix))
    whole = "a frame, codes to picture"
    times = in_turns(
        {
            whole: lambda i: to_image(pipeline.draw(motion[i])),
            "head evaluated": lambda i: head.evaluate(motion[i]),
            "avatar rendered": lambda i: model.render(
                pipeline.avatar, DrawRequest(vertices[i], motion[i].transform_matrix)
            ),
            "to 8 bits": lambda i: to_image(picture),
        },
        len(vertices),
    )
    times |= {
        "driver tracked, a frame": tracking,
        "photo tracked, once": 1e3 * (encode - source),
        "avatar built, once": 1e3 * (done - encode),
    }
    count = getattr(pipeline.avatar, "colors", ())
    print(f"\n{len(count):,} Gaussians of the built-in avatar, {options.driver_path.name}")
    return _rows("lifted", times, whole)


def flags(options: Options, frames: int, variants: Sequence[Variant] | None = None) -> list[Row]:
    """What each improvement adds to a frame; the motion's own part is spread over the frames of the clip.

    `variants`: off first; None for off, each improvement alone, and all.
    """
    components = default_components(options)
    track = components.track_driver(options.driver_path, False, lambda done, total: None)
    photo = components.track_source(options.image_path, False)
    shared = {"track_driver": lambda path, force, advance: track, "track_source": lambda path, force: photo}
    pipelines, shares = {}, {}
    for variant in variants or [v for v in standard_variants() if not v.name.startswith("without ")]:
        pipeline = pipelines[variant.name] = _pipeline(variant, options, shared)
        seconds = []
        for _ in range(3):
            pipeline.__dict__.pop("motion", None)
            start = time.perf_counter()
            _ = pipeline.motion
            seconds.append(time.perf_counter() - start)
        shares[variant.name] = 1e3 * float(np.median(seconds)) / len(track)
        _ = pipeline.avatar

    def drawn(pipeline: Pipeline) -> Callable[[int], object]:
        return lambda i: to_image(pipeline.draw(pipeline.motion[i]))

    times = in_turns({name: drawn(pipeline) for name, pipeline in pipelines.items()}, min(frames, len(track)))
    return _rows("flags", {name: ms + shares[name] for name, ms in times.items()}, OFF)


def _pipeline(variant: Variant, options: Options, shared: dict[str, Callable]) -> Pipeline:
    own = variant.applied(options)
    return Pipeline(own, replace(default_components(own), **shared))


def network(options: Options, frames: int, checkpoint: Path) -> list[Row]:
    """The stages of the network, beside a frame of the built-in avatar; nothing where it cannot be had."""
    try:
        stages, encoder, about = network_stages(checkpoint)
    except ImportError as error:
        print(f"\nnetwork: left out ({error})")
        return []
    print(f"\nnetwork: {about}")
    pipeline = Pipeline(options, default_components(options))
    motion, name = pipeline.motion, "built-in avatar, a frame"
    own = {name: lambda i: to_image(pipeline.draw(motion[i]))}
    times = in_turns({**own, **stages}, min(frames, 7), warm_up=1)
    times["style U-Net, the rest of it"] = times["network, a frame"] - times["raster"]
    times |= in_turns({"encoder, once": encoder}, 2, warm_up=0)
    return _rows("network", times, name)


def sizes(repeats: int) -> list[Row]:
    """Rasters of pictures of several sizes: 200,000 Gaussians as the built-in avatar has, 180,255 as the network."""
    return _rasters("sizes", [(size, 447) for size in SIZES], lambda size, side: f"{size} px", repeats, True)


def gaussians(repeats: int) -> list[Row]:
    """Rasters of 512 px with several numbers of Gaussians, by the built-in avatar's rule."""
    sides = [(512, round(count**0.5)) for count in GAUSSIANS]
    return _rasters("gaussians", sides, lambda size, side: f"{side * side:,} Gaussians", repeats, False)


def _rasters(
    section: str, scenes: Sequence[tuple[int, int]], name: Callable[[int, int], str], repeats: int, with_alpha: bool
) -> list[Row]:
    tasks: dict[str, Callable[[int], object]] = {}
    for size, side in scenes:
        xyz, cov, colors, opacity = surface_scene(4, side)
        piece = np.float32(446 / (side - 1))  # the same face, in more or fewer pieces
        xyz, cov = xyz * np.array([piece, piece, 1], np.float32), cov * piece**2
        tasks[f"surface, {name(size, side)}"] = _surface(xyz, cov, colors, opacity, size)
        if with_alpha:
            tasks[f"alpha with 32 channels, {name(size, side)}"] = _alpha(alpha_scene(), size)
    baseline = next(key for key in tasks if key.startswith("surface") and ("512 px" in key or "199,809" in key))
    return _rows(section, in_turns(tasks, repeats), baseline)


def _surface(
    xyz: np.ndarray, cov: np.ndarray, colors: np.ndarray, opacity: np.ndarray, size: int
) -> Callable[[int], object]:
    workspace = RasterWorkspace()
    return lambda i: splat_surface(xyz, cov, colors, opacity, (size, size), workspace=workspace)


def _alpha(scene: dict[str, torch.Tensor], size: int) -> Callable[[int], object]:
    workspace = RasterWorkspace()
    transform = torch.cat([torch.diag(torch.tensor([-1.0, 1, -1])), torch.tensor([[0.0], [0], [DISTANCE]])], 1)
    camera = {"focal_x": 12.0, "focal_y": 12.0, "size": [size, size]}
    return lambda i: render_gaussian(scene, transform, camera, workspace=workspace)


def threads(options: Options, frames: int) -> list[Row]:
    """A frame of the built-in avatar, everything off and everything on, on one thread and on more."""
    most, before = numba.config.NUMBA_NUM_THREADS, numba.get_num_threads()
    pipelines = {v.name: _pipeline(v, options, {}) for v in standard_variants() if v.name in (OFF, "all")}
    for pipeline in pipelines.values():
        _ = pipeline.avatar

    def task(pipeline: Pipeline, count: int) -> Callable[[int], object]:
        def run(i: int) -> None:
            numba.set_num_threads(count)
            to_image(pipeline.draw(pipeline.motion[i]))

        return run

    counts = sorted({1, 2, 4, most} & set(range(1, most + 1)))
    tasks = {f"{name}, threads {n}": task(p, n) for name, p in pipelines.items() for n in counts}
    try:
        times = in_turns(tasks, frames)
    finally:
        numba.set_num_threads(before)
    return _rows("threads", times, f"{OFF}, threads 1")


def length(options: Options) -> list[Row]:
    """What the motion costs a frame when the driver is longer: the clip, again and again."""
    components = default_components(options)
    track = components.track_driver(options.driver_path, False, lambda done, total: None)
    photo = components.track_source(options.image_path, False)
    tasks: dict[str, Callable[[int], object]] = {}
    counts = {}
    for variant in (v for v in standard_variants() if v.name in (OFF, "all")):
        for times in LENGTHS:
            longer = repeated(track, times)
            name = f"{variant.name}, {len(longer)} frames"
            shared = {
                "track_driver": lambda path, force, advance, longer=longer: longer,
                "track_source": lambda path, force: photo,
            }
            pipeline = _pipeline(variant, options, shared)
            _ = pipeline.components
            tasks[name], counts[name] = lambda i, p=pipeline: _motion(p), len(longer)
    found = {name: ms / counts[name] for name, ms in in_turns(tasks, 3).items()}
    return _rows("length", found, next(iter(found)))


def _motion(pipeline: Pipeline) -> TrackedSequence:
    pipeline.__dict__.pop("motion", None)  # it is kept; here it is to be made again
    return pipeline.motion


def repeated(track: TrackedSequence, times: int) -> TrackedSequence:
    """A driver that does the same several times over."""
    n = len(track)
    cut = {}
    for name, value in vars(track).items():
        if isinstance(value, np.ndarray) and len(value) == n and name != "static_offset":
            cut[name] = np.concatenate([value] * times)
    moments = tuple(Fraction(i) / track.fps for i in range(n * times))
    return replace(track, **cut, times=moments)


def _some(motion: TrackedSequence, frames: int) -> list:
    return [motion[i] for i in range(min(frames, len(motion)))]


def plot(path: Path, rows: Sequence[Row]) -> None:
    """A panel for each section: bars of ms, the baseline dark; dots on a logarithmic axis where they differ much."""
    sections = list(dict.fromkeys(row.section for row in rows))
    if not sections:
        return
    figure, axes = new_figure(2, -(-len(sections) // 2), 6.4, 3.2)
    for axis, section in zip(axes.ravel(), sections, strict=False):
        own = [row for row in rows if row.section == section][::-1]
        colours = ["#333333" if row.name == row.baseline else "#4c72b0" for row in own]
        values = [row.ms for row in own]
        if max(values) < _FAR * min(values):
            axis.barh(range(len(own)), values, color=colours)
        else:
            axis.scatter(values, range(len(own)), color=colours)
            axis.set_xscale("log")
            axis.grid(axis="x", which="major", linewidth=0.4)
        for place, row in enumerate(own):
            axis.annotate(f"  {_shown(row.ms)} ms, {row.ratio:.2f}x", (row.ms, place), fontsize=7, va="center")
        axis.set_yticks(range(len(own)), [row.name for row in own], fontsize=7)
        axis.margins(x=0.35)
        axis.set_title(f"{section}: ms" + (" a frame of the driver" if section == "length" else ""), fontsize=9)
    for axis in axes.ravel()[len(sections) :]:
        axis.set_visible(False)
    figure.savefig(path, dpi=110)


def _shown(ms: float) -> str:
    return f"{ms:,.0f}" if ms >= 100 else f"{ms:.3g}"


if __name__ == "__main__":
    sys.exit(command(main))
