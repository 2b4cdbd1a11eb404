"""What is measured about a face's motion on the face tracker's points alone.

Points are the face tracker's (..., 478, 3): x to the right and y down in pixels, z away from the camera at the scale of
x. Angles are in degrees. Everything about expression and gaze is measured on points that were turned back by
the head's own rotation, so that turning the head opens no mouth and moves no gaze. Nothing here uses the head model or
its fit.
"""

from __future__ import annotations

import numpy as np

N_POINTS = 478

# The mesh vertices that lie nearest to the 68 points of the Multi-PIE/iBUG annotation (Sagonas et al., 300-W, 2013), in
# its order: 17 jaw, 10 brows, 9 nose, 12 eyes, 20 mouth.
LANDMARKS_68 = (
    *(162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389),
    *(71, 63, 105, 66, 107, 336, 296, 334, 293, 301),
    *(168, 197, 5, 4, 75, 97, 2, 326, 305),
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87),
)

# Points that expression hardly moves, with their place on a mean face in thousandths of its radius: the generalised
# Procrustes mean of the tracker's points on 40 people (the crops in ../shared/data/vfhq_demo) and their mirror images.
_STABLE = {
    10: (0, -929, -351),
    151: (0, -655, -384),
    9: (0, -368, -396),
    8: (0, -226, -359),
    168: (0, -95, -335),
    6: (0, 50, -395),
    197: (0, 183, -466),
    195: (0, 307, -543),
    5: (0, 440, -624),
    4: (0, 590, -655),
    1: (0, 699, -611),
    2: (0, 781, -335),
    **{33: (-767, -81, 52), 263: (767, -81, 52)},
    **{133: (-305, -41, -47), 362: (305, -41, -47)},
    **{98: (-287, 730, -195), 327: (287, 730, -195)},
    **{54: (-1040, -699, 247), 284: (1040, -699, 247)},
    **{162: (-1217, -343, 720), 389: (1217, -343, 720)},
    **{127: (-1235, -100, 922), 356: (1235, -100, 922)},
    **{234: (-1222, 144, 1027), 454: (1222, 144, 1027)},
}
STABLE_POINTS = tuple(_STABLE)
STABLE_TEMPLATE = np.array(list(_STABLE.values()), np.float64) / 1000  # (26, 3)

# Right and left eye of the person: the corner towards the picture's left, towards its right, the iris centre, and the
# upper and lower points of two lid pairs.
_EYES = (((33, 133), 468, ((160, 144), (158, 153))), ((362, 263), 473, ((385, 380), (387, 373))))
_BROWS = ((105, 66, 107), (334, 296, 336))  # upper edge of the right and the left brow
_LIPS = ((82, 87), (13, 14), (312, 317))  # upper and lower point of the inner lip line


def akd(points: np.ndarray, truth: np.ndarray) -> float:
    """Average keypoint distance in pixels: the mean distance in the picture plane over `LANDMARKS_68`.

    As in Siarohin et al. (First Order Motion Model, 2019), with the mesh tracker's points instead of a 68-point
    detector's. `points`, `truth`: (478, 2 or 3).
    """
    index = np.array(LANDMARKS_68)
    return float(np.linalg.norm(points[index, :2] - truth[index, :2], axis=1).mean(dtype=np.float64))


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's correlation of two series (T,), or of two series of vectors (T, D), the covariances summed over D.

    NaN where one of them does not change.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape or len(a) < 2:
        raise ValueError(f"expected two series of one shape and at least two values, got {a.shape} and {b.shape}")
    a, b = a - a.mean(0), b - b.mean(0)
    power = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / power) if power > 0 else float("nan")


