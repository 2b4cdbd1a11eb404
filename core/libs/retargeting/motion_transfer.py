"""From the driver's parameters to the source's: what moves, and measured from where.

absolute: the source takes the driver's pose, expression, jaw and eyes as they are. relative: it takes how they differ
from the driver's own resting state, on top of the source's; turns are softly limited, those away from the camera more
than those towards it, because one photo shows one side of a head.

A driver that says nothing of the eyes, the jaw or the place of the head (`TrackedSequence.absent`) leaves them to the
source. How it turns the head is then counted from the front: absolute motion adds it to the source's own pose.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from core.data.records import SEEN, TrackedFrame, TrackedSequence
from core.errors import UserError
from core.libs.flame_model import HEAD_TYPES, OpenHead
from core.libs.flame_model.topology import EYE_PAIRS, LIP_PAIRS, N_FACE, STABLE
from core.libs.geometry import FLIP, head_angles, head_rotation, to_camera, to_pixels, to_rays

_OPENINGS = (LIP_PAIRS, EYE_PAIRS["left"], EYE_PAIRS["right"])
MODES = ("auto", "relative", "absolute")


@dataclass(frozen=True)
class MotionTransfer:
    """Carries a driver's motion over to a source.

    Attributes:
        mode: `relative`, `absolute`, or `auto`: relative for the open head, absolute for FLAME.
        turn_limit: degrees towards which relative turns are bent, by tanh: pitch and roll from the source's own pose;
            yaw from the front, where the source's own pose leaves at least half of it for turns further away.
        shift_limit: head units towards which relative shifts are bent.
        same_face: in absolute mode, pixels (rms over the face) by which a driver's frame may differ from the photo and
            still be taken for the same face in the same pose.
        head: the open head of a run; the built-in one where it is left out.
    """

    mode: str = "auto"
    turn_limit: float = 30.0
    shift_limit: float = 0.35
    same_face: float = 2.5
    head: OpenHead | None = field(default=None, repr=False, compare=False)

    def run(self, source: TrackedFrame, driver: TrackedSequence) -> TrackedSequence:
        """The parameters to render, with the source's shape: a sequence as long as the driver."""
        if self.mode not in MODES:
            raise UserError(f"motion {self.mode!r} is none of {', '.join(MODES)}")
        if source.head != driver.head:
            raise UserError(
                f"the driver's codes are of the {driver.head!r} head, the source's of the {source.head!r} head: "
                "they cannot be mixed; track the driver again with -f"
            )
        mode = HEAD_TYPES[source.head].default_motion if self.mode == "auto" else self.mode
        own = {name: getattr(source, name) for name in ("posecode", "eyecode") if name in driver.absent}
        driver = driver.with_parameters(
            {n: np.repeat(v[None].astype(np.float32), len(driver), 0) for n, v in own.items()}
        )
        moved = self._absolute(source, driver) if mode == "absolute" else self._relative(source, driver)
        if moved.torso is not None:  # the photo's shoulders are where they are when the head is where the photo has it
            moved = replace(moved, torso=moved.torso - moved.torso[_resting_index(source, moved)])
        return replace(moved, shapecode=source.shapecode[None], residual=source.residual)

    def _absolute(self, source: TrackedFrame, driver: TrackedSequence) -> TrackedSequence:
        if "transform_matrix" in driver.absent:
            own = source.transform_matrix.astype(np.float32)
            turns = (driver.transform_matrix[..., :3] * FLIP.astype(np.float32)) @ own[:, :3]
            places = np.broadcast_to(own[:, 3:], (len(driver), 3, 1))
            return replace(driver, transform_matrix=np.concatenate([turns, places], -1))
        if source.head != "open" or source.residual is None:
            return driver
        # A photo and a clip of one person are fitted slightly apart. Where the driver has a frame that shows the very
        # face of the photo, motion is counted from there, so that this frame comes out as the photo went in.
        head = self.head or OpenHead()
        mine = to_pixels(to_camera(head.evaluate(source)[:N_FACE], source.transform_matrix))
        seen = np.flatnonzero(driver.status == SEEN)
        frame, scale, shift, distance = None, 1.0, np.zeros(2), self.same_face
        for t in seen:
            theirs = to_pixels(to_camera(head.evaluate(driver[t])[:N_FACE], driver[t].transform_matrix))
            laid = _lay_onto(mine, theirs)
            if laid[2] <= distance:
                frame, (scale, shift, distance) = driver[t], laid
        if frame is None:
            return driver
        own, there = source.transform_matrix.astype(np.float64), frame.transform_matrix.astype(np.float64)
        turn = own[:, :3] @ there[:, :3].T  # p @ own = p @ turn @ there
        # Not the heads' origins are laid onto one another but the middles of the faces: two fits of one head differ in
        # size by a percent, and an origin as much nearer would swing the face sideways whenever it turns.
        middle, theirs = (head.evaluate(f)[list(STABLE)].mean(0).astype(np.float64) for f in (source, frame))
        seen_at = scale * to_pixels(to_camera(middle[None], own)) + shift
        depth = to_camera(middle[None], own)[0, 2] / scale
        place = np.append(to_rays(seen_at)[0] * depth, depth)
        transforms = driver.transform_matrix.astype(np.float64)
        nearer = depth / to_camera(theirs[None], there)[0, 2]
        path = to_camera(theirs[None], transforms)[:, 0] * nearer
        turned = turn @ transforms[..., :3]
        places = path + (place - to_camera(theirs[None], there)[0] * nearer) - middle @ turned
        return replace(
            _counted_from(source, driver, frame),
            transform_matrix=np.concatenate([turned, places[..., None]], -1).astype(np.float32),
        )

    def _relative(self, source: TrackedFrame, driver: TrackedSequence) -> TrackedSequence:
        # One picture has no resting state to count from: the source takes over what it shows.
        neutral = neutral_frame(driver, self.head) if len(driver) > 1 else 0
        rest = driver[neutral] if len(driver) > 1 else source
        if len(driver) == 1 and "transform_matrix" in driver.absent:  # the turn itself, and no shift
            front = np.concatenate([np.diag(FLIP), driver.transform_matrix[0, :, 3:]], 1)
            rest = replace(source, transform_matrix=front)
        # Angle by angle: a delta composed about the camera's axes would nod a turned head to the side.
        angles = head_angles(driver.transform_matrix[..., :3].astype(np.float64))
        delta = angles - head_angles(rest.transform_matrix[:, :3].astype(np.float64))
        own = head_angles(source.transform_matrix[:, :3].astype(np.float64))
        turns = head_rotation(own + self._limited(np.mod(delta + np.pi, 2 * np.pi) - np.pi, own[1]))
        shift = driver.transform_matrix[..., 3] - rest.transform_matrix[:, 3]
        places = source.transform_matrix[:, 3] + _soft(shift * [1, 1, 0.5], self.shift_limit)
        transform = np.concatenate([turns, places[..., None]], -1).astype(np.float32)
        moved = replace(_counted_from(source, driver, rest), transform_matrix=transform)
        if driver.torso is not None:
            sway = driver.torso - driver.torso[neutral]
            sway = np.concatenate([_soft(sway[:, :2], self.shift_limit), sway[:, 2:] * [1, 0.5]], 1)
            moved = replace(moved, torso=sway.astype(np.float32))
        return _uncrossed(source, moved, self.head or OpenHead()) if source.head == "open" else moved

    def _limited(self, delta: np.ndarray, own_yaw: float) -> np.ndarray:
        """Changes of roll, yaw and pitch (T, 3) in radians, bent by tanh; small ones stay as they are."""
        limit = np.full_like(delta, np.radians(self.turn_limit))
        away = delta[:, 1] * own_yaw > 0
        limit[:, 1] += np.where(away, -min(abs(own_yaw), np.radians(self.turn_limit) / 2), abs(own_yaw))
        return limit * np.tanh(delta / limit)


