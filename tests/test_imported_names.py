"""Names and snippets as people who come from upstream or from the specification type them."""

from __future__ import annotations

import importlib
import io
import logging
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import lmdb
import numpy as np
import pytest
import torch
from PIL import Image
from synthetic_checkpoint import write
from synthetic_head import a_clip, a_frame
from test_upstream_folder import put, put_pictures, stored
from torch.utils.data import DataLoader

from core.data import DriverData
from core.data.records import TrackedSequence, TrackedSource
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
from core.models.GAGAvatar import GAGAvatar
from core.models.LiftedAvatar import LiftedAvatar
from core.models.modules import DetailEnhancer, LaplacianPyramid
from core.models.rasterizer import render_gaussian

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


# The configuration and the network


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


@pytest.fixture(scope="module")
def assets(tmp_path_factory) -> tuple[Path, Path]:
    return write(tmp_path_factory.mktemp("assets"))


@pytest.fixture(scope="module")
def network(assets) -> GAGAvatar:
    """As upstream's inference.py makes it."""
    full_checkpoint = torch.load(assets[0], weights_only=True)
    meta_cfg = ConfigDict(init_dict=full_checkpoint["meta_cfg"])
    assert meta_cfg.DATASET.POINT_PLANE_SIZE == 296
    model = build_model(model_cfg=meta_cfg.MODEL)
    model.load_state_dict(full_checkpoint["model"])
    assert any(name.startswith("percep_loss.") for name in full_checkpoint["model"])  # the caller's stays as it is
    model._dtype = torch.float32  # measuring what is fastest here takes long, and is tested elsewhere
    return model.eval()


def test_the_network_has_the_checkpoints_weights(network, assets):
    state = network.state_dict()
    for name, value in GAGAvatar.from_checkpoint(assets[0]).state_dict().items():
        assert torch.equal(state[name], value), name


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


# Batches of a driver's frames


@pytest.fixture(scope="module")
def person() -> TrackedSource:
    """A face of the open head that nobody has: enough to build the avatar of."""
    frame = a_frame(np.random.default_rng(5), expression=0.0, degrees=0.0)
    random = np.random.default_rng(6)
    side = 512 + 2 * 96
    static_offset = random.normal(0, 0.002, (len(FLAMEModel().template), 3)).astype(np.float32)
    image = np.array(
        Image.fromarray(random.integers(60, 200, (16, 16, 3)).astype(np.uint8)).resize((side, side), Image.BICUBIC)
    )
    y, x = np.mgrid[:side, :side] - side / 2
    matte = ((x / 160) ** 2 + (y / 230) ** 2 < 1).astype(np.float32)
    return TrackedSource(replace(frame, static_offset=static_offset), image, matte, 96, np.ones((side, side), bool))


@pytest.fixture
def clip() -> TrackedSequence:
    return a_clip([a_frame(np.random.default_rng(seed)) for seed in range(3)])


@pytest.fixture
def tracked(tmp_path, clip) -> Path:
    clip.save(tmp_path / "clip")
    return tmp_path / "clip"


def specified_loop(driver_dataset, model, detail=True):
    """The loop of the specification's inference.py, with all four improvements."""
    temporal_smoother = TemporalSmoother(alpha=0.5, window_size=5, use_kalman=True)
    expression_optimizer = ExpressionOptimizer(n_exp=100, global_weight=0.7, local_weight=0.3)
    gaze_corrector = GazeCorrector(correction_strength=0.7, enhance_eyes=True)
    shown = []
    for batch in DataLoader(driver_dataset, batch_size=1, num_workers=0, shuffle=False):
        flame_params = batch["flame_params"]
        smoothed = temporal_smoother.smooth(flame_params)
        batch["t_transform"] = temporal_smoother.smooth_transform(smoothed["transform_matrix"])
        optimized_exp = expression_optimizer.optimize_expression(smoothed["expcode"])
        corrected_eyecode = gaze_corrector.correct_gaze(flame_params["eyecode"])
        batch["t_points"] = driver_dataset.flame_model(
            shape_params=smoothed["shapecode"][None],
            pose_params=smoothed["posecode"][None],
            expression_params=optimized_exp[None],
            eye_pose_params=corrected_eyecode[None],
        )[0].float()
        results = model.forward_expression(batch, enable_detail_enhance=detail, detail_strength=0.5)
        gt_rgb, pred_sr_rgb = results["t_image"].clamp(0, 1), results["sr_gen_image"].clamp(0, 1)
        pred_sr_rgb = gaze_corrector.enhance_eye_region(pred_sr_rgb)
        assert gt_rgb.shape == pred_sr_rgb.shape == results["gen_image"].shape == (1, 3, 512, 512)
        shown.append(pred_sr_rgb[0])
    return shown


