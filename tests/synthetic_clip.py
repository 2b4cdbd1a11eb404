"""A clip of one person in FLAME's codes, and its points as a perfect tracker would see them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from synthetic_head import a_frame

from core.data.records import FOCAL, IMAGE_SIZE, TrackedFrame
from core.libs.flame_model import FLAMEModel
from core.libs.geometry import to_camera, to_pixels


def seen_points(head: FLAMEModel, frame: TrackedFrame) -> np.ndarray:
    """(478, 3): what a perfect tracker sees. FLAME's landmarks where it has them; the file's first vertices, which lie
    near the tracker's points, elsewhere.
    """
    vertices = head.evaluate(frame).astype(np.float64)
    points = head.landmarks(vertices).astype(np.float64)
    points = np.where(np.isnan(points), vertices[:478], points)
    camera = to_camera(points, frame.transform_matrix.astype(np.float64))
    distance = frame.transform_matrix[2, 3]
    depth = (camera[:, 2:] - distance) * FOCAL * IMAGE_SIZE / 2 / distance
    return np.concatenate([to_pixels(camera), depth], 1).astype(np.float32)


def flame_clip(frames: int = 14) -> list[TrackedFrame]:
    """Frames of one person, eyes open, in FLAME's codes."""
    random = np.random.default_rng(11)
    made = [replace(a_frame(random, degrees=18), head="flame") for _ in range(frames)]
    return [replace(frame, shapecode=made[0].shapecode) for frame in made]
