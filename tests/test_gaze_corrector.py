"""Gaze: directions in closed form, blinks, noise and jumps, whole clips, and eyes in pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from synthetic_head import a_clip, a_frame, seen_points

from core.errors import UserError
from core.libs.filters.fixations import steady_fixations
from core.libs.flame_model import FLAMEModel
from core.libs.flame_model import topology as topo
from core.libs.gaze_corrector import EyeEnhancer, GazeCorrector
from core.libs.retargeting.gaze import steady_gaze, transfer_gaze
from core.libs.retargeting.gaze_reading import EyeGeometry, read_gaze, read_irises
from core.libs.retargeting.stage import Retargeting

KNOWN = [33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380, 468, 473]  # what FLAME has of the eyes


def directed(pitch: float, yaw: float) -> np.ndarray:
    """A unit direction of pitch and yaw in degrees."""
    p, y = np.radians([pitch, yaw])
    return np.array([np.cos(p) * np.sin(y), np.sin(p), np.cos(p) * np.cos(y)])


def looks(code: np.ndarray) -> np.ndarray:
    """Directions (2, 3) of an eye code (6,), by scipy."""
    return Rotation.from_rotvec(np.asarray(code, np.float64).reshape(2, 3)).apply([0.0, 0.0, 1.0])


def degrees(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), (a * b).sum(-1)))


@pytest.fixture(scope="module")
def head() -> FLAMEModel:
    return FLAMEModel()


@pytest.fixture
def plain():
    """A person without expression, eyes straight."""
    frame = a_frame(np.random.default_rng(2))
    return replace(frame, expcode=0 * frame.expcode, posecode=0 * frame.posecode, eyecode=0 * frame.eyecode)


def coded(frame, pitch: float, yaw: float):
    """The frame with both eyes turned, without torsion, to look at a pitch and yaw in degrees."""
    x, y, z = directed(pitch, yaw)
    turn = np.arccos(z) / max(np.hypot(x, y), 1e-9) * np.array([-y, x, 0])
    return replace(frame, eyecode=np.tile(turn, 2).astype(np.float32))


def aimed(pitch: float, yaw: float) -> np.ndarray:
    """The code of one eye without torsion that looks at a pitch and yaw in degrees."""
    x, y, z = directed(pitch, yaw)
    return np.arccos(z) / max(np.hypot(x, y), 1e-9) * np.array([-y, x, 0])


class TestCorrectGaze:
    def test_with_nothing_to_go_by_the_two_eyes_agree(self):
        apart = np.concatenate([aimed(4, 12), aimed(-2, 6)])
        left, right = looks(GazeCorrector(1.0).correct_gaze(apart))
        np.testing.assert_allclose([left, right], [directed(1, 9)] * 2, atol=1e-7)  # the left eye is at +x: they part
        near = np.concatenate([aimed(2, -6), aimed(2, 6)])
        np.testing.assert_allclose(GazeCorrector(1.0).correct_gaze(near), near, atol=1e-9)  # at something near
        left, _ = looks(GazeCorrector(0.5).correct_gaze(apart))
        np.testing.assert_allclose(left, directed(2.5, 10.5), atol=1e-7)
        code = torch.randn(4, 6)
        assert torch.equal(GazeCorrector(0.0).correct_gaze(code), code)
        assert GazeCorrector(1.0).correct_sequence(apart[None]).shape == (1, 6)

    def test_68_landmarks_point_open_eyes_ahead(self, head, plain):
        points = head.evaluate(plain)[list(topo.LANDMARKS_68)]
        code = np.concatenate([aimed(3, 12), aimed(3, 12)])
        np.testing.assert_allclose(looks(GazeCorrector(1.0).correct_gaze(code, points)), [[0, 0, 1]] * 2, atol=1e-7)
        sequence = GazeCorrector(1.0).correct_sequence(np.stack([code] * 3), np.stack([points] * 3))
        np.testing.assert_allclose(looks(sequence[2]), [[0, 0, 1]] * 2, atol=1e-7)
        shut = points.copy()
        shut[[37, 38, 43, 44]] = shut[[41, 40, 47, 46]]  # upper lids on the lower ones
        np.testing.assert_array_equal(GazeCorrector(1.0).correct_gaze(code, shut), code)

    def test_70_landmarks_say_the_same_as_478(self, head, plain):
        points = head.evaluate(replace(plain, eyecode=np.tile(aimed(4, -9), 2).astype(np.float32)))[:478]
        few = np.concatenate([points[list(topo.LANDMARKS_68)], points[[468, 473]]])
        swapped = np.concatenate([points[list(topo.LANDMARKS_68)], points[[473, 468]]])
        centres = points.copy()
        centres[[*range(469, 473), *range(474, 478)]] = np.nan  # 70 have the irises' centres only
        expected = GazeCorrector(1.0).correct_gaze(np.zeros(6), centres)
        assert np.abs(expected).max() > 0.05
        for landmarks in (few, swapped):
            np.testing.assert_array_equal(GazeCorrector(1.0).correct_gaze(np.zeros(6), landmarks), expected)

    @pytest.mark.parametrize("target", [(0, 0), (20, -10), (-15, 30), (5, 34)])
    def test_full_strength_reaches_the_target(self, target):
        code = np.radians([3.0, -12, 0, -4, 9, 0])
        out = GazeCorrector(1.0).correct_gaze(code, target_gaze=7 * directed(*target))
        np.testing.assert_allclose(looks(out), [directed(*target)] * 2, atol=1e-7)

    def test_strength_blends(self):
        code = np.tile(Rotation.from_euler("y", 10, degrees=True).as_rotvec(), 2)
        out = GazeCorrector(0.7).correct_gaze(code, target_gaze=directed(0, -10))
        np.testing.assert_allclose(looks(out), [directed(0, 0.3 * 10 - 0.7 * 10)] * 2, atol=1e-6)

    def test_strength_zero_is_the_identity(self):
        code = np.float32([0.1, 0.2, 0.3, -0.1, 0.4, 0])
        np.testing.assert_array_equal(GazeCorrector(0.0).correct_gaze(code, target_gaze=directed(9, 9)), code)

    @pytest.mark.parametrize("target", [(0, 80), (60, 0), (-40, -40), (0, 179)])
    def test_eyes_turn_no_further_than_they_can(self, target):
        out = GazeCorrector(1.0).correct_gaze(np.zeros(6), target_gaze=directed(*target))
        np.testing.assert_allclose(degrees(looks(out), np.array([0, 0, 1.0])), 35, atol=1e-3)

    def test_axis_angles_have_no_torsion(self):
        out = GazeCorrector(1.0).correct_gaze(np.zeros(6), target_gaze=directed(20, 25))
        assert abs(out[2]) < 1e-9
        assert abs(out[5]) < 1e-9

    def test_eyes_do_not_diverge_and_keep_one_pitch(self):
        apart = np.concatenate([Rotation.from_euler("yx", a, degrees=True).as_rotvec() for a in ([15, 4], [-15, -6])])
        left, right = looks(GazeCorrector(0.3).correct_gaze(apart, target_gaze=directed(0, 0)))
        assert left[0] <= right[0] + 1e-7  # the left eye is at +x
        assert left[1] == pytest.approx(right[1], abs=1e-7)

    def test_eyes_may_converge(self):
        cross = np.concatenate([Rotation.from_euler("y", a, degrees=True).as_rotvec() for a in (-5, 5)])
        left, right = looks(GazeCorrector(0.5).correct_gaze(cross, target_gaze=directed(0, 0)))
        assert degrees(left, right) == pytest.approx(5, abs=1e-3)

    @pytest.mark.parametrize("kind", [np.float32, np.float64, torch.float16, torch.float32, torch.float64])
    @pytest.mark.parametrize("shape", [(6,), (3, 6)])
    def test_type_and_shape_are_kept(self, kind, shape):
        code = np.zeros(shape, kind) if isinstance(kind, type) else torch.zeros(shape, dtype=kind)
        out = GazeCorrector().correct_gaze(code, target_gaze=directed(5, 5))
        assert type(out) is type(code)
        assert (out.dtype, tuple(out.shape)) == (code.dtype, shape)

    def test_a_target_per_frame_and_none_where_it_is_nan(self):
        code = np.full((3, 6), 0.05)
        target = np.stack([directed(0, 20), np.full(3, np.nan), directed(0, -20)])
        out = GazeCorrector(1.0).correct_gaze(code, target_gaze=target)
        np.testing.assert_array_equal(out[1], code[1])
        np.testing.assert_allclose(looks(out[0])[0], target[0], atol=1e-7)
        np.testing.assert_allclose(looks(out[2])[1], target[2], atol=1e-7)

    def test_wrong_shapes_say_what_came(self):
        with pytest.raises(ValueError, match=r"eyecode.*\(5,\)"):
            GazeCorrector().correct_gaze(np.zeros(5), target_gaze=np.ones(3))
        with pytest.raises(UserError, match="between 0 and 1"):
            GazeCorrector(1.5)


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


class TestCamera:
    def transform(self, frame) -> np.ndarray:
        return frame.transform_matrix[None].astype(np.float64)

    def viewer(self, frame) -> np.ndarray:
        rotation, shift = frame.transform_matrix[:, :3], frame.transform_matrix[:, 3]
        camera = np.linalg.solve(rotation.T.astype(np.float64), -shift.astype(np.float64))  # p @ R + t = 0
        return (camera - [0, 0.068, 0.229]) / np.linalg.norm(camera - [0, 0.068, 0.229])

    def test_a_driver_who_looks_near_looks_at_the_viewer(self):
        frame = a_frame(np.random.default_rng(4))
        toward = self.viewer(frame)
        aside = Rotation.from_euler("y", 10, degrees=True).apply(toward)
        out = GazeCorrector().camera_gaze(self.transform(frame), aside[None])
        np.testing.assert_allclose(out, toward[None], atol=1e-6)

    def test_it_lets_go_of_one_who_looks_away(self):
        frame = a_frame(np.random.default_rng(4))
        away = Rotation.from_euler("y", 30, degrees=True).apply(self.viewer(frame))
        np.testing.assert_allclose(
            GazeCorrector().camera_gaze(self.transform(frame), away[None]), away[None], atol=1e-6
        )

    def test_away_is_away_from_the_drivers_own_camera(self):
        source, driver = (a_frame(np.random.default_rng(s), degrees=25) for s in (5, 6))
        gaze = self.viewer(driver)[None]
        out = GazeCorrector().camera_gaze(self.transform(source), gaze, self.transform(driver))
        np.testing.assert_allclose(out[0], self.viewer(source), atol=1e-6)


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
        source = a_frame(np.random.default_rng(9))  # looks elsewhere, with an expression of its own
        motion = Retargeting().run(source, driver, head)
        out = transfer_gaze(source, driver, motion, head, GazeCorrector(1.0), iris_gain=(1, 1))
        error = np.abs(self.gaze_of(head, out, source) - np.stack([0 * yaws, yaws], 1)).max()
        before = np.abs(self.gaze_of(head, motion, source) - np.stack([0 * yaws, yaws], 1)).max()
        assert error < 0.7
        assert before > 2

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
        np.testing.assert_allclose(self.gaze_of(head, out, plain)[:, 1], 2 * yaws, atol=0.8)

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


class TestEnhancer:
    @pytest.fixture
    def picture(self, head, plain):
        """A photo with textured eyes (3, 512, 512), a blurred rendering of it, and its points."""
        frame = replace(plain, transform_matrix=np.float32([[-1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, 8.5]]))
        points = seen_points(head, frame)[:, :2]
        random = np.random.default_rng(0)
        import cv2

        grey = cv2.GaussianBlur(random.uniform(0, 1, (512, 512)).astype(np.float32), (0, 0), 2)
        photo = np.repeat(grey[..., None], 3, 2)
        photo = np.clip(0.5 + 2 * (photo - 0.5), 0, 1)
        blurred = cv2.GaussianBlur(photo, (0, 0), 1.2)
        return *(torch.from_numpy(p).permute(2, 0, 1)[None] for p in (photo, blurred)), points[None]

    def box(self, points: np.ndarray) -> tuple[slice, slice]:
        eye = points[0, list(topo.LEFT_EYE)]
        (x0, y0), (x1, y1) = eye.min(0).astype(int), eye.max(0).astype(int)
        return slice(y0, y1 + 1), slice(x0, x1 + 1)

    def test_off_and_strength_zero_are_the_identity(self, picture):
        _, image, points = picture
        assert GazeCorrector(enhance_eyes=False).enhance_eye_region(image, points) is image
        assert torch.equal(EyeEnhancer(contrast=0.0)(image, points), image)

    def test_shut_hidden_and_unknown_eyes_stay(self, picture):
        _, image, points = picture
        shut, unknown = points.copy(), np.full_like(points, np.nan)
        for upper, lower in (*topo.EYE_PAIRS["left"], *topo.EYE_PAIRS["right"]):
            shut[:, upper] = shut[:, lower]
        assert torch.equal(EyeEnhancer()(image, shut), image)
        assert torch.equal(EyeEnhancer()(image, unknown), image)
        assert torch.equal(EyeEnhancer()(image, points + 2000), image)

    def test_contrast_rises_in_the_eyes_and_nowhere_else(self, picture):
        _, image, points = picture
        before = image.clone()
        out = EyeEnhancer()(image, points)
        assert torch.equal(image, before)  # what was given is not written to
        rows, columns = self.box(points)
        energy = [i[0, :, rows, columns].diff(dim=-1).square().mean() for i in (image, out)]
        assert energy[1] > 1.1 * energy[0]
        changed = (out != image).any(1)[0]
        width = np.linalg.norm(points[0, 263] - points[0, 362])
        y, x = np.nonzero(changed.numpy())
        eyes = np.stack([points[0, [263, 362]].mean(0), points[0, [33, 133]].mean(0)])
        away = np.linalg.norm(np.stack([x, y], -1)[:, None] - eyes, axis=-1).min(1)
        assert away.max() < 1.05 * width

    def test_the_mask_goes_with_the_eyes(self, picture):
        _, image, points = picture
        moved = EyeEnhancer()(image.roll((30, -20), (2, 3)), points + np.array([-20, 30]))
        np.testing.assert_allclose(moved, EyeEnhancer()(image, points).roll((30, -20), (2, 3)), atol=1e-5)

    def test_the_photo_gives_back_what_the_rendering_lost(self, picture):
        photo, image, points = picture
        enhancer = EyeEnhancer(contrast=0.0, detail=1.0)
        enhancer.set_source(photo[0], points[0])
        x, y = points[0, 473].astype(int)
        iris = (0, slice(None), slice(y - 4, y + 5), slice(x - 4, x + 5))
        error = [(i - photo)[iris].square().mean() for i in (image, enhancer(image, points))]
        assert error[1] < 0.3 * error[0]

    @pytest.mark.parametrize("factor", [0.8, 1.0, 1.5])
    def test_contrast_comes_to_the_photos_from_both_sides(self, picture, factor):
        photo, _, points = picture
        photo = 0.5 + 0.3 * (photo - 0.5)  # far from black and white, where nothing is cut off
        frame = 0.5 + factor * (photo - 0.5)
        enhancer = EyeEnhancer(contrast=1.0, detail=0.0)
        enhancer.set_source(photo[0], points[0])
        before, after = (
            self.sharpness(i, points) / self.sharpness(photo, points) for i in (frame, enhancer(frame, points))
        )
        assert before == pytest.approx(factor, abs=1e-3)
        assert 0.9 < after < 1.3

    def test_what_was_sharpened_is_not_sharpened_again(self, picture):
        photo, image, points = picture
        knowing, blind = EyeEnhancer(), EyeEnhancer()
        knowing.set_source(photo[0], points[0])
        grown = []
        for enhancer in (knowing, blind):
            once = enhancer(image, points)
            grown.append(self.sharpness(enhancer(once, points), points) / self.sharpness(once, points))
        assert grown[0] - 1 < 0.6 * (grown[1] - 1)

    def sharpness(self, image: torch.Tensor, points: np.ndarray) -> float:
        """Root mean square of the gradient about the middle of the left eye."""
        rows, columns = self.box(points)
        middle = image[0, 0, rows, columns][:, 8:-8]
        return float(middle.diff(dim=-1).square().mean().sqrt())

    def test_another_photo_is_not_pasted(self, picture):
        photo, image, points = picture
        enhancer = EyeEnhancer(contrast=0.0)
        enhancer.set_source(1 - photo[0], points[0])
        assert torch.equal(enhancer(image, points), image)

    @pytest.mark.parametrize("known", [False, True])
    def test_the_compiled_way_is_the_reference(self, picture, known):
        photo, image, points = picture
        enhancer = EyeEnhancer()
        if known:
            enhancer.set_source(photo[0], points[0])
        turn = np.array([[0.98, 0.17], [-0.17, 0.98]])
        for moved in (points, points * [1, 0.9] + [4.3, 20.2], points @ turn, points - [200, 0], points * 0.3):
            expected = enhancer._with_numpy(image, moved)
            for layout in (image, image.contiguous(memory_format=torch.channels_last)):
                np.testing.assert_allclose(enhancer(layout, moved), expected, atol=2e-5)
                own = layout[0].clone().permute(1, 2, 0).numpy()
                enhancer.enhance(own, moved[0].astype(np.float64))
                np.testing.assert_array_equal(own.transpose(2, 0, 1), enhancer(layout, moved)[0])
        assert (enhancer(image, points) - image).abs().max() > 0.02  # there is something to compare
        assert (enhancer(image.double(), points) - enhancer(image, points)).abs().max() < 2e-5

    def test_flat_noise_is_not_amplified(self, picture):
        _, image, points = picture
        noisy = 0.5 + 0.004 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
        out = EyeEnhancer()(noisy, points)
        rows, columns = self.box(points)
        assert out[0, :, rows, columns].std() < 1.15 * noisy[0, :, rows, columns].std()
