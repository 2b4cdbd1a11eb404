"""A driver's expression on a source's face: codes by `ExpressionOptimizer`, then lips and lids by their openings.

The same code opens one person's eyes by another part than the next one's. What is meant by a motion is fixed at both
its ends: closed is closed on everybody, and an open eye is as open as that person's eyes are. So lids go by the part of
each person's own open eye, lips by their gap over the distance of the eyes, both counted from where they touch; the
codes are changed by as little as brings the openings there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from core.data.records import SEEN, TrackedFrame, TrackedSequence
from core.libs.blocks import blocks
from core.libs.expression_optimizer import MOTION_SHARE, ExpressionOptimizer, bent, resting_frames
from core.libs.flame_model.openings import Openings

if TYPE_CHECKING:
    from core.libs.flame_model import FLAMEModel

# Of an open eye: how far a tracker sees lids apart that touch, where a clip shows no blink; how far it may be, where
# one shows; and at which smallest opening a clip is taken to show none.
_SHUT, _SHUT_MOST, _NO_BLINK = 0.12, 0.35, 0.6
_WIDE = (1.15, 1.45)  # of a person's open eye: from where on wider is bent, and the widest
_GAPING = (0.55, 0.8)  # of the distance of the eyes: the same for lips
_CONTACT = 0.012  # of the distance of the eyes: lips nearer than this touch
_CALM_SHARE = 0.5  # of the frames with eyes open and lips near, that make up the neutral
_CLOSING = 0.025  # of the distance of the eyes: lips nearer than this are brought together all along their rim
_LEAST_OPEN = 0.15  # of a clip's frames, those with the lips nearest to one another
_PRESSED = 0.004  # how far lips that touch may be pressed into one another
_OPEN = 0.85  # of an open eye: from here on narrower, what lids that touch are seen apart is taken off
_LEAST_EYE = 0.45  # of the mean person's open eye: less than this is never taken for a driver's open eye
_SPREAD = 0.25  # people's open eyes as part of the mean one's, plus and minus
_NEAR, _FREE = 0.08, 0.85  # head units around an opening where the skin may follow it, and how freely
_STEADY = 0.002  # head units (rms) by which the rest of the face may move, against one standard deviation of a code
_SLACK = 0.001  # head units by which pairs of a rim may miss, against the same
_ROUNDS, _MORE_ROUNDS = 3, 12  # that bring openings to their goals; more of them where codes are held by their limit
_HELD = 0.1  # standard deviations that the limit takes off a change, from where on those count in full


def transfer_expression(
    optimizer: ExpressionOptimizer,
    source: TrackedFrame,
    driver: TrackedSequence,
    motion: TrackedSequence,
    head: FLAMEModel,
) -> TrackedSequence:
    """The motion with the expression and jaw codes that let the source do what the driver does.

    Args:
        optimizer: its settings; its neutral is fitted to the driver's frames that were seen, where there are two.
        source: the photo. driver: as tracked (and smoothed). motion: as long as the driver; all but `expcode` and the
            jaw in `posecode` is kept.
        head: that all three are of; where it says nothing of lips and lids, codes and jaw are all that is transferred.
    """
    if not len(motion) == len(driver):
        raise ValueError(f"driver and motion must be of one length, got {len(driver)} and {len(motion)}")
    openings = head.openings
    theirs = None if openings is None else Face(head, openings, driver[0])
    gaps = None
    if theirs is not None:
        gaps = np.concatenate([theirs.gaps(driver.expcode[b], driver.posecode[b, 3:]) for b in blocks(len(driver))])
    jaw, own_jaw = driver.posecode[:, 3:].astype(np.float64), source.posecode[3:].astype(np.float64)
    seen = np.flatnonzero(driver.status == SEEN)
    if len(seen) > 1:
        calm = seen if theirs is None else seen[_calm(theirs, gaps[seen])]
        share = _CALM_SHARE if len(calm) < len(seen) else 0.15
        optimizer.fit_neutral(driver.expcode[calm], share)
        rest = calm[resting_frames(driver.expcode[calm].astype(np.float64), share)]
        jaw = own_jaw + optimizer.gain * (jaw - jaw[rest].mean(0))
    else:  # as the codes of a single picture
        optimizer.neutral = None
        jaw = (1 - MOTION_SHARE) * own_jaw + optimizer.gain * MOTION_SHARE * jaw
    if theirs is not None:
        mine = Face(head, openings, source)
        own = mine.gaps(source.expcode[None], source.posecode[None, 3:])[0]
        goals = _goals(theirs, gaps, seen, mine, own, optimizer.gain)
    expcode = np.empty(driver.expcode.shape, np.float32)
    for part in blocks(len(driver)):
        codes = optimizer.optimize_expression(driver.expcode[part].astype(np.float64), source.expcode)
        if theirs is not None:
            codes = _opened(mine, own, goals[part], codes, jaw[part], optimizer.limit)
        expcode[part] = codes
    posecode = motion.posecode.copy()
    posecode[:, 3:] = jaw
    return replace(motion, expcode=expcode, posecode=posecode)


def _calm(face: Face, gaps: np.ndarray) -> np.ndarray:  # (T, rows) -> (K,) indices
    """The frames among which a driver's neutral is looked for: eyes open, lips as near one another as they come.

    Who talks has the lips apart at most times and holds them so for longest.
    """
    good = np.ones(len(gaps), bool)
    for name, gap in zip(face.names, gaps.T, strict=False):
        if name == "lips":
            good &= gap <= max(np.percentile(gap, 100 * _LEAST_OPEN), (_touch(gap / face.width) + 0.02) * face.width)
        else:
            good &= np.abs(gap / _open_eye(gap) - 1) < 0.25
    return np.flatnonzero(good) if good.sum() >= 2 else np.arange(len(gaps))


def _goals(
    theirs: Face,
    gaps: np.ndarray,  # (T, rows) of the driver
    seen: np.ndarray,  # indices
    mine: Face,
    own: np.ndarray,  # (rows,) of the photo
    gain: float,
) -> np.ndarray:  # (T, openings)
    """How far the source's lips and lids are to be open, in head units."""
    goals = np.empty((len(gaps), len(mine.names)))
    for i, name in enumerate(mine.names):
        if name == "lips":
            gap = gaps[:, i] / theirs.width
            goals[:, i] = mine.width * _lips(gap, gap[seen], own[i] / mine.width, gain)
        else:
            goals[:, i] = own[i] * _lids(gaps[:, i], gaps[seen, i], theirs.usual[i], gain)
    return goals


