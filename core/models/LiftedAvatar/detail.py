"""What the photo has and the avatar drawn at the photo's pose has not, as extra colours of its Gaussians."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from core.libs.flame_model import topology as topo
from core.libs.mesh import Sheet

_ROUNDS = 3  # after which what is missing at the photo's pose is next to nothing
_MOST = 0.1  # of a colour's range, that detail may add
_BORDER = 12.0  # pixels inside the matte over which detail comes in
_BESIDE = 0.5  # of it, on hair and ears: they move as one piece, and detail in the wrong place is worse than none
_FACING = (0.35, 0.65)  # cosine to the line of sight over which it comes in: what is edge-on is smeared when it turns


def missing_detail(
    photo: np.ndarray,  # (K, C) RGB and more, of the Gaussians that are pixels of the photo
    colors: np.ndarray,  # (N, C) theirs, then those of the rest
    draw: Callable[[np.ndarray], np.ndarray],  # colours (N, C) to those of the photo's pixels as drawn (K, C)
    weight: np.ndarray,  # (K,) see `detail_weight`
) -> np.ndarray:
    """(N, C) to add to the colours, so that the picture at the photo's pose equals the photo; zero beyond the RGB.

    Drawing is linear in the colours, so this is the same as drawing the detail apart and adding it. What one splat
    blurs is found by repeated correction (Van Cittert's iteration), and bounded smoothly.
    """
    found = colors.copy()
    count = len(photo)
    for _ in range(_ROUNDS):
        found[:count] += photo - draw(found)
    found -= colors
    found[:count, :3] = _MOST * np.tanh(found[:count, :3] / _MOST) * weight[:, None]
    found[:, 3:] = 0
    return found


def detail_weight(
    matte: np.ndarray,  # (S, S)
    owner: np.ndarray,  # (S, S) front triangle of every pixel, -1 where there is none
    sheet: Sheet,
) -> np.ndarray:
    """(S, S) in 0..1: 0 towards the matte's border, on skin seen edge-on, on the shoulders and at the sheet's seams."""
    a, b, c = (sheet.points[sheet.triangles[:, i]] for i in range(3))
    normal = np.cross(b - a, c - a)
    facing = np.abs(normal[:, 2]) / np.maximum(np.linalg.norm(normal, axis=1), 1e-12)
    face = (sheet.triangles < topo.N_POINTS).all(1)
    facing = np.clip((facing - _FACING[0]) / (_FACING[1] - _FACING[0]), 0, 1)
    covered = owner >= 0
    on_face = covered & face[owner]
    # The rim of the face slides over what lies behind it.
    seam = cv2.morphologyEx(on_face.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    inside = cv2.distanceTransform(((matte > 0.95) & covered & (seam == 0)).astype(np.uint8), cv2.DIST_L2, 3)
    most = np.where(face, facing, _BESIDE) * (1 - sheet.torso[sheet.triangles].mean(1))
    weight = np.where(covered, most[owner], 0) * np.clip(inside / _BORDER, 0, 1)
    return cv2.GaussianBlur(weight.astype(np.float32), (0, 0), 2.0)
