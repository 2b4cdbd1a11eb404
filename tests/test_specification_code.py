"""The constructors, snippets, classes and formulas of docs/specification.md, each as it stands there."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from core.errors import UserError
from core.libs.expression_optimizer import SENSITIVITY, ExpressionOptimizer
from core.libs.flame_model.topology import REGIONS
from core.libs.gaze_corrector import EyeEnhancer, GazeCorrector
from core.libs.temporal_smoother import TemporalSmoother
from core.models.GAGAvatar.models import GAGAvatar
from core.models.modules.detail_enhancer import DetailEnhancer, LaplacianPyramid, SobelEdgeDetector
from tests.specification_rows import ids_of, rows, short_driver

ROOT = Path(__file__).parents[1]
ROWS = rows()


# --- constructors -----------------------------------------------------------------------------------------------------

CLASSES = {
    "TemporalSmoother": TemporalSmoother,
    "DetailEnhancer": DetailEnhancer,
    "ExpressionOptimizer": ExpressionOptimizer,
    "GazeCorrector": GazeCorrector,
    "EyeEnhancer": EyeEnhancer,
    "SobelEdgeDetector": SobelEdgeDetector,
    "forward_expression": GAGAvatar.forward_expression,
}


@pytest.mark.parametrize("name", ids_of("test_signature"))
def test_signature(name):
    call = ast.parse(ROWS[name].code, mode="eval").body
    parameters = inspect.signature(CLASSES[call.func.id]).parameters
    for keyword in call.keywords:
        assert parameters[keyword.arg].default == ast.literal_eval(keyword.value)
    positional = [p.name for p in parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD and p.name != "self"]
    wanted = [*(arg.id for arg in call.args), *(keyword.arg for keyword in call.keywords)]
    assert positional[: len(wanted)] == wanted  # in the same order, so that they may be given without names


def test_weights_never_shrink_motion():
    codes = np.random.default_rng(0).normal(0, 0.3, (40, 100))
    own = np.full(100, 0.2)
    for weights in ((0.7, 0.3), (0.8, 0.2)):
        tool = ExpressionOptimizer(global_weight=weights[0], local_weight=weights[1])
        tool.fit_neutral(codes)
        carried = tool.optimize_expression(codes, own)
        np.testing.assert_allclose(np.diff(carried, axis=0), np.diff(codes, axis=0), atol=1e-9)
    seven_to_three = [
        ExpressionOptimizer(global_weight=a, local_weight=b).identity_share for a, b in ((0.7, 0.3), (7, 3))
    ]
    np.testing.assert_allclose(*seven_to_three)
    mouth = slice(*REGIONS["mouth"])
    assert ExpressionOptimizer().identity_share[mouth] == pytest.approx(0.8 + 0.2 * 0.7)


def test_regional_weights():
    assert SENSITIVITY == {"eyes": 0.9, "nose": 0.95, "mouth": 0.7, "brows": 0.85, "cheeks": 0.8}


def test_eyes_turn_so_far():
    far = GazeCorrector(1.0).correct_gaze(np.zeros(6), target_gaze=np.array([10.0, 0, 1]))
    assert np.degrees(np.linalg.norm(far[:3])) == pytest.approx(35, abs=1)


# --- snippets ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def names(tmp_path_factory) -> dict:
    """What the snippets find in their place: a model, a photo, a driver, and a batch of them."""
    from core.data import DriverData
    from core.libs.tracker.source import track_source
    from core.models import build_model

    driver_path, feature_data = tmp_path_factory.mktemp("driver"), track_source(ROOT / "demos/examples/1.jpg")
    short_driver(2).save(driver_path)
    dataset = DriverData(driver_path, feature_data)
    model = build_model({"NAME": "LiftedAvatar"})
    batch = next(iter(torch.utils.data.DataLoader(dataset, batch_size=1)))
    result = model.forward_expression(batch)
    return {
        "torch": torch,
        "DriverData": DriverData,
        "build_model": build_model,
        **CLASSES,
        "model": model,
        "batch": batch,
        "driver_path": driver_path,
        "driver_dataset": dataset,
        "feature_data": feature_data,
        "flame_params": {key: value[0] for key, value in batch["flame_params"].items()},
        "render_results": result,
        "sr_gen_images": result["sr_gen_image"],
        "pred_sr_rgb": result["sr_gen_image"],
        "temporal_smoother": TemporalSmoother(),
        "expression_optimizer": ExpressionOptimizer(),
        "gaze_corrector": GazeCorrector(),
    }


@pytest.mark.parametrize("name", ids_of("test_snippet"))
def test_snippet(name, names):
    own = dict(names)
    exec(ROWS[name].code, own)
    statement = ast.parse(ROWS[name].code).body[0]
    assert isinstance(statement, ast.Assign | ast.ImportFrom)
    if isinstance(statement, ast.Assign):
        made = own[statement.targets[0].id]
        images = made if torch.is_tensor(made) else made.get("sr_gen_image") if isinstance(made, dict) else None
        if images is not None and images.ndim == 4:
            assert images.shape == (1, 3, 512, 512)
            assert bool(((images >= 0) & (images <= 1)).all())


def test_more_detail_is_more(names):
    """S04 and S05: a strength of 1.5 sharpens more than one of .5, and neither is the picture without."""
    plain = names["render_results"]["sr_gen_image"]
    changes = []
    for strength in (0.5, 1.5):
        result = names["model"].forward_expression(names["batch"], enable_detail_enhance=True, detail_strength=strength)
        changes.append(float((result["sr_gen_image"] - plain).abs().mean()))
    assert 0 < changes[0] < changes[1]


@pytest.mark.parametrize("live", [False, True])
def test_smoother_is_smoother(live):
    """S33: the tremble that is left, from the specification's settings for speed to those for quality."""
    rng = np.random.default_rng(5)
    motion = np.sin(np.arange(120) / 8)[:, None] * rng.normal(size=100)
    track = motion + rng.normal(0, 0.1, motion.shape)
    left = []
    for alpha, window in ((0.7, 3), (0.5, 5), (0.3, 10)):
        smoother = TemporalSmoother(alpha=alpha, window_size=window, use_kalman=True)
        if live:
            smooth = np.stack([smoother.smooth({"expcode": frame})["expcode"] for frame in track])
        else:
            smooth = smoother.smooth_sequence({"expcode": track})["expcode"]
        left.append(float(np.square(np.diff(smooth, 2, axis=0)).mean()))
    assert left[0] > left[1] > left[2]


