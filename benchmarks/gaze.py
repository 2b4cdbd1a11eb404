"""What `--gaze-correct` does to where the eyes look: `python -m benchmarks.gaze`.

    python -m benchmarks.gaze [--clips obama ...] [--sources A.jpg ... | self] [--stride K] [--strength S] [--no-noise]

Every driver gets tracking noise (`core.evaluation.tracking_noise`), moves every photo and, with the default `self`, the
first frame of its own clip, once without the flag and once with it. The gaze error is measured twice:

* `seen`: the rendered frames are tracked afresh, as a video, and a head is fitted to what is found, as to any clip. On
  both sides, this and the driver's track without noise, gaze is where the irises stand around the eyeballs of the
  fitted person (`read_irises`), both eyes together. The error is the angle between the two directions, mean over the
  frames in which driver and result have open eyes.
* `codes`: the same angle between the driver's track without noise and the parameters that are rendered, as the tracker
  would see them (`IRIS_GAIN`); no picture is looked at.

Nobody's straight ahead can be seen, and two people who both look into their cameras are read up to twenty degrees
apart. Where photo and driver look into the camera, as someone who looks at them sees (`INTO_CAMERA`, `PHOTOS`), both
gazes count from there: from the photo's look, and from the median of those frames of the driver. Elsewhere they count
from what the fits call straight ahead. The first frame of a clip is the same person as the clip: its irises are read by
the clip's eyeballs. `codes as read` is `codes` without any of this, each gaze as its own fit has it.

`follows` is the correlation of the two, and `slope` how many degrees the result's gaze turns for one of the driver's,
both from the frames of `seen`.

The issue allows at most half of the error without the flag.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from benchmarks import _report as report
from benchmarks._inputs import add_inputs, find_clips, find_photos
from benchmarks._performance import frame_indices, lossless_first_frame, source_in_crop, to_image
from benchmarks._truth import track_faces
from core.command_line import load_options
from core.components import Components, default_components
from core.data.records import SEEN, TrackedFrame, TrackedSequence, TrackedSource
from core.data.video import VideoReader
from core.errors import UserError, command
from core.evaluation import metrics
from core.evaluation.tracking_noise import add_tracking_noise
from core.libs.gaze_corrector import GazeCorrector
from core.libs.geometry import to_camera, to_pixels
from core.libs.retargeting.gaze import IRIS_GAIN, transfer_gaze
from core.libs.retargeting.gaze_reading import EyeGeometry, Head, direction_of, read_irises
from core.libs.retargeting.neutral import resting_transform
from core.libs.retargeting.stage import Retargeting
from core.libs.tracker.crop import crop_image, to_crop
from core.libs.tracker.driver import sequence_from_points
from core.libs.tracker.mediapipe_tracker import MediaPipeTracker
from core.models.request import DrawRequest

CLIPS = ("obama", "d0", "d10", "d13", "d19", "s18")
# By eye: the frames of the clips, and the photos, that look into the camera.
INTO_CAMERA: dict[str, tuple[tuple[int, int | None], ...]] = {
    "obama": ((0, None),),
    "d0": ((0, 11),),
    "d10": ((0, 63), (126, 221)),
    "d13": ((0, None),),
    "d19": ((0, None),),
    "s18": ((0, None),),
}
PHOTOS = ("monroe", "s0", "s2", "s3", "s4", "s7", "s8", "s10", "s11")
OPEN = 0.15  # eye aspect ratio from which an iris is believed
HALF = 0.5


@dataclass(frozen=True)
class Pair:
    """Gaze errors in degrees, without the flag and with it."""

    seen: tuple[float, float]
    codes: tuple[float, float]
    as_read: tuple[float, float]  # of the codes
    follows: tuple[float, float]
    slope: tuple[float, float]
    frames: int


def main(arguments: Sequence[str] | None = None) -> dict[str, Pair]:
    """Run the benchmark and print its tables."""
    args = _parser().parse_args(arguments)
    clips = find_clips(args.clips, args.data, CLIPS)
    wanted = args.sources and [Path(name) for name in args.sources if name != "self"]
    sources = (["self"] if not args.sources or "self" in args.sources else []) + find_photos(wanted, args.data)
    tracker, results, rows, responses = MediaPipeTracker(), {}, [], []
    components, clock = None, _Clock()
    for clip in clips:
        options = load_options(
            [
                "-i",
                str(lossless_first_frame(clip)),
                "-d",
                str(clip),
                "--model",
                "lifted",
                "--quiet",
                "--background",
                "black",
            ]
        )
        components = components or default_components(options)
        track = components.track_driver(clip, False, lambda *_: None)
        driver = to_crop(track_faces((f.image for f in VideoReader(clip)), tracker), track.crops)
        noisy = track if args.no_noise else add_tracking_noise(track)
        responses.append([clip.stem, *_response(components, track)])
        for photo in sources:
            own = str(photo) == "self"
            source = (
                source_in_crop(options.image_path, track.crops[0], tracker)
                if own
                else components.track_source(Path(photo), False)
            )
            name = f"{'self' if own else Path(photo).stem} by {clip.stem}"
            frames = INTO_CAMERA.get(clip.stem, ()) if not own and Path(photo).stem in PHOTOS else ()
            pair, images = _measure(components, source, (track, noisy), driver, tracker, args, clock, own, frames)
            results[name] = pair
            rows.append([name, str(pair.frames), *_columns(pair), *_motion(pair)])
            print(f"{name}: seen {pair.seen[0]:.2f} -> {pair.seen[1]:.2f}", flush=True)
            if args.dump:
                _dump(args.dump / f"gaze_{clip.stem}_{name.split()[0]}.png", clip, track, images)
    tracker.close()
    header = ["gaze error, degrees", "frames", "seen off", "on", "on/off", "codes off", "on", "on/off"]
    header += ["codes as read off", "on", "follows off", "on", "slope off", "on"]
    print("\n" + report.table(header, rows) + "\n")
    print(report.requirements(_requirements(results)))
    print("\n" + report.table(["gaze on camera: slope (correlation)", "pitch", "yaw"], responses))
    print(f"\nenhancing the eyes: {clock.milliseconds:.2f} ms a frame, turning them: {clock.transfer:.2f} ms a frame")
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps({name: vars(pair) for name, pair in results.items()}, indent=1))
    return results


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gaze", description=__doc__.split("\n")[0])
    add_inputs(parser, CLIPS)
    parser.add_argument("--sources", nargs="+", metavar="PHOTO", help="files, or self; default: self and all photos")
    parser.add_argument("--stride", type=int, default=1, metavar="K", help="render only every K-th frame")
    parser.add_argument("--frames", type=int, metavar="N", help="only the first N frames")
    parser.add_argument("--strength", type=float, default=0.7)
    parser.add_argument("--no-noise", action="store_true")
    parser.add_argument("--no-enhance", action="store_true", help="turn the eyes, but leave the picture as it is")
    parser.add_argument("--dump", type=Path, metavar="DIR", help="write contact sheets")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser


class _Clock:
    """Seconds spent on the two halves of the improvement."""

    def __init__(self) -> None:
        self.enhance, self.enhanced, self.turn, self.turned = 0.0, 0, 0.0, 0

    @property
    def milliseconds(self) -> float:
        return 1000 * self.enhance / max(self.enhanced, 1)

    @property
    def transfer(self) -> float:
        return 1000 * self.turn / max(self.turned, 1)


def angle_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Degrees (T,) between unit directions (T, 3)."""
    return np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), (a * b).sum(-1)))


