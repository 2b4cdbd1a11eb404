"""Faces brought onto each other and into the head's space, and the mirror image of each of their points."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from core.libs.flame_model import topology as topo
from core.libs.geometry import fit_similarity
from tools.open_head.settings import AlignmentSettings

_SETTINGS = AlignmentSettings()


def straighten(points: np.ndarray, settings: AlignmentSettings = _SETTINGS) -> np.ndarray:
    """Generalised Procrustes over the stable points: every set onto their common mean, (N, 478, 3)."""
    align = np.array(topo.STABLE)
    mean = points[0]
    for _ in range(settings.rounds):
        out = onto(points, mean, align)
        mean = out.mean(0)
    return out


def onto(points: np.ndarray, target: np.ndarray, align: np.ndarray) -> np.ndarray:
    """Sets of points (N, 478, 3), each by the similarity that brings its points `align` onto those of `target`."""
    scale, rotation, shift = fit_similarity(points[:, align], target[align])
    return scale[:, None, None] * points @ rotation + shift[:, None]


def mirror_of(mean: np.ndarray, settings: AlignmentSettings = _SETTINGS) -> np.ndarray:
    """For every point, the one on the other side of the face: (478,), the nearest one. Where two points have the same
    one, as with few faces, they are shared out.

    Raises:
        RuntimeError: two points of an iris have the same one: too few faces.
    """
    flipped = mean * [-1, 1, 1]
    scale, rotation, shift = fit_similarity(flipped[None, [33, 263, 1, 152, 10]], mean[[263, 33, 1, 152, 10]])
    flipped = (scale[:, None, None] * flipped[None] @ rotation + shift[:, None])[0]
    for _ in range(settings.mirror_rounds):
        mirror = np.linalg.norm(flipped[:, None] - mean[None], axis=-1).argmin(1)
        mutual = mirror[mirror] == np.arange(len(mean))
        scale, rotation, shift = fit_similarity(flipped[None, mutual], mean[mirror[mutual]])
        flipped = (scale[:, None, None] * flipped[None] @ rotation + shift[:, None])[0]
    if not mutual.all():
        apart = np.linalg.norm(flipped[:, None] - mean[None], axis=-1)
        skin = np.setdiff1d(np.arange(len(mean)), [*topo.RIGHT_IRIS, *topo.LEFT_IRIS])
        if not mutual[skin].all():
            mirror[skin] = skin[_pairs((apart + apart.T)[np.ix_(skin, skin)])]
    mirror[list(topo.RIGHT_IRIS)], mirror[list(topo.LEFT_IRIS)] = topo.LEFT_IRIS, topo.RIGHT_IRIS
    # The border points of an iris run the other way round in the mirror.
    right, left = list(topo.RIGHT_IRIS), list(topo.LEFT_IRIS)
    for a in right[1:]:
        b = left[1 + int(np.linalg.norm(flipped[a] - mean[left[1:]], axis=-1).argmin())]
        mirror[a], mirror[b] = b, a
    if not (mirror[mirror] == np.arange(len(mean))).all():
        raise RuntimeError("the irises have no mirror image: too few faces")
    return mirror


def _pairs(apart: np.ndarray) -> np.ndarray:
    """For each of N points the one that it is paired with, itself perhaps, by their distances (N, N).

    Those whose distances are smallest together; where that does not go both ways, the nearest pairs are made first.
    """
    pair = linear_sum_assignment(apart)[1]
    left = pair[pair] != np.arange(len(pair))
    for flat in np.argsort(np.where(left[:, None] & left, apart, np.inf), axis=None, kind="stable"):
        a, b = np.unravel_index(flat, apart.shape)
        if not left.any():
            break
        if left[a] and left[b]:
            pair[a], pair[b] = b, a
            left[[a, b]] = False
    return pair


def mirrored(moves: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Moves (N, 478, 3) as the other side of the face makes them."""
    return moves[:, mirror] * [-1, 1, 1]


def place(mean: np.ndarray, mirror: np.ndarray, settings: AlignmentSettings = _SETTINGS) -> np.ndarray:
    """The mean face made symmetric, upright, of metric size in head units, with the head's centre as the origin."""
    mean = mean - mean.mean(0)
    reflected = (mean * [-1, 1, 1])[mirror]
    scale, rotation, shift = fit_similarity(reflected[None], mean)
    mean = (mean + (scale[:, None, None] * reflected[None] @ rotation + shift[:, None])[0]) / 2
    left = mean[454] - mean[234]
    up = mean[10] - mean[152]
    x = left / np.linalg.norm(left)
    y = up - x * (x @ up)
    y /= np.linalg.norm(y)
    mean = mean @ np.stack([x, y, np.cross(x, y)], 1)
    mean = (mean + (mean * [-1, 1, 1])[mirror]) / 2
    mean *= settings.face_width * settings.scale / (mean[454, 0] - mean[234, 0])
    box = np.ptp(mean[: topo.N_FACE], axis=0)
    centre = (mean[: topo.N_FACE].max(0) + mean[: topo.N_FACE].min(0)) / 2
    # A head's centre lies above and behind the middle of its face.
    mean -= [0, centre[1] + settings.centre * box[1], mean[234, 2]]
    return mean
