"""Names and snippets as people who come from upstream or from the specification type them."""

from __future__ import annotations

import importlib
import io
import logging
import subprocess
import sys
from pathlib import Path

import lmdb
import numpy as np
import pytest
import torch
from PIL import Image
from synthetic_head import a_frame

from core.errors import UserError
from core.libs.expression_optimizer import ExpressionOptimizer
from core.libs.eye_enhancer import EyeEnhancer
from core.libs.face_finder import FaceFinder
from core.libs.flame_model import FLAMEModel
from core.libs.gaze_corrector import GazeCorrector
from core.libs.temporal_smoother import TemporalSmoother
from core.libs.tracker.base import Observation
from core.libs.utils import ConfigDict
from core.libs.utils_lmdb import LMDBEngine
from core.models import build_model
from core.models.LiftedAvatar import LiftedAvatar
from core.models.modules import DetailEnhancer, LaplacianPyramid

ROOT = Path(__file__).parents[1]
DEMO_DRIVER, DEMO_PHOTO = ROOT / "demos/drivers/obama", ROOT / "demos/examples/1.jpg"


# Names


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("core.models.modules", "DetailEnhancer DINOBase StyleUNet LinearGSGenerator ConvGSGenerator"),
        ("core.models.modules", "LaplacianPyramid SobelEdgeDetector"),
        ("core.models", "build_model"),
        ("core.models.GAGAvatar", "GAGAvatar"),
        ("core.models.LiftedAvatar", "LiftedAvatar"),
        ("core.data", "DriverData"),
        ("core.data.loader_track", "DriverData"),
        ("core.libs.utils", "ConfigDict"),
        ("core.libs.utils_lmdb", "LMDBEngine"),
        ("core.libs.flame_model", "FLAMEModel"),
        ("core.libs.temporal_smoother", "TemporalSmoother"),
        ("core.libs.expression_optimizer", "ExpressionOptimizer"),
        ("core.libs.gaze_corrector", "GazeCorrector EyeEnhancer"),
        ("core.models.modules.detail_enhancer", "DetailEnhancer SobelEdgeDetector"),
    ],
)
def test_names_are_where_they_are_looked_for(module, names):
    found = importlib.import_module(module)
    assert all(isinstance(getattr(found, name), type) or callable(getattr(found, name)) for name in names.split())
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = found.Nothing


@pytest.mark.parametrize("module", ["core.data", "core.models", "core.models.modules", "core.models.GAGAvatar"])
def test_packages_load_nothing_before_a_name_is_asked_for(module):
    code = f"import sys, {module}; print({{'torch', 'cv2', 'numba', 'mediapipe'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "set()", done.stderr


# The configuration and the models


class TestConfigDict:
    def test_values_are_attributes(self):
        values = {"MODEL": {"NAME": "GAGAvatar", "DEPTH": {"N": 3}}, "TRAIN": "no"}
        config = ConfigDict(init_dict=values)
        assert config.MODEL.NAME == config["MODEL"]["NAME"] == "GAGAvatar"
        assert config.MODEL.DEPTH.N == 3
        assert dict(config) == values
        assert str(config).splitlines() == ["MODEL:", "    NAME: GAGAvatar", "    DEPTH:", "        N: 3", "TRAIN: no"]

    def test_wrong_use_is_told(self):
        config = ConfigDict(init_dict={"MODEL": {"NAME": "a"}})
        with pytest.raises(AttributeError, match="no 'DATASET', only MODEL"):
            _ = config.DATASET
        with pytest.raises(AttributeError, match=r"write config\['MODEL'\]"):
            config.MODEL = 1
        with pytest.raises(UserError, match="is a str, expected a mapping"):
            ConfigDict(init_dict="(training only)")


@pytest.mark.parametrize("config", [{"NAME": "ROME"}, {}, None, "GAGAvatar"])
def test_an_unknown_model_is_told(config):
    with pytest.raises(UserError, match=r"one of GAGAvatar, LiftedAvatar, got (NAME|a )"):
        build_model(model_cfg=config)


def test_the_built_in_avatar_is_built_by_its_name():
    assert isinstance(build_model({"NAME": "LiftedAvatar"}), LiftedAvatar)


