"""A driver's expression and jaw on a source's face. Two strategies.

Plain, `counted_expression`: the source's codes plus how the driver's differ from its resting expression; without a
reference the driver's codes as they are. Then `with_openings`: lids and lips by their openings, `part_goals`. Of a
driver of one picture, which has no open eye to count from, only `uncrossed` lips and lids.

Improved, `transfer_expression`: codes by `ExpressionOptimizer`, then lids and lips by `transferred_goals`.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from core.data.records import SEEN, TrackedFrame, TrackedSequence
from core.libs.face_measures import lips_apart, opening_height
from core.libs.flame_model.topology import EYE_PAIRS, LIP_PAIRS
from core.libs.numeric import blocks
from core.libs.retargeting.neutral import (
    NEUTRAL,
    NeutralSettings,
    Reference,
    resting_expression,
)
from core.libs.retargeting.opening_goals import OPENINGS, OpeningSettings, opened, part_goals, transferred_goals
from core.libs.retargeting.openings import FaceOpenings, linear_gap
from core.libs.retargeting.pose import JAW

if TYPE_CHECKING:
    from core.libs.expression_optimizer import ExpressionOptimizer
    from core.libs.flame_model import FLAMEModel


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


def with_openings(
    source: TrackedFrame,
    driver: TrackedSequence,
    motion: TrackedSequence,
    head: FLAMEModel,
    neutral: NeutralSettings = NEUTRAL,
    settings: OpeningSettings = OPENINGS,
) -> TrackedSequence:
    """The motion with expression codes changed by as little as gives lids and lips the openings of `part_goals`.

    Args:
        source: the photo. driver: as tracked. motion: as long, all but `expcode` is kept.
        head: of all three; where it has no openings the motion comes back as it is.
    """
    if (openings := head.openings) is None:
        return motion
    driver_face, source_face = (FaceOpenings(head, openings, person) for person in (driver[0], source))
    visible, driver_gaps = np.flatnonzero(driver.status == SEEN), _gaps(driver_face, driver)
    source_gaps = source_face.gaps(source.expcode[None], source.posecode[None, JAW])[0]
    settings = _for_head(head, settings)
    goals = part_goals(driver_face, driver_gaps, visible, source_face, source_gaps, neutral, settings)
    own_lips = 1 - lips_apart(source_gaps[0] / source_face.width, neutral.contact)
    expcode = np.empty(motion.expcode.shape, np.float32)
    for b in blocks(len(motion)):
        codes, jaw = motion.expcode[b].astype(np.float64), motion.posecode[b, JAW].astype(np.float64)
        expcode[b] = opened(source_face, source_gaps, goals[b], codes, jaw, settings.limit, settings, own_lips)
    return replace(motion, expcode=expcode)


def transfer_expression(
    optimizer: ExpressionOptimizer,
    source: TrackedFrame,
    driver: TrackedSequence,
    motion: TrackedSequence,
    head: FLAMEModel,
    settings: OpeningSettings = OPENINGS,
    neutral: NeutralSettings = NEUTRAL,
) -> TrackedSequence:
    """The motion with the driver's expression and jaw, retargeted to the source.

    Args:
        optimizer: its settings; a copy of it is fitted to the driver, where at least two frames show the face.
        source: the photo. driver: as tracked (and smoothed). motion: as long as the driver; all but `expcode` and the
            jaw in `posecode` is kept.
        head: that all three are of; where it has no openings, codes and jaw are all that is transferred.
        settings: of openings. neutral: of the driver's neutral.
    """
    if not len(motion) == len(driver):
        raise ValueError(f"driver and motion must be of one length, got {len(driver)} and {len(motion)}")
    openings = head.openings
    settings = _for_head(head, settings)
    driver_face = None if openings is None else FaceOpenings(head, openings, driver[0])
    driver_gaps = None if driver_face is None else _gaps(driver_face, driver)
    visible = np.flatnonzero(driver.status == SEEN)
    optimizer, jaw = _fitted(optimizer, source, driver, head, visible, neutral)
    if driver_face is not None:
        source_face = FaceOpenings(head, openings, source)
        source_gaps = source_face.gaps(source.expcode[None], source.posecode[None, JAW])[0]
        faces = driver_face, driver_gaps, visible, source_face, source_gaps
        goals = transferred_goals(*faces, optimizer.gain, neutral, settings)
    expcode = np.empty(driver.expcode.shape, np.float32)
    for part in blocks(len(driver)):
        codes = optimizer.optimize_expression(driver.expcode[part].astype(np.float64), source.expcode)
        if driver_face is not None:
            faces = source_face, source_gaps, goals[part]
            codes = opened(*faces, codes, jaw[part], optimizer.limit, settings)
        expcode[part] = codes
    return _with_codes(motion, expcode, jaw)


def _for_head(head: FLAMEModel, settings: OpeningSettings) -> OpeningSettings:
    """The settings, those of how lids are drawn for the avatar that draws this head."""
    return settings if head.has_tracker_mesh else replace(settings, lid_curve=1.0)


def _gaps(face: FaceOpenings, motion: TrackedSequence) -> np.ndarray:  # (T, rows)
    return np.concatenate([face.gaps(motion.expcode[b], motion.posecode[b, JAW]) for b in blocks(len(motion))])


def _with_codes(motion: TrackedSequence, expcode: np.ndarray, jaw: np.ndarray) -> TrackedSequence:
    posecode = motion.posecode.copy()
    posecode[:, JAW] = jaw
    return replace(motion, expcode=expcode, posecode=posecode)


def _fitted(
    optimizer: ExpressionOptimizer,
    source: TrackedFrame,
    driver: TrackedSequence,
    head: FLAMEModel,
    visible: np.ndarray,  # indices
    settings: NeutralSettings,
) -> tuple[ExpressionOptimizer, np.ndarray]:
    """A copy of the optimizer that knows the driver's resting expression, and the jaw (T, 3) counted from that."""
    optimizer = copy.copy(optimizer)
    jaw, source_jaw = driver.posecode[:, JAW].astype(np.float64), source.posecode[JAW].astype(np.float64)
    if len(visible) < 2:  # as the codes of a single picture
        optimizer.neutral, share = None, settings.motion_share
        return optimizer, (1 - share) * source_jaw + optimizer.gain * share * jaw
    if optimizer.use_pca:
        optimizer.fit_neutral(driver.expcode[visible])  # its components, that is; the neutral comes next
    expcode, rest_jaw = resting_expression(source, driver, head, settings)
    optimizer.neutral = expcode.astype(np.float64)
    return optimizer, source_jaw + optimizer.gain * (jaw - rest_jaw)
