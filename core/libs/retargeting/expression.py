"""A driver's expression and jaw on a source's face. Two strategies.

Plain, `counted_expression`: the source's codes plus how the driver's differ from a reference frame, changed only as far
as keeps lips and lids from going through one another; without a reference the driver's codes as they are.

Improved, `transfer_expression`: codes by `ExpressionOptimizer`, then lips and lids by their openings. The same code
opens the eyes of two people by different shares. A motion's two ends are the same on everybody: closed is closed, and
an open eye is as open as that person's eyes are. So lids are retargeted as a share of each person's open eye, lips as
their gap over the distance of the eyes, both counted from contact; the codes are changed by as little as gives the
source these openings.
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
from core.libs.retargeting.neutral import NEUTRAL, NeutralSettings, Reference, calm_frames, resting_frames
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
        lid_contact: the opening at which a tracker has lids that touch, where a clip has no blink; lid_contact_most:
            the most that it may be, where there is one; lid_no_blink: a clip's smallest opening from which on there is
            none.
        lid_closing: opening below which the opening at contact is gradually subtracted.
        lid_wide, lid_widest: opening from which on it is compressed, and its limit.
        lip_wide, lip_widest: the same for lips.
        lip_closing: lips nearer than this are brought together all along their rim.
        lip_pressed: how far lips that touch may be pressed into one another.
        least_eye: the least that a driver's open eye may be, over the mean person's.
        eye_spread: people's open eyes as part of the mean one's, plus and minus.
        rounds, more_rounds: of Newton steps towards the openings; the latter where the codes' limit cut a change.
        cut: standard deviations cut off a change, from which on its frame takes part in those steps in full.
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
    cut: float = 0.1


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
    """The motion with the smallest change of its expression codes by which neither lips nor lids cross.

    They would where a source's are closer together at rest than the driver's. To first order; for the open head.
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
    settings: OpeningSettings = _S,
    neutral: NeutralSettings = NEUTRAL,
) -> TrackedSequence:
    """The motion with the driver's expression and jaw, retargeted to the source.

    Args:
        optimizer: its settings; a copy of it is fitted to the driver's calm frames, where at least two show the face.
        source: the photo. driver: as tracked (and smoothed). motion: as long as the driver; all but `expcode` and the
            jaw in `posecode` is kept.
        head: that all three are of; where it has no openings, codes and jaw are all that is transferred.
        settings: of openings. neutral: of the driver's neutral.
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
    optimizer, jaw = _fitted(optimizer, source, driver, driver_face, driver_gaps, visible, neutral)
    if driver_face is not None:
        source_face = FaceOpenings(head, openings, source)
        source_gaps = source_face.gaps(source.expcode[None], source.posecode[None, JAW])[0]
        goals = _goals(driver_face, driver_gaps, visible, source_face, source_gaps, optimizer.gain, settings, neutral)
    expcode = np.empty(driver.expcode.shape, np.float32)
    for part in blocks(len(driver)):
        codes = optimizer.optimize_expression(driver.expcode[part].astype(np.float64), source.expcode)
        if driver_face is not None:
            codes = _opened(source_face, source_gaps, goals[part], codes, jaw[part], optimizer.limit, settings)
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
    settings: NeutralSettings,
) -> tuple[ExpressionOptimizer, np.ndarray]:
    """A copy of the optimizer that knows the driver's neutral, and the jaw (T, 3) counted from the same frames."""
    optimizer = copy.copy(optimizer)
    jaw, source_jaw = driver.posecode[:, JAW].astype(np.float64), source.posecode[JAW].astype(np.float64)
    if len(visible) < 2:  # as the codes of a single picture
        optimizer.neutral, share = None, settings.motion_share
        return optimizer, (1 - share) * source_jaw + optimizer.gain * share * jaw
    calm = visible if face is None else visible[calm_frames(face, gaps[visible], settings)]
    share = settings.calm_share if len(calm) < len(visible) else settings.share
    optimizer.fit_neutral(driver.expcode[calm], share)
    rest = calm[resting_frames(driver.expcode[calm].astype(np.float64), share, settings)]
    return optimizer, source_jaw + optimizer.gain * (jaw - jaw[rest].mean(0))


def _goals(
    driver_face: FaceOpenings,
    driver_gaps: np.ndarray,  # (T, rows)
    visible: np.ndarray,  # indices
    source_face: FaceOpenings,
    source_gaps: np.ndarray,  # (rows,) in the photo
    gain: float,
    settings: OpeningSettings,
    neutral: NeutralSettings,
) -> np.ndarray:  # (T, openings)
    """The openings that the source's lips and lids are to have, in head units."""
    goals = np.empty((len(driver_gaps), len(source_face.names)))
    for i, name in enumerate(source_face.names):
        if name == "lips":
            gap = driver_gaps[:, i] / driver_face.width
            contact = lip_contact(gap[visible], neutral.contact)
            goals[:, i] = source_face.width * _lips(gap - contact, source_gaps[i] / source_face.width, gain, settings)
        else:
            gap = driver_gaps[:, i]
            goals[:, i] = source_gaps[i] * _lids(gap, gap[visible], driver_face.reference[i], gain, settings)
    return goals


