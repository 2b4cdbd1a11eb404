"""Gaze: read off the irises, put into the eye codes, held through blinks.

Directions are in head space: +x to the person's left, +y up, +z out of the face. Eye codes are the axis-angle turns of
the left and the right eye in radians; an eye looks along its turn of (0, 0, 1). Gaze as a pair of angles is
pitch = arcsin(y), yaw = atan2(x, z).

A gaze is where the iris stands around the centre of its eyeball, and neither the centre nor the eye's optical axis can
be seen: what the two eyes of one person say differs by a constant (see `Gaze.offset`). That constant is taken out of
the driver's eyes before the two are averaged, and the source's own is put back, so that eyes which look straight in the
photo go on doing so. What both eyes have in common is left alone: from one clip an off-centre anatomy and a person who
looks to the side cannot be told apart.

A tracker's mesh sees less of a turn than there is: its corners of the eye go along with the iris. How much it sees is
its `response`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Protocol

import numpy as np
import roma
import torch
from torch import Tensor

from core.data.records import TrackedFrame, TrackedSequence
from core.errors import UserError
from core.libs.eye_enhancer import EyeEnhancer
from core.libs.fixations import steady_fixations

__all__ = ["EyeEnhancer", "EyeGeometry", "Gaze", "GazeCorrector", "read_gaze", "read_irises", "transfer_gaze"]

TARGETS = ("driver", "camera")
# Of MediaPipe's mesh: degrees of pitch and of yaw that it shows for one that an eye turns. Read off a speaker who keeps
# his eyes on the camera while his head moves (`benchmarks.gaze` prints it), where the eyes turn as much as the head.
RESPONSE = (0.4, 0.6)
# Left, then right eye. Only points that iBUG's 68 have too, and the irises: FLAME knows no others.
_CORNERS = ((362, 263), (33, 133))
_LIDS = (((385, 380), (387, 373)), ((160, 144), (158, 153)))
_IRISES = (tuple(range(473, 478)), tuple(range(468, 473)))
_LIMIT = np.radians(35.0)  # how far eyes turn without the head
_CODE_LIMIT = np.radians(45.0)  # of a code, where expressions move irises too; the tracker's own
_CONVERGED = np.radians(20.0)  # the most that they do towards one another
_LARGEST_OFFSET = np.radians(10.0)
_TOGETHER = 1024  # frames
_OPEN = 0.28  # lid distance over eye width of usual open eyes
_SHUT_PART, _OPEN_PART = 0.35, 0.6  # of the usual opening: where an iris is not believed, and where it is
_OUTWARD = np.radians(20.0)  # an eye's opening faces a little to the side
_BETWEEN_EYES = (0.0, 0.068, 0.229)  # the eyeballs' middle in the open head's template
_AWAY = np.radians([15.0, 25.0])  # from the camera: where a driver begins to let go of the viewer, and has

Array = np.ndarray | Tensor


class Head(Protocol):
    """A head model: `core.libs.flame_model.FLAMEModel`."""

    def evaluate(self, frame: TrackedFrame) -> np.ndarray: ...  # (V, 3)

    def landmarks(self, vertices: np.ndarray) -> np.ndarray: ...  # (478, 3), NaN where it has none

    def joints(self, frame: TrackedFrame) -> np.ndarray: ...  # (5, 3) root, neck, jaw, left and right eye


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
    def usual(cls) -> EyeGeometry:
        """Of the open head's template."""
        centre = np.array([[-0.0622, 0.0002, -0.3512], [0.0622, 0.0002, -0.3512]])
        return cls(centre, np.radians([[7.32, 8.60], [7.32, -8.60]]))

    @classmethod
    def of(cls, head: Head, frame: TrackedFrame) -> EyeGeometry:
        """Of a person, as a head model has them."""
        codes = {name: np.zeros_like(getattr(frame, name)) for name in ("expcode", "posecode", "eyecode")}
        resting = replace(frame, **codes)
        points = torch.from_numpy(np.asarray(head.landmarks(head.evaluate(resting)), np.float64))
        middle, width, iris = _eyes(points)
        joints = torch.from_numpy(np.asarray(head.joints(resting), np.float64))[3:]
        return cls(((joints - middle) / width[:, None]).numpy(), _angles(iris - joints).numpy())


