"""How the head is held: its turn, its place, the neck's turn in the codes, and the shoulders.

Relative: the source's own pose plus how the driver's differs from its neutral; turns are softly limited, those away
from the camera more than those towards it, because one photo shows one side of a head. Absolute: the driver's pose as
it is, counted from the frame that shows the photo's very face where there is one.

A driver that says nothing of where the head is (`TrackedSequence.absent`) leaves it to the source. How it turns the
head is then counted from the front: absolute motion adds it to the source's own pose.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from core.data.records import IMAGE_SIZE, TrackedFrame, TrackedSequence, TrackedSource
from core.libs.flame_model.topology import STABLE
from core.libs.geometry import FLIP, head_angles, head_rotation, to_camera, to_pixels, unproject
from core.libs.numeric import soft_clip_length
from core.libs.retargeting.neutral import Reference, nearest_pose

if TYPE_CHECKING:
    from core.libs.flame_model import FLAMEModel

NECK, JAW = slice(0, 3), slice(3, 6)  # of a `posecode`


@dataclass(frozen=True)
class PoseSettings:
    """Limits of poses. By eye, on the development clips.

    Attributes:
        turn_limit: degrees towards which relative turns are limited, by tanh: pitch and roll from the source's own
            pose; yaw from the front, where the source's own pose leaves at least half of it for turns further away.
        shift_limit: head units towards which relative shifts are limited.
        depth_share: how much of a relative shift along the line of sight is taken over.
        torso_depth_share: the same for the last of the torso motion's four values.
        same_face: in absolute mode, pixels (rms over the face) by which a driver's frame may differ from the photo and
            still be taken for the same face in the same pose. same_face_pixels: the same in pixels of the driver's own
            picture, where that is more: of a small face the same face is tracked that much apart.
        close: share of the head's crop that a photo shows, below which both limits are less, in proportion: where it
            shows hardly more than a face, that stays in it, and what is not known beside it hardly comes in.
    """

    turn_limit: float = 30.0
    shift_limit: float = 0.35
    depth_share: float = 0.5
    torso_depth_share: float = 0.5
    same_face: float = 2.5
    same_face_pixels: float = 1.5
    close: float = 0.66

    def within(self, source: TrackedSource) -> PoseSettings:
        """The limits for a photo that is drawn as a whole; those for all others are these."""
        if not source.joined or source.crop is None or source.beyond is None:
            return self
        corner, side, size = source.crop[:2], float(source.crop[2]), np.array(source.beyond.shape[1::-1])
        shown = np.maximum(np.minimum(corner + side, size) - np.maximum(corner, 0), 0).prod() / side**2
        room = min(float(shown) / self.close, 1.0)
        return replace(self, turn_limit=room * self.turn_limit, shift_limit=room * self.shift_limit)

    def apart(self, driver: TrackedSequence) -> float:
        """Pixels of the crop by which a driver's frame may differ from the photo and be the same face."""
        if driver.crops is None:
            return self.same_face
        own = IMAGE_SIZE / float(np.median(driver.crops[:, 2]))  # the crop's pixels for one of the driver's picture
        return max(self.same_face, self.same_face_pixels * own)


def neck_turn(source: TrackedFrame, driver: TrackedSequence, reference: Reference | None) -> np.ndarray:  # (T, 3)
    """The neck's axis-angles; the driver's own without a reference."""
    if reference is None:
        return driver.posecode[:, NECK]
    return reference.counted(source.posecode[NECK], driver.posecode[:, NECK], reference.frame.posecode[NECK])


def relative_pose(
    source: TrackedFrame, driver: TrackedSequence, reference: Reference, settings: PoseSettings
) -> TrackedSequence:
    """The driver with head and shoulders where the source's are, moved as they differ from the reference."""
    rest = reference.frame
    # Angle by angle: a delta composed about the camera's axes would nod a turned head to the side.
    angles = head_angles(driver.transform_matrix[..., :3].astype(np.float64))
    delta = angles - head_angles(rest.transform_matrix[:, :3].astype(np.float64))
    source_angles = head_angles(source.transform_matrix[:, :3].astype(np.float64))
    delta = _limited(np.mod(delta + np.pi, 2 * np.pi) - np.pi, source_angles[1], settings.turn_limit)
    turns = head_rotation(source_angles + delta)
    shift = driver.transform_matrix[..., 3] - rest.transform_matrix[:, 3]
    limit = settings.shift_limit
    places = source.transform_matrix[:, 3] + soft_clip_length(shift * [1, 1, settings.depth_share], limit)
    moved = replace(driver, transform_matrix=np.concatenate([turns, places[..., None]], -1).astype(np.float32))
    if driver.torso_motion is None:
        return moved
    torso_motion = counted_torso(driver.torso_motion, driver.torso_motion[reference.index], settings)
    return with_resting_torso(source, replace(moved, torso_motion=torso_motion))


