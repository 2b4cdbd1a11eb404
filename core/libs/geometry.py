"""Cameras and alignments that the stations share. Row vectors throughout: `q = p @ R + t`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.data.records import FOCAL, IMAGE_SIZE

NECK = np.array([0.0, -0.55, -0.25])  # where a head turns on the shoulders, head units
FLIP = np.array([-1.0, 1.0, -1.0])  # upright (x right, y up, z to the viewer) to the camera's axes


@dataclass(frozen=True)
class Camera:
    """The pinhole camera of a square picture, its axis through the middle; pixel centres are integers.

    Attributes:
        size: of a side, pixels. focal: 1 / tan of half the field of view.
        window: x, y, width and height of the part that is drawn, in pixels of the square, which it may reach beyond;
            None: all of the square. Pixels count from the window's corner.
    """

    size: int = IMAGE_SIZE
    focal: float = FOCAL
    window: tuple[int, int, int, int] | None = None

    @property
    def corner(self) -> np.ndarray:
        """(2,) x and y of the left upper pixel that is drawn, in those of the square."""
        return np.array((0, 0) if self.window is None else self.window[:2])

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of what is drawn."""
        return (self.size, self.size) if self.window is None else (self.window[3], self.window[2])

    @property
    def pixels_per_unit(self) -> float:
        """Pixels that a head unit takes at a distance of one head unit."""
        return self.focal * self.size / 2

    @property
    def scale(self) -> float:
        """Pixels of this picture for one of a 512-pixel picture, in which settings state their lengths."""
        return self.size / IMAGE_SIZE

    def to_pixels(self, points: np.ndarray) -> np.ndarray:
        """Pixels (..., 2) of points in the camera frame (..., 3)."""
        pixels = ((1 - self.focal * points[..., :2] / points[..., 2:3]) * self.size - 1) / 2
        return pixels if self.window is None else pixels - self.corner

    def unproject(self, pixels: np.ndarray) -> np.ndarray:
        """x / z and y / z in the camera frame (..., 2) under pixels (..., 2): the inverse of `to_pixels`."""
        pixels = pixels if self.window is None else pixels + self.corner
        return (1 - (2 * pixels + 1) / self.size) / self.focal

    def widened(self, margin: int) -> Camera:
        """The camera at the same place that sees `margin` pixels more on every side."""
        side = self.size + 2 * margin
        return Camera(side, self.focal * self.size / side)

    def odd(self, pixels: int) -> int:
        """An odd length in pixels of a 512-pixel picture as the nearest odd one, at least 3, of this picture."""
        return max(2 * round((pixels - 1) / 2 * self.scale) + 1, 3)


