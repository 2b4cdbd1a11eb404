"""Cameras, alignments and the covering of pixels, by closed forms and inverses."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from core.data.records import FOCAL
from core.libs.geometry import fit_similarity, head_angles, head_rotation, to_camera, to_pixels, unproject
from core.libs.mesh import rasterize_mesh

FRONT = np.diag([-1.0, 1.0, -1.0])


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


def test_similarity_is_recovered(random):
    points, turn = random.normal(size=(4, 30, 3)), Rotation.random(4, random_state=1).as_matrix()
    scale, shift = random.uniform(0.5, 2, 4), random.normal(size=(4, 3))
    target = scale[:, None, None] * points @ turn + shift[:, None]
    got = fit_similarity(points, target)
    for value, expected in zip(got, (scale, turn, shift), strict=True):
        np.testing.assert_allclose(value, expected, atol=1e-9)


def test_similarity_ignores_points_without_weight(random):
    points = random.normal(size=(30, 3))
    target = points.copy()
    target[20:] += 5
    weights = np.r_[np.ones(20), np.zeros(10)]
    scale, turn, shift = fit_similarity(points, target, weights)
    np.testing.assert_allclose(scale * points[:20] @ turn + shift, points[:20], atol=1e-9)
    assert np.abs(fit_similarity(points, target)[2]).max() > 0.1


def test_similarity_never_reflects(random):
    points = random.normal(size=(30, 3))
    assert np.linalg.det(fit_similarity(points, points * [-1, 1, 1])[1]) == pytest.approx(1)


def test_pixels_and_rays_are_inverses(random):
    camera = np.concatenate([random.uniform(-1, 1, (50, 2)), random.uniform(5, 15, (50, 1))], 1)
    np.testing.assert_allclose(unproject(to_pixels(camera)), camera[:, :2] / camera[:, 2:], atol=1e-12)


def test_where_pixels_are():
    # +x is to the left, +y is up, the axis meets the middle of the picture, and 1 / focal length reaches its border.
    np.testing.assert_allclose(to_pixels(np.array([0, 0, 9.0])), [255.5, 255.5])
    np.testing.assert_allclose(to_pixels(np.array([9 / FOCAL, 9 / FOCAL, 9.0])), [-0.5, -0.5])


def test_camera_is_row_vectors(random):
    points, turn = random.normal(size=(2, 5, 3)), Rotation.random(2, random_state=2).as_matrix()
    transform = np.concatenate([turn, np.full((2, 3, 1), [[1.0], [2], [3]])], -1)
    np.testing.assert_allclose(to_camera(points, transform)[1, 3], points[1, 3] @ turn[1] + [1, 2, 3])


class TestHeadAngles:
    def test_front_is_zero(self):
        np.testing.assert_allclose(head_angles(FRONT), 0, atol=1e-12)
        np.testing.assert_allclose(head_rotation(np.zeros(3)), FRONT, atol=1e-12)

    def test_inverses(self, random):
        angles = np.radians(random.uniform(-80, 80, (4, 25, 3)))
        rotation = head_rotation(angles)
        np.testing.assert_allclose(head_angles(rotation), angles, atol=1e-9)
        np.testing.assert_allclose(
            rotation @ np.swapaxes(rotation, -1, -2), np.broadcast_to(np.eye(3), (4, 25, 3, 3)), atol=1e-9
        )
        np.testing.assert_allclose(np.linalg.det(rotation), 1)

    def test_roll_turns_the_picture(self, random):
        turned, roll = np.radians([[0, 30, -20], [25, 30, -20]]), np.radians(25)
        points = random.normal(size=(6, 3))
        before, after = (points @ rotation for rotation in head_rotation(turned))
        np.testing.assert_allclose(after[:, 2], before[:, 2], atol=1e-12)
        plane = before[:, 0] + 1j * before[:, 1]
        np.testing.assert_allclose(after[:, 0] + 1j * after[:, 1], plane * np.exp(1j * roll), atol=1e-12)

    def test_yaw_keeps_heights_and_pitch_the_ears(self, random):
        points = random.normal(size=(6, 3))
        upright, turned = (points @ r for r in head_rotation(np.radians([[0, 0, 15], [0, 30, 15]])))
        np.testing.assert_allclose(turned[:, 1], upright[:, 1], atol=1e-12)
        ear = np.array([[0.4, 0, 0]])
        level, nodding = (ear @ r for r in head_rotation(np.radians([[10, 30, 0], [10, 30, 25]])))
        np.testing.assert_allclose(nodding, level, atol=1e-12)


class TestCover:
    def test_front_triangle_and_place_in_space(self):
        # Two triangles over the same pixels, the second nearer; the nearer one leans, so that perspective matters.
        camera = np.array(
            [[0.3, 0.3, 10], [-0.3, 0.3, 10], [0, -0.4, 10], [0.2, 0.2, 8], [-0.2, 0.2, 6], [0, -0.2, 7.0]]
        )
        triangles = np.array([[0, 1, 2], [3, 4, 5]], np.int32)
        pix_to_face, weights = rasterize_mesh(to_pixels(camera, 128), camera[:, 2].copy(), triangles, 128)
        assert set(np.unique(pix_to_face)) == {-1, 0, 1}
        for shown in (0, 1):
            rows, columns = np.nonzero(pix_to_face == shown)
            inside = weights[rows, columns].astype(np.float64)
            np.testing.assert_allclose(inside.sum(1), 1, atol=1e-5)
            place = inside @ camera[triangles[shown]]
            np.testing.assert_allclose(to_pixels(place, 128), np.stack([columns, rows], 1), atol=1e-3)
        alone = rasterize_mesh(to_pixels(camera, 128), camera[:, 2].copy(), triangles[1:], 128)[0]
        assert (pix_to_face[alone == 0] == 1).all()

    def test_beyond_the_picture(self):
        pixels = np.array([[-50.0, -50], [400, -50], [-50, 400]])
        pix_to_face, _ = rasterize_mesh(pixels, np.ones(3), np.array([[0, 1, 2]], np.int32), 32)
        assert (pix_to_face == 0).all()
        pix_to_face, _ = rasterize_mesh(pixels - 1000, np.ones(3), np.array([[0, 1, 2]], np.int32), 32)
        assert (pix_to_face == -1).all()