@dataclass(frozen=True)
class Gaze:
    """What was read off a clip.

    Attributes:
        direction: (T, 3) where both eyes together look; NaN where no frame says.
        trust: (T,) how well the irises are seen, 0 through a blink.
        offset: (2, 2) how far the left and the right eye's pitch and yaw lie from that, usually: a constant of the
            person and of the tracker, in radians.
    """

    direction: np.ndarray
    trust: np.ndarray
    offset: np.ndarray


class GazeCorrector:
    """Turns eyes to where they should look, and keeps them clear in the picture.

    Args:
        correction_strength: 0 leaves eye codes as they are, 1 turns the eyes all the way.
        enhance_eyes: whether `enhance_eye_region` does anything.

    Attributes:
        enhancer: the `EyeEnhancer`; give it the photo with `enhancer.set_source`.
    """

    def __init__(self, correction_strength: float = 0.7, enhance_eyes: bool = True) -> None:
        if not 0 <= correction_strength <= 1:
            raise UserError(f"gaze strength {correction_strength} is not between 0 and 1: give one that is")
        self.correction_strength = float(correction_strength)
        self.enhance_eyes = enhance_eyes
        self.enhancer = EyeEnhancer()

    def correct_gaze(
        self,
        eyecode: Array,  # (6,) or (B, 6)
        landmarks_3d: Array | None = None,  # (478, 3) or (B, 478, 3) in head space
        target_gaze: Array | None = None,  # (3,) or (B, 3) in head space, of any length
    ) -> Array:
        """Eye codes turned towards `target_gaze`, or where that is not given towards what the irises say.

        With neither there is nothing to turn them to, and the code comes back unchanged. So it does where the target is
        NaN and, without a target, where both eyes are shut (the tracker's code is held there). What comes back is of
        the type, shape and device of `eyecode`; both eyes have one pitch and do not diverge; an eye turns at most about
        35 degrees. `landmarks_3d` need only have corners, lids and irises, as FLAME's have.
        """
        if target_gaze is None and landmarks_3d is None:
            return eyecode
        code = _tensor(eyecode, (6,), "eyecode")
        if target_gaze is not None:
            target = _tensor(target_gaze, (3,), "target_gaze").to(code).expand(len(code), 3)
            trust = torch.ones_like(target[:, 0])
        else:
            points = _tensor(landmarks_3d, (478, 3), "landmarks_3d").to(code)
            angles, weight = _read(points, EyeGeometry.usual())
            pair = _fused(angles, weight)
            target, trust = _direction(pair), weight.amax(-1)
            target, trust = target.expand(len(code), 3), trust.expand(len(code))
        out = self.turned(code, target, trust)
        return _like(out if eyecode.ndim == 2 else out[0], eyecode)

    def correct_sequence(
        self,
        eyecode: Array,  # (T, 6)
        landmarks_3d: Array | None = None,  # (T, 478, 3) in head space
        target_gaze: Array | None = None,  # (3,) or (T, 3)
        *,
        transform: np.ndarray | None = None,  # (T, 3, 4) says which eye is turned away
        fps: float = 25.0,
        geometry: EyeGeometry | None = None,
    ) -> Array:
        """As `correct_gaze`, where the batch is time.

        Gaze read from the irises is rid of the noise within fixations (`steady_fixations`) and held through blinks.
        """
        if target_gaze is None and landmarks_3d is None:
            return eyecode
        code = _tensor(eyecode, (6,), "eyecode")
        if target_gaze is None:
            points = _tensor(landmarks_3d, (478, 3), "landmarks_3d").cpu().double().numpy()
            target_gaze = read_gaze(points, transform, geometry, fps).direction
        target = _tensor(target_gaze, (3,), "target_gaze").to(code).expand(len(code), 3)
        return _like(self.turned(code, target), eyecode)

    def camera_gaze(
        self,
        transform: Array,  # (B, 3, 4) or (3, 4) of the head whose eyes are to look
        driver_gaze: Array,  # (B, 3) or (3,) in the driver's head space
        driver_transform: Array | None = None,  # (B, 3, 4), else the driver's head stands as `transform` has it
    ) -> Array:
        """Directions to the viewer in head space, (B, 3), or the driver's own where the driver looks clearly away.

        Away is measured from the driver's camera: up to 15 degrees the eyes stay on the viewer, from 25 they follow the
        driver, smoothly between.
        """
        own = _tensor(transform, (3, 4), "transform")
        gaze = torch.nn.functional.normalize(_tensor(driver_gaze, (3,), "driver_gaze").to(own), dim=-1)
        there = own if driver_transform is None else _tensor(driver_transform, (3, 4), "driver_transform").to(own)
        cosine = (gaze * _to_viewer(there)).sum(-1, keepdim=True).clamp(-1, 1)
        away = _ramp(torch.arccos(cosine), *_AWAY)
        away = away * away * (3 - 2 * away)
        viewer = _angles(_to_viewer(own))
        out = _direction(viewer + away * (_angles(gaze) - viewer))
        return _like(out if transform.ndim == 3 else out[0], transform)

    def enhance_eye_region(self, image: Tensor, landmarks_2d: Array) -> Tensor:
        """Pictures (B, 3, H, W) in 0..1 with clearer eyes, where `landmarks_2d` (B, 478, 2) in pixels has them.

        See `EyeEnhancer`. Landmarks may be NaN; an eye without them stays as it is.
        """
        return self.enhancer(image, landmarks_2d) if self.enhance_eyes else image

    def turned(
        self,
        code: Tensor,  # (B, 6)
        target: Tensor,  # (B, 3) of any length, NaN where there is none
        trust: Tensor | None = None,  # (B,) in 0..1
        seen: Tensor | None = None,  # (B, 2, 2) pitch and yaw at which these codes put the left and the right iris
        offset: np.ndarray | None = None,  # (2, 2), see `Gaze`
    ) -> Tensor:
        """Codes turned towards directions by the strength times trust: what all corrections come down to.

        Without `seen` an eye looks where its code says. Where a head's irises are also moved by the expression, `seen`
        says where they stand, and the code is changed by what that lacks.
        """
        share = torch.full_like(code[:, 0], self.correction_strength)
        share = share if trust is None else share * trust
        there = torch.nn.functional.normalize(target, dim=-1)
        still = (share == 0) | ~torch.isfinite(target).all(-1) | (there.norm(dim=-1) < 0.5)
        apart = code.new_zeros(2, 2) if offset is None else torch.from_numpy(np.asarray(offset)).to(code)
        turn = _angles(_look(code))
        seen = turn if seen is None else seen.to(code)
        own = seen - apart
        goal = _angles(_limited(there))[:, None]
        looks = _consistent(own + share[:, None, None] * (goal - own)) + apart
        turn = turn + _angles(_limited(_direction(looks))) - seen
        out = _aim(_limited(_direction(turn), _CODE_LIMIT)).flatten(-2)
        return torch.where(still[:, None] | ~torch.isfinite(out).all(-1, keepdim=True), code, out)


