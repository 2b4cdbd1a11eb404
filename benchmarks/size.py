"""What is there to see of a sharp photo at 512, 768 and 1024 pixels, and what does it cost, also of the whole photo?

    python -m benchmarks.size --photos portrait.jpg --driver clip.mp4

For every photo and size: mean energy of the luminance's gradient (grey levels squared per pixel of a 512-pixel
picture) of the photo's own crop and of the result where the head is nearest its pose in the photo, over the photo's
own background: 1 means that all of the photo's detail is there; milliseconds a frame from codes to picture, the sizes
and `--frame photo` in turns, with the ratio to 512. Of the whole photo: pixels outside the drawn part that differ
from the photo, the mean difference in grey levels where the share of what is drawn is below .3, and the process's
peak memory.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np

from benchmarks._inputs import add_data, find_photos
from core.errors import command
from core.libs.retargeting.neutral import nearest_pose
from core.options import SIZES, Options
from core.pipeline import Pipeline
from core.pipeline.result import to_image
from core.runtime.device import torch_threads

DRIVER = Path("demos/drivers/obama")
NAMES = ("monroe", "s8", "s2")
ROW = "{:<12} {:>6} {:>9} {:>9} {:>6} {:>8} {:>6}"
SEAM = 0.3  # share of what is drawn up to which a pixel lies at the seam


def energy(image: np.ndarray) -> float:
    """Mean squared gradient of the luminance of a picture (S, S, 3) uint8, per pixel of a 512-pixel picture."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float64)
    down, right = np.gradient(grey)
    return float((down**2 + right**2).mean()) * (len(image) / SIZES[0]) ** 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.size", description=__doc__.split("\n")[0])
    parser.add_argument("--photos", type=Path, nargs="+", help="photos (default: three of the shared ones)")
    parser.add_argument("--driver", type=Path, default=DRIVER)
    parser.add_argument("--frames", type=int, default=40, help="that are timed")
    add_data(parser)
    given = parser.parse_args(arguments)
    photos = find_photos(given.photos, given.data)
    if given.photos is None:
        photos = [photo for photo in photos if photo.stem in NAMES] or photos
    print(ROW.format("photo", "size", "photo's", "result's", "ratio", "ms", "ratio"))
    for photo in photos:
        _one(photo, given.driver, given.frames)


def _one(photo: Path, driver: Path, frames: int) -> None:
    runs = {size: Pipeline(Options(photo, driver, size=size, no_watermark=True, quiet=True)) for size in SIZES} | {
        "whole": Pipeline(Options(photo, driver, frame="photo", no_watermark=True, quiet=True))
    }
    drawn = {name: run.images() for name, run in runs.items()}
    seconds: dict[int | str, list[float]] = {name: [] for name in runs}
    with torch_threads(1):
        for images in drawn.values():
            next(images)
        for _ in range(min(frames, len(runs[SIZES[0]].motion) - 1)):
            for name, images in drawn.items():
                start = time.perf_counter()
                next(images)
                seconds[name].append(time.perf_counter() - start)
    for images in drawn.values():
        images.close()
    cost = {name: 1e3 * float(np.median(times)) for name, times in seconds.items()}
    for size in SIZES:
        run = runs[size]
        rest = run.motion[nearest_pose(run.source.frame, run.motion)]
        own, result = energy(run.photo), energy(to_image(run.draw(rest)))
        numbers = f"{own:.1f}", f"{result:.1f}", f"{result / own:.2f}", f"{cost[size]:.1f}"
        print(ROW.format(photo.stem, size, *numbers, f"{cost[size] / cost[SIZES[0]]:.2f}"))
    whole = runs["whole"]
    print(ROW.format(photo.stem, "whole", "", "", "", f"{cost['whole']:.1f}", f"{cost['whole'] / cost[SIZES[0]]:.2f}"))
    _seam(whole)


def _seam(run: Pipeline) -> None:
    region, height, width = run.region, *run.photo.shape[:2]
    assert region is not None  # the whole photo is the frame
    share = np.zeros((height, width), np.float32)
    share[region.rows, region.columns] = region.enlarged(region.cut(run.source, run.avatar.share))
    still, seam = share <= 0, (share > 0) & (share < SEAM)
    with closing(run.images()) as images:
        difference = np.abs(next(images).astype(int) - run.photo).mean(2)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(
        f"  whole: {width}x{height}, {region.camera.shape[1]}x{region.camera.shape[0]} drawn; where it stands still "
        f"{int((difference[still] > 0).sum())} pixels differ; at the seam "
        f"{difference[seam].mean() if seam.any() else 0:.2f} grey levels; peak memory {peak} MiB"
    )


if __name__ == "__main__":
    command(main)
