"""Tracking noise: as large as it says, on the points it says."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic_head import degrees_between

from core.data.records import TrackedSequence
from core.errors import UserError
from core.evaluation.tracking_noise import add_tracking_noise
from core.libs.flame_model import FLAMEModel
from core.libs.flame_model.topology import LEFT_IRIS, N_FACE, STABLE
from core.libs.geometry import to_camera, to_pixels

DEMO = Path(__file__).parents[1] / "demos/drivers/obama"


@pytest.fixture(scope="module")
def clean() -> TrackedSequence:
    track = TrackedSequence.load(DEMO)
    names = ("expcode", "posecode", "eyecode", "transform_matrix", "bbox", "status", "times")
    cut = {name: getattr(track, name)[:80] for name in names}
    return replace(track, **cut, crops=None, torso_motion=None, mouth_interior=None, shapecode=track.shapecode[:1])


def points(track: TrackedSequence) -> np.ndarray:
    head = FLAMEModel()
    return np.stack([to_pixels(to_camera(head.evaluate(f)[:478].astype(float), f.transform_matrix)) for f in track])


def test_the_same_seed_gives_the_same_noise(clean):
    one, same, other = (add_tracking_noise(clean, seed) for seed in (3, 3, 4))
    assert (one.expcode == same.expcode).all()
    assert (one.transform_matrix == same.transform_matrix).all()
    assert (one.expcode != other.expcode).any()


def test_no_noise_is_no_change(clean):
    still = add_tracking_noise(clean, 0, 0, 0, 0)
    assert np.abs(points(still) - points(clean)).max() < 0.02


def test_pose_noise_has_the_stated_size(clean):
    noisy = add_tracking_noise(clean, 0, landmark=0)
    degrees = degrees_between(clean.transform_matrix[..., :3], noisy.transform_matrix[..., :3])
    assert np.sqrt((degrees**2).mean() / 3) == pytest.approx(0.8, rel=0.15)
    shift = (points(noisy) - points(clean))[:, list(STABLE)].mean(1)
    assert shift.std() == pytest.approx(1.5, rel=0.15)


def test_landmark_noise_is_what_a_fit_lets_through(clean):
    noisy = add_tracking_noise(clean, 0, 0, 0)
    moved = points(noisy) - points(clean)
    face = np.sqrt((moved[:, :N_FACE] ** 2).mean())
    assert 0.1 < face < 0.7  # a hundred codes average the noise of 478 points
    assert np.sqrt((moved[:, LEFT_IRIS[0]] ** 2).mean()) > face  # an iris has only itself
    assert (noisy.transform_matrix == clean.transform_matrix).all()


def test_another_head_is_refused(clean):
    with pytest.raises(UserError, match="open head"):
        add_tracking_noise(replace(clean, head="flame"))
