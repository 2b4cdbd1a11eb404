"""What the built-in head is made of: the tracker's points on six clips and forty pictures of real people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import lmdb
import numpy as np

from core.data.video import VideoReader
from core.errors import UserError
from core.libs.tracker.mediapipe_tracker import MediaPipeTracker

CLIPS = ("d0", "d10", "d13", "d19", "obama", "s18")  # of drivers/, that the built-in head's expressions are from


def clips_of(data: Path, exclude: Sequence[str] = ()) -> list[Path]:
    """The clips that a head is made of: `CLIPS` but those excluded by name.

    Raises:
        UserError: one of them is not there, an excluded one is none of them, or none is left.
    """
    unknown = sorted(set(exclude) - set(CLIPS))
    if unknown:
        raise UserError(f"--exclude {unknown[0]}: the head is made of {', '.join(CLIPS)}")
    kept = [data / "drivers" / f"{name}.mp4" for name in CLIPS if name not in exclude]
    if not kept:
        raise UserError("--exclude: no clip is left to make a head of")
    missing = [path for path in kept if not path.is_file()]
    if missing:
        raise UserError(f"{missing[0]} is not there: give the folder that holds drivers/ with --data")
    return kept


def observe(data: Path, exclude: Sequence[str] = ()) -> tuple[np.ndarray, list[np.ndarray]]:
    """Upright points of single pictures (N, 478, 3) and of clips [(T, 478, 3)], without those excluded by name."""
    paths = clips_of(data, exclude)
    tracker = MediaPipeTracker()
    singles = []
    with lmdb.open(str(data / "vfhq_demo/img_lmdb"), readonly=True, lock=False) as env, env.begin() as transaction:
        for _, value in transaction.cursor():
            found = tracker.detect(cv2.imdecode(np.frombuffer(value, np.uint8), cv2.IMREAD_COLOR)[..., ::-1].copy())
            if found is not None:
                singles.append(found.points)
    clips = []
    for path in paths:
        with VideoReader(path) as reader:
            tracker.reset()
            points = [found.points for frame in reader if (found := tracker.follow(frame.image)) is not None]
        clips.append(np.stack(points))
        print(f"{path.name}: {len(points)} frames")
    tracker.close()
    upright = np.array([1.0, -1.0, -1.0])
    return np.stack(singles) * upright, [clip * upright for clip in clips]
