"""Ears and hair beside a face that turns: what moves them, and what must not."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from synthetic_head import a_frame

from core.data.records import IMAGE_SIZE
from core.libs.flame_model import FLAMEModel
from core.libs.flame_model import topology as topo
from core.libs.geometry import Camera, head_rotation, to_camera, to_pixels
from core.libs.mesh import build_proxy_mesh
from core.models.LiftedAvatar.binding import barycentric_jacobian
from core.models.LiftedAvatar.sides import SideDepth, limited_depth

MARGIN = 64
SIDE = IMAGE_SIZE + 2 * MARGIN
EARS = {"right": (127, 234, 93), "left": (356, 454, 323)}  # points of the border beside them


def at(frame, yaw: float):
    transform = frame.transform_matrix.copy()
    transform[:, :3] = head_rotation(np.radians([0.0, yaw, 0.0]))
    return replace(frame, transform_matrix=transform)


@pytest.fixture(scope="module")
def front():
    return at(replace(a_frame(np.random.default_rng(3), expression=0.0), posecode=np.zeros(6, np.float32)), 0)


def mesh_of(frame):
    head = FLAMEModel()
    return build_proxy_mesh(head.evaluate(frame), frame.transform_matrix, head.faces.numpy(), margin=MARGIN)


def sides_of(frame, matte: np.ndarray | None = None) -> SideDepth:
    matte = np.ones((SIDE, SIDE), np.float32) if matte is None else matte
    return SideDepth.of(mesh_of(frame), frame.transform_matrix, matte, Camera())


def test_a_depth_falls_back_from_a_surface_by_a_slope_at_most():
    x = np.linspace(-1, 1, 81)
    surface = np.stack([x[x <= 0], 0 * x[x <= 0], np.full((x <= 0).sum(), 5.0)], 1)
    steep = np.stack([x, 0 * x, 5 + 4 * np.maximum(x, 0)], 1)
    np.testing.assert_allclose(limited_depth(steep, surface, 1.5), 5 + 1.5 * np.maximum(x, 0), atol=1e-12)
    np.testing.assert_array_equal(limited_depth(steep, surface, 4.5), steep[:, 2])
    nearer = steep * [1, 1, -1] + [0, 0, 10]  # what comes nearer is left alone
    np.testing.assert_array_equal(limited_depth(nearer, surface, 1.5), nearer[:, 2])


def test_the_photos_pose_and_what_the_photo_shows_stay(front):
    """Nothing moves where the head is as in the photo; moved points lie under the photo's own pixels."""
    sides, mesh = sides_of(front), mesh_of(front)
    assert np.abs(sides.offsets).max() > 0.05
    np.testing.assert_array_equal(sides.at(front.transform_matrix), 0)
    head = (mesh.points - front.transform_matrix[:, 3]) @ front.transform_matrix[:, :3].T
    moved = to_camera(head + sides.offsets, front.transform_matrix)
    np.testing.assert_allclose(to_pixels(moved), to_pixels(mesh.points), atol=1e-3)
    assert (moved[:, 2] <= mesh.points[:, 2] + 1e-6).all()
    eyes = [*topo.RIGHT_EYE, *topo.LEFT_EYE, *topo.INNER_LIPS]
    np.testing.assert_array_equal(sides.offsets[eyes], 0)


@pytest.mark.parametrize(("yaw", "turned", "other"), [(20, "right", "left"), (-20, "left", "right")])
def test_only_the_side_that_turns_to_the_camera_moves(front, yaw, turned, other):
    sides = sides_of(front)
    offsets = sides.at(at(front, yaw).transform_matrix)
    np.testing.assert_array_equal(offsets[list(EARS[other])], 0)
    np.testing.assert_allclose(offsets[list(EARS[turned])], sides.offsets[list(EARS[turned])])
    # It begins and ends slowly: no step while a head turns.
    path = np.stack([sides.at(at(front, degree).transform_matrix) for degree in np.linspace(0, yaw, 81)])
    whole = np.linalg.norm(sides.offsets, axis=-1).max()
    assert np.linalg.norm(np.diff(path, axis=0), axis=-1).max() < 0.08 * whole


def test_a_side_that_turns_is_stretched_less(front):
    """The widest that a pixel of the photo is drawn beside the ear: less than half of what the mesh makes of it."""
    sides, mesh, now = sides_of(front), mesh_of(front), at(front, -20)
    beside = np.isin(mesh.triangles, EARS["left"]).any(1) & (mesh.triangles < topo.N_FACE).all(1)
    jacobian = barycentric_jacobian(mesh.pixels, mesh.triangles)[beside].astype(float)
    head = (mesh.points - front.transform_matrix[:, 3]) @ front.transform_matrix[:, :3].T

    def widest(offsets: np.ndarray) -> float:
        pixels = to_pixels(to_camera(head + offsets, now.transform_matrix))
        return float(np.linalg.norm(pixels[mesh.triangles[beside]].swapaxes(1, 2) @ jacobian, 2, (1, 2)).max())

    assert widest(sides.at(now.transform_matrix)) < 0.5 * widest(np.zeros_like(head))


def test_no_ear_no_move(front):
    """Where the background begins at the cheek, and on the far side of a three-quarter view, the mesh is right."""
    mesh = mesh_of(front)
    border = mesh.pixels[list(topo.FACE_OVAL)]
    matte = cv2.fillPoly(np.zeros((SIDE, SIDE), np.uint8), [border.round().astype(np.int32)], 1).astype(np.float32)
    assert np.abs(sides_of(front, matte).offsets).max() < 1e-6
    aside = sides_of(at(front, 30))
    assert max(np.abs(aside.offsets[list(ear)]).max() for ear in EARS.values()) < 1e-6
