"""Is the photo's own background left alone where nothing moved, and how does the person stand before it?

    python -m benchmarks.ground --out build/ground
    python -m benchmarks.ground --frame photo --out build/whole

Every photo is moved by a driver with default options. A pixel is outside when no frame's person reaches it, and the
plate is the photo there. Printed: the share of the shown photo that is outside; there, the largest difference of a
frame to the photo in grey levels, as a PNG would have it, and the PSNR in dB after H.264 as the program writes it and
a screen shows it, beside that of the photo itself written so, which is as much as the coding leaves. With `--out`, for
every photo a sheet at full size: photo, plate, the frames that are furthest to either side, and enlarged where there is
most hair.

With `--frame photo` outside is what stands still, and printed is also the mean difference in grey levels where what is
drawn fades into it. The sheet is the photo, the frame that differs most from it, and that difference, eight times as
strong around grey: a seam would be a line in it. `--difference FOLDER` writes that of all frames as a video. The last
figure, `line`, is of the border of a crop that is worked in at which most is seen: how often, along it, the difference
steps more across it than at any of twelve places beside it, over how often chance makes it so. A line is 13, none 1.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from benchmarks._difference import Difference, borders
from benchmarks._inputs import add_data, find_photos
from core.components import Components, default_components
from core.data.image import write_image
from core.data.video import VideoWriter
from core.errors import command
from core.options import Options
from core.pipeline import Pipeline
from core.pipeline.result import to_image

DEMO = Path("demos/examples/1.jpg")
DRIVER = Path("demos/drivers/obama")
HAIRY = 88  # pixels of the part that is enlarged
ROW = "{:<12} {:>8} {:>12} {:>8} {:>12}"
WHOLE_ROW = ROW + " {:>8} {:>8}"
SEAM = 0.3  # share of what is drawn up to which a pixel lies at the seam


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ground", description=__doc__.split("\n")[0])
    parser.add_argument("--sources", nargs="+", type=Path, metavar="PHOTO", help="default: the demo's and the data's")
    parser.add_argument("--driver", type=Path, default=DRIVER, help=f"default: {DRIVER}")
    parser.add_argument("--frames", type=int, default=24, help="of the driver, evenly spread (default: 24)")
    parser.add_argument("--out", type=Path, help="a folder for sheets")
    parser.add_argument("--frame", choices=("head", "photo"), default="head", help="default: head")
    parser.add_argument("--difference", type=Path, help="with --frame photo: a folder for videos of the difference")
    add_data(parser)
    args = parser.parse_args(arguments)
    photos = args.sources or list(dict.fromkeys([DEMO, *find_photos(None, args.data)]))
    components: Components | None = None
    names = ("photo", "outside", "difference", "H.264", "photo alone")
    print(ROW.format(*names) if args.frame == "head" else WHOLE_ROW.format(*names, "seam", "line"))
    for photo in photos:
        options = Options(
            photo, args.driver, model="lifted", layout="result", frame=args.frame, no_watermark=True, quiet=True
        )
        if args.frame == "photo":
            whole(options, args.frames, args.out, args.difference)
            continue
        components = components or default_components(options)
        pictures, mattes, run = drawn(options, components, args.frames)
        outside = untouched(run, mattes)
        shown = run.source.shown()[0].astype(int)
        away = np.abs(np.stack(pictures).astype(int) - shown)[:, outside].max(initial=0)
        still = [run.source.shown()[0]] * len(pictures)
        ours, alone = (f"{coded(images, shown, outside):.1f}" for images in (pictures, still))
        print(ROW.format(photo.stem, f"{outside.mean():.0%}", int(away), ours, alone), flush=True)
        if args.out is not None:
            args.out.mkdir(parents=True, exist_ok=True)
            write_image(args.out / f"{photo.stem}.png", sheet(run, pictures, mattes))


def whole(options: Options, count: int, out: Path | None, video: Path | None = None) -> None:
    """Print a line of a run in the whole photo, and write its sheet and the video of its difference into folders."""
    run = Pipeline(options)
    region, photo = run.region, run.photo
    assert region is not None  # the whole photo is the frame
    wanted = {int(i) for i in np.linspace(0, len(run.motion) - 1, count).round()}
    pictures = []
    stem = run.inputs.photo.stem
    if video is not None:
        video.mkdir(parents=True, exist_ok=True)
    path = None if video is None else video / f"{stem}.mp4"
    with closing(run.images()) as images, Difference(path, photo, borders(run.source, region, photo)) as change:
        for index, image in enumerate(images):
            if video is not None or index in wanted:
                change.add(image)
            if index in wanted:
                pictures.append(image)
    share = np.zeros(photo.shape[:2], np.float32)
    share[region.rows, region.columns] = region.enlarged(region.cut(run.source, run.avatar.share))
    outside, seam = share <= 0, (share > 0) & (share < SEAM)
    away = [picture.astype(int) - photo for picture in pictures]
    both = pictures, [photo] * len(pictures)
    ours, alone = (f"{coded(p, photo.astype(int), outside):.1f}" if outside.any() else "none" for p in both)
    most = away[int(np.argmax([np.abs(one).mean() for one in away]))]
    faint = f"{np.mean([np.abs(one)[seam].mean() for one in away]):.2f}" if seam.any() else "none"
    difference = int(max(np.abs(one)[outside].max(initial=0) for one in away))
    line = "none" if change.line is None else f"{change.line:.1f}"
    print(WHOLE_ROW.format(stem, f"{outside.mean():.0%}", difference, ours, alone, faint, line), flush=True)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        strong = np.clip(128 + 8 * most, 0, 255).astype(np.uint8)
        write_image(out / f"{stem}.png", np.concatenate([photo, (photo + most).astype(np.uint8), strong], 1))


def drawn(options: Options, components: Components, count: int) -> tuple[list[np.ndarray], list[np.ndarray], Pipeline]:
    """Frames of a run (S, S, 3) uint8, their persons' mattes (S, S) uint8, and the run."""
    run = Pipeline(options, components)
    inputs = replace(run.inputs, tracked=run.driver)
    alone = Pipeline(replace(options, background="transparent"), components, inputs=inputs)
    alone.source, alone.motion, alone.avatar = run.source, run.motion, run.avatar
    frames = [run.motion[int(i)] for i in np.unique(np.linspace(0, len(run.motion) - 1, count).round())]
    return [to_image(run.draw(f)) for f in frames], [to_image(alone.draw(f))[..., 3] for f in frames], run


