"""What the photo has and the avatar drawn at the photo's pose has not, as extra colours of its Gaussians."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from core.libs.flame_model import topology as topo
from core.libs.mesh import ProxyMesh, triangle_normals, view_cosine
from core.models.LiftedAvatar.settings import DetailSettings

_DEFAULT = DetailSettings()
_EYES = topo.RIGHT_EYE + topo.RIGHT_IRIS + topo.LEFT_EYE + topo.LEFT_IRIS
_FEATURES = np.array(_EYES + topo.INNER_LIPS + topo.OUTER_LIPS)


def missing_detail(
    photo: np.ndarray,  # (K, C) RGB and more, of the Gaussians that are pixels of the photo
    colors: np.ndarray,  # (N, C) theirs, then those of the rest
    draw: Callable[[np.ndarray], np.ndarray],  # colours (N, C) to those of the photo's pixels as drawn (K, C)
    weight: np.ndarray,  # (S, S) see `detail_weight`
    kept: np.ndarray,  # (S, S) bool, the pixels that have a Gaussian, K of them
    scale: float = 1.0,  # pixels of the photo for one of a 512-pixel photo
    settings: DetailSettings = _DEFAULT,
) -> np.ndarray:
    """(N, C) to add to the colours, so that the picture at the photo's pose is nearer to the photo; 0 beyond the RGB.

    Drawing is linear in the colours, so this is the same as drawing the detail apart and adding it. What one splat
    blurs is found by repeated correction (Van Cittert's iteration), and bounded smoothly. Of what is finer than
    `settings.fine_size` a share is taken: no tracking puts all of it where the moved face has it.
    """
    found = colors.copy()
    count = len(photo)
    for _ in range(settings.rounds):
        found[:count] += photo - draw(found)
    found -= colors
    seen = settings.max_detail * np.tanh(found[:count, :3] / settings.max_detail)
    picture = np.zeros((*kept.shape, 3), np.float32)
    picture[kept] = seen
    sigma = settings.fine_size * scale
    among = cv2.GaussianBlur(kept.astype(np.float32), (0, 0), sigma)[kept]
    coarse = cv2.GaussianBlur(picture, (0, 0), sigma)[kept] / among[:, None]
    found[:count, :3] = (coarse + settings.fine_share * (seen - coarse)) * weight[kept][:, None]
    found[:, 3:] = 0
    return found


def detail_weight(
    matte: np.ndarray,  # (S, S)
    pix_to_face: np.ndarray,  # (S, S) front triangle of every pixel, -1 where there is none
    mesh: ProxyMesh,
    scale: float = 1.0,  # pixels of the photo for one of a 512-pixel photo
    settings: DetailSettings = _DEFAULT,
) -> np.ndarray:
    """(S, S) in 0..1: 0 towards the matte's border, on skin seen edge-on, on the shoulders and at the face's border.

    0 at eyes and lips too, which move most.
    """
    low, high = settings.cosines
    cosine = view_cosine(triangle_normals(mesh.points, mesh.triangles))
    face = (mesh.triangles < topo.N_POINTS).all(1)
    facing = np.clip((cosine - low) / (high - low), 0, 1)
    covered = pix_to_face >= 0
    on_face = covered & face[pix_to_face]
    # The border of the face slides over what lies behind it.
    seam = cv2.morphologyEx(on_face.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    features = covered & (face & np.isin(mesh.triangles, _FEATURES).any(1))[pix_to_face]
    still = (matte > 0.95) & covered & (seam == 0) & ~features
    inside = cv2.distanceTransform(still.astype(np.uint8), cv2.DIST_L2, 3)
    most = np.where(face, facing, settings.beside) * (1 - mesh.torso_weights[mesh.triangles].mean(1))
    weight = np.where(covered, most[pix_to_face], 0) * np.clip(inside / (settings.border * scale), 0, 1)
    return cv2.GaussianBlur(weight.astype(np.float32), (0, 0), settings.smoothing * scale)
