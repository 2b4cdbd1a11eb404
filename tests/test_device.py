"""What is written for CUDA, as far as a CPU can hold it to something: order, memory, and what is done when it fails."""

from __future__ import annotations

import logging
import math

import pytest
import torch

from core.errors import UserError
from core.models.modules import style_unet_engine
from core.models.modules.cuda_graph import Graphed
from core.models.modules.style_unet import StyleUNet
from core.models.modules.style_unet_engine import StyleUNetEngine, exact_convolutions, frame_engine
from core.runtime.device import on_host, upload
from tests.golden_numbers import psnr, raster_like
from tests.synthetic_checkpoint import small_upsampler

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")


class Recorder:
    """Stands in for CUDA: a replay reads and writes the memory of the recording, as a graph does."""

    def __init__(self) -> None:
        self.replays = 0

    def __call__(self, run):
        output = run()

        def replay():
            self.replays += 1
            output.copy_(run())

        return replay, output


def pictures(count: int, channels: int = 4) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(3)
    return [torch.rand(1, channels, 6, 8, generator=random) for _ in range(count)]


def test_a_recorded_function_says_what_the_plain_one_does():
    first, *others = pictures(4)
    recorder = Recorder()
    graphed = Graphed(lambda x: 2 * x + 1, first, torch.float32, recorder)
    results = [graphed(x) for x in others]
    for x, result in zip(others, results, strict=True):
        assert torch.equal(result, 2 * x + 1), "a later frame wrote into an earlier one's memory, or read the first's"
    assert recorder.replays == 3


def test_a_recorded_function_reads_its_own_memory():
    """In its own type and with a pixel's channels side by side, wherever the input lies."""
    seen = []
    wide = pictures(1, channels=7)[0].permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    part = wide[:, :4]  # as the channels of a raster with detail
    graphed = Graphed(lambda x: seen.append(x) or x.float(), part, torch.float16, Recorder())
    result = graphed(part + 1)
    assert {x.data_ptr() for x in seen} == {seen[0].data_ptr()}
    assert seen[0].dtype == torch.float16
    assert seen[0].is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(result, part + 1, rtol=0, atol=1e-3)
    part.zero_()
    assert (seen[0] >= 1).all(), "the input itself was recorded, not a copy"


def test_another_shape_is_drawn_plainly():
    recorder = Recorder()
    graphed = Graphed(lambda x: x * 3, pictures(1)[0], torch.float32, recorder)
    assert torch.equal(graphed(torch.ones(1, 4, 2, 2)), torch.full((1, 4, 2, 2), 3.0))
    assert recorder.replays == 0


def test_what_cannot_be_recorded_runs_as_it_is(caplog):
    def fail(run):
        raise RuntimeError("operation not permitted when stream is capturing\nmore lines")

    def run(x):
        return x + 1

    with caplog.at_level(logging.WARNING):
        assert Graphed.or_plain(run, pictures(1)[0], torch.float32, fail) is run
    assert caplog.messages == ["no CUDA graph, frames are slower: operation not permitted when stream is capturing"]


def test_the_upsampler_can_be_recorded():
    """It depends on nothing but its input: replayed on others, it draws what it draws plainly."""
    unet = StyleUNet(64, 64, 32, 3)
    unet.load_state_dict(small_upsampler("style_unet_64"), strict=True)
    engine = StyleUNetEngine(unet, torch.float32)
    graphed = Graphed(engine, raster_like(1022, 64), engine.dtype, Recorder())
    for seed in (1, 2):
        assert torch.equal(graphed(raster_like(seed, 64)), engine(raster_like(seed, 64)))
    assert isinstance(frame_engine(unet, raster_like(1, 64), torch.float32), StyleUNetEngine), "no graph on a CPU"


