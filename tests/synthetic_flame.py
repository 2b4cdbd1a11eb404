"""Files in FLAME's layout: the one of the golden numbers, and one with a face, made from the open head."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import torch

from core.libs.flame_model import OPEN_HEAD
from core.libs.flame_model import topology as topo

N_VERTICES, N_FACES = 5023, 9976
_SHAPES = {
    "f": (N_FACES, 3),
    "v_template": (N_VERTICES, 3),
    "shapedirs": (N_VERTICES, 3, 400),
    "posedirs": (N_VERTICES, 3, 36),
    "J_regressor": (5, N_VERTICES),
    "kintree_table": (2, 5),
    "weights": (N_VERTICES, 5),
    "static_lmk_faces_idx": (51,),
    "static_lmk_bary_coords": (51, 3),
    "dynamic_lmk_faces_idx": (79, 17),
    "dynamic_lmk_bary_coords": (79, 17, 3),
    "full_lmk_faces_idx_with_eye": (1, 70),
    "full_lmk_bary_coords_with_eye": (1, 70, 3),
}
# Where FLAME's file has the edges of the lids, and the tracker's points there.
_LID_VERTICES = {2452: 160, 2454: 160, 2471: 158, 2276: 153, 2360: 144, 1292: 385, 1217: 387, 999: 373, 827: 380}


def write_flame(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    """A file as upstream's: one `torch.save` of two dicts of tensors."""
    tensors = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in arrays.items()}
    landmarks = {name: value for name, value in tensors.items() if "_lmk_" in name}
    model = {name: value for name, value in tensors.items() if "_lmk_" not in name}
    torch.save({"flame_model": model, "lmk_embeddings": landmarks}, path)
    return path


def random_flame() -> dict[str, np.ndarray]:
    """The file behind tests/golden/flame.npz: numbers at random, not a face (specification, 12.2)."""
    return {name: _random_array(name, shape) for name, shape in _SHAPES.items()}


def _random_array(name: str, shape: tuple[int, ...]) -> np.ndarray:
    random = np.random.RandomState(zlib.crc32(f"flame.{name}".encode()))
    if name == "kintree_table":
        return np.array([[4294967295, 0, 1, 1, 1], [0, 1, 2, 3, 4]], np.int64)
    if name == "f" or "faces_idx" in name:
        return random.randint(0, N_VERTICES if name == "f" else N_FACES, shape)
    if name == "J_regressor":
        out = np.zeros(shape)
        for row in out:
            vertices = random.randint(0, N_VERTICES, 8)
            weights = random.random_sample(8)
            np.add.at(row, vertices, weights / weights.sum())
        return out.astype(np.float32)
    if name == "weights" or "bary_coords" in name:
        out = random.random_sample(shape) ** (4 if name == "weights" else 1)
        return (out / out.sum(-1, keepdims=True)).astype(np.float32)
    out = random.standard_normal(shape)
    if name == "v_template":
        out = out / np.linalg.norm(out, axis=1, keepdims=True) * (0.08, 0.12, 0.10)
    else:
        out *= {"shapedirs": 0.0005, "posedirs": 0.001}[name]
    return out.astype(np.float32)


def face_like_flame() -> dict[str, np.ndarray]:
    """FLAME's layout with a face in it: the open head's own vertices first, then points of its surface.

    It has what the open head has not: pose correctives, landmarks inside of triangles, lids' edges where FLAME's mesh
    has them. Its first 478 vertices are the tracker's points.
    """
    random = np.random.default_rng(7)
    with np.load(OPEN_HEAD, allow_pickle=False) as archive:
        head = {name: archive[name] for name in archive.files}
    n, faces = len(head["v_template"]), head["f"].astype(np.int64)
    irises = [(468, 469, 470), (473, 474, 475)]
    faces = np.concatenate([faces, irises])
    extra = N_VERTICES - n
    corners, shares = faces[random.integers(0, len(faces), extra)], random.dirichlet(np.ones(3), extra)
    for vertex, point in _LID_VERTICES.items():
        corners[vertex - n], shares[vertex - n] = point, (1, 0, 0)

    def completed(values: np.ndarray) -> np.ndarray:
        values = values.astype(np.float32)
        return np.concatenate([values, np.einsum("nc...,nc->n...", values[corners], shares)]).astype(np.float32)

    template = head["v_template"].astype(np.float64)
    smooth = np.sin(np.einsum("vd,dkq->vkq", template * 40, random.normal(size=(3, 3, 36))))
    regressor = np.zeros((5, N_VERTICES), np.float32)
    regressor[:, :n] = head["J_regressor"]
    arrays = {
        "f": np.concatenate([faces, faces[random.integers(0, len(faces), N_FACES - len(faces))]]),
        "v_template": completed(template),
        "shapedirs": completed(head["shapedirs"]),
        "posedirs": completed(smooth * 0.002 * (np.arange(36) < 27)),  # of neck, jaw and left eye
        "J_regressor": regressor,
        "kintree_table": np.array([[4294967295, 0, 1, 1, 1], [0, 1, 2, 3, 4]], np.int64),
        "weights": completed(head["weights"]),
    }
    on_face, inside = np.zeros((1, 70), np.int64), np.zeros((1, 70, 3), np.float32)
    for landmark, point in enumerate((*topo.LANDMARKS_68, 468, 473)):
        face = np.flatnonzero((faces == point).any(1))[-1]  # an iris' own triangle, not one of the hole's
        on_face[0, landmark] = face
        inside[0, landmark] = np.where(
            faces[face] == point, 1.0 if point >= 468 else 0.9, 0.0 if point >= 468 else 0.05
        )
    arrays |= {"full_lmk_faces_idx_with_eye": on_face, "full_lmk_bary_coords_with_eye": inside}
    arrays |= {"static_lmk_faces_idx": on_face[0, 17:68], "static_lmk_bary_coords": inside[0, 17:68]}
    arrays["dynamic_lmk_faces_idx"] = np.tile(on_face[0, :17], (79, 1))
    arrays["dynamic_lmk_bary_coords"] = np.tile(inside[0, :17], (79, 1, 1))
    return arrays
