"""The buffer of points on disk, held to the array that it stands for."""

from __future__ import annotations

import numpy as np
import pytest

from core.libs.tracker.point_buffer import PointBuffer


def test_it_is_an_array():
    random = np.random.default_rng(0)
    values = random.normal(size=(20, 478, 3)).astype(np.float32)
    with PointBuffer() as buffer:
        for frame in values[:15]:
            buffer.append(frame)
        for _ in range(5):
            buffer.append(None)
        assert len(buffer) == 20
        assert not buffer[15:].any()
        buffer[15:20] = values[15:]
        buffer[3] = values[3] = values[4]
        for index in (0, -1, 7, slice(None), slice(3, 9), slice(18, 99), slice(5, 5), np.array([1, 19, 4])):
            np.testing.assert_array_equal(buffer[index], values[index])
        taken = buffer[2]
        taken[:] = 0  # a copy: writing to it changes nothing
        np.testing.assert_array_equal(buffer[2], values[2])
        for wrong in (20, -21):
            with pytest.raises(IndexError):
                buffer[wrong]
        with pytest.raises(ValueError, match="step"):
            buffer[::2]
