"""A driver's track as a worse tracker would have it: what the improvements are to take out again, in known amounts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from core.data.records import FOCAL, IMAGE_SIZE, TrackedSequence
from core.errors import UserError
from core.libs.flame_model import OpenHead
from core.libs.flame_model.topology import N_POINTS, STABLE
from core.libs.tracker.fit import HeadFitter
from core.libs.tracker.refit import tracked_points


def add_tracking_noise(
    track: TrackedSequence,
    seed: int = 0,
    rotation: float = 0.8,
    translation: float = 1.5,
    landmark: float = 0.7,
    *,
    head: OpenHead | None = None,
) -> TrackedSequence:
    """The track with white noise on every frame, the same for the same seed.

    The noise of the landmarks goes the way that a tracker's would: it is added to the points that the codes stand for,
    and the codes are fitted to them again, with the pose known. Pose and codes are noisy independently.

    Args:
        track: of the open head.
        rotation: standard deviation in degrees about each axis of the camera, about the middle of the face.
        translation: standard deviation in pixels of the 512-pixel crop along each axis, at the face's distance.
        landmark: standard deviation in pixels of each of the 478 points, in x, y and depth.
        head: that of the track; the built-in one where it is left out.

    Raises:
        UserError: the track is of another head.
    """
    head = head or OpenHead()
    if track.head != head.kind:
        raise UserError(f"tracking noise is made for the {head.kind} head, this driver is of the {track.head} head")
    random = np.random.default_rng(seed)
    vertices = np.stack([head.evaluate(frame)[:N_POINTS] for frame in track]).astype(np.float64)
    transform = track.transform_matrix.astype(np.float64)
    fitter = HeadFitter(head)
    points = tracked_points(vertices, transform)
    clean = fitter.fit(points, transform)
    noisy = fitter.fit(points + random.normal(0, landmark, points.shape), transform)
    codes = {
        name: (getattr(track, name) + getattr(noisy, name) - getattr(clean, name)).astype(np.float32)
        for name in ("expcode", "posecode", "eyecode")
    }
    middle = vertices[:, list(STABLE)].mean(1)
    turned = _shaken(transform, middle, random, np.radians(rotation), translation)
    return replace(track, **codes, transform_matrix=turned.astype(np.float32))


def _shaken(
    transform: np.ndarray, middle: np.ndarray, random: np.random.Generator, rotation: float, translation: float
) -> np.ndarray:
    """Transforms (T, 3, 4), each turned about where it puts `middle` (T, 3), and shifted."""
    turns = Rotation.from_rotvec(random.normal(0, rotation, (len(transform), 3))).as_matrix()
    turned = transform[..., :3] @ np.swapaxes(turns, 1, 2)
    place = np.einsum("tk,tkl->tl", middle, transform[..., :3]) + transform[..., 3]
    unit = place[:, 2:] / (FOCAL * IMAGE_SIZE / 2)  # of a pixel there, in head units
    place = place + random.normal(0, translation, place.shape) * unit
    return np.concatenate([turned, (place - np.einsum("tk,tkl->tl", middle, turned))[..., None]], -1)
