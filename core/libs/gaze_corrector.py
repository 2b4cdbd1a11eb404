"""Gaze correction: eye codes turned towards where the eyes should look, and held through blinks.

Conventions and how gaze is read are in `core.libs.retargeting.gaze_reading`, how it is transferred to another face in
`core.libs.retargeting.gaze`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import roma
import torch
from torch import Tensor

from core.errors import UserError
from core.libs.eye_enhancer import EyeEnhancer
from core.libs.landmark_sets import SETS, as_tracker_points
from core.libs.numeric import smoothstep
from core.libs.retargeting.gaze_kernels import turned_eyes
from core.libs.retargeting.gaze_reading import (
    EyeGeometry,
    aim,
    angles_of,
    direction_of,
    eyes_open,
    fused_eyes,
    read_eyes,
    read_gaze,
    to_viewer,
)

__all__ = ["EyeEnhancer", "GazeCorrector"]


@dataclass(frozen=True)
class GazeLimits:
    """How far eyes turn, in radians. By eye, where nothing else is said.

    Attributes:
        turn: of an eye from straight ahead, without the head (`correct_gaze` promises 35 degrees).
        code: of a code, where expressions move irises too; the tracker's own (`core.libs.tracker.fit.EYE_LIMIT`). Gaze
            that is carried over goes as far: straight ahead is read up to twenty degrees beside on some faces.
        convergence: the most that two eyes turn towards one another.
        released, away: angle of the driver's gaze from its camera up to which the eyes stay on the viewer, and from
            which they follow the driver.
    """

    turn: float = float(np.radians(35.0))
    code: float = float(np.radians(45.0))
    convergence: float = float(np.radians(20.0))
    released: float = float(np.radians(15.0))
    away: float = float(np.radians(25.0))


Array = np.ndarray | Tensor


class GazeCorrector:
    """Turns eyes to where they should look, and keeps them clear in the picture.

    Args:
        correction_strength: 0 leaves eye codes as they are, 1 turns the eyes all the way.
        enhance_eyes: whether `enhance_eye_region` does anything.

    Attributes:
        enhancer: the `EyeEnhancer`; give it the photo with `enhancer.set_source`.
        limits: how far eyes turn; a subclass or an instance may have others.
    """

    limits: GazeLimits = GazeLimits()

    def __init__(self, correction_strength: float = 0.7, enhance_eyes: bool = True) -> None:
        if not 0 <= correction_strength <= 1:
            raise UserError(f"gaze strength {correction_strength} is not between 0 and 1: give one that is")
        self.correction_strength = float(correction_strength)
        self.enhance_eyes = enhance_eyes
        self.enhancer = EyeEnhancer()

    def correct_gaze(
        self,
        eyecode: Array,  # (6,) or (B, 6)
        landmarks_3d: Array | None = None,  # (478, 3) or (B, 478, 3) in head space; or 68 or 70
        target_gaze: Array | None = None,  # (3,) or (B, 3) in head space, of any length
    ) -> Array:
        """Eye codes turned towards `target_gaze`, or where that is not given towards what the landmarks say.

        Landmarks are the tracker's 478 points, of which only corners, lids and irises are read; or iBUG's 68 and the
        two irises, 70, as FLAME has them; or iBUG's 68 alone. 68 have no irises and so do not say where the eyes look:
        open eyes are turned straight ahead, where the head points.

        With neither landmarks nor target the gaze is that of the codes, and they are only made consistent: both eyes
        get their mean pitch, and lines of sight that diverge become parallel; those that converge stay.

        The change is multiplied by the strength. Nothing changes where the target is NaN nor, without a target, where
        both eyes are shut (the tracker's code is held there). What comes back is of the type, shape and device of
        `eyecode`; at full strength both eyes have one pitch and do not diverge; an eye turns at most about 35 degrees.
        ValueError for other shapes.
        """
        code = _tensor(eyecode, (6,), "eyecode")
        if target_gaze is None and landmarks_3d is None:
            out = self._made_consistent(code)
            return _like(out if eyecode.ndim == 2 else out[0], eyecode)
        if target_gaze is not None:
            target = _tensor(target_gaze, (3,), "target_gaze").to(code).expand(len(code), 3)
            confidence = torch.ones_like(target[:, 0])
        else:
            assert landmarks_3d is not None
            points, with_irises = _landmarks(landmarks_3d)
            points = points.to(code)
            if with_irises:
                angles, weight = read_eyes(points, EyeGeometry.of_template())
                target, confidence = direction_of(fused_eyes(angles, weight)), weight.amax(-1)
            else:
                target, confidence = _ahead(points), eyes_open(points)
            target, confidence = target.expand(len(code), 3), confidence.expand(len(code))
        out = self.turned(code, target, confidence)
        return _like(out if eyecode.ndim == 2 else out[0], eyecode)

    def correct_sequence(
        self,
        eyecode: Array,  # (T, 6)
        landmarks_3d: Array | None = None,  # (T, 478, 3) in head space; or 68 or 70
        target_gaze: Array | None = None,  # (3,) or (T, 3)
        *,
        transform: np.ndarray | None = None,  # (T, 3, 4) says which eye is turned away
        fps: float = 25.0,
        geometry: EyeGeometry | None = None,
    ) -> Array:
        """As `correct_gaze`, where the batch is time.

        The noise within fixations is filtered out of gaze that is read from the irises (`steady_fixations`), and
        through blinks the gaze is interpolated.
        """
        if target_gaze is None and landmarks_3d is None:
            return self.correct_gaze(eyecode)
        code = _tensor(eyecode, (6,), "eyecode")
        if target_gaze is None:
            assert landmarks_3d is not None
            points, with_irises = _landmarks(landmarks_3d)
            if not with_irises:
                points = points.to(code)
                return _like(self.turned(code, _ahead(points), eyes_open(points)), eyecode)
            target_gaze = read_gaze(points.cpu().double().numpy(), transform, geometry, fps).direction
        target = _tensor(target_gaze, (3,), "target_gaze").to(code).expand(len(code), 3)
        return _like(self.turned(code, target), eyecode)

    def camera_gaze(
        self,
        transform: Array,  # (B, 3, 4) or (3, 4) of the head whose eyes are to look
        driver_gaze: Array,  # (B, 3) or (3,) in the driver's head space
        driver_transform: Array | None = None,  # (B, 3, 4), else the driver's head stands as `transform` has it
    ) -> Array:
        """Directions to the viewer in head space, (B, 3), or the driver's where the driver looks away from its camera.

        Up to 15 degrees from the camera the eyes stay on the viewer, from 25 they follow the driver, smoothly between
        (`GazeLimits`). ValueError for other shapes.
        """
        head = _tensor(transform, (3, 4), "transform")
        gaze = torch.nn.functional.normalize(_tensor(driver_gaze, (3,), "driver_gaze").to(head), dim=-1)
        driver = head
        if driver_transform is not None:
            driver = _tensor(driver_transform, (3, 4), "driver_transform").to(head)
        cosine = (gaze * to_viewer(driver)).sum(-1, keepdim=True).clamp(-1, 1)
        away = smoothstep(torch.arccos(cosine), self.limits.released, self.limits.away)
        viewer = angles_of(to_viewer(head))
        out = direction_of(viewer + away * (angles_of(gaze) - viewer))
        return _like(out if transform.ndim == 3 else out[0], transform)

    def enhance_eye_region(self, image: Tensor, landmarks_2d: Array | None = None) -> Tensor:
        """Pictures (B, 3, H, W) in 0..1 with clearer eyes, where `landmarks_2d` (B, 478, 2) in pixels has them.

        See `EyeEnhancer`: 68 or 70 landmarks do as well, and without any the eyes are looked for in each picture, which
        stays as it is where no face is found. Landmarks may be NaN; an eye without them stays as it is.
        """
        return self.enhancer(image, landmarks_2d) if self.enhance_eyes else image

    def _made_consistent(self, code: Tensor) -> Tensor:  # (B, 6) to (B, 6)
        """Codes whose two eyes have, by the strength, one pitch and lines of sight that do not diverge."""
        if self.correction_strength == 0:
            return code
        angles = angles_of(_look(code))
        consistent = _consistent(angles, self.limits.convergence)
        looks = angles + self.correction_strength * (consistent - angles)
        out = aim(_limited(direction_of(looks), self.limits.turn)).flatten(-2)
        return torch.where(torch.isfinite(out).all(-1, keepdim=True), out, code)

    def turned(
        self,
        code: Tensor,  # (B, 6)
        target: Tensor,  # (B, 3) of any length, NaN where there is none
        confidence: Tensor | None = None,  # (B,) in 0..1
        irises: Tensor | None = None,  # (B, 2, 2) pitch and yaw at which these codes put the left and the right iris
        offset: np.ndarray | None = None,  # (2, 2), see `Gaze`; or (B, 2, 2)
        limit: float | None = None,  # radians from straight ahead; else `GazeLimits.turn`
    ) -> Tensor:  # (B, 6)
        """Codes turned towards directions by the strength times the confidence: every correction calls this one.

        Without `irises` an eye looks where its code says. On a head whose expression moves the irises too, `irises` are
        where they are, and the code is turned by the angle that is missing from there. Rows whose target is NaN or zero
        come back as they are.
        """
        count = len(code)
        strength = np.full(count, self.correction_strength) * (1.0 if confidence is None else _double(confidence))
        seen = np.zeros((0, 2, 2)) if irises is None else _double(irises)
        offsets = np.zeros((1, 2, 2)) if offset is None else np.asarray(offset, np.float64).reshape(-1, 2, 2)
        turn = self.limits.turn if limit is None else limit
        limits = np.array([turn, self.limits.code, self.limits.convergence])
        target = target.expand(count, 3)
        return torch.from_numpy(turned_eyes(_double(code), _double(target), strength, seen, offsets, limits)).to(code)


def _double(values: Tensor) -> np.ndarray:
    """A tensor as float64 in the host's memory."""
    return np.ascontiguousarray(values.detach().cpu().numpy(), np.float64)


def _consistent(angles: Tensor, convergence: float) -> Tensor:
    """Angles of a left and a right eye (B, 2, 2) with one pitch and lines of sight that do not diverge.

    Nor do they converge by more than `convergence`, radians.
    """
    mean = angles.mean(-2, keepdim=True)
    inward = (angles[:, 1:, 1] - angles[:, :1, 1]).clamp(0, convergence) / 2
    yaw = mean[..., 1] + torch.cat([-inward, inward], -1)
    return torch.stack([mean[..., 0].expand_as(yaw), yaw], -1)


def _look(eyecode: Tensor) -> Tensor:
    """Directions (B, 2, 3) of eye codes (B, 6)."""
    return roma.rotvec_to_rotmat(eyecode.unflatten(-1, (2, 3)))[..., 2]


def _limited(direction: Tensor, limit: float) -> Tensor:
    """Unit directions (..., 3), those further than `limit`, radians, from straight ahead turned back to the limit."""
    across = direction[..., :2].norm(dim=-1, keepdim=True)
    angle = torch.atan2(across, direction[..., 2:])
    edge = torch.cat([direction[..., :2] / across.clamp_min(1e-9) * np.sin(limit), across * 0 + np.cos(limit)], -1)
    return torch.where(angle > limit, edge, direction)


def _ahead(points: Tensor) -> Tensor:
    """Straight ahead in head space, (B, 3), for each of points (B, ...)."""
    return points.new_tensor([0.0, 0.0, 1.0]).expand(len(points), 3)


def _landmarks(values: Array) -> tuple[Tensor, bool]:
    """Landmarks as the tracker's points (B, 478, 3), and whether irises are among them."""
    count = values.shape[-2] if values.ndim in (2, 3) else 0
    if count not in SETS or values.shape[-1] != 3:
        raise ValueError(
            f"landmarks_3d: expected (478, 3) or (B, 478, 3), or 68 or 70 in place of 478, got {tuple(values.shape)}"
        )
    if count != SETS[-1]:
        values = as_tracker_points(values.detach().cpu().numpy() if isinstance(values, Tensor) else values)
    return _tensor(values, (SETS[-1], 3), "landmarks_3d"), count != SETS[0]


def _tensor(values: Array, shape: tuple[int, ...], name: str) -> Tensor:
    """Values of `shape`, or a batch of them, as a batch of at least single precision."""
    out = values if isinstance(values, Tensor) else torch.from_numpy(np.ascontiguousarray(values))
    if out.ndim not in (len(shape), len(shape) + 1) or tuple(out.shape[-len(shape) :]) != shape:
        raise ValueError(f"{name}: expected {shape} or (B, {', '.join(map(str, shape))}), got {tuple(out.shape)}")
    out = out if out.dtype == torch.float64 else out.float()
    return out if out.ndim == len(shape) + 1 else out[None]


def _like(out: Tensor, given: Array) -> Array:
    """A result of the type and dtype of what was given."""
    if isinstance(given, Tensor):
        return out.to(given.dtype)
    return out.detach().cpu().numpy().astype(given.dtype, copy=False)
