"""Inpainted Gaussians: no gaps between them, and how they give way to the photo's."""

from __future__ import annotations

import numpy as np
import pytest

from core.libs.geometry import Camera
from core.models.LiftedAvatar.binding import Role, barycentric_jacobian, update_gaussians
from core.models.LiftedAvatar.inpaint.gaussians import triangle_samples, without_gaps
from core.models.LiftedAvatar.settings import LiftedSettings

SPACING = LiftedSettings().inpaint.spacing


@pytest.mark.parametrize(
    "flat",
    [
        [[0, 0], [30, 0], [9, 26]],
        [[0, 0], [40, 0], [20, 0.4]],
        [[0, 0], [0.5, 0], [12, 25]],
        [[0, 0], [0.3, 0], [0.1, 0.2]],
    ],
    ids=["large", "sliver", "steep sliver", "tiny"],
)
def test_samples_leave_no_gap(flat):
    flat = np.array(flat, float)
    owner, weights = triangle_samples(np.stack([flat, 2 * flat]), SPACING)
    assert np.array_equal(triangle_samples(2 * flat[None], SPACING)[1], weights[owner == 1])  # of each by itself
    weights = weights[owner == 0]
    assert weights.min() >= 0
    assert np.allclose(weights.sum(1), 1)
    mix = np.random.default_rng(0).dirichlet(np.ones(3), 4000) @ flat
    gaps = np.linalg.norm(mix[:, None] - (weights @ flat)[None], axis=-1).min(1)
    assert gaps.max() < 1.3 * SPACING
    (ax, ay), (bx, by) = flat[1] - flat[0], flat[2] - flat[0]
    longest = np.linalg.norm(np.roll(flat, -1, 0) - flat, axis=1).max()
    assert len(weights) <= 1.1 * abs(ax * by - ay * bx) / 2 / SPACING**2 + 1.5 * longest / SPACING + 1


@pytest.mark.parametrize(("width", "closed"), [(6, True), (40, False)])
def test_a_narrow_gap_beneath_the_cheek_is_closed(width, closed):
    """Hair in the photo, the face beside it, and under that hair again, behind a gap."""
    around, matte = np.zeros((80, 80), bool), np.ones((80, 80), np.float32)
    around[:, 60:] = True
    rows, columns = np.mgrid[10:70, 10:60]
    places = np.stack([columns, rows], -1).reshape(-1, 2) + 0.2
    there = (places[:, 0] > 60) | (places[:, 0] < 60 - width)
    found = without_gaps(there.astype(float), places, matte, around, 13)
    assert (found[there] == 1).all()
    assert (found[~there & (places[:, 0] < 53)] == closed).all()
    alone = without_gaps(there.astype(float), places, np.zeros_like(matte), around, 13)
    np.testing.assert_array_equal(alone, there)  # nothing beside it: an outline


def test_photo_and_inpainting_change_places_without_a_step():
    """Two triangles that share an edge, one of them stretched: beside the edge the weights are the same."""
    pixels = np.array([[0, 0], [20, 0], [0, 20], [20, 20]], float)
    triangles = np.array([[0, 1, 2], [3, 2, 1], [0, 1, 2], [3, 2, 1]], np.int32)
    jacobian = barycentric_jacobian(pixels, triangles)
    face = np.array([0, 1, 2, 3, 0, 1], np.int32)
    edge = [1e-4, 0.5, 0.5 - 1e-4]
    weights = np.array([edge, edge, edge, edge, [1, 0, 0], [1, 0, 0]], np.float32)
    weights[1, 1:], weights[3, 1:] = weights[1, :0:-1].copy(), weights[3, :0:-1].copy()
    fades, paints, ones = Role.FADING, Role.INPAINTED, np.ones(6, np.float32)
    role = np.array([fades, fades, paints, paints, fades, fades], np.int8)
    least, depth = 0.1, 12.0

    def opacities(stretch: float, all_photo: tuple[int, ...] = ()) -> np.ndarray:
        points = np.concatenate([pixels, np.full((4, 1), depth)], 1)
        points[3, :2] = points[1:3, :2].mean(0) + stretch * (points[3, :2] - points[1:3, :2].mean(0))
        points[:, :2] *= depth / Camera().pixels_per_unit
        out = np.empty((6, 3), np.float32), np.empty((6, 6), np.float32), np.empty(6, np.float32)
        mesh = points.astype(np.float32), triangles, 2, jacobian, 0.55, Camera().pixels_per_unit
        shares = np.zeros(2, np.float32), np.isin(np.arange(4), all_photo)
        update_gaussians(*mesh, face, weights, role, ones, ones, *shares, least, np.zeros(4, bool), *out)
        return out[2]

    now = opacities(4.0)
    assert abs(now[0] - now[1]) < 0.1  # the stretched one's own smear is all that may differ
    assert abs(now[2] - now[3]) < 1e-3
    assert now[4] > 0.95
    assert now[5] < 0.6
    at_rest = opacities(1.0)
    assert at_rest[[0, 1, 4, 5]] == pytest.approx(1, abs=0.01)
    assert at_rest[2:4] == pytest.approx(least, abs=0.01)
    for value in np.linspace(1, 9, 33):
        here = opacities(value)
        # Away from a smear the two always sum to what covers the picture.
        assert here[0] + here[2] > 1 - 1e-3
        assert here[2] == pytest.approx(least + (1 - least) * (1 - here[0] * (1 + (1 / 6.0) ** 6)), abs=1e-3)
    assert opacities(4.0, all_photo=(3,))[5] > 0.5