def _opened(
    face: Face,
    own: np.ndarray,  # (rows,) of the photo
    goals: np.ndarray,  # (T, openings)
    expcode: np.ndarray,  # (T, N)
    jaw: np.ndarray,  # (T, 3)
    limit: float,
) -> np.ndarray:  # (T, N)
    """The codes, changed by as little as opens lips and lids as far as they are to be; none goes beyond the limit.

    How an opening is shaped is left to the codes while it is open; the more it closes, the more every pair of its rim
    is brought together, or lids that are no one's but this person's would leave a slit or cross beside it.

    A change is bent over the last third of its code's way to the limit. What is missing then is asked of all codes
    again, and those that have room left give it.
    """
    n = goals.shape[1]
    part = np.empty_like(goals)
    for i, name in enumerate(face.names):
        part[:, i] = goals[:, i] / (_CLOSING * face.width if name == "lips" else max(own[i], 1e-6))
    closing = np.clip(1 - part, 0, 1)[:, face.rim_of]
    shut = np.where(face.at_lips, np.minimum(own[n:], 0), np.maximum(part, 0)[:, face.rim_of] * own[n:])
    alone, steps = face.steps(rims=False), face.steps()

    def step(codes: np.ndarray, at: slice | np.ndarray) -> np.ndarray:
        gaps = face.gaps(codes, jaw[at])
        missing = goals[at] - gaps[:, :n]
        along = missing @ alone @ face.gradient[n:].T  # what an opening does to its rim of itself
        rims = along + closing[at] * (shut[at] - gaps[:, n:] - along)
        return np.concatenate([missing, rims], 1) @ steps

    change, opened = np.zeros_like(expcode), expcode
    for _ in range(_ROUNDS):  # linear but for the jaw's turn
        change = change + step(opened, slice(None))
        opened = _within(expcode, change, limit)
    held = np.flatnonzero(np.abs(expcode + change - opened).max(1))
    for _ in range(_MORE_ROUNDS if len(held) else 0):
        lost = np.abs(expcode + change - opened)[held].max(1, keepdims=True)
        change[held] += np.minimum(lost / _HELD, 1) * step(opened[held], held)
        opened[held] = _within(expcode[held], change[held], limit)
    return opened


def _within(codes: np.ndarray, change: np.ndarray, limit: float) -> np.ndarray:
    """The codes and their change together, the change bent to the room that each code has left on its side."""
    room = np.maximum(limit - np.sign(change) * codes, 1e-9)
    return codes + bent(change, room)


def _lips(gap: np.ndarray, seen: np.ndarray, own: float, gain: float) -> np.ndarray:
    """Gaps of lips (T,) for a source, from a driver's, all over the distance of the eyes.

    Where lips touch, the tracker sees them a little apart or one over the other, by person: from there it is counted.
    """
    touch = _touch(seen)
    opening = gain * (gap - touch)
    return min(own, 0.0) + np.where(opening < 0, _PRESSED * np.tanh(opening / _PRESSED), _below(opening, *_GAPING))


