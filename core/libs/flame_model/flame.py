"""FLAME (Li et al., SIGGRAPH Asia 2017): a head as linear blend skinning over shape and expression directions.

Two heads of one layout: the built-in `OpenHead` and, where the user has its file, FLAME itself, `FlameHead`. Both have
300 shape and 100 expression directions and five joints: root, neck, jaw, left eye, right eye. What differs between them
is said by the two classes and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from core.data.records import TrackedFrame
from core.errors import UserError
from core.libs.flame_model.asset import OPEN_HEAD, HeadAsset, is_open_head, read_head
from core.libs.flame_model.landmarks import LandmarkEmbedding
from core.libs.flame_model.openings import OPEN_HEAD_OPENINGS, Openings, flame_openings
from core.libs.flame_model.topology import N_POINTS, REGIONS
from core.libs.rotations import matrices_of


class Joint(IntEnum):
    """The rows of FLAME's joints."""

    ROOT = 0
    NECK = 1
    JAW = 2
    LEFT_EYE = 3
    RIGHT_EYE = 4


@dataclass(frozen=True)
class IrisGain:
    """Degrees of (pitch, yaw) that the irises of a head's mesh show for one degree that an eye turns.

    Attributes:
        reading: where a gaze is read off one face's mesh and played on another's.
        same_face: where the driver's own codes are rendered: the irises lie about where they are seen.
        counted: where turns are counted from a rest and move another photo's irises.
    """

    reading: tuple[float, float] = (1.0, 1.0)
    same_face: tuple[float, float] = (1.0, 1.0)
    counted: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True)
class _ShapedPerson:
    """What is kept of a person that a head evaluated last: a cache, never a part of a result."""

    shapecode: np.ndarray  # (n_shape,)
    template: np.ndarray  # (V, 3) with that shape


@dataclass(frozen=True)
class _Arrays:
    """The buffers again, as numpy arrays that share their memory."""

    template: np.ndarray  # (V, 3)
    directions: np.ndarray  # (3 V, K)
    expressions: np.ndarray  # (3 V, n_exp) of them, in memory of their own, which every frame reads
    pose_directions: np.ndarray  # (3 V, 36)
    regressor: np.ndarray  # (5, V)
    weights: np.ndarray  # (V, 5)


