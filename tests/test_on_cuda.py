"""The published network on a GPU: the golden numbers of its stages, and a run of the program beside the CPU's.

Skipped where there is none, as in CI. The rasterizer's own are in `test_gsplat.py`, the graph's in `test_device.py`.
"""

from __future__ import annotations

import pytest
import torch

from core.libs.flame_model import FLAMEModel
from core.models.GAGAvatar import GAGAvatar
from core.models.modules.cuda_graph import Graphed
from core.models.modules.style_unet_engine import StyleUNetEngine, exact_convolutions
from tests.golden_numbers import Golden, psnr, raster_like, smooth_image
from tests.synthetic_flame import random_flame, write_flame

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")
# A GPU adds up in another order than a CPU, and gsplat is within 2e-3 of the other engines by design.
ROUNDING, RASTER = 1e-4, 2e-3


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def network(released_files):
    return GAGAvatar.from_checkpoint(released_files[0], "cuda", torch.float32)


@pytest.fixture(scope="module")
def chain():
    return Golden("end_to_end")


@pytest.fixture(scope="module")
def vertices(chain, tmp_path_factory):
    path = write_flame(tmp_path_factory.mktemp("flame") / "flame.pt", random_flame())
    codes = (chain.tensor(name) for name in ("shapecode", "expcode", "posecode", "eyecode"))
    with torch.no_grad():
        return FLAMEModel(path=path, no_lmks=True)(*codes)[0]


def test_encoder(network):
    golden = Golden("dino_encoder")
    with exact_convolutions():
        features, global_feature = network.base_model(smooth_image(1001, 14, 518, (1,)).cuda())
    assert golden.relative("global_feature", global_feature.cpu()) < ROUNDING
    for key in ("features", "features_corner", "features_end"):
        assert golden.relative(key, features.cpu()) < ROUNDING, key


@pytest.mark.parametrize(("dtype", "least"), [(torch.float32, 90), (torch.float16, 50)])
def test_upsampler(network, dtype, least):
    golden, x = Golden("style_unet_512"), raster_like(1021, 512).cuda()
    with exact_convolutions():
        picture = StyleUNetEngine(network.upsampler, dtype)(x)
        assert psnr(picture, network.upsampler(x)) > least
    if dtype == torch.float32:
        for key in ("output", "output_corner", "output_end"):
            assert golden.relative(key, picture.cpu()) < ROUNDING, key


def test_whole_chain(network, vertices, chain):
    pytest.importorskip("gsplat")
    params, driver = Golden("end_to_end_params"), chain.tensor("driver_transform")
    avatar = network.encode(smooth_image(1071, 16, 512), chain.tensor("source_transform"))
    raster = network.rasterize(avatar, vertices, driver)  # it puts the vertices into the Gaussians
    for key in params.arrays:
        if key != "t_points":
            assert params.relative(key, avatar.gaussians[key.split("_")[0]][None].cpu()) < ROUNDING, key
    assert raster.is_cuda
    for key in ("feature_image", "feature_image_crop"):
        assert chain.relative(key, raster[0].cpu()) < RASTER, key
    with exact_convolutions():
        picture = network.upsample(raster)
        assert isinstance(network._engine, Graphed), "it fell back"
        for key in ("output", "output_crop"):
            assert chain.relative(key, picture.cpu()) < RASTER, key
        assert psnr(StyleUNetEngine(network.upsampler, torch.float16)(raster), picture) > 50


@pytest.mark.parametrize("enhanced", [False, True], ids=["plain", "enhanced"])
def test_a_run_draws_what_the_cpu_draws(enhanced, tmp_path):
    """From a driver's codes to 8 bits, in the order of the clip, by float16 and gsplat here and there by neither."""
    pytest.importorskip("gsplat")
    from benchmarks.gpu import Experiment

    drawn = {}
    for name in ("cpu", "cuda"):
        experiment = Experiment.make(tmp_path / name, torch.device(name), 3)
        drawn[name] = [frame.image for frame in experiment.pipeline(enhanced).frames()]
    assert len(drawn["cuda"]) == len(drawn["cpu"]) == 3
    for ours, theirs in zip(drawn["cuda"], drawn["cpu"], strict=True):
        ours, theirs = (torch.as_tensor(image).float().cpu() / 255 for image in (ours, theirs))
        assert ours.shape == theirs.shape
        assert psnr(ours, theirs) > 40
