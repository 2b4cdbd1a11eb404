"""What `alpha`, `window_size` and `strength` do to the Kalman filter, in a clip and live."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import block_diag

from benchmarks.smoothing import Seen, best_lag, closings, jitter, kept, live, rms, sinusoids
from core.data.records import TrackedSequence
from core.errors import UserError
from core.libs.filters.kalman import KalmanSettings, process_scales, smooth
from core.libs.filters.kalman_kernels import rts_smoother
from core.libs.filters.live_kalman import LiveKalman
from core.libs.filters.noise import noise_floor, noise_share
from core.libs.flame_model import FLAMEModel
from core.libs.temporal_smoother import TemporalSmoother

DEMO = Path(__file__).parents[1] / "demos" / "drivers" / "obama"
ALPHAS = (0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
WINDOWS = (30, 20, 10, 5, 3, 1)
EXTREMES = [
    {"alpha": alpha, "window_size": window, "strength": strength}
    for alpha in (1e-6, 1.0)
    for window in (1, 10**6)
    for strength in (1e-3, 10.0)
]


def sequence(values: np.ndarray, **settings: object) -> np.ndarray:
    return TemporalSmoother(**settings).smooth_sequence({"expcode": values})["expcode"]


WAYS = pytest.mark.parametrize("way", [sequence, live])


def measured_noise(z: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The most that the filter takes the noise's variance for."""
    floor = noise_floor(z, seen)
    return max(noise_share(z, seen, floor), KalmanSettings().least_share) * floor


class TestDefaults:
    """0.5 and 5 are the filter as its noise has it."""

    def test_a_clip_is_the_two_passes_under_the_noise_that_was_found_to_the_bit(self):
        _, z = sinusoids(0.1, seed=31)
        seen = np.ones(z.shape, bool)
        scale, noise = process_scales(z, seen, measured_noise(z, seen), np.zeros(len(z), bool))
        unit = np.sqrt(noise.variance)
        expected = unit * rts_smoother(z / unit, seen, scale, noise.ratio)[0]
        np.testing.assert_array_equal(smooth(z, seen), expected)
        np.testing.assert_array_equal(sequence(z), z + (expected - z))  # its path is counted from what came

    def test_live_is_the_bare_filter(self):
        _, z = sinusoids(0.1, seed=32)
        bare, seen = LiveKalman(125), np.ones(z.shape[1], bool)
        np.testing.assert_allclose(live(z), np.stack([bare.update(frame, seen) for frame in z]), atol=1e-13)

    @WAYS
    def test_they_are_what_is_left_out(self, way):
        _, z = sinusoids(0.1, seed=33)
        np.testing.assert_array_equal(way(z, alpha=0.5, window_size=5), way(z))


