"""The metrics against closed forms, and the warp baseline against what a warp must do."""

from __future__ import annotations

import numpy as np
import pytest

from core.evaluation import metrics
from core.evaluation import points as points_module
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
        for (start, end), iris, lids in points_module._EYES:
            line = face[end] - face[start]
            across = np.array([-line[1], line[0], 0.0])
            face[iris] = (face[start] + face[end]) / 2 + 0.1 * line + 0.05 * across
            for upper, lower in lids:
                face[upper] = face[start]
                face[lower] = face[start] + 0.2 * line
        for upper, lower in points_module._LIPS:
            face[lower] = face[upper] + [0, 0.1 * 2 * 76.7, 0]
        return face

    @pytest.mark.parametrize("angles", [(0, 0, 0), (25, -20, 15)])
    def test_closed_forms_hold_in_every_pose(self, measured, angles):
        points = (measured - 256) @ rotation(*angles).T * 1.3 + 40
        assert metrics.mouth_opening(points) == pytest.approx(0.1)
        np.testing.assert_allclose(metrics.eye_opening(points), [0.2, 0.2])
        np.testing.assert_allclose(metrics.gaze(points), [0.1, 0.05], atol=2e-4)
        angles_seen = np.degrees(np.arcsin([0.3, 0.15]))
        np.testing.assert_allclose(metrics.gaze_angles(points), angles_seen, atol=0.05)

    @pytest.mark.parametrize("angles", [(0, 0, 0), (25, -20, 15)])
    def test_brows_and_mouth_corners_in_every_pose(self, measured, angles):
        width = np.linalg.norm(measured[33] - measured[263])
        for brow, ((start, end), *_) in zip(points_module._BROWS, points_module._EYES, strict=True):
            measured[list(brow)] = (measured[start] + measured[end]) / 2 - [0, 0.25 * width, 0]
        measured[291] = measured[61] + [0.6 * width, 0, 0]
        points = (measured - 256) @ rotation(*angles).T * 1.3 + 40
        np.testing.assert_allclose(metrics.brow_height(points), [0.25, 0.25], atol=1e-6)
        assert metrics.mouth_width(points) == pytest.approx(0.6)

    def test_gaze_and_expression_errors(self, measured):
        clip, looking = np.repeat(measured[None], 6, 0), np.repeat(measured[None], 6, 0)
        for (start, end), iris, _ in points_module._EYES:
            looking[:, iris] += 0.1 * (measured[end] - measured[start])
        expected = np.degrees(np.arcsin(0.6) - np.arcsin(0.3))
        np.testing.assert_allclose(metrics.gaze_error(looking, clip), expected, atol=0.6)
        np.testing.assert_allclose(metrics.gaze_error(looking, clip, same_person=False), 0, atol=1e-6)
        wider = clip.copy()
        wider[2:, 291] = wider[2:, 61] + 1.06 * (clip[2:, 291] - clip[2:, 61])
        change = 6 * metrics.mouth_width(measured)
        np.testing.assert_allclose(metrics.expression_error(wider, clip)[2:], change / np.sqrt(6), rtol=1e-6)
        np.testing.assert_allclose(metrics.expression_error(wider, clip)[:2], 0, atol=1e-9)

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


class TestOverTime:
    @pytest.fixture
    def pan(self) -> list[np.ndarray]:
        """Two frames of a smooth picture, the second moved by (3, 2) pixels."""
        y, x = np.mgrid[:120, :140].astype(np.float32)

        def frame(dx: float, dy: float) -> np.ndarray:
            waves = np.sin((x - dx) / 5) + np.cos((y - dy) / 6) + np.sin((x - dx + y - dy) / 9)
            return np.repeat((127 + 40 * waves)[..., None], 3, 2).clip(0, 255).astype(np.uint8)

        return [frame(0, 0), frame(3, 2)]

    def test_the_flow_points_back_to_where_things_were(self, pan):
        flow = metrics.backward_flow(pan[1], pan[0])[20:-20, 20:-20]
        np.testing.assert_allclose(np.median(flow, (0, 1)), [-3, -2], atol=0.2)

    def test_what_moves_as_the_truth_is_stable_and_flicker_is_not(self, pan):
        flow = metrics.backward_flow(pan[1], pan[0])
        moving = metrics.temporal_stability(pan[1], pan[0], flow)
        standing = metrics.temporal_stability(pan[0], pan[0], flow)
        flicker = (pan[1] * 0.7).astype(np.uint8)
        assert moving > 0.97
        assert standing < moving - 0.05
        assert metrics.temporal_stability(flicker, pan[0], flow) < moving - 0.02

    def test_jitter_of_white_noise_and_of_steady_motion(self, face):
        random = np.random.default_rng(0)
        still = np.repeat(face[None], 400, 0)
        noisy = still + random.normal(0, 0.5, still.shape)
        assert metrics.jitter(noisy) == pytest.approx(0.5 * np.sqrt(12), rel=0.02)
        gliding = still + np.arange(400)[:, None, None] * [2.0, -1.0, 0.0]
        assert metrics.jitter(gliding) == pytest.approx(0, abs=1e-9)
        assert metrics.squared_jitter(noisy).shape == (400,)
        assert np.isnan(metrics.squared_jitter(noisy)[[0, -1]]).all()

    def test_a_frame_without_a_face_takes_its_neighbours_along(self, face):
        points = np.repeat(face[None], 7, 0)
        points[3] = np.nan
        assert np.isfinite(metrics.squared_jitter(points)).tolist() == [False, True, False, False, False, True, False]
        assert np.isnan(metrics.jitter(points[:2]))

    def test_pose_error_is_the_angle_between_the_heads(self, face):
        clip = np.stack([face @ rotation(0, 0, 4 * i).T for i in range(5)])
        turned = np.stack([p @ rotation(7, 0, 0).T for p in clip])
        np.testing.assert_allclose(metrics.pose_error(turned, clip), 7, atol=1e-6)
        # Another person starts elsewhere: only what changes over time counts
        np.testing.assert_allclose(
            metrics.pose_error(clip @ rotation(0, 0, 9).T, clip, same_person=False), 0, atol=1e-6
        )

    def test_angles_between_gazes(self):
        assert metrics.angle_between_gazes([30, 0], [0, 0]) == pytest.approx(30)
        assert metrics.angle_between_gazes([0, -20], [0, 15]) == pytest.approx(35)
        assert metrics.angle_between_gazes([[10, 10]], [[10, 10]]) == pytest.approx([0])


class TestPerceptual:
    def test_without_weights_nothing_is_reported(self, tmp_path, monkeypatch):
        assert metrics.csim_metric(tmp_path / "none.onnx") is None
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        assert metrics.lpips_metric() is None

    def test_the_face_as_the_embedding_wants_it(self, face):
        points = face.copy()
        points[[468, 473, 4, 61, 291], 0] = [1, 2, 3, 4, 5]
        row = metrics.face_row(points)
        assert row.shape == (1, 15)
        assert row[0, 4::2][:5].tolist() == [1, 2, 3, 4, 5]
        np.testing.assert_allclose(row[0, :2] + row[0, 2:4], points[:468, :2].max(0), rtol=1e-6)
