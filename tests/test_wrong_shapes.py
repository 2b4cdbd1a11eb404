"""Arrays of a wrong shape: every public entry says what came and what would be right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from core.data import DriverData
from core.errors import UserError
from core.libs.expression_optimizer import ExpressionOptimizer
from core.libs.eye_enhancer import EyeEnhancer
from core.libs.flame_model import FLAMEModel
from core.libs.gaze_corrector import GazeCorrector
from core.libs.temporal_smoother import TemporalSmoother
from core.models.GAGAvatar import GAGAvatar
from core.models.LiftedAvatar import LiftedAvatar
from core.models.modules import DetailEnhancer
from core.models.rasterizer import render_gaussian

ROOT = Path(__file__).parents[1]
DEMO_DRIVER, DEMO_PHOTO = ROOT / "demos/drivers/obama", ROOT / "demos/examples/1.jpg"


SHAPES = {
    "smooth": (lambda: TemporalSmoother().smooth({"expcode": np.zeros((2, 100))}), r"\(2, 100\).*\(N,\) or \(1, N\)"),
    "smooth_transform": (lambda: TemporalSmoother().smooth_transform(np.eye(4)), r"\(4, 4\).*\(3, 4\) or \(1, 3, 4\)"),
    "smooth_sequence": (
        lambda: TemporalSmoother().smooth_sequence({"transform_matrix": np.zeros((5, 4, 4))}),
        r"\(5, 4, 4\).*\(T, 3, 4\)",
    ),
    "optimize_expression": (lambda: ExpressionOptimizer().optimize_expression(np.zeros(50)), r"100.*\(50,\)"),
    "initialize_pca": (lambda: ExpressionOptimizer().initialize_pca(np.zeros(100)), r"100.*\(100,\)"),
    "fit_neutral": (lambda: ExpressionOptimizer().fit_neutral(np.zeros((4, 99))), r"100.*\(4, 99\)"),
    "correct_gaze, code": (lambda: GazeCorrector().correct_gaze(np.zeros(3)), r"eyecode.*\(6,\).*got \(3,\)"),
    "correct_gaze, landmarks": (
        lambda: GazeCorrector().correct_gaze(np.zeros(6), np.zeros((468, 3))),
        r"\(478, 3\).*68 or 70.*got \(468, 3\)",
    ),
    "correct_gaze, flat landmarks": (
        lambda: GazeCorrector().correct_gaze(np.zeros(6), np.zeros((68, 2))),
        r"\(478, 3\).*got \(68, 2\)",
    ),
    "correct_gaze, target": (
        lambda: GazeCorrector().correct_gaze(np.zeros(6), target_gaze=np.zeros(2)),
        r"target_gaze.*\(3,\).*got \(2,\)",
    ),
    "enhance_eye_region, picture": (
        lambda: GazeCorrector().enhance_eye_region(torch.zeros(3, 8, 8)),
        r"\(B, 3, H, W\), got \(3, 8, 8\)",
    ),
    "enhance_eye_region, points": (
        lambda: GazeCorrector().enhance_eye_region(torch.zeros(1, 3, 8, 8), np.zeros((1, 98, 2))),
        r"\(B, 478, 2\).*68 or 70.*got \(1, 98, 2\)",
    ),
    "enhance_eye_region, number": (
        lambda: GazeCorrector().enhance_eye_region(torch.zeros(2, 3, 8, 8), np.zeros((1, 478, 2))),
        r"got \(2, 3, 8, 8\) and \(1, 478, 2\)",
    ),
    "set_source": (lambda: EyeEnhancer().set_source(torch.zeros(8, 8, 3), np.zeros((478, 2))), r"\(3, H, W\).*8, 8, 3"),
    "DetailEnhancer": (lambda: DetailEnhancer()(torch.zeros(3, 8, 8)), r"\(B, 3, H, W\), got .*\(3, 8, 8\)"),
    "FLAMEModel, shape": (lambda: FLAMEModel()(torch.zeros(1, 100)), r"shape_params.*300\), got \(1, 100\)"),
    "FLAMEModel, pose": (
        lambda: FLAMEModel()(torch.zeros(1, 300), pose_params=torch.zeros(1, 3)),
        r"pose_params: expected \(\.\.\., 6\), got \(1, 3\)",
    ),
    "FLAMEModel, batches": (
        lambda: FLAMEModel()(torch.zeros(2, 300), torch.zeros(3, 100)),
        r"leading dimensions.*\(2, 300\).*\(3, 100\)",
    ),
    "FLAMEModel, static_offset": (
        lambda: FLAMEModel()(torch.zeros(1, 300), static_offset=torch.zeros(5023, 3)),
        r"static_offset: expected \(\d+, 3\) or \(1, \d+, 3\), got \(5023, 3\)",
    ),
    "DriverData, plane": (lambda: DriverData(DEMO_DRIVER, None, 1), r"at least 2, got 1"),
    "DriverData, no photo": (lambda: DriverData(DEMO_DRIVER, 7), r"TrackedSource or a dict.*got a int"),
    "DriverData, incomplete": (lambda: DriverData(DEMO_DRIVER, {"image": 0}), r"image: expected \(3, H, W\), got \(\)"),
    "DriverData, image": (
        lambda: DriverData(DEMO_DRIVER, {"image": np.zeros((8, 8, 3))}),
        r"image: expected \(3, H, W\), got \(8, 8, 3\)",
    ),
    "DriverData, transform": (
        lambda: DriverData(DEMO_DRIVER, {"image": np.zeros((3, 8, 8)), "transform_matrix": np.eye(4)}),
        r"transform_matrix: expected \(3, 4\), got \(4, 4\)",
    ),
    "DriverData, records": (
        lambda: DriverData({"a": {"shapecode": np.zeros(100)}}),
        r"driver_path\['a'\]: shapecode: expected \(300,\), got \(100,\)",
    ),
    "DriverData, no records": (lambda: DriverData({}), "holds at least one, got none"),
    "forward_expression, points": (
        lambda: LiftedAvatar().forward_expression(
            {"t_points": torch.zeros(1, 5023, 3), "t_transform": torch.zeros(1, 3, 4)}
        ),
        r"t_points: expected \(B, \d+, 3\), got \(1, 5023, 3\)",
    ),
    "forward_expression, transform": (
        lambda: _bare_network().forward_expression(
            {"t_points": torch.zeros(1, 5023, 3), "t_transform": torch.zeros(3, 4)}
        ),
        r"t_transform: expected \(1, 3, 4\), got \(3, 4\)",
    ),
    "forward_expression, planes": (
        lambda: _bare_network().forward_expression(
            {
                "t_points": torch.zeros(1, 5023, 3),
                "t_transform": torch.zeros(1, 3, 4),
                "f_image": torch.zeros(1, 3, 8, 8),
                "f_planes": {"plane_points": torch.zeros(1, 64, 3), "plane_dirs": torch.zeros(1, 3)},
            }
        ),
        r"f_planes: plane_points: expected \(87616, 3\) or \(B, 87616, 3\), got \(1, 64, 3\)",
    ),
}


def _bare_network() -> GAGAvatar:
    with torch.device("meta"):
        return GAGAvatar()


@pytest.mark.parametrize("case", SHAPES)
def test_a_wrong_shape_says_what_came_and_what_would_be_right(case):
    call, message = SHAPES[case]
    with pytest.raises((ValueError, UserError), match=message):
        call()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"xyz": np.zeros((4, 2))}, r"xyz must be \(N, 3\) or \(B, N, 3\), got \(4, 2\)"),
        ({"colors": np.zeros((5, 3))}, r"colors must be \(4, N\) or \(B, 4, N\), got \(5, 3\)"),
        ({"opacities": np.zeros(4)}, r"opacities must be \(4, 1\) or \(B, 4, 1\), got \(4,\)"),
        ({"scales": np.zeros((4, 2))}, r"scales must be \(4, 3\) or \(B, 4, 3\), got \(4, 2\)"),
        ({"rotations": np.zeros((4, 3))}, r"rotations must be \(4, 4\) or \(B, 4, 4\), got \(4, 3\)"),
        ({"cam_matrix": np.eye(4)}, r"cam_matrix must be \(3, 4\) or \(B, 3, 4\), got \(4, 4\)"),
    ],
)
def test_the_rasterizer_says_so_too(changed, message):
    scene = {"xyz": (4, 3), "colors": (4, 3), "opacities": (4, 1), "scales": (4, 3), "rotations": (4, 4)}
    scene = {name: np.zeros(shape) for name, shape in scene.items()} | {"cam_matrix": np.eye(4)[:3]} | changed
    with pytest.raises(AssertionError, match=message):
        render_gaussian(scene, scene.pop("cam_matrix"), {"focal_x": 12.0, "focal_y": 12.0, "size": [8, 8]})