# --- classes and methods ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ids_of("test_name"))
def test_name(name):
    path, _, arguments = ROWS[name].code.rstrip(")").partition("(")
    module, found = path.rsplit(".", 2)[0], None
    found = importlib.import_module(module)
    for part in path.rsplit(".", 2)[1:]:
        found = getattr(found, part)
    wanted = [word.strip() for word in arguments.split(",") if word.strip()]
    assert list(inspect.signature(found).parameters)[1 : len(wanted) + 1] == wanted


def test_smoother_contract():
    rng = np.random.default_rng(1)
    frame = {"expcode": torch.from_numpy(rng.normal(size=100).astype(np.float32)), "name": "frame 1"}
    first = TemporalSmoother().smooth(frame)
    torch.testing.assert_close(first["expcode"], frame["expcode"])
    assert first["name"] == "frame 1"
    assert list(first) == list(frame)


def test_enhancer_contract():
    picture = torch.rand(2, 3, 96, 80, generator=torch.Generator().manual_seed(0))
    softer = torch.nn.functional.avg_pool2d(picture, 3, 1, 1)
    enhancer = DetailEnhancer()
    sharp = enhancer(softer, 1.0)
    assert sharp.shape == softer.shape
    assert bool(((sharp >= 0) & (sharp <= 1)).all())
    assert float((sharp - softer).abs().max()) > 1e-3
    assert torch.equal(enhancer(softer, 0.0), softer)
    assert not list(enhancer.parameters())  # nothing untrained in it
    coarse = torch.nn.functional.avg_pool2d
    torch.testing.assert_close(coarse(sharp, 16), coarse(softer, 16), atol=0.02, rtol=0)
    torch.testing.assert_close(torch.cat([enhancer(softer[:1]), enhancer(softer[1:])]), enhancer(softer))


