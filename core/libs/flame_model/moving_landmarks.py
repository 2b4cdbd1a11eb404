"""The landmarks alone, moved by codes: what a fit needs of a head, in a thousandth of the head's cost.

A landmark is a weighted mean of three vertices and a vertex a weighted mean of its place under each joint, so that both
sums can be done beforehand: a landmark is then, exactly, a sum over joints of a turn times something linear in the
codes. Root and neck stand still, as in tracked data.
"""

from __future__ import annotations

import numpy as np

from core.libs.flame_model.flame import FLAMEModel, Joint

_TURNING = (Joint.JAW, Joint.LEFT_EYE, Joint.RIGHT_EYE)


class MovingLandmarks:
    """70 landmarks of a FLAME head, the lids' on their edges, in float64.

    Args:
        head: FLAME, with landmarks. ValueError where it has none.

    Attributes:
        directions: (4, 70, 3, K) how the codes move what stands still, what the jaw and what each eye turns.
        tracker_points: (70,) which of the tracker's points they are.
    """

    def __init__(self, head: FLAMEModel) -> None:
        if head.embedding is None:
            raise ValueError("this head has no landmarks of FLAME's")
        corners, shares = head.embedding.lid_corners, head.embedding.lid_weights.astype(np.float64)
        self.tracker_points = head.embedding.tracker_points
        self.n_shape = head.n_shape
        template, directions, correctives, regressor, skinning = (
            values.numpy().astype(np.float64)
            for values in (
                head.template,
                head.directions[corners],
                head.pose_directions[corners],
                head.joint_regressor,
                head.weights[corners],
            )
        )
        self._joints = regressor @ template  # (5, 3)
        self._joint_directions = np.einsum("jv,vck->jck", head.joint_regressor.numpy(), head.directions.numpy())
        part = skinning * shares[..., None]  # (70, 3, 5)
        part = np.stack([part[..., :2].sum(-1), *(part[..., j] for j in _TURNING)])  # (4, 70, 3)
        base = np.einsum("gln,lnc->glc", part, template[corners])
        moves = np.einsum("gln,lnck->glck", part, directions)
        self._correctives = np.einsum("gln,lnck->glck", part, correctives)
        total = part.sum(-1)  # (4, 70)
        for group, joint in enumerate(_TURNING, 1):  # what turns is counted from its joint
            share = total[group, :, None]
            base[group] -= share * self._joints[joint]
            base[0] += share * self._joints[joint]
            share = share[..., None]
            moves[group] -= share * self._joint_directions[joint]
            moves[0] += share * self._joint_directions[joint]
        self._base, self.directions = base, moves

    def unturned(self, codes: np.ndarray) -> np.ndarray:
        """The parts of the landmarks (..., 4, 70, 3) that the joints are to turn, for codes (..., K)."""
        flat = self.directions.reshape(-1, self.directions.shape[-1])
        return self._base + (codes @ flat.T).reshape(*codes.shape[:-1], *self._base.shape)

    def turned(self, parts: np.ndarray, turns: np.ndarray) -> np.ndarray:
        """The landmarks (T, 70, 3) for parts (T, 4, 70, 3) and matrices (T, 3, 3, 3) of jaw, left and right eye."""
        bent = (turns - np.eye(3)).reshape(len(turns), 27)
        moves = self._correctives[..., 9:].reshape(-1, 27)  # the first nine are the neck's
        parts = parts + (bent @ moves.T).reshape(len(turns), *self._base.shape)
        return parts[:, 0] + np.einsum("tgab,tglb->tla", turns, parts[:, 1:])

    def eye_joints(self, codes: np.ndarray) -> np.ndarray:
        """Centres of the left and the right eyeball (..., 2, 3) for codes (..., K)."""
        return self._joints[3:] + np.einsum("jck,...k->...jc", self._joint_directions[3:], codes)


def turn_matrices(jaw: np.ndarray, eyes: np.ndarray) -> np.ndarray:
    """(T, 3, 3, 3) of jaw, left and right eye, from axis-angles (T, 3) and (T, 6)."""
    from scipy.spatial.transform import Rotation  # a run that finds photo and driver in the cache does without it

    vectors = np.concatenate([jaw, eyes], 1).reshape(-1, 3)
    return Rotation.from_rotvec(vectors).as_matrix().reshape(-1, 3, 3, 3)
