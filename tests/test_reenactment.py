"""CSIM, AED and APD against closed forms."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation
from synthetic_head import a_clip, a_frame
from tiny_onnx import write_flatten

from core.errors import UserError
from core.evaluation import reenactment
from core.evaluation.perceptual import _ARCFACE_POINTS, _FIVE, aligned_face, csim_metric
from core.evaluation.reenactment import aed, apd
from core.libs.geometry import head_angles, head_rotation
from core.libs.tracker.base import Observation


@pytest.fixture
def clip():
    return a_clip([a_frame(np.random.default_rng(seed)) for seed in range(4)])


@pytest.fixture
def face() -> tuple[np.ndarray, np.ndarray]:
    """A smooth picture (200, 220, 3) and points of a face in it."""
    noise = np.random.default_rng(0).integers(0, 256, (10, 11, 3)).astype(np.uint8)
    points = np.zeros((478, 3))
    points[list(_FIVE), :2] = _ARCFACE_POINTS + [50, 40]
    return np.array(Image.fromarray(noise).resize((220, 200), Image.Resampling.BICUBIC)), points


class TestDistances:
    def test_aed_is_the_mean_change_of_a_code(self, clip):
        other = clip.expcode.copy()
        other[0, :50] += 0.4  # one of four frames, half of the codes
        assert aed(replace(clip, expcode=other), clip) == pytest.approx(0.4 / 8, rel=1e-5)
        assert aed(clip, clip) == 0

    def test_apd_is_the_mean_change_of_an_angle(self, clip):
        angles = head_angles(clip.transform_matrix[..., :3].astype(np.float64))
        turned = clip.transform_matrix.astype(np.float64)
        turned[..., :3] = head_rotation(angles + [0.0, 0.3, -0.06])
        assert apd(clip.with_parameters({"transform_matrix": turned}), clip) == pytest.approx(0.12, abs=1e-5)

    def test_angles_go_round(self, clip):
        before, after = clip.transform_matrix.astype(np.float64), clip.transform_matrix.astype(np.float64)
        before[..., :3] = head_rotation(np.tile([np.pi - 0.01, 0.0, 0.0], (4, 1)))
        after[..., :3] = head_rotation(np.tile([-np.pi + 0.02, 0.0, 0.0], (4, 1)))
        pair = (clip.with_parameters({"transform_matrix": values}) for values in (before, after))
        assert apd(*pair) == pytest.approx(0.01, abs=1e-6)

    def test_place_in_the_picture_does_not_count(self, clip):
        moved = clip.transform_matrix + np.array([0, 0, 0, 1], np.float32)
        assert apd(clip.with_parameters({"transform_matrix": moved}), clip) == 0

    @pytest.mark.parametrize("metric", [aed, apd])
    def test_only_like_is_compared_with_like(self, clip, metric):
        with pytest.raises(UserError, match="4 frames, the driver 3"):
            metric(clip, a_clip([clip[i] for i in range(3)]))
        with pytest.raises(UserError, match=r"open head.*flame head"):
            metric(clip, replace(clip, head="flame"))


class TestCSIM:
    def test_a_face_is_brought_to_its_place(self, face):
        image, points = face
        np.testing.assert_array_equal(aligned_face(image, points), image[40:152, 50:162])

    def test_turned_and_larger_it_is_the_same(self, face):
        image, points = face
        turn = cv2.getRotationMatrix2D((110, 100), 25, 2.0)
        larger = cv2.warpAffine(image, turn + [[0, 0, 120], [0, 0, 110]], (460, 420), flags=cv2.INTER_CUBIC)
        moved = points.copy()
        moved[:, :2] = points[:, :2] @ turn[:, :2].T + turn[:, 2] + [120, 110]
        difference = aligned_face(larger, moved).astype(float) - aligned_face(image, points)
        assert np.sqrt(np.square(difference).mean()) < 2

    def test_cosine_of_what_the_network_says(self, face, tmp_path):
        image, points = face
        csim = csim_metric(write_flatten(tmp_path / "arcface.onnx"))
        assert csim(image, points, image, points) == pytest.approx(1)
        assert csim(image, points, 255 - image, points) == pytest.approx(-1)  # -1..1 is what goes in
        a, b = (part.astype(np.float64).ravel() / 127.5 - 1 for part in (image[40:152, 50:162], image[20:132, 50:162]))
        other = points - [0, 20, 0]
        expected = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        assert csim(image, points, image, other) == pytest.approx(expected, abs=1e-5)

    def test_no_file_no_figure_and_a_wrong_one_is_told(self, tmp_path):
        assert csim_metric(tmp_path / "none.onnx") is None
        (tmp_path / "broken.onnx").write_bytes(b"not a network")
        (tmp_path / "sface.onnx").write_bytes(b"not a network")
        for name in ("broken.onnx", "sface.onnx"):
            with pytest.raises(UserError, match="no face recognition network"):
                csim_metric(tmp_path / name)


class PortraitTracker:
    """Sees the same face everywhere."""

    name, version = "fake", "1"

    def __init__(self, points: np.ndarray) -> None:
        self._points = points

    def detect(self, image: np.ndarray) -> Observation:
        return Observation(self._points)

    follow = detect

    def reset(self) -> None: ...


class TestCommand:
    def test_the_three_are_measured_together(self, face, clip, tmp_path, monkeypatch):
        image, points = face
        path = tmp_path / "a.png"
        Image.fromarray(image).save(path)
        turned = clip.transform_matrix.astype(np.float64)
        turned[..., :3] = turned[..., :3] @ Rotation.from_euler("z", 0.3).as_matrix()
        tracks = {"result": clip.with_parameters({"transform_matrix": turned}), "driver": clip}
        monkeypatch.setattr("core.libs.tracker.driver.track_driver", lambda path, **_: tracks[path.stem])
        monkeypatch.setattr(reenactment, "_pictures", lambda path: iter([image, 255 - image]))
        csim = csim_metric(write_flatten(tmp_path / "arcface.onnx"))
        found = reenactment.measure(Path("result.mp4"), Path("driver.mp4"), path, PortraitTracker(points), csim)
        assert (found.frames, found.aed) == (4, 0)
        assert found.apd > 0
        assert found.csim == pytest.approx(0, abs=1e-6)  # of 1 and of -1
        assert "not measured" in str(replace(found, csim=None))

    def test_a_network_that_is_not_there_ends_in_one_line(self, capsys):
        assert reenactment.main(["a.mp4", "b.mp4", "c.jpg", "--csim-model", "none.onnx"]) == 2
        assert capsys.readouterr().err.startswith("error: none.onnx does not exist")