def test_optimizer_contract():
    tool = ExpressionOptimizer()
    codes = torch.from_numpy(np.random.default_rng(2).normal(0, 0.3, (5, 100)).astype(np.float32))
    torch.testing.assert_close(tool.optimize_expression(codes), codes)
    assert tool.optimize_expression(codes[0]).shape == (100,)
    own = torch.full((100,), 0.5)
    assert not torch.allclose(tool.optimize_expression(codes, own), codes)
    torch.testing.assert_close(tool.optimize_expression(codes, own, preserve_identity=False), codes)


def test_gaze_contract():
    target = np.array([0.3, 0.2, 0.9])
    unit = target / np.linalg.norm(target)
    code = np.array([0.05, -0.1, 0, 0.05, -0.1, 0])
    none, half, whole = (GazeCorrector(s).correct_gaze(code, target_gaze=target) for s in (0.0, 0.5, 1.0))
    np.testing.assert_allclose(none, code, atol=1e-6)
    for eye in (slice(0, 3), slice(3, 6)):  # left and right alike: one frame, not mirrored
        looks = Rotation.from_rotvec(whole[eye]).apply([0, 0, 1])
        np.testing.assert_allclose(looks, unit, atol=1e-5)
        pitch, yaw = np.arcsin(unit[1]), np.arctan2(unit[0], unit[2])
        assert np.arcsin(looks[1]) == pytest.approx(pitch, abs=1e-5)
        assert np.arctan2(looks[0], looks[2]) == pytest.approx(yaw, abs=1e-5)
        between = [np.arccos(Rotation.from_rotvec(c[eye]).apply([0, 0, 1]) @ unit) for c in (code, half)]
        assert between[1] == pytest.approx(between[0] / 2, rel=0.05)
    again = GazeCorrector(1.0).correct_gaze(whole, target_gaze=target)
    np.testing.assert_allclose(again, whole, atol=1e-6)  # eyes that look there are not turned on


def test_dataset_item(names):
    item = names["driver_dataset"][0]
    assert item["f_image"].shape == (3, 518, 518)
    assert set(item["f_planes"]) == {"plane_points", "plane_dirs"}
    assert item["t_image"].shape == (3, 512, 512)
    assert item["t_points"].ndim == 2
    assert item["t_points"].shape[1] == 3
    assert item["t_transform"].shape == (3, 4)
    assert "t_key" in item["infos"]


def test_pca_is_optional(monkeypatch):
    codes = np.random.default_rng(3).normal(0, 0.3, (60, 100))
    monkeypatch.setitem(sys.modules, "sklearn.decomposition", None)
    ExpressionOptimizer().fit_neutral(codes)
    with pytest.raises(UserError, match="scikit-learn"):
        ExpressionOptimizer(use_pca=True).fit_neutral(codes)
    with pytest.raises(UserError, match="scikit-learn"):
        ExpressionOptimizer().initialize_pca(codes)


# --- principles -------------------------------------------------------------------------------------------------------


def test_moving_average():
    values = np.random.default_rng(4).normal(size=(20, 100))
    smoother = TemporalSmoother(alpha=0.3, use_kalman=False)
    found, mean = [], values[0]
    for frame in values:
        found.append(smoother.smooth({"expcode": frame})["expcode"])
    for frame, smoothed in zip(values, found, strict=True):
        mean = 0.3 * frame + 0.7 * mean
        np.testing.assert_allclose(smoothed, mean, atol=1e-12)


def test_slerp():
    angles = [0.0, 0.8]
    smoother = TemporalSmoother(alpha=0.25, use_kalman=False)
    for angle in angles:
        transform = np.eye(4)[:3]
        transform[:, :3] = Rotation.from_rotvec([0, angle, 0]).as_matrix()
        last = smoother.smooth_transform(transform)
    np.testing.assert_allclose(Rotation.from_matrix(last[:, :3]).as_rotvec(), [0, 0.25 * 0.8, 0], atol=1e-9)


def test_pyramid():
    picture = torch.rand(1, 1, 64, 48, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    pyramid = LaplacianPyramid(4)
    levels = pyramid.build(picture)
    torch.testing.assert_close(levels[0], picture - pyramid.expand(pyramid.reduce(picture), picture.shape[-2:]))
    torch.testing.assert_close(pyramid.collapse(levels), picture)


def test_regions():
    parts = {
        "global": (0, 20),
        "eyes": (20, 30),
        "mouth": (30, 50),
        "brows": (50, 60),
        "nose": (60, 70),
        "cheeks": (70, 100),
    }
    assert parts == REGIONS