def _columns(pair: Pair) -> list[str]:
    return [report.number(v) for off, on in (pair.seen, pair.codes) for v in (off, on, on / off)]


def _motion(pair: Pair) -> list[str]:
    return [report.number(v) for v in (*pair.as_read, *pair.follows, *pair.slope)]


def _measure(
    components: Components,
    source: TrackedSource,
    tracks: tuple[TrackedSequence, TrackedSequence],  # as tracked, and with noise
    driver: np.ndarray,  # (T, 478, 3) the driver's points in pixels of its crops
    tracker: MediaPipeTracker,
    args: argparse.Namespace,
    clock: _Clock,
    own: bool,  # the photo is the clip's first frame
    into_camera: Sequence[tuple[int, int | None]],  # frames of the clip, where the photo looks into the camera too
) -> tuple[Pair, list[dict[int, np.ndarray]]]:
    track, noisy = tracks
    corrector = GazeCorrector(args.strength)
    motion = Retargeting().run(source.frame, noisy, components.head)
    start = time.perf_counter()
    corrected = transfer_gaze(source.frame, noisy, motion, components.head, corrector)
    clock.turn, clock.turned = clock.turn + time.perf_counter() - start, clock.turned + len(motion)
    avatar = components.model.encode(source, resting_transform(source.frame, motion))
    indices = frame_indices(len(track), args.frames, args.stride)
    shown = set(np.array(indices)[np.linspace(0, len(indices) - 1, 8).round().astype(int)].tolist())
    image, _ = source.shown()
    photo = torch.from_numpy(image).permute(2, 0, 1) / 255
    corrector.enhancer.set_source(photo, _pixels(components, source.frame))
    images: list[dict[int, np.ndarray]] = []
    found = []
    for way, moved in enumerate((motion, corrected)):
        kept: dict[int, np.ndarray] = {}

        def rendered(moved: TrackedSequence = moved, way: int = way, kept: dict[int, np.ndarray] = kept):
            for index in indices:
                frame = replace(moved[index], static_offset=source.frame.static_offset)
                request = DrawRequest(components.head.evaluate(frame), frame.transform_matrix)
                picture = components.model.render(avatar, request)
                if way and not args.no_enhance:
                    points = _pixels(components, frame)
                    start = time.perf_counter()
                    picture = corrector.enhance_eye_region(picture[None], points[None])[0]
                    clock.enhance += time.perf_counter() - start
                    clock.enhanced += 1
                out = to_image(picture)
                if index in shown:
                    kept[index] = out
                yield out

        found.append(track_faces(rendered(), tracker))
        images.append(kept)
    index = np.array(indices)
    good = _open(driver[index]) & _open(found[0]) & _open(found[1])
    if good.sum() < 2:
        raise UserError(f"driver and result have open eyes in {good.sum()} frames: give more frames")
    head, person = components.head, track[0] if own else source.frame
    clean = looks(head, track, track[0])
    photo_look = looks(head, [source.frame], person)
    wanted = _from_the_camera(clean, photo_look, _chosen(into_camera, _open(driver)))
    truth = wanted[index][good]
    results = [looks(head, _fitted(points[good]), person) for points in found]
    seen = tuple(float(angle_between(result, truth).mean()) for result in results)
    follows = tuple(metrics.correlation(result, truth) for result in results)
    spread = truth - truth.mean(0)
    slopes = tuple(float((spread * result).sum() / (spread**2).sum()) for result in results)
    moved = (_as_shown(looks(head, m, person), photo_look) for m in (motion, corrected))
    codes = tuple(float(angle_between(result, wanted).mean()) for result in moved)
    alone = looks(head, [source.frame], source.frame)
    moved = (_as_shown(looks(head, m, source.frame), alone) for m in (motion, corrected))
    as_read = tuple(float(angle_between(result, clean).mean()) for result in moved)
    return Pair(seen, codes, as_read, follows, slopes, int(good.sum())), images