def neutral_frame(driver: TrackedSequence, head: OpenHead | None = None) -> int:
    """The frame of a driver nearest its resting state: expression, gaze and pose as usual, eyes open, lips closed.

    Someone who talks has the lips apart at most times. Counted from there, closing them would push a source's closed
    lips through one another.
    """
    seen = np.flatnonzero(driver.status == SEEN)
    code = np.concatenate([driver.expcode / 3, driver.posecode[:, 3:4] / 0.02], 1)[seen]
    pose = np.concatenate([driver.transform_matrix[..., :3].reshape(-1, 9), driver.transform_matrix[..., 3]], 1)[seen]
    distance = np.linalg.norm(code - np.median(code, 0), axis=1) / 10
    distance += np.linalg.norm(pose - np.median(pose, 0), axis=1) / 0.2
    distance += np.linalg.norm(driver.eyecode[seen] - np.median(driver.eyecode[seen], 0), axis=1) / 0.3
    if driver.head == "open":
        head = head or OpenHead()
        lips, *eyes = (_gap(head, pairs, driver.expcode, driver.posecode)[0][seen] for pairs in _OPENINGS)
        distance += np.maximum(lips - np.percentile(lips, 10), 0) / 0.02
        distance += np.abs(np.mean(eyes, 0) - np.median(np.mean(eyes, 0))) / 0.02
    return int(seen[distance.argmin()])


