"""The joints of the head and how much each vertex goes with them; expressions without what the jaw explains."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spl

from core.libs.flame_model import topology as topo
from core.libs.flame_model.jaw import jaw_angle, rotate_about_x
from tools.open_head.settings import AlignmentSettings, SkinningSettings, SkullSettings

_SETTINGS, _SKULL, _SCALE = SkinningSettings(), SkullSettings(), AlignmentSettings().scale


def skinning(
    vertices: np.ndarray,
    laplacian: sp.csr_matrix,
    settings: SkinningSettings = _SETTINGS,
    skull: SkullSettings = _SKULL,
) -> np.ndarray:
    """Weights (V, 5): root, neck, jaw, left eye, right eye."""
    lips, outer = topo.INNER_LIPS, topo.OUTER_LIPS
    fixed = dict.fromkeys([*settings.still, *lips[1:10], *outer[1:10], *topo.RIGHT_EYE, *topo.LEFT_EYE], 0.0)
    fixed |= dict.fromkeys([*lips[11:], *outer[11:], *topo.CHIN, *settings.with_jaw], 1.0)
    fixed |= dict.fromkeys([lips[0], lips[10], outer[0], outer[10]], settings.lip_corner)
    fixed |= dict.fromkeys(settings.jaw_corners, settings.jaw_corner)
    jaw = _solve_harmonic(laplacian, fixed)
    weights = np.zeros((len(vertices), 5))
    weights[: topo.N_POINTS, 2] = jaw
    n = len(topo.FACE_OVAL)
    for ring in range(skull.rings):
        part = (ring + 1) / (skull.rings + 1)
        weights[topo.N_POINTS + ring * n :][:n, 2] = jaw[list(topo.FACE_OVAL)] * max(0, 1 - settings.skull_fade * part)
    weights[list(topo.LEFT_IRIS)] = [0, 0, 0, 1, 0]
    weights[list(topo.RIGHT_IRIS)] = [0, 0, 0, 0, 1]
    neck_start = topo.N_POINTS + skull.rings * n + 1
    fade = np.linspace(settings.neck, 0, skull.neck_rings).repeat((len(vertices) - neck_start) // skull.neck_rings)
    weights[neck_start:, 1] = fade
    weights[:neck_start, 1] = 1 - weights[:neck_start, 2:].sum(1)
    weights[:, 0] = 1 - weights[:, 1:].sum(1)
    return weights


def _solve_harmonic(laplacian: sp.csr_matrix, fixed: dict[int, float]) -> np.ndarray:
    """The smoothest (biharmonic) field over the points that takes the given values."""
    n = laplacian.shape[0]
    known = np.array(list(fixed))
    free = np.setdiff1d(np.arange(n), known)
    smooth = (laplacian @ laplacian).tocsr()
    out = np.zeros(n)
    out[known] = list(fixed.values())
    out[free] = spl.spsolve(smooth[free][:, free].tocsc(), -smooth[free][:, known] @ out[known])
    return np.clip(out, 0, 1)


def joints(
    vertices: np.ndarray,
    settings: SkinningSettings = _SETTINGS,
    skull: SkullSettings = _SKULL,
    scale: float = _SCALE,  # head units per metre
) -> np.ndarray:
    """Regressor (5, V). The jaw turns about the ears' line; an eyeball's centre lies one radius behind its surface."""
    out = np.zeros((5, len(vertices)))
    sides, size = skull.neck_sides, skull.neck_rings * skull.neck_sides
    neck = np.arange(len(vertices) - size, len(vertices)).reshape(skull.neck_rings, sides)
    out[0, neck[-1]] = 1 / sides
    out[1, neck[0]] = 1 / sides
    out[2, [234, 454]] = 0.5
    back = len(vertices) - size - 1  # the pole of the skull
    for joint, side in ((3, "left"), (4, "right")):
        corners = list(topo.EYE_CORNERS[side])
        middle = vertices[corners].mean(0)
        share = settings.eyeball_radius * settings.eyeball_depth * scale / (middle[2] - vertices[back, 2])
        out[joint, corners] = (1 - share) / 2
        out[joint, back] = share
    return out


def without_jaw(moves: np.ndarray, template: np.ndarray, weights: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Moves less what a turn of the jaw explains, as `jaw_angle` finds it, and less the eyeballs' turns."""
    out = moves.copy()
    w = weights[: topo.N_POINTS, 2]
    angle = jaw_angle(template + moves, template, joints[2])
    turned = rotate_about_x(template[None] - joints[2], angle) + joints[2]
    out -= w[None, :, None] * (turned - template)
    out[:, topo.N_FACE :] = 0
    return out