@pytest.mark.parametrize(
    ("end", "dtype"), [(1e3, torch.float16), (1.5, torch.float32), (0.5, torch.float32)], ids=["wide", "tight", "left"]
)
def test_a_range_that_larger_frames_would_leave_is_not_taken(end, dtype, monkeypatch):
    """A function whose half precision is exact up to `end` times the first frame, and not a number beyond."""

    class Engine:
        def __init__(self, network, asked):
            self.network, self.dtype = network, asked or torch.float16

        def __call__(self, x):
            return self.network(x) * torch.where(x.abs().max() <= end, 1.0, math.nan)

    monkeypatch.setattr(style_unet_engine, "StyleUNetEngine", Engine)
    first = torch.linspace(-1, 1, 64).reshape(1, 1, 8, 8)
    assert style_unet_engine.faithful_engine(torch.sigmoid, first).dtype == dtype


def test_float32_is_float32():
    cudnn = torch.backends.cudnn
    before = cudnn.allow_tf32, cudnn.enabled, cudnn.benchmark
    with exact_convolutions():
        assert not cudnn.allow_tf32
        assert cudnn.enabled == before[1]
    assert before == (cudnn.allow_tf32, cudnn.enabled, cudnn.benchmark)


def test_pictures_on_the_cpu_pass_at_once():
    drawn = []

    def draw():
        for picture in pictures(3):
            drawn.append(picture)
            yield picture

    for count, picture in enumerate(on_host(draw()), 1):
        assert len(drawn) == count, "nothing is drawn ahead on a CPU"
        assert picture is drawn[-1]
    here = torch.ones(3)
    assert upload(here, torch.device("cpu")) is here


def test_pictures_on_a_gpu_come_in_order_one_later(monkeypatch):
    """With a copy that ends only when it is waited for: the next picture is drawn first, and none is lost."""
    log = []

    class Copy:
        def __init__(self, picture):
            self.number = picture.number
            log.append(f"copy {self.number}")

        def wait(self):
            log.append(f"wait {self.number}")
            return self.number

    class Picture:
        device = torch.device("cuda")

        def __init__(self, number):
            self.number = number

    monkeypatch.setattr("core.runtime.device._Copy", Copy)
    assert list(on_host(Picture(n) for n in range(3))) == [0, 1, 2]
    assert log == ["copy 0", "copy 1", "wait 0", "copy 2", "wait 1", "wait 2"]
    assert list(on_host(iter([]))) == []


@CUDA
def test_graph_on_cuda():
    unet = StyleUNet(64, 64, 32, 3)
    unet.load_state_dict(small_upsampler("style_unet_64"), strict=True)
    unet = unet.requires_grad_(False).cuda()
    engine = frame_engine(unet, raster_like(1, 64).cuda())
    assert isinstance(engine, Graphed), "it fell back"
    for seed in (2, 3):
        x = raster_like(seed, 64).cuda()
        with exact_convolutions(), torch.inference_mode():
            assert psnr(engine(x), unet(x)) > style_unet_engine.PrecisionSettings().faithful_cuda


@CUDA
def test_copies_on_cuda():
    sent = [upload(picture, torch.device("cuda")) for picture in pictures(4)]
    back = list(on_host(sent))
    assert all(picture.is_pinned() for picture in back)
    for got, want in zip(back, pictures(4), strict=True):
        assert torch.equal(got, want)


def test_the_benchmark_says_that_there_is_no_cuda(monkeypatch, capsys, tmp_path):
    from benchmarks import gpu

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main(["--json", str(tmp_path / "gpu.json")]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "no CUDA: torch sees no NVIDIA GPU here, nothing was measured",
    ]
    assert not list(tmp_path.iterdir())


def test_the_benchmark_says_what_gsplat_lacks(monkeypatch, capsys, tmp_path):
    """Also where it is not installed, and has no version to be told."""
    from benchmarks import gpu

    def lacking(*_):
        raise UserError("--device cuda needs gsplat")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(gpu, "measure", lacking)
    assert gpu.main(["--json", str(tmp_path / "gpu.json")]) == 2
    assert capsys.readouterr().err.splitlines() == ["nothing was measured: --device cuda needs gsplat"]
    assert not list(tmp_path.iterdir())
