"""How far a head's lips and lids are open, as a function of its expression and jaw codes.

`linear_gap` is the template's, to first order: one gradient for everybody. `FaceOpenings` is one person's, with the
rotation of the jaw and its corrective directions, for the lips and lids as a whole and for each pair of their rims.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from core.data.records import TrackedFrame
from core.libs.flame_model.openings import Openings, Pairs
from core.libs.rotations import matrices_of

if TYPE_CHECKING:
    from core.libs.flame_model import FLAMEModel


@dataclass(frozen=True)
class PseudoInverseSettings:
    """How `FaceOpenings.pseudo_inverse` weighs motion outside an opening. By eye, on the development clips.

    Attributes:
        reach: head units around an opening within which the skin may follow it (standard deviation of a Gaussian).
        freedom: how much of the cost is lifted at the opening itself, 0 to 1.
        regularisation: head units (rms) by which the rest of the face may move, against one standard deviation of a
            code.
        rim_slack: head units by which pairs of a rim may miss their goal, against the same; `slack` is that of the
            openings themselves, small enough to be met.
    """

    reach: float = 0.08
    freedom: float = 0.85
    regularisation: float = 0.002
    rim_slack: float = 0.001
    slack: float = 1e-6


def linear_gap(
    head: FLAMEModel, pairs: Pairs, expcode: np.ndarray, posecode: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """By how much the points of pairs are further apart than the template's, to first order in the codes (..., 100).

    Returns it in head units, (...,), and how it grows with the expression codes, (100,).
    """
    joint, jaw = (head.joint_regressor @ head.template)[2], head.weights[:, 2]
    upper, lower = (list(side) for side in zip(*pairs, strict=True))
    gradient = (head.directions[upper, 1] - head.directions[lower, 1])[:, head.n_shape :].mean(0).numpy()
    lever = jaw * (head.template - joint)[:, 2]  # how fast the jaw lowers a point
    opens = float((lever[lower] - lever[upper]).mean())
    return expcode @ gradient + posecode[..., 3] * opens, gradient.astype(np.float64)


class FaceOpenings:
    """One person's openings as functions of expression and jaw, for many frames at once.

    They come in rows: one for each opening, then one for each pair of the rims.

    Attributes:
        names: of the openings. rim_of: for every pair of a rim, whose it is. at_lips: for these, whether that is lips.
        width: the distance of the eyes' outer corners, head units.
        gradient: (rows, N) how the codes widen them, the jaw closed.
        reference: (openings,) the mean person's, in relation to the distance of the eyes, times this person's.
    """

    def __init__(self, head: FLAMEModel, openings: Openings, person: TrackedFrame) -> None:
        given = [g for g in zip(("lips", "left", "right"), openings.pairs, openings.rims, strict=True) if g[1]]
        self.names = tuple(name for name, _, _ in given)
        rows = [pairs for _, pairs, _ in given] + [(pair,) for _, _, rim in given for pair in rim]
        self.rim_of = np.repeat(np.arange(len(given)), [len(rim) for _, _, rim in given])
        self.at_lips = np.array([self.names[i] == "lips" for i in self.rim_of], bool)
        corners, weights = openings.landmarks or (np.arange(len(head.template))[:, None], np.ones((1, 1)))
        weights = np.broadcast_to(weights, corners.shape)
        vertices = np.unique(corners[[point for row in rows for pair in row for point in pair]])
        self._signs = np.zeros((len(rows), len(vertices)))  # +1 / n at upper points, -1 / n at lower ones
        for row, pairs in enumerate(rows):
            for point, sign in ((p, s / len(pairs)) for pair in pairs for p, s in zip(pair, (1, -1), strict=True)):
                np.add.at(self._signs[row], np.searchsorted(vertices, corners[point]), sign * weights[point])
        n = head.n_shape
        template, directions, regressor, jaw, corrections = (
            buffer.detach().cpu().numpy().astype(np.float64)
            for buffer in (
                *(head.template, head.directions, head.joint_regressor[2], head.weights[:, 2]),
                head.pose_directions[torch.from_numpy(vertices).long(), :, 9:18],  # the jaw's
            )
        )
        rest = template + directions[..., :n] @ person.shapecode[:n].astype(np.float64)
        self._joint = regressor @ rest
        self._joint_moves = np.einsum("v,vck->ck", regressor, directions[..., n:])
        if person.static_offset is not None:
            rest = rest + person.static_offset
        self._rest, self._moves, self._jaw = rest[vertices], directions[vertices][..., n:], jaw[vertices]
        self.gradient = np.einsum("rv,vk->rk", self._signs, self._moves[:, 1])
        self._all = directions[..., n:]
        self._near = np.linalg.norm(rest[:, None] - rest[vertices], axis=-1).min(1)
        self._corrections = corrections if corrections.any() else None
        self._inverses: dict[bool, np.ndarray] = {}  # of the usual settings
        eyes = [corners[point] for point in openings.eyes], [weights[point] for point in openings.eyes]
        self.width, mean_width = (
            float(np.linalg.norm(np.subtract(*(w @ face[c] for c, w in zip(*eyes, strict=True)))))
            for face in (rest, template)
        )
        self.reference = (self._signs @ template[vertices, 1])[: len(given)] * (self.width / mean_width)

    def gaps(self, expcode: np.ndarray, jaw: np.ndarray) -> np.ndarray:  # (T, N), (T, 3) -> (T, rows)
        """How far upper and lower vertices are apart along the head's y, in head units; negative where they crossed."""
        at_rest = self._rest + (expcode @ self._moves.reshape(-1, expcode.shape[1]).T).reshape(-1, *self._rest.shape)
        joint = self._joint + expcode @ self._joint_moves.T
        turn = matrices_of(jaw.astype(np.float64)) - np.eye(3)
        if self._corrections is not None:
            at_rest += np.einsum("vcr,tr->tvc", self._corrections, turn.reshape(-1, 9))
        y = at_rest[..., 1] + self._jaw * np.einsum("tvc,tc->tv", at_rest - joint[:, None], turn[:, 1])
        return y @ self._signs.T

    def terms(self) -> dict[str, np.ndarray]:
        """What `gaps` is computed from without corrective directions, for another program.

        rest (V, 3), moves (V, 3, N) by the codes and jaw (V,), its share, of the V points that openings are made of;
        joint (3,) and jointMoves (3, N) of the jaw; signs (rows, V), by which heights become gaps.
        """
        assert self._corrections is None
        moves = self._joint_moves
        parts = {"rest": self._rest, "moves": self._moves, "jaw": self._jaw, "joint": self._joint}
        return parts | {"jointMoves": moves, "signs": self._signs}

    def pseudo_inverse(
        self, rims: bool = True, settings: PseudoInverseSettings | None = None
    ) -> np.ndarray:  # (rows, N), or (openings, N) without rims
        """For each row the change of the codes that widens it by 1 and leaves the other rows, at the least cost.

        A damped pseudo-inverse of `gradient`. The cost is that of the codes themselves, which are standard deviations,
        and of what moves elsewhere. Openings are met exactly, pairs of a rim within `rim_slack`, which acts as the
        measurement noise in a Kalman filter's gain.
        """
        if settings is None:
            if rims not in self._inverses:
                self._inverses[rims] = self.pseudo_inverse(rims, PseudoInverseSettings())
            return self._inverses[rims]
        s = settings
        gradient = self.gradient if rims else self.gradient[: len(self.names)]
        away = self._all * (1 - s.freedom * np.exp(-0.5 * (self._near / s.reach) ** 2))[:, None, None]
        flat = away.reshape(-1, away.shape[-1]) / (s.regularisation * np.sqrt(len(self._near)))
        cheap = np.linalg.solve(np.eye(flat.shape[1]) + flat.T @ flat, gradient.T)
        slack = np.where(np.arange(len(gradient)) < len(self.names), s.slack, s.rim_slack)
        return np.linalg.solve(gradient @ cheap + np.diag(slack**2), cheap.T)
