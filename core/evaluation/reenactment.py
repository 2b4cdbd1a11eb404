"""A result against its driver and its photo, by the three metrics of papers on head reenactment: CSIM, AED, APD.

    python -m core.evaluation.reenactment RESULT DRIVER PHOTO [--csim-model FILE.onnx]

RESULT is a video or picture written with `--layout result`, DRIVER what it was driven by. Both are tracked (or read
from the cache) for the built-in head, and frame t of one is compared with frame t of the other.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.data.image import kind_of, read_image
from core.data.records import TrackedSequence
from core.data.video import VideoReader
from core.errors import UserError
from core.evaluation.perceptual import ARCFACE, SFACE, FaceMetric, csim_metric
from core.libs.geometry import head_angles
from core.libs.tracker.base import FaceTracker


@dataclass(frozen=True)
class Reenactment:
    """What was measured.

    Attributes:
        frames: that were compared. aed, apd: see the functions. csim: mean over the frames, or None without a network.
    """

    frames: int
    aed: float
    apd: float
    csim: float | None

    def __str__(self) -> str:
        csim = "not measured: no network" if self.csim is None else f"{self.csim:.4f}"
        return f"{self.frames} frames\nCSIM {csim}\nAED {self.aed:.4f}\nAPD {self.apd:.4f}"


def aed(result: TrackedSequence, driver: TrackedSequence) -> float:
    """Average expression distance: the mean over frames and codes of the absolute difference of expression codes.

    By the name and idea of PIRenderer (Ren, Li, Chen, Li, Liu 2021), with the codes of this project's head for those of
    its 3DMM: in standard deviations. Programs differ in model and norm, so that figures compare with this one's only.
    Raises UserError where the two are not of one head and length.
    """
    _check_pair(result, driver)
    return float(np.abs(result.expcode - driver.expcode).mean())


def apd(result: TrackedSequence, driver: TrackedSequence) -> float:
    """Average pose distance: the mean over frames, roll, yaw and pitch of the absolute difference of angles, radians.

    Source and reservations as for `aed`. Where the head is in the picture is left out, because each video is cropped
    for itself.
    """
    _check_pair(result, driver)
    angles = [head_angles(track.transform_matrix[..., :3].astype(np.float64)) for track in (result, driver)]
    difference = np.remainder(angles[0] - angles[1] + np.pi, 2 * np.pi) - np.pi
    return float(np.abs(difference).mean())


def measure(result: Path, driver: Path, photo: Path, tracker: FaceTracker, csim: FaceMetric | None) -> Reenactment:
    """All three. UserError where a file cannot be read or shows no face, or the two are not of one length."""
    from core.libs.tracker.cache import TrackCache
    from core.libs.tracker.driver import track_driver

    cache = TrackCache()
    tracks = [track_driver(path, tracker=tracker, cache=cache) for path in (result, driver)]
    similarity = None if csim is None else _mean_csim(result, photo, tracker, csim)
    return Reenactment(len(tracks[0]), aed(*tracks), apd(*tracks), similarity)


def _mean_csim(result: Path, photo: Path, tracker: FaceTracker, csim: FaceMetric) -> float:
    source = read_image(photo)
    face = tracker.detect(source)
    if face is None:
        raise UserError(f"{photo}: no human face found; give the photo that the result was made from")
    values = []
    tracker.reset()
    for image in _pictures(result):
        found = tracker.follow(image)
        if found is not None:
            values.append(csim(image, found.points, source, face.points))
    tracker.reset()
    return float(np.mean(values)) if values else float("nan")


def _pictures(path: Path) -> Iterator[np.ndarray]:
    if kind_of(path) == "image":
        yield read_image(path)
        return
    with VideoReader(path) as reader:
        for frame in reader:
            yield frame.image


def _check_pair(result: TrackedSequence, driver: TrackedSequence) -> None:
    if result.head != driver.head:
        raise UserError(f"the result has codes of the {result.head} head, the driver of the {driver.head} head")
    if len(result) != len(driver):
        raise UserError(
            f"the result has {len(result)} frames, the driver {len(driver)}: give the video that it was driven by"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m core.evaluation.reenactment",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("result", type=Path)
    parser.add_argument("driver", type=Path)
    parser.add_argument("photo", type=Path)
    parser.add_argument(
        "--csim-model", type=Path, help=f"face recognition network, ONNX (default: {ARCFACE}, else {SFACE})"
    )
    given = parser.parse_args(arguments)
    try:
        if given.csim_model is not None and not given.csim_model.is_file():
            raise UserError(f"{given.csim_model} does not exist: give ArcFace or SFace as an ONNX file")
        csim = csim_metric(given.csim_model)
        from core.libs.tracker.mediapipe_tracker import MediaPipeTracker

        tracker = MediaPipeTracker()
        try:
            print(measure(given.result, given.driver, given.photo, tracker, csim))
        finally:
            tracker.close()
        return 0
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
