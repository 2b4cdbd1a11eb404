"""The Kalman filters against their closed forms, and long clips in windows."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from core.libs.filters.kalman import smooth
from core.libs.filters.kalman_kernels import innovations, rts_smoother
from core.libs.filters.noise import noise_floor, noise_share
from core.libs.filters.outliers import find_cuts, find_outliers
from core.libs.filters.windows import WindowSettings

WINDOW, OVERLAP = WindowSettings().length, WindowSettings().overlap


class TestFilter:
    def test_the_smoother_is_the_conditional_mean_of_the_process(self):
        random = np.random.default_rng(3)
        frames, ratio = 30, 0.3
        z, valid, scale = random.normal(0, 2, frames), random.random(frames) > 0.2, random.uniform(0.3, 4, frames)
        valid[0] = True
        step, push = np.array([[1.0, 1], [0, 1]]), np.array([[1 / 3, 1 / 2], [1 / 2, 1]])
        covariance = np.zeros((2 * frames, 2 * frames))
        covariance[:2, :2] = np.diag([1e5, 1e3 + 10 * ratio])
        for t in range(1, frames):
            now, before = slice(2 * t, 2 * t + 2), slice(2 * t - 2, 2 * t)
            covariance[now, : 2 * t] = step @ covariance[before, : 2 * t]
            covariance[: 2 * t, now] = covariance[now, : 2 * t].T
            covariance[now, now] = step @ covariance[before, before] @ step.T + ratio * scale[t] * push
        place = covariance[::2, ::2]
        gain = np.linalg.solve(place[np.ix_(valid, valid)] + np.eye(valid.sum()), place[valid]).T
        expected = z[0] + gain @ (z[valid] - z[0])
        found, _ = rts_smoother(z[:, None], valid[:, None], scale[:, None], np.array([ratio]))
        np.testing.assert_allclose(found[:, 0], expected, atol=1e-5)

    def test_the_energy_of_the_process_is_two_a_step_where_the_model_is_true(self):
        random = np.random.default_rng(4)
        push = np.linalg.cholesky([[1 / 3, 1 / 2], [1 / 2, 1]])
        state, values = np.zeros((200, 2)), []
        for _ in range(300):
            state = state @ [[1, 0], [1, 1]] + np.sqrt(0.5) * random.normal(size=(200, 2)) @ push.T
            values.append(state[:, 0] + random.normal(size=200))
        z = np.stack(values)
        _, energy = rts_smoother(z, np.ones(z.shape, bool), np.ones_like(z), np.full(200, 0.5))
        assert energy[1:].mean() == pytest.approx(2, abs=0.03)

    def test_the_likelihood_is_greatest_at_the_true_ratio(self):
        random = np.random.default_rng(5)
        push = np.linalg.cholesky([[1 / 3, 1 / 2], [1 / 2, 1]])
        state, values = np.zeros((50, 2)), []
        for _ in range(400):
            state = state @ [[1, 0], [1, 1]] + 0.1 * random.normal(size=(50, 2)) @ push.T
            values.append(state[:, 0] + random.normal(size=50))
        z = np.stack(values)
        ratios = np.array([1e-4, 1e-3, 1e-2, 1e-1, 1.0])
        logs, squares, _ = innovations(z, np.ones(z.shape, bool), np.ones_like(z), np.tile(ratios, (50, 1)))
        assert (logs + squares).sum(0).argmin() == 2

    def test_noise_is_measured_between_the_bursts(self):
        random = np.random.default_rng(6)
        z = random.normal(0, [0.1] * 10 + [0.4] * 10, (300, 20))
        for t in range(20, 290, 30):
            z[t : t + 20] += random.normal(0, 3, (20, 1)) * random.normal(0, 1, 20)
        found = np.sqrt(noise_floor(z, np.ones(z.shape, bool)))
        assert np.log(found / ([0.1] * 10 + [0.4] * 10)).std() < 0.3
        assert np.median(found[:10]) == pytest.approx(0.1, rel=0.15)
        assert np.median(found[10:]) == pytest.approx(0.4, rel=0.15)

    def test_frames_that_were_filled_in_do_not_pass_for_a_perfect_tracker(self):
        random = np.random.default_rng(7)
        z = random.normal(0, 0.1, (200, 10))
        z[50:120] = np.linspace(z[50], z[120], 70)
        assert np.median(np.sqrt(noise_floor(z, np.ones(z.shape, bool)))) == pytest.approx(0.1, rel=0.2)


class TestLongClips:
    """More frames than are looked at together."""

    FRAMES = 2 * WINDOW + 300

    def waves(self) -> tuple[np.ndarray, np.ndarray]:
        """Columns of slow motion, without and with noise of a tenth of it."""
        random = np.random.default_rng(8)
        time = np.arange(self.FRAMES)[:, None] / 25
        clean = np.sqrt(2) * np.sin(2 * np.pi * random.uniform(0.1, 1, 6) * time + random.uniform(0, 6, 6))
        return clean, clean + random.normal(0, 0.1, clean.shape)

    def seams(self) -> np.ndarray:
        step = WINDOW - OVERLAP
        return np.concatenate([np.arange(s, s + OVERLAP) for s in range(step, self.FRAMES - OVERLAP, step)])

    def test_they_are_as_good_where_two_windows_meet(self):
        clean, noisy = self.waves()
        error = smooth(noisy, np.ones(noisy.shape, bool)) - clean
        seams = self.seams()
        assert len(seams) == 2 * OVERLAP
        usual = np.delete(error, seams, 0).std()
        assert usual < 0.05
        assert error[seams].std() < 1.1 * usual
        steps = np.abs(np.diff(error, axis=0))
        assert steps[seams - 1].max() < 1.1 * np.delete(steps, seams - 1, 0).max()

    def test_a_cut_and_an_outlier_are_found_in_every_window(self):
        _, noisy = self.waves()
        places = np.array([700, WINDOW - 100, WINDOW + 900, 2 * WINDOW + 100])
        apart = noisy.copy()
        apart[places] += 20
        found = find_outliers(apart, np.ones(noisy.shape, bool))
        np.testing.assert_array_equal(np.flatnonzero(found), places)
        jumped = noisy + 5 * np.searchsorted(places, np.arange(self.FRAMES), side="right")[:, None]
        np.testing.assert_array_equal(np.flatnonzero(find_cuts(jumped)), places)

    def test_memory_beside_the_result_does_not_grow(self):
        def beside(frames: int) -> int:
            series = np.random.default_rng(9).normal(0, 1, (frames, 4)).cumsum(0)
            valid = np.ones(series.shape, bool)
            tracemalloc.start()
            smooth(series, valid)
            find_outliers(series, valid)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            return peak - series.nbytes - 3 * frames  # the result, and a byte or two a frame for flags

        beside(1000)  # compiles
        assert beside(4 * WINDOW) < 1.1 * beside(WINDOW)


class TestNoiseShare:
    """Of what fills a noise floor, the part that behaves as noise."""

    def test_white_noise_is_all_noise_whatever_moves_below_it(self):
        random = np.random.default_rng(3)
        noise = random.normal(0, 0.1, (300, 12))
        for motion in (0.0, 0.3 * np.arange(300)[:, None], np.sin(np.arange(300) / 12)[:, None]):
            z, seen = noise + motion, np.ones(noise.shape, bool)
            assert noise_share(z, seen, noise_floor(z, seen)) > 0.6

    def test_a_clip_that_shows_frames_twice_is_hardly_noise(self):
        random = np.random.default_rng(4)
        path = np.stack([np.sin(np.arange(150) / random.uniform(2, 5) + random.uniform(0, 6)) for _ in range(12)], 1)
        z, seen = np.repeat(path, 2, axis=0), np.ones((300, 12), bool)
        assert noise_share(z, seen, noise_floor(z, seen)) < 0.35

    def test_little_says_nothing(self):
        z = np.random.default_rng(5).normal(size=(6, 3))
        seen = np.ones(z.shape, bool)
        assert noise_share(z, seen, noise_floor(z, seen)) == 1
