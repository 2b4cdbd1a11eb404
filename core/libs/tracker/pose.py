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
    columns = person.T.copy()
    shares = weights / weights.sum()
    middle = columns @ shares
    normal, right = np.empty((6, 6)), np.empty(6)
    for t in range(len(rotation)):
        seen, deep = rays[t].T.copy(), relief[t] @ shares
        for _ in range(rounds):
            place = rotation[t], shift[t]
            _equations(columns, seen, relief[t], weights, place, (middle, deep), depth_weight, outlier, normal, right)
            step = -np.linalg.solve(normal, right)
            rotation[t] = rotation[t].copy() @ np.ascontiguousarray(_turn(step[:3]))
            shift[t] += step[3:]


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _equations(person, rays, relief, weights, place, means, depth_weight, outlier, normal, right):
    """Fills the normal equations of one frame, (6, 6) and (6,); `person` is (3, N), `rays` (2, N), `means` those of the
    person's points and of the relief. One loop of sums along rows, which compiles to vector instructions.
    """
    (rotation, shift), (middle, deep) = place, means
    r00, r01, r02 = rotation[0, 0], rotation[0, 1], rotation[0, 2]
    r10, r11, r12 = rotation[1, 0], rotation[1, 1], rotation[1, 2]
    r20, r21, r22 = rotation[2, 0], rotation[2, 1], rotation[2, 2]
    right_by, up_by, distance = shift[0], shift[1], shift[2]
    mean_x = middle[0] * r00 + middle[1] * r10 + middle[2] * r20
    mean_y = middle[0] * r01 + middle[1] * r11 + middle[2] * r21
    # The constant of the relief, and what it does to the derivative of a depth, by weighted means.
    mean = middle[0] * r02 + middle[1] * r12 + middle[2] * r22 + deep
    inverse = 1 / outlier**2
    n00 = n01 = n02 = n03 = n04 = n05 = n11 = n12 = n13 = n14 = n15 = 0.0
    n22 = n23 = n24 = n25 = n33 = n35 = n44 = n45 = n55 = 0.0
    g0 = g1 = g2 = g3 = g4 = g5 = 0.0
    for i in range(person.shape[1]):
        x = person[0, i] * r00 + person[1, i] * r10 + person[2, i] * r20
        y = person[0, i] * r01 + person[1, i] * r11 + person[2, i] * r21
        d = person[0, i] * r02 + person[1, i] * r12 + person[2, i] * r22
        part = 1 / (d + distance)
        u, v, scale = (x + right_by) * part, (y + up_by) * part, distance * part
        # d (u, v) * distance by a turn about the camera's axes, then by a shift; a turn w moves q by w x q.
        a0, a1, a2, a3, a5 = -u * y * scale, (d + u * x) * scale, -y * scale, scale, -u * scale
        b0, b1, b2, b4, b5 = -(d + v * y) * scale, v * x * scale, x * scale, scale, -v * scale
        c0, c1 = mean_y - y, x - mean_x
        seen_x, seen_y = (u - rays[0, i]) * distance, (v - rays[1, i]) * distance
        gap = mean - d - relief[i]
        w = weights[i] / (1 + (seen_x * seen_x + seen_y * seen_y) * inverse)
        wc0, wc1 = w * depth_weight * c0, w * depth_weight * c1
        wa0, wa1, wa2, wa3, wa5 = w * a0, w * a1, w * a2, w * a3, w * a5
        wb0, wb1, wb2, wb4, wb5 = w * b0, w * b1, w * b2, w * b4, w * b5
        n00 += wa0 * a0 + wb0 * b0 + wc0 * c0
        n01 += wa0 * a1 + wb0 * b1 + wc0 * c1
        n02 += wa0 * a2 + wb0 * b2
        n03 += wa0 * a3
        n04 += wb0 * b4
        n05 += wa0 * a5 + wb0 * b5
        n11 += wa1 * a1 + wb1 * b1 + wc1 * c1
        n12 += wa1 * a2 + wb1 * b2
        n13 += wa1 * a3
        n14 += wb1 * b4
        n15 += wa1 * a5 + wb1 * b5
        n22 += wa2 * a2 + wb2 * b2
        n23 += wa2 * a3
        n24 += wb2 * b4
        n25 += wa2 * a5 + wb2 * b5
        n33 += wa3 * a3
        n35 += wa3 * a5
        n44 += wb4 * b4
        n45 += wb4 * b5
        n55 += wa5 * a5 + wb5 * b5
        g0 += wa0 * seen_x + wb0 * seen_y + wc0 * gap
        g1 += wa1 * seen_x + wb1 * seen_y + wc1 * gap
        g2 += wa2 * seen_x + wb2 * seen_y
        g3 += wa3 * seen_x
        g4 += wb4 * seen_y
        g5 += wa5 * seen_x + wb5 * seen_y
    upper = (n00, n01, n02, n03, n04, n05, n11, n12, n13, n14, n15, n22, n23, n24, n25, n33, 0.0, n35, n44, n45, n55)
    k = 0
    for a in range(6):
        for b in range(a, 6):
            normal[a, b] = normal[b, a] = upper[k]
            k += 1
        normal[a, a] += 1e-9
    right[0], right[1], right[2], right[3], right[4], right[5] = g0, g1, g2, g3, g4, g5


@numba.njit(cache=True, nogil=True)
def _turn(vector):
    """The matrix for row vectors, q @ M, of a rotation vector (Rodrigues)."""
    angle = np.sqrt((vector**2).sum())
    x, y, z = vector / max(angle, 1e-12)
    cross = np.array([[0.0, z, -y], [-z, 0.0, x], [y, -x, 0.0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)
