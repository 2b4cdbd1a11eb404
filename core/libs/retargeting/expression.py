"""A driver's expression and jaw on a source's face. Two strategies.

Plain, `counted_expression`: the source's codes plus how the driver's differ from a reference frame, changed only as far
as keeps lips and lids from going through one another; without a reference the driver's codes as they are.

Improved, `transfer_expression`: codes by `ExpressionOptimizer`, then lips and lids by their openings. The same code
opens one person's eyes by another part than the next one's. What is meant by a motion is fixed at both its ends: closed
is closed on everybody, and an open eye is as open as that person's eyes are. So lids go by the part of each person's
own open eye, lips by their gap over the distance of the eyes, both counted from where they touch; the codes are changed
by as little as brings the openings there.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from core.data.records import SEEN, TrackedFrame, TrackedSequence
from core.libs.face_measures import lip_contact, open_lid_gap, opening_height
from core.libs.flame_model.topology import EYE_PAIRS, LIP_PAIRS
from core.libs.numeric import blocks, smoothstep, soft_clip, soft_upper_clip
from core.libs.retargeting.neutral import NEUTRAL, Reference, calm_frames, resting_frames
from core.libs.retargeting.openings import FaceOpenings, linear_gap
from core.libs.retargeting.pose import JAW

if TYPE_CHECKING:
    from core.libs.expression_optimizer import ExpressionOptimizer
    from core.libs.flame_model import FLAMEModel


@dataclass(frozen=True)
class OpeningSettings:
    """How openings are carried over. By eye, on the development clips, where nothing else is said.

    `lid_*` are parts of an open eye, `lip_*` distances of the eyes' outer corners.

    Attributes:
        lid_contact: how far a tracker sees lids apart that touch, where a clip shows no blink; lid_contact_most: how
            far it may be, where one shows; lid_no_blink: at which smallest opening a clip is taken to show none.
        lid_closing: from here on narrower, what lids that touch are seen apart is taken off.
        lid_wide, lid_widest: from where on wider is limited, and the limit.
        lip_wide, lip_widest: the same for lips.
        lip_closing: lips nearer than this are brought together all along their rim.
        lip_pressed: how far lips that touch may be pressed into one another.
        least_eye: of the mean person's open eye: less than this is never taken for a driver's open eye.
        eye_spread: people's open eyes as part of the mean one's, plus and minus.
        rounds, more_rounds: that bring openings to their goals; more of them where codes are held by their limit.
        held: standard deviations that the limit takes off a change, from where on those count in full.
    """

    lid_contact: float = 0.12
    lid_contact_most: float = 0.35
    lid_no_blink: float = 0.6
    lid_closing: float = 0.85
    lid_wide: float = 1.15
    lid_widest: float = 1.45
    lip_wide: float = 0.55
    lip_widest: float = 0.8
    lip_closing: float = 0.025
    lip_pressed: float = 0.004
    least_eye: float = 0.45
    eye_spread: float = 0.25
    rounds: int = 3
    more_rounds: int = 12
    held: float = 0.1


_S = OpeningSettings()


def counted_expression(
    source: TrackedFrame, driver: TrackedSequence, motion: TrackedSequence, reference: Reference | None
) -> TrackedSequence:
    """The motion with the source's expression and jaw plus how the driver's differ from the reference's.

    Without a reference they are the driver's own. `driver` may be `motion`; all else of it is kept.
    """
    if reference is None:
        return _with_codes(motion, driver.expcode, driver.posecode[:, JAW])
    rest = reference.frame
    jaw = reference.counted(source.posecode[JAW], driver.posecode[:, JAW], rest.posecode[JAW])
    return _with_codes(motion, reference.counted(source.expcode, driver.expcode, rest.expcode), jaw)


def uncrossed(source: TrackedFrame, motion: TrackedSequence, head: FLAMEModel) -> TrackedSequence:
    """The motion, its expressions changed as little as can be so that neither lips nor lids go through one another.

    They would where a source's stand closer together at rest than the driver's do. For the open head.
    """
    points = head.evaluate(source)
    expcode = motion.expcode.astype(np.float64)
    for pairs in (LIP_PAIRS, EYE_PAIRS["left"], EYE_PAIRS["right"]):
        source_gap = opening_height(points, pairs)
        at_rest, _ = linear_gap(head, pairs, source.expcode, source.posecode)
        gap, gradient = linear_gap(head, pairs, expcode, motion.posecode)
        missing = np.maximum(min(source_gap, 0) - (source_gap + gap - at_rest), 0)
        expcode += missing[:, None] * gradient / (gradient @ gradient)
    return replace(motion, expcode=expcode.astype(np.float32))


def transfer_expression(
    optimizer: ExpressionOptimizer,
    source: TrackedFrame,
    driver: TrackedSequence,
    motion: TrackedSequence,
    head: FLAMEModel,
) -> TrackedSequence:
    """The motion with the expression and jaw codes that let the source do what the driver does.

    Args:
        optimizer: its settings; a copy of it is fitted to the driver's calm frames, where two were seen.
        source: the photo. driver: as tracked (and smoothed). motion: as long as the driver; all but `expcode` and the
            jaw in `posecode` is kept.
        head: that all three are of; where it says nothing of lips and lids, codes and jaw are all that is transferred.
    """
    if not len(motion) == len(driver):
        raise ValueError(f"driver and motion must be of one length, got {len(driver)} and {len(motion)}")
    openings = head.openings
    driver_face = None if openings is None else FaceOpenings(head, openings, driver[0])
    driver_gaps = None
    if driver_face is not None:
        parts = [driver_face.gaps(driver.expcode[b], driver.posecode[b, JAW]) for b in blocks(len(driver))]
        driver_gaps = np.concatenate(parts)
    visible = np.flatnonzero(driver.status == SEEN)
    optimizer, jaw = _fitted(optimizer, source, driver, driver_face, driver_gaps, visible)
    if driver_face is not None:
        source_face = FaceOpenings(head, openings, source)
        source_gaps = source_face.gaps(source.expcode[None], source.posecode[None, JAW])[0]
        goals = _goals(driver_face, driver_gaps, visible, source_face, source_gaps, optimizer.gain)
    expcode = np.empty(driver.expcode.shape, np.float32)
    for part in blocks(len(driver)):
        codes = optimizer.optimize_expression(driver.expcode[part].astype(np.float64), source.expcode)
        if driver_face is not None:
            codes = _opened(source_face, source_gaps, goals[part], codes, jaw[part], optimizer.limit)
        expcode[part] = codes
    return _with_codes(motion, expcode, jaw)


def _with_codes(motion: TrackedSequence, expcode: np.ndarray, jaw: np.ndarray) -> TrackedSequence:
    posecode = motion.posecode.copy()
    posecode[:, JAW] = jaw
    return replace(motion, expcode=expcode, posecode=posecode)


def _fitted(
    optimizer: ExpressionOptimizer,
    source: TrackedFrame,
    driver: TrackedSequence,
    face: FaceOpenings | None,
    gaps: np.ndarray | None,  # (T, rows)
    visible: np.ndarray,  # indices
) -> tuple[ExpressionOptimizer, np.ndarray]:
    """A copy of the optimizer that knows the driver's neutral, and the jaw (T, 3) counted from the same frames."""
    optimizer = copy.copy(optimizer)
    jaw, source_jaw = driver.posecode[:, JAW].astype(np.float64), source.posecode[JAW].astype(np.float64)
    if len(visible) < 2:  # as the codes of a single picture
        optimizer.neutral, share = None, NEUTRAL.motion_share
        return optimizer, (1 - share) * source_jaw + optimizer.gain * share * jaw
    calm = visible if face is None else visible[calm_frames(face, gaps[visible])]
    share = NEUTRAL.calm_share if len(calm) < len(visible) else NEUTRAL.share
    optimizer.fit_neutral(driver.expcode[calm], share)
    rest = calm[resting_frames(driver.expcode[calm].astype(np.float64), share)]
    return optimizer, source_jaw + optimizer.gain * (jaw - jaw[rest].mean(0))


