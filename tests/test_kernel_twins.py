"""The compiled kernels, each held to its slow and obvious form in `tests/twins.py`."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from core.libs.filters.kalman_kernels import innovations, rts_smoother
from core.libs.geometry import to_pixels
from core.libs.mesh import rasterize_mesh
from core.libs.tracker import fit_kernels, pose, refine
from core.libs.tracker.settings import PoseFitSettings
from core.models.LiftedAvatar import binding
from core.models.LiftedAvatar.binding import Role
from core.models.LiftedAvatar.composite import composite
from tests import twins


def test_rasterized_mesh():
    """Random triangles that cross and cover one another, some beyond the picture, one of no area."""
    random = np.random.default_rng(1)
    camera = np.concatenate([random.uniform(-0.6, 0.6, (24, 2)), random.uniform(6, 14, (24, 1))], 1)
    triangles = random.permutation(24).reshape(8, 3).astype(np.int32)
    triangles[3] = triangles[3, 0]
    pixels = to_pixels(camera, 24)
    face, weights = rasterize_mesh(pixels, camera[:, 2].copy(), triangles, 24)
    expected_face, expected = twins.rasterize_mesh(pixels, camera[:, 2], triangles, 24)
    assert len(np.unique(expected_face)) > 4
    np.testing.assert_array_equal(face, expected_face)
    np.testing.assert_allclose(weights, expected, atol=1e-6)


def test_composited_picture():
    random = np.random.default_rng(2)
    image = random.uniform(-0.2, 1.2, (17, 23, 4)).astype(np.float32)
    image[..., 3] = random.choice([0, 0.3, 0.59, 0.61, 0.95, 1.1], (17, 23))
    background = np.array([0.1, 0.5, 0.9], np.float32)
    out = np.empty((17, 23, 3), np.float32)
    composite(image, background, out)
    np.testing.assert_allclose(out, twins.composite(image, background), atol=2e-6)


def test_vertices_interpolated_at_pixels():
    random = np.random.default_rng(3)
    points = random.normal(size=(40, 2)).astype(np.float32)
    corners = random.integers(0, 40, (13, 13, 3)).astype(np.uint32)
    weights = random.dirichlet(np.ones(3), (13, 13)).astype(np.float32)
    expected = twins.interpolate_vertices(points, corners, weights)
    np.testing.assert_allclose(refine._interpolate(points, corners, weights), expected, atol=1e-6)


def test_smoother_of_the_kalman_filter():
    """Measurements that are missing, also the first ones, and a step at which another motion begins."""
    random = np.random.default_rng(5)
    z = np.cumsum(np.cumsum(random.normal(size=(80, 4)), 0), 0) + random.normal(0, 3, (80, 4))
    valid = random.random(z.shape) > 0.2
    valid[:3, 0], valid[30:45, 1] = False, False
    scale = random.gamma(2, 0.5, z.shape)
    scale[50] = 1e6
    ratio = np.array([1e-4, 1e-2, 1.0, 40.0])
    found, _ = rts_smoother(z, valid, scale, ratio)
    for d in range(4):
        expected = twins.rts_smoother(z[:, d], valid[:, d], scale[:, d], ratio[d])
        np.testing.assert_allclose(found[:, d], expected, rtol=1e-8, atol=1e-8 * np.ptp(z[:, d]))


def test_innovations_of_the_kalman_filter():
    random = np.random.default_rng(4)
    z = np.cumsum(random.normal(size=(60, 5)), 0)
    seen = random.random(z.shape) > 0.2
    scale = random.gamma(2, 0.5, z.shape)
    ratios = np.array([[1e-5, 1e-2, 1.0, 40.0]] * 5)
    logs, squares, count = innovations(z, seen, scale, ratios)
    for d in range(5):
        for k in range(4):
            expected = twins.innovations(z[:, d], seen[:, d], scale[:, d], ratios[d, k])
            assert (logs[d, k], squares[d, k], count[d]) == pytest.approx(expected, rel=1e-9)


def test_gaussians_on_a_moved_mesh():
    """Every kind of Gaussian, on a mesh some triangles of which are stretched by up to thirty times."""
    random = np.random.default_rng(5)
    pixels = np.stack(np.meshgrid(np.arange(5) * 30.0, np.arange(5) * 30.0), -1).reshape(-1, 2)
    pixels += random.uniform(-6, 6, pixels.shape)
    cells = np.array([[i, i + 1, i + 5, i + 1, i + 6, i + 5] for i in range(19) if i % 5 < 4]).reshape(-1, 3)
    n_mesh = len(cells)
    triangles = np.concatenate([cells, cells[3:9]]).astype(np.int32)
    jacobian = binding.barycentric_jacobian(pixels, triangles)
    depth = random.uniform(9, 11, len(pixels))
    moved = pixels * random.choice([1.0, 1.0, 1.2, 9.0], (len(pixels), 1)) + random.normal(0, 12, pixels.shape)
    points = np.concatenate([moved * depth[:, None] / 3072, depth[:, None]], 1).astype(np.float32)
    owner = random.integers(0, len(triangles), 400).astype(np.int32)
    weights = random.dirichlet(np.ones(3), 400).astype(np.float32)
    role = random.choice(list(Role), 400).astype(np.int8)
    exponent = random.choice([1, 17.5], 400).astype(np.float32)
    need = random.choice([0.001, 0.4, 1], 400).astype(np.float32)
    fringe = random.random(2).astype(np.float32)
    all_photo = random.random(len(pixels)) < 0.2
    out = np.empty((400, 3), np.float32), np.empty((400, 6), np.float32), np.empty(400, np.float32)
    gaussians = owner, weights, role, exponent, need
    settings = points, triangles, n_mesh, jacobian, 0.55, 3072.0, *gaussians, fringe, all_photo, 0.12
    binding.update_gaussians(*settings, np.zeros(len(triangles), bool), *out)
    expected = twins.update_gaussians(*settings, binding.SETTINGS)
    np.testing.assert_allclose(out[0], expected[0], atol=1e-5)
    np.testing.assert_allclose(out[1], expected[1], rtol=2e-4, atol=1e-9)
    np.testing.assert_allclose(out[2], expected[2], rtol=2e-3, atol=1e-5)


def test_pose_is_where_the_robust_cost_is_least():
    """Gauss-Newton ends where a general optimiser ends, on points a tenth of which are badly off."""
    random = np.random.default_rng(6)
    person = random.normal(0, 0.3, (60, 3))
    true, place = Rotation.from_rotvec([0.2, -0.4, 0.1]).as_matrix(), np.array([0.1, -0.05, 10.0])
    q = person @ true + place
    rays = q[:, :2] / q[:, 2:] + random.normal(0, 2e-4, (60, 2))
    rays[:6] += 0.02
    weights = random.uniform(0.5, 1.5, 60)
    start = true @ Rotation.from_rotvec([0.05, 0.04, -0.03]).as_matrix().T, place + [0.02, 0.01, 0.3]
    no_depth = np.zeros((1, 60))
    settings = PoseFitSettings(depth_weight=0.0, rounds=80)
    found = pose.refine_pose(start[0][None], start[1][None], person, rays[None], no_depth, weights, settings)

    def cost(step: np.ndarray) -> np.ndarray:
        seen = twins.pose_residuals(step, *start, person, rays)
        return (np.sqrt(weights)[:, None] * _cauchy(seen, settings.outlier)).ravel()

    best = least_squares(cost, np.zeros(6), xtol=1e-15, ftol=1e-15, gtol=1e-15).x
    turned = start[0] @ Rotation.from_rotvec(best[:3]).as_matrix().T
    np.testing.assert_allclose(found[0][0], turned, atol=1e-4)
    assert (np.abs(start[1] + best[3:] - found[1][0]) < [1e-4, 1e-4, 1e-2]).all()  # depth least sure
    assert np.degrees(Rotation.from_matrix(true.T @ found[0][0]).magnitude()) < 0.5


def test_closed_jaws_turn_to_where_they_were_seen():
    """Linear blend skinning of what comes out is what went in."""
    random = np.random.default_rng(7)
    rest, joint = random.normal(0, 0.3, (3, 40, 3)), np.array([0.0, -0.1, -0.2])
    jaw, weight = np.array([0.0, 0.1, -0.2]), random.uniform(0, 1, 40)
    rest_from_joint = rest - joint
    turned = np.stack(
        [r @ Rotation.from_rotvec([a, 0, 0]).as_matrix().T for r, a in zip(rest_from_joint, jaw, strict=True)]
    )
    seen = (1 - weight[:, None]) * rest_from_joint + weight[:, None] * turned + joint
    np.testing.assert_allclose(fit_kernels.close_jaws(seen, jaw, joint, weight, 40), rest, atol=1e-9)


def test_lifted_points_lie_on_their_rays_and_miss_only_a_plane():
    """Of a posed person whose depths come with any plane's error, the very points."""
    random = np.random.default_rng(8)
    person, weight = random.normal(0, 0.3, (50, 3)), random.uniform(0.1, 1, 50)
    turn = Rotation.from_rotvec([[0.2, -0.3, 0.1], [0, 0.5, 0]]).as_matrix()
    shift = np.array([[0.1, 0, 9.0], [-0.2, 0.1, 11.0]])
    camera = person @ turn + shift[:, None]
    rays = np.ascontiguousarray(camera[..., :2] / camera[..., 2:])
    relief = shift[:, 2:] - camera[..., 2] + 0.3 * rays[..., 0] - 0.2 * rays[..., 1] + 0.05
    lifted = fit_kernels.lift_points(turn, shift, rays, relief, person, weight / weight.sum())
    np.testing.assert_allclose(lifted, np.broadcast_to(person, lifted.shape), atol=1e-9)


def _cauchy(residuals: np.ndarray, scale: float) -> np.ndarray:
    """Residuals (N, 2) whose squares sum to scale^2 log(1 + r^2 / scale^2)."""
    size = np.linalg.norm(residuals, axis=1, keepdims=True)
    return residuals / np.maximum(size, 1e-300) * scale * np.sqrt(np.log1p((size / scale) ** 2))
