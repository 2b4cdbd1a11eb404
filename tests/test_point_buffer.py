"""The buffer of points on disk, held to the array that it stands for."""

from __future__ import annotations

import numpy as np
import pytest

from core.libs.tracker.point_buffer import FrameBuffer, PointBuffer


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


@pytest.mark.parametrize("held", [1, 3, 7, 1000])
def test_it_is_an_array_however_much_is_held(held):
    """Frames are read and written here and there, alone and together, while it grows."""
    random = np.random.default_rng(held)
    values = np.zeros((0, 2, 3), np.int16)
    with FrameBuffer((2, 3), np.int16, held=held * 12) as buffer:
        for _ in range(600):
            what, length = random.integers(5), len(values)
            frame = random.integers(-9999, 9999, (2, 3)).astype(np.int16)
            start, stop = np.sort(random.integers(0, length + 1, 2))
            if what == 0 or not length:
                unknown = random.random() < 0.2
                buffer.append(None if unknown else frame)
                values = np.concatenate([values, (frame * 0 if unknown else frame)[None]])
            elif what == 1:
                index = int(random.integers(length))
                buffer[index] = values[index] = frame
            elif what == 2:
                buffer[start:stop] = values[start:stop] = frame
            elif what == 3:
                np.testing.assert_array_equal(buffer[start:stop], values[start:stop])
            else:
                index = int(random.integers(length))
                np.testing.assert_array_equal(buffer[index], values[index])
        np.testing.assert_array_equal(buffer[:], values)