def _goals(
    driver_face: FaceOpenings,
    driver_gaps: np.ndarray,  # (T, rows)
    visible: np.ndarray,  # indices
    source_face: FaceOpenings,
    source_gaps: np.ndarray,  # (rows,) in the photo
    gain: float,
) -> np.ndarray:  # (T, openings)
    """How far the source's lips and lids are to be open, in head units."""
    goals = np.empty((len(driver_gaps), len(source_face.names)))
    for i, name in enumerate(source_face.names):
        if name == "lips":
            gap = driver_gaps[:, i] / driver_face.width
            goals[:, i] = source_face.width * _lips(gap, gap[visible], source_gaps[i] / source_face.width, gain)
        else:
            gap = driver_gaps[:, i]
            goals[:, i] = source_gaps[i] * _lids(gap, gap[visible], driver_face.reference[i], gain)
    return goals


def _opened(
    face: FaceOpenings,
    source_gaps: np.ndarray,  # (rows,) in the photo
    goals: np.ndarray,  # (T, openings)
    expcode: np.ndarray,  # (T, N)
    jaw: np.ndarray,  # (T, 3)
    limit: float,
) -> np.ndarray:  # (T, N)
    """The codes, changed by as little as opens lips and lids as far as they are to be; none goes beyond the limit.

    How an opening is shaped is left to the codes while it is open; the more it closes, the more every pair of its rim
    is brought together, or lids of another person's shape would leave a slit or cross beside it.

    A change is limited over the last third of its code's way to the limit. What is missing then is asked of all codes
    again, and those that have room left give it.
    """
    n = goals.shape[1]
    part = np.empty_like(goals)
    for i, name in enumerate(face.names):
        part[:, i] = goals[:, i] / (_S.lip_closing * face.width if name == "lips" else max(source_gaps[i], 1e-6))
    closing = np.clip(1 - part, 0, 1)[:, face.rim_of]
    shut = np.where(face.at_lips, np.minimum(source_gaps[n:], 0), np.maximum(part, 0)[:, face.rim_of] * source_gaps[n:])
    openings_inverse, inverse = face.pseudo_inverse(rims=False), face.pseudo_inverse()

    def correction(codes: np.ndarray, frames: slice | np.ndarray) -> np.ndarray:
        gaps = face.gaps(codes, jaw[frames])
        missing = goals[frames] - gaps[:, :n]
        along = missing @ openings_inverse @ face.gradient[n:].T  # what an opening does to its rim of itself
        rims = along + closing[frames] * (shut[frames] - gaps[:, n:] - along)
        return np.concatenate([missing, rims], 1) @ inverse

    change, opened = np.zeros_like(expcode), expcode
    for _ in range(_S.rounds):  # linear but for the jaw's turn
        change = change + correction(opened, slice(None))
        opened = _within(expcode, change, limit)
    held = np.flatnonzero(np.abs(expcode + change - opened).max(1))
    for _ in range(_S.more_rounds if len(held) else 0):
        lost = np.abs(expcode + change - opened)[held].max(1, keepdims=True)
        change[held] += np.minimum(lost / _S.held, 1) * correction(opened[held], held)
        opened[held] = _within(expcode[held], change[held], limit)
    return opened


