"""Batches of a driver's frames as upstream's dataset gives them, and the specification's loop over them."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from synthetic_head import a_clip, a_frame
from test_upstream_folder import put, put_pictures, stored
from torch.utils.data import DataLoader

from core.data import DriverData
from core.data.records import TrackedSequence, TrackedSource
from core.errors import UserError
from core.libs.expression_optimizer import ExpressionOptimizer
from core.libs.flame_model import FLAMEModel
from core.libs.gaze_corrector import GazeCorrector
from core.libs.temporal_smoother import TemporalSmoother
from core.libs.utils import ConfigDict
from core.models import build_model
from core.models.GAGAvatar import GAGAvatar
from core.models.LiftedAvatar import LiftedAvatar
from core.models.modules import DetailEnhancer
from core.models.request import DrawRequest

ROOT = Path(__file__).parents[1]
DEMO_DRIVER, DEMO_PHOTO = ROOT / "demos/drivers/obama", ROOT / "demos/examples/1.jpg"


@pytest.fixture(scope="module")
def network(released_files) -> GAGAvatar:
    """As upstream's inference.py makes it."""
    full_checkpoint = torch.load(released_files[0], weights_only=True)
    meta_cfg = ConfigDict(init_dict=full_checkpoint["meta_cfg"])
    assert meta_cfg.DATASET.POINT_PLANE_SIZE == 296
    model = build_model(model_cfg=meta_cfg.MODEL)
    model.load_state_dict(full_checkpoint["model"])
    assert any(name.startswith("percep_loss.") for name in full_checkpoint["model"])  # the caller's stays as it is
    model._dtype = torch.float32  # measuring what is fastest here takes long, and is tested elsewhere
    return model.eval()


def test_the_network_has_the_checkpoints_weights(network, released_files):
    state = network.state_dict()
    for name, value in GAGAvatar.from_checkpoint(released_files[0]).state_dict().items():
        assert torch.equal(state[name], value), name


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
            expected = model.render(avatar, DrawRequest(FLAMEModel().evaluate(frame), frame.transform_matrix))
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

    def test_the_network_draws_the_batch(self, network, released_files, person, tmp_path, monkeypatch):
        head = FLAMEModel(path=released_files[1], no_lmks=True)
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
        monkeypatch.setattr(network.base_model, "forward", quick_features)
        result = network.forward_expression(batch, enable_detail_enhance=True, detail_strength=0.5)
        avatar = network.encode(feature_data["image"], feature_data["transform_matrix"])
        expected = network.forward_expression(batch | {"avatar": avatar})
        assert torch.equal(result["gen_image"], expected["gen_image"])
        assert torch.equal(result["sr_gen_image"], DetailEnhancer()(expected["sr_gen_image"], strength_multiplier=0.5))
        assert torch.equal(result["t_image"], batch["t_image"])

    def test_stills_in_memory(self, released_files):
        head = FLAMEModel(path=released_files[1], no_lmks=True)
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


def quick_features(image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """In place of the encoder, which `test_network.py` holds to its golden numbers and which takes seconds a picture.

    A map (1, 256, 296, 296) and a feature (1, 768), both made of the picture (1, 3, 518, 518).
    """
    small = torch.nn.functional.interpolate(image, (296, 296)).mean(1, keepdim=True)
    return small * torch.linspace(-1, 1, 256)[:, None, None], image.mean() * torch.linspace(-1, 1, 768)[None]


def _flame_record(seed: int) -> dict[str, np.ndarray]:
    frame = a_frame(np.random.default_rng(seed))
    return {
        name: getattr(frame, name)
        for name in ("shapecode", "expcode", "posecode", "eyecode", "transform_matrix", "bbox")
    }


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
