"""The upsampler of the published network: a U-Net that conditions a style-based decoder.

The decoder is StyleGAN2's (Karras et al., CVPR 2020); that a U-Net gives its style and a scale and a shift per level is
GFP-GAN's (Wang et al., CVPR 2021). This is the specification, line by line in float32; `StyleUNetEngine` in
`style_unet_engine.py` computes the same faster and is what renders frames.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.models.modules.resize import down2, up2

STYLE_DIM = 512
UNET_CHANNELS = {4: 256, 8: 256, 16: 256, 32: 256, 64: 128, 128: 64, 256: 32, 512: 16, 1024: 8}
DECODER_CHANNELS = {4: 512, 8: 512, 16: 512, 32: 512, 64: 256, 128: 128, 256: 64, 512: 32, 1024: 16}
EPS = 1e-8


def lrelu(x: Tensor) -> Tensor:
    """Leaky ReLU of slope 0.2."""
    return functional.leaky_relu(x, 0.2)


class StyleUNet(nn.Module):
    """A map of features to a picture.

    Args:
        in_size, out_size: sides of the maps, powers of two; the input may be at most twice as large as the output.
        in_dim, out_dim: their channels.
    """

    def __init__(self, in_size: int, out_size: int, in_dim: int, out_dim: int) -> None:
        super().__init__()
        assert out_size in UNET_CHANNELS, f"out_size must be one of {tuple(UNET_CHANNELS)}, got {out_size}"
        assert in_size <= 2 * out_size, f"in_size must be at most {2 * out_size}, got {in_size}"
        self.in_size, self.out_size = in_size, out_size
        sizes = [2**k for k in range(2, int(math.log2(out_size)) + 1)]  # 4 .. out_size
        channels = [UNET_CHANNELS[size] for size in sizes]
        down = list(pairwise(reversed(channels)))
        up = list(pairwise(channels))

        if in_size <= out_size:
            self.conv_body_first: nn.Module = nn.Conv2d(in_dim, channels[-1], 1)
        else:
            wide = UNET_CHANNELS[in_size]
            self.conv_body_first = nn.ModuleList([nn.Conv2d(in_dim, wide, 1), ResidualBlock(wide, channels[-1])])
        self.conv_body_down = nn.ModuleList(ResidualBlock(a, b) for a, b in down)
        self.final_conv = nn.Conv2d(channels[0], channels[0], 3, padding=1)
        self.conv_body_up = nn.ModuleList(ResidualBlock(a, b) for a, b in up)
        self.toRGB = nn.ModuleList(nn.Conv2d(b, 3, 1) for _, b in up)  # stored, never read
        self.final_linear = nn.Linear(channels[0] * 16, STYLE_DIM)
        self.stylegan_decoder = StyleDecoder(sizes, out_dim)
        self.condition_scale = nn.ModuleList(_condition(b) for _, b in up)
        self.condition_shift = nn.ModuleList(_condition(b) for _, b in up)

    def forward(self, x: Tensor, randomize_noise: bool = False) -> Tensor:  # (B, in_dim, s, s) -> (B, out_dim, S, S)
        """The picture in 0..1. With `randomize_noise` every call draws other noise, as published; else it is fixed."""
        x = self.first(x)
        skips = []
        for block in self.conv_body_down:
            x = block(x, down2)
            skips.append(x)
        x = lrelu(self.final_conv(x))
        code = self.final_linear(x.flatten(1))
        scales, shifts = [], []
        for block, skip, scale, shift in zip(
            self.conv_body_up, reversed(skips), self.condition_scale, self.condition_shift, strict=True
        ):
            x = block(x + skip, up2)
            scales.append(scale(x))
            shifts.append(shift(x))
        return self.stylegan_decoder(code, scales, shifts, randomize_noise)

    def first(self, x: Tensor) -> Tensor:
        """The input at the size of the output, in the U-Net's channels."""
        if self.in_size < self.out_size:
            x = functional.interpolate(x, (self.out_size, self.out_size), mode="bilinear", align_corners=False)
        if self.in_size <= self.out_size:
            return lrelu(self.conv_body_first(x))
        widen, shrink = self.conv_body_first
        return shrink(lrelu(widen(x)), down2)


