"""The metrics against closed forms, and the warp baseline against what a warp must do."""

from __future__ import annotations

import numpy as np
import pytest

from core.evaluation import metrics
from core.evaluation.warp_baseline import PiecewiseAffineWarp, warp


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Roll after yaw after pitch, degrees, in the convention of `metrics.head_angles`."""
    y, p, r = np.radians([-yaw, -pitch, roll])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


@pytest.fixture
def pictures() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    truth = random.integers(0, 256, (48, 64, 3), np.uint8)
    return np.clip(truth + random.normal(0, 20, truth.shape), 0, 255).astype(np.uint8), truth


@pytest.fixture
def face() -> np.ndarray:
    """(478, 3): the stable points of the mean face at their places, the others anywhere; eyes and lips as set below."""
    points = np.random.default_rng(1).normal(0, 1, (metrics.N_POINTS, 3))
    points[list(metrics.STABLE_POINTS)] = metrics.STABLE_TEMPLATE
    return points * 100 + [256, 256, 0]


class TestPictures:
    def test_psnr_of_a_constant_difference(self):
        truth = np.full((4, 5, 3), 0.5)
        assert metrics.psnr(truth + 0.1, truth) == pytest.approx(20, abs=1e-4)
        assert metrics.psnr(truth, truth) == np.inf

    def test_psnr_takes_bytes_and_unit_floats_alike(self, pictures):
        image, truth = pictures
        assert metrics.psnr(image, truth) == pytest.approx(metrics.psnr(image / 255, truth / 255), abs=1e-4)
        skimage = pytest.importorskip("skimage.metrics")
        assert metrics.psnr(image, truth) == pytest.approx(skimage.peak_signal_noise_ratio(truth, image), abs=1e-4)

    def test_masked_psnr_sees_the_mask_alone(self):
        truth, image = np.zeros((8, 8, 3)), np.zeros((8, 8, 3))
        image[:4] = 0.1
        mask = np.zeros((8, 8), bool)
        mask[:4] = True
        assert metrics.psnr(image, truth, mask) == pytest.approx(20, abs=1e-4)
        assert metrics.psnr(image, truth, ~mask) == np.inf
        assert metrics.psnr(image, truth) == pytest.approx(20 + 10 * np.log10(2), abs=1e-4)

    def test_face_psnr_counts_inside_the_hull(self):
        points = np.full((478, 3), 16.0)
        points[:4, :2] = [[10, 10], [21, 10], [21, 21], [10, 21]]
        truth = np.zeros((32, 32, 3))
        image = np.ones_like(truth)
        image[10:22, 10:22] = 0.1
        assert metrics.hull_mask(points, (32, 32)).sum() == 144
        assert metrics.face_psnr(image, truth, points) == pytest.approx(20, abs=1e-4)

    def test_ssim_equals_scikit_image(self, pictures):
        skimage = pytest.importorskip("skimage.metrics")
        settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
        image, truth = pictures[0] / 255, pictures[1] / 255
        expected = skimage.structural_similarity(image, truth, channel_axis=2, **settings)
        assert metrics.ssim(*pictures) == pytest.approx(expected, abs=1e-5)
        assert metrics.ssim(truth, truth) == pytest.approx(1, abs=1e-6)

    @pytest.mark.parametrize("wrong", [np.zeros((4, 4, 3)), np.zeros((48, 64)), np.zeros((48, 64, 3), np.int32)])
    def test_what_is_no_pair_of_pictures_is_refused(self, pictures, wrong):
        with pytest.raises(ValueError, match="expected"):
            metrics.psnr(wrong, pictures[1])
        with pytest.raises(ValueError, match="expected"):
            metrics.ssim(wrong, pictures[1])


class TestPoints:
    def test_index_tables(self):
        assert len(set(metrics.LANDMARKS_68)) == 68
        assert len(set(metrics.STABLE_POINTS)) == len(metrics.STABLE_TEMPLATE) == 26

    def test_akd_of_a_shift_and_of_one_point(self, face):
        assert metrics.akd(face + np.array([3, 4, 9]), face) == pytest.approx(5)
        other = face.copy()
        other[metrics.LANDMARKS_68[0], 0] += 6.8
        assert metrics.akd(other, face) == pytest.approx(0.1)

    def test_correlation(self):
        a = np.random.default_rng(0).normal(size=50)
        assert metrics.correlation(a, 3 * a + 7) == pytest.approx(1)
        assert metrics.correlation(a, -a) == pytest.approx(-1)
        assert metrics.correlation([1, 0, -1, 0], [0, 1, 0, -1]) == pytest.approx(0)
        assert np.isnan(metrics.correlation(a, np.ones(50)))
        b = a + np.random.default_rng(1).normal(size=50)
        assert metrics.correlation(a, b) == pytest.approx(np.corrcoef(a, b)[0, 1])
        pair = np.stack([a, b], 1)
        assert metrics.correlation(pair, 2 * pair + [5, -5]) == pytest.approx(1)

    def test_procrustes_finds_a_similarity(self, face):
        turn, shift = rotation(20, -10, 35), np.array([3.0, -2, 8])
        scale, found, offset = metrics.procrustes(face, 1.7 * face @ turn.T + shift)
        assert scale == pytest.approx(1.7)
        np.testing.assert_allclose(found, turn, atol=1e-9)
        np.testing.assert_allclose(offset, shift, atol=1e-6)

    def test_procrustes_never_mirrors(self, face):
        _, found, _ = metrics.procrustes(face, face * [-1, 1, 1])
        assert np.linalg.det(found) == pytest.approx(1)

    @pytest.mark.parametrize("angles", [(0, 0, 0), (30, 0, 0), (0, 20, 0), (0, 0, -40), (35, -15, 25)])
    def test_head_angles(self, face, angles):
        turned = (face - 256) @ rotation(*angles).T * 0.6 + [100, 50, 3]
        np.testing.assert_allclose(metrics.head_angles(turned), angles, atol=1e-6)
        np.testing.assert_allclose(metrics.head_angles(np.stack([turned, turned]))[1], angles, atol=1e-6)

    def test_signs_of_the_angles(self, face):
        nose, forehead, right_eye, left_eye = (metrics.STABLE_POINTS.index(i) for i in (4, 10, 33, 263))
        turned = metrics.STABLE_TEMPLATE @ rotation(20, 0, 0).T
        assert turned[nose, 0] > 0.1  # towards the picture's right
        turned = metrics.STABLE_TEMPLATE @ rotation(0, 20, 0).T
        assert turned[nose, 1] - turned[forehead, 1] < metrics.STABLE_TEMPLATE[nose, 1] - turned[forehead, 1]
        assert turned[forehead, 2] > metrics.STABLE_TEMPLATE[forehead, 2]  # looking up, the forehead goes back
        turned = metrics.STABLE_TEMPLATE @ rotation(0, 0, 20).T
        assert turned[left_eye, 1] > turned[right_eye, 1]  # clockwise: the eye on the picture's right sinks

    def test_rotation_between(self, face):
        turned = face @ rotation(0, 0, 12).T @ rotation(7, 0, 0).T
        assert metrics.rotation_between(face @ rotation(0, 25, 0).T * 2 + 5, face) == pytest.approx(25)
        assert metrics.rotation_between(face, face) == pytest.approx(0, abs=1e-4)
        both = metrics.rotation_between(np.stack([face, turned]), face)
        assert both[1] == pytest.approx(metrics.rotation_between(face, turned))


class TestExpression:
    @pytest.fixture
    def measured(self, face) -> np.ndarray:
        """Eyes open by 20 % of their width, irises .1 to the right and .05 below, mouth by 10 %."""
        for (start, end), iris, lids in metrics._EYES:
            line = face[end] - face[start]
            across = np.array([-line[1], line[0], 0.0])
            face[iris] = (face[start] + face[end]) / 2 + 0.1 * line + 0.05 * across
            for upper, lower in lids:
                face[upper] = face[start]
                face[lower] = face[start] + 0.2 * line
        for upper, lower in metrics._LIPS:
            face[lower] = face[upper] + [0, 0.1 * 2 * 76.7, 0]
        return face

    @pytest.mark.parametrize("angles", [(0, 0, 0), (25, -20, 15)])
    def test_closed_forms_hold_in_every_pose(self, measured, angles):
        points = (measured - 256) @ rotation(*angles).T * 1.3 + 40
        assert metrics.mouth_opening(points) == pytest.approx(0.1)
        np.testing.assert_allclose(metrics.eye_opening(points), [0.2, 0.2])
        np.testing.assert_allclose(metrics.gaze(points), [0.1, 0.05], atol=2e-4)

    def test_series(self, measured):
        points = np.stack([measured] * 3)
        assert metrics.mouth_opening(points).shape == (3,)
        assert metrics.eye_opening(points).shape == metrics.gaze(points).shape == (3, 2)
        with pytest.raises(ValueError, match="478"):
            metrics.gaze(points[:, :468])


class TestWarp:
    @pytest.fixture
    def source(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A smooth picture (96, 96), its matte, and points on a grid in the middle of it."""
        y, x = np.mgrid[:96, :96] / 95.0
        image = (np.stack([x, y, (x + y) / 2], 2) * 255).astype(np.uint8)
        side = np.linspace(30, 66, 22)
        grid = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)[:478]
        points = np.concatenate([grid, np.zeros((len(grid), 1))], 1)
        return image, x.astype(np.float32), points

    @pytest.mark.parametrize("margin", [0, 12])
    def test_unmoved_points_give_the_shown_part(self, source, margin):
        image, matte, points = source
        shown = slice(margin, 96 - margin)
        result, its_matte = warp(image, matte, points, points - [margin, margin, 0], margin)
        assert np.abs(result.astype(int) - image[shown, shown]).max() <= 1
        np.testing.assert_allclose(its_matte, matte[shown, shown], atol=2e-3)

    def test_the_face_goes_where_its_points_go_and_the_border_stays(self, source):
        image, matte, points = source
        result, _ = PiecewiseAffineWarp(image, matte, points)(points + np.array([6, 4, 0]))
        inside = result[44:60, 46:62].astype(int)
        assert np.abs(inside - image[40:56, 40:56]).max() <= 2
        assert np.abs(result[[0, -1]].astype(int) - image[[0, -1]]).max() <= 1

    def test_the_nearer_one_of_two_layers_is_drawn(self, source):
        image, matte, points = source
        moved = points.copy()
        moved[:, 0] = np.abs(points[:, 0] - 48) + 48  # folded like a book: both halves on the right
        moved[:, 2] = np.where(points[:, 0] > 48, -5, 5)
        result, _ = PiecewiseAffineWarp(image, matte, points)(moved)
        assert abs(int(result[46, 58, 0]) - int(image[46, 58, 0])) <= 3
        moved[:, 2] *= -1
        result, _ = PiecewiseAffineWarp(image, matte, points)(moved)
        assert abs(int(result[46, 58, 0]) - int(image[46, 38, 0])) <= 3

    def test_shapes_are_checked(self, source):
        image, matte, points = source
        with pytest.raises(ValueError, match="square"):
            PiecewiseAffineWarp(image[:50], matte, points)
