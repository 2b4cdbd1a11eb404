"""Where a source's eyes look. Plain, `counted_eyes`: the source's codes plus how the driver's differ from a reference.

Improved: `transfer_gaze` makes eye codes that look where the driver looks, by the irises of both. Where the driver's
codes are rendered as they are (absolute motion), they are more accurate than a second reading, which has a constant
offset of some degrees. There `steady_gaze` only removes the noise within fixations and applies the iris gain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from core.data.records import TrackedFrame, TrackedSequence
from core.errors import UserError
from core.libs.filters.fixations import steady_fixations
from core.libs.flame_model import Head, OpenHead
from core.libs.geometry import seen_from
from core.libs.retargeting.gaze_reading import (
    EyeGeometry,
    EyeLandmarks,
    angles_of,
    camera_angles,
    direction_of,
    iris_reach,
    read_gaze,
    read_irises,
)
from core.libs.retargeting.gaze_rest import GazeRestSettings, camera_look, on_camera, rest_offset, same_face
from core.libs.retargeting.neutral import Reference

if TYPE_CHECKING:
    from core.libs.gaze_corrector import GazeCorrector

TARGETS = ("driver", "camera")
_REST = GazeRestSettings()
# The open head's iris gains, the defaults.
IRIS_GAIN, SAME_FACE_IRIS_GAIN = OpenHead.iris_gain.reading, OpenHead.iris_gain.same_face


@dataclass(frozen=True)
class EyeTurnSettings:
    """How a driver's eye turns are carried over, of `counted_eyes`.

    Attributes:
        apart: radians by which the outward eye may turn less than the inward one. By eye, on the development clips.
        limit: radians, of a code; the tracker's own.
        reach: by which factor a turn may at most become larger or smaller from one face to the other.
    """

    reach: float = 1.4
    apart: float = float(np.radians(4.0))
    limit: float = float(np.radians(45.0))


EYE_TURNS = EyeTurnSettings()


def counted_eyes(
    source: TrackedFrame,
    driver: TrackedSequence,
    reference: Reference | None,
    iris_gain: tuple[float, float] = (1.0, 1.0),
    settings: EyeTurnSettings = EYE_TURNS,
) -> np.ndarray:  # (T, 6)
    """The source's eye codes plus how the driver's differ from the reference's; without one the driver's own.

    The outward eye is made to follow the inward one (`outward_raised`).

    Args:
        source: the photo. driver: the clip. reference: what its turns are counted from.
        iris_gain: how much of a turn, in pitch and yaw, the driver's codes show; turns are divided by it. No code goes
            beyond the limit, but where the photo's own does.
    """
    if reference is None:
        return driver.eyecode
    turns = outward_raised(driver.eyecode - reference.frame.eyecode, settings.apart) / np.tile([*iris_gain, 1.0], 2)
    room = np.maximum(np.abs(source.eyecode), settings.limit)
    return np.clip(source.eyecode + turns, -room, room).astype(np.float32)


def visible_gain(
    source: TrackedFrame, driver: TrackedFrame, head: Head, settings: EyeTurnSettings = EYE_TURNS
) -> tuple[float, float]:
    """The iris gain, of pitch and yaw, of a driver's turns that are counted from a rest and played on a source.

    The head's own, and to the sides over the two faces' `iris_reach`: irises are to go as far between the corners as
    the driver's, which is what is seen of a look, in eyes as large as a drawing has them too.
    """
    pitch, yaw = head.iris_gain.counted
    ratio = iris_reach(head, source) / iris_reach(head, driver)
    return pitch, yaw * float(np.clip(ratio, 1 / settings.reach, settings.reach))


def outward_raised(turns: np.ndarray, apart: float) -> np.ndarray:
    """Turns (T, 6) of the left and the right eye, the one that turns away from the nose at most `apart` less than the
    other, radians.

    A tracker's mesh sees an eye that turns towards the nose go further than the other, which goes as far (Hering's law
    of equal innervation): it is the outward one that is seen too little of.
    """
    out = turns.copy()
    left, right = turns[:, 1], turns[:, 4]  # positive to the person's left, away from the nose for the left eye
    out[:, 1] = np.where(right > 0, np.maximum(left, right - apart), left)
    out[:, 4] = np.where(left < 0, np.minimum(right, left + apart), right)
    return out


def transfer_gaze(
    source: TrackedFrame,
    driver: TrackedSequence,
    motion: TrackedSequence,
    head: Head,
    corrector: GazeCorrector,
    target: str = "driver",
    *,
    iris_gain: tuple[float, float] = IRIS_GAIN,
    rest: GazeRestSettings = _REST,
) -> TrackedSequence:
    """The motion with eye codes that look where the driver looks in head space, or at the viewer.

    A source that looks aside in the photo looks where the driver looks; where both are near their cameras the driver's
    usual gaze is the photo's own (`rest_offset`), and looking at the viewer is what the photo shows. Where the clip
    shows the photo's very face (`same_face`), both are read by the clip's eyeballs, and it looks where the clip does.
    The driver's gaze is measured on the driver's face; the constant between the source's two eyes is kept.

    Args:
        source: the photo's parameters. driver: the clip's, as tracked or smoothed. motion: what is rendered, as long.
        head: evaluates both. corrector: its strength blends from the motion's eye codes to the target.
        target: `driver` or `camera`, the one that draws.
        iris_gain: how much of a turn, in pitch and yaw, the tracker shows that photo and clip were tracked with. For an
            avatar that moves the photo's own irises; (1, 1) for one that learned from tracked codes what they look
            like, as GAGAvatar did.
        rest: what counts as near a camera.
    """
    if target not in TARGETS:
        raise UserError(f"gaze target {target!r} is none of {', '.join(TARGETS)}")
    gain = np.array(iris_gain, np.float64)
    driver_geometry = EyeGeometry.of(head, driver[0])
    read = read_gaze(EyeLandmarks(head, driver), driver.transform_matrix, driver_geometry, driver.fps)
    looks = angles_of(torch.from_numpy(read.direction)).numpy() / gain
    same = same_face(source, driver, head, rest)
    geometry = driver_geometry if same else EyeGeometry.of(head, source)
    source_gaze = read_gaze(EyeLandmarks(head, [source]), source.transform_matrix[None], geometry)
    photo = np.nan_to_num(angles_of(torch.from_numpy(source_gaze.direction)).numpy()[0])
    viewer = camera_angles(source.transform_matrix[None])[0]
    certain = read.confidence >= rest.certain
    if target == "camera":
        rendered = seen_from(motion.transform_matrix, motion.view).astype(np.float64)
        own = driver.transform_matrix.astype(np.float64)
        if certain.any():
            cameras = camera_angles(driver.transform_matrix[certain])
            look, share = camera_look(looks[certain], cameras, rest)
            looks = looks + share * (np.median(cameras, axis=0) - look)
        looks = angles_of(
            torch.from_numpy(corrector.camera_gaze(rendered, direction_of(torch.from_numpy(looks)).numpy(), own))
        ).numpy()
        looks = looks + on_camera(photo / gain, viewer, rest.photo, rest) * (photo / gain - viewer)
    elif not same and certain.sum() >= rest.least_seconds * driver.fps:
        theirs = camera_angles(driver.transform_matrix[certain])
        looks = looks + rest_offset(looks[certain], theirs, photo / gain, viewer, rest)
    direction = direction_of(torch.from_numpy(looks)).numpy()
    # Irises are moved from where the photo has them: there they look further aside than their codes say.
    irises = read_irises(EyeLandmarks(head, motion), geometry) + photo * (1 / gain - 1)
    code = torch.from_numpy(motion.eyecode.astype(np.float64))
    eyecode = corrector.turned(
        code,
        torch.from_numpy(direction),
        irises=torch.from_numpy(irises),
        offset=source_gaze.offset,
        limit=corrector.limits.code,
    )
    return motion.with_parameters({"eyecode": eyecode.numpy().astype(motion.eyecode.dtype)})


def steady_gaze(
    source: TrackedFrame,
    motion: TrackedSequence,
    head: Head,
    corrector: GazeCorrector,
    *,
    iris_gain: tuple[float, float] = SAME_FACE_IRIS_GAIN,
) -> TrackedSequence:
    """The motion with its codes' gaze, without the noise within fixations and through blinks: for absolute motion.

    The difference of the two eyes goes through the same filter as their mean: on a turned head it changes with the
    pose.

    Args:
        source: the photo's parameters. motion: what is rendered. head: evaluates both.
        corrector: its strength blends from the motion's eye codes to the steady ones.
        iris_gain: how much of a turn away from the photo's gaze, in pitch and yaw, a rendering of these codes shows.
    """
    points, geometry = EyeLandmarks(head, motion), EyeGeometry.of(head, source)
    read = read_gaze(points, motion.transform_matrix, geometry, motion.fps)
    source_gaze = read_gaze(EyeLandmarks(head, [source]), source.transform_matrix[None], geometry)
    looks, photo = (angles_of(torch.from_numpy(r.direction)) for r in (read, source_gaze))
    photo = torch.nan_to_num(photo)
    direction = direction_of(photo + (looks - photo) / torch.tensor(iris_gain, dtype=torch.float64))
    irises = read_irises(points, geometry)
    half = (irises[:, 0] - irises[:, 1]) / 2
    if len(motion) > 1:
        half = steady_fixations(half, read.confidence, float(motion.fps))
    code = torch.from_numpy(motion.eyecode.astype(np.float64))
    offset = np.stack([half, -half], 1)
    eyecode = corrector.turned(code, direction, irises=torch.from_numpy(irises), offset=offset)
    return motion.with_parameters({"eyecode": eyecode.numpy().astype(motion.eyecode.dtype)})