def read_gaze(
    landmarks: np.ndarray,  # (T, 478, 3) in head space, NaN where unknown
    transform: np.ndarray | None = None,  # (T, 3, 4) says which eye is turned away
    geometry: EyeGeometry | None = None,
    fps: float | Fraction = 25.0,
) -> Gaze:
    """Where a person looks, frame by frame: both eyes together, without the noise within fixations, through blinks.

    How far eyes are open is measured against how far the same eyes usually are.
    """
    geometry = geometry or EyeGeometry.usual()
    place = None if transform is None else torch.from_numpy(np.asarray(transform, np.float64))
    opening = torch.cat([_opening(_double(landmarks[part])) for part in _parts(len(landmarks))])
    known = opening[torch.isfinite(opening).all(-1)]
    usual = torch.quantile(known, 0.8, dim=0).clamp(0.1, 0.4) if len(known) > 1 else torch.full((2,), _OPEN)
    usual = usual.to(opening)
    read = [
        _read(_double(landmarks[part]), geometry, None if place is None else place[part], usual)
        for part in _parts(len(landmarks))
    ]
    angles, weight = (torch.cat(values) for values in zip(*read, strict=True))
    offset = _offset(angles, weight)
    fused = _fused(angles - offset, weight)
    trust = weight.amax(-1).numpy()
    steady = steady_fixations(fused.numpy(), trust, float(fps)) if len(landmarks) > 1 else fused.numpy()
    return Gaze(_direction(torch.from_numpy(steady)).numpy(), trust, offset.numpy())


def read_irises(
    landmarks: np.ndarray,  # (T, 478, 3) in head space, NaN where unknown
    geometry: EyeGeometry | None = None,
) -> np.ndarray:  # (T, 2, 2)
    """Pitch and yaw in radians at which the left and the right iris stand, frame by frame, as they are."""
    geometry = geometry or EyeGeometry.usual()
    return torch.cat([_read(_double(landmarks[part]), geometry)[0] for part in _parts(len(landmarks))]).numpy()


