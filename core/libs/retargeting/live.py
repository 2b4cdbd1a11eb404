"""A live driver's motion on a photo's person, frame by frame: the rules of the stage, with what came so far for a clip.

Relative motion only. What motion is counted from is found on the way, from the calm frames of the last seconds
(`calm_frames`, `likely_rest`), and moves slowly; `LiveRetargeting.calibrate` sets it to what was seen last. A driver's
first frame is the photo's pose, and its expression is counted from what is likely (`likely_rest`): a mouth that is open
at first is taken for open, not for at rest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from core.data.records import SEEN, TrackedFrame, TrackedSequence
from core.libs.face_measures import lips_apart
from core.libs.flame_model import OpenHead
from core.libs.geometry import head_angles, head_rotation
from core.libs.numeric import smoothstep
from core.libs.retargeting.gaze import counted_eyes, visible_gain
from core.libs.retargeting.neutral import NeutralSettings, Reference, calm_frames, likely_rest
from core.libs.retargeting.opening_goals import OpeningSettings, opened, part_goals, transferred_goals
from core.libs.retargeting.openings import FaceOpenings
from core.libs.retargeting.pose import JAW, PoseSettings, counted_torso, relative_pose

if TYPE_CHECKING:
    from core.libs.expression_optimizer import ExpressionOptimizer

Eyes = Callable[[TrackedFrame, TrackedFrame], np.ndarray]  # driver and motion to the motion's eye codes (6,)


@dataclass(frozen=True)
class LiveSettings:
    """How the neutral is found and how motion comes and goes. By eye.

    Attributes:
        every: seconds between the frames that are remembered. remembered: of them, which bounds how far back it goes.
        decide: seconds after which the neutral is judged again.
        early, late: seconds (time constants) in which the neutral moves to what was judged, at first and from `settled`
            seconds with a face on.
        begin, leave, resume: seconds in which motion begins, goes to rest when the face is lost, and comes back.
        patience: seconds without a face after which it is lost; until then the last frame is held.
        calibrated_from: seconds before `calibrate` that it averages.
    """

    every: float = 0.12
    remembered: int = 200
    decide: float = 0.5
    early: float = 0.5
    late: float = 4.0
    settled: float = 6.0
    begin: float = 0.6
    leave: float = 0.8
    resume: float = 0.5
    patience: float = 0.15
    calibrated_from: float = 0.5
    neutral: NeutralSettings = field(default_factory=NeutralSettings)
    pose: PoseSettings = field(default_factory=PoseSettings)
    openings: OpeningSettings = field(default_factory=OpeningSettings)


_SETTINGS = LiveSettings()


@dataclass(frozen=True)
class Neutral:
    """What a live driver's motion is counted from: its medians over calm frames.

    Attributes:
        expcode: (N,). jaw: (3,) radians. angles: (3,) of the head, see `head_angles`. shift: (3,) of it. eyecode: (6,).
        torso: (4,).
    """

    expcode: np.ndarray
    jaw: np.ndarray
    angles: np.ndarray
    shift: np.ndarray
    eyecode: np.ndarray
    torso: np.ndarray

    def towards(self, other: Neutral, part: float) -> Neutral:
        """This one, drawn to another by a part of the way, 0 to 1."""
        return Neutral(**{name: (1 - part) * value + part * getattr(other, name) for name, value in vars(self).items()})

    def reference(self, frame: TrackedFrame) -> Reference:
        """It as what the rules for clips count from; what it does not say is the frame's."""
        transform = np.concatenate([head_rotation(self.angles), self.shift[:, None]], 1)
        posecode = np.concatenate([np.zeros(3), self.jaw])
        return Reference(
            replace(frame, expcode=self.expcode, posecode=posecode, eyecode=self.eyecode, transform_matrix=transform)
        )


