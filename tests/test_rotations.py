"""Compiled rotations against scipy's, and the path of a live source against the one of a clip."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from core.libs.filters.live_path import LivePath
from core.libs.filters.motion_path import MotionPathSettings, motion_path
from core.libs.rotations import matrices_of, turned_by, turns_between, turns_of


@pytest.fixture
def turns() -> np.ndarray:
    """Axis-angles of all sizes up to half a turn."""
    random = np.random.default_rng(0)
    axes = random.normal(size=(400, 3))
    angles = np.concatenate([np.logspace(-9, 0, 200), random.uniform(0, np.pi, 199), [0.0]])
    return angles[:, None] * axes / np.linalg.norm(axes, axis=1, keepdims=True)


def test_matrices_and_turns_are_scipys(turns):
    matrices = Rotation.from_rotvec(turns).as_matrix()
    np.testing.assert_array_equal(matrices_of(turns), matrices)
    np.testing.assert_allclose(turns_of(matrices), turns, atol=1e-12)
    np.testing.assert_allclose(turns_of(matrices), Rotation.from_matrix(matrices).as_rotvec(), atol=1e-12)


def test_turning_on_and_the_way_between_are_inverse(turns):
    start, goal = matrices_of(turns), matrices_of(turns[::-1].copy())
    way = turns_between(start, goal)
    np.testing.assert_allclose(turned_by(start, way), goal, atol=1e-12)
    there = (Rotation.from_matrix(start).inv() * Rotation.from_matrix(goal)).as_rotvec()
    np.testing.assert_allclose(way, there, atol=1e-9)


@pytest.mark.parametrize("name", ["expcode", "eyecode", "transform_matrix"])
def test_a_live_path_is_that_of_the_clip(name):
    random = np.random.default_rng(1)
    values = np.cumsum(0.1 * random.normal(size=(60, 6)), 0)
    if name == "transform_matrix":
        rotations = Rotation.from_rotvec(values[:, :3]).as_matrix()
        values = np.concatenate([rotations, 0.1 * values[:, 3:, None] + np.array([0.0, 0.0, 6.0])[:, None]], 2)
    clip, live = motion_path(name, values), LivePath(name, MotionPathSettings())
    steps = [live.next(frame) for frame in values]
    start = clip.columns[0] - steps[0].columns
    np.testing.assert_allclose(np.stack([step.columns for step in steps]), clip.columns - start, atol=1e-9)
    change = 0.01 * random.normal(size=clip.columns.shape)
    restored = np.stack([step.restore(by) for step, by in zip(steps, change, strict=True)])
    np.testing.assert_allclose(restored, clip.restore(change), atol=1e-9)


@pytest.mark.parametrize("name", ["expcode", "eyecode", "transform_matrix"])
def test_a_live_path_holds_what_is_missing(name):
    frame = np.eye(3, 4) + np.array([0.0, 0.0, 0.0, 5.0]) if name == "transform_matrix" else np.linspace(0.1, 0.6, 6)
    live = LivePath(name, MotionPathSettings())
    first = live.next(frame)
    step = live.next(np.full_like(frame, np.nan))
    assert first.valid.all()
    assert not step.valid.any()
    np.testing.assert_allclose(step.columns, first.columns, atol=1e-12)
    np.testing.assert_allclose(step.restore(np.zeros_like(step.columns)), frame, atol=1e-12)
