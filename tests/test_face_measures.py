"""The openings of mouth and eyes on faces whose openings are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.libs.face_measures import (
    contour_ratio,
    lid_ratio,
    lid_ratio_68,
    lip_contact,
    lip_distance,
    open_lid_gap,
    open_lid_ratio,
    opening_height,
    signed_lid_ratio,
)
from core.libs.flame_model import topology as topo

WIDTH = 2.0  # of the eyes of `face`


def face(right: float, left: float, lips: float) -> np.ndarray:  # (478, 3)
    """Points whose lids and lips are so far apart along the vertical."""
    points = np.zeros((topo.N_POINTS, 3))
    for side, gap in (("right", right), ("left", left)):
        inner, outer = topo.EYE_CORNERS[side]
        points[[inner, outer], 0] = 0, WIDTH
        for upper, lower in topo.EYE_PAIRS[side]:
            points[upper, 1], points[lower, 1] = gap / 2, -gap / 2
    for upper, lower in topo.LIP_PAIRS:
        points[upper, 1], points[lower, 1] = lips / 2, -lips / 2
    return points


@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(-1, 1))
def test_they_agree_but_for_what_their_names_say(right, left, lips):
    points = face(right, left, lips)
    assert opening_height(points) == pytest.approx(lips)
    assert lip_distance(points) == lip_distance(points[:, :2]) == pytest.approx(abs(lips))
    np.testing.assert_allclose(signed_lid_ratio(points), [right / WIDTH, left / WIDTH], atol=1e-12)
    np.testing.assert_allclose(lid_ratio(points), [abs(left) / WIDTH, abs(right) / WIDTH], atol=1e-12)
    np.testing.assert_allclose(lid_ratio_68(torch.from_numpy(points)).numpy(), lid_ratio(points), atol=1e-12)
    for pairs, height in ((topo.EYE_PAIRS["right"], right), (topo.EYE_PAIRS["left"], left)):
        assert opening_height(points, pairs) == pytest.approx(height)


@given(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_the_height_of_lids_does_not_see_points_that_lie_beside_one_another(gap, beside):
    points = face(gap, gap, 0.0)
    points[[upper for upper, _ in topo.EYE_PAIRS["left"]], 0] += beside
    np.testing.assert_allclose(signed_lid_ratio(points), gap / WIDTH, atol=1e-12)


@given(st.floats(-0.5, 0.5), st.floats(0, 6.28))
def test_a_contour_is_measured_across_its_corners(gap, roll):
    """Upright or, for the left eye, whose contour runs to the left, mirrored; rolled by less than a right angle."""
    angle = np.linspace(0, np.pi, 9)
    upper = np.stack([-np.cos(angle), np.zeros(9)], 1)
    contour = np.concatenate([upper, upper[7:0:-1]])
    contour[1:8, 1], contour[9:, 1] = -gap, gap  # y is down
    for mirror in (1, -1):
        turn = (roll / 6.28 - 0.5) * 2
        c, s = np.cos(turn), np.sin(turn)
        turned = contour * [mirror, 1] @ np.array([[c, s], [-s, c]])
        assert contour_ratio(turned) == pytest.approx(gap, abs=1e-9)


def test_open_eyes_of_a_clip_do_not_see_its_blinks():
    gaps = np.full(100, 0.3)
    gaps[10:25] = 0.02
    assert open_lid_gap(gaps) == pytest.approx(0.3)
    np.testing.assert_allclose(open_lid_ratio(np.stack([gaps, 2 * gaps], 1)), [0.3, 0.6])


def test_lips_that_never_touch_are_not_taken_to():
    assert lip_contact(np.full(50, 0.2), 0.012) == 0.012
    assert lip_contact(np.full(50, -0.2), 0.012) == -0.012
    assert lip_contact(np.linspace(0.004, 0.2, 5000), 0.012) == pytest.approx(0.008, abs=1e-3)