class FLAMEModel(torch.nn.Module):
    """A head that shape, expression, jaw and eye codes move: upstream's name for both of its kinds.

    `FLAMEModel(path=...)` gives an `OpenHead` or a `FlameHead`, by what the file is.

    Args:
        n_shape, n_exp: how many shape and expression directions to keep; shorter codes are allowed.
        scale: head units per metre.
        no_lmks: leave landmarks out of what a call returns; the open head has none of its own.
        path: an asset in FLAME's layout: `.npz`, or FLAME's own `.pt`.

    Attributes:
        faces: (F, 3) int64. kind: `open` or `flame`. path: the asset.
        embedding: where FLAME's 70 landmarks lie on its mesh; None where the file has none.
        openings: where mouth and eyes open; None where the head says nothing of them.
        iris_gain: how far its irises show that an eye has turned.
        default_motion: how a driver's motion is taken over where nobody says: `relative` or `absolute`.
        has_tracker_mesh: whether its first 478 vertices are the tracker's points.
        code_regions: the half-open ranges of the expression code that move one region of the face each, by the region's
            name; None where every direction moves all of the face.
    """

    kind: ClassVar[str]
    has_tracker_mesh: ClassVar[bool]
    code_regions: ClassVar[Mapping[str, tuple[int, int]] | None]

    faces: Tensor
    template: Tensor  # (V, 3) head units
    directions: Tensor  # (V, 3, K) head units
    pose_directions: Tensor  # (V, 3, 36) head units
    joint_regressor: Tensor  # (5, V)
    weights: Tensor  # (V, 5)
    embedding: LandmarkEmbedding | None
    iris_gain: ClassVar[IrisGain]
    default_motion: ClassVar[str]

    _last_people: tuple[_ShapedPerson, ...] = ()  # two at most

    def __new__(
        cls,
        n_shape: int = 300,
        n_exp: int = 100,
        scale: float = 5.0,
        no_lmks: bool = False,
        path: Path = OPEN_HEAD,
    ) -> Self:
        """An `OpenHead` or a `FlameHead`, where neither is asked for by name."""
        kind: type = cls
        if cls is FLAMEModel:
            kind = OpenHead if is_open_head(Path(path)) else FlameHead
        return super().__new__(kind)

    def __init__(
        self,
        n_shape: int = 300,
        n_exp: int = 100,
        scale: float = 5.0,
        no_lmks: bool = False,
        path: Path = OPEN_HEAD,
    ) -> None:
        super().__init__()
        self.path = Path(path)
        asset = read_head(self.path)
        arrays = asset.arrays
        self._accept(asset)
        self.n_shape, self.n_exp, self.scale, self.no_lmks = n_shape, n_exp, scale, no_lmks
        directions = arrays["shapedirs"]
        directions = torch.cat([directions[..., :n_shape], directions[..., 300 : 300 + n_exp]], -1)
        self.register_buffer("faces", arrays["f"].long())
        # In head units from the start: everything below is linear in lengths.
        self.register_buffer("template", arrays["v_template"].float() * scale)
        self.register_buffer("directions", directions.float() * scale)
        self.register_buffer("pose_directions", arrays["posedirs"].float() * scale)
        self.register_buffer("joint_regressor", arrays["J_regressor"].float())
        self.register_buffer("weights", arrays["weights"].float())
        self._corrects_pose = bool(self.pose_directions.any())
        self._np = _Arrays(
            self.template.numpy(),
            self.directions.reshape(-1, n_shape + n_exp).numpy(),
            self.directions[..., n_shape:].reshape(-1, n_exp).contiguous().numpy(),
            self.pose_directions.reshape(-1, 36).numpy(),
            self.joint_regressor.numpy(),
            self.weights.numpy(),
        )
        self.embedding = None
        if asset.landmarks is not None:
            self.embedding = LandmarkEmbedding.of(*asset.landmarks, arrays["f"].numpy(), self._np.weights)
        self._parents = (-1, *(int(p) for p in arrays["kintree_table"][0, 1:]))

    def forward(
        self,
        shape_params: Tensor,  # (..., n_shape)
        expression_params: Tensor | None = None,  # (..., n_exp)
        pose_params: Tensor | None = None,  # (..., 6) root and jaw
        eye_pose_params: Tensor | None = None,  # (..., 6) left and right
        static_offset: Tensor | None = None,  # (V, 3) or (..., V, 3), added at rest
    ) -> Tensor | tuple[Tensor, Tensor]:  # (..., V, 3) and (..., 70, 3)
        """Vertices in head units, and FLAME's landmarks where the head has them and `no_lmks` is not set.

        What is left out is zero: at rest. Any leading dimensions, also none, the same for all or such that they
        broadcast; ValueError for other shapes. The landmarks are the plain barycentric ones, as upstream's call returns
        them; see `landmarks_70`.
        """
        shape, expression, pose, eyes = self._codes(shape_params, expression_params, pose_params, eye_pose_params)
        leading = shape.shape[:-1]
        if static_offset is not None:
            static_offset = self._static_offset(static_offset, leading)
        shape, expression, pose, eyes = (code.reshape(-1, code.shape[-1]) for code in (shape, expression, pose, eyes))
        rest = self.template + torch.einsum("vck,bk->bvc", self.directions, torch.cat([shape, expression], -1))
        joints = self.joint_regressor @ rest  # (B, 5, 3)
        if static_offset is not None:
            rest = rest + static_offset
        vertices = self._pose(rest, joints, pose, eyes)
        vertices = vertices.reshape(*leading, *vertices.shape[1:])
        return vertices if self.no_lmks or self.embedding is None else (vertices, self.landmarks_70(vertices))

    def _codes(self, *given: Tensor | None) -> tuple[Tensor, ...]:
        """The four codes of a call, of one leading shape; ValueError where they are not of theirs."""
        names = ("shape_params", "expression_params", "pose_params", "eye_pose_params")
        lengths = (self.n_shape, self.n_exp, 6, 6)
        codes = [self.template.new_zeros(n) if code is None else code for code, n in zip(given, lengths, strict=True)]
        for name, code, length in zip(names, codes, lengths, strict=True):
            if not code.ndim or code.shape[-1] != length:
                raise ValueError(f"{name}: expected (..., {length}), got {tuple(code.shape)}")
        try:
            leading = torch.broadcast_shapes(*(code.shape[:-1] for code in codes))
        except RuntimeError:
            came = ", ".join(f"{name} {tuple(code.shape)}" for name, code in zip(names, codes, strict=True))
            raise ValueError(f"the codes' leading dimensions must be the same, got {came}") from None
        return tuple(code.expand(*leading, code.shape[-1]) for code in codes)

    def _static_offset(self, static_offset: Tensor, leading: torch.Size) -> Tensor:  # (V, 3) or (B, V, 3)
        V = len(self.template)
        if tuple(static_offset.shape) not in ((V, 3), (*leading, V, 3)):
            raise ValueError(
                f"static_offset: expected ({V}, 3) or {(*leading, V, 3)}, got {tuple(static_offset.shape)}"
            )
        return static_offset if static_offset.ndim == 2 else static_offset.reshape(-1, V, 3)

    def get_faces(self) -> Tensor:  # (F, 3)
        """The triangles, int64: `faces`, by upstream's name."""
        return self.faces

    def landmarks_70(self, vertices: Tensor, lids: bool = False) -> Tensor:  # (..., V, 3) to (..., 70, 3)
        """FLAME's 68 landmarks in iBUG's order and the two irises; with `lids`, eight of the lids' are taken from
        vertices of the lids' edges, as upstream's tracker does. ValueError where the head has none.
        """
        embedding = self._landmarks()
        corners = torch.from_numpy(embedding.lid_corners if lids else embedding.corners).to(vertices.device)
        weights = torch.from_numpy(embedding.lid_weights if lids else embedding.weights).to(vertices)
        return (vertices[..., corners, :] * weights[..., None]).sum(-2)

    @property
    def openings(self) -> Openings | None:
        raise NotImplementedError

    def landmarks(self, vertices: np.ndarray) -> np.ndarray:  # (V, 3) to (478, 3)
        """The tracker's points on a head's vertices, float32, in the vertices' own space; NaN those it does not know.

        ValueError where the vertices are not this head's, or the head has no landmarks.
        """
        if vertices.shape != self.template.shape:
            raise ValueError(f"expected vertices {tuple(self.template.shape)}, got {vertices.shape}")
        return self._tracker_points(vertices)

    def _tracker_points(self, vertices: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _accept(self, asset: HeadAsset) -> None:
        """UserError where a file is not of this kind of head."""
        raise NotImplementedError

    def _landmarks(self) -> LandmarkEmbedding:
        if self.embedding is None:
            raise ValueError("this head has no landmarks of FLAME's")
        return self.embedding

    def evaluate(self, frame: TrackedFrame) -> np.ndarray:  # (V, 3)
        """Vertices of one tracked frame, its static offset included, as float32."""
        if frame.head != self.kind:
            raise UserError(
                f"codes of the {frame.head!r} head cannot move the {self.kind!r} head; track the file again with -f"
            )
        # In numpy: for one small head, dispatching tensor operations costs more than they do.
        rest = self._rest(frame)
        joints = self._np.regressor @ rest
        if frame.static_offset is not None:
            rest = rest + frame.static_offset
        turns = np.concatenate([frame.posecode[:3], np.zeros(3), frame.posecode[3:], frame.eyecode]).reshape(5, 3)
        rotations = matrices_of(turns.astype(np.float64)).astype(np.float32)
        if self._corrects_pose:
            bent = rotations[1:] - np.eye(3, dtype=np.float32)
            rest = rest + (self._np.pose_directions @ bent.ravel()).reshape(-1, 3)
        for joint in range(1, 5):
            parent = self._parents[joint]
            rotations[joint] = rotations[parent] @ rotations[joint]
        places = joints.copy()
        for joint in range(1, 5):
            parent = self._parents[joint]
            places[joint] = places[parent] + rotations[parent] @ (joints[joint] - joints[parent])
        shift = places - np.einsum("jkl,jl->jk", rotations, joints)
        blended = (self._np.weights @ rotations.reshape(5, 9)).reshape(-1, 3, 3)
        posed = np.einsum("vkl,vl->vk", blended, rest) + self._np.weights @ shift
        return posed.astype(np.float32)

    def _rest(self, frame: TrackedFrame) -> np.ndarray:  # (V, 3)
        """A frame's vertices before they are posed."""
        # The shape directions are most of what there is to read, and frames are of the photo's person or the driver's.
        shape = frame.shapecode[: self.n_shape]
        known = next((person for person in self._last_people if np.array_equal(person.shapecode, shape)), None)
        if known is None:
            shaped = self._np.template + (self._np.directions[:, : self.n_shape] @ shape).reshape(-1, 3)
            known = _ShapedPerson(shape.copy(), shaped)
            self._last_people = (known, *self._last_people[:1])
        return known.template + (self._np.expressions @ frame.expcode[: self.n_exp]).reshape(-1, 3)

    def joints(self, frame: TrackedFrame) -> np.ndarray:  # (5, 3)
        """Root, neck, jaw, left and right eye of a person at rest, head units."""
        code = np.concatenate([frame.shapecode[: self.n_shape], np.zeros(self.n_exp, np.float32)])
        return self._np.regressor @ (self._np.template + (self._np.directions @ code).reshape(-1, 3))

    def _pose(self, rest: Tensor, joints: Tensor, pose: Tensor, eyes: Tensor) -> Tensor:
        batch = len(rest)
        turns = torch.cat([pose[:, :3], torch.zeros_like(pose[:, :3]), pose[:, 3:], eyes], 1).view(batch, 5, 3)
        rotations = _rodrigues(turns)
        if self._corrects_pose:
            feature = (rotations[:, 1:] - torch.eye(3, device=rest.device, dtype=rest.dtype)).reshape(batch, 36)
            rest = rest + torch.einsum("vck,bk->bvc", self.pose_directions, feature)
        chained: list[tuple[Tensor, Tensor]] = []
        for joint, parent in enumerate(self._parents):
            rotation, position = rotations[:, joint], joints[:, joint, :, None]
            if parent >= 0:
                above, origin = chained[parent]
                position = origin + above @ (position - joints[:, parent, :, None])
                rotation = above @ rotation
            chained.append((rotation, position))
        rotation = torch.stack([r for r, _ in chained], 1)  # (B, 5, 3, 3)
        shift = torch.stack([p for _, p in chained], 1)[..., 0] - (rotation @ joints[..., None])[..., 0]
        blended = torch.einsum("vj,bjkl->bvkl", self.weights, rotation)
        return (blended @ rest[..., None])[..., 0] + self.weights @ shift


class OpenHead(FLAMEModel):
    """The built-in head, whose first 478 vertices are the tracker's points.

    Attributes:
        mirror: (478,) for every one of those, the one on the other side of the face.
    """

    kind = "open"
    default_motion = "relative"
    has_tracker_mesh = True
    code_regions = REGIONS
    # reading: read off a speaker who keeps his eyes on the camera while his head moves (`benchmarks.gaze` prints it),
    # where the eyes turn as much as the head. same_face: as tracked, on the clips of the ablation; less takes irises
    # past the driver's, which costs one clip's eyes .35 dB, although the tracker then sees the gaze a little nearer.
    # counted: to the sides what is tracked again of irises that were drawn at the points of the codes, over what was
    # drawn (`benchmarks.looks`); in pitch that is noise.
    iris_gain = IrisGain(reading=(0.4, 0.6), same_face=(1.0, 1.0), counted=(1.0, 0.75))

    mirror: np.ndarray

    @property
    def openings(self) -> Openings:
        """By vertices."""
        return OPEN_HEAD_OPENINGS

    def _accept(self, asset: HeadAsset) -> None:
        if asset.mirror is None:
            raise UserError(f"{self.path}: not an open head's file; make one with `python -m tools.build_open_head`")
        self.mirror = asset.mirror

    def _tracker_points(self, vertices: np.ndarray) -> np.ndarray:
        return np.array(vertices[:N_POINTS], np.float32)


class FlameHead(FLAMEModel):
    """FLAME's own file. What it knows of the tracker's points are its 70 landmarks, the lids' on the lids' edges.

    The published network was trained on, and upstream plays, the driver's parameters as they are: motion is absolute.
    """

    kind = "flame"
    default_motion = "absolute"
    has_tracker_mesh = False
    code_regions = None
    iris_gain = IrisGain()  # its eyes turn as far as they are told to

    @property
    def openings(self) -> Openings | None:
        """By its landmarks; None where the file has none."""
        return None if self.embedding is None else flame_openings(self.embedding)

    def _accept(self, asset: HeadAsset) -> None:
        if asset.mirror is not None:
            raise UserError(f"{self.path}: the open head's file, not FLAME's; fetch it with `python -m core.assets`")

    def _tracker_points(self, vertices: np.ndarray) -> np.ndarray:
        embedding = self._landmarks()
        out = np.full((N_POINTS, 3), np.nan, np.float32)
        out[embedding.tracker_points] = embedding.place(vertices)
        return out


HEAD_TYPES: dict[str, type[FLAMEModel]] = {head.kind: head for head in (OpenHead, FlameHead)}


def head_mirror() -> np.ndarray:  # (478,)
    """For every point of the tracker's mesh, the one on the other side of the face, as the built-in file has it."""
    mirror = read_head(OPEN_HEAD).mirror
    assert mirror is not None  # the built-in file has one
    return mirror


def _rodrigues(vectors: Tensor) -> Tensor:
    """Axis-angle (..., 3) to matrices (..., 3, 3), with FLAME's own guard against a zero angle."""
    angle = (vectors + 1e-8).norm(dim=-1, keepdim=True)
    x, y, z = (vectors / angle).unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*x.shape, 3, 3)
    sin, cos = angle.sin()[..., None], angle.cos()[..., None]
    return torch.eye(3, device=x.device, dtype=x.dtype) + sin * cross + (1 - cos) * (cross @ cross)
