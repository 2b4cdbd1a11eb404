"""Files of head models in FLAME's layout, read and checked: `.npz`, or FLAME's own `.pt`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.errors import UserError
from core.libs.flame_model.landmarks import N_LANDMARKS

if TYPE_CHECKING:
    from torch import Tensor

OPEN_HEAD = Path(__file__).with_name("open_head.npz")
# What a file holds, part by part, and its shapes; None is any length.
_SHAPES: dict[str, dict[str, tuple[int | None, ...]]] = {
    "flame_model": {
        "f": (None, 3),
        "v_template": (None, 3),
        "shapedirs": (None, 3, 400),
        "posedirs": (None, 3, 36),
        "J_regressor": (5, None),
        "kintree_table": (2, 5),
        "weights": (None, 5),
    },
    "lmk_embeddings": {
        "full_lmk_faces_idx_with_eye": (1, N_LANDMARKS),
        "full_lmk_bary_coords_with_eye": (1, N_LANDMARKS, 3),
    },
}
_MIRROR = "mirror"  # what the open head's file has and FLAME's has not


@dataclass(frozen=True)
class HeadAsset:
    """The content of a head's file.

    Attributes:
        arrays: FLAME's arrays by FLAME's names.
        landmarks: the faces (70,) int64 and weights (70, 3) float32 of FLAME's landmarks; None where the file has none.
        mirror: (478,) int64, for every point of the tracker's mesh the one on the other side of the face; only the open
            head's file has it.
    """

    arrays: dict[str, Tensor]
    landmarks: tuple[np.ndarray, np.ndarray] | None
    mirror: np.ndarray | None


def is_open_head(path: Path) -> bool:
    """Whether a file is an open head's, by the names in it alone; False for what cannot be read, too."""
    if path.suffix != ".npz":
        return False
    try:
        with np.load(path, allow_pickle=False) as archive:
            return _MIRROR in archive.files
    except Exception:  # what is wrong with it is said where it is read
        return False


def read_head(path: Path) -> HeadAsset:
    """The arrays of a file, their shapes checked. UserError where it is not a head model."""
    import torch

    landmarks: dict[str, Tensor] | None = None
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                arrays = {name: torch.from_numpy(archive[name]) for name in archive.files}
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
            arrays, landmarks = dict(content["flame_model"]), content.get("lmk_embeddings")
    except FileNotFoundError:
        raise UserError(f"{path}: head model not found") from None
    except Exception as error:  # each reader raises its own
        raise UserError(f"{path}: not a head model ({type(error).__name__})") from error
    _check(path, arrays, _SHAPES["flame_model"])
    mirror = arrays[_MIRROR].numpy().astype(np.int64) if _MIRROR in arrays else None
    if landmarks is None:
        return HeadAsset(arrays, None, mirror)
    _check(path, landmarks, _SHAPES["lmk_embeddings"])
    faces, weights = (landmarks[name][0].numpy() for name in _SHAPES["lmk_embeddings"])
    if faces.min() < 0 or faces.max() >= len(arrays["f"]):
        raise UserError(f"{path}: not a head model: landmarks lie on faces that it does not have")
    return HeadAsset(arrays, (faces.astype(np.int64), weights.astype(np.float32)), mirror)


def _check(path: Path, arrays: dict[str, Tensor], expected: dict[str, tuple[int | None, ...]]) -> None:
    for name, shape in expected.items():
        got = tuple(arrays[name].shape) if name in arrays else None
        if (
            got is None
            or len(got) != len(shape)
            or any(e is not None and e != g for e, g in zip(shape, got, strict=True))
        ):
            raise UserError(f"{path}: not a head model: {name} has shape {got}, expected {shape}")
