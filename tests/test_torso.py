"""Shoulders: followed through pictures that were moved by known amounts, and moved by what was found."""

import cv2
import numpy as np
import pytest
from synthetic_head import DISTANCE

from core.data.records import IMAGE_SIZE
from core.libs.geometry import NECK, apply_torso_motion, to_camera, to_pixels
from core.libs.tracker.torso import TorsoTracker
from core.libs.tracker.torso_kernel import align

FRONT = np.concatenate([np.diag([-1.0, 1.0, -1.0]), [[0.0], [0.0], [DISTANCE]]], 1)
# Points all over the crop; what lies below the neck belongs to the shoulders.
GRID = np.stack(np.meshgrid(*[np.linspace(-40, 552, 30)] * 2), -1).reshape(-1, 2)


def clothes(seed: int = 0) -> np.ndarray:
    """Smooth cloth with folds, all over the picture."""
    rough = np.random.default_rng(seed).normal(0, 1, (IMAGE_SIZE, IMAGE_SIZE)).astype(np.float32)
    smooth = cv2.GaussianBlur(rough, (0, 0), 9)
    grey = np.clip(128 + 40 * smooth / smooth.std(), 0, 255)
    return np.repeat(grey[..., None], 3, 2).astype(np.uint8)


def moved(picture: np.ndarray, torso_motion: np.ndarray) -> np.ndarray:
    """The picture after a motion (4,), by projecting what `apply_torso_motion` makes of its corners."""
    pixels = np.float64([[0, 0], [511, 0], [0, 511]])
    rays = (1 - (2 * pixels + 1) / IMAGE_SIZE) / 12
    neck = to_camera(NECK[None], FRONT)[0]
    points = np.concatenate([rays, np.ones((3, 1))], 1) * neck[2]
    matrix = cv2.getAffineTransform(
        pixels.astype(np.float32), to_pixels(apply_torso_motion(points, neck, torso_motion)).astype(np.float32)
    )
    return cv2.warpAffine(picture, matrix, (IMAGE_SIZE, IMAGE_SIZE), borderMode=cv2.BORDER_REFLECT)


def tracker_of(picture: np.ndarray) -> TorsoTracker:
    shoulders = (GRID[:, 1] > 350).astype(np.float64)
    return TorsoTracker(picture, np.ones((IMAGE_SIZE, IMAGE_SIZE), np.float32), GRID, shoulders, FRONT)


@pytest.mark.parametrize(
    "torso_motion",
    [[0, 0, 0, 0], [0.06, 0, 0, 0], [0, -0.04, 0, 0], [0, 0, 0.03, 0], [0, 0, 0, 0.02], [-0.05, 0.03, -0.02, 0.015]],
)
def test_a_known_motion_is_found(torso_motion):
    picture, torso_motion = clothes(), np.array(torso_motion)
    tracker = tracker_of(picture)
    for part in (0.5, 1.0):  # a frame on the way, as in a video
        found = tracker.follow(moved(picture, part * torso_motion))
    np.testing.assert_allclose(found, torso_motion, atol=0.006)


def test_a_step_is_the_robust_least_squares_of_the_picture():
    """One round against the same in NumPy, its pixels interpolated by OpenCV, which rounds places to 1/32."""
    random, neck, unit = np.random.default_rng(3), np.array([60.0, 40.0]), 90.0
    grey = cv2.GaussianBlur(random.uniform(0, 255, (128, 128)).astype(np.float32), (0, 0), 4)
    at = random.uniform(-4, 131, (500, 2)).astype(np.float32)
    values, slopes = random.uniform(100, 150, 500).astype(np.float32), random.normal(0, 200, (500, 4))
    motion, prior, noise, outlier = np.array([0.02, -0.03, 0.05, 0.01]), np.array([50.0, 40, 90, 2000]), 30.0, 12.0
    turn = np.exp(motion[3]) * np.array(
        [[np.cos(motion[2]), -np.sin(motion[2])], [np.sin(motion[2]), np.cos(motion[2])]]
    )
    places = ((at - neck) @ turn.T + neck + motion[:2] * unit).astype(np.float32)
    seen = cv2.remap(grey, places[None], None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
    error = seen - values
    weight = 1 / (1 + (error / outlier) ** 2)
    normal = (slopes * weight[:, None]).T @ slopes / noise**2 + np.diag(prior)
    step = np.linalg.solve(normal, slopes.T @ (weight * error) / noise**2 + prior * motion)
    found, share = align(grey, at, values, slopes, neck, unit, motion, prior, noise, outlier, 1, 0.0)
    np.testing.assert_allclose(found, motion - step, atol=2e-4)
    assert share == pytest.approx(weight.mean(), rel=1e-3)


def test_a_first_frame_far_from_the_reference_is_found_at_once():
    """A clip begins where its first frame is: shoulders that were still on their way there would jump in the second."""
    picture, torso_motion = clothes(), np.array([-0.09, -0.01, -0.018, -0.004])
    tracker, shown = tracker_of(picture), moved(picture, torso_motion)
    first, second = tracker.follow(shown), tracker.follow(shown)
    np.testing.assert_allclose(first, torso_motion, atol=0.003)
    np.testing.assert_allclose(second, first, atol=5e-4)


def test_exposure_is_no_motion():
    picture = clothes()
    darker = (picture * 0.95).astype(np.uint8)
    assert np.abs(tracker_of(picture).follow(darker)).max() < 0.01


def test_plain_cloth_and_other_pictures_say_nothing():
    plain = np.full((IMAGE_SIZE, IMAGE_SIZE, 3), 90, np.uint8)
    assert np.isnan(tracker_of(plain).follow(plain)).all()
    assert np.isnan(tracker_of(clothes()).follow(clothes(1))).all()


def test_sway_by_nothing_is_nothing():
    points = np.random.default_rng(0).normal(0, 1, (20, 3)) + [0, 0, 9]
    np.testing.assert_allclose(apply_torso_motion(points, points[3], np.zeros(4)), points)


def test_sway_carries_the_pivot_by_its_shift_and_grows_by_its_distance():
    pivot = np.array([0.2, -0.5, 8.0])
    beside = pivot + [0.4, 0, 0]
    out = apply_torso_motion(np.stack([pivot, beside]), pivot, np.array([0.1, -0.2, 0.0, np.log(1.25)]))
    rays = out[:, :2] / out[:, 2:]
    np.testing.assert_allclose(rays[0], (pivot[:2] + [0.1, -0.2]) / pivot[2])
    np.testing.assert_allclose(out[:, 2], 8.0 / 1.25)
    assert (rays[1] - rays[0])[0] == pytest.approx(1.25 * 0.4 / 8)
