"""Directions, eye codes and faces that the tests of gaze share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation
from synthetic_head import a_frame

from core.data.records import TrackedFrame


def directed(pitch: float, yaw: float) -> np.ndarray:
    """A unit direction of pitch and yaw in degrees."""
    p, y = np.radians([pitch, yaw])
    return np.array([np.cos(p) * np.sin(y), np.sin(p), np.cos(p) * np.cos(y)])


def looks(code: np.ndarray) -> np.ndarray:
    """Directions (2, 3) of an eye code (6,), by scipy."""
    return Rotation.from_rotvec(np.asarray(code, np.float64).reshape(2, 3)).apply([0.0, 0.0, 1.0])


def degrees(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), (a * b).sum(-1)))


def plain_face() -> TrackedFrame:
    """A person without expression, eyes straight."""
    frame = a_frame(np.random.default_rng(2))
    return replace(frame, expcode=0 * frame.expcode, posecode=0 * frame.posecode, eyecode=0 * frame.eyecode)


def coded(frame: TrackedFrame, pitch: float, yaw: float) -> TrackedFrame:
    """The frame with both eyes turned, without torsion, to look at a pitch and yaw in degrees."""
    x, y, z = directed(pitch, yaw)
    turn = np.arccos(z) / max(np.hypot(x, y), 1e-9) * np.array([-y, x, 0])
    return replace(frame, eyecode=np.tile(turn, 2).astype(np.float32))


def aimed(pitch: float, yaw: float) -> np.ndarray:
    """The code of one eye without torsion that looks at a pitch and yaw in degrees."""
    x, y, z = directed(pitch, yaw)
    return np.arccos(z) / max(np.hypot(x, y), 1e-9) * np.array([-y, x, 0])
