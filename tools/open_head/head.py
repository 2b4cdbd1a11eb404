"""The arrays of `open_head.npz` from the tracker's points."""

from __future__ import annotations

import numpy as np

from core.libs.flame_model import topology as topo
from tools.open_head.alignment import mirror_of, mirrored, onto, place, straighten
from tools.open_head.bases import expression_basis, shape_basis
from tools.open_head.settings import OpenHeadSettings
from tools.open_head.skinning import joints, skinning, without_jaw
from tools.open_head.surface import fill_holes, mesh_laplacian, skull_and_neck, turned_outwards

_SETTINGS = OpenHeadSettings()


def build(
    identities: np.ndarray, clips: list[np.ndarray], settings: OpenHeadSettings = _SETTINGS
) -> dict[str, np.ndarray]:
    """The asset's arrays from upright points: single faces (N, 478, 3) and clips [(T, 478, 3)]."""
    alignment, skull_settings, basis = settings.alignment, settings.skull, settings.basis
    clips = [straighten(clip, alignment) for clip in clips]
    faces = np.concatenate([identities, [clip.mean(0) for clip in clips]])
    mean = straighten(faces, alignment).mean(0)
    mirror = mirror_of(mean, alignment)
    template = place(mean, mirror, alignment)

    align = np.array(topo.STABLE)
    identities = onto(faces, template, align)
    moves = []
    for clip in clips:
        clip = clip[:: max(1, len(clip) // basis.frames)]
        mean = onto(clip.mean(0)[None], template, align)[0]
        moves.append(onto(clip, mean, align) - mean)
    moves = [move / np.sqrt(len(move)) for move in moves]  # every clip counts the same, however long
    moves = np.concatenate(moves) * np.sqrt(basis.clip_weight)
    moves = np.concatenate([moves, mirrored(moves, mirror)])

    surface = topo.tesselation()
    skull, skull_faces, share = skull_and_neck(template, skull_settings)
    vertices = np.concatenate([template, skull])
    holes = fill_holes(template)
    triangles = turned_outwards(np.concatenate([surface, holes, skull_faces]), vertices)
    smoothness = mesh_laplacian(np.concatenate([surface, holes]), topo.N_POINTS)

    weights = skinning(vertices, smoothness, settings.skinning, skull_settings)
    regressor = joints(vertices, settings.skinning, skull_settings, alignment.scale)
    moves = without_jaw(moves, template, weights, regressor @ vertices)
    expression = expression_basis(moves, template, smoothness, basis)
    shape = shape_basis(identities - template, smoothness, mirror, basis)

    n_shapes = basis.shapes
    directions = np.zeros((len(vertices), 3, n_shapes + basis.expressions))
    directions[: topo.N_POINTS, :, :n_shapes] = shape
    directions[: topo.N_POINTS, :, n_shapes:] = expression
    directions[topo.N_POINTS :, :, :n_shapes] = np.einsum("sv,vkn->skn", share, shape)
    return {
        "f": triangles.astype(np.int32),
        "v_template": (vertices / alignment.scale).astype(np.float32),
        "shapedirs": (directions / alignment.scale).astype(np.float16),
        "posedirs": np.zeros((len(vertices), 3, 36), np.float16),
        "J_regressor": regressor.astype(np.float32),
        "kintree_table": np.array([[-1, 0, 1, 1, 1], [0, 1, 2, 3, 4]], np.int64),
        "weights": weights.astype(np.float32),
        "mirror": mirror.astype(np.int16),
    }
