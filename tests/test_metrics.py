"""The metrics of points and of whole clips against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from core.evaluation import metrics
from core.evaluation import points as points_module


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Roll after yaw after pitch, degrees, in the convention of `metrics.head_angles`."""
    y, p, r = np.radians([-yaw, -pitch, roll])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


@pytest.fixture
def face() -> np.ndarray:
    """(478, 3): the stable points of the mean face at their places, the others anywhere; eyes and lips as set below."""
    points = np.random.default_rng(1).normal(0, 1, (metrics.N_POINTS, 3))
    points[list(metrics.STABLE_POINTS)] = metrics.STABLE_TEMPLATE
    return points * 100 + [256, 256, 0]


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
    def test_without_weights_nothing_is_reported(self, tmp_path):
        assert metrics.csim_metric(tmp_path / "none.onnx") is None
        assert metrics.lpips_metric(None) is None

    def test_the_face_as_the_embedding_wants_it(self, face):
        points = face.copy()
        points[[468, 473, 4, 61, 291], 0] = [1, 2, 3, 4, 5]
        row = metrics.face_row(points)
        assert row.shape == (1, 15)
        assert row[0, 4::2][:5].tolist() == [1, 2, 3, 4, 5]
        np.testing.assert_allclose(row[0, :2] + row[0, 2:4], points[:468, :2].max(0), rtol=1e-6)