def _uncrossed(source: TrackedFrame, motion: TrackedSequence, head: OpenHead) -> TrackedSequence:
    """The motion, its expressions changed as little as can be so that neither lips nor lids go through one another.

    They would where a source's stand closer together at rest than the driver's do.
    """
    points = head.evaluate(source)
    expcode = motion.expcode.astype(np.float64)
    for pairs in _OPENINGS:
        upper, lower = np.array(pairs).T
        own = (points[upper, 1] - points[lower, 1]).mean()
        at_rest, _ = _gap(head, pairs, source.expcode, source.posecode)
        gap, gradient = _gap(head, pairs, expcode, motion.posecode)
        missing = np.maximum(min(own, 0) - (own + gap - at_rest), 0)
        expcode += missing[:, None] * gradient / (gradient @ gradient)
    return replace(motion, expcode=expcode.astype(np.float32))


def _gap(
    head: OpenHead, pairs: tuple[tuple[int, int], ...], expcode: np.ndarray, posecode: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How much further the points of pairs are apart than the template's, to first order in the codes (..., 100).

    Returns it in head units, (...,), and how it grows with the expression codes, (100,).
    """
    joint, jaw = (head.joint_regressor @ head.template)[2], head.weights[:, 2]
    upper, lower = (list(side) for side in zip(*pairs, strict=True))
    gradient = (head.directions[upper, 1] - head.directions[lower, 1])[:, head.n_shape :].mean(0).numpy()
    lever = jaw * (head.template - joint)[:, 2]  # how fast the jaw lowers a point
    opens = float((lever[lower] - lever[upper]).mean())
    return expcode @ gradient + posecode[..., 3] * opens, gradient.astype(np.float64)


def resting_transform(source: TrackedFrame, motion: TrackedSequence) -> np.ndarray:  # (3, 4)
    """The transform of a motion at which the head is nearest its pose in the photo: where the shoulders belong to."""
    return motion.transform_matrix[_resting_index(source, motion)]


def _resting_index(source: TrackedFrame, motion: TrackedSequence) -> int:
    turns = np.swapaxes(source.transform_matrix[None, :, :3], -1, -2) @ motion.transform_matrix[..., :3]
    angle = np.arccos(np.clip((np.trace(turns, axis1=1, axis2=2) - 1) / 2, -1, 1))
    away = np.linalg.norm(motion.transform_matrix[..., 3] - source.transform_matrix[:, 3], axis=1)
    return int((angle + 0.2 * away).argmin())


def _counted_from(source: TrackedFrame, driver: TrackedSequence, rest: TrackedFrame) -> TrackedSequence:
    """The source's expression, jaw and eyes plus how the driver's differ from those of one of its frames."""
    moved = {
        name: (getattr(source, name) + getattr(driver, name) - getattr(rest, name)).astype(np.float32)
        for name in ("expcode", "posecode", "eyecode")
    }
    return replace(driver, **moved)


def _lay_onto(points: np.ndarray, targets: np.ndarray) -> tuple[float, np.ndarray, float]:
    """Scale and shift (2,) that lay points (N, 2) onto targets (N, 2), and the rms distance left."""
    mean, goal = points.mean(0), targets.mean(0)
    a, b = points - mean, targets - goal
    scale = (a * b).sum() / (a * a).sum()
    return float(scale), goal - scale * mean, float(np.sqrt(((scale * a - b) ** 2).sum(-1).mean()))


def _soft(vectors: np.ndarray, limit: float) -> np.ndarray:
    """Vectors (..., D) bent so that their length stays under `limit`; short ones are left nearly as they are."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors * (limit * np.tanh(length / limit) / np.maximum(length, 1e-9))