# The database of pictures


@pytest.fixture
def pictures(tmp_path) -> Path:
    picture, buffer = io.BytesIO(), io.BytesIO()
    Image.fromarray(np.full((6, 8, 3), (10, 20, 30), np.uint8)).save(picture, "PNG")
    torch.save(torch.arange(4.0), buffer)
    with lmdb.open(str(tmp_path / "img_lmdb")) as environment, environment.begin(write=True) as transaction:
        for key, value in (("a_1", picture.getvalue()), ("t_2", buffer.getvalue()), ("x_3", b"neither")):
            transaction.put(key.encode(), value)
    return tmp_path / "img_lmdb"


class TestLMDBEngine:
    def test_pictures_and_tensors_are_read(self, pictures):
        with LMDBEngine(str(pictures), write=False) as engine:
            assert engine["a_1"].shape == (3, 6, 8)
            assert engine["a_1"].dtype == torch.uint8
            assert engine["a_1"][:, 0, 0].tolist() == [10, 20, 30]
            assert torch.equal(engine.load("a_1", type="image"), engine["a_1"])
            assert torch.equal(engine.load("t_2", type="torch"), torch.arange(4.0))
            assert engine.keys() == ["a_1", "t_2", "x_3"]
            assert (engine.exists("a_1"), engine.exists("b_1")) == (True, False)
            assert engine.raw_load("b_1") is None

    def test_nothing_but_data_is_read_and_nothing_is_written(self, pictures):
        before = (pictures / "data.mdb").read_bytes()
        with LMDBEngine(pictures) as engine:
            with pytest.raises(KeyError, match="nothing named 'b_1'"):
                _ = engine["b_1"]
            with pytest.raises(UserError, match="neither a JPEG or PNG picture nor a tensor"):
                _ = engine["x_3"]
            with pytest.raises(UserError, match="holds no JPEG or PNG"):
                engine.load("t_2")
            for write_it in (lambda: engine.dump("a_1", torch.zeros(3, 2, 2)), lambda: engine.delete("a_1")):
                with pytest.raises(UserError, match="only reads"):
                    write_it()
        with pytest.raises(UserError, match="only reads"):
            LMDBEngine(pictures, write=True)
        assert (pictures / "data.mdb").read_bytes() == before

    def test_what_is_no_database_ends_in_one_line(self, tmp_path):
        with pytest.raises(UserError, match=r"holds no data\.mdb"):
            LMDBEngine(tmp_path / "none")

    def test_a_second_one_in_the_process_is_told_to_wait_for_the_first(self, pictures):
        with LMDBEngine(pictures) as first:
            with pytest.raises(UserError, match="open in this process already: close") as caught:
                LMDBEngine(pictures)
            assert "copy" not in str(caught.value)
            assert first.exists("a_1")
        with LMDBEngine(pictures) as second:
            assert second.exists("a_1")


# The head


class TestHead:
    def test_any_leading_dimensions(self):
        head = FLAMEModel(n_shape=300, n_exp=100, scale=5.0, no_lmks=True)
        frames = [a_frame(np.random.default_rng(seed)) for seed in range(2)]
        codes = [
            torch.stack([torch.from_numpy(getattr(frame, name)) for frame in frames])
            for name in ("shapecode", "expcode", "posecode", "eyecode")
        ]
        names = ("shape_params", "expression_params", "pose_params", "eye_pose_params")
        flat = head(**dict(zip(names, codes, strict=True)))
        assert flat.shape == (2, len(head.template), 3)
        nested = head(**{name: code[None] for name, code in zip(names, codes, strict=True)})
        assert torch.equal(nested, flat[None])
        single = head(**{name: code[1] for name, code in zip(names, codes, strict=True)})
        torch.testing.assert_close(single, flat[1], atol=1e-6, rtol=0)
        torch.testing.assert_close(single, torch.from_numpy(head.evaluate(frames[1])), atol=1e-5, rtol=0)

    def test_what_is_left_out_is_at_rest(self):
        head = FLAMEModel()
        zeros = head(torch.zeros(1, 300), torch.zeros(1, 100), torch.zeros(1, 6), torch.zeros(1, 6))
        assert torch.equal(head(shape_params=torch.zeros(1, 300)), zeros)
        assert torch.equal(head.get_faces(), head.faces)


