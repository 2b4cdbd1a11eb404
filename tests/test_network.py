"""The published network: golden numbers of every stage with deterministic weights, its checkpoint, the pipeline's view.

The numbers are described in `__meta__` of each file: which slice of which array was stored.
"""

from __future__ import annotations

import hashlib
import logging
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from core.components import Components
from core.data.records import IMAGE_SIZE, TrackedSource
from core.errors import UserError
from core.libs.flame_model import FLAMEModel
from core.models.GAGAvatar.adapter import PublishedAvatar, SourceAvatar
from core.models.GAGAvatar.models import N_VERTICES, GAGAvatar, NetworkAvatar
from core.models.GAGAvatar.planes import lifting_plane
from core.models.modules.dino_base import normalize
from core.models.modules.direction_code import direction_code
from core.models.modules.gs_generators import ConvGSGenerator, LinearGSGenerator
from core.models.modules.resize import resize_smooth
from core.models.modules.style_unet import StyleUNet
from core.models.modules.style_unet_engine import PrecisionSettings, StyleUNetEngine, faithful_engine
from core.models.request import DrawRequest
from core.options import Options
from core.pipeline import animate, to_image
from tests.golden_numbers import Golden, normals, psnr, raster_like, smooth_image, watch
from tests.synthetic_checkpoint import layout, small_upsampler, tensors
from tests.synthetic_flame import random_flame, write_flame
from tests.synthetic_head import a_frame

SMALL = {  # name: side of the input, of the output, seed
    "style_unet_64": (64, 64, 1022),
    "style_unet_32to64": (32, 64, 1023),
    "style_unet_128to64": (128, 64, 1024),
}


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def small_unet():
    """The small upsampler with as many pixels in as out."""
    unet = StyleUNet(64, 64, 32, 3)
    unet.load_state_dict(small_upsampler("style_unet_64"), strict=True)
    return unet


@pytest.fixture(scope="module")
def network(released_files):
    return GAGAvatar.from_checkpoint(released_files[0], dtype=torch.float32)


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    """The head of the golden numbers, which has no face."""
    return FLAMEModel(path=write_flame(tmp_path_factory.mktemp("flame") / "flame.pt", random_flame()), no_lmks=True)


@pytest.fixture(scope="module")
def chain():
    return Golden("end_to_end")


@pytest.fixture(scope="module")
def vertices(head, chain):
    codes = (chain.tensor(name) for name in ("shapecode", "expcode", "posecode", "eyecode"))
    with torch.no_grad():
        return head(*codes)[0]


@pytest.fixture(scope="module")
def avatar(network, chain) -> NetworkAvatar:
    return network.encode(smooth_image(1071, 16, 512), chain.tensor("source_transform"))


# The helper that makes the weights


def test_weights_follow_the_recipe():
    keys = layout()["keys"]
    chosen = [name for name in keys if "blocks.3." in name or "gs_generator" in name or "noise" in name]
    drawn = tensors({name: keys[name] for name in chosen})
    for name in chosen:
        assert hashlib.sha256(drawn[name].numpy().tobytes()).hexdigest()[:16] == keys[name]["sha256_16"], name


# The stages against their numbers


def test_resize():
    golden, image = Golden("resize"), smooth_image(1002, 16, 512)
    assert golden.largest("input512", image) == 0
    large = resize_smooth(image[None], 518)
    assert golden.largest("to518", large[0]) < 2e-6
    assert golden.largest("to518_edge", large[0]) < 2e-6
    for side in (148, 74, 37, 19):
        assert golden.largest(f"to{side}", resize_smooth(large, side)[0]) < 2e-6


@pytest.mark.parametrize("camera", [0, 1, 2])
def test_planes(camera):
    golden = Golden("geometry")
    transform = golden.tensor(f"transform{camera}")
    for size, name in ((296, "plane_points"), (5, "plane5_points")):
        points, axis = lifting_plane(transform, size)
        key = f"{name}{camera}"
        assert golden.largest(key, points) <= 1e-6 * golden.meta[key]["absmax"]
        assert golden.largest(f"plane_dirs{camera}", axis) <= 1e-6
    assert golden.largest(f"plane_direnc{camera}", direction_code(axis[None])) <= 1e-6