def _open(points: np.ndarray) -> np.ndarray:
    """(T,) whether a face is found and both of its eyes are open."""
    out = np.isfinite(points[:, 0, 0])
    out[out] = metrics.eye_opening(points[out]).min(-1) > OPEN
    return out


def looks(head: Head, sequence: TrackedSequence, person: TrackedFrame) -> np.ndarray:
    """Directions (T, 3) in which a sequence has the irises of the head model stand, both eyes together."""
    points = np.stack([head.landmarks(head.evaluate(frame)) for frame in sequence])
    pitch, yaw = read_irises(points, EyeGeometry.of(head, person)).mean(1).T
    return np.stack([np.cos(pitch) * np.sin(yaw), np.sin(pitch), np.cos(pitch) * np.cos(yaw)], -1)


def _chosen(ranges: Sequence[tuple[int, int | None]], known: np.ndarray) -> np.ndarray:
    """(T,) which frames lie in any of the ranges, of those that are known."""
    chosen = np.zeros(len(known), bool)
    for first, end in ranges:
        chosen[first:end] = True
    return chosen & known


def _from_the_camera(clean: np.ndarray, photo: np.ndarray, into_camera: np.ndarray) -> np.ndarray:
    """A driver's directions (T, 3), turned by what is between its median look in some frames (T,) and a photo's (1, 3).

    As they are where there is no such frame.
    """
    if not into_camera.any():
        return clean
    theirs, ours = _pitch_yaw(clean), _pitch_yaw(photo)[0]
    return direction_of(torch.from_numpy(theirs + ours - np.median(theirs[into_camera], axis=0))).numpy()