def counted_torso(torso_motion: np.ndarray, rest: np.ndarray, settings: PoseSettings) -> np.ndarray:  # (T, 4) float32
    """How shoulders (T, 4) differ from a rest (4,), within the limits of what one photo shows."""
    moved = torso_motion - rest
    parts = [soft_clip_length(moved[:, :2], settings.shift_limit), moved[:, 2:] * [1, settings.torso_depth_share]]
    return np.concatenate(parts, 1).astype(np.float32)


def absolute_pose(
    source: TrackedFrame, driver: TrackedSequence, reference: Reference | None, head: FLAMEModel
) -> TrackedSequence:
    """The driver's pose; with a reference, which shows the photo's face, moved so that this frame has the photo's."""
    if "transform_matrix" in driver.absent:
        source_transform = source.transform_matrix.astype(np.float32)
        turns = (driver.transform_matrix[..., :3] * FLIP.astype(np.float32)) @ source_transform[:, :3]
        places = np.broadcast_to(source_transform[:, 3:], (len(driver), 3, 1))
        moved = replace(driver, transform_matrix=np.concatenate([turns, places], -1))
    elif reference is None:
        moved = driver
    else:
        moved = replace(driver, transform_matrix=_matched_transforms(source, driver, reference, head))
    return with_resting_torso(source, moved)


def without_offset(driver: TrackedSequence, known: np.ndarray, seen: np.ndarray) -> TrackedSequence:
    """The driver without the offset of its tracker, which sees the pose `known` (3, 4) of some face as `seen` (3, 4).

    Turns are corrected about the camera's axes, places by the shift.
    """
    transform = driver.transform_matrix.astype(np.float64)
    back = seen[:, :3].astype(np.float64).T @ known[:, :3]
    places = transform[..., 3] + (known[:, 3] - seen[:, 3])
    corrected = np.concatenate([transform[..., :3] @ back, places[..., None]], -1)
    return replace(driver, transform_matrix=corrected.astype(np.float32))


def with_resting_torso(source: TrackedFrame, motion: TrackedSequence) -> TrackedSequence:
    """The motion with its torso counted from the frame in which the head is nearest its pose in the photo."""
    if motion.torso_motion is None:
        return motion
    return replace(motion, torso_motion=motion.torso_motion - motion.torso_motion[nearest_pose(source, motion)])


def _matched_transforms(
    source: TrackedFrame, driver: TrackedSequence, reference: Reference, head: FLAMEModel
) -> np.ndarray:  # (T, 3, 4)
    source_transform = source.transform_matrix.astype(np.float64)
    matched = reference.frame.transform_matrix.astype(np.float64)
    turn = source_transform[:, :3] @ matched[:, :3].T  # p @ source = p @ turn @ matched
    # The middles of the faces are aligned, not the heads' origins: two fits of one head differ in size by a percent,
    # and an origin nearer by as much would swing the face sideways whenever it turns.
    source_middle, driver_middle = (
        head.evaluate(frame)[list(STABLE)].mean(0).astype(np.float64) for frame in (source, reference.frame)
    )
    pixel = reference.scale * to_pixels(to_camera(source_middle[None], source_transform)) + reference.shift
    depth = to_camera(source_middle[None], source_transform)[0, 2] / reference.scale
    place = np.append(unproject(pixel)[0] * depth, depth)
    transforms = driver.transform_matrix.astype(np.float64)
    nearer = depth / to_camera(driver_middle[None], matched)[0, 2]
    path = to_camera(driver_middle[None], transforms)[:, 0] * nearer
    turned = turn @ transforms[..., :3]
    places = path + (place - to_camera(driver_middle[None], matched)[0] * nearer) - source_middle @ turned
    return np.concatenate([turned, places[..., None]], -1).astype(np.float32)


def _limited(delta: np.ndarray, source_yaw: float, turn_limit: float) -> np.ndarray:
    """Changes of roll, yaw and pitch (T, 3) in radians, limited by tanh; small ones stay nearly as they are."""
    limit = np.full_like(delta, np.radians(turn_limit))
    away = delta[:, 1] * source_yaw > 0
    limit[:, 1] += np.where(away, -min(abs(source_yaw), np.radians(turn_limit) / 2), abs(source_yaw))
    return limit * np.tanh(delta / limit)