class TestDriverData:
    def test_items_have_the_keys_of_upstream_and_of_the_specification(self, tracked, person, clip):
        driver = DriverData(str(tracked), person, 296)
        assert len(driver) == 3
        assert driver.is_video
        assert driver._is_video
        item = driver[1]
        assert {"f_image", "f_planes", "t_image", "t_points", "t_transform", "infos", "flame_params"} <= set(item)
        assert item["infos"] == {"t_key": "clip_1"}
        assert item["f_image"].shape == (3, 518, 518)
        assert item["f_planes"]["plane_points"].shape == (296 * 296, 3)
        assert item["t_image"].shape == (3, 512, 512)
        assert torch.equal(item["t_transform"], torch.from_numpy(clip.transform_matrix[1]))
        for name in ("expcode", "posecode", "eyecode", "transform_matrix"):
            assert torch.equal(item["flame_params"][name], torch.from_numpy(getattr(clip, name)[1]))
        assert torch.equal(item["flame_params"]["shapecode"], torch.from_numpy(person.frame.shapecode))
        expected = FLAMEModel().evaluate(
            replace(clip[1], shapecode=person.frame.shapecode, static_offset=person.frame.static_offset)
        )
        np.testing.assert_array_equal(item["t_points"], expected)
        codes = {name: value[None] for name, value in item["flame_params"].items()}
        again = driver.flame_model(
            shape_params=codes["shapecode"],
            pose_params=codes["posecode"],
            expression_params=codes["expcode"],
            eye_pose_params=codes["eyecode"],
        )
        torch.testing.assert_close(again[0], item["t_points"], atol=1e-5, rtol=0)
        driver.slice(2)
        assert len(driver) == 2
        with pytest.raises(IndexError):
            _ = driver[2]

    def test_the_built_in_avatar_draws_the_batch(self, tracked, person, clip):
        model = LiftedAvatar()
        avatar = model.encode(person)
        for index, batch in enumerate(DataLoader(DriverData(tracked, person), batch_size=1)):
            result = model.forward_expression(batch)
            frame = replace(clip[index], shapecode=person.frame.shapecode, static_offset=person.frame.static_offset)
            expected = model.render(avatar, FLAMEModel().evaluate(frame), frame.transform_matrix)
            assert torch.equal(result["sr_gen_image"][0], expected)
            assert torch.equal(result["gen_image"], result["sr_gen_image"])
            assert torch.equal(result["t_image"], batch["t_image"])
        sharp = model.forward_expression(batch, enable_detail_enhance=True, detail_strength=0.5)
        assert torch.equal(sharp["sr_gen_image"], DetailEnhancer()(result["gen_image"], strength_multiplier=0.5))

    def test_the_specifications_loop_runs_on_the_built_in_avatar(self, tracked, person):
        frames = specified_loop(DriverData(tracked, person, 296), LiftedAvatar())
        assert len(frames) == 3
        assert all(float(frame.std()) > 0.02 for frame in frames)

    def test_another_source_is_another_avatar(self, tracked, person):
        model = LiftedAvatar()
        darker = replace(person, image=person.image // 2)
        first, second = (
            model.forward_expression(next(iter(DataLoader(DriverData(tracked, who), batch_size=1))))["gen_image"]
            for who in (person, darker)
        )
        assert float(second.mean()) < 0.7 * float(first.mean())

    def test_the_network_draws_the_batch(self, network, assets, person, tmp_path):
        head = FLAMEModel(path=assets[1], no_lmks=True)
        records = {f"a_{i}": _flame_record(i) for i in range(2)}
        folder = put_pictures(put(tmp_path, "optim.pkl", records), {"a_0": stored(1), "a_1": stored(2)})
        feature_data = {"image": torch.rand(3, 512, 512, generator=torch.Generator().manual_seed(2))}
        feature_data |= {name: torch.from_numpy(_flame_record(7)[name]) for name in ("transform_matrix", "shapecode")}
        driver = DriverData(str(folder), feature_data, 296, head=head)
        assert not torch.equal(driver[0]["t_image"], driver[1]["t_image"])
        assert driver[1]["infos"] == {"t_key": "a_1"}
        in_workers = [batch["t_image"][0] for batch in DataLoader(driver, batch_size=1, num_workers=2)]
        assert all(torch.equal(in_workers[i], driver[i]["t_image"]) for i in range(2))
        batch = next(iter(DataLoader(driver, batch_size=1)))
        result = network.forward_expression(batch, enable_detail_enhance=True, detail_strength=0.5)
        avatar = network.encode(feature_data["image"], feature_data["transform_matrix"])
        expected = network.forward_expression(batch | {"avatar": avatar})
        assert torch.equal(result["gen_image"], expected["gen_image"])
        assert torch.equal(result["sr_gen_image"], DetailEnhancer()(expected["sr_gen_image"], strength_multiplier=0.5))
        assert torch.equal(result["t_image"], batch["t_image"])

    def test_stills_in_memory(self, assets):
        head = FLAMEModel(path=assets[1], no_lmks=True)
        picture = torch.rand(3, 512, 512)
        record = {name: torch.from_numpy(value) for name, value in _flame_record(3).items()} | {"image": picture}
        driver = DriverData({"me.jpg": record}, record, head=head)
        assert (len(driver), driver.is_video) == (1, False)
        assert driver[0]["infos"] == {"t_key": "me.jpg"}
        torch.testing.assert_close(driver[0]["t_image"], picture, atol=0.5 / 255 + 1e-6, rtol=0)
        own = DriverData({"me.jpg": record}, None, head=head)  # the driver's first frame is the photo
        torch.testing.assert_close(own.f_planes["plane_dirs"], driver.f_planes["plane_dirs"])

    def test_a_video_is_decoded_in_any_order(self, tmp_path, person, clip):
        from core.data.loader_track import DriverData as Record
        from core.data.video import VideoWriter

        path = tmp_path / "clip.mp4"
        with VideoWriter(path, Fraction(25), (64, 64)) as writer:
            for level in (20, 120, 220):
                writer.write(np.full((64, 64, 3), level, np.uint8))
        crops = np.tile(np.float32([0, 0, 64]), (3, 1))
        driver = DriverData(Record(path, "video", replace(clip, crops=crops)), person)
        assert driver.is_video
        levels = [float(driver[index]["t_image"][:, 200:300, 200:300].mean()) * 255 for index in (2, 0, 0, 1)]
        np.testing.assert_allclose(levels, [220, 20, 20, 120], atol=6)
        loaded = DataLoader(driver, batch_size=1, num_workers=2)  # decoding goes on in processes of their own
        levels = [float(batch["t_image"][..., 200:300, 200:300].mean()) * 255 for batch in loaded]
        np.testing.assert_allclose(levels, [20, 120, 220], atol=6)

    def test_the_demo(self, person):
        driver = DriverData(DEMO_DRIVER, person)
        driver.slice(1)
        (frame,) = specified_loop(driver, LiftedAvatar())
        assert float(frame.std()) > 0.02


def _flame_record(seed: int) -> dict[str, np.ndarray]:
    frame = a_frame(np.random.default_rng(seed))
    return {
        name: getattr(frame, name)
        for name in ("shapecode", "expcode", "posecode", "eyecode", "transform_matrix", "bbox")
    }


# What is wrong is told


class TestRefused:
    def test_flame_that_is_not_there(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        folder = put(tmp_path, "optim.pkl", {"a_0": _flame_record(0), "a_1": _flame_record(1)})
        with pytest.raises(UserError, match=r"python -m core\.assets"):
            DriverData(folder, None)

    def test_codes_of_flame_for_the_open_head_without_flame(self, tmp_path, person, monkeypatch):
        monkeypatch.chdir(tmp_path)
        folder = put(tmp_path, "optim.pkl", {"a_0": _flame_record(0), "a_1": _flame_record(1)})
        with pytest.raises(UserError, match=r"tracked for the flame head.*python -m core\.assets"):
            DriverData(folder, person)

    def test_no_picture_to_start_from(self, tracked):
        with pytest.raises(UserError, match="holds no pictures: give the photo"):
            DriverData(tracked, None)

    def test_a_batch_without_the_photo(self, tracked, person):
        batch = next(iter(DataLoader(DriverData(tracked, person), batch_size=1)))
        del batch["source"]
        with pytest.raises(KeyError, match=r"lacks source.*track_source"):
            LiftedAvatar().forward_expression(batch)


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
