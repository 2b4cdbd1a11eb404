"""The upsampler as frames use it: the numbers of `StyleUNet`, laid out for speed and for one picture at a time.

What differs from the specification's lines, all of it equal up to rounding:

* activations lie channels last, and in half precision where the machine multiplies it faster than float32;
* a modulated convolution scales what is smaller, its weights or the map that it reads, and takes the demodulation from
  the sums of squares of the weights over their taps, which are constant;
* the modulations of all layers are one matrix product; noise is scaled once; the 1 x 1 convolution beside an
  upsampling block comes before the upsampling, with which it commutes;
* style, modulation and the running picture stay float32.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.models.modules.cuda_graph import Graphed
from core.models.modules.resize import down2, up2
from core.models.modules.style_unet import EPS, ModulatedConv, ResidualBlock, StyleConv, StyleUNet, ToRGB

_LAST = torch.channels_last
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PrecisionSettings:
    """When half precision is close enough to float32; chosen, not measured.

    Attributes:
        faithful: dB of PSNR between a picture in half precision and the same in float32, at least.
        faithful_cuda: the same on CUDA, whose float16 is finer than a CPU's bfloat16.
        headroom: float16 ends at 65504: an input so many times as large must still give a picture,
        in_range: which is so many dB from float32's; past the end of the range there is none.
    """

    faithful: float = 45.0
    faithful_cuda: float = 50.0
    headroom: float = 2.0
    in_range: float = 30.0


_DEFAULT = PrecisionSettings()


def fast_dtype(device: torch.device) -> torch.dtype:
    """The type that convolutions are fastest in here: float16 on CUDA, bfloat16 on a CPU that has it, else float32."""
    if device.type == "cuda":
        return torch.float16
    if device.type == "cpu":
        asked = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # torch has no public names for these
        if any(getattr(torch.cpu, name, lambda: False)() for name in asked):
            return torch.bfloat16
    return torch.float32


@contextmanager
def exact_convolutions() -> Iterator[None]:
    """Convolutions in float32 as they are; CUDA takes 10 bits of its numbers (TF32) unless it is told not to."""
    cudnn = torch.backends.cudnn
    with cudnn.flags(cudnn.enabled, cudnn.benchmark, deterministic=cudnn.deterministic, allow_tf32=False):
        yield


def frame_engine(network: StyleUNet, x: Tensor, dtype: torch.dtype | None = None) -> Callable[[Tensor], Tensor]:
    """What draws a clip's frames: `faithful_engine`, on CUDA as a graph where it can be recorded."""
    engine = faithful_engine(network, x, dtype)
    return Graphed.or_plain(engine, x, engine.dtype) if x.device.type == "cuda" else engine


def faithful_engine(
    network: StyleUNet, x: Tensor, dtype: torch.dtype | None = None, settings: PrecisionSettings = _DEFAULT
) -> StyleUNetEngine:
    """The fastest engine that draws `x` (1, in_dim, s, s) as `settings` ask for, beside the specification in float32.

    Half precision depends on the weights; the released ones are measured when they are first used, at the cost of one
    slow frame, of two for float16, whose range a later frame with larger values must not leave. A given `dtype` is
    taken as it is.
    """
    engine = StyleUNetEngine(network, dtype)
    if dtype is not None or engine.dtype == torch.float32:
        return engine
    asked = [(1.0, settings.faithful_cuda if x.device.type == "cuda" else settings.faithful)]
    if engine.dtype == torch.float16:
        asked.append((settings.headroom, settings.in_range))
    for gain, least in asked:
        psnr = _psnr(engine, network, gain * x)
        if not psnr >= least:  # nor where it is not a number
            _log.warning("the upsampler runs in float32, slower: %s is only %.1f dB from it", engine.dtype, psnr)
            return StyleUNetEngine(network, torch.float32)
        _log.info("the upsampler runs in %s, %.1f dB from float32 at %g times the input", engine.dtype, psnr, gain)
    return engine


