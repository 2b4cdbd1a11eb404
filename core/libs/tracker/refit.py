"""A driver of the open head, for FLAME: its codes stand for the tracker's points, and FLAME is fitted to those."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from core.data.records import SEEN, TrackedSequence
from core.libs.flame_model import OpenHead
from core.libs.flame_model.topology import N_POINTS
from core.libs.geometry import Camera, to_camera
from core.libs.tracker.driver import sequence_from_points
from core.libs.tracker.fit_flame import flame_fitter
from core.libs.tracker.point_buffer import PointBuffer

_CAMERA = Camera()


def to_flame(track: TrackedSequence, head: Path, open_head: OpenHead | None = None) -> TrackedSequence:
    """The same motion in FLAME's codes.

    Args:
        track: of the open head. head: FLAME's file.
        open_head: that one; the built-in one where it is left out.
    Raises:
        UserError: the file is not FLAME's.
    """
    fitter, model = flame_fitter(head), open_head or OpenHead()
    visible = track.status == SEEN
    visible = visible if visible.any() else np.ones(len(track), bool)
    with PointBuffer() as points:
        for frame in track:
            points.append(tracked_points(model.evaluate(frame)[None], frame.transform_matrix[None])[0])
        steady = track.transform_matrix.astype(np.float64)
        transform = fitter.poses_from(points, steady, visible) if len(track) > 1 else None
        args = (points, list(track.times), track.fps, track.status, track.crops, transform, fitter)
        return replace(
            sequence_from_points(*args),
            smoothed=track.smoothed,
            torso_motion=track.torso_motion,
            mouth_interior=track.mouth_interior,
        )


def tracked_points(vertices: np.ndarray, transform: np.ndarray, camera: Camera = _CAMERA) -> np.ndarray:
    """What a perfect tracker sees of the open head: (T, 478, 3), pixels of the crop, and depth at the scale of x.

    `vertices` (T, V, 3) in head space, `transform` (T, 3, 4).
    """
    points = to_camera(vertices[:, :N_POINTS].astype(np.float64), transform.astype(np.float64))
    distance = transform[:, None, 2:, 3]
    depth = (points[..., 2:] - distance) * camera.pixels_per_unit / distance
    return np.concatenate([camera.to_pixels(points), depth], -1).astype(np.float32)
