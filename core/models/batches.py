"""What a collated batch of `core.data.DriverData` holds, looked at where a model takes it in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.data.records import TrackedFrame, TrackedSource
from core.libs.flame_model import OpenHead

_PARTS = ("image", "matte", "inside")
_OF_A_CLIP = ("torso_motion", "view", "mouth_interior")
_CODES = tuple(field.name for field in fields(TrackedFrame) if field.name not in ("head", *_OF_A_CLIP))


def frames_of(batch: Mapping[str, Any], vertices: int | None = None) -> tuple[Tensor, Tensor]:
    """`t_points` (B, V, 3) and `t_transform` (B, 3, 4) of a batch.

    KeyError where they are missing, ValueError where they are of other shapes; `vertices` is V where it is known.
    """
    points, transforms = _known(batch, "t_points"), _known(batch, "t_transform")
    V = vertices or "V"
    if points.ndim != 3 or points.shape[2] != 3 or (vertices and points.shape[1] != vertices):
        raise ValueError(f"t_points: expected (B, {V}, 3), got {tuple(points.shape)}")
    if transforms.ndim != 3 or transforms.shape[1:] != (3, 4) or len(transforms) != len(points):
        raise ValueError(f"t_transform: expected ({len(points)}, 3, 4), got {tuple(transforms.shape)}")
    return points, transforms


def only_one(batch: Mapping[str, Any], name: str, shape: tuple[int | None, ...], where: str = "") -> Tensor:
    """A value of the one source that a batch has: of `shape` (None: any length), or a batch of equal ones of it.

    Raises:
        KeyError: it is missing. ValueError: of another shape, or the batch has several sources.
    """
    value = _known(batch, name, where)
    parts = value if value.ndim == len(shape) + 1 else value[None]
    fits = parts.ndim == len(shape) + 1 and all(
        want in (None, got) for want, got in zip(shape, parts.shape[1:], strict=True)
    )
    if not fits or not len(parts):
        wanted = ", ".join("S" if n is None else str(n) for n in shape) + ("," if len(shape) == 1 else "")
        raise ValueError(f"{where}{name}: expected ({wanted}) or (B, {wanted}), got {tuple(value.shape)}")
    if any(not torch.equal(parts[0], other) for other in parts[1:]):
        raise ValueError(f"{where}{name}: a batch is of one source, these are several")
    return parts[0]


def packed_source(source: TrackedSource) -> dict[str, Tensor]:
    """A photo tracked for the open head as tensors, which `torch.utils.data` can collate."""
    out = {name: torch.from_numpy(np.ascontiguousarray(getattr(source, name))) for name in _PARTS}
    codes = {name: getattr(source.frame, name) for name in _CODES}
    out |= {name: torch.from_numpy(np.ascontiguousarray(code)) for name, code in codes.items() if code is not None}
    return out | {"margin": torch.tensor(source.margin)}


def unpacked_source(batch: Mapping[str, Any]) -> TrackedSource:
    """What `packed_source` made, out of the batch's `source`. The batch is taken to be of one source: its first.

    KeyError where there is none.
    """
    if "source" not in batch:
        raise KeyError(
            "the batch lacks source: the built-in avatar is made of a photo tracked for the open head; give "
            "core.data.DriverData what core.libs.tracker.source.track_source(photo) returns"
        )
    values = {name: value[0].numpy() for name, value in batch["source"].items()}
    frame = TrackedFrame(**{name: values[name] for name in _CODES if name in values}, head=OpenHead.kind)
    source = TrackedSource(frame, values["image"], values["matte"], int(values["margin"]), values["inside"])
    source.check()
    return source


def _known(batch: Mapping[str, Any], name: str, where: str = "") -> Tensor:
    if name not in batch:
        raise KeyError(f"the batch lacks {where}{name}, it has {', '.join(map(str, batch))}")
    return batch[name]
