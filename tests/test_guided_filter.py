"""The guided filter beside OpenCV's."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from core.libs.tracker.guided_filter import guided_filter


@pytest.mark.parametrize(("shape", "radius"), [((60, 90), 2), ((60, 90), 7), ((12, 40), 11)])
def test_it_filters_as_opencv_does(shape: tuple[int, int], radius: int):
    """A coarse edge beside that of a picture with noise; borders, and windows as large as the picture, included."""
    rng = np.random.default_rng(0)
    right = np.arange(shape[1]) > shape[1] // 2
    guide = np.where(right[:, None], [200, 150, 120], [30, 60, 90]) + rng.normal(0, 6, (*shape, 3))
    guide = guide.clip(0, 255).astype(np.uint8)
    coarse = np.broadcast_to(np.clip((np.arange(shape[1]) - shape[1] / 2) / 9 + 0.7, 0, 1), shape).astype(np.float32)
    found = guided_filter(guide, coarse.copy(), radius, 6.5)
    np.testing.assert_allclose(found, cv2.ximgproc.guidedFilter(guide, coarse, radius, 6.5), atol=1e-3)


def test_values_that_are_linear_in_the_guide_stay():
    guide = np.random.default_rng(0).integers(0, 256, (30, 40, 3)).astype(np.uint8)
    values = (guide @ np.array([0.001, 0.002, -0.001]) + 0.2).astype(np.float32)
    np.testing.assert_allclose(guided_filter(guide, values, 3, 1e-6), values, atol=1e-5)
