"""Gaussians projected with their triangles are those that are moved one by one, and drawn by the rasterizer."""

from __future__ import annotations

import numpy as np
import pytest

from core.libs.geometry import Camera, to_camera
from core.models.LiftedAvatar.binding import Binding, Role, barycentric_jacobian, update_gaussians
from core.models.LiftedAvatar.surface import Scratch, _off_axis, splat
from core.models.rasterizer import SurfaceSettings, splat_surface
from core.models.rasterizer.footprints import SPARED

COUNT, SIGMA, LEAST = 6000, 0.55, 0.12
SURFACE = SurfaceSettings()


def scene(seed: int) -> tuple[Binding, np.ndarray, np.ndarray, np.ndarray]:
    """Gaussians of every kind on a mesh some of which is stretched, lies behind itself or out of the picture; the mesh
    moved, the colours, and what is left of fringes.
    """
    random = np.random.default_rng(seed)
    places = np.arange(7) * 14.0
    pixels = np.stack(np.meshgrid(places, places), -1).reshape(-1, 2) + random.uniform(-3, 3, (49, 2))
    corner = np.array([y * 7 + x for y in range(6) for x in range(6)])
    cells = np.stack([corner, corner + 1, corner + 7, corner + 1, corner + 8, corner + 7], 1).reshape(-1, 3)
    triangles = np.concatenate([cells, cells[5:30]]).astype(np.int32)
    depth = random.uniform(9, 9.4, 49)
    moved = pixels * random.choice([1.0, 1.0, 1.3], (49, 1)) + random.normal(0, 4, pixels.shape) + [-6, 4]
    binding = Binding(
        triangles=triangles,
        n_mesh=len(cells),
        jacobian=barycentric_jacobian(pixels, triangles),
        face=random.integers(0, len(triangles), COUNT).astype(np.int32),
        bary_coords=random.dirichlet(np.ones(3), COUNT).astype(np.float32),
        role=random.choice(list(Role), COUNT).astype(np.int8),
        fade_exponent=random.choice([1, 17.5], COUNT).astype(np.float32),
        need=random.choice([0.001, 0.4, 1], COUNT).astype(np.float32),
        silhouette=np.zeros(49, np.int8),
        all_photo=random.random(49) < 0.2,
    )
    plane = Camera(96).unproject(moved)
    points = np.concatenate([plane * depth[:, None], depth[:, None]], 1)
    return binding, points, random.random((COUNT, 4)).astype(np.float32), random.random(2).astype(np.float32)


@pytest.mark.parametrize("window", [None, (20, 10, 70, 52)])
def test_what_is_projected_with_triangles_is_what_is_moved_one_by_one(window):
    photo, camera = Camera(96), Camera(96, window=window)
    binding, points, colors, fringe = scene(1)
    numbers = SIGMA, LEAST, SURFACE, Scratch(colors), None, fringe
    image, alpha, depth, _ = splat(points, binding, colors, photo, camera, *numbers)
    out = np.empty((COUNT, 3), np.float32), np.empty((COUNT, 6), np.float32), np.empty(COUNT, np.float32)
    mesh = points.astype(np.float32), binding.triangles, binding.n_mesh, binding.jacobian
    gaussians = binding.face, binding.bary_coords, binding.role, binding.fade_exponent, binding.need
    done = np.zeros(len(binding.triangles), bool)
    update_gaussians(
        *mesh, SIGMA, photo.pixels_per_unit, *gaussians, fringe, binding.all_photo, LEAST, done, *out
    )  # fmt: skip
    height, width = camera.shape
    focal = camera.focal * camera.size / width, camera.focal * camera.size / height
    expected = splat_surface(
        out[0], out[1], colors, out[2], camera.shape, focal, transform=_off_axis(camera), with_maps=True
    )
    # Where rounding decides which of two surfaces is in front, the two may part
    near = np.abs(depth - expected[3]) < 1e-3
    assert near.mean() > 0.99
    assert (expected[1] > 0.5).mean() > 0.3
    np.testing.assert_allclose(alpha[near], expected[1][near], atol=2e-3)
    assert np.quantile(np.abs(image - expected[0])[near], 0.999) < 1e-3


def test_groups_hold_every_gaussian_once_with_its_own_triangle_and_role():
    binding = scene(2)[0]
    groups = binding.groups
    assert sorted(groups.order) == list(range(COUNT))
    sizes = np.diff(groups.begins)
    np.testing.assert_array_equal(np.repeat(groups.face, sizes), binding.face[groups.order])
    np.testing.assert_array_equal(np.repeat(groups.role, sizes), binding.role[groups.order])
    fades = (binding.role == Role.FADING) & (binding.fade_exponent > 1)
    np.testing.assert_array_equal(np.repeat(groups.powered, sizes), fades[groups.order])
    assert groups.tasks[[0, -1]].tolist() == [0, len(groups.face)]


def test_a_mesh_out_of_sight_leaves_the_picture_empty():
    binding, points, colors, _ = scene(3)
    away = to_camera(points, np.concatenate([np.eye(3), [[9.0], [0], [0]]], 1))
    _, alpha, _, blocks = splat(away, binding, colors, Camera(96), Camera(96), SIGMA, LEAST, SURFACE, Scratch(colors))
    assert blocks is None or not (blocks == SPARED).any()
    assert not alpha.any()
