"""What a driver's motion is counted from: its neutral. All rules for it stand here.

* `neutral_frame`: one frame, the nearest to the medians of pose, expression and gaze, eyes open, lips closed.
  Relative motion counts pose and gaze from it; a tracked frame has its pose, eyes and torso motion of one moment.
* `resting_expression`: the expression that relative motion counts from, of many frames and of what faces are without
  having seen any: one frame is no more at rest than its brows were at that moment.
* `resting_gaze`: the eye codes that it counts from: of a clip that looks aside most of the time, where it looks ahead.
* `resting_frames` among `calm_frames`: some frames, whose mean `ExpressionOptimizer.fit_neutral` takes.
* `matching_reference`: the frame that shows the photo's very face, for absolute motion of the person in the photo.
* a driver of one frame has no neutral: `neutral_reference` counts from the source, and expression codes are split by
  `NeutralSettings.motion_share`.

`resting_transform` is of the motion, not of the driver: at which pose the shoulders are where the photo has them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from core.data.records import SEEN, TrackedFrame, TrackedSequence
from core.libs.face_measures import lip_contact, open_lid_gap
from core.libs.flame_model.topology import EYE_PAIRS, LIP_PAIRS, N_FACE
from core.libs.geometry import FLIP, to_camera, to_pixels
from core.libs.mesh import triangle_normals, view_cosine
from core.libs.numeric import blocks, soft_upper_clip
from core.libs.retargeting.openings import FaceOpenings, linear_gap

if TYPE_CHECKING:
    from core.libs.flame_model import FLAMEModel, Head


@dataclass(frozen=True)
class NeutralSettings:
    """Settings of the rules. By eye, on the development clips, where nothing else is said.

    Attributes:
        expression, jaw: of `neutral_frame`: what counts as much as one another; standard deviations of a code times
            the number of codes' root, and radians times 10.
        codes, pose, gaze: the distances from the medians of codes, pose and eye codes that count as much.
        gap: head units by which lips or lids may differ from the clip's low percentile or median, against the same.
        closed_lips: percentile of the lips' gap that counts as closed.
        sample: frames that `resting_frames` compares with one another.
        mean_face: how far a frame's distance from the mean face counts against it there, beside its distance from the
            frames most like it.
        share: of a clip's frames that are averaged; calm_share: of those that `calm_frames` has sorted out.
        least_open: of a clip's frames, those with the lips nearest to one another that are calm.
        least_gap: distances of the eyes beyond contact up to which lips are near one another in any case.
        open_eyes: how far lids of calm frames may be from the driver's open eye (`open_lid_gap`), over that.
        contact: distances of the eyes: the most that a tracker may see lips apart, or one over the other, that touch.
        radians_per_unit: of `nearest_pose`: radians of turn that count as much as a head unit of shift.
        expression_seconds: that it takes to see one more expression that has nothing to do with the last.
        ahead: radians from straight ahead, or from a look into the camera, at which a frame counts .6 for the resting
            gaze (the standard deviation of a normal distribution).
        aside: radians from there up to which a person's rest is what was seen, and towards which it is limited: eyes
            and a tracker are off by some degrees.
        facing: cosine to the line of sight, from which on a point of the face tells whether it is the photo's.
        motion_share: how much of a code seen once is expression, the rest being the person's neutral: variance within
            clips over that plus the variance of neutral codes between people; `python -m benchmarks.expression --codes`
            prints it for its clips.
    """

    expression: float = 3.0
    jaw: float = 0.02
    codes: float = 10.0
    pose: float = 0.2
    gaze: float = 0.3
    gap: float = 0.02
    closed_lips: float = 10.0
    sample: int = 600
    mean_face: float = 0.35
    share: float = 0.15
    calm_share: float = 0.5
    least_open: float = 0.15
    least_gap: float = 0.02
    open_eyes: float = 0.25
    contact: float = 0.012
    radians_per_unit: float = 0.2
    expression_seconds: float = 1.0
    ahead: float = float(np.radians(10.0))
    aside: tuple[float, float] = (float(np.radians(8.0)), float(np.radians(12.0)))
    facing: float = 0.5
    motion_share: float = 0.82


NEUTRAL = NeutralSettings()
MOTION_SHARE = NEUTRAL.motion_share


@dataclass(frozen=True)
class Reference:
    """The frame that a driver's motion is counted from.

    Attributes:
        frame: its parameters, expression, jaw and eyes those of the rest; the source's own for a driver of one frame.
        index: which of the driver's frames it is.
        scale, shift: how the source's face in the photo is laid onto this one in pixels, of `matching_reference`.
    """

    frame: TrackedFrame
    index: int = 0
    scale: float = 1.0
    shift: np.ndarray | None = None  # (2,)

    def counted(self, source: np.ndarray, driver: np.ndarray, reference: np.ndarray) -> np.ndarray:
        """The source's values (N,) plus how the driver's (T, N) differ from the reference's (N,), float32."""
        return (source + driver - reference).astype(np.float32)


