"""The retargeting stage: from the driver's parameters to those that are rendered, on the photo's person.

    motion = Retargeting().run(source, driver, head)

In this order, and each value is made once: what motion is counted from (`neutral`), then head and shoulders (`pose`),
expression and jaw (`expression`), eyes (`gaze`); then what of it is taken over (`take`), where the camera stands
(`orbit`), and where the eyes look in that view (`gaze` again, if it is improved: it turns the eyes that are there).

absolute: the source takes the driver's parameters as they are. relative: it takes how they differ from the driver's own
neutral, on top of the source's. A driver without eyes or jaw (`TrackedSequence.absent`) leaves them to
the source.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from core.data.records import SEEN, TrackedFrame, TrackedSequence
from core.errors import UserError
from core.libs.retargeting.expression import counted_expression, uncrossed, with_openings
from core.libs.retargeting.gaze import counted_eyes, visible_gain
from core.libs.retargeting.neutral import NeutralSettings, Reference, matching_reference, neutral_reference
from core.libs.retargeting.orbit import orbit
from core.libs.retargeting.pose import NECK, PoseSettings, absolute_pose, neck_turn, relative_pose
from core.libs.retargeting.shots import ShotSettings, by_groups, resting_groups
from core.libs.retargeting.take import take_part

if TYPE_CHECKING:
    from core.libs.flame_model import FLAMEModel

MODES = ("auto", "relative", "absolute")
Strategy = Callable[[TrackedFrame, TrackedSequence, TrackedSequence, "FLAMEModel"], TrackedSequence]


@dataclass(frozen=True)
class Retargeting:
    """Carries a driver's motion over to a source.

    Attributes:
        mode: `relative`, `absolute`, or `auto`: the head's default, relative for the open head, absolute for FLAME.
        pose: limits of poses. neutral: how the driver's neutral is found. shots: which shots share one.
        expression: sets expression and jaw of a motion from (source, driver, motion, head), for frames that are counted
            from one neutral: `transfer_expression` with its optimizer. None: they are counted from the neutral as the
            pose is.
        gaze: sets the eyes the same way, for frames of one shot: `transfer_gaze` or `steady_gaze` with a corrector.
            None: they are counted from the neutral.
        take: `all`, `pose` or `expression`, see `take_part`. With `pose`, `expression` and `gaze` have nothing to do.
        orbit_degrees: by which the camera swings to either side, see `orbit`.
    """

    mode: str = "auto"
    pose: PoseSettings = field(default_factory=PoseSettings)
    neutral: NeutralSettings = field(default_factory=NeutralSettings)
    shots: ShotSettings = field(default_factory=ShotSettings)
    expression: Strategy | None = None
    gaze: Strategy | None = None
    take: str = "all"
    orbit_degrees: float = 0.0

    def run(
        self, source: TrackedFrame, driver: TrackedSequence, head: FLAMEModel, plain: TrackedSequence | None = None
    ) -> TrackedSequence:
        """The parameters to render, with the source's shape: a sequence as long as the driver.

        Args:
            source: the photo. driver: as tracked, and smoothed; each of its shots is retargeted on its own.
            head: the head model of both.
            plain: the driver before its expression was changed, in which the frame is looked for that shows the
                photo's face; the driver itself where it is left out.

        Raises:
            UserError: an unknown mode, or source and driver of two heads.
        """
        if self.mode not in MODES:
            raise UserError(f"motion {self.mode!r} is none of {', '.join(MODES)}")
        if source.head != driver.head:
            raise UserError(
                f"the driver's codes are of the {driver.head!r} head, the source's of the {source.head!r} head: "
                "they cannot be mixed; track the driver again with -f"
            )
        groups = resting_groups(driver, self.shots)
        motion = by_groups(
            lambda plain, part: self._retargeted(source, part, head, plain), groups, plain or driver, driver
        )
        motion = replace(motion, patches=None, repeated=None)  # what they say of the driver is known by now
        if self.take != "all":
            motion = take_part(source, motion, self.take)
        if self.orbit_degrees:
            # A still is seen from the side, as one picture is.
            each = [np.array([i]) for i in range(len(motion))] if driver.stills else [np.arange(len(motion))]
            motion = by_groups(lambda part: orbit(source, part, head, self.orbit_degrees), each, motion)
        if self.gaze is None or self.take == "pose":
            return motion
        return by_groups(
            lambda part, rendered: self.gaze(source, part, rendered, head), driver.shot_frames, driver, motion
        )

    def _retargeted(
        self, source: TrackedFrame, driver: TrackedSequence, head: FLAMEModel, plain: TrackedSequence
    ) -> TrackedSequence:
        """Pose, expression and eyes of frames that are counted from one neutral."""
        mode = head.default_motion if self.mode == "auto" else self.mode
        relative = mode == "relative"
        known = _with_source_codes(source, driver)
        if relative:
            reference = neutral_reference(source, known, head, self.neutral)
        else:
            reference = matching_reference(source, _with_source_codes(source, plain), head, self.pose.apart(plain))
            reference = None if reference is None else replace(reference, frame=known[reference.index])
        motion = known
        if self.take != "expression":
            motion = self._posed(source, known, reference, head, relative)
        motion = replace(motion, shapecode=source.shapecode[None], static_offset=source.static_offset)
        if self.take == "pose":  # the face is the photo's
            return motion
        posecode = known.posecode.copy()
        posecode[:, NECK] = neck_turn(source, known, reference)
        known_mesh = head.has_tracker_mesh and source.head == head.kind  # codes of another head say nothing of this one
        gain = visible_gain(source, driver[0], head) if relative and len(driver) > 1 and known_mesh else (1.0, 1.0)
        motion = replace(motion, posecode=posecode, eyecode=counted_eyes(source, known, reference, gain))
        if self.expression is not None:
            return self.expression(source, driver, motion, head)
        motion = counted_expression(source, known, motion, reference)
        if not relative:
            return motion
        if len(driver) > 1 and (known.status == SEEN).any():
            return with_openings(source, known, motion, head, self.neutral)
        return uncrossed(source, motion, head) if known_mesh else motion

    def _posed(
        self,
        source: TrackedFrame,
        driver: TrackedSequence,
        reference: Reference | None,
        head: FLAMEModel,
        relative: bool,
    ) -> TrackedSequence:
        if relative:
            return relative_pose(source, driver, reference, self.pose)
        return absolute_pose(source, driver, reference, head)


def _with_source_codes(source: TrackedFrame, driver: TrackedSequence) -> TrackedSequence:
    """The driver with the source's jaw and eyes where it has none."""
    names = [name for name in ("posecode", "eyecode") if name in driver.absent]
    return driver.with_parameters(
        {name: np.repeat(getattr(source, name)[None].astype(np.float32), len(driver), 0) for name in names}
    )