@torch.inference_mode()
@exact_convolutions()
def _psnr(engine: Callable[[Tensor], Tensor], network: Callable[[Tensor], Tensor], x: Tensor) -> float:
    """dB between what an engine draws and what the specification's lines draw in float32."""
    error = (engine(x) - network(x.to(torch.float32).contiguous())).square().mean().item()
    return -10 * math.log10(max(error, 1e-12))


class StyleUNetEngine:
    """A `StyleUNet` for one picture at a time, its noise fixed.

    Args:
        network: whose weights are taken; they must not change afterwards.
        dtype: of activations and convolutions; the fastest here when left out.
    """

    def __init__(self, network: StyleUNet, dtype: torch.dtype | None = None) -> None:
        decoder = network.stylegan_decoder
        device = network.final_linear.weight.device
        self.dtype = dtype or fast_dtype(device)
        self._network = network
        if network.in_size <= network.out_size:
            self._first, self._shrink = _Conv(network.conv_body_first, self.dtype), None
        else:
            widen, shrink = network.conv_body_first
            self._first, self._shrink = _Conv(widen, self.dtype), _Block(shrink, self.dtype)
        self._down = [_Block(block, self.dtype) for block in network.conv_body_down]
        self._final = _Conv(network.final_conv, self.dtype)
        self._up = [_Block(block, self.dtype) for block in network.conv_body_up]
        self._conditions = [
            tuple((_Conv(net[0], self.dtype), _Conv(net[2], self.dtype)) for net in pair)
            for pair in zip(network.condition_scale, network.condition_shift, strict=True)
        ]
        convs = [decoder.style_conv1, *decoder.style_convs]
        noises = [decoder.noises.get_buffer(f"noise{k}") for k in range(len(convs))]
        self._convs = [_Style(conv, noise, self.dtype) for conv, noise in zip(convs, noises, strict=True)]
        self._rgbs = [_RGB(rgb) for rgb in (decoder.to_rgb1, *decoder.to_rgbs)]
        self._constant = _last(decoder.constant_input["weight"].to(self.dtype))
        modulations = [layer.modulated_conv.modulation for layer in (*convs, decoder.to_rgb1, *decoder.to_rgbs)]
        self._widths = [layer.out_features for layer in modulations]
        self._modulation = torch.cat([layer.weight for layer in modulations]).detach()
        self._modulation_bias = torch.cat([layer.bias for layer in modulations]).detach()

    @torch.inference_mode()
    @exact_convolutions()
    def __call__(self, x: Tensor) -> Tensor:  # (1, in_dim, s, s) -> (1, out_dim, S, S)
        """The picture in 0..1, float32."""
        assert len(x) == 1, f"one picture at a time, got {tuple(x.shape)}"
        x = _last(x.to(self.dtype))
        if self._network.in_size < self._network.out_size:
            size = self._network.out_size
            x = functional.interpolate(x, (size, size), mode="bilinear", align_corners=False)
        x = _lrelu_(self._first(x))
        if self._shrink is not None:
            x = self._shrink.down(x)
        skips = []
        for block in self._down:
            x = block.down(x)
            skips.append(x)
        x = _lrelu_(self._final(x))
        # `flatten` of the specification is channel, row, column, whatever lies in memory.
        code = self._network.final_linear(x.float().contiguous().flatten(1))
        w = self._network.stylegan_decoder.latent(code)
        styles = functional.linear(w, self._modulation, self._modulation_bias)[0].split(self._widths)
        convs = list(zip(self._convs, styles[: len(self._convs)], strict=True))
        rgbs = list(zip(self._rgbs, styles[len(self._convs) :], strict=True))

        head, style = convs[0]
        y = head(self._constant, style)
        rgb = rgbs[0][0](y, rgbs[0][1])
        for i, (block, skip, (scale, shift)) in enumerate(
            zip(self._up, reversed(skips), self._conditions, strict=True)
        ):
            x = block.up(x.add_(skip))
            conv, style = convs[2 * i + 1]
            y = conv(y, style)
            y = y.mul_(scale[1](_lrelu_(scale[0](x)))).add_(shift[1](_lrelu_(shift[0](x))))
            conv, style = convs[2 * i + 2]
            y = conv(y, style)
            to_rgb, style = rgbs[i + 1]
            rgb = to_rgb(y, style).add_(up2(rgb))
        return rgb.sigmoid_()


