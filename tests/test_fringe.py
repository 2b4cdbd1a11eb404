"""The fringe beside a far cheek, which the mesh misses: it stays while the cheek does, and goes when that turns."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from test_unseen_side import SIDE, SKIN, face, frame, person, turned  # noqa: F401 (fixtures)

from core.libs.flame_model import FLAMEModel
from core.libs.flame_model import topology as topo
from core.libs.geometry import Camera
from core.models.LiftedAvatar import surface as surface_layer
from core.models.LiftedAvatar.binding import SETTINGS, Role, stretches
from core.models.LiftedAvatar.layers import Shot
from core.models.LiftedAvatar.models import LiftedAvatar


@pytest.fixture(scope="module")
def surface(frame, face):  # noqa: F811
    """Of a three-quarter view whose cheek is four pixels wider than its mesh."""
    wide = cv2.dilate(face.astype(np.uint8), np.ones((9, 9))) > 0
    image = np.where(wide[..., None], SKIN, [0.05, 0.05, 0.2])
    return LiftedAvatar().encode(person(frame, image, np.ones((SIDE, SIDE)))).surface


def test_a_fringe_that_the_mesh_missed_stays_at_rest_and_goes_when_the_cheek_turns(frame, surface):  # noqa: F811
    fringe = surface.binding.role >= Role.LEFT_FRINGE
    assert fringe.sum() > 100
    assert np.abs(surface.colors[fringe, :3] - SKIN).max(1).mean() < 0.3

    def weights(yaw: float) -> np.ndarray:
        now = turned(frame, yaw)
        points = surface.rig.pose(FLAMEModel().evaluate(now), now.transform_matrix)
        return surface.placed(points, surface.fringe.at(points, surface.camera.pixels_per_unit))[2][fringe]

    assert weights(38).min() > 0.6
    assert weights(23).max() < 0.02


def test_a_fringe_stays_whatever_the_mouth_does(frame, surface, monkeypatch):  # noqa: F811
    """A far cheek that an open mouth stretches took its outline for one that turns: the jaw had a second edge."""
    fringe, drawn_by = surface.binding.role >= Role.LEFT_FRINGE, surface_layer.splat
    seen = []

    def splat(points, *numbers):
        seen.append(surface.placed(points, numbers[-1])[2][fringe])
        return drawn_by(points, *numbers)

    monkeypatch.setattr(surface_layer, "splat", splat)

    def weights(now, vertices: np.ndarray) -> np.ndarray:
        shot = Shot(
            Camera(), vertices[: topo.N_POINTS], now.transform_matrix, None, None, None, surface.colors,
            surface.scratch.colors,
        )  # fmt: skip
        surface.draw(shot)
        return seen[-1]

    rest = FLAMEModel().evaluate(frame)
    wide_open = rest.copy()
    wide_open[: topo.N_POINTS, 0] *= 1.5  # stretched as no mouth would
    there = weights(frame, rest)
    assert there.min() > 0.6
    np.testing.assert_array_equal(weights(frame, wide_open), there)
    now = turned(frame, 23)
    assert weights(now, FLAMEModel().evaluate(now)).max() < 0.02


def test_what_is_left_of_fringes_is_the_kernels_share(frame, surface):  # noqa: F811
    """The mean of the photo's share along a silhouette, as Gaussians of the photo there have it, to its power."""
    binding, n = surface.binding, surface.binding.n_mesh
    now = turned(frame, 34)
    points = surface.rig.pose(surface.rig.face, now.transform_matrix)
    stretch = np.minimum(
        stretches(points, binding.triangles[:n], binding.jacobian[:n], Camera().pixels_per_unit), SETTINGS.longest
    )
    found = surface.fringe_at(now.transform_matrix)
    for side, role in enumerate((Role.LEFT_FRINGE, Role.RIGHT_FRINGE)):
        shares = [
            1.0 if binding.all_photo[v]
            else 1 / (1 + (stretch[(binding.triangles[:n] == v).any(1)].mean() / SETTINGS.blend_at) ** 6)
            for v in np.flatnonzero(binding.silhouette == role)
        ]  # fmt: skip
        expected = np.mean(shares) ** SETTINGS.fringe_exponent if shares else 0
        assert found[side] == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert 0.05 < found.max() < 0.95
