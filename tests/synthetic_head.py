"""Faces with known parameters, for the tests of what fits and moves them."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from core.data.records import FOCAL, IMAGE_SIZE, SEEN, TrackedFrame, TrackedSequence
from core.libs.flame_model import FLAMEModel
from core.libs.geometry import head_rotation, to_camera, to_pixels
from core.libs.tracker.base import N_POINTS

DISTANCE = 8.5  # head units: the face is about 250 pixels wide


def a_frame(random: np.random.Generator, expression: float = 0.5, degrees: float = 10.0) -> TrackedFrame:
    """A person of moderate shape; expression, jaw, gaze and pose at random."""
    pose, eyes = np.zeros(6), np.zeros(6)
    pose[3] = random.uniform(0, 0.25)
    eyes[[0, 1, 3, 4]] = np.tile(np.radians(random.uniform([-8, -20], [8, 20])), 2)
    rotation = head_rotation(np.radians(random.uniform(-degrees, degrees, 3)))
    place = np.array([*random.uniform(-0.1, 0.1, 2), DISTANCE])
    shape = np.zeros(300)
    shape[:20] = random.normal(0, 0.7, 20)
    return TrackedFrame(
        shapecode=shape.astype(np.float32),
        expcode=random.normal(0, expression, 100).astype(np.float32),
        posecode=pose.astype(np.float32),
        eyecode=eyes.astype(np.float32),
        transform_matrix=np.concatenate([rotation, place[:, None]], 1).astype(np.float32),
        bbox=np.array([0.2, 0.2, 0.8, 0.8], np.float32),
    )


def a_clip(frames: list[TrackedFrame], status: np.ndarray | None = None) -> TrackedSequence:
    """Frames of one person, 25 a second, as a driver."""
    names = ("expcode", "posecode", "eyecode", "transform_matrix", "bbox")
    return TrackedSequence(
        shapecode=frames[0].shapecode[None],
        **{name: np.stack([getattr(frame, name) for frame in frames]) for name in names},
        times=tuple(Fraction(i, 25) for i in range(len(frames))),
        fps=Fraction(25),
        status=np.full(len(frames), SEEN, np.int8) if status is None else status,
        static_offset=frames[0].static_offset,
    )


def seen_points(head: FLAMEModel, frame: TrackedFrame) -> np.ndarray:
    """(478, 3) float32: what a perfect tracker sees of a frame, in pixels of the crop."""
    camera = to_camera(head.evaluate(frame)[:N_POINTS].astype(np.float64), frame.transform_matrix.astype(np.float64))
    distance = frame.transform_matrix[2, 3]
    depth = (camera[:, 2:] - distance) * FOCAL * IMAGE_SIZE / 2 / distance
    return np.concatenate([to_pixels(camera), depth], 1).astype(np.float32)


def degrees_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(...,): the angle by which rotations (..., 3, 3) differ."""
    turn = np.swapaxes(a, -1, -2) @ b
    return np.degrees(np.arccos(np.clip((np.trace(turn, axis1=-2, axis2=-1) - 1) / 2, -1, 1)))