def transfer_gaze(
    source: TrackedFrame,
    driver: TrackedSequence,
    motion: TrackedSequence,
    head: Head,
    corrector: GazeCorrector,
    target: str = "driver",
    *,
    response: tuple[float, float] = RESPONSE,
) -> TrackedSequence:
    """The motion with eye codes that look where the driver looks in head space, or at the viewer.

    Not a change added to the source's own gaze: a source that looks aside in the photo looks at what the driver looks
    at. The driver's gaze is measured on the driver's own face; how the source's two eyes differ is kept.

    Args:
        source: the photo's parameters. driver: the clip's, as tracked or smoothed. motion: what is rendered, as long.
        head: evaluates both. corrector: its strength blends from the motion's eye codes to the target.
        target: `driver` or `camera`.
        response: how much of a turn, in pitch and yaw, the tracker shows that photo and clip were tracked with. For an
            avatar that moves the photo's own irises; (1, 1) for one that learned from tracked codes what they look
            like, as GAGAvatar did.
    """
    if target not in TARGETS:
        raise UserError(f"gaze target {target!r} is none of {', '.join(TARGETS)}")
    shown = np.array(response, np.float64)
    read = read_gaze(_landmarks(head, driver), driver.transform_matrix, EyeGeometry.of(head, driver[0]), driver.fps)
    direction = _direction(_angles(torch.from_numpy(read.direction)) / torch.from_numpy(shown)).numpy()
    if target == "camera":
        direction = corrector.camera_gaze(
            motion.transform_matrix.astype(np.float64), direction, driver.transform_matrix.astype(np.float64)
        )
    geometry = EyeGeometry.of(head, source)
    own = read_gaze(_landmarks(head, [source]), source.transform_matrix[None], geometry)
    photo = np.nan_to_num(_angles(torch.from_numpy(own.direction)).numpy()[0])
    # Irises are moved from where the photo has them: there they look further aside than their codes say.
    seen = read_irises(_landmarks(head, motion), geometry) + photo * (1 / shown - 1)
    code = torch.from_numpy(motion.eyecode.astype(np.float64))
    eyecode = corrector.turned(code, torch.from_numpy(direction), seen=torch.from_numpy(seen), offset=own.offset)
    return motion.with_parameters({"eyecode": eyecode.numpy().astype(motion.eyecode.dtype)})


def _landmarks(head: Head, sequence: Iterable[TrackedFrame]) -> np.ndarray:
    """(T, 478, 3) float32 in head space."""
    return np.stack([head.landmarks(head.evaluate(frame)) for frame in sequence])


def _parts(length: int) -> Iterator[slice]:
    """What is looked at together of a clip: a long one would take many times its own size otherwise."""
    return (slice(start, start + _TOGETHER) for start in range(0, max(length, 1), _TOGETHER))


def _double(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float64))


def _read(
    points: Tensor,  # (B, 478, 3)
    geometry: EyeGeometry,
    transform: Tensor | None = None,  # (B, 3, 4)
    usual: Tensor | float = _OPEN,  # (2,)
) -> tuple[Tensor, Tensor]:
    """Pitch and yaw of the left and the right eye (B, 2, 2), and how far each is to be believed (B, 2)."""
    middle, width, iris = _eyes(points)
    centre = middle + width[..., None] * torch.from_numpy(geometry.centre).to(points)
    rest = torch.from_numpy(geometry.rest).to(points)
    seen = _angles(iris - centre)
    angles, at_rest = seen - rest, _direction(rest)
    for _ in range(3):  # turning the line at rest is not quite adding angles
        turn = roma.rotvec_to_rotmat(_aim(_direction(angles)))
        angles = angles + seen - _angles((turn @ at_rest[..., None])[..., 0])
    weight = _ramp(_opening(points) / usual, _SHUT_PART, _OPEN_PART)
    if transform is not None:
        facing = points.new_tensor([[np.sin(_OUTWARD), 0, np.cos(_OUTWARD)], [-np.sin(_OUTWARD), 0, np.cos(_OUTWARD)]])
        weight = weight * _ramp((facing * _to_viewer(transform)[:, None]).sum(-1), 0.2, 0.5)
    known = torch.isfinite(angles).all(-1) & torch.isfinite(weight)
    return angles, torch.where(known, weight, torch.zeros_like(weight))