def _lrelu_(x: Tensor) -> Tensor:
    return functional.leaky_relu_(x, 0.2)


def _last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=_LAST)


class _Conv:
    def __init__(self, layer: nn.Conv2d, dtype: torch.dtype) -> None:
        self.weight = _last(layer.weight.detach().to(dtype))
        self.bias = None if layer.bias is None else layer.bias.detach().to(dtype)

    def __call__(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.weight, self.bias, padding=self.weight.shape[-1] // 2)


class _Block:
    def __init__(self, block: ResidualBlock, dtype: torch.dtype) -> None:
        self.conv1, self.conv2, self.skip = (_Conv(layer, dtype) for layer in (block.conv1, block.conv2, block.skip))

    def down(self, x: Tensor) -> Tensor:
        inner = self.conv2(down2(_lrelu_(self.conv1(x))))
        return _lrelu_(inner).add_(self.skip(down2(x)))

    def up(self, x: Tensor) -> Tensor:
        inner = self.conv2(up2(_lrelu_(self.conv1(x))))
        return _lrelu_(inner).add_(up2(self.skip(x)))


class _Style:
    """A style convolution. `weight` (O, I, 3, 3) float32, `power` (O, I) its squares summed over the taps."""

    def __init__(self, layer: StyleConv, noise: Tensor, dtype: torch.dtype) -> None:
        conv: ModulatedConv = layer.modulated_conv
        self.upsample = layer.upsample
        self.exact = _last(conv.weight[0].detach())
        self.weight = self.exact.to(dtype)
        self.power = self.exact.square().sum((2, 3))
        self.bias = layer.bias.detach().flatten()
        self.noise = (layer.weight.detach() * noise).to(dtype)
        self._enlarged: Tensor | None = None

    def __call__(self, x: Tensor, style: Tensor) -> Tensor:
        gain = math.sqrt(2) * torch.rsqrt(self.power @ style.square() + EPS)
        if self.weight.numel() < x.numel():
            weight = (self.exact * style[:, None, None] * gain[:, None, None, None]).to(x.dtype)
            x = self._enlarge(x)
            y = functional.conv2d(x, weight, self.bias.to(x.dtype), padding=1)
            return _lrelu_(y.add_(self.noise))
        x = x * style[:, None, None].to(x.dtype)
        x = self._enlarge(x)
        y = functional.conv2d(x, self.weight, padding=1)
        y = y.mul_(gain[:, None, None].to(x.dtype)).add_(self.bias[:, None, None].to(x.dtype))
        return _lrelu_(y.add_(self.noise))

    def _enlarge(self, x: Tensor) -> Tensor:
        if not self.upsample:
            return x
        # Into memory that is kept: fresh pages for the largest map cost more than filling it.
        size = (2 * x.shape[2], 2 * x.shape[3])
        if self._enlarged is None:
            self._enlarged = torch.empty(*x.shape[:2], *size, dtype=x.dtype, device=x.device, memory_format=_LAST)
        return torch.ops.aten.upsample_bilinear2d.out(x, size, False, out=self._enlarged)


class _RGB:
    def __init__(self, layer: ToRGB) -> None:
        self.weight = layer.modulated_conv.weight[0].detach()
        self.bias = layer.bias.detach()

    def __call__(self, x: Tensor, style: Tensor) -> Tensor:  # float32
        weight = (self.weight * style[:, None, None]).to(x.dtype)
        return functional.conv2d(x, weight).float().add_(self.bias)
