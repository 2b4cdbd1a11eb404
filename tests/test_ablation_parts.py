"""Parts of the ablation: points of a tracked driver, and what its sheets enlarge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_ablation import FPS, a_track, mean_face

from core.evaluation import metrics, sheets
from core.evaluation.track_truth import TrackTruth
from core.libs.flame_model import OpenHead
from core.libs.geometry import head_rotation


def test_points_of_a_track_turn_as_it_does():
    still = a_track([i / FPS for i in range(5)])
    turns = np.radians([[0, 0, 0], [0, 10, 0], [0, -20, 0], [8, 0, 0], [0, 0, 6]])  # roll, yaw, pitch
    poses = np.concatenate([head_rotation(turns), np.tile([[0], [0], [30.0]], (5, 1, 1))], 2).astype(np.float32)
    truth = TrackTruth(replace(still, transform_matrix=poses, status=np.int8([0, 0, 0, 0, 1])), 5, OpenHead())
    assert truth.indices.tolist() == [0, 1, 2, 3]
    angles = metrics.head_angles(truth.points)  # yaw, pitch, roll
    turned = np.abs(angles - angles[0])
    np.testing.assert_allclose(turned[1:], [[10, 0, 0], [20, 0, 0], [0, 0, 8]], atol=1.0)
    assert truth.points[..., :2].min() > 0
    assert truth.points[..., :2].max() < 512
    nose, ear = truth.points[0, 4, 2], truth.points[0, 234, 2]
    assert nose < ear  # z points away from the camera
    assert truth.image(0).shape == (512, 512, 3)


def test_the_zoom_stays_inside_and_holds_the_part():
    points = mean_face()
    points[[33, 263]] = [[5, 300, 0], [200, 310, 0]]
    x0, y0, x1, y1 = sheets.zoom_box(points, "eyes")
    assert min(x0, y0) >= 0
    assert max(x1, y1) <= 512
    assert x0 <= 5 < 200 <= x1
    assert x1 - x0 == pytest.approx(2 * (y1 - y0), abs=1)
