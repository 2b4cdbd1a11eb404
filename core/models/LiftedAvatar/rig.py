"""Where the proxy mesh goes: the face with the head model, hair with the head, shoulders on their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.libs.flame_model import topology as topo
from core.libs.geometry import NECK, apply_torso_motion, seen_from, to_camera
from core.libs.mesh import ProxyMesh
from core.models.LiftedAvatar.sides import SideDepth


@dataclass(frozen=True)
class Rig:
    """A proxy mesh that can be moved.

    Attributes:
        mesh: of the photo. face: (478, 3) its points in head space, in the photo's own expression.
        surroundings: (M - 478, 3) the others in head space.
        anchor: (3, 4) the head's place when the shoulders stand as in the photo.
        neck_reach: head units that the neck moves before the shoulders follow, where theirs is a guess.
        followed_neck_reach: the same, where the driver's shoulders were followed.
        follows: (M - 478,) how much of its move a point of the surroundings makes, 0 where it joins the rest of the
            photo; body: (M - 478,) the same of the shoulders' move alone. None where all of it moves.
        sides: ears and hair beside a face that turns; None: they are as deep as the mesh of the photo has them.
    """

    mesh: ProxyMesh
    face: np.ndarray
    surroundings: np.ndarray
    anchor: np.ndarray
    neck_reach: float
    followed_neck_reach: float
    follows: np.ndarray | None = None
    body: np.ndarray | None = None
    sides: SideDepth | None = None

    def pose(
        self,
        face: np.ndarray,
        transform: np.ndarray,
        torso_motion: np.ndarray | None = None,
        view: np.ndarray | None = None,
    ) -> np.ndarray:
        """The mesh's points (M, 3) in the camera frame.

        Args:
            face: (478 or more, 3) the head's points in head space, the tracker's first. transform: (3, 4).
            torso_motion: (4,) of the shoulders since the anchor, see `TrackedFrame`; None: only as the neck takes them.
            view: (3, 4) from the photo's camera to the one that draws, to which sides may turn; the points are in the
                photo's all the same. None: the same one.
        """
        return self.poses((face,), transform, torso_motion, view)[0]

    def poses(
        self,
        faces: Sequence[np.ndarray],
        transform: np.ndarray,
        torso_motion: np.ndarray | None = None,
        view: np.ndarray | None = None,
    ) -> list[np.ndarray]:
        """The mesh's points (M, 3) with each of some faces in one pose, see `pose`."""
        transform = transform.astype(np.float64)
        turned = None if self.sides is None else self.sides.at(seen_from(transform, view))
        still = to_camera(np.concatenate([self.surroundings, NECK[None]]), self.anchor)
        if torso_motion is not None:
            still = apply_torso_motion(still, still[-1], torso_motion)
        neck, still = to_camera(NECK[None], transform) - still[-1], still[:-1]
        # A neck reaches only so far: the shoulders stand still for small moves and go along with large ones.
        length = np.linalg.norm(neck)
        reach = self.neck_reach if torso_motion is None else self.followed_neck_reach
        still = still + neck * (1 - reach * np.tanh(length / reach) / max(length, 1e-9))
        share = self.mesh.torso_weights[topo.N_POINTS :, None]
        at_rest = self.mesh.points[topo.N_POINTS :]
        if self.body is not None:
            still = at_rest + self.body[:, None] * (still - at_rest)
        still = still * share
        out = []
        for face in faces:
            face = rest_eyes(face[: topo.N_POINTS].astype(np.float64))
            border = (face - self.face)[list(topo.FACE_OVAL)]
            head = np.concatenate([face, self.surroundings + self.mesh.border_weights @ border])
            if turned is not None:
                head += turned
            head = to_camera(head, transform)
            moved = head[topo.N_POINTS :] * (1 - share) + still
            if self.follows is not None:
                moved = at_rest + self.follows[:, None] * (moved - at_rest)
            head[topo.N_POINTS :] = moved
            out.append(head)
        return out


def rest_eyes(face: np.ndarray) -> np.ndarray:
    """The face (478, 3) with the irises' centres in the middle of the lids: the white does not turn with the gaze."""
    face = face.copy()
    for ring, iris in ((topo.RIGHT_EYE, topo.RIGHT_IRIS), (topo.LEFT_EYE, topo.LEFT_IRIS)):
        face[iris[0]] = face[list(ring)].sum(0) / len(ring)
    return face
