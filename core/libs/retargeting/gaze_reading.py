"""Gaze read off the irises.

Directions are in head space: +x to the person's left, +y up, +z out of the face. Eye codes are the axis-angle turns of
the left and the right eye in radians; an eye looks along its turn of (0, 0, 1). Gaze as a pair of angles is
pitch = arcsin(y), yaw = atan2(x, z).

A gaze is where the iris stands around the centre of its eyeball, and neither the centre nor the eye's optical axis can
be seen: what the two eyes of one person say differs by a constant (see `Gaze.offset`). That constant is taken out of
the driver's eyes before the two are averaged, and the source's own is put back, so that eyes which look straight in the
photo go on doing so. What both eyes have in common is left alone: from one clip an off-centre anatomy and a person who
looks to the side cannot be told apart.

A tracker's mesh sees less of a turn than there is: its corners of the eye go along with the iris. How much it sees is
its iris gain (`core.libs.retargeting.gaze`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from core.data.records import TrackedFrame, TrackedSequence
from core.libs.face_measures import CORNERS_68, LIDS_68, lid_ratio_68, open_lid_ratio
from core.libs.filters.fixations import steady_fixations
from core.libs.flame_model import Head
from core.libs.numeric import blocks, ramp
from core.libs.retargeting.gaze_kernels import iris_angles, lid_ratios, lid_weights

# Left, then right eye. Only points that iBUG's 68 have too, and the irises: FLAME knows no others.
_IRISES = (tuple(range(473, 478)), tuple(range(468, 473)))
_CORNERS, _LIDS, _IRIS_POINTS = np.array(CORNERS_68), np.array(LIDS_68), np.array(_IRISES)
_USED = np.unique(np.concatenate([np.ravel(CORNERS_68), np.ravel(LIDS_68), np.ravel(_IRISES)]))


@dataclass(frozen=True)
class GazeReadingSettings:
    """The confidence of an iris. By eye, on the development clips, where nothing else is said.

    Attributes:
        between_eyes: head units: the middle between the eyeballs in the open head's template.
        largest_offset: radians, of each eye's constant (`Gaze.offset`).
        opening: lid distance over eye width of an open eye, where there is no clip to take it from.
        least_opening, most_opening: bounds of a clip's.
        shut, open: shares of the open eye's opening at which the confidence is 0 and 1.
        outward: radians by which an eye's opening faces to the side.
        turned_away, facing: cosines of its angle to the camera at which the confidence is 0 and 1.
    """

    between_eyes: tuple[float, float, float] = (0.0, 0.068, 0.229)
    largest_offset: float = float(np.radians(10.0))
    opening: float = 0.28
    least_opening: float = 0.1
    most_opening: float = 0.4
    shut: float = 0.35
    open: float = 0.6
    outward: float = float(np.radians(20.0))
    turned_away: float = 0.2
    facing: float = 0.5


_S = GazeReadingSettings()


@dataclass(frozen=True)
class EyeGeometry:
    """Where a person's eyeballs lie and how the irises stand on them when the code is zero; left, then right eye.

    The default is the open head's template.

    Attributes:
        centre: (2, 3) the eyeball's centre from the middle between the eye's corners, over their distance.
        rest: (2, 2) pitch and yaw of the line from centre to iris at rest.
    """

    centre: np.ndarray
    rest: np.ndarray

    @classmethod
    def of_template(cls) -> EyeGeometry:
        """Of the open head's template."""
        centre = np.array([[-0.0622, 0.0002, -0.3512], [0.0622, 0.0002, -0.3512]])
        return cls(centre, np.radians([[7.32, 8.60], [7.32, -8.60]]))

    @classmethod
    def of(cls, head: Head, frame: TrackedFrame) -> EyeGeometry:
        """Of a person, as a head model has them."""
        joints, middle, width, iris = _resting_eyes(head, frame)
        return cls(((joints - middle) / width[:, None]).numpy(), angles_of(iris - joints).numpy())


@dataclass(frozen=True)
class Gaze:
    """What was read off a clip.

    Attributes:
        direction: (T, 3) of both eyes together; NaN where no frame has any.
        confidence: (T,) of the irises, 0 through a blink.
        offset: (2, 2) median difference of the left and the right eye's pitch and yaw from that, in radians: a constant
            of the person and of the tracker.
    """

    direction: np.ndarray
    confidence: np.ndarray
    offset: np.ndarray