def neutral_reference(
    source: TrackedFrame, driver: TrackedSequence, head: FLAMEModel, settings: NeutralSettings = NEUTRAL
) -> Reference:
    """What relative motion is counted from: the driver's `neutral_frame`, with its `resting_expression` and
    `resting_gaze`.

    A driver of one picture has none: the source takes over what it shows, at the source's place. Where such a driver
    has the head's turn and not its place, the turn is counted from the front.
    """
    if len(driver) > 1:
        index = neutral_frame(driver, head, settings)
        frame, (expcode, jaw) = driver[index], resting_expression(source, driver, head, settings)
        posecode = frame.posecode.copy()
        posecode[3:] = jaw
        eyecode = frame.eyecode if "eyecode" in driver.absent else resting_gaze(source, driver, settings)
        return Reference(replace(frame, expcode=expcode, posecode=posecode, eyecode=eyecode), index)
    if "transform_matrix" in driver.absent:  # the turn itself, and no shift
        front = np.concatenate([np.diag(FLIP), driver.transform_matrix[0, :, 3:]], 1)
        return Reference(replace(source, transform_matrix=front))
    return Reference(source)


def neutral_frame(driver: TrackedSequence, head: FLAMEModel, settings: NeutralSettings = NEUTRAL) -> int:
    """The index of the frame that minimises a sum of distances: of expression and jaw, pose and gaze from the clip's
    medians, of the lips from closed, of the lids from the median opening; each in its unit of the settings.

    The median frame of someone who talks has the lips apart. Counted from there, closing them would push a source's
    closed lips through one another.
    """
    s, visible = settings, np.flatnonzero(driver.status == SEEN)
    code = np.concatenate([driver.expcode / s.expression, driver.posecode[:, 3:4] / s.jaw], 1)[visible]
    pose = np.concatenate([driver.transform_matrix[..., :3].reshape(-1, 9), driver.transform_matrix[..., 3]], 1)
    pose, eyecode = pose[visible], driver.eyecode[visible]
    distance = np.linalg.norm(code - np.median(code, 0), axis=1) / s.codes
    distance += np.linalg.norm(pose - np.median(pose, 0), axis=1) / s.pose
    distance += np.linalg.norm(eyecode - np.median(eyecode, 0), axis=1) / s.gaze
    if head.has_tracker_mesh:
        lips, *eyes = (
            linear_gap(head, pairs, driver.expcode, driver.posecode)[0][visible]
            for pairs in (LIP_PAIRS, EYE_PAIRS["left"], EYE_PAIRS["right"])
        )
        distance += np.maximum(lips - np.percentile(lips, s.closed_lips), 0) / s.gap
        distance += np.abs(np.mean(eyes, 0) - np.median(np.mean(eyes, 0))) / s.gap
    return int(visible[distance.argmin()])


def resting_expression(
    source: TrackedFrame, driver: TrackedSequence, head: FLAMEModel, settings: NeutralSettings = NEUTRAL
) -> tuple[np.ndarray, np.ndarray]:  # (N,) and (3,), float32
    """The driver's expression code and jaw at rest: the medians of its calm frames, the code drawn to what is likely.

    A few seconds may all be one expression. The most probable rest, given n independent expressions around it and the
    spread of resting faces between people, is their mean times n / (n + n0) (a Gaussian prior around the mean face),
    n0 the variance within clips over that between people: `motion_share` over the rest of 1. So a frown throughout a
    short clip is a frown. What the calm frames and the photo have in common is the person's, and not drawn away: the
    photo's smile is not added to the same smile.
    """
    s, visible = settings, np.flatnonzero(driver.status == SEEN)
    if not len(visible):
        visible = np.arange(len(driver))
    calm = visible
    if head.openings is not None:
        face = FaceOpenings(head, head.openings, driver[0])
        codes = ((driver.expcode[visible[b]], driver.posecode[visible[b], 3:]) for b in blocks(len(visible)))
        gaps = np.concatenate([face.gaps(*(part.astype(np.float64) for part in both)) for both in codes])
        calm = visible[calm_frames(face, gaps, s)]
    expcode, jaw = (
        np.array([np.median(column[calm].astype(np.float64)) for column in codes.T])  # all at once take much memory
        for codes in (driver.expcode, driver.posecode[:, 3:])
    )
    rest = likely_rest(source, expcode, len(visible) / float(driver.fps), s)
    return rest, jaw.astype(np.float32)


