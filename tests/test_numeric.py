"""Blocks of frames: every frame in one of them, in order. Runs. A spline against scipy's."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from core.libs.numeric import LastRows, blocks, cubic_spline, over_channels, percentile, runs


@pytest.mark.parametrize("length", [1, 255, 256, 257, 1000])
def test_blocks_cover_everything_once(length):
    covered = [i for part in blocks(length, 256) for i in range(part.start, part.stop)]
    assert covered == list(range(length))
    assert all(0 < part.stop - part.start <= 256 for part in blocks(length, 256))


def test_of_no_frames_there_is_one_empty_block():
    assert list(blocks(0, 256)) == [slice(0, 0)]


@pytest.mark.parametrize("count", [2, 3, 4, 5, 9])
def test_a_cubic_spline_is_scipy_s(count):
    knots = np.cumsum(np.random.default_rng(count).uniform(0.1, 1, count))
    values = np.random.default_rng(0).normal(size=(count, 2))
    at, twin = np.linspace(knots[0], knots[-1], 57), CubicSpline(knots, values)
    curve, slope = cubic_spline(knots, values, at)
    assert curve == pytest.approx(twin(at), abs=1e-11)
    assert slope == pytest.approx(twin(at, 1), abs=1e-11)


@pytest.mark.parametrize("shape", [(1,), (7,), (250, 2), (101, 3)])
@pytest.mark.parametrize("percent", [0.0, 2.0, 33.0, 80.0, 90.0, 100.0])
def test_a_percentile_is_numpy_s_to_the_bit(shape, percent):
    values = np.random.default_rng(1).normal(size=shape)
    np.testing.assert_array_equal(percentile(values, percent), np.percentile(values, percent, axis=0))
    values[0] = np.nan
    np.testing.assert_array_equal(percentile(values, percent), np.percentile(values, percent, axis=0))


@pytest.mark.parametrize("shape", [(), (3,)])
def test_the_last_rows_are_those_of_a_deque(shape):
    random, kept = np.random.default_rng(0), deque(maxlen=5)
    rows = LastRows(5, shape)
    assert rows.values.shape == (0, *shape)
    for _ in range(23):
        row = random.normal(size=shape)
        rows.append(row)
        kept.append(row)
        np.testing.assert_array_equal(rows.values, np.stack(kept))


@pytest.mark.parametrize("combine", [np.add, np.maximum])
def test_channels_are_combined_to_the_bit(combine):
    picture = np.random.default_rng(0).normal(0, 1, (50, 70, 3)).astype(np.float32)
    np.testing.assert_array_equal(over_channels(combine, picture), combine.reduce(picture, -1))


def test_runs_are_where_true_values_hang_together():
    mask = np.array([1, 1, 0, 1, 0, 0, 1, 1, 1])
    assert runs(mask).tolist() == runs(mask > 0).tolist() == [[0, 2], [3, 4], [6, 9]]
    assert runs(np.zeros(4, bool)).shape == (0, 2)
