"""The pose of a rigid head from its points in the picture, and poses of one head model as those of another."""

from __future__ import annotations

import numba
import numpy as np

from core.libs.tracker.settings import FlameFitSettings, PoseFitSettings

_SETTINGS, _FLAME = PoseFitSettings(), FlameFitSettings()


def refine_pose(
    rotation: np.ndarray,  # (T, 3, 3)
    shift: np.ndarray,  # (T, 3)
    person: np.ndarray,  # (N, 3)
    rays: np.ndarray,  # (T, N, 2) x / z and y / z seen
    relief: np.ndarray,  # (T, N) towards the viewer, head units, up to a constant
    weights: np.ndarray,  # (N,)
    settings: PoseFitSettings = _SETTINGS,
) -> tuple[np.ndarray, np.ndarray]:
    """Poses that explain where the points are seen, by Gauss-Newton with Cauchy weights.

    Where a point is seen is measured ten times better than how deep it lies, and a tracker's depths sway with the
    expression. So they only break ties.
    """
    rotation, shift = np.array(rotation, np.float64), np.array(shift, np.float64)
    arrays = (np.ascontiguousarray(a, np.float64) for a in (person, rays, relief, weights))
    _refine(rotation, shift, *arrays, settings.depth_weight, settings.rounds, settings.outlier)
    return rotation, shift


def follow_poses(
    fitted: np.ndarray,  # (T, 3, 4) of this head
    steady: np.ndarray,  # (T, 3, 4) of another head on the same person
    settings: FlameFitSettings = _FLAME,
) -> tuple[np.ndarray, np.ndarray, float]:
    """How poses of one head become poses of another, (3, 3), (3,) and a scale for `carry_poses`.

    The other head differs by a similarity that is the same in all frames. Its turn is the mean of what is seen; its
    shift and scale are a least squares problem, drawn to none by a prior where the head hardly moves.
    """
    from scipy.spatial.transform import Rotation  # a run that finds photo and driver in the cache does without it

    turns = fitted[..., :3].astype(np.float64) @ np.swapaxes(steady[..., :3].astype(np.float64), -1, -2)
    turn = Rotation.from_matrix(turns).mean().as_matrix()
    # fitted shift = origin @ steady turn + scale * steady shift
    rows = np.concatenate([np.swapaxes(steady[..., :3], -1, -2), steady[..., 3:]], -1).astype(np.float64)
    weight = np.array([1.0, 1.0, 0.1])[:, None] / settings.shift_noise  # depths are found from sizes
    rows, goal = rows * weight, fitted[..., 3:].astype(np.float64) * weight
    prior = np.array([0.0, 0.0, 0.0, 1.0])
    precision = np.array([1.0, 1.0, 1.0, 1.0]) / settings.similarity_deviation**2
    normal = np.einsum("tai,taj->ij", rows, rows) + np.diag(precision)
    solved = np.linalg.solve(normal, np.einsum("tai,ta->i", rows, goal[..., 0]) + precision * prior)
    return turn, solved[:3], float(solved[3])


def carry_poses(steady: np.ndarray, turn: np.ndarray, origin: np.ndarray, scale: float) -> np.ndarray:  # (T, 3, 4)
    """Poses (T, 3, 4) of one head as those of another; see `follow_poses`."""
    rotation = steady[..., :3].astype(np.float64)
    shift = origin @ rotation + scale * steady[..., 3]
    return np.concatenate([turn @ rotation, shift[..., None]], -1).astype(np.float32)


@numba.njit(cache=True, nogil=True)
def _refine(rotation, shift, person, rays, relief, weights, depth_weight, rounds, outlier):
    n = len(person)
    turned = np.empty((n, 3))
    jacobian = np.empty((3, 6))
    total = weights.sum()
    for t in range(len(rotation)):
        for _ in range(rounds):
            turned[:] = person @ rotation[t].copy()
            distance = shift[t, 2]
            # The constant of the relief, and what it does to the derivative of a depth, by weighted means.
            mean, mean_x, mean_y = 0.0, 0.0, 0.0
            for i in range(n):
                mean -= weights[i] * (turned[i, 2] + relief[t, i])
                mean_x += weights[i] * turned[i, 0]
                mean_y += weights[i] * turned[i, 1]
            mean, mean_x, mean_y = mean / total, mean_x / total, mean_y / total
            normal = np.eye(6) * 1e-9
            right = np.zeros(6)
            for i in range(n):
                x, y, d = turned[i, 0], turned[i, 1], turned[i, 2]
                z = d + shift[t, 2]
                u, v = (x + shift[t, 0]) / z, (y + shift[t, 1]) / z
                scale = distance / z
                # d (u, v) * distance by a turn about the camera's axes, then by a shift; a turn w moves q by w x q.
                jacobian[0] = (-u * y * scale, (d + u * x) * scale, -y * scale, scale, 0.0, -u * scale)
                jacobian[1] = ((-d - v * y) * scale, v * x * scale, x * scale, 0.0, scale, -v * scale)
                jacobian[2] = (-(y - mean_y), x - mean_x, 0.0, 0.0, 0.0, 0.0)
                seen_x, seen_y = (u - rays[t, i, 0]) * distance, (v - rays[t, i, 1]) * distance
                deep = -(d + relief[t, i]) - mean
                robust = weights[i] / (1 + (seen_x * seen_x + seen_y * seen_y) / outlier**2)
                for a in range(6):
                    ja, jb, jc = (
                        robust * jacobian[0, a],
                        robust * jacobian[1, a],
                        robust * depth_weight * jacobian[2, a],
                    )
                    right[a] += ja * seen_x + jb * seen_y + jc * deep
                    for b in range(a, 6):
                        normal[a, b] += ja * jacobian[0, b] + jb * jacobian[1, b] + jc * jacobian[2, b]
            for a in range(6):
                for b in range(a):
                    normal[a, b] = normal[b, a]
            step = -np.linalg.solve(normal, right)
            rotation[t] = rotation[t].copy() @ np.ascontiguousarray(_turn(step[:3]))
            shift[t] += step[3:]


@numba.njit(cache=True, nogil=True)
def _turn(vector):
    """The matrix for row vectors, q @ M, of a rotation vector (Rodrigues)."""
    angle = np.sqrt((vector**2).sum())
    x, y, z = vector / max(angle, 1e-12)
    cross = np.array([[0.0, z, -y], [-z, 0.0, x], [y, -x, 0.0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)
