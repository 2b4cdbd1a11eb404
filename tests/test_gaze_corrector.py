"""Gaze correction: directions in closed form, two eyes that agree, the viewer's camera."""

from __future__ import annotations

from dataclasses import replace

import gaze_twin
import numpy as np
import pytest
import torch
from gazes import aimed, degrees, directed, looks, plain_face
from scipy.spatial.transform import Rotation
from synthetic_head import a_frame

from core.data.records import TrackedFrame
from core.errors import UserError
from core.libs.flame_model import FLAMEModel
from core.libs.flame_model import topology as topo
from core.libs.gaze_corrector import GazeCorrector
from core.libs.retargeting.gaze_reading import EyeGeometry, read_eyes


@pytest.fixture(scope="module")
def head() -> FLAMEModel:
    return FLAMEModel()


@pytest.fixture
def plain() -> TrackedFrame:
    return plain_face()


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


def test_the_kernels_are_what_torch_does():
    """Reading irises and turning eyes, compiled, against the same rules in torch; unknown points and targets too."""
    random = np.random.default_rng(3)
    head, corrector = FLAMEModel(), GazeCorrector(0.8)
    faces = [a_frame(random) for _ in range(6)]
    points = torch.from_numpy(np.stack([head.landmarks(head.evaluate(face)) for face in faces]).astype(np.float64))
    points[4, 468] = torch.nan
    points[5] = torch.nan
    transform = torch.from_numpy(np.stack([face.transform_matrix for face in faces]).astype(np.float64))
    geometry, opened = EyeGeometry.of(head, faces[0]), torch.tensor([0.3, 0.26], dtype=torch.float64)
    for given in ((points, geometry), (points, geometry, transform, opened)):
        for value, expected in zip(read_eyes(*given), gaze_twin.read_eyes(*given), strict=True):
            torch.testing.assert_close(value, expected, atol=1e-9, rtol=0, equal_nan=True)

    code = torch.from_numpy(random.normal(0, 0.4, (40, 6)))
    code[:, 2::3] = 0
    code[0] = 0
    target = torch.from_numpy(random.normal(size=(40, 3)) * [1, 1, 0.5] + [0, 0, 1])
    target[1], target[2] = torch.nan, 0
    irises = torch.from_numpy(random.normal(0, 0.3, (40, 2, 2)))
    irises[3, 0] = torch.nan
    confidence, offset = torch.from_numpy(random.choice([0.0, 0.4, 1.0], 40)), random.normal(0, 0.05, (2, 2))
    for told in ((None, None, None), (confidence, irises, offset)):
        for limit in (None, 0.8):
            expected = gaze_twin.turned(code, target, *told, corrector.correction_strength, corrector.limits, limit)
            torch.testing.assert_close(corrector.turned(code, target, *told, limit), expected, atol=1e-7, rtol=0)