def likely_rest(
    source: TrackedFrame, median: np.ndarray, seconds: float, settings: NeutralSettings = NEUTRAL
) -> np.ndarray:  # (N,) float32
    """The most probable resting code, from the median (N,) of calm frames and how long the face was seen.

    See `resting_expression`.
    """
    s, own = settings, source.expcode.astype(np.float64)
    common = np.clip(median @ own / max(float(own @ own), 1e-9), 0, 1) * own
    seen = seconds / s.expression_seconds
    known = seen / (seen + s.motion_share / (1 - s.motion_share))
    return (common + known * (median - common)).astype(np.float32)


def resting_gaze(
    source: TrackedFrame, driver: TrackedSequence, settings: NeutralSettings = NEUTRAL
) -> np.ndarray:  # (6,) float32
    """The driver's eye codes at rest: their medians, frames weighted by how nearly they look ahead or into the camera.

    Ahead is what lies between straight ahead of the head and the camera: someone who turns the head from a camera and
    looks into it looks at nothing else. A clip of a few seconds may look aside most of the time; its median would be
    that look, and a photo that looks into the camera would look away whenever the driver looks up. What is left of a
    rest aside, where no frame looks ahead, is limited. Where the photo looks too is as good as ahead: a person who is
    moved by the like looks stays.
    """
    s, visible = settings, np.flatnonzero(driver.status == SEEN)
    if not len(visible):
        visible = np.arange(len(driver))
    codes = driver.eyecode[visible].astype(np.float64)
    away = _away_from_ahead(source, codes, driver.transform_matrix[visible].astype(np.float64))
    # The distribution's tail is cut: among looks aside alone all count alike, not the least of them alone.
    weights = np.maximum(np.exp(-0.5 * ((away / s.ahead) ** 2).sum(-1)), 1 / len(visible) ** 2)
    rest = np.array([weighted_median(values, weights) for values in codes.T])
    here = np.median(driver.transform_matrix[visible], 0)[None].astype(np.float64)
    aside = _away_from_ahead(source, rest[None], here)[0]
    far = np.array([np.linalg.norm(aside)])
    limited = aside * soft_upper_clip(far, *s.aside) / np.maximum(far, 1e-9)
    return (rest + np.tile([*(limited - aside), 0.0], 2)).astype(np.float32)


def _away_from_ahead(source: TrackedFrame, eyecode: np.ndarray, transform: np.ndarray) -> np.ndarray:
    """How far eyes (T, 6) look from the line between straight ahead and the camera, or from where a photo's look if
    that is nearer: (T, 2) code pitch and yaw.
    """
    looks, own = ((codes[..., :2] + codes[..., 3:5]) / 2 for codes in (eyecode, source.eyecode.astype(np.float64)))
    camera = np.einsum("tij,tj->ti", transform[..., :3], -transform[..., 3])  # in head space
    camera /= np.linalg.norm(camera, axis=-1, keepdims=True)
    viewer = np.stack([-np.arcsin(camera[:, 1]), np.arctan2(camera[:, 0], camera[:, 2])], 1)
    along = (looks * viewer).sum(-1, keepdims=True) / np.maximum((viewer**2).sum(-1, keepdims=True), 1e-9)
    away = looks - np.clip(along, 0, 1) * viewer
    nearer = np.linalg.norm(looks - own, axis=-1) < np.linalg.norm(away, axis=-1)
    return np.where(nearer[:, None], looks - own, away)


def weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    """The value at which half of the weight is reached, between the two nearest."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order]) - weights[order] / 2
    return float(np.interp(weights.sum() / 2, reached, values[order]))


def matching_reference(
    source: TrackedFrame,
    driver: TrackedSequence,
    head: Head,
    same_face: float,
    frames: np.ndarray | None = None,
    settings: NeutralSettings = NEUTRAL,
) -> Reference | None:
    """The frame whose face lies nearest that of the photo in the picture; None where none is nearer than `same_face`.

    `same_face` is in pixels: rms over what of the face is turned to the camera, after a shift and a change of scale.
    Where it turns away, the photo's outline has a say in its points (`core.libs.tracker.outline`). A photo and a clip
    of one person are fitted slightly apart: motion that is counted from that frame has it come out as the photo went
    in. For the open head with a source that was fitted to its photo; None for others. `frames`: those to look at; all
    that show a face.
    """
    if "transform_matrix" in driver.absent or not head.has_tracker_mesh or source.static_offset is None:
        return None
    face = to_camera(head.evaluate(source)[:N_FACE], source.transform_matrix)
    facing = _facing(face, np.asarray(head.faces), settings.facing)
    points = to_pixels(face)[facing]
    found, distance = None, same_face
    for t in np.flatnonzero(driver.status == SEEN) if frames is None else frames:
        frame = driver[t]
        targets = to_pixels(to_camera(head.evaluate(frame)[:N_FACE][facing], frame.transform_matrix))
        scale, shift, left = _similarity(points, targets)
        if left <= distance:
            found, distance = Reference(frame, int(t), scale, shift), left
    return found


def _facing(points: np.ndarray, faces: np.ndarray, least: float) -> np.ndarray:  # (N,) bool
    """Which of a face's points (N, 3), in the camera frame, have triangles (F, 3) turned to it, by the cosine."""
    triangles = faces[(faces < len(points)).all(1)]
    normals = np.zeros((len(points), 3))
    np.add.at(normals, triangles, triangle_normals(points, triangles)[:, None])
    return view_cosine(normals) > least


