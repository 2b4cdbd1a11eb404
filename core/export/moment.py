"""One moment of a run, as Gaussians about the head."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import cast

import numpy as np

from core.data.records import TrackedFrame
from core.errors import UserError
from core.libs.flame_model import topology as topo
from core.models.LiftedAvatar.bake import Gaussians, bake
from core.models.LiftedAvatar.layers import Shot
from core.models.LiftedAvatar.models import Avatar
from core.pipeline import Pipeline


def frame_at(pipeline: Pipeline, seconds: Fraction) -> TrackedFrame:
    """The frame of the motion that is shown at a time; UserError where the driver is over by then."""
    motion = pipeline.motion
    start = motion.times[0]
    end = motion.times[-1] - start + 1 / motion.fps
    if not 0 <= seconds < end:
        raise UserError(f"--at {float(seconds):g}: the driver has 0 to {float(end):.4g} seconds; give a time within")
    shown = [index for index, time in enumerate(motion.times) if time - start <= seconds]
    return motion[shown[-1]]


def moment(pipeline: Pipeline, frame: TrackedFrame) -> Gaussians:
    """The person at one frame of the pipeline's motion, the head's centre at the origin.

    The improvements that change parameters act, and the photo's own detail with --detail-enhance; those that sharpen
    finished pictures have none to sharpen here. UserError for another avatar than the built-in one.
    """
    avatar, head = lifted(pipeline), pipeline.components.head
    source = pipeline.source.frame.transform_matrix
    detail = pipeline.improvements.source_detail(source, frame.transform_matrix)
    shot = Shot(
        camera=avatar.camera,
        face=head.evaluate(frame)[: topo.N_POINTS].copy(),
        transform=frame.transform_matrix,
        view=None,
        torso_motion=frame.torso_motion,
        mouth=frame.mouth_interior,
        colors=avatar.surface.tinted(detail),
        scratch=avatar.surface.scratch.colors,
        detail=detail,
    )
    gaussians = bake(avatar, shot)
    return replace(gaussians, xyz=gaussians.xyz - source[:, 3].astype(np.float32))


def lifted(pipeline: Pipeline) -> Avatar:
    """The pipeline's avatar; UserError where it is the network's."""
    if pipeline.model_name != "lifted":
        raise UserError("the network's avatar cannot be exported, only the built-in one: take --model lifted")
    return cast(Avatar, pipeline.avatar)