def _eyes(points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of points (..., 478, 3): the middles between the corners (..., 2, 3), their distances, the irises' centres."""
    corners = points[..., _CORNERS, :]
    iris = torch.stack([points[..., list(iris), :].nanmean(-2) for iris in _IRISES], -2)
    return corners.mean(-2), (corners[..., 0, :] - corners[..., 1, :]).norm(dim=-1), iris


def _opening(points: Tensor) -> Tensor:
    """Lid distance over eye width, left and right (..., 2)."""
    lids = points[..., _LIDS, :]  # (..., eye, pair, lid, 3)
    gap = (lids[..., 0, :] - lids[..., 1, :]).norm(dim=-1).mean(-1)
    return gap / _eyes(points)[1].clamp_min(1e-9)


def _fused(angles: Tensor, weight: Tensor) -> Tensor:
    """Both eyes' angles (B, 2, 2) as one, (B, 2), by their weights (B, 2); NaN where neither is seen."""
    total = weight.sum(-1, keepdim=True)
    seen = torch.where(weight[..., None] > 0, angles, torch.zeros_like(angles))
    return (seen * weight[..., None]).sum(-2) / torch.where(total > 0, total, torch.full_like(total, torch.nan))


def _offset(angles: Tensor, weight: Tensor) -> Tensor:
    """How far each eye lies from what both together say (2, 2): half the usual difference, where both are seen."""
    both = weight.amin(-1)
    if not (both > 0).any():
        return angles.new_zeros(2, 2)
    sure = both >= min(0.5, float(both.max()))
    half = (angles[sure, 0] - angles[sure, 1]).median(0).values / 2 * both.max()
    half = half.clamp(-_LARGEST_OFFSET, _LARGEST_OFFSET)
    return torch.stack([half, -half])


def _consistent(angles: Tensor) -> Tensor:
    """Angles of a left and a right eye (B, 2, 2) with one pitch and lines of sight that do not part."""
    mean = angles.mean(-2, keepdim=True)
    inward = (angles[:, 1:, 1] - angles[:, :1, 1]).clamp(0, _CONVERGED) / 2
    yaw = mean[..., 1] + torch.cat([-inward, inward], -1)
    return torch.stack([mean[..., 0].expand_as(yaw), yaw], -1)


def _to_viewer(transform: Tensor) -> Tensor:
    """Directions (B, 3) in head space from between the eyes to the camera, for transforms (B, 3, 4)."""
    camera = -(transform[..., :3] @ transform[..., 3:])[..., 0]
    return torch.nn.functional.normalize(camera - camera.new_tensor(_BETWEEN_EYES), dim=-1)


def _look(eyecode: Tensor) -> Tensor:
    """Directions (B, 2, 3) of eye codes (B, 6)."""
    return roma.rotvec_to_rotmat(eyecode.unflatten(-1, (2, 3)))[..., 2]


def _aim(direction: Tensor) -> Tensor:
    """The axis-angles (..., 3) without torsion that turn (0, 0, 1) to unit directions (Listing's law)."""
    x, y, z = direction.unbind(-1)
    sine = torch.hypot(x, y)
    angle = torch.atan2(sine, z)
    scale = torch.where(sine > 1e-9, angle / sine.clamp_min(1e-9), torch.ones_like(sine))
    return torch.stack([-y * scale, x * scale, torch.zeros_like(x)], -1)


def _angles(direction: Tensor) -> Tensor:
    """Pitch and yaw (..., 2) of directions (..., 3) of any length."""
    x, y, z = torch.nn.functional.normalize(direction, dim=-1).unbind(-1)
    return torch.stack([torch.arcsin(y.clamp(-1, 1)), torch.atan2(x, z)], -1)


def _direction(angles: Tensor) -> Tensor:
    """Unit directions (..., 3) of pitch and yaw (..., 2)."""
    pitch, yaw = angles.unbind(-1)
    return torch.stack([pitch.cos() * yaw.sin(), pitch.sin(), pitch.cos() * yaw.cos()], -1)


def _limited(direction: Tensor, limit: float = _LIMIT) -> Tensor:
    """Unit directions (..., 3), those further than `limit` from straight ahead brought back to where that is."""
    across = direction[..., :2].norm(dim=-1, keepdim=True)
    angle = torch.atan2(across, direction[..., 2:])
    edge = torch.cat([direction[..., :2] / across.clamp_min(1e-9) * np.sin(limit), across * 0 + np.cos(limit)], -1)
    return torch.where(angle > limit, edge, direction)


def _ramp(values: Tensor, low: float, high: float) -> Tensor:
    return ((values - low) / (high - low)).clamp(0, 1)


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