def fit_similarity(
    points: np.ndarray,  # (..., N, 3)
    target: np.ndarray,  # (N, 3) or (..., N, 3)
    weights: np.ndarray | None = None,  # (N,) or (..., N)
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scale (...,), rotation (..., 3, 3) and shift (..., 3) with `scale * points @ rotation + shift ~ target`.

    Least squares (Umeyama, PAMI 1991).
    """
    source = np.asarray(points, np.float64)
    goal = np.broadcast_to(np.asarray(target, np.float64), source.shape)
    shares = np.ones(source.shape[-2:-1]) if weights is None else np.asarray(weights, np.float64)
    shares = (shares / shares.sum(-1, keepdims=True))[..., None, :]  # (..., 1, N)
    middle, goal_middle = shares @ source, shares @ goal
    source, goal = source - middle, goal - goal_middle
    weighted = np.swapaxes(source, -1, -2) * shares
    left, spread, right = np.linalg.svd(weighted @ goal)
    sign = np.ones(spread.shape)
    sign[..., 2] = np.linalg.det(left) * np.linalg.det(right)  # of a mirror image the turn that is nearest to it
    rotation = (left * sign[..., None, :]) @ right
    scale = (spread * sign).sum(-1) / np.einsum("...kn,...nk->...", weighted, source)
    shift = goal_middle - scale[..., None, None] * middle @ rotation
    return scale, rotation, shift[..., 0, :]


def turned(vectors: np.ndarray, rotvecs: np.ndarray) -> np.ndarray:
    """Vectors (..., 3) turned by axis-angles (..., 3): Rodrigues' formula, for few of them much faster than scipy."""
    angle = np.linalg.norm(rotvecs, axis=-1, keepdims=True)
    axis = rotvecs / np.maximum(angle, 1e-12)
    along = axis * (axis * vectors).sum(-1, keepdims=True)
    return along + np.cos(angle) * (vectors - along) + np.sin(angle) * np.cross(axis, vectors)


def head_angles(rotation: np.ndarray) -> np.ndarray:
    """Roll, yaw and pitch in radians (..., 3) of head-to-camera rotations (..., 3, 3), zero seen from the front.

    Pitch turns the head about its own ears' line, then yaw about the vertical, then roll about the line of sight.
    """
    turns = np.swapaxes(np.asarray(rotation, np.float64), -1, -2) * FLIP
    upright = np.hypot(turns[..., 0, 0], turns[..., 1, 0])
    roll = np.arctan2(turns[..., 1, 0], turns[..., 0, 0])
    return np.stack([roll, np.arctan2(-turns[..., 2, 0], upright), np.arctan2(turns[..., 2, 1], turns[..., 2, 2])], -1)


def head_rotation(angles: np.ndarray) -> np.ndarray:
    """The inverse of `head_angles`: (..., 3) to (..., 3, 3)."""
    (roll, yaw, pitch), zero, one = np.moveaxis(angles, -1, 0), np.zeros(angles.shape[:-1]), np.ones(angles.shape[:-1])
    about_z = [np.cos(roll), -np.sin(roll), zero, np.sin(roll), np.cos(roll), zero, zero, zero, one]
    about_y = [np.cos(yaw), zero, np.sin(yaw), zero, one, zero, -np.sin(yaw), zero, np.cos(yaw)]
    about_x = [one, zero, zero, zero, np.cos(pitch), -np.sin(pitch), zero, np.sin(pitch), np.cos(pitch)]
    z, y, x = (np.stack(turn, -1).reshape(*zero.shape, 3, 3) for turn in (about_z, about_y, about_x))
    return np.swapaxes(z @ y @ x * FLIP, -1, -2)


def to_pixels(camera: np.ndarray, size: int = IMAGE_SIZE) -> np.ndarray:
    """Pixels (..., 2) of points in the camera frame (..., 3); pixel centres at integers."""
    return Camera(size).to_pixels(camera)


def to_camera(vertices: np.ndarray, transform: np.ndarray) -> np.ndarray:
    """Head space (..., V, 3) to the camera frame under `transform` (..., 3, 4)."""
    return vertices @ transform[..., :3] + transform[..., None, :, 3]


def seen_from(transform: np.ndarray, view: np.ndarray | None) -> np.ndarray:
    """Head to camera (..., 3, 4) of a camera that was moved by a view (..., 3, 4); the transform itself without one."""
    if view is None:
        return transform
    turn = view[..., :3]
    rotation = transform[..., :3].astype(np.float64) @ turn
    shift = transform[..., None, :, 3].astype(np.float64) @ turn + view[..., None, :, 3]
    return np.concatenate([rotation, np.swapaxes(shift, -1, -2)], -1).astype(np.float32)


def unproject(pixels: np.ndarray, size: int = IMAGE_SIZE) -> np.ndarray:
    """x / z and y / z in the camera frame (..., 2) under pixels (..., 2): the inverse of `to_pixels`."""
    return Camera(size).unproject(pixels)


def apply_torso_motion(points: np.ndarray, pivot: np.ndarray, torso_motion: np.ndarray) -> np.ndarray:
    """Shoulders after a motion as `core.libs.tracker.torso` finds it: (N, 3) in the camera frame.

    Args:
        points: (N, 3) in the camera frame. pivot: (3,), where the neck was.
        torso_motion: (4,) shift left and up at the pivot in head units, roll, logarithm of the growth.
    """
    growth = np.exp(float(torso_motion[3]))
    c, s = growth * np.cos(float(torso_motion[2])), growth * np.sin(float(torso_motion[2]))
    middle = pivot[:2] / pivot[2]
    rays = (points[:, :2] / points[:, 2:] - middle) @ np.array([[c, s], [-s, c]]) + middle + torso_motion[:2] / pivot[2]
    depth = points[:, 2:] / growth
    return np.concatenate([rays * depth, depth], 1)
