"""From points to codes: poses and codes that are known are found again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from synthetic_head import DISTANCE, a_clip, a_frame, degrees_between, seen_points

from core.libs.face_measures import lid_ratio
from core.libs.flame_model import FLAMEModel
from core.libs.geometry import head_rotation, to_camera, to_pixels, unproject
from core.libs.tracker.driver import sequence_from_points
from core.libs.tracker.fit import HeadFitter, turn_onto
from core.libs.tracker.pose import refine_pose
from core.libs.tracker.settings import FitSettings, PoseFitSettings


@pytest.fixture(scope="module")
def head() -> FLAMEModel:
    return FLAMEModel()


@pytest.fixture(scope="module")
def fitter(head) -> HeadFitter:
    return HeadFitter(head)


@pytest.fixture(scope="module")
def clip() -> list:
    """30 frames of one person, eyes open."""
    random = np.random.default_rng(11)
    frames = [a_frame(random, degrees=18) for _ in range(30)]
    return [replace(frame, shapecode=frames[0].shapecode) for frame in frames]


def noisy(head, frames, pixels: float, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    points = np.stack([seen_points(head, frame) for frame in frames])
    points[..., :2] += random.normal(0, pixels, points[..., :2].shape)
    points[..., 2] += random.normal(0, 2 * pixels, points[..., 2].shape)
    return points.astype(np.float32)


def fitted_pixels(head, sequence) -> np.ndarray:
    return np.stack([to_pixels(to_camera(head.evaluate(f)[:478], f.transform_matrix)) for f in sequence])


def fit(points: np.ndarray, seen: np.ndarray | None = None, fitter: HeadFitter | None = None):
    status = np.zeros(len(points), np.int8) if seen is None else np.where(seen, 0, 2).astype(np.int8)
    clip = a_clip([a_frame(np.random.default_rng(0))] * len(points))
    return sequence_from_points(points, list(clip.times), clip.fps, status, fitter=fitter)


class TestPose:
    @pytest.fixture
    def scene(self, head):
        random = np.random.default_rng(12)
        person = head.template.numpy()[:468].astype(np.float64)
        rotation = head_rotation(np.radians(random.uniform(-25, 25, (12, 3))))
        shift = np.concatenate([random.uniform(-0.2, 0.2, (12, 2)), np.full((12, 1), DISTANCE)], 1)
        camera = person @ rotation + shift[:, None]
        start = head_rotation(np.radians(random.uniform(-8, 8, (12, 3)))) @ np.diag([-1.0, 1, -1]) @ rotation
        relief = -(camera[..., 2] - shift[:, None, 2])
        return person, rotation, shift, camera, start, relief

    def test_exact_points(self, scene):
        person, rotation, shift, camera, start, relief = scene
        rays = camera[..., :2] / camera[..., 2:]
        got, place = refine_pose(start, shift + 0.1, person, rays, relief, np.ones(468), PoseFitSettings(rounds=20))
        assert degrees_between(got, rotation).max() < 1e-4
        np.testing.assert_allclose(place, shift, atol=1e-5)
        np.testing.assert_allclose(got @ np.swapaxes(got, -1, -2), np.broadcast_to(np.eye(3), got.shape), atol=1e-9)

    def test_noise_and_outliers(self, scene):
        person, rotation, shift, camera, start, relief = scene
        random = np.random.default_rng(13)
        pixels = to_pixels(camera) + random.normal(0, 0.5, camera[..., :2].shape)
        off = random.random(pixels.shape[:2]) < 0.15
        pixels[off] += random.uniform(15, 40, (off.sum(), 2))  # all to one side: worse than at random
        relief = relief + random.normal(0, 0.02, relief.shape)
        got, place = refine_pose(
            start, shift + 0.1, person, unproject(pixels), relief, np.ones(468), PoseFitSettings(rounds=20)
        )
        assert degrees_between(got, rotation).max() < 0.5
        assert np.abs(place - shift)[:, :2].max() < 0.01

    def test_points_without_weight_say_nothing(self, scene):
        person, rotation, shift, camera, start, relief = scene
        rays = camera[..., :2] / camera[..., 2:]
        weights = np.ones(468)
        weights[:100] = 0
        rays[:, :100] += 0.01
        got, _ = refine_pose(start, shift, person, rays, relief, weights, PoseFitSettings(rounds=20))
        assert degrees_between(got, rotation).max() < 1e-4


class TestCodes:
    def test_known_codes_under_noise(self, head, clip):
        points = noisy(head, clip, 0.5)
        sequence = fit(points)
        truth = np.stack([seen_points(head, frame) for frame in clip])[..., :2]
        error = np.linalg.norm(fitted_pixels(head, sequence) - truth, axis=-1)
        assert error.mean() < 0.5 * np.sqrt(np.pi / 2)  # less than the noise that went in
        assert np.sqrt((error**2).mean()) < 1
        pose = np.stack([frame.transform_matrix for frame in clip])
        turn = Rotation.from_matrix(pose[:, :, :3] @ np.swapaxes(sequence.transform_matrix[..., :3], -1, -2))
        assert np.degrees(turn.magnitude()).mean() < 1.2
        # What is common to all frames is a choice: how much of an uneven face is shape, how much is pose.
        motion = np.degrees((turn * turn.mean().inv()).magnitude())
        assert motion.mean() < 0.5
        assert motion.max() < 1

    def test_known_gaze(self, head, clip):
        eyes = np.degrees(fit(noisy(head, clip, 0.5)).eyecode)
        truth = np.degrees(np.stack([frame.eyecode for frame in clip]))
        assert np.abs(eyes - truth)[:, [0, 1, 3, 4]].mean() < 3
        for column in (0, 1, 3, 4):
            assert np.corrcoef(eyes[:, column], truth[:, column])[0, 1] > 0.93
        for column in (1, 4):  # neither damped nor exaggerated
            assert np.polyfit(truth[:, column], eyes[:, column], 1)[0] == pytest.approx(1, abs=0.12)
        assert (eyes[:, [2, 5]] == 0).all()

    def test_irises_are_drawn_where_they_were_seen(self, head, clip):
        points = noisy(head, clip, 0)
        drawn = fitted_pixels(head, fit(points))
        for iris, corners in ((468, [33, 133]), (473, [362, 263])):
            seen = points[:, iris, :2] - points[:, corners, :2].mean(1)
            shown = drawn[:, iris] - drawn[:, corners].mean(1)
            assert np.abs(seen - shown).mean() < 0.3
            assert (seen - shown).std(0).max() < 0.1
            assert np.polyfit(seen[:, 0], shown[:, 0], 1)[0] == pytest.approx(1, abs=0.05)

    def test_jaw_follows_the_mouth(self, head, clip):
        jaw = fit(noisy(head, clip, 0.5)).posecode[:, 3]
        assert np.corrcoef(jaw, [frame.posecode[3] for frame in clip])[0, 1] > 0.9

    def test_a_picture_and_a_clip_agree(self, head, fitter, clip):
        points = noisy(head, clip, 0.5)
        one, all_ = fitter.fit(points[3:4]), fitter.fit(points)
        assert degrees_between(one.transform[0, :, :3], all_.transform[3, :, :3]) < 2
        alone = replace(clip[3], **{n: getattr(one, n)[0] for n in ("expcode", "posecode", "eyecode")})
        alone = replace(
            alone, shapecode=one.shapecode, transform_matrix=one.transform[0], static_offset=one.static_offset
        )
        error = fitted_pixels(head, [alone])[0] - points[3, :, :2]
        # A picture's static offset is its own: the face comes out where it was seen.
        assert np.sqrt((error[:468] ** 2).sum(-1).mean()) < 0.3

    def test_known_poses_are_kept(self, head, fitter, clip):
        pose = np.stack([frame.transform_matrix for frame in clip])
        fitted = fitter.fit(noisy(head, clip, 0.5), pose)
        np.testing.assert_array_equal(fitted.transform, pose)

    def test_lifted_points_project_where_they_are_seen(self, head, fitter, clip):
        points = seen_points(head, clip[2])
        lifted = fitter.lifted(points, clip[2].transform_matrix)
        np.testing.assert_allclose(to_pixels(to_camera(lifted, clip[2].transform_matrix)), points[:, :2], atol=1e-3)


class TestLength:
    def test_a_long_clip_is_fitted_like_its_parts(self, head, clip):
        points = noisy(head, clip, 0.5)
        whole = fit(points)
        parts = fit(points, fitter=HeadFitter(head, settings=FitSettings(chunk=7)))
        for name in ("shapecode", "expcode", "posecode", "eyecode", "transform_matrix", "static_offset"):
            np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), atol=1e-5, err_msg=name)

    def test_a_person_is_known_from_some_frames(self, head, clip):
        points = noisy(head, clip * 3, 0.5)
        whole = fit(points)
        some = fit(points, fitter=HeadFitter(head, settings=FitSettings(person_frames=30)))
        assert degrees_between(some.transform_matrix[..., :3], whole.transform_matrix[..., :3]).max() < 0.5
        difference = fitted_pixels(head, some) - fitted_pixels(head, whole)
        assert np.abs(difference).max() < 1

    def test_a_person_is_known_from_seen_frames(self, head, clip):
        points = noisy(head, clip, 0.5)
        seen = np.arange(len(clip)) % 3 > 0
        expected = fit(points[seen]).shapecode
        points[~seen] += 30 * np.random.default_rng(1).normal(size=points[~seen].shape).astype(np.float32)
        np.testing.assert_allclose(fit(points, seen).shapecode, expected, atol=1e-5)


class TestLids:
    def test_a_blink_does_not_move_the_gaze(self, head, clip):
        open_ = [replace(clip[0], eyecode=clip[0].eyecode * 0) for _ in range(11)]
        points = noisy(head, open_, 0)
        upper, lower = [159, 158, 160, 386, 385, 387], [145, 153, 144, 374, 380, 373]
        points[5, upper] = points[5, lower]  # shut
        points[5, 468:, 1] += 6  # and the tracker takes the irises along
        eyes = np.degrees(fit(points).eyecode)
        assert np.abs(eyes[5] - eyes[4]).max() < 1.5
        points[5] = points[4]
        points[5, 468:, 1] += 6  # the same with open eyes is a glance down
        assert np.degrees(fit(points).eyecode)[5, 0] > eyes[4, 0] + 8

    def test_opening(self, head):
        points = head.template.numpy()[:478].copy()
        left, right = lid_ratio(points)
        assert left == pytest.approx(right, rel=1e-4)
        points[[386, 385, 387]] = points[[374, 380, 373]]
        left, now = lid_ratio(points)
        assert left == 0
        assert now == right


def test_an_eye_is_turned_onto_its_goal():
    random = np.random.default_rng(2)
    start, goal = (random.normal(0, spread, (40, 3)) + [0, 0, 1] for spread in (0.1, 0.25))
    turn = turn_onto(start, goal)
    turned = Rotation.from_rotvec(np.concatenate([turn, np.zeros((40, 1))], 1)).apply(start)
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (turned, goal)]
    np.testing.assert_allclose(*unit, atol=1e-6)
