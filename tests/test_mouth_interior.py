"""What is read of a driver's mouth: the ring of the lips, four numbers a frame, and where they are kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.data.records import MOUTH_STEPS, MOUTH_UNKNOWN, TrackedSequence, join
from core.errors import UserError
from core.libs.flame_model import topology as topo
from core.libs.tracker.mouth_interior import (
    MouthReader,
    ReadingSettings,
    steady,
)
from core.libs.tracker.mouth_ring import RingSettings, ring_on_picture, smoothest_ring
from tests import mouth_twin
from tests.faces import TRACK

FRONT = np.concatenate([np.diag([-1.0, 1.0, -1.0]), [[0.02], [0.05], [12.0]]], 1)


def test_a_tongue_that_is_not_seen_is_not_dark():
    values = np.tile([0.3, 0.2, 0.5, 0.9], (40, 1))
    values[15:25] = [0.6, 0.4, 0.0, np.nan]  # teeth shut
    out = steady(values, 25, ReadingSettings())
    np.testing.assert_allclose(out[:, 3], 0.9)
    assert out[20, 2] < 0.05
    values[:, 3] = np.nan
    assert (steady(values, 25, ReadingSettings())[:, 3] > 0.5).all()


def read(frames: list[tuple[float, float, float]], gap: float = 40.0) -> np.ndarray | None:
    """The numbers of a clip in which each drawn mouth is seen for a while, one row per mouth."""
    hold = 12
    with MouthReader(hold * len(frames), 25) as reader:
        for i, shows in enumerate(frames):
            picture, points = mouth_twin.drawn_mouth(*shows, gap)
            for k in range(hold):
                reader.look(hold * i + k, picture, points, FRONT)
        numbers = reader.numbers()
    return None if numbers is None else MOUTH_STEPS * numbers[hold // 2 :: hold]


def test_a_drawn_mouth_is_read():
    frames = [(0.30, 0.0, 0.0), (0.30, 0.20, 0.55), (0.0, 0.0, 0.70), (0.25, 0.0, 0.45), (0.0, 0.25, 0.25)]
    found = read(frames)
    np.testing.assert_allclose(found[:, :2], np.array(frames)[:, :2], atol=0.1)
    open_below = [1, 2, 3]
    np.testing.assert_allclose(found[open_below, 2], np.array(frames)[open_below, 2], atol=0.1)
    assert (found[open_below, 3] > 0.7).all()


def test_closed_teeth_are_parted_where_they_bite():
    """At the darker line between the rows; without one all are the upper ones, as in a grin."""
    picture, points = mouth_twin.drawn_mouth(1.0, 1.0, 0.0)
    bitten = picture.copy()
    line = slice(322, 325)  # 0.6 of the way down
    bitten[line, 220:292] = (bitten[line, 220:292] * 0.6).astype(np.uint8)
    for look, expected in ((picture, (1.0, 0.0)), (bitten, (0.6, 0.4))):
        with MouthReader(9, 25) as reader:
            for i in range(9):
                reader.look(i, look, points, FRONT)
            np.testing.assert_allclose(MOUTH_STEPS * reader.numbers()[4, :2], expected, atol=0.1)


def test_shut_mouths_and_mouths_without_teeth_say_nothing():
    assert read([(0.3, 0.2, 0.5)] * 2, gap=1.0) is None
    assert read([(0.0, 0.0, 0.6)] * 2) is None


def test_the_ring_finds_the_lips():
    """Tracked two pixels too large and too small it comes nearer to where the picture has it."""
    picture, points = mouth_twin.drawn_mouth(0.3, 0.0, 0.0)
    ring = list(topo.INNER_LIPS)
    for grown in (1.10, 0.92):
        off = points.copy()
        off[ring] = [256, 320] + grown * (points[ring] - [256, 320])
        found = ring_on_picture(picture, off, RingSettings())
        middle = [3, 4, 5, 6, 7, 13, 14, 15, 16, 17]
        before = np.linalg.norm(off[ring] - points[ring], axis=1)[middle].mean()
        assert np.linalg.norm(found - points[ring], axis=1)[middle].mean() < 0.8 * before


def test_the_smoothest_ring_is_the_cheapest_of_all():
    random = np.random.default_rng(3)
    for uneven in (0.0, 0.05, 0.6):
        cost = random.uniform(0, 1, (20, 9))
        expected = mouth_twin.smoothest_ring(cost, uneven)

        def total(states: np.ndarray, cost=cost, uneven=uneven) -> float:
            return cost[np.arange(20), states].sum() + uneven * (np.diff(states, append=states[0]) ** 2).sum()

        assert total(smoothest_ring(cost, uneven)) == pytest.approx(total(expected), rel=0.02)


def test_numbers_over_time_are_steady_at_every_rate():
    for fps in (12.0, 25.0, 60.0):
        t = np.arange(0, 4, 1 / fps)
        values = np.stack([0.4 + 0.3 * (t > 2)] * 4, 1)
        values[len(t) // 4] = 1.2  # one misread frame
        values[3 * len(t) // 4 :] = np.nan
        out = steady(values, fps, ReadingSettings())
        assert np.isfinite(out).all()
        assert out.max() < 0.75
        rises = np.interp([0.45, 0.65], out[:, 0], t)
        assert np.ptp(rises) < 0.2
        assert np.mean(rises) == pytest.approx(2, abs=0.7 / fps + 0.01)


def test_the_folder_keeps_the_numbers_and_does_without(tmp_path):
    track = TrackedSequence.load(TRACK)
    numbers = np.random.default_rng(0).integers(0, 255, (len(track), 4)).astype(np.uint8)
    for name, value in (("with", numbers), ("without", None)):
        replace(track, mouth_interior=value).save(tmp_path / name)
        loaded = TrackedSequence.load(tmp_path / name)
        if value is None:
            assert loaded.mouth_interior is None
            assert loaded[3].mouth_interior is None
        else:
            np.testing.assert_array_equal(loaded.mouth_interior, numbers)
            np.testing.assert_allclose(loaded[3].mouth_interior, numbers[3] * 1.2 / 255, rtol=1e-6)


def test_shots_are_judged_each_by_its_own_light_and_time():
    """Two shots of one mouth, the second one darker, and one without teeth, of which nothing is known."""
    picture, points = mouth_twin.drawn_mouth(0.3, 0.2, 0.55)
    toothless, _ = mouth_twin.drawn_mouth(0.0, 0.0, 0.55)
    shots = np.repeat([0, 1, 2], 9)
    with MouthReader(27, 25, shots) as reader:
        for i, shot in enumerate(shots):
            look = (picture, (picture * 0.45).astype(np.uint8), toothless)[shot]
            reader.look(i, look, points, FRONT)
        numbers = reader.numbers()
    shows = MOUTH_STEPS * numbers[[0, 8, 9, 17]]
    np.testing.assert_allclose(shows[:, :3], np.tile([0.3, 0.2, 0.55], (4, 1)), atol=0.1)
    assert (numbers[18:] == MOUTH_UNKNOWN).all()


def test_frames_of_which_nothing_is_known_and_joined_drivers():
    track = TrackedSequence.load(TRACK)
    numbers = np.full((len(track), 4), 7, np.uint8)
    numbers[3] = MOUTH_UNKNOWN
    known = replace(track, mouth_interior=numbers)
    assert known[3].mouth_interior is None
    assert known[4].mouth_interior == pytest.approx(np.full(4, 7 * 1.2 / 255))
    both = join([replace(track, mouth_interior=None), known])
    assert both[2].mouth_interior is None
    np.testing.assert_array_equal(both.mouth_interior[len(track) :], numbers)
    np.testing.assert_array_equal(both.take(np.array([5, len(track) + 5])).mouth_interior[1], numbers[5])
    assert join([replace(track, mouth_interior=None)] * 2).mouth_interior is None


@pytest.mark.parametrize(
    "wrong",
    [
        lambda n: np.zeros((n - 1, 4), np.uint8),
        lambda n: np.zeros((n, 3), np.uint8),
        lambda n: np.full((n, 4), np.nan, np.float32),
        lambda n: np.zeros((n, 4), np.int16),
    ],
)
def test_wrong_numbers_are_refused(wrong, tmp_path):
    track = TrackedSequence.load(TRACK)
    with pytest.raises(UserError, match="mouth_interior"):
        replace(track, mouth_interior=wrong(len(track))).check(Path("here"))


def test_the_demo_knows_what_its_mouth_shows():
    numbers = TrackedSequence.load(TRACK).mouth_interior
    assert numbers is not None
    shows = MOUTH_STEPS * numbers.astype(np.float64)
    assert shows[:, 0].max() > 0.4
    assert shows[:, 2].max() > 0.5
    assert (shows.std(0) > 0.05).all()