class TestClosedForms:
    def test_a_clip_is_the_conditional_mean_under_the_changed_noise(self):
        """Positions given measurements, of a process whose every step and measurement has its own variance."""
        z = sinusoids(0.1, seed=34)[1][:60, :3]
        seen, frames = np.ones(z.shape, bool), len(z)
        scale, noise = process_scales(z, seen, measured_noise(z, seen), np.zeros(frames, bool))
        window, weight, strength = 1.6, 0.4, 1.3
        found = smooth(z, seen, strength=strength, window=window, weight=weight)
        for d in range(z.shape[1]):
            larger = np.sqrt(np.maximum(scale[:, d], 1))  # a step's size over the usual one
            ratio = noise.ratio[d] * weight / strength**4  # in units of the measurement's variance
            push = ratio * scale[:, d] / window ** (4 / larger)
            # State t is the first one moved on and every step's noise since: all of them are one matrix.
            to_state = np.zeros((2 * frames, 2 * frames))
            for t in range(frames):
                for s in range(t + 1):
                    to_state[2 * t : 2 * t + 2, 2 * s : 2 * s + 2] = [[1, t - s], [0, 1]]
            start = np.diag([1e5, 1e3 + 10 * ratio])
            steps = [q * np.array([[1 / 3, 1 / 2], [1 / 2, 1]]) for q in push[1:]]
            covariance = (to_state @ block_diag(start, *steps) @ to_state.T)[::2, ::2]
            mean = z[0, d] + covariance @ np.linalg.solve(covariance + np.eye(frames), z[:, d] - z[0, d])
            np.testing.assert_allclose(found[:, d], mean, atol=1e-4 * 0.1)

    def test_live_the_gain_goes_with_the_odds(self):
        """For a filter at rest: the share of what is measured is p / (p + r), with r (1 - alpha) / alpha of what it was
        and (window / 5)^4 times as much."""
        random = np.random.default_rng(35)
        z = np.cumsum(np.cumsum(random.normal(0, 0.02, (200, 4)), 0), 0) + random.normal(0, 1, (200, 4))
        for alpha, window in ((0.5, 5), (0.2, 5), (0.8, 5), (0.5, 8)):
            bare = LiveKalman(125, window=window / 5, weight=alpha / (1 - alpha))
            for frame in z:
                bare.update(frame, np.ones(4, bool))
            noise, (ahead, after) = bare._noise, bare._past[-1]
            r = noise.variance * (1 - alpha) / alpha * (window / 5) ** 4
            np.testing.assert_allclose(after[0], ahead[0] + ahead[2] / (ahead[2] + r) * (z[-1] - ahead[0]), rtol=1e-9)

    @WAYS
    def test_alpha_of_one_takes_every_value_as_it_is(self, way):
        _, z = sinusoids(0.1, seed=36)
        np.testing.assert_allclose(way(z, alpha=1), z, atol=1e-3 * 0.1)

    def test_alpha_of_one_still_mends_gaps_and_outliers(self, caplog):
        clean, z = sinusoids(0.02, seed=37)
        broken = z.copy()
        broken[50], broken[100] = np.nan, 40
        with caplog.at_level(logging.INFO):
            result = sequence(broken, alpha=1)
        assert "1 of 250 frames not finite" in caplog.text
        assert "outliers replaced at frames 100" in caplog.text
        assert rms(result[[50, 100]] - clean[[50, 100]]) < 0.1
        untouched = np.setdiff1d(np.arange(len(z)), [50, 100])
        np.testing.assert_allclose(result[untouched], z[untouched], atol=1e-3 * 0.02)


class TestOrder:
    @WAYS
    @pytest.mark.parametrize("noise", [0.02, 0.2])
    def test_a_smaller_alpha_is_smoother_and_a_larger_one_follows_closer(self, way, noise):
        z = sinusoids(noise, seed=38)[1][:, :30]
        results = [way(z, alpha=alpha) for alpha in ALPHAS]
        assert np.all(np.diff([jitter(result) for result in results]) > 0)
        assert np.all(np.diff([rms(result - z) for result in results]) < 0)

    @WAYS
    @pytest.mark.parametrize("noise", [0.02, 0.2])
    def test_a_larger_window_is_smoother_and_a_smaller_one_follows_closer(self, way, noise):
        z = sinusoids(noise, seed=39)[1][:, :30]
        results = [way(z, window_size=window) for window in WINDOWS]
        assert np.all(np.diff([jitter(result) for result in results]) > 0)
        assert np.all(np.diff([rms(result - z) for result in results]) < 0)

    def test_a_longer_window_averages_the_noise_of_slow_motion_further_down(self):
        """The noise that is left goes with one over the root of the frames; what stands out a little has fewer."""
        random = np.random.default_rng(40)
        slow = np.sin(2 * np.pi * (0.1 * np.arange(400)[:, None] / 25 + random.random(40)))
        noisy = slow + random.normal(0, 0.2, slow.shape)
        left = [rms((sequence(noisy, window_size=w) - slow)[50:350]) for w in (3, 5, 10)]
        assert left[2] < 0.85 * left[1] < 0.85**2 * left[0]
        assert left[2] > left[1] / np.sqrt(2)

    @pytest.mark.parametrize("settings", [{"alpha": 0.3}, {"window_size": 10}, {"alpha": 0.3, "window_size": 10}])
    def test_a_clip_is_never_late(self, settings):
        clean, z = sinusoids(0.1, seed=41)
        assert best_lag(sequence(z, **settings), clean) == 0

    @WAYS
    def test_each_acts_whatever_the_others_are(self, way):
        z = sinusoids(0.1, seed=42)[1][:, :30]
        usual = {"alpha": 0.5, "window_size": 5, "strength": 1.0}
        more = {"alpha": 0.3, "window_size": 8, "strength": 1.25}
        for name, value in more.items():
            for base in (usual, more | {name: usual[name]}):
                assert jitter(way(z, **base | {name: value})) < jitter(way(z, **base | {name: usual[name]}))

    @WAYS
    def test_strength_of_nothing_is_nothing_at_any_setting(self, way):
        _, z = sinusoids(0.1, seed=43)
        np.testing.assert_array_equal(way(z, alpha=0.1, window_size=20, strength=0), z)


