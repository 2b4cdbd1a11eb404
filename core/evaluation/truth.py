"""What a clip really shows: its frames cropped as its track says, on black, with the face found afresh in each crop.

All of it is kept in `build/benchmark`, in a folder named after what it was made from, so that a change of the avatar
costs rendering and scoring alone.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

import core
from core.data.array_file import load_arrays, save_arrays
from core.data.image import read_image, write_image
from core.data.records import IMAGE_SIZE, TrackedSequence, TrackedSource
from core.data.video import VideoReader
from core.libs.flame_model import OpenHead
from core.libs.tracker.base import N_POINTS, FaceTracker
from core.libs.tracker.crop import crop_image, to_crop
from core.libs.tracker.matte import two_looks, without_bars
from core.libs.tracker.source import MARGIN, track_source_image
from core.models.LiftedAvatar.border import border_fade
from core.models.LiftedAvatar.settings import LiftedSettings

BUILD = Path("build/benchmark")
_ROOT = Path(core.__file__).parent.parent


def digest(*parts: bytes | str | np.ndarray) -> str:
    """12 hex digits of texts, bytes and arrays."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(part.encode() if isinstance(part, str) else np.ascontiguousarray(part).tobytes()
                   if isinstance(part, np.ndarray) else part)  # fmt: skip
        sha.update(b"\0")
    return sha.hexdigest()[:12]


def code_of(*files: str) -> str:
    """The text of files of this repository: part of a key, so that what they compute is not kept when they change."""
    return "".join((_ROOT / file).read_text(encoding="utf-8") for file in files)