def read_gaze(
    landmarks: np.ndarray | EyeLandmarks,  # (T, 478, 3) in head space, NaN where unknown
    transform: np.ndarray | None = None,  # (T, 3, 4) says which eye is turned away
    geometry: EyeGeometry | None = None,
    fps: float | Fraction = 25.0,
    settings: GazeReadingSettings = _S,
) -> Gaze:
    """Where a person looks, frame by frame: both eyes together, without the noise within fixations, through blinks.

    How far eyes are open is measured against the clip's own open eyes.
    """
    geometry = geometry or EyeGeometry.of_template()
    place = None if transform is None else torch.from_numpy(np.asarray(transform, np.float64))
    opening = torch.cat([lid_ratio_68(_double(landmarks[part])) for part in blocks(len(landmarks))])
    known = opening[torch.isfinite(opening).all(-1)]
    open_eyes = torch.full((2,), settings.opening)
    if len(known) > 1:
        open_eyes = torch.from_numpy(open_lid_ratio(known.numpy())).clamp(settings.least_opening, settings.most_opening)
    open_eyes = open_eyes.to(opening)
    read = [
        read_eyes(_double(landmarks[part]), geometry, None if place is None else place[part], open_eyes, settings)
        for part in blocks(len(landmarks))
    ]
    angles, weight = (torch.cat(values) for values in zip(*read, strict=True))
    offset = eye_offset(angles, weight, settings.largest_offset)
    fused = fused_eyes(angles - offset, weight)
    confidence = weight.amax(-1).numpy()
    steady = steady_fixations(fused.numpy(), confidence, float(fps)) if len(landmarks) > 1 else fused.numpy()
    return Gaze(direction_of(torch.from_numpy(steady)).numpy(), confidence, offset.numpy())


def read_irises(
    landmarks: np.ndarray | EyeLandmarks,  # (T, 478, 3) in head space, NaN where unknown
    geometry: EyeGeometry | None = None,
) -> np.ndarray:  # (T, 2, 2)
    """Pitch and yaw in radians at which the left and the right iris stand, frame by frame, as they are."""
    geometry = geometry or EyeGeometry.of_template()
    return torch.cat([read_eyes(_double(landmarks[part]), geometry)[0] for part in blocks(len(landmarks))]).numpy()


class EyeLandmarks:
    """What of a clip's landmarks (T, 478, 3) says where it looks, float32 in head space; all others read as NaN.

    Takes a fifteenth of their memory. Slices of frames can be taken of it, nothing else.
    """

    def __init__(self, head: Head, sequence: Sequence[TrackedFrame] | TrackedSequence) -> None:
        self._points = np.empty((len(sequence), len(_USED), 3), np.float32)
        for row, frame in zip(self._points, sequence, strict=True):
            row[:] = head.landmarks(head.evaluate(frame))[_USED]

    def __len__(self) -> int:
        return len(self._points)

    def __getitem__(self, frames: slice) -> np.ndarray:
        points = self._points[frames]
        out = np.full((len(points), 478, 3), np.nan, np.float32)
        out[:, _USED] = points
        return out


def read_eyes(
    points: Tensor,  # (B, 478, 3)
    geometry: EyeGeometry,
    transform: Tensor | None = None,  # (B, 3, 4)
    open_eyes: Tensor | float = _S.opening,  # (2,)
    settings: GazeReadingSettings = _S,
) -> tuple[Tensor, Tensor]:
    """Pitch and yaw of the left and the right eye (B, 2, 2), and the confidence of each (B, 2), 0 to 1.

    `open_eyes` is the lid distance over eye width of these eyes when they are open.
    """
    values = points.detach().cpu().to(torch.float64)
    angles = iris_angles(values.numpy(), _CORNERS, _IRIS_POINTS, geometry.centre, geometry.rest)
    viewer = np.zeros((0, 3)) if transform is None else _viewers(transform.detach().cpu().double().numpy(), settings)
    opened = np.broadcast_to(np.asarray(open_eyes, np.float64), (2,))
    limits = (settings.shut, settings.open, settings.outward, settings.turned_away, settings.facing)
    weight = lid_weights(lid_ratios(values.numpy(), _LIDS, _CORNERS), opened, viewer, np.array(limits))
    known = np.isfinite(angles).all(-1) & np.isfinite(weight)
    return torch.from_numpy(angles).to(points), torch.from_numpy(np.where(known, weight, 0.0)).to(points)


def iris_reach(head: Head, frame: TrackedFrame) -> float:
    """How far a person's irises go from corner to corner for a radian of turn, over the eye's width; mean of both eyes.

    The radius of the eyeballs over that width, as a head model has them.
    """
    joints, _, width, iris = _resting_eyes(head, frame)
    return float(((iris - joints).norm(dim=-1) / width).mean())