# The four improvements


def test_the_specifications_settings_are_taken():
    TemporalSmoother(alpha=0.5, window_size=5, use_kalman=True)
    TemporalSmoother(alpha=0.7, window_size=3, use_kalman=False)
    ExpressionOptimizer(n_exp=100, global_weight=0.7, local_weight=0.3)
    assert GazeCorrector(correction_strength=1.0, enhance_eyes=True).enhance_eyes
    DetailEnhancer(num_levels=4, enhancement_strength=0.3)
    image = torch.rand(1, 3, 64, 64)
    pyramid = LaplacianPyramid(4)
    torch.testing.assert_close(pyramid.collapse(pyramid.build(image)), image)


class TestExpressions:
    @pytest.mark.parametrize("shape", [(100,), (1, 100), (3, 100)])
    def test_codes_come_back_as_they_were_given(self, shape):
        code = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        out = ExpressionOptimizer().optimize_expression(code)
        assert (out.shape, out.dtype) == (code.shape, code.dtype)

    def test_without_the_source_it_is_said_once_that_nothing_is_carried_over(self, caplog):
        optimizer = ExpressionOptimizer()
        with caplog.at_level(logging.WARNING, "core"):
            for _ in range(3):
                optimizer.optimize_expression(torch.zeros(100))
            ExpressionOptimizer().optimize_expression(torch.zeros(100), torch.zeros(100))
        assert len(caplog.messages) == 1
        assert "identity_features" in caplog.messages[0]

    def test_pca_of_a_dataset(self):
        random = np.random.default_rng(3)
        axes = np.linalg.qr(random.normal(size=(100, 100)))[0][:, :10].T
        clean = random.normal(0, 2, (400, 10)) @ axes
        dataset = clean + random.normal(0, 0.1, clean.shape)
        optimizer = ExpressionOptimizer(n_exp=100, n_pca_components=10)
        optimizer.initialize_pca(torch.from_numpy(dataset))
        out = optimizer.optimize_expression(dataset)
        # The same by numpy: what lies beside the ten strongest directions goes.
        middle = dataset.mean(0)
        strongest = np.linalg.svd(dataset - middle, full_matrices=False)[2][:10]
        beside = (dataset - middle) - (dataset - middle) @ strongest.T @ strongest
        usual = np.linalg.norm(beside, axis=1) < 1.5 * np.median(np.linalg.norm(beside, axis=1))
        np.testing.assert_allclose(out[usual], (dataset - beside)[usual], atol=1e-9)
        assert np.square(out - clean).mean() < 0.3 * np.square(dataset - clean).mean()
        optimizer.fit_neutral(random.normal(size=(20, 100)))  # another clip: the dataset's components stay
        np.testing.assert_allclose(optimizer.optimize_expression(dataset)[usual], (dataset - beside)[usual], atol=1e-9)
        with pytest.raises(ValueError, match="at least 2 finite codes, got 1"):
            optimizer.initialize_pca(np.zeros((1, 100)))

    def test_without_scikit_learn_it_says_what_to_install(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "sklearn.decomposition", None)
        with pytest.raises(UserError, match=r"pip install \.\[pca\]"):
            ExpressionOptimizer().initialize_pca(np.zeros((3, 100)))

    def test_distances(self):
        optimizer, a, b = ExpressionOptimizer(), np.zeros(100), np.zeros(100)
        a[0], b[60] = 3, 4
        assert optimizer.compute_expression_distance(a, b) == pytest.approx(5)
        assert optimizer.compute_expression_distance(a, b, metric="perceptual") == pytest.approx(np.sqrt(2 * 9 + 16))
        assert optimizer.compute_expression_distance(a, b, metric="cosine") == pytest.approx(1)
        assert optimizer.compute_expression_distance(a, 2 * a, metric="cosine") == pytest.approx(0)
        with pytest.raises(ValueError, match="l2, cosine or perceptual, got 'l1'"):
            optimizer.compute_expression_distance(a, b, metric="l1")

    def test_blends(self):
        optimizer, a, b = ExpressionOptimizer(), torch.zeros(100), torch.ones(100)
        assert torch.equal(optimizer.blend_expressions(a, b, alpha=0.25), torch.full((100,), 0.25))
        out = optimizer.blend_expressions(a, b, alpha=1.0, regions=["eye", "mouth"])
        assert torch.nonzero(out).ravel().tolist() == list(range(20, 50))
        with pytest.raises(ValueError, match="'ear' is none of global, eyes"):
            optimizer.blend_expressions(a, b, regions=["ear"])