def on_black(image: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """A picture (H, W, 3) uint8 times its matte (H, W)."""
    return (image * matte[..., None] + np.float32(0.5)).astype(np.uint8)


def wide_crop(image: np.ndarray, crop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A crop with the margin that the tracker gives a source: the picture, and where it lies inside the full one."""
    part = crop[2] * MARGIN / IMAGE_SIZE
    wide, size = np.array([crop[0] - part, crop[1] - part, crop[2] + 2 * part]), IMAGE_SIZE + 2 * MARGIN
    inside = crop_image(255 * without_bars(image).astype(np.uint8), wide, size) > 127
    return crop_image(image, wide, size), inside


def with_soft_border(source: TrackedSource) -> TrackedSource:
    """The photo with its matte going out where it ends, as the avatar draws it: for what is compared with it."""
    width = LiftedSettings().border * source.size / IMAGE_SIZE
    return replace(source, matte=source.matte * border_fade(source.inside, source.margin, width))


def lossless_first_frame(clip: Path) -> Path:
    """The first frame of a video as a PNG: the photo of self-reenactment."""
    path = BUILD / f"{clip.stem}-{digest(clip.read_bytes())}-source.png"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, next(iter(VideoReader(clip))).image)
    return path


def source_in_crop(
    photo: Path, crop: np.ndarray, tracker: FaceTracker, head: Path | None = None, open_head: OpenHead | None = None
) -> TrackedSource:
    """As `track_source`, but in a given crop (x, y, side): that of the driver's first frame, which the photo is.

    `head`: FLAME's file, for codes of that head. `open_head`: the built-in one where it is left out.

    With its own crop, set around its own face, the photo would be shown at another size and place than the clip, and
    what is not the head - the shoulders - could not be where the clip has it.
    """
    return track_source_image(read_image(photo), tracker, str(photo), crop, head, open_head)


def settled_points(image: np.ndarray, tracker: FaceTracker, looks: int = 5) -> np.ndarray | None:
    """The points (478, 3) that the tracker settles on when a video shows nothing but this picture.

    A picture looked at once and the same picture as a video give points that differ throughout; a source whose points
    are measured as the driver's are makes the stronger baseline. After `looks` frames the tracker's points stand still.
    """
    tracker.reset()
    found = [tracker.follow(image) for _ in range(looks)]
    tracker.reset()
    return None if found[-1] is None else found[-1].points


def track_faces(images: Iterable[np.ndarray], tracker: FaceTracker) -> np.ndarray:
    """(T, 478, 3): the face followed through pictures from nothing, NaN where there is none."""
    tracker.reset()
    nothing = np.full((N_POINTS, 3), np.nan, np.float32)
    points = [nothing if found is None else found.points for found in map(tracker.follow, images)]
    tracker.reset()
    return np.stack(points)


class Truth:
    """The truth of some frames of a clip.

    Args:
        path: the video.
        track: its track; `crops` says what is shown.
        indices: the frames.
        tracker: finds the faces and the mattes.

    Attributes:
        key: of all that it was made from. folder: where it is kept, with what belongs to it.
        driver: (T, 478, 3) the face followed through the full pictures of the whole clip, in pixels of the crops; NaN
            where there is none. What the warp is driven by.
        indices: the frames that have a face, in the driver and in the truth.
        points: (N, 478, 3) the face followed through the truth of `indices` alone. What the metrics compare with.
    """

    def __init__(self, path: Path, track: TrackedSequence, indices: Sequence[int], tracker: FaceTracker) -> None:
        self._path, self._track, self._tracker = path, track, tracker
        assert track.crops is not None  # a video was tracked
        self._crops = track.crops
        content = hashlib.sha256(path.read_bytes()).digest()
        code = code_of("core/libs/tracker/mediapipe_tracker.py", "core/data/video/reader.py")
        own = code_of("core/evaluation/truth.py", "core/libs/tracker/crop.py", "core/models/LiftedAvatar/border.py")
        key = digest(content, self._crops, code, own, str(LiftedSettings().border))
        self.folder = BUILD / f"{path.stem}-{key}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._decode(indices, BUILD / f"{path.stem}-{digest(content, code)}.npz")
        self.key = digest(key, np.array(indices))
        file = self.folder / f"points-{self.key}.npz"
        if not file.is_file():
            save_arrays(file, {"points": track_faces(map(self.image, indices), tracker)})
        points = load_arrays(file)["points"]
        usable = np.isfinite(points[:, 0, 0]) & np.isfinite(self.driver[indices, 0, 0])
        self.indices, self.points = np.asarray(indices)[usable], points[usable]

    def image(self, index: int) -> np.ndarray:
        """(512, 512, 3) uint8: a frame of the clip, on black."""
        return np.ascontiguousarray(cv2.imread(str(self._file(index)))[..., ::-1])

    def _decode(self, indices: Sequence[int], driver_file: Path) -> None:
        """Write the truth of these frames and follow the face through all of them, as far as neither is there yet."""
        wanted = {i for i in indices if not self._file(i).is_file()}
        follow = not driver_file.is_file()
        if follow or wanted:
            self._tracker.reset()
            full = np.full((len(self._track), N_POINTS, 3), np.nan, np.float32)
            for frame in VideoReader(self._path):
                if frame.index >= len(self._track):
                    break
                if follow and (found := self._tracker.follow(frame.image)) is not None:
                    full[frame.index] = found.points
                if frame.index in wanted:
                    self._write(frame.index, frame.image)
            if follow:
                save_arrays(driver_file, {"points": full})
        self.driver = to_crop(load_arrays(driver_file)["points"], self._crops)

    def _write(self, index: int, image: np.ndarray) -> None:
        pixels, inside = wide_crop(image, self._crops[index])
        shown = slice(MARGIN, MARGIN + IMAGE_SIZE)
        # A picture's own border is no edge of the person: as the avatar's its matte goes out there.
        matte = two_looks(pixels, MARGIN, self._tracker.matte) * inside
        matte *= border_fade(inside, MARGIN, LiftedSettings().border)
        truth = on_black(pixels, matte)[shown, shown]
        # A killed run must not leave half a picture, nor two at once get into each other's way
        beside = self._file(index).with_suffix(f".{os.getpid()}.part.png")
        cv2.imwrite(str(beside), truth[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
        beside.replace(self._file(index))

    def _file(self, index: int) -> Path:
        return self.folder / f"{index:05d}.png"