def _within(codes: np.ndarray, change: np.ndarray, limit: float) -> np.ndarray:
    """The codes and their change together, the change limited to the room that each code has left on its side."""
    room = np.maximum(limit - np.sign(change) * codes, 1e-9)
    return codes + soft_clip(change, room)


def _lips(gap: np.ndarray, visible: np.ndarray, source_gap: float, gain: float) -> np.ndarray:
    """Gaps of lips (T,) for a source, from a driver's, all over the distance of the eyes.

    `visible` (K,) are those of the driver's gaps that were really seen. Where lips touch, the tracker sees them a
    little apart or one over the other, by person: from there it is counted.
    """
    opening = gain * (gap - lip_contact(visible, NEUTRAL.contact))
    pressed = _S.lip_pressed * np.tanh(opening / _S.lip_pressed)
    return min(source_gap, 0.0) + np.where(opening < 0, pressed, soft_upper_clip(opening, _S.lip_wide, _S.lip_widest))


def _lids(gap: np.ndarray, visible: np.ndarray, reference: float, gain: float) -> np.ndarray:
    """The part (T,) of its own open eye by which a source's eye is open, from a driver's gaps.

    `visible` (K,) are those that were really seen. `reference` is the mean person's open eye. Where a driver's cannot
    be told from the one picture there is of it, what people's open eyes may be is taken for open.
    """
    if len(visible) > 1:
        eye = max(open_lid_gap(visible), _S.least_eye * reference)
        low = np.sort(visible)[: max(2, len(visible) // 100)].mean() / eye
    else:
        spread = _S.eye_spread
        eye, low = float(np.clip(visible.mean(), (1 - spread) * reference, (1 + spread) * reference)), 1.0
    blinks = np.clip((_S.lid_no_blink - low) / (_S.lid_no_blink - _S.lid_contact_most), 0, 1)
    shut = _S.lid_contact + blinks * (np.clip(low, 0, _S.lid_contact_most) - _S.lid_contact)
    part = gap / eye
    # Open eyes keep their motion as it is; only on the way to shut is the rest taken off.
    closed = 1 - (part - shut * smoothstep(part, _S.lid_closing, shut))
    # Shut stays shut under any gain.
    closed *= gain if gain > 1 else gain + (1 - gain) * np.clip(closed, 0, 1) ** 2
    return np.maximum(soft_upper_clip(1 - closed, _S.lid_wide, _S.lid_widest), 0)
