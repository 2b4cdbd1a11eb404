"""Compiled rotations against scipy's, and the path of a live source against the one of a clip."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import median_filter
from scipy.spatial.transform import Rotation, Slerp

from core.libs.filters.fixations import running_median
from core.libs.filters.live_path import LivePath
from core.libs.filters.motion_path import TRANSFORM, MotionPathSettings, motion_path, slerp
from core.libs.geometry import FLIP, head_angles, head_rotation
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


def test_head_angles_are_scipys(turns):
    rotations = Rotation.from_rotvec(turns[::4]).as_matrix().reshape(10, 10, 3, 3)
    in_scipys_order = Rotation.from_matrix((np.swapaxes(rotations, -1, -2) * FLIP).reshape(-1, 3, 3)).as_euler("ZYX")
    np.testing.assert_allclose(head_angles(rotations), in_scipys_order.reshape(10, 10, 3), atol=1e-12)
    np.testing.assert_allclose(head_rotation(head_angles(rotations)), rotations, atol=1e-12)


def test_gaps_of_a_path_are_turned_through_as_scipy_does(turns):
    """Frames 3 to 6 and the last two are not known: the shortest arc, and the last one held."""
    rotations = Rotation.from_rotvec(turns[::-1][:12])
    transforms = np.concatenate([rotations.as_matrix(), np.tile([[[0.1], [0.2], [9.0]]], (12, 1, 1))], -1)
    known = np.array([0, 1, 2, 7, 8, 9])
    given = np.full_like(transforms, np.nan)
    given[known] = transforms[known]
    filled = motion_path(TRANSFORM, given).restore(np.zeros((12, 6)))
    expected = Slerp(known, rotations[known])(np.clip(np.arange(12), 0, 9)).as_matrix()
    np.testing.assert_allclose(filled[..., :3], expected, atol=1e-12)
    way = (rotations[0].inv() * rotations[5]).as_rotvec()
    between = rotations[0] * Rotation.from_rotvec(0.3 * way)
    np.testing.assert_allclose(slerp(transforms[0, :, :3], transforms[5, :, :3], 0.3), between.as_matrix(), atol=1e-12)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_running_medians_are_scipys(size):
    values = np.random.default_rng(1).normal(size=(40, 3)).round(1)
    np.testing.assert_array_equal(running_median(values, size), median_filter(values, (size, 1), mode="nearest"))
