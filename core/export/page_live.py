"""What a page needs to be moved by its viewer's face: the fit's matrices and the photo's openings."""

from __future__ import annotations

from dataclasses import asdict
from typing import cast

import numpy as np

from core.export.payload import Payload
from core.libs.flame_model import OpenHead
from core.libs.flame_model import topology as topo
from core.libs.flame_model.openings import OPEN_HEAD_OPENINGS
from core.libs.geometry import Camera
from core.libs.retargeting.gaze import EYE_TURNS
from core.libs.retargeting.live import LiveSettings
from core.libs.retargeting.openings import FaceOpenings
from core.libs.retargeting.pose import JAW
from core.libs.tracker.fit import HeadFitter
from core.libs.tracker.live import LiveTrackSettings
from core.libs.tracker.settings import TrackSettings
from core.pipeline import Pipeline


def add_live(out: Payload, pipeline: Pipeline) -> None:
    """Add it to the payload of a run."""
    head = cast(OpenHead, pipeline.components.head)
    source = pipeline.source.frame
    track, settings, camera = TrackSettings(), LiveSettings(), Camera()
    maps = HeadFitter(head, camera, track.fit, track.pose).maps
    template = head.template.numpy()[: topo.N_POINTS]
    joints = head.joint_regressor.numpy() @ head.template.numpy()
    out.array("live.template", template)
    out.array("live.poseWeights", maps.pose_weights)
    out.array("live.stable", maps.stable)
    out.array("live.jawWeights", head.weights.numpy()[: topo.N_POINTS, 2])
    # By rows: a code's own scale, so that none is lost beside a larger one.
    for name, matrix in (("live.solve", maps.expression), ("live.solvePerson", maps.person_expression)):
        out.quantised(name, matrix)
    face = FaceOpenings(head, OPEN_HEAD_OPENINGS, source)
    gaps = face.gaps(source.expcode[None].astype(np.float64), source.posecode[None, JAW].astype(np.float64))[0]
    mean = _height(template, OPEN_HEAD_OPENINGS.pairs)
    corners = template[list(OPEN_HEAD_OPENINGS.eyes)]
    irises = template[list(topo.LEFT_IRIS)].mean(0) - joints[3]
    out.array("live.openingInverse", face.pseudo_inverse(rims=False))
    out.array("live.inverse", face.pseudo_inverse())
    out.array("live.rimGradient", face.gradient[len(face.names) :])
    # Not in steps, as the head's basis is: from gaps to codes an error grows a thousandfold.
    for name, values in face.terms().items():
        out.array(f"live.gap.{name}", values)
    out.values["live"] = {
        "size": camera.size,
        "expansion": track.crop.expansion,
        "personAfter": LiveTrackSettings().person_after[0],
        "personRounds": 3,
        "jawJoint": template[[234, 454]].mean(0).tolist(),
        "eyes": OPEN_HEAD_OPENINGS.eyes,
        "eyeRadius": float(np.linalg.norm(irises)),
        "eyesSure": track.fit.open,
        "eyeGain": head.iris_gain.counted,
        "eyeLimit": EYE_TURNS.limit,
        "pairs": OPEN_HEAD_OPENINGS.pairs,
        "rims": OPEN_HEAD_OPENINGS.rims,
        "sourceGaps": gaps.tolist(),
        "sourceWidth": face.width,
        "meanGaps": mean,
        "meanWidth": float(np.linalg.norm(corners[0] - corners[1])),
        "openingSettings": asdict(settings.openings),
        "neutralSettings": asdict(settings.neutral),
        "poseSettings": asdict(settings.pose),
        "liveSettings": {k: v for k, v in asdict(settings).items() if not isinstance(v, dict)},
    }


def _height(points: np.ndarray, openings: tuple[tuple[tuple[int, int], ...], ...]) -> list[float]:
    return [float(np.mean([points[a, 1] - points[b, 1] for a, b in pairs])) for pairs in openings]
