"""Gaze of whole clips: the source looks where the driver looks, absolute eyes lose their noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gazes import coded, plain_face
from synthetic_head import a_clip, a_frame

from core.data.records import TrackedFrame
from core.errors import UserError
from core.libs.flame_model import FLAMEModel, OpenHead
from core.libs.gaze_corrector import GazeCorrector
from core.libs.geometry import head_rotation
from core.libs.retargeting.gaze import counted_eyes, outward_raised, steady_gaze, transfer_gaze, visible_gain
from core.libs.retargeting.gaze_kernels import nearest_look
from core.libs.retargeting.gaze_reading import EyeGeometry, iris_reach, read_gaze, read_irises
from core.libs.retargeting.gaze_rest import GazeRestSettings, camera_look, on_camera, same_face
from core.libs.retargeting.live_gaze import LiveGaze
from core.libs.retargeting.neutral import Reference, weighted_median
from core.libs.retargeting.stage import Retargeting
from core.libs.tracker.fit import HeadFitter
from core.libs.tracker.refit import tracked_points


@pytest.fixture(scope="module")
def head() -> FLAMEModel:
    return FLAMEModel()


@pytest.fixture
def plain() -> TrackedFrame:
    return plain_face()


class TestCounted:
    """Plain gaze: the photo's codes plus the driver's turns."""

    def turned(self, plain, yaws):
        """A clip of left and right yaws in degrees, counted from its first frame."""
        codes = np.zeros((len(yaws), 6), np.float32)
        codes[:, [1, 4]] = np.radians(yaws)
        return a_clip([replace(plain, eyecode=code) for code in codes])

    def counted(self, source, driver, gain):
        return np.degrees(counted_eyes(source, driver, Reference(driver[0]), (1.0, gain)))

    def test_turns_are_divided_by_what_a_tracker_shows_of_them(self, plain):
        driver = self.turned(plain, [[1, -1], [8, 6], [-6, -8]])
        out = self.counted(replace(plain, eyecode=np.radians([2, 3, 0, 1, 5, 0], dtype=np.float32)), driver, 0.5)
        np.testing.assert_allclose(out[:, [1, 4]], [[3, 5], [17, 19], [-11, -9]], atol=1e-4)
        np.testing.assert_allclose(out[:, [0, 3]], [[2, 1]] * 3, atol=1e-4)  # pitch is not turned at all

    def test_no_code_goes_beyond_the_limit(self, plain):
        out = self.counted(plain, self.turned(plain, [[0, 0], [40, 40], [-50, -50]]), 0.5)
        np.testing.assert_allclose(out[:, [1, 4]], [[0, 0], [45, 45], [-45, -45]], atol=1e-4)

    def test_the_outward_eye_follows_the_inward_one(self):
        yaws = np.radians([[18, 45], [-45, -18], [45, 18], [0, -10], [10, -10]])  # positive to the person's left
        turns = np.zeros((5, 6))
        turns[:, [1, 4]] = yaws
        out = np.degrees(outward_raised(turns, np.radians(4.0)))[:, [1, 4]]
        np.testing.assert_allclose(out, [[41, 45], [-45, -41], [45, 18], [0, -10], [10, -10]], atol=1e-9)

    def test_only_relative_motion_of_the_built_in_head_has_that_gain(self, head, plain):
        driver = self.turned(plain, [[0, 0], [0, 0], [7, 7]])
        shown = {mode: Retargeting(mode).run(plain, driver, head).eyecode[2, 1] for mode in ("relative", "absolute")}
        assert shown["absolute"] == pytest.approx(np.radians(7), abs=1e-5)
        assert shown["relative"] == pytest.approx(np.radians(7) / head.iris_gain.counted[1], abs=1e-5)

    def test_irises_go_as_far_between_the_corners_as_the_drivers(self, head, plain):
        other = replace(plain, shapecode=a_frame(np.random.default_rng(5)).shapecode)
        assert iris_reach(head, other) != pytest.approx(iris_reach(head, plain), rel=0.01)
        gain = visible_gain(other, plain, head)[1] / head.iris_gain.counted[1]
        places = []
        for face, degrees in ((plain, 10.0), (other, 10.0 / gain)):
            eyes = [head.landmarks(head.evaluate(coded(face, 0, yaw))) for yaw in (0, degrees)]
            width = np.linalg.norm(eyes[0][33] - eyes[0][133])
            places.append((eyes[1][468] - eyes[0][468])[0] / width)
        assert places[1] == pytest.approx(places[0], rel=0.08)


class TestTransfer:
    @pytest.fixture
    def clip(self, head, plain):
        yaws = np.repeat([0, 8, -6, 3], 15)
        frames = [replace(coded(plain, 0, y), transform_matrix=plain.transform_matrix) for y in yaws]
        return a_clip(frames), yaws

    def gaze_of(self, head, sequence, person) -> np.ndarray:
        points = np.stack([head.landmarks(head.evaluate(f)) for f in sequence])
        return np.degrees(read_irises(points, EyeGeometry.of(head, person)).mean(1))

    def test_the_source_looks_where_the_driver_looks(self, head, clip):
        driver, yaws = clip
        source = coded(a_frame(np.random.default_rng(9)), 0, -30)  # looks elsewhere, with an expression of its own
        motion = Retargeting().run(source, driver, head)
        out = transfer_gaze(source, driver, motion, head, GazeCorrector(1.0), iris_gain=(1, 1))
        error = np.abs(self.gaze_of(head, out, source) - np.stack([0 * yaws, yaws], 1)).max()
        before = np.abs(self.gaze_of(head, motion, source) - np.stack([0 * yaws, yaws], 1)).max()
        assert error < 0.7
        assert before > 2

    @pytest.mark.parametrize(("photo", "rest"), [(6, 6), (-6, -6), (40, 0)])
    def test_a_driver_who_looks_into_the_camera_does_so_where_the_photo_does(self, head, plain, photo, rest):
        ahead = np.concatenate([head_rotation(np.zeros(3)), plain.transform_matrix[:, 3:]], 1)
        plain = replace(plain, transform_matrix=ahead.astype(np.float32))
        yaws = np.repeat([0, 5, 0, -5, 0], 12)
        driver = a_clip([coded(plain, 0, y) for y in yaws])
        source = coded(plain, 0, photo)
        motion = Retargeting().run(source, driver, head)
        out = transfer_gaze(source, driver, motion, head, GazeCorrector(1.0), iris_gain=(1, 1))
        np.testing.assert_allclose(self.gaze_of(head, out, source)[:, 1], rest + yaws, atol=1.0)
        live = LiveGaze(source, head, GazeCorrector(1.0))
        live._gain = np.ones(2)
        codes = np.stack([live(frame, moved) for frame, moved in zip(driver, motion, strict=True)])
        seen = self.gaze_of(head, motion.with_parameters({"eyecode": codes}), source)[-8:, 1]
        np.testing.assert_allclose(seen, rest, atol=1.5)

    def test_who_looks_around_half_of_the_time_looks_into_the_camera_as_read_then(self):
        random = np.random.default_rng(0)
        into = np.radians([2.0, -6.0] + random.normal(0, 0.5, (60, 2)))
        around = np.radians([0.0, 35.0] + random.normal(0, 3, (70, 2)))
        look, share = camera_look(np.concatenate([into, around]), np.zeros((130, 2)))
        np.testing.assert_allclose(np.degrees(look), [2, -6], atol=0.4)
        assert share > 0.99
        assert camera_look(around, np.zeros((70, 2)))[1] == 0

    @pytest.mark.parametrize("count", [1, 2, 125])
    def test_the_middle_of_the_nearest_looks_is_found_by_weighted_medians(self, count):
        random, settings = np.random.default_rng(count), GazeRestSettings()
        beside, middle = random.normal(0, 0.1, (count, 2)), np.zeros(2)
        for _ in range(settings.steps):
            away = np.linalg.norm(beside - middle, axis=1)
            weights = np.maximum(np.exp(-0.5 * (away / settings.near) ** 2), 1 / count**2)
            middle = np.array([weighted_median(values, weights) for values in beside.T])
        np.testing.assert_allclose(nearest_look(beside, settings.near, settings.steps), weights, atol=1e-12)

    def test_a_turned_head_is_read_to_look_into_the_camera_less_far(self):
        limits = np.radians([15, 25])
        assert on_camera(np.radians([5, 14]), np.radians([12, 38]), limits) > 0.99
        assert on_camera(np.radians([5, -14]), np.radians([12, 38]), limits) == 0

    def test_only_the_eyes_change(self, head, clip):
        driver, _ = clip
        source = a_frame(np.random.default_rng(9))
        motion = Retargeting().run(source, driver, head)
        out = transfer_gaze(source, driver, motion, head, GazeCorrector())
        assert out.eyecode.dtype == motion.eyecode.dtype
        for name in ("shapecode", "expcode", "posecode", "transform_matrix"):
            np.testing.assert_array_equal(getattr(out, name), getattr(motion, name))

    def test_what_a_tracker_shows_too_little_is_made_up_for(self, head, clip, plain):
        driver, yaws = clip
        out = transfer_gaze(
            plain, driver, Retargeting().run(plain, driver, head), head, GazeCorrector(1.0), iris_gain=(1, 0.5)
        )
        # From the look that is nearest to the camera, which is the photo's
        np.testing.assert_allclose(self.gaze_of(head, out, plain)[:, 1], 2 * yaws, atol=0.8)

    def test_of_the_photos_own_clip_nothing_is_taken_for_a_look_into_the_camera(self, head, plain):
        found = HeadFitter(OpenHead()).fit(
            tracked_points(head.evaluate(plain)[None, :478], plain.transform_matrix[None])
        )
        photo = replace(plain, static_offset=found.static_offset)
        yaws = np.repeat([4, 12, 4, 12, 12], 12)
        driver = a_clip([replace(coded(photo, 0, y), transform_matrix=plain.transform_matrix) for y in yaws])
        source = replace(coded(photo, 0, 4), transform_matrix=plain.transform_matrix)
        motion = Retargeting().run(source, driver, head)
        assert same_face(source, driver, head)
        out = transfer_gaze(source, driver, motion, head, GazeCorrector(1.0), iris_gain=(1, 1))
        np.testing.assert_allclose(self.gaze_of(head, out, source)[:, 1], yaws, atol=0.8)

    def test_an_unknown_target_is_refused(self, head, clip, plain):
        with pytest.raises(UserError, match="driver, camera"):
            transfer_gaze(plain, clip[0], clip[0], head, GazeCorrector(), "moon")

    def test_absolute_eyes_that_hold_still_stay(self, head, clip, plain):
        driver, _ = clip
        apart = driver.eyecode.copy()
        apart[30:, [1, 4]] += np.radians([5, -5])  # from some frame on, as on a head that turns, the eyes differ more
        motion = driver.with_parameters({"eyecode": apart})
        out = steady_gaze(plain, motion, head, GazeCorrector(1.0), iris_gain=(1, 1))
        assert np.degrees(np.abs(out.eyecode - motion.eyecode)).max() < 0.3
        for name in ("shapecode", "expcode", "posecode", "transform_matrix"):
            np.testing.assert_array_equal(getattr(out, name), getattr(motion, name))

    def test_absolute_eyes_lose_their_noise(self, head, clip, plain):
        driver, _ = clip
        noise = np.radians(np.random.default_rng(0).normal(0, 1.5, (len(driver), 6))) * [1, 1, 0, 1, 1, 0]
        noisy = driver.with_parameters({"eyecode": (driver.eyecode + noise).astype(np.float32)})
        out = steady_gaze(plain, noisy, head, GazeCorrector(1.0), iris_gain=(1, 1))
        before, after = (np.degrees(np.abs(m.eyecode - driver.eyecode)).mean() for m in (noisy, out))
        assert after < 0.5 * before
        still = steady_gaze(plain, noisy, head, GazeCorrector(0.0))
        np.testing.assert_array_equal(still.eyecode, noisy.eyecode)

    def test_absolute_eyes_turn_on_from_where_the_photo_has_them(self, head, clip, plain):
        driver, yaws = clip
        photo = coded(plain, 0, 5)
        out = steady_gaze(photo, driver, head, GazeCorrector(1.0), iris_gain=(1, 0.5))
        np.testing.assert_allclose(self.gaze_of(head, out, photo)[:, 1], 5 + 2 * (yaws - 5), atol=0.8)

    def test_noise_on_a_real_clip_is_halved(self, head):
        clip = Path(__file__).parents[2] / "shared/data/drivers/obama.mp4"
        if not clip.is_file():
            pytest.skip("needs ../shared/data")
        from core.evaluation.tracking_noise import add_tracking_noise
        from core.libs.tracker.cache import TrackCache
        from core.libs.tracker.driver import track_driver

        track = track_driver(clip, cache=TrackCache())
        noisy = add_tracking_noise(track)
        raw = [self.gaze_of(head, clip, track[0]) for clip in (track, noisy)]
        steady = []
        for clip in (track, noisy):
            points = np.stack([head.landmarks(head.evaluate(f)) for f in clip])
            gaze = read_gaze(points, clip.transform_matrix, EyeGeometry.of(head, track[0]), track.fps).direction
            steady.append(np.degrees(np.stack([np.arcsin(gaze[:, 1]), np.arctan2(gaze[:, 0], gaze[:, 2])], 1)))
        before, after = (np.sqrt(np.square(b - a).mean()) for a, b in (raw, steady))
        assert after < 0.6 * before
        # and not by standing still: most of what the clip's gaze does is left
        assert np.corrcoef(steady[1][:, 1], raw[0][:, 1])[0, 1] > 0.9
