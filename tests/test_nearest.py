"""Which known pixel is nearest, against distances to all of them."""

from __future__ import annotations

import numpy as np
import pytest

from core.libs.nearest import nearest_means, nearest_pixels, nearest_values


@pytest.fixture
def known() -> np.ndarray:
    places = np.zeros((40, 30), bool)
    places[[3, 20, 35, 21], [4, 25, 2, 24]] = True
    return places


def test_the_nearest_is_no_farther_than_any(known):
    rows, columns, distance = nearest_pixels(known)
    assert known[rows, columns].all()
    row, column = np.indices(known.shape)
    all_of_them = np.hypot(
        *(here[..., None] - there for here, there in zip((row, column), known.nonzero(), strict=True))
    )
    # OpenCV's distances are of steps, some hundredths off
    np.testing.assert_allclose(np.hypot(rows - row, columns - column), all_of_them.min(2), rtol=0.03)
    np.testing.assert_allclose(distance, all_of_them.min(2), rtol=0.03)


def test_a_known_pixel_keeps_its_value_and_gives_it(known):
    values = np.random.default_rng(0).random((*known.shape, 3))
    found = nearest_values(values, known)
    np.testing.assert_array_equal(found[known], values[known])
    np.testing.assert_array_equal(found[0, 0], values[3, 4])


def test_a_mean_is_of_what_is_known_alone(known):
    image = np.full((*known.shape, 3), 7.0, np.float32)
    image[~known] = 1e6
    np.testing.assert_allclose(nearest_means(image, known, 2.0), 7.0, rtol=1e-4)
