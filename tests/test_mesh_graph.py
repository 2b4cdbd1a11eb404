"""What goes into MediaPipe's graph and what comes out: points as it serialises them, squares cut from pictures."""

from __future__ import annotations

import numpy as np
import pytest

from core.libs.tracker.mesh_graph import SquareCutter, cut_square, landmark_points


@pytest.mark.parametrize("more", [{}, {"visibility": 0.5}, {"presence": 0.25, "visibility": 1.0}])
def test_points_are_those_that_protobuf_reads(more):
    pb2 = pytest.importorskip("mediapipe.framework.formats.landmark_pb2")
    values = np.random.default_rng(0).normal(0, 1, (478, 3)).astype(np.float32)
    values[0] = 0
    faces = pb2.NormalizedLandmarkList()
    for x, y, z in values.tolist():
        faces.landmark.add(x=x, y=y, z=z, **more)
    np.testing.assert_array_equal(landmark_points(faces.SerializeToString()), values.astype(np.float64))
    assert landmark_points(b"").shape == (0, 3)


def test_a_square_is_the_part_of_a_larger_black_picture():
    """Inside, over each border and beyond, one after the other in the same memory."""
    random = np.random.default_rng(1)
    cutter = SquareCutter()
    for square in ((5, 3, 20), (5, 3, 20), (-8, -4, 30), (-8, -4, 30), (40, 20, 25), (90, 90, 16), (5, 3, 20)):
        image = random.integers(0, 256, (40, 50, 3), np.uint8)
        wide = np.pad(image, ((100, 100), (100, 100), (0, 0)))
        x, y, side = square
        expected = wide[100 + y : 100 + y + side, 100 + x : 100 + x + side]
        np.testing.assert_array_equal(cut_square(image, square), expected)
        np.testing.assert_array_equal(cutter.cut(image, square), expected)