class ResidualBlock(nn.Module):
    """Two convolutions with a resampling between them, beside a resampled 1 x 1 convolution. The sum is left as is."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_dim, in_dim, 3, padding=1)
        self.conv2 = nn.Conv2d(in_dim, out_dim, 3, padding=1)
        self.skip = nn.Conv2d(in_dim, out_dim, 1, bias=False)

    def forward(self, x: Tensor, resample) -> Tensor:
        return lrelu(self.conv2(resample(lrelu(self.conv1(x))))) + self.skip(resample(x))


def _condition(dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(dim, dim, 3, padding=1), nn.LeakyReLU(0.2), nn.Conv2d(dim, 2 * dim, 3, padding=1))


class StyleDecoder(nn.Module):
    """A style and a scale and shift per level to a picture."""

    def __init__(self, sizes: list[int], out_dim: int) -> None:
        super().__init__()
        channels = [DECODER_CHANNELS[size] for size in sizes]
        steps = list(pairwise(channels))
        # Numbered as stored: 0 is the normalisation, even numbers are activations.
        self.style_mlp = nn.ModuleDict({str(2 * k + 1): nn.Linear(STYLE_DIM, STYLE_DIM) for k in range(8)})
        self.constant_input = nn.ParameterDict({"weight": nn.Parameter(torch.empty(1, channels[0], 4, 4))})
        self.style_conv1 = StyleConv(channels[0], channels[0], upsample=False)
        self.to_rgb1 = ToRGB(channels[0], out_dim)
        convs = [StyleConv(a, b, upsample=first) for a, to in steps for a, b, first in ((a, to, True), (to, to, False))]
        self.style_convs = nn.ModuleList(convs)
        self.to_rgbs = nn.ModuleList(ToRGB(b, out_dim) for _, b in steps)
        self.noises = nn.Module()
        for k, size in enumerate([sizes[0], *(s for s in sizes[1:] for _ in range(2))]):
            self.noises.register_buffer(f"noise{k}", torch.empty(1, 1, size, size))

    def latent(self, code: Tensor) -> Tensor:  # (B, 512) -> (B, 512)
        """The style that every layer reads."""
        w = code * torch.rsqrt(code.square().mean(-1, keepdim=True) + EPS)
        for layer in self.style_mlp.values():
            w = lrelu(layer(w))
        return w

    def forward(self, code: Tensor, scales: list[Tensor], shifts: list[Tensor], randomize_noise: bool) -> Tensor:
        w = self.latent(code)
        noises = [self.noises.get_buffer(f"noise{k}") for k in range(2 * len(scales) + 1)]
        if randomize_noise:
            noises = [torch.randn(len(code), *n.shape[1:], device=n.device, dtype=n.dtype) for n in noises]
        x = self.style_conv1(self.constant_input["weight"].expand(len(code), -1, -1, -1), w, noises[0])
        rgb = self.to_rgb1(x, w)
        for i, (scale, shift) in enumerate(zip(scales, shifts, strict=True)):
            x = self.style_convs[2 * i](x, w, noises[2 * i + 1])
            x = x * scale + shift
            x = self.style_convs[2 * i + 1](x, w, noises[2 * i + 2])
            rgb = self.to_rgbs[i](x, w) + up2(rgb)
        return rgb.sigmoid()


class ModulatedConv(nn.Module):
    """A convolution whose input channels the style scales, and whose output channels are brought back to unit size."""

    def __init__(self, in_dim: int, out_dim: int, kernel: int, demodulate: bool) -> None:
        super().__init__()
        self.demodulate = demodulate
        self.weight = nn.Parameter(torch.empty(1, out_dim, in_dim, kernel, kernel))
        self.modulation = nn.Linear(STYLE_DIM, in_dim)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:  # (B, in_dim, H, W), (B, 512)
        B, C, H, W = x.shape
        out_dim, K = self.weight.shape[1], self.weight.shape[-1]
        weight = self.weight * self.modulation(w).view(B, 1, C, 1, 1)
        if self.demodulate:
            weight = weight * torch.rsqrt(weight.square().sum((2, 3, 4), keepdim=True) + EPS)
        y = functional.conv2d(x.reshape(1, B * C, H, W), weight.view(B * out_dim, C, K, K), padding=K // 2, groups=B)
        return y.view(B, out_dim, H, W)


class StyleConv(nn.Module):
    """A modulated 3 x 3 convolution with noise; `weight` is the noise's strength."""

    def __init__(self, in_dim: int, out_dim: int, upsample: bool) -> None:
        super().__init__()
        self.upsample = upsample
        self.weight = nn.Parameter(torch.empty(1))
        self.bias = nn.Parameter(torch.empty(1, out_dim, 1, 1))
        self.modulated_conv = ModulatedConv(in_dim, out_dim, 3, demodulate=True)

    def forward(self, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        x = self.modulated_conv(up2(x) if self.upsample else x, w)
        return lrelu(math.sqrt(2) * x + self.weight * noise + self.bias)


class ToRGB(nn.Module):
    """A modulated 1 x 1 convolution to the picture's channels."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.empty(1, out_dim, 1, 1))
        self.modulated_conv = ModulatedConv(in_dim, out_dim, 1, demodulate=False)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        return self.modulated_conv(x, w) + self.bias