class TestExtremes:
    @WAYS
    @pytest.mark.parametrize("settings", EXTREMES)
    def test_they_are_finite_and_near_what_came(self, way, settings):
        z = sinusoids(0.2, seed=44)[1][:, :30]
        result = way(z, **settings)
        assert np.isfinite(result).all()
        # Live, the stiffest filter goes on in a straight line until it is told otherwise.
        assert np.abs(result).max() < (1.5 if way is sequence else 20) * np.abs(z).max()

    @WAYS
    @pytest.mark.parametrize("settings", EXTREMES)
    def test_what_stands_still_stays(self, way, settings):
        still = np.tile(np.linspace(-3, 3, 10), (60, 1))
        np.testing.assert_allclose(way(still, **settings), still, atol=1e-12)

    @pytest.mark.parametrize("settings", [{"alpha": 0.0}, {"alpha": 1.1}, {"alpha": np.nan}, {"window_size": 0}])
    def test_what_is_out_of_range_is_refused(self, settings):
        with pytest.raises(UserError, match=next(iter(settings))):
            TemporalSmoother(**settings)

    def test_above_thirty_frames_a_window_acts_as_thirty(self):
        _, z = sinusoids(0.1, seed=45)
        np.testing.assert_array_equal(sequence(z, window_size=31), sequence(z, window_size=30))

    def test_a_ratio_at_an_end_of_its_range_is_no_less_smooth(self):
        z = np.random.default_rng(46).normal(0, 1, (100, 2))
        seen = np.ones(z.shape, bool)
        ratios = KalmanSettings().ratios
        ends = [rts_smoother(z, seen, np.ones_like(z), np.full(2, r))[0] for r in (1e-14, ratios[0], ratios[-1], 1e9)]
        assert np.all(np.diff([jitter(end) for end in ends]) > 0)


class TestAverage:
    def test_it_has_no_window(self):
        _, z = sinusoids(0.1, seed=47)
        for way in (sequence, live):
            np.testing.assert_array_equal(
                way(z, use_kalman=False, window_size=20), way(z, use_kalman=False, window_size=5)
            )

    def test_a_fixed_lag_is_the_window_whatever_alpha_is(self):
        clean, z = sinusoids(0.1, seed=48)
        for window in (3, 8):
            for alpha in (0.3, 0.7):
                result = live(z, fixed_lag=True, window_size=window, alpha=alpha)
                frames = np.arange(-12, 13)
                inner = slice(20, len(z) - 20)
                errors = [rms(np.roll(result, -lag, 0)[inner] - clean[inner]) for lag in frames]
                assert frames[np.argmin(errors)] == window


class TestSpeech:
    """On a real clip that is in the repository."""

    @pytest.mark.parametrize(
        ("settings", "least"),
        [
            ({}, 0.95),
            ({"alpha": 0.7, "window_size": 3}, 0.98),
            ({"alpha": 0.3}, 0.93),
            ({"alpha": 0.3, "window_size": 10}, 0.85),
        ],
    )
    def test_blinks_and_closed_lips_stay_as_far_as_the_setting_lets_them(self, settings, least):
        head, track = FLAMEModel(), TrackedSequence.load(DEMO)
        truth = Seen.of(track, head)
        smoother = TemporalSmoother(fps=float(track.fps), **settings)
        result = Seen.of(track.with_parameters(smoother.smooth_sequence(track.parameters)), head)
        open_eye = 0.5 * float(np.median(truth.eyes))
        assert closings(truth.eyes, open_eye)
        assert min(kept(truth.eyes, result.eyes, open_eye)) > least
        assert min(kept(truth.lips, result.lips, 0.02)) > least
