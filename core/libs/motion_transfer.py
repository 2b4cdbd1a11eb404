"""From the driver's parameters to the source's: what moves, and measured from where.

absolute: the source takes the driver's pose, expression, jaw and eyes as they are. relative: it takes how they differ
from the driver's own resting state, on top of the source's; turns away from the camera are softly limited, because one
photo shows one side of a head.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import roma
import torch

from core.data.records import SEEN, TrackedFrame, TrackedSequence
from core.errors import UserError
from core.libs.flame_model import FLAMEModel
from core.libs.flame_model.topology import N_FACE
from core.libs.geometry import to_camera, to_pixels, to_rays

MODES = ("auto", "relative", "absolute")


@dataclass(frozen=True)
class MotionTransfer:
    """Carries a driver's motion over to a source.

    Attributes:
        mode: `relative`, `absolute`, or `auto`, which is relative.
        turn_limit: degrees from the source's own pose towards which relative turns are bent, by tanh.
        shift_limit: head units towards which relative shifts are bent.
        same_face: in absolute mode, pixels (rms over the face) by which a driver's frame may differ from the photo and
            still be taken for the same face in the same pose.
    """

    mode: str = "auto"
    turn_limit: float = 30.0
    shift_limit: float = 0.35
    same_face: float = 2.5

    def run(self, source: TrackedFrame, driver: TrackedSequence) -> TrackedSequence:
        """The parameters to render, with the source's shape: a sequence as long as the driver."""
        if self.mode not in MODES:
            raise UserError(f"motion {self.mode!r} is none of {', '.join(MODES)}")
        if source.head != driver.head:
            raise UserError(
                f"the driver's codes are of the {driver.head!r} head, the source's of the {source.head!r} head: "
                "they cannot be mixed; track the driver again with -f"
            )
        moved = self._absolute(source, driver) if self.mode == "absolute" else self._relative(source, driver)
        return replace(moved, shapecode=source.shapecode[None], residual=source.residual)

    def _absolute(self, source: TrackedFrame, driver: TrackedSequence) -> TrackedSequence:
        if source.head != "open" or source.residual is None:
            return driver
        # A photo and a clip of one person are fitted slightly apart. Where the driver has a frame that shows the very
        # face of the photo, motion is counted from there, so that this frame comes out as the photo went in.
        head = FLAMEModel()
        mine = to_pixels(to_camera(head.evaluate(source)[:N_FACE], source.transform_matrix))
        seen = np.flatnonzero(driver.status == SEEN)
        theirs = np.stack([to_pixels(to_camera(head.evaluate(driver[t])[:N_FACE], driver[t].transform_matrix)) for t in seen])
        scale, shift, distance = _lay_onto(mine, theirs)
        best = int(distance.argmin())
        if distance[best] > self.same_face:
            return driver
        frame, scale, shift = driver[int(seen[best])], scale[best], shift[best]
        own, there = source.transform_matrix.astype(np.float64), frame.transform_matrix.astype(np.float64)
        turn = own[:, :3] @ there[:, :3].T  # p @ own = p @ turn @ there
        centre = scale * to_pixels(own[None, :, 3]) + shift
        depth = own[2, 3] / scale
        place = np.append(to_rays(centre)[0] * depth, depth)
        offset = (place - there[:, 3]) @ there[:, :3].T
        transforms = driver.transform_matrix.astype(np.float64)
        turned = turn @ transforms[..., :3]
        places = np.einsum("k,tkl->tl", offset, transforms[..., :3]) + transforms[..., 3]
        return replace(
            _counted_from(source, driver, frame),
            transform_matrix=np.concatenate([turned, places[..., None]], -1).astype(np.float32),
        )

    def _relative(self, source: TrackedFrame, driver: TrackedSequence) -> TrackedSequence:
        rest = neutral_frame(driver)
        first = driver.transform_matrix[rest].astype(np.float64)
        turns, places = driver.transform_matrix[..., :3].astype(np.float64), driver.transform_matrix[..., 3]
        # In the camera's axes: R_t = R_rest D, so the source, too, turns about the viewer's axes.
        delta = np.swapaxes(first[None, :, :3], -1, -2) @ turns
        vectors = roma.rotmat_to_rotvec(torch.from_numpy(np.ascontiguousarray(delta))).numpy()
        vectors = _soft(vectors, np.radians(self.turn_limit))
        delta = roma.rotvec_to_rotmat(torch.from_numpy(vectors)).numpy()
        shift = _soft((places - first[:, 3]) * [1, 1, 0.5], self.shift_limit)
        mine = source.transform_matrix.astype(np.float64)
        transform = np.concatenate([mine[None, :, :3] @ delta, (mine[:, 3] + shift)[..., None]], -1)
        return replace(
            _counted_from(source, driver, driver[rest]), transform_matrix=transform.astype(np.float32)
        )


def neutral_frame(driver: TrackedSequence) -> int:
    """The frame of a driver that is nearest its own resting state: expression, jaw and pose all near their medians."""
    seen = np.flatnonzero(driver.status == SEEN)
    code = np.concatenate([driver.expcode / 3, driver.posecode[:, 3:4] / 0.02], 1)[seen]
    pose = np.concatenate([driver.transform_matrix[..., :3].reshape(-1, 9), driver.transform_matrix[..., 3]], 1)[seen]
    distance = np.linalg.norm(code - np.median(code, 0), axis=1) / 10
    distance += np.linalg.norm(pose - np.median(pose, 0), axis=1) / 0.2
    return int(seen[distance.argmin()])


def resting_transform(source: TrackedFrame, motion: TrackedSequence) -> np.ndarray:  # (3, 4)
    """The transform of a motion at which the head is nearest its pose in the photo: where the shoulders belong to."""
    turns = np.swapaxes(source.transform_matrix[None, :, :3], -1, -2) @ motion.transform_matrix[..., :3]
    angle = np.arccos(np.clip((np.trace(turns, axis1=1, axis2=2) - 1) / 2, -1, 1))
    away = np.linalg.norm(motion.transform_matrix[..., 3] - source.transform_matrix[:, 3], axis=1)
    return motion.transform_matrix[int((angle + 0.2 * away).argmin())]


def _counted_from(source: TrackedFrame, driver: TrackedSequence, rest: TrackedFrame) -> TrackedSequence:
    """The source's expression, jaw and eyes plus how the driver's differ from those of one of its frames."""
    moved = {
        name: (getattr(source, name) + getattr(driver, name) - getattr(rest, name)).astype(np.float32)
        for name in ("expcode", "posecode", "eyecode")
    }
    return replace(driver, **moved)


def _lay_onto(points: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scale (T,) and shift (T, 2) that lay points (N, 2) onto every target (T, N, 2), and the rms distance left (T,)."""
    mean, means = points.mean(0), targets.mean(1)
    a, b = points - mean, targets - means[:, None]
    scale = (a * b).sum((1, 2)) / (a * a).sum()
    left = np.sqrt(((scale[:, None, None] * a - b) ** 2).sum(-1).mean(-1))
    return scale, means - scale[:, None] * mean, left


def _soft(vectors: np.ndarray, limit: float) -> np.ndarray:
    """Vectors (..., 3) bent so that their length stays under `limit`; short ones are left nearly as they are."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors * (limit * np.tanh(length / limit) / np.maximum(length, 1e-9))