def _as_shown(directions: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """What a tracker would see of directions (T, 3) in which the irises of a photo, (1, 3), are drawn."""
    apart = (directions - photo) * [IRIS_GAIN[1], IRIS_GAIN[0], 1]
    seen = photo + apart
    return seen / np.linalg.norm(seen, axis=-1, keepdims=True)


def _response(components: Components, track: TrackedSequence) -> tuple[str, str]:
    """Slope of the gaze read off a clip on the camera's direction in head space, in pitch and yaw, and correlation.

    In someone who keeps looking at the camera the first turns as the second does; a tracker shows a part of it. In
    anyone else it says nothing: the correlation shows who is meant.
    """
    gaze = _pitch_yaw(looks(components.head, track, track[0]))
    rotation, shift = track.transform_matrix[..., :3].astype(np.float64), track.transform_matrix[..., 3]
    camera = _pitch_yaw(-np.einsum("tkl,tl->tk", rotation, shift))
    return tuple(
        f"{np.polyfit(camera[:, k], gaze[:, k], 1)[0]:.2f} ({metrics.correlation(camera[:, k], gaze[:, k]):.2f})"
        for k in (0, 1)
    )


def _pitch_yaw(directions: np.ndarray) -> np.ndarray:
    unit = directions / np.linalg.norm(directions, axis=-1, keepdims=True)
    return np.stack([np.arcsin(unit[:, 1]), np.arctan2(unit[:, 0], unit[:, 2])], -1)


def _fitted(points: np.ndarray) -> TrackedSequence:
    """The head fitted to points (T, 478, 3) of a clip."""
    times = [Fraction(i, 25) for i in range(len(points))]
    return sequence_from_points(points, times, Fraction(25), np.full(len(points), SEEN, np.int8))


def _pixels(components: Components, frame: TrackedFrame) -> np.ndarray:
    return to_pixels(to_camera(components.head.landmarks(components.head.evaluate(frame)), frame.transform_matrix))


def _requirements(results: dict[str, Pair]) -> list[list[str]]:
    rows = []
    for label, pick in (("self-reenactment", True), ("cross-identity", False)):
        pairs = [pair for name, pair in results.items() if name.startswith("self ") == pick]
        for kind in ("seen", "codes"):
            errors = np.array([getattr(pair, kind) for pair in pairs]).reshape(-1, 2)
            value = float(errors[:, 1].mean() / errors[:, 0].mean()) if len(errors) else float("nan")
            rows.append(report.requirement(f"{label}, {kind}: error with the flag over without", value, HALF, False))
    return rows


def _dump(path: Path, clip: Path, track: TrackedSequence, images: list[dict[int, np.ndarray]]) -> None:
    """A contact sheet: the driver, without the flag, with it."""
    order = sorted(images[0])
    driver = {f.index: crop_image(f.image, track.crops[f.index]) for f in VideoReader(clip) if f.index in order}
    rows = [(label, [p[i] for i in order]) for label, p in zip(("driver", "off", "on"), (driver, *images), strict=True)]
    report.contact_sheet(path, rows, [f"frame {i}" for i in order])


if __name__ == "__main__":
    sys.exit(command(main))