def _similarity(points: np.ndarray, targets: np.ndarray) -> tuple[float, np.ndarray, float]:
    """Scale and shift (2,) that lay points (N, 2) onto targets (N, 2), and the rms distance left."""
    mean, goal = points.mean(0), targets.mean(0)
    a, b = points - mean, targets - goal
    scale = (a * b).sum() / (a * a).sum()
    return float(scale), goal - scale * mean, float(np.sqrt(((scale * a - b) ** 2).sum(-1).mean()))


def resting_frames(
    expcodes: np.ndarray,  # (T, N)
    share: float = NEUTRAL.share,
    settings: NeutralSettings = NEUTRAL,
) -> np.ndarray:  # (K,) indices
    """The frames of a clip that are most like one another: `ExpressionOptimizer.fit_neutral` says why these.

    The middle is the frame with the smallest mean distance to the nearest `share` of all frames, plus `mean_face` times
    its distance from the mean face.
    """
    rows = np.linspace(0, len(expcodes) - 1, min(len(expcodes), settings.sample)).round().astype(int)
    sample = expcodes[rows]
    square = (sample**2).sum(1)
    near = max(round(share * len(sample)), min(2, len(sample)))
    spread = []
    for part in blocks(len(sample)):
        distance = np.sqrt(np.maximum(square[part, None] + square - 2 * sample[part] @ sample.T, 0))
        spread.append(np.partition(distance, near - 1, axis=1)[:, :near].mean(1))
    middle = sample[np.argmin(np.concatenate(spread) + settings.mean_face * np.sqrt(square))]
    away = np.concatenate([np.linalg.norm(expcodes[part] - middle, axis=1) for part in blocks(len(expcodes))])
    return np.argsort(away, kind="stable")[: max(round(share * len(expcodes)), min(2, len(expcodes)))]


def calm_frames(
    face: FaceOpenings,
    gaps: np.ndarray,  # (T, rows), of `FaceOpenings.gaps`
    settings: NeutralSettings = NEUTRAL,
) -> np.ndarray:  # (K,) indices
    """The frames among which a driver's neutral expression is searched: eyes open, lips among the nearest of the clip.

    Someone who talks has the lips apart most of the time. All frames where fewer than two are calm.
    """
    s, good = settings, np.ones(len(gaps), bool)
    for name, gap in zip(face.names, gaps.T, strict=False):
        if name == "lips":
            near = (lip_contact(gap / face.width, s.contact) + s.least_gap) * face.width
            good &= gap <= max(np.percentile(gap, 100 * s.least_open), near)
        else:
            good &= np.abs(gap / open_lid_gap(gap) - 1) < s.open_eyes
    return np.flatnonzero(good) if good.sum() >= 2 else np.arange(len(gaps))


def resting_transform(source: TrackedFrame, motion: TrackedSequence) -> np.ndarray:  # (3, 4)
    """The transform of a motion at which the head is nearest its pose in the photo."""
    return motion.transform_matrix[nearest_pose(source, motion)]


def nearest_pose(source: TrackedFrame, motion: TrackedSequence, settings: NeutralSettings = NEUTRAL) -> int:
    """The frame of a motion whose pose is nearest the photo's: radians, plus `radians_per_unit` for each head unit."""
    turns = np.swapaxes(source.transform_matrix[None, :, :3], -1, -2) @ motion.transform_matrix[..., :3]
    angle = np.arccos(np.clip((np.trace(turns, axis1=1, axis2=2) - 1) / 2, -1, 1))
    away = np.linalg.norm(motion.transform_matrix[..., 3] - source.transform_matrix[:, 3], axis=1)
    return int((angle + settings.radians_per_unit * away).argmin())