def eyes_open(points: Tensor, settings: GazeReadingSettings = _S) -> Tensor:
    """(B,) confidence that an eye is open in points (B, 478, 3), 0 shut to 1 open; irises may be NaN."""
    return torch.nan_to_num(ramp(lid_ratio_68(points) / settings.opening, settings.shut, settings.open)).amax(-1)


def fused_eyes(angles: Tensor, weight: Tensor) -> Tensor:
    """Both eyes' angles (B, 2, 2) as one, (B, 2), by their weights (B, 2); NaN where neither is seen."""
    total = weight.sum(-1, keepdim=True)
    visible = torch.where(weight[..., None] > 0, angles, torch.zeros_like(angles))
    return (visible * weight[..., None]).sum(-2) / torch.where(total > 0, total, torch.full_like(total, torch.nan))


def to_viewer(transform: Tensor, settings: GazeReadingSettings = _S) -> Tensor:
    """Directions (B, 3) in head space from between the eyes to the camera, for transforms (B, 3, 4)."""
    camera = -(transform[..., :3] @ transform[..., 3:])[..., 0]
    return torch.nn.functional.normalize(camera - camera.new_tensor(settings.between_eyes), dim=-1)


def _viewers(transform: np.ndarray, settings: GazeReadingSettings = _S) -> np.ndarray:
    """As `to_viewer`, of arrays (B, 3, 4)."""
    away = -np.einsum("bij,bj->bi", transform[..., :3], transform[..., 3]) - np.array(settings.between_eyes)
    return away / np.maximum(np.linalg.norm(away, axis=-1, keepdims=True), 1e-12)


def camera_angles(transform: np.ndarray) -> np.ndarray:
    """(B, 2) pitch and yaw in head space at which the camera is seen, for transforms (B, 3, 4)."""
    x, y, z = _viewers(transform.astype(np.float64)).T
    return np.stack([np.arctan2(y, np.hypot(x, z)), np.arctan2(x, z)], -1)


def angles_of(direction: Tensor) -> Tensor:
    """Pitch and yaw (..., 2) of directions (..., 3) of any length."""
    x, y, z = direction.unbind(-1)
    return torch.stack([torch.atan2(y, torch.hypot(x, z)), torch.atan2(x, z)], -1)


def direction_of(angles: Tensor) -> Tensor:
    """Unit directions (..., 3) of pitch and yaw (..., 2)."""
    pitch, yaw = angles.unbind(-1)
    return torch.stack([pitch.cos() * yaw.sin(), pitch.sin(), pitch.cos() * yaw.cos()], -1)


def aim(direction: Tensor) -> Tensor:
    """The axis-angles (..., 3) without torsion that turn (0, 0, 1) to unit directions (Listing's law)."""
    x, y, z = direction.unbind(-1)
    sine = torch.hypot(x, y)
    angle = torch.atan2(sine, z)
    scale = torch.where(sine > 1e-9, angle / sine.clamp_min(1e-9), torch.ones_like(sine))
    return torch.stack([-y * scale, x * scale, torch.zeros_like(x)], -1)


def _eyes(points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of points (..., 478, 3): the middles between the corners (..., 2, 3), their distances, the irises' centres."""
    corners = points[..., CORNERS_68, :]
    iris = torch.stack([points[..., list(iris), :].nanmean(-2) for iris in _IRISES], -2)
    return corners.mean(-2), (corners[..., 0, :] - corners[..., 1, :]).norm(dim=-1), iris


def _resting_eyes(head: Head, frame: TrackedFrame) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of a person without expression: the eyeballs' centres (2, 3), and what `_eyes` says of them."""
    codes = {name: np.zeros_like(getattr(frame, name)) for name in ("expcode", "posecode", "eyecode")}
    resting = replace(frame, **codes)
    points = torch.from_numpy(np.asarray(head.landmarks(head.evaluate(resting)), np.float64))
    return torch.from_numpy(np.asarray(head.joints(resting), np.float64))[3:], *_eyes(points)


def eye_offset(angles: Tensor, weight: Tensor, largest: float = _S.largest_offset) -> Tensor:
    """How far each eye lies from what both together say (2, 2): half the median difference, where both are seen."""
    both = weight.amin(-1)
    if not (both > 0).any():
        return angles.new_zeros(2, 2)
    certain = both >= min(0.5, float(both.max()))
    half = (angles[certain, 0] - angles[certain, 1]).median(0).values / 2 * both.max()
    half = half.clamp(-largest, largest)
    return torch.stack([half, -half])


def _double(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float64))
