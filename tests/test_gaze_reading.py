"""Gaze read from irises in closed form, through blinks, and its noise within fixations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from gazes import coded, degrees, directed, looks, plain_face
from synthetic_head import a_frame

from core.data.records import TrackedFrame
from core.libs.filters.fixations import steady_fixations
from core.libs.flame_model import FLAMEModel
from core.libs.flame_model import topology as topo
from core.libs.gaze_corrector import GazeCorrector
from core.libs.retargeting.gaze_reading import EyeGeometry, read_gaze, read_irises

KNOWN = [33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380, 468, 473]  # what FLAME has of the eyes


@pytest.fixture(scope="module")
def head() -> FLAMEModel:
    return FLAMEModel()


@pytest.fixture
def plain() -> TrackedFrame:
    return plain_face()


class TestReading:
    @pytest.mark.parametrize("gaze", [(0, 0), (12, 0), (-12, 0), (0, 25), (0, -25), (8, -18)])
    def test_irises_of_a_posed_head_give_its_code(self, head, plain, gaze):
        frame = coded(plain, *gaze)
        angles = read_irises(head.landmarks(head.evaluate(frame))[None], EyeGeometry.of(head, frame))[0]
        np.testing.assert_allclose(np.degrees(angles), [gaze] * 2, atol=0.15)

    def test_flames_points_are_enough(self, head, plain):
        frame = coded(plain, 6, 15)
        all_points = head.landmarks(head.evaluate(frame))
        few = np.full_like(all_points, np.nan)
        few[KNOWN] = all_points[KNOWN]
        out = GazeCorrector(1.0).correct_gaze(np.zeros(6), few)
        assert np.isfinite(out).all()
        whole = GazeCorrector(1.0).correct_gaze(np.zeros(6), all_points)
        assert degrees(looks(out), looks(whole)).max() < 1.5
        assert degrees(looks(out), directed(6, 15)).max() < 8  # by the eyes of the template

    def test_the_template_is_the_usual_geometry(self, head):
        person = replace(a_frame(np.random.default_rng(0)), shapecode=np.zeros(300, np.float32), static_offset=None)
        known, usual = EyeGeometry.of(head, person), EyeGeometry.of_template()
        np.testing.assert_allclose(known.centre, usual.centre, atol=1e-3)
        np.testing.assert_allclose(known.rest, usual.rest, atol=1e-3)

    def test_shut_eyes_say_nothing(self, head, plain):
        points = head.landmarks(head.evaluate(coded(plain, 0, 20)))
        for side in ("left", "right"):
            for upper, lower in topo.EYE_PAIRS[side]:
                points[upper] = points[lower]
        code = np.float32([0.1, 0, 0, 0.1, 0, 0])
        np.testing.assert_array_equal(GazeCorrector(1.0).correct_gaze(code, points), code)

    def test_one_shut_eye_leaves_the_other(self, head, plain):
        points = head.landmarks(head.evaluate(coded(plain, 0, 20)))
        points[468:473, 0] += 0.04  # the right iris is invented
        for upper, lower in topo.EYE_PAIRS["right"]:
            points[upper] = points[lower]
        gaze = read_gaze(points[None], geometry=EyeGeometry.of(head, plain))
        assert degrees(gaze.direction[0], directed(0, 20)) < 0.5

    def test_a_constant_between_the_eyes_is_taken_out(self, head, plain):
        clip = []
        for yaw in (-10, 0, 10):
            frame = coded(plain, 0, yaw)
            code = frame.eyecode.copy()
            code[[1, 4]] += np.radians([6, -6])
            clip.append(head.landmarks(head.evaluate(replace(frame, eyecode=code))))
        gaze = read_gaze(np.stack(clip), geometry=EyeGeometry.of(head, plain))
        np.testing.assert_allclose(np.degrees(gaze.offset), [[0, 6], [0, -6]], atol=0.2)
        assert degrees(gaze.direction, np.stack([directed(0, y) for y in (-10, 0, 10)])).max() < 0.3


class TestFixations:
    def signal(self, noise: float) -> tuple[np.ndarray, np.ndarray]:
        truth = np.repeat([[0, 0], [8, -2], [-10, 3], [2, 0]], 25, axis=0).astype(np.float64)
        return truth, truth + np.random.default_rng(0).normal(0, noise, truth.shape)

    def test_noise_is_more_than_halved_and_jumps_stay_sharp(self):
        truth, noisy = self.signal(1.0)
        out = steady_fixations(noisy, np.ones(100))
        assert np.sqrt(np.square(out - truth).mean()) < 0.45
        for jump in (25, 50, 75):  # the step between two frames is nearly all there
            step = np.linalg.norm(out[jump] - out[jump - 1])
            assert step > 0.9 * np.linalg.norm(truth[jump] - truth[jump - 1])

    def test_without_noise_nothing_changes(self):
        truth, _ = self.signal(0)
        np.testing.assert_allclose(steady_fixations(truth, np.ones(100)), truth, atol=1e-9)

    def test_a_slow_drift_has_no_lag(self):
        drift = np.linspace(0, 20, 100)[:, None] + np.random.default_rng(1).normal(0, 0.5, (100, 1))
        out = steady_fixations(drift, np.ones(100))
        assert abs((out - np.linspace(0, 20, 100)[:, None])[15:-15].mean()) < 0.1

    def test_blinks_are_bridged(self):
        truth, noisy = self.signal(0.3)
        trust = np.ones(100)
        trust[10:16] = 0
        noisy[10:16] = 40
        assert np.abs(steady_fixations(noisy, trust)[8:18] - truth[8:18]).max() < 0.6

    def test_nothing_seen_is_said(self):
        assert np.isnan(steady_fixations(np.ones((4, 2)), np.zeros(4))).all()