def procrustes(points: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The similarity that maps points onto a target with least squared error (Umeyama 1991).

    Args:
        points: (..., N, 3). target: (..., N, 3).
    Returns:
        scale (...,), rotation (..., 3, 3), translation (..., 3): target ~ scale * points @ rotation.T + translation.
    """
    points, target = np.asarray(points, np.float64), np.asarray(target, np.float64)
    centre, goal = points.mean(-2), target.mean(-2)
    a, b = points - centre[..., None, :], target - goal[..., None, :]
    u, s, vt = np.linalg.svd(np.swapaxes(b, -1, -2) @ a)
    sign = np.stack([np.ones_like(s[..., 0]), np.ones_like(s[..., 0]), np.sign(np.linalg.det(u @ vt))], -1)
    rotation = (u * sign[..., None, :]) @ vt
    scale = (s * sign).sum(-1) / np.square(a).sum((-1, -2))
    return scale, rotation, goal - scale[..., None] * np.einsum("...ij,...j->...i", rotation, centre)


def head_rotation(points: np.ndarray) -> np.ndarray:
    """(..., 3, 3): the rotation of the head, from `STABLE_TEMPLATE` to the points (..., 478, 3)."""
    stable = _checked_points(points)[..., list(STABLE_POINTS), :]
    return procrustes(np.broadcast_to(STABLE_TEMPLATE, stable.shape), stable)[1]


def head_angles(points: np.ndarray) -> np.ndarray:
    """(..., 3) yaw, pitch, roll in degrees of the points (..., 478, 3).

    Zero is the mean face seen from the front. Yaw grows as the nose turns to the picture's right, pitch as it rises,
    roll as the head tilts clockwise in the picture. The rotation is roll after yaw after pitch.
    """
    r = head_rotation(points)
    pitch = -np.arctan2(r[..., 2, 1], r[..., 2, 2])
    yaw = -np.arcsin(np.clip(-r[..., 2, 0], -1, 1))
    roll = np.arctan2(r[..., 1, 0], r[..., 0, 0])
    return np.degrees(np.stack([yaw, pitch, roll], -1))


def rotation_between(points: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """(...,) degrees: how far the heads (..., 478, 3) of one person are turned against each other, about any axis.

    The angle of the similarity that maps the reference's stable points onto the other's: the person's own face is the
    template, so that no mean face stands between.
    """
    index = list(STABLE_POINTS)
    target = _checked_points(points)[..., index, :]
    start = np.broadcast_to(_checked_points(reference)[..., index, :], target.shape)
    rotation = procrustes(start, target)[1]
    cosine = (np.trace(rotation, axis1=-2, axis2=-1) - 1) / 2
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def mouth_opening(points: np.ndarray) -> np.ndarray:
    """(...,): the mean 3D distance of the inner lips at three places, over the distance of the outer eye corners."""
    points = _checked_points(points)
    opening = np.mean([_distance(points, upper, lower) for upper, lower in _LIPS], axis=0)
    return opening / _distance(points, 33, 263)


def eye_opening(points: np.ndarray) -> np.ndarray:
    """(..., 2): the eye aspect ratio of the right and the left eye, in 3D.

    The mean distance of two pairs of lid points over the distance of the eye's corners (Soukupova and Cech 2016).
    """
    points = _checked_points(points)
    return np.stack([np.mean([_distance(points, *pair) for pair in lids], 0) / _distance(points, *corners)
                     for corners, _, lids in _EYES], -1)  # fmt: skip


def usual_opening(ratios: np.ndarray, part: float = 0.5) -> np.ndarray:
    """(2,): how far a person's eyes are open when they are open, of `eye_opening` over time (T, 2).

    The median of the frames that are more than `part` of the widest tenth's, eye by eye.
    """
    return np.array([np.median(r[r > part * np.percentile(r, 90)]) for r in ratios.T])


def gaze(points: np.ndarray) -> np.ndarray:
    """(..., 2): where the irises stand between the corners of their eyes, mean of both eyes.

    The iris centre's offset from the middle between the corners over the distance of the corners, after the head's
    rotation is undone: first along the line of the corners, growing to the picture's right, then across it, growing
    downwards. About +-.2.
    """
    points = _checked_points(points) @ head_rotation(points)  # rows times R undo p = R q
    values = []
    for (start, end), iris, _ in _EYES:
        line = points[..., end, :2] - points[..., start, :2]
        offset = points[..., iris, :2] - (points[..., end, :2] + points[..., start, :2]) / 2
        along = (offset * line).sum(-1)
        across = line[..., 0] * offset[..., 1] - line[..., 1] * offset[..., 0]
        values.append(np.stack([along, across], -1) / np.square(line).sum(-1)[..., None])
    return np.mean(values, axis=0)


def gaze_angles(points: np.ndarray, corners_over_radius: float = 3.0) -> np.ndarray:
    """(..., 2) degrees: the direction of `gaze`, to the picture's right and downwards, in the head's own frame.

    asin(corners_over_radius * offset): the corners of an adult's eye are about 30 mm apart, and the pupil turns about a
    point some 10 mm behind it. What is zero depends on the face, so only differences mean something.
    """
    return np.degrees(np.arcsin(np.clip(corners_over_radius * gaze(points), -1, 1)))


def angle_between_gazes(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(...,) degrees between directions given as angles (..., 2) to the right and down, as from `gaze_angles`."""

    def direction(angles: np.ndarray) -> np.ndarray:
        x, y = np.moveaxis(np.radians(angles), -1, 0)
        return np.stack([np.sin(x) * np.cos(y), np.sin(y), np.cos(x) * np.cos(y)], -1)

    u, v = direction(np.asarray(a, np.float64)), direction(np.asarray(b, np.float64))
    return np.degrees(np.arctan2(np.linalg.norm(np.cross(u, v), axis=-1), (u * v).sum(-1)))


def brow_height(points: np.ndarray) -> np.ndarray:
    """(..., 2): how high the right and the left brow stand above the middle of their eye's corners.

    In the upright head's frame, over the distance of the outer eye corners.
    """
    points = _checked_points(points) @ head_rotation(points)
    middles = [points[..., list(corners), 1].mean(-1) for corners, *_ in _EYES]
    brows = [points[..., list(brow), 1].mean(-1) for brow in _BROWS]
    return (np.stack(middles, -1) - np.stack(brows, -1)) / _distance(points, 33, 263)[..., None]


def mouth_width(points: np.ndarray) -> np.ndarray:
    """(...,): the 3D distance of the mouth's corners over that of the outer eye corners."""
    points = _checked_points(points)
    return _distance(points, 61, 291) / _distance(points, 33, 263)


def expression(points: np.ndarray) -> np.ndarray:
    """(..., 6): mouth opening, mouth width, eye openings, brow heights, all over the distance of outer eye corners.

    Eye openings here are lid distances over that common length, so that all six share one unit.
    """
    checked = _checked_points(points)
    lids = np.stack([np.mean([_distance(checked, *pair) for pair in lids], 0) for _, _, lids in _EYES], -1)
    lids = lids / _distance(checked, 33, 263)[..., None]
    mouth = np.stack([mouth_opening(checked), mouth_width(checked)], -1)
    return np.concatenate([mouth, lids, brow_height(checked)], -1)


def _distance(points: np.ndarray, a: int, b: int) -> np.ndarray:
    return np.linalg.norm(points[..., a, :] - points[..., b, :], axis=-1)


def _checked_points(points: np.ndarray) -> np.ndarray:
    points = np.asarray(points, np.float64)
    if points.shape[-2:] != (N_POINTS, 3):
        raise ValueError(f"expected points (..., {N_POINTS}, 3), got {points.shape}")
    return points