def _opened(
    face: FaceOpenings,
    source_gaps: np.ndarray,  # (rows,) in the photo
    goals: np.ndarray,  # (T, openings)
    expcode: np.ndarray,  # (T, N)
    jaw: np.ndarray,  # (T, 3)
    limit: float,
    settings: OpeningSettings,
) -> np.ndarray:  # (T, N)
    """The codes with the least change that gives lips and lids their goals; none goes beyond the limit.

    The shape of an opening is left to the codes while it is open; the more it closes, the more every pair of its rim is
    brought together: lids of another person's shape would else leave a slit or cross beside the middle.

    A change is compressed over the last third of its code's way to the limit. What that cuts off is distributed over
    all codes again, in further rounds.
    """
    n = goals.shape[1]
    part = np.empty_like(goals)
    for i, name in enumerate(face.names):
        part[:, i] = goals[:, i] / (settings.lip_closing * face.width if name == "lips" else max(source_gaps[i], 1e-6))
    closing = np.clip(1 - part, 0, 1)[:, face.rim_of]
    shut = np.where(face.at_lips, np.minimum(source_gaps[n:], 0), np.maximum(part, 0)[:, face.rim_of] * source_gaps[n:])
    openings_inverse, inverse = face.pseudo_inverse(rims=False), face.pseudo_inverse()

    def correction(codes: np.ndarray, frames: slice | np.ndarray) -> np.ndarray:
        gaps = face.gaps(codes, jaw[frames])
        missing = goals[frames] - gaps[:, :n]
        along = missing @ openings_inverse @ face.gradient[n:].T  # how the correction of an opening moves its rim
        rims = along + closing[frames] * (shut[frames] - gaps[:, n:] - along)
        return np.concatenate([missing, rims], 1) @ inverse

    change, opened = np.zeros_like(expcode), expcode
    for _ in range(settings.rounds):  # linear but for the jaw's turn
        change = change + correction(opened, slice(None))
        opened = _within(expcode, change, limit)
    limited = np.flatnonzero(np.abs(expcode + change - opened).max(1))
    for _ in range(settings.more_rounds if len(limited) else 0):
        lost = np.abs(expcode + change - opened)[limited].max(1, keepdims=True)
        change[limited] += np.minimum(lost / settings.cut, 1) * correction(opened[limited], limited)
        opened[limited] = _within(expcode[limited], change[limited], limit)
    return opened


def _within(codes: np.ndarray, change: np.ndarray, limit: float) -> np.ndarray:
    """The codes and their change together, the change limited to the room that each code has left on its side."""
    room = np.maximum(limit - np.sign(change) * codes, 1e-9)
    return codes + soft_clip(change, room)


def _lips(gap: np.ndarray, source_gap: float, gain: float, settings: OpeningSettings) -> np.ndarray:
    """Gaps of lips (T,) for a source, from a driver's counted from its contact, all over the distance of the eyes."""
    s, opening = settings, gain * gap
    pressed = s.lip_pressed * np.tanh(opening / s.lip_pressed)
    return min(source_gap, 0.0) + np.where(opening < 0, pressed, soft_upper_clip(opening, s.lip_wide, s.lip_widest))


def _lids(gap: np.ndarray, visible: np.ndarray, reference: float, gain: float, settings: OpeningSettings) -> np.ndarray:
    """The share (T,) of its open eye by which a source's eye is to be open, from a driver's gaps.

    `visible` (K,): the gaps of frames that show the face. `reference`: the mean person's open eye. Where there is only
    one picture of a driver, its eye is taken for open, within what people's open eyes are.
    """
    s = settings
    if len(visible) > 1:
        eye = max(open_lid_gap(visible), s.least_eye * reference)
        low = np.sort(visible)[: max(2, len(visible) // 100)].mean() / eye
    else:
        spread = s.eye_spread
        eye, low = float(np.clip(visible.mean(), (1 - spread) * reference, (1 + spread) * reference)), 1.0
    blinks = np.clip((s.lid_no_blink - low) / (s.lid_no_blink - s.lid_contact_most), 0, 1)
    shut = s.lid_contact + blinks * (np.clip(low, 0, s.lid_contact_most) - s.lid_contact)
    part = gap / eye
    # Open eyes keep their motion; the opening at contact is subtracted on the way to shut only.
    closed = 1 - (part - shut * smoothstep(part, s.lid_closing, shut))
    # Shut stays shut under any gain.
    closed *= gain if gain > 1 else gain + (1 - gain) * np.clip(closed, 0, 1) ** 2
    return np.maximum(soft_upper_clip(1 - closed, s.lid_wide, s.lid_widest), 0)
