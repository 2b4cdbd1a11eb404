"""Conditions under which an ablation is measured again: what users have in place of a studio's clip and photo.

* `tracking-noise`: white noise on the driver's track, see `core.evaluation.tracking_noise`.
* `poor-driver`: the clip as a poor camera and a call give it, tracked afresh; the truth stays the clip itself. What
  makes it poor, `PARTS`, may also be measured one by one.
* `poor-photo`: the photo small, soft and strongly compressed; the truth stays the clip.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np

from core.data.image import read_image
from core.data.part_file import PartFile
from core.data.records import TrackedSequence
from core.data.video import VideoReader, VideoWriter
from core.errors import UserError
from core.evaluation.truth import BUILD, digest
from core.libs.flame_model import OpenHead
from core.libs.tracker.base import FaceTracker
from core.libs.tracker.cache import TrackCache, tracked_by
from core.libs.tracker.driver import track_footage

Kind = Literal["tracking-noise", "poor-driver", "poor-photo"]
KINDS: tuple[Kind, ...] = get_args(Kind)
PARTS = ("small", "blurred", "dim", "dropped", "compressed")


@dataclass(frozen=True)
class Condition:
    """One of `KINDS`, and the seed of what is random in it.

    `parts`: of a poor driver, some of `PARTS`; all by default.
    """

    kind: Kind
    seed: int = 0
    parts: tuple[str, ...] = PARTS

    @property
    def name(self) -> str:
        """For folders: `noise0`, `poor-driver0`, `poor-driver0-dropped`, `poor-photo0`."""
        return "-".join([f"{self.kind.removeprefix('tracking-')}{self.seed}", *self._some])

    @property
    def title(self) -> str:
        """For tables: `tracking noise 0`, `poor driver 0, dim and dropped`."""
        return ", ".join([f"{self.kind.replace('-', ' ')} {self.seed}", *filter(None, [" and ".join(self._some)])])

    @property
    def _some(self) -> tuple[str, ...]:
        """The parts where they are not all."""
        return () if set(self.parts) == set(PARTS) else tuple(part for part in PARTS if part in self.parts)


@dataclass(frozen=True)
class PoorDriverSettings:
    """A cheap camera in a dim room, and a call. Chosen to be bad and still usable, before any gain was looked at.

    Attributes:
        height: pixels of the picture; None: the clip's. shutter: share of a frame's light that is the frame before's:
            motion blur of a shutter that is open most of the time.
        exposure: of the light that reaches the sensor. read_noise: grey levels; shot_noise: grey levels at white, whose
            variance grows with the light; both before the camera's gain makes the picture brighter again. gain: by
            which.
        dropped: share of frames in place of which the one before is shown again. crf: of H.264.
    """

    height: int | None = 192
    shutter: float = 0.4
    exposure: float = 0.35
    read_noise: float = 1.5
    shot_noise: float = 3.0
    gain: float = 2.0
    dropped: float = 0.1
    crf: int = 33

    def only(self, parts: Sequence[str]) -> PoorDriverSettings:
        """These settings in some of `PARTS`, in all else those of the clip itself, coded without visible loss."""
        kept = {name for part in parts for name in _OF_PART[part]}
        return replace(_GOOD, **{f.name: getattr(self, f.name) for f in fields(self) if f.name in kept})


_GOOD = PoorDriverSettings(height=None, shutter=0, exposure=1, read_noise=0, shot_noise=0, gain=1, dropped=0, crf=8)
_OF_PART = {
    "small": ("height",),
    "blurred": ("shutter",),
    "dim": ("exposure", "read_noise", "shot_noise", "gain"),
    "dropped": ("dropped",),
    "compressed": ("crf",),
}


@dataclass(frozen=True)
class PoorPhotoSettings:
    """A thumbnail: `scale` of the photo's size, `blur` in its pixels (standard deviation), JPEG of `quality`."""

    scale: float = 1 / 3
    blur: float = 0.6
    quality: int = 30


def poor_driver(clip: Path, seed: int, settings: PoorDriverSettings = PoorDriverSettings()) -> tuple[Path, float]:
    """A clip as a poor camera gives it, frame for frame, kept in `build/benchmark`; and its size over the clip's."""
    reader = VideoReader(clip)
    path = BUILD / f"{clip.stem}-{digest(clip.read_bytes(), repr(settings), str(seed))}-poor.mp4"
    first = next(iter(reader)).image
    height = settings.height or first.shape[0] // 2 * 2
    width = round(first.shape[1] * height / first.shape[0] / 2) * 2
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with VideoWriter(path, reader.fps, (width, height), crf=settings.crf, preset="veryfast") as writer:
            for time, image in _filmed(VideoReader(clip), (width, height), seed, settings):
                writer.write(image, time)
    return path, height / first.shape[0]


def _filmed(
    reader: VideoReader, size: tuple[int, int], seed: int, s: PoorDriverSettings
) -> Iterator[tuple[Fraction, np.ndarray]]:
    random = np.random.default_rng(seed)
    before: np.ndarray | None = None
    shown: np.ndarray | None = None
    for frame in reader:
        light = cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        open_shutter = light if before is None else (1 - s.shutter) * light + s.shutter * before
        before = light
        dim = s.exposure * open_shutter
        deviation = np.sqrt(s.read_noise**2 + s.shot_noise**2 * dim / 255)
        noisy = np.clip(s.gain * (dim + deviation * random.standard_normal(dim.shape, np.float32)), 0, 255)
        if shown is None or random.random() >= s.dropped:
            shown = np.rint(noisy).astype(np.uint8)
        yield frame.time, shown


def poor_photo(photo: Path, settings: PoorPhotoSettings = PoorPhotoSettings()) -> Path:
    """A photo as a thumbnail, kept in `build/benchmark`."""
    path = BUILD / f"{photo.stem}-{digest(photo.read_bytes(), repr(settings))}-poor.jpg"
    if not path.is_file():
        image = read_image(photo)
        size = tuple(max(1, round(n * settings.scale)) for n in image.shape[1::-1])
        small = cv2.GaussianBlur(cv2.resize(image, size, interpolation=cv2.INTER_AREA), (0, 0), settings.blur)
        _, data = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, settings.quality])
        path.parent.mkdir(parents=True, exist_ok=True)
        with PartFile(path) as part:
            part.path.write_bytes(data.tobytes())
            part.finish()
    return path


def track_in_crops(clip: Path, crops: np.ndarray, tracker: FaceTracker, head: OpenHead) -> TrackedSequence:
    """The motion of the face in a video, in given crops (T, 3) of its pictures; from the cache where it is there."""
    cache = TrackCache()
    entry = cache.entry(clip, "driver in crops", digest(crops), *tracked_by(tracker, None, head))
    try:
        return TrackedSequence.load(entry)
    except UserError:
        pass  # not tracked yet
    track = track_footage(lambda: VideoReader(clip), tracker, name=str(clip), open_head=head, crops=crops)
    cache.keep(lambda: track.save(entry))
    return track