def untouched(run: Pipeline, mattes: Sequence[np.ndarray]) -> np.ndarray:
    """(S, S) bool, where no person is in any frame and the plate is the photo, which shows something there."""
    assert run.backdrop is not None
    plate = np.rint(255 * run.backdrop.at(0)).astype(np.uint8)
    kept = (plate == run.source.shown()[0]).all(-1) & run.source.middle(run.source.inside)
    return kept & (np.max(mattes, 0) == 0)


def coded(pictures: Sequence[np.ndarray], photo: np.ndarray, where: np.ndarray) -> float:
    """PSNR in dB of pictures against the photo (S, S, 3) after the video's coding, at some pixels (S, S)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "coded.mp4"
        with VideoWriter(path, 25, (photo.shape[1], photo.shape[0])) as writer:
            for picture in pictures:
                writer.write(picture)
        height, width = where.shape  # of an odd number of pixels the last one is written twice
        shown = (image[:height, :width].astype(float) for image in exactly(path))
        error = np.mean([((one - photo)[where] ** 2).mean() for one in shown])
    return float(10 * np.log10(255**2 / max(float(error), 1e-9)))


def exactly(path: Path) -> Iterator[np.ndarray]:
    """The frames (H, W, 3) uint8 of a video as a screen shows them: chroma interpolated, and rounded exactly.

    The usual conversion, which drivers are read with, alone costs 6 dB.
    """
    flags = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
    spaces = {"src_colorspace": Colorspace.ITU709, "src_color_range": ColorRange.MPEG}
    reformatter = VideoReformatter()
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            exact = {"interpolation": flags, "dst_color_range": ColorRange.JPEG}
            yield reformatter.reformat(frame, format="rgb24", **spaces, **exact).to_ndarray()


def sheet(run: Pipeline, pictures: Sequence[np.ndarray], mattes: Sequence[np.ndarray]) -> np.ndarray:
    """What is to be looked at of a photo."""
    assert run.backdrop is not None
    photo, matte = run.source.shown()
    plate = np.rint(255 * run.backdrop.at(0)).astype(np.uint8)
    columns = [m[: len(m) // 2].sum(0, dtype=float) for m in mattes]  # of the head, not the shoulders
    middle = [(column * np.arange(len(column))).sum() / max(column.sum(), 1) for column in columns]
    row = [photo, plate, pictures[int(np.argmin(middle))], pictures[int(np.argmax(middle))]]
    between = ((matte > 0.1) & (matte < 0.9)).astype(np.float32)
    between[len(between) // 2 :] = 0
    count = cv2.boxFilter(between, -1, (HAIRY, HAIRY), normalize=False)
    half = HAIRY // 2
    y, x = np.unravel_index(count[half:-half, half:-half].argmax(), [len(count) - 2 * half] * 2)
    side = (len(photo), len(photo))
    large = [cv2.resize(p[y : y + HAIRY, x : x + HAIRY], side, interpolation=cv2.INTER_NEAREST) for p in row]
    return np.concatenate([np.concatenate(row, 1), np.concatenate(large, 1)])


if __name__ == "__main__":
    command(main)