def test_generators():
    golden, keys = Golden("gs_generators"), layout()["keys"]
    directions = np.random.RandomState(1011).standard_normal((2, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    code = direction_code(torch.from_numpy(directions.astype(np.float32)))
    assert golden.relative("direnc", code) < 1e-5
    for k in (0, 1):
        generator = ConvGSGenerator()
        generator.load_state_dict(tensors(keys, f"gs_generator_l{k}."))
        for name, value in generator(normals(1012, 2, 256, 12, 20), code).items():
            assert golden.relative(f"conv_l{k}_{name}", value) < 1e-5, name
    generator = LinearGSGenerator()
    generator.load_state_dict(tensors(keys, "gs_generator_g."))
    for name, value in generator(normals(1013, 2, 57, 1024), code).items():
        assert golden.relative(f"linear_{name}", value) < 1e-5, name
    base = tensors({"head_base": keys["head_base"]})["head_base"]
    rows = torch.cat([base, normals(1014, 1, 768).expand(N_VERTICES, -1)], 1)
    for name, value in generator(rows[None], code[:1]).items():
        assert golden.relative(f"head_{name}", value) < 1e-5, name


@pytest.mark.parametrize("name", SMALL)
def test_small_upsampler_and_its_engine(name, small_unet):
    in_side, out_side, seed = SMALL[name]
    golden = Golden(name)
    unet = StyleUNet(in_side, out_side, 32, 3)
    unet.load_state_dict(small_upsampler(name) if in_side > 64 else small_unet.state_dict(), strict=True)
    x = raster_like(seed, in_side)
    assert golden.largest("input", x) == 0
    assert golden.relative("output", unet(x)) < 1e-5
    assert golden.relative("output", StyleUNetEngine(unet, torch.float32)(x)) < 1e-5


@pytest.mark.parametrize(("dtype", "least"), [(torch.bfloat16, 45), (torch.float16, 60)])
def test_half_precision_is_faithful(dtype, least, small_unet):
    x = raster_like(1022, 64)
    assert psnr(StyleUNetEngine(small_unet, dtype)(x), small_unet(x)) > least


def test_upsampler_layer_by_layer(small_unet):
    golden, unet = Golden("style_unet_64"), small_unet
    decoder, seen = unet.stylegan_decoder, {}
    watched = {"style_code": unet.final_linear, "latent": decoder.style_mlp["15"], "styleconv1": decoder.style_conv1}
    watched |= {f"styleconv{k + 2}": layer for k, layer in enumerate(decoder.style_convs)}
    for names, layers in (
        ("down", unet.conv_body_down),
        ("up", unet.conv_body_up),
        ("scale", unet.condition_scale),
        ("shift", unet.condition_shift),
    ):
        watched |= {f"{names}{k}": layer for k, layer in enumerate(layers)}
    hooks = watch(watched, seen)
    picture = unet(raster_like(1022, 64))
    for hook in hooks:
        hook.remove()
    for key, value in seen.items():
        if key == "latent":
            value = torch.nn.functional.leaky_relu(value, 0.2)
        assert golden.relative(key, value) < 1e-5, key
    assert seen.keys() == watched.keys()
    assert golden.relative("output_corner", picture) < 1e-5
    assert golden.relative("output_end", picture) < 1e-5


def test_noise_is_fixed_unless_asked_for(small_unet):
    x = raster_like(1022, 64)
    assert torch.equal(small_unet(x), small_unet(x))
    assert not torch.equal(small_unet(x, randomize_noise=True), small_unet(x, randomize_noise=True))
    engine = StyleUNetEngine(small_unet)
    assert torch.equal(engine(x), engine(x))


def test_half_precision_that_is_not_faithful_is_given_up(small_unet, monkeypatch, caplog):
    monkeypatch.setattr("core.models.modules.style_unet_engine.fast_dtype", lambda device: torch.bfloat16)
    assert faithful_engine(small_unet, raster_like(1022, 64)).dtype == torch.bfloat16
    strict = PrecisionSettings(faithful=90.0)
    assert faithful_engine(small_unet, raster_like(1022, 64), settings=strict).dtype == torch.float32
    assert "float32, slower" in caplog.text


def test_encoder(network):
    golden, encoder, seen = Golden("dino_encoder"), network.base_model, {}
    watched = {f"block{k}": layer for k, layer in enumerate(encoder.dino_model.blocks)}
    for names, layers in (
        ("project", encoder.projects),
        ("resized", encoder.resize_layers),
        ("level", encoder.layer_rn),
        ("path", encoder.refinenet),
    ):
        watched |= {f"{names}{4 - k if names == 'path' else k}": layer for k, layer in enumerate(layers)}
    hooks = watch(watched, seen)
    image = smooth_image(1001, 14, 518, (1,))
    assert golden.largest("input", image) == 0
    features, global_feature = encoder(image)
    for hook in hooks:
        hook.remove()
    assert seen.keys() == watched.keys()
    seen |= {"normalized_input": normalize(image), "global_feature": global_feature}
    seen |= dict.fromkeys(("features", "features_corner", "features_end"), features)
    for key, value in seen.items():
        assert golden.relative(key, value) < 1e-5, key


def test_full_upsampler(network):
    golden, x = Golden("style_unet_512"), raster_like(1021, 512)
    engine = StyleUNetEngine(network.upsampler, torch.float32)
    for picture in (network.upsampler(x), engine(x)):
        for key in ("output", "output_corner", "output_end"):
            assert golden.relative(key, picture) < 1e-5, key
    for conv in engine._convs:
        conv.noise.zero_()
    assert golden.relative("output_zero_noise", engine(x)) < 1e-5


def test_whole_chain(network, avatar, vertices, chain):
    params, driver = Golden("end_to_end_params"), chain.tensor("driver_transform")
    assert params.relative("t_points", vertices[None]) < 1e-5
    raster = network.rasterize(avatar, vertices, driver)
    for key in params.arrays:
        if key != "t_points":
            assert params.relative(key, avatar.gaussians[key.split("_")[0]][None]) < 1e-5, key
    assert chain.relative("feature_image", raster[0]) <= 5e-4
    assert chain.relative("feature_image_crop", raster[0]) <= 5e-4
    picture = network.upsample(raster)
    assert chain.relative("output", picture) <= 1e-4
    assert chain.relative("output_crop", picture) <= 1e-4
    assert psnr(StyleUNetEngine(network.upsampler, torch.bfloat16)(raster), picture) > 45

    result = network.forward_expression(
        {"avatar": avatar, "t_points": vertices[None], "t_transform": driver[None], "t_image": picture}
    )
    assert chain.relative("gen_image", result["gen_image"]) <= 5e-4
    assert torch.equal(result["sr_gen_image"], picture)
    assert result["t_image"] is picture


# What a frame costs and what it leaves alone


def test_a_frame_moves_only_the_vertices(network, avatar, vertices, chain, monkeypatch):
    scenes = []

    def catch(scene, *arguments, **keywords):
        scenes.append(scene)
        return {"images": torch.zeros(1, 32, 512, 512)}

    monkeypatch.setattr("core.models.GAGAvatar.models.render_gaussian", catch)
    before = {name: value.clone() for name, value in avatar.gaussians.items()}
    network.rasterize(avatar, vertices + 1, chain.tensor("driver_transform"))
    network.rasterize(avatar, vertices, chain.tensor("driver_transform"))
    for name, value in avatar.gaussians.items():
        assert value.shape[0] == 180255
        still = value[N_VERTICES:] if name == "xyz" else value
        assert torch.equal(still, before[name][N_VERTICES:] if name == "xyz" else before[name])
    for name in ("xyz", "colors", "opacities", "covariances"):
        assert scenes[0][name].data_ptr() == scenes[1][name].data_ptr(), f"{name} was copied"


def test_source_is_encoded_once_and_anew_for_another(network, avatar, monkeypatch):
    encoded = []
    monkeypatch.setattr(network, "encode", lambda image, transform: encoded.append(image) or avatar)
    monkeypatch.setattr(network, "rasterize", lambda *a: torch.zeros(1, 32, 8, 8))
    monkeypatch.setattr(network, "upsample", lambda raster: torch.full((1, 3, 64, 64), 0.5))
    monkeypatch.setattr(network, "_encoded", None)
    batch = {"f_image": torch.zeros(1, 3, 512, 512), "f_transform": torch.zeros(1, 3, 4)}
    frames = {"t_points": torch.zeros(2, N_VERTICES, 3), "t_transform": torch.zeros(2, 3, 4)}
    for _ in range(2):
        assert network.forward_expression(batch | frames)["sr_gen_image"].shape == (2, 3, 64, 64)
    assert len(encoded) == 1
    network.forward_expression(batch | frames | {"f_image": torch.ones(1, 3, 512, 512)})
    network.forward_expression(batch | frames | {"f_transform": torch.ones(1, 3, 4)})
    assert len(encoded) == 3


def test_detail_enhancer_is_called_with_its_strength(network, avatar, monkeypatch):
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(network, "rasterize", lambda *a: torch.zeros(1, 32, 8, 8))
    monkeypatch.setattr(network, "upsample", lambda raster: picture.clone())
    batch = {"avatar": avatar, "t_points": torch.zeros(1, N_VERTICES, 3), "t_transform": torch.zeros(1, 3, 4)}
    plain, none, full = (
        network.forward_expression(batch, enable_detail_enhance=on, detail_strength=strength)["sr_gen_image"]
        for on, strength in ((False, 1.0), (True, 0.0), (True, 1.0))
    )
    assert torch.equal(plain, none)
    assert not torch.equal(plain, full)


def test_noise_strengths_are_told(released_files, caplog):
    with caplog.at_level(logging.INFO):
        loaded = GAGAvatar.from_checkpoint(released_files[0])
    told = [float(n) for n in caplog.messages[-1].split(": ")[1].split()]
    assert len(told) == 15
    assert told[0] == pytest.approx(loaded.upsampler.stylegan_decoder.style_conv1.weight.item(), abs=1e-4)


# As the pipeline drives it


def a_source(kind: str) -> TrackedSource:
    random = np.random.default_rng(0)
    side, margin = IMAGE_SIZE + 40, 20
    image = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
    frame = replace(a_frame(random), head=kind)
    return TrackedSource(frame, image, random.random((side, side), np.float32), margin, np.ones((side, side), bool))


def test_the_photo_is_encoded_on_black(network, head, monkeypatch):
    given = []
    monkeypatch.setattr(network, "encode", lambda image, transform: given.append((image, transform)))
    model = PublishedAvatar(network, head)
    assert model.name == "gagavatar"
    source = a_source("flame")
    encoded = model.encode(source)
    image, matte = source.shown()
    (picture, transform) = given[0]
    np.testing.assert_allclose(picture.permute(1, 2, 0), image / 255 * matte[..., None], atol=1e-6)
    np.testing.assert_array_equal(transform, source.frame.transform_matrix)
    np.testing.assert_array_equal(encoded.vertices, head.evaluate(source.frame))
    with pytest.raises(UserError, match="open head"):
        model.encode(a_source("open"))


def test_detail_brings_the_photo_back_at_its_own_pose(network, head, avatar, vertices, chain, monkeypatch):
    monkeypatch.setattr(network, "upsample", lambda raster: raster[:, :3].sigmoid())  # in a tenth of the time
    model = PublishedAvatar(network, head)
    model.warm_up()
    photo, transform = smooth_image(1071, 16, 512), chain.tensor("source_transform")
    source = SourceAvatar(avatar, photo, vertices, transform, torch.ones(IMAGE_SIZE, IMAGE_SIZE))
    threads = torch.get_num_threads()
    plain = model.render(source, DrawRequest(vertices.numpy(), transform.numpy()))
    assert source.channels is None, "detail is made when it is first asked for"
    full = model.render(source, DrawRequest(vertices.numpy(), transform.numpy(), detail=1.0))
    assert plain.shape == full.shape == (3, IMAGE_SIZE, IMAGE_SIZE)
    assert 0 <= full.min() <= full.max() <= 1
    assert psnr(full, photo) > psnr(plain, photo) + 2
    assert torch.equal(source.channels[:, :32], avatar.gaussians["colors"])
    assert torch.get_num_threads() == threads


def test_the_person_alone_on_black_is_the_networks_picture(network, head, avatar, vertices, chain, monkeypatch):
    monkeypatch.setattr(network, "upsample", lambda raster: raster[:, :3].sigmoid())  # in a tenth of the time
    model, transform = PublishedAvatar(network, head), chain.tensor("source_transform")
    photo = smooth_image(1071, 16, IMAGE_SIZE)
    drawn = {}
    for name, matte in (("all", torch.ones(IMAGE_SIZE, IMAGE_SIZE)), ("none", torch.zeros(IMAGE_SIZE, IMAGE_SIZE))):
        source = SourceAvatar(avatar, photo, vertices, transform, matte)
        plain = model.render(source, DrawRequest(vertices.numpy(), transform.numpy()))
        drawn[name] = model.draw_foreground(source, DrawRequest(vertices.numpy(), transform.numpy()))
        assert drawn[name].shape == (4, IMAGE_SIZE, IMAGE_SIZE)
        torch.testing.assert_close(drawn[name][:3] * drawn[name][3], plain, atol=1e-5, rtol=0)
    assert (drawn["all"][3] >= drawn["none"][3]).all(), "what the photo's matte leaves out is less opaque"
    splatted = network.rasterize(avatar, vertices, transform, torch.ones(len(avatar.gaussians["xyz"]), 8))[0, 0]
    expected = torch.maximum(splatted.clamp(0, 1), plain.amax(0))
    torch.testing.assert_close(drawn["all"][3], expected, atol=1e-4, rtol=0)


def test_single_pictures_of_upstream_are_drawn_each_by_its_own_codes(network, head, avatar, monkeypatch, tmp_path):
    monkeypatch.setattr(network, "upsample", lambda raster: raster[:, :3].sigmoid())  # in a tenth of the time
    monkeypatch.setattr(network, "encode", lambda image, transform: avatar)
    source = a_source("flame")
    driver = {f"00{i}_{7 * i}": replace(a_frame(np.random.default_rng(i)), head="flame") for i in (2, 1)}
    names = ("shapecode", "expcode", "posecode", "eyecode", "transform_matrix", "bbox")
    records = {key: {name: getattr(frame, name) for name in names} for key, frame in driver.items()}
    (tmp_path / "optim.pkl").write_bytes(pickle.dumps(records))
    photo, output = tmp_path / "photo.png", tmp_path / "out.png"
    Image.fromarray(source.shown()[0]).save(photo)
    model = PublishedAvatar(network, head)
    components = Components(lambda path, force: source, None, None, head, model)
    options = Options(photo, tmp_path, output=output, layout="result", temporal_smooth=True, no_watermark=True)
    animate(options, components)
    sheet = np.asarray(Image.open(output))
    assert sheet.shape == (IMAGE_SIZE, 2 * IMAGE_SIZE, 3)
    for column, key in enumerate(("001_7", "002_14")):
        frame = replace(driver[key], shapecode=source.frame.shapecode)
        encoded = model.encode(source)
        picture = model.render(encoded, DrawRequest(head.evaluate(frame), frame.transform_matrix))
        np.testing.assert_array_equal(sheet[:, 512 * column : 512 * column + 512], to_image(picture))
