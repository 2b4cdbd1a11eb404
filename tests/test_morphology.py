"""Masks grown and shrunk, beside OpenCV's."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from core.libs.tracker.morphology import closed, dilated, disc


@pytest.mark.parametrize("radius", [0.3, 4, 23])
def test_large_discs_give_opencv_s_masks(radius: float):
    """Blobs that reach over the picture's borders, and single pixels; the disc is larger than the picture is high."""
    rng = np.random.default_rng(0)
    mask = cv2.GaussianBlur(rng.normal(0, 1, (40, 90)), (0, 0), 3) > 0.1
    mask |= rng.random(mask.shape) > 0.99
    seen = mask.astype(np.uint8)
    np.testing.assert_array_equal(dilated(mask, radius), cv2.dilate(seen, disc(radius)) > 0)
    np.testing.assert_array_equal(closed(mask, radius), cv2.morphologyEx(seen, cv2.MORPH_CLOSE, disc(radius)) > 0)


def test_nothing_stays_nothing():
    assert not dilated(np.zeros((5, 7), bool), 3).any()