class OneFace:
    """A tracker that finds the same points in every picture that is not black."""

    name, version = "fake", "1"

    def __init__(self, points: np.ndarray) -> None:
        self._points, self.calls = points, 0

    def detect(self, image: np.ndarray) -> Observation | None:
        self.calls += 1
        assert image.dtype == np.uint8
        return Observation(self._points) if image.any() else None


def _eye_points() -> np.ndarray:
    """(478, 3) float32 with two open eyes, 40 pixels wide."""
    points = np.full((478, 3), 60, np.float32)
    for ring, x in (((33, 160, 158, 133, 153, 144), 30), ((362, 385, 387, 263, 373, 380), 90)):
        points[list(ring), :2] = [[x, 60], [x + 13, 53], [x + 27, 53], [x + 40, 60], [x + 27, 67], [x + 13, 67]]
    for iris, x in (((468, 469, 470, 471, 472), 50), ((473, 474, 475, 476, 477), 110)):
        points[list(iris), :2] = [[x, 60], [x + 7, 60], [x, 53], [x - 7, 60], [x, 67]]
    return points


class TestEyes:
    @pytest.fixture
    def image(self) -> torch.Tensor:
        return torch.rand(1, 3, 120, 160, generator=torch.Generator().manual_seed(1)) * 0.5 + 0.25

    def test_eyes_are_found_where_no_landmarks_are_given(self, image):
        tracker = OneFace(_eye_points())
        corrector = GazeCorrector()
        corrector.enhancer = EyeEnhancer(finder=FaceFinder(tracker))
        out = corrector.enhance_eye_region(image)
        assert torch.equal(out, EyeEnhancer()(image, _eye_points()[None, :, :2]))
        assert not torch.equal(out, image)
        both = torch.cat([torch.zeros_like(image), image])
        out = corrector.enhance_eye_region(both)
        assert torch.equal(out[0], both[0])  # no face
        assert not torch.equal(out[1], both[1])
        assert tracker.calls == 3

    def test_without_a_tracker_the_picture_stays_and_it_is_said_once(self, image, monkeypatch, caplog):
        monkeypatch.setitem(sys.modules, "core.libs.tracker.mediapipe_tracker", None)
        enhancer = EyeEnhancer()
        with caplog.at_level(logging.WARNING, "core"):
            assert torch.equal(enhancer(image), image)
            assert torch.equal(enhancer(image), image)
        assert len(caplog.messages) == 1

    def test_the_real_tracker_finds_a_real_face(self):
        picture = np.array(Image.open(DEMO_PHOTO).convert("RGB").resize((256, 256), Image.Resampling.LANCZOS))
        image = torch.from_numpy(picture.astype(np.float32) / 255).permute(2, 0, 1)[None]
        corrector = GazeCorrector(correction_strength=0.7, enhance_eyes=True)
        changed = (corrector.enhance_eye_region(image) - image).abs().amax((0, 1))
        rows, columns = torch.nonzero(changed > 0, as_tuple=True)
        assert 0 < len(rows) < 0.1 * changed.numel()
        assert rows.max() < 160  # above the nose
        assert columns.max() - columns.min() > 20  # of both eyes

    def test_68_and_70_landmarks(self, image):
        points = _eye_points()[:, :2]
        from core.libs.flame_model.topology import LANDMARKS_68

        expected = EyeEnhancer()(image, points[None])
        few = points[list(LANDMARKS_68)]
        assert torch.equal(EyeEnhancer()(image, few[None]), expected)
        assert torch.equal(EyeEnhancer()(image, np.concatenate([few, points[[473, 468]]])[None]), expected)
