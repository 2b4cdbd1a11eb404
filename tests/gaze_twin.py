"""Reading a gaze and turning eyes to one in torch: the rules that `core.libs.retargeting.gaze_kernels` compiles."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from core.libs.face_measures import lid_ratio_68
from core.libs.gaze_corrector import GazeLimits, _consistent, _limited, _look
from core.libs.numeric import ramp
from core.libs.retargeting.gaze_reading import (
    EyeGeometry,
    GazeReadingSettings,
    _eyes,
    aim,
    angles_of,
    direction_of,
    to_viewer,
)

_S = GazeReadingSettings()


def read_eyes(
    points: Tensor,  # (B, 478, 3)
    geometry: EyeGeometry,
    transform: Tensor | None = None,  # (B, 3, 4)
    open_eyes: Tensor | float = _S.opening,  # (2,)
    settings: GazeReadingSettings = _S,
) -> tuple[Tensor, Tensor]:
    """As `gaze_reading.read_eyes`."""
    middle, width, iris = _eyes(points)
    centre = middle + width[..., None] * torch.from_numpy(geometry.centre).to(points)
    rest = torch.from_numpy(geometry.rest).to(points)
    visible = angles_of(iris - centre)
    angles, at_rest = visible - rest, direction_of(rest)
    for _ in range(3):  # turning the line at rest is not quite adding angles
        angles = angles + visible - angles_of(_turned_along(direction_of(angles), at_rest))
    weight = ramp(lid_ratio_68(points) / open_eyes, settings.shut, settings.open)
    if transform is not None:
        side, front = np.sin(settings.outward), np.cos(settings.outward)
        facing = points.new_tensor([[side, 0, front], [-side, 0, front]])
        weight = weight * ramp((facing * to_viewer(transform)[:, None]).sum(-1), settings.turned_away, settings.facing)
    known = torch.isfinite(angles).all(-1) & torch.isfinite(weight)
    return angles, torch.where(known, weight, torch.zeros_like(weight))


def _turned_along(direction: Tensor, vector: Tensor) -> Tensor:
    """Vectors (..., 3) after the turn without torsion that takes (0, 0, 1) to unit directions (..., 3): see `aim`."""
    x, y, z = direction.unbind(-1)
    a, b, c = vector.unbind(-1)
    across = x * a + y * b  # Rodrigues' formula about (-y, x, 0), whose length is the sine of the angle
    pull = c - across / (1 + z).clamp_min(1e-9)
    return torch.stack([a + x * pull, b + y * pull, z * c - across], -1)


def turned(
    code: Tensor,  # (B, 6)
    target: Tensor,  # (B, 3)
    confidence: Tensor | None,  # (B,)
    irises: Tensor | None,  # (B, 2, 2)
    offset: np.ndarray | None,  # (2, 2)
    strength_of_all: float,
    limits: GazeLimits,
    limit: float | None = None,
) -> Tensor:  # (B, 6)
    """As `GazeCorrector.turned`."""
    strength = torch.full_like(code[:, 0], strength_of_all)
    strength = strength if confidence is None else strength * confidence
    direction = torch.nn.functional.normalize(target, dim=-1)
    unchanged = (strength == 0) | ~torch.isfinite(target).all(-1) | (direction.norm(dim=-1) < 0.5)
    offsets = code.new_zeros(2, 2) if offset is None else torch.from_numpy(np.asarray(offset)).to(code)
    turn = angles_of(_look(code))
    irises = turn if irises is None else irises.to(code)
    current = irises - offsets
    limit = limits.turn if limit is None else limit
    goal = angles_of(_limited(direction, limit))[:, None]
    looks = _consistent(current + strength[:, None, None] * (goal - current), limits.convergence) + offsets
    turn = turn + angles_of(_limited(direction_of(looks), limit)) - irises
    out = aim(_limited(direction_of(turn), limits.code)).flatten(-2)
    return torch.where(unchanged[:, None] | ~torch.isfinite(out).all(-1, keepdim=True), code, out)