class LiveRetargeting:
    """Carries a live driver's frames over to a source.

    Args:
        source: the photo. head: of both; the open one. settings: of what is found on the way.

    Attributes:
        optimizer: of the expression, whose gain and limit count; None: the plain strategy.
        eyes: makes eye codes of (driver, motion); None: they are counted from the neutral.
        neutral: what motion is counted from; None until a face was seen.
    """

    def __init__(self, source: TrackedFrame, head: OpenHead, settings: LiveSettings = _SETTINGS) -> None:
        self._head, self._settings = head, settings
        self._rest = replace(source, torso_motion=np.zeros(4, np.float32))
        assert head.openings is not None  # the open head has them
        self._openings = head.openings
        self._source_face = FaceOpenings(head, head.openings, source)
        self._source_gaps = self._source_face.gaps(source.expcode[None], source.posecode[None, JAW])[0]
        self.optimizer: ExpressionOptimizer | None = None
        self.eyes: Eyes | None = None
        self.forget()

    def forget(self) -> None:
        """Begin anew, with another person as well: motion comes from rest."""
        s = self._settings
        self.neutral: Neutral | None = None
        self._held: Neutral | None = None  # by `calibrate`
        self._memory: deque[tuple[float, TrackedFrame, np.ndarray]] = deque(maxlen=s.remembered)
        self._face: FaceOpenings | None = None
        self._shape: np.ndarray | None = None
        self._gain = (1.0, 1.0)
        self._seconds = 0.0  # that a face was seen
        self._remembered = self._decided = self._now = self._last_seen = -np.inf
        self._goal: Neutral | None = None
        self._ease = _Ease(self._rest)
        self._present = False

    def next(self, driver: TrackedFrame | None, now: float, changed: np.ndarray | None = None) -> TrackedFrame:
        """What is rendered at `now`, seconds, of a driver's frame, or of none where its face is not seen.

        `changed`: see `LiveFace`.
        """
        s = self._settings
        passed = min(max(now - self._now, 0.0), s.every) if np.isfinite(self._now) else 0.0
        self._now = now
        if driver is None:
            if self._present and now - self._last_seen > s.patience:
                self._present = False
                self._ease.begin(now, s.leave)
            return self._ease.next(self._ease.target if self._present else self._rest, now)
        if not self._present:
            self._present = True
            self._ease.begin(now, s.begin if self.neutral is None else s.resume)
        self._last_seen = now
        self._know(driver, changed)
        assert self._face is not None
        gaps = self._face.gaps(driver.expcode[None].astype(np.float64), driver.posecode[None, JAW].astype(np.float64))[
            0
        ]
        self._seconds += passed
        if now - self._remembered >= s.every:
            self._remembered = now
            self._memory.append((now, driver, gaps))
        self._find_neutral(driver, now, passed)
        return self._ease.next(self._motion(driver, gaps), now)

    def calibrate(self) -> None:
        """Take what was seen last for the driver's neutral, from now on: it looks straight, with a relaxed face.

        Without a face so far nothing happens.
        """
        if not self._memory:
            return
        since = self._memory[-1][0] - self._settings.calibrated_from
        frames = [frame for at, frame, _ in self._memory if at >= since]
        self._held = self._goal = self.neutral = _medians(frames)
        self._ease.begin(self._now, self._settings.resume)

    def _know(self, driver: TrackedFrame, changed: np.ndarray | None) -> None:
        """The driver's own face, where it is a first one or was fitted again."""
        if driver.shapecode is self._shape:
            return
        self._shape = driver.shapecode
        self._face = FaceOpenings(self._head, self._openings, driver)
        self._gain = visible_gain(self._rest, driver, self._head)
        if changed is None:
            return
        face, old = self._face, list(self._memory)
        self._memory.clear()
        for at, frame, _ in old:
            frame = replace(frame, expcode=(frame.expcode + changed).astype(np.float32))
            self._memory.append((at, frame, face.gaps(frame.expcode[None], frame.posecode[None, JAW])[0]))
        moved = {
            name: None if n is None else replace(n, expcode=n.expcode + changed)
            for name, n in (("neutral", self.neutral), ("_held", self._held), ("_goal", self._goal))
        }
        vars(self).update(moved)

    def _find_neutral(self, driver: TrackedFrame, now: float, passed: float) -> None:
        s = self._settings
        if self._held is not None:
            return
        if now - self._decided >= s.decide and self._memory:
            self._decided = now
            self._goal = self._judged()
        assert self._goal is not None
        if self.neutral is None:
            self.neutral = self._goal
        settled = float(smoothstep(np.array(self._seconds), 0, s.settled))
        slowness = s.early + settled * (s.late - s.early)
        self.neutral = self.neutral.towards(self._goal, 1 - float(np.exp(-passed / slowness)))

    def _judged(self) -> Neutral:
        """The neutral, from what is remembered."""
        assert self._face is not None
        frames = [frame for _, frame, _ in self._memory]
        gaps = np.stack([gaps for _, _, gaps in self._memory])
        calm = _medians([frames[i] for i in calm_frames(self._face, gaps, self._settings.neutral)])
        expcode = likely_rest(self._rest, calm.expcode, self._seconds, self._settings.neutral)
        return replace(calm, expcode=expcode.astype(np.float64))

    def _motion(self, driver: TrackedFrame, gaps: np.ndarray) -> TrackedFrame:
        """A frame that shows the driver's face, counted from the neutral."""
        s, source = self._settings, self._rest
        assert self.neutral is not None
        assert driver.torso_motion is not None
        reference, single = self.neutral.reference(driver), _single(replace(driver, torso_motion=None))
        moved = relative_pose(source, single, reference, s.pose)[0]
        posecode = np.zeros(6, np.float32)
        expcode, posecode[JAW] = self._expression(driver, gaps)
        motion = replace(
            moved,
            shapecode=source.shapecode,
            static_offset=source.static_offset,
            expcode=expcode,
            posecode=posecode,
            eyecode=counted_eyes(source, single, reference, self._gain)[0],
            torso_motion=counted_torso(driver.torso_motion[None], self.neutral.torso, s.pose)[0],
            mouth_interior=driver.mouth_interior,
        )
        return motion if self.eyes is None else replace(motion, eyecode=self.eyes(driver, motion))

    def _expression(self, driver: TrackedFrame, gaps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Expression code (N,) and jaw (3,) of the source: the two strategies of `core.libs.retargeting.expression`."""
        s, source, neutral = self._settings, self._rest, self.neutral
        assert neutral is not None
        assert self._face is not None
        known = np.stack([*(g for _, _, g in self._memory), gaps])
        faces = self._face, known, np.arange(len(known) - 1), self._source_face, self._source_gaps
        own_jaw, jaw = source.posecode[JAW].astype(np.float64), driver.posecode[JAW].astype(np.float64)
        if self.optimizer is not None:
            o = self.optimizer
            o.neutral = neutral.expcode
            codes = o.optimize_expression(driver.expcode.astype(np.float64), source.expcode)
            goals, jaw = (
                transferred_goals(*faces, o.gain, s.neutral, s.openings),
                own_jaw + o.gain * (jaw - neutral.jaw),
            )
            limit, own_lips = o.limit, 0.0
        else:
            codes, jaw = source.expcode + driver.expcode - neutral.expcode, own_jaw + jaw - neutral.jaw
            goals = part_goals(*faces, s.neutral, s.openings)
            limit = s.openings.limit
            own_lips = 1 - float(lips_apart(self._source_gaps[0] / self._source_face.width, s.neutral.contact))
        closed = opened(
            self._source_face, self._source_gaps, goals[-1:], codes[None], jaw[None], limit, s.openings, own_lips
        )
        return closed[0].astype(np.float32), jaw.astype(np.float32)


class _Ease:
    """Goes over smoothly from what was shown to what is wanted, which itself moves."""

    def __init__(self, rest: TrackedFrame) -> None:
        self.target = self._shown = self._from = rest
        self._start, self._length = -np.inf, 1.0

    def begin(self, now: float, seconds: float) -> None:
        self._from, self._start, self._length = self._shown, now, seconds

    def next(self, target: TrackedFrame, now: float) -> TrackedFrame:
        self.target = target
        part = float(smoothstep(np.array(now - self._start), 0, self._length)) if np.isfinite(self._start) else 1.0
        self._shown = target if part >= 1 else _between(self._from, target, part)
        return self._shown


def _between(a: TrackedFrame, b: TrackedFrame, part: float) -> TrackedFrame:
    """Parameters a part of the way from one frame to another, turns of the head by its angles."""

    def mixed(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return ((1 - part) * x + part * y).astype(np.float32)

    names = ("expcode", "posecode", "eyecode", "torso_motion")
    values: dict[str, Any] = {name: mixed(getattr(a, name), getattr(b, name)) for name in names}
    turns = [head_angles(frame.transform_matrix[:, :3].astype(np.float64)) for frame in (a, b)]
    shift = mixed(a.transform_matrix[:, 3], b.transform_matrix[:, 3])
    transform = np.concatenate([head_rotation(mixed(*turns)), shift[:, None]], 1).astype(np.float32)
    return replace(b, transform_matrix=transform, **values)


def _medians(frames: list[TrackedFrame]) -> Neutral:
    def median(values: list[np.ndarray]) -> np.ndarray:
        return np.median(np.stack(values).astype(np.float64), 0)

    return Neutral(
        median([frame.expcode for frame in frames]),
        median([frame.posecode[JAW] for frame in frames]),
        median([head_angles(frame.transform_matrix[:, :3].astype(np.float64)) for frame in frames]),
        median([frame.transform_matrix[:, 3] for frame in frames]),
        median([frame.eyecode for frame in frames]),
        median([frame.torso_motion for frame in frames if frame.torso_motion is not None]),
    )


def _single(frame: TrackedFrame) -> TrackedSequence:
    """A frame as a sequence of one."""
    names = ("shapecode", "expcode", "posecode", "eyecode", "transform_matrix", "bbox")
    return TrackedSequence(
        **{name: getattr(frame, name)[None] for name in names},
        times=(Fraction(0),),
        fps=Fraction(25),
        status=np.array([SEEN], np.int8),
        head=frame.head,
    )