def _lids(gap: np.ndarray, seen: np.ndarray, usual: float, gain: float) -> np.ndarray:
    """The part (T,) of its own open eye by which a source's eye is open, from a driver's gaps.

    `usual` is the mean person's open eye. Where a driver's cannot be told from the one picture there is of it, what
    people's open eyes may be is taken for open.
    """
    if len(seen) > 1:
        eye = max(_open_eye(seen), _LEAST_EYE * usual)
        low = np.sort(seen)[: max(2, len(seen) // 100)].mean() / eye
    else:
        eye, low = float(np.clip(seen.mean(), (1 - _SPREAD) * usual, (1 + _SPREAD) * usual)), 1.0
    blinks = np.clip((_NO_BLINK - low) / (_NO_BLINK - _SHUT_MOST), 0, 1)
    shut = _SHUT + blinks * (np.clip(low, 0, _SHUT_MOST) - _SHUT)
    part = gap / eye
    # Open eyes keep their motion as it is; only on the way to shut is the rest taken off.
    on_the_way = np.clip((_OPEN - part) / (_OPEN - shut), 0, 1)
    closed = 1 - (part - shut * on_the_way**2 * (3 - 2 * on_the_way))
    # Shut stays shut under any gain.
    closed *= gain if gain > 1 else gain + (1 - gain) * np.clip(closed, 0, 1) ** 2
    return np.maximum(_below(1 - closed, *_WIDE), 0)


def _touch(gap: np.ndarray) -> float:
    """The gap at which a clip's lips touch; what a tracker may mistake at most where they never do."""
    return float(np.clip(np.percentile(gap, 2), -_CONTACT, _CONTACT))


def _open_eye(gap: np.ndarray) -> float:
    """A clip's usual gap of the lids, blinks left out."""
    wide = np.percentile(gap, 90)
    return float(np.median(gap[gap >= min(wide / 2, wide)]))


def _below(values: np.ndarray, knee: float, limit: float) -> np.ndarray:
    """Values bent by tanh to stay below a limit; those below the knee are left alone."""
    return np.minimum(values, knee) + (limit - knee) * np.tanh(np.maximum(values - knee, 0) / (limit - knee))


class Face:
    """One person's openings as functions of expression and jaw, for many frames at once.

    They come in rows: one for each opening, then one for each pair of the rims.

    Attributes:
        names: of the openings. rim_of: for every pair of a rim, whose it is. at_lips: for these, whether that is lips.
        width: the distance of the eyes' outer corners.
        gradient: (rows, N) how the codes widen them, the jaw closed.
        usual: (openings,) the mean person's, in relation to the distance of the eyes, times this person's.
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
        if person.residual is not None:
            rest = rest + person.residual
        self._rest, self._moves, self._jaw = rest[vertices], directions[vertices][..., n:], jaw[vertices]
        self.gradient = np.einsum("rv,vk->rk", self._signs, self._moves[:, 1])
        self._all = directions[..., n:]
        self._near = np.linalg.norm(rest[:, None] - rest[vertices], axis=-1).min(1)
        self._corrections = corrections if corrections.any() else None
        eyes = [corners[point] for point in openings.eyes], [weights[point] for point in openings.eyes]
        self.width, mean_width = (
            float(np.linalg.norm(np.subtract(*(w @ face[c] for c, w in zip(*eyes, strict=True)))))
            for face in (rest, template)
        )
        self.usual = (self._signs @ template[vertices, 1])[: len(given)] * (self.width / mean_width)

    def gaps(self, expcode: np.ndarray, jaw: np.ndarray) -> np.ndarray:  # (T, N), (T, 3) -> (T, rows)
        """How far upper and lower vertices are apart along the head's y, in head units; negative where they crossed."""
        at_rest = self._rest + (expcode @ self._moves.reshape(-1, expcode.shape[1]).T).reshape(-1, *self._rest.shape)
        joint = self._joint + expcode @ self._joint_moves.T
        turn = Rotation.from_rotvec(jaw).as_matrix() - np.eye(3)
        if self._corrections is not None:
            at_rest += np.einsum("vcr,tr->tvc", self._corrections, turn.reshape(-1, 9))
        y = at_rest[..., 1] + self._jaw * np.einsum("tvc,tc->tv", at_rest - joint[:, None], turn[:, 1])
        return y @ self._signs.T

    def steps(self, rims: bool = True) -> np.ndarray:  # (rows, N), or (openings, N) without rims
        """For each row the change of the codes that widens it by 1 and leaves the other rows, at the least cost.

        The cost is that of the codes themselves, which are standard deviations, and of what moves elsewhere. Openings
        are met to the letter, pairs of a rim as far as is cheap (as in a Kalman filter's gain: `_SLACK` is their
        measurement noise).
        """
        gradient = self.gradient if rims else self.gradient[: len(self.names)]
        away = self._all * (1 - _FREE * np.exp(-0.5 * (self._near / _NEAR) ** 2))[:, None, None]
        flat = away.reshape(-1, away.shape[-1]) / (_STEADY * np.sqrt(len(self._near)))
        cheap = np.linalg.solve(np.eye(flat.shape[1]) + flat.T @ flat, gradient.T)
        slack = np.where(np.arange(len(gradient)) < len(self.names), 1e-6, _SLACK)
        return np.linalg.solve(gradient @ cheap + np.diag(slack**2), cheap.T)
