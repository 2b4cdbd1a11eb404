"""Metrics of pictures against definitions, scikit-image and pictures whose figures are known; the warp baseline."""

from __future__ import annotations

import numpy as np
import pytest

from core.evaluation import metrics
from core.evaluation.warp_baseline import PiecewiseAffineWarp, warp


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


class TestMorePictures:
    def test_gmsd_equals_its_definition(self, pictures):
        """A slow twin after the authors' MATLAB: conv2 with zeros beyond the border, every second pixel, std2."""
        signal = pytest.importorskip("scipy.signal")
        for rows in (slice(None), slice(1, None)):  # an even and an odd height
            image, truth = (p[rows] for p in pictures)
            height, width = truth.shape[:2]
            magnitudes = []
            for picture in (image, truth):
                grey = picture.astype(float) @ [0.299, 0.587, 0.114]
                small = signal.convolve2d(grey, np.ones((2, 2)) / 4)[1 : height + 1 : 2, 1 : width + 1 : 2]
                prewitt = np.array([[1, 0, -1]] * 3) / 3
                sides = [signal.convolve2d(small, kernel, "same") for kernel in (prewitt, prewitt.T)]
                magnitudes.append(np.sqrt(sides[0] ** 2 + sides[1] ** 2))
            a, b = magnitudes
            expected = ((2 * a * b + 170) / (a * a + b * b + 170)).std(ddof=1)
            assert metrics.gmsd(image, truth) == pytest.approx(expected, abs=1e-6)
        assert metrics.gmsd(truth, truth) == 0

    def test_gmsd_counts_the_mask_alone(self, pictures):
        image, truth = pictures[1].copy(), pictures[1]
        image[:, :20] = 0
        mask = np.ones(truth.shape[:2], bool)
        mask[:, :24] = False
        assert metrics.gmsd(image, truth) > 0.1
        assert metrics.gmsd(image, truth, mask) == 0

    def test_ms_ssim_of_one_scale_of_change(self):
        """With equal structure at every scale only the last scale's luminance term is left, to the power .1333."""
        truth = np.full((176, 176, 3), 0.5, np.float32)
        expected = ((2 * 0.5 * 0.6 + 1e-4) / (0.25 + 0.36 + 1e-4)) ** 0.1333
        assert metrics.ms_ssim(truth + 0.1, truth) == pytest.approx(expected, abs=1e-4)  # float32 variances
        assert metrics.ms_ssim(truth, truth) == pytest.approx(1, abs=1e-6)
        with pytest.raises(ValueError, match="160"):
            metrics.ms_ssim(truth[:160], truth[:160])

    def test_ms_ssim_falls_with_noise(self):
        random = np.random.default_rng(3)
        truth = np.cumsum(np.cumsum(random.normal(size=(176, 192, 3)), 0), 1)
        truth = (truth - truth.min()) / np.ptp(truth)
        values = [
            metrics.ms_ssim(np.clip(truth + s * random.normal(size=truth.shape), 0, 1), truth) for s in (0.02, 0.2)
        ]
        assert 1 > values[0] > values[1] > 0

    def test_eye_psnr_sees_the_boxes_alone(self, face):
        points = face.copy()
        points[[33, 133, 362, 263], :2] = [[20, 40], [30, 40], [50, 40], [60, 40]]
        boxes = metrics.eye_boxes(points, (80, 80))
        np.testing.assert_array_equal(boxes, [[17, 35, 34, 46], [47, 35, 64, 46]])
        truth = np.zeros((80, 80, 3))
        image = np.ones_like(truth)
        for x0, y0, x1, y1 in boxes:
            image[y0:y1, x0:x1] = 0.1
        assert metrics.eye_psnr(image, truth, points) == pytest.approx(20, abs=1e-4)
        points[:, 0] += 1000
        assert np.isnan(metrics.eye_psnr(image, truth, points))


class TestDetail:
    @pytest.fixture
    def texture(self) -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng(5)
        grey = 0.5 + 0.05 * random.normal(size=(96, 96, 1))
        return np.repeat(grey, 3, 2).astype(np.float32), np.ones((96, 96), bool)

    @pytest.mark.parametrize("gain", [1.0, 0.5, 2.0])
    def test_more_contrast_is_energy_and_no_loss_of_correlation(self, texture, gain):
        truth, mask = texture
        found = metrics.detail(0.5 + gain * (truth - 0.5), truth, mask)
        assert found.energy == pytest.approx(gain**2, rel=1e-3)
        assert found.correlation == pytest.approx(1, abs=1e-4)
        assert found.fidelity == pytest.approx(2 * gain / (1 + gain**2), abs=1e-4)

    def test_invented_detail_has_energy_and_no_fidelity(self, texture):
        truth, mask = texture
        other = np.roll(truth, 37, (0, 1))
        found = metrics.detail(other, truth, mask)
        assert found.energy == pytest.approx(1, abs=0.15)
        assert abs(found.fidelity) < 0.1

    def test_only_the_mask_counts(self, texture):
        truth, mask = texture
        image = truth.copy()
        image[:40] = 0.5
        mask = mask.copy()
        mask[:64] = False
        assert metrics.detail(image, truth, mask).fidelity == pytest.approx(1, abs=1e-6)

    def test_gradient_energy_of_a_ramp(self):
        ramp = np.repeat(np.tile(np.arange(32) * 2.0, (32, 1))[..., None], 3, 2) / 255
        mask = np.zeros((32, 32), bool)
        mask[4:28, 4:28] = True
        assert metrics.gradient_energies(ramp, mask) == pytest.approx(4 * mask.sum(), rel=1e-5)
        assert metrics.gradient_energies(2 * ramp, mask) == pytest.approx(16 * mask.sum(), rel=1e-5)

    def test_face_mask_is_the_hull_without_its_border(self):
        points = np.full((478, 3), 32.0)
        points[:4, :2] = [[10, 10], [53, 10], [53, 53], [10, 53]]
        mask = metrics.face_mask(points, (64, 64), inset=6)
        rows = np.flatnonzero(mask.any(1))
        assert (rows[0], rows[-1]) == (16, 47)


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
