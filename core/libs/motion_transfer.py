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
from core.libs.geometry import fit_similarity

MODES = ("auto", "relative", "absolute")


@dataclass(frozen=True)
class MotionTransfer:
    """Carries a driver's motion over to a source.

    Attributes:
        mode: `relative`, `absolute`, or `auto`, which is relative.
        turn_limit: degrees from the source's own pose towards which relative turns are bent, by tanh.
        shift_limit: head units towards which relative shifts are bent.
        same_person: rest shapes that differ by less than this (rms, head units) after alignment are one person's. The
            same person in two pictures differs by 0.002 to 0.007, two persons by 0.019 in the median.
    """

    mode: str = "auto"
    turn_limit: float = 30.0
    shift_limit: float = 0.35
    same_person: float = 0.008

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
        if source.head != "open" or driver.residual is None or source.residual is None:
            return driver
        # One picture and a clip of one person are fitted slightly apart. Where both are the same face, lay the source's
        # rest shape onto the driver's, so that the source's own frame comes out as it went in.
        head = FLAMEModel()
        mine, theirs = _rest(head, source), _rest(head, driver[0])
        weights = 1.0 / ((head.directions[:478, :, head.n_shape :] ** 2).sum((1, 2)).numpy() + 4e-5)
        scale, rotation, shift = fit_similarity(mine, theirs, weights)
        aligned = scale * mine @ rotation + shift
        if np.sqrt(((aligned - theirs)[:468] ** 2).sum(-1).mean()) > self.same_person:
            return driver
        basis = head.directions[:468, :, head.n_shape :].numpy().reshape(468 * 3, -1).astype(np.float64)
        missing = (((theirs - aligned) @ rotation.T) / scale)[:468].ravel()
        codes = np.linalg.solve(basis.T @ basis + 1e-5 * np.eye(basis.shape[1]), basis.T @ missing)
        transforms = driver.transform_matrix.astype(np.float64)
        turned = rotation @ transforms[..., :3]
        position = np.einsum("k,tkl->tl", shift, transforms[..., :3]) + transforms[..., 3]
        position[:, 2] /= scale  # a larger head is a nearer one
        position[:, :2] /= scale
        return replace(
            driver,
            expcode=(driver.expcode + codes).astype(np.float32),
            transform_matrix=np.concatenate([turned, position[..., None]], -1).astype(np.float32),
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
            driver,
            expcode=(source.expcode + driver.expcode - driver.expcode[rest]).astype(np.float32),
            posecode=(source.posecode + driver.posecode - driver.posecode[rest]).astype(np.float32),
            eyecode=(source.eyecode + driver.eyecode - driver.eyecode[rest]).astype(np.float32),
            transform_matrix=transform.astype(np.float32),
        )


def neutral_frame(driver: TrackedSequence) -> int:
    """The frame of a driver that is nearest its own resting state: expression, jaw and pose all near their medians."""
    seen = np.flatnonzero(driver.status == SEEN)
    code = np.concatenate([driver.expcode / 3, driver.posecode[:, 3:4] / 0.02], 1)[seen]
    pose = np.concatenate([driver.transform_matrix[..., :3].reshape(-1, 9), driver.transform_matrix[..., 3]], 1)[seen]
    distance = np.linalg.norm(code - np.median(code, 0), axis=1) / 10
    distance += np.linalg.norm(pose - np.median(pose, 0), axis=1) / 0.2
    return int(seen[distance.argmin()])


def _rest(head: FLAMEModel, frame: TrackedFrame) -> np.ndarray:
    """The points of a person at rest, (478, 3) float64."""
    at_rest = replace(frame, expcode=0 * frame.expcode, posecode=0 * frame.posecode, eyecode=0 * frame.eyecode)
    return head.evaluate(at_rest)[:478].astype(np.float64)


def _soft(vectors: np.ndarray, limit: float) -> np.ndarray:
    """Vectors (..., 3) bent so that their length stays under `limit`; short ones are left nearly as they are."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors * (limit * np.tanh(length / limit) / np.maximum(length, 1e-9))
