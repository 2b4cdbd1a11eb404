"""The encoder of the published network: DINOv2 ViT-B/14 (Oquab et al., TMLR 2024) under a dense prediction head.

The head is a pyramid of four levels fused from coarse to fine (Ranftl et al., Vision Transformers for Dense Prediction,
ICCV 2021), with the picture concatenated at every level.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.models.modules.resize import resize_smooth

IMAGE_SIDE = 518  # the ViT's native size: its position code fits as it is
PATCH = 14
GRID = IMAGE_SIDE // PATCH
WIDTH = 768
HEADS = 12
BLOCKS = 12
TAPS = (8, 9, 10, 11)
PROJECTED = (256, 512, 1024, 1024)
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class DINOBase(nn.Module):
    """A picture to a feature map and a global feature.

    Args:
        output_dim: channels of the feature map (256 in the released weights).
    """

    def __init__(self, output_dim: int = 256) -> None:
        super().__init__()
        self.dino_model = VisionTransformer()
        self.projects = nn.ModuleList(nn.Conv2d(WIDTH, n, 1) for n in PROJECTED)
        self.resize_layers = nn.ModuleList(
            [
                nn.ConvTranspose2d(PROJECTED[0], PROJECTED[0], 4, stride=4),
                nn.ConvTranspose2d(PROJECTED[1], PROJECTED[1], 2, stride=2),
                nn.Identity(),
                nn.Conv2d(PROJECTED[3], PROJECTED[3], 3, stride=2, padding=1),
            ]
        )
        self.layer_rn = nn.ModuleList(nn.Conv2d(n + 3, output_dim, 3, padding=1, bias=False) for n in PROJECTED)
        self.refinenet = nn.ModuleList(FusionBlock(output_dim) for _ in PROJECTED)
        self.output_conv = nn.Conv2d(output_dim, output_dim, 3, padding=1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, output_dim, 296, 296) and the global feature (B, 768) of pictures (B, 3, 518, 518) in 0..1."""
        B = len(image)
        assert image.shape == (B, 3, IMAGE_SIDE, IMAGE_SIDE), f"image must be (B, 3, 518, 518), got {image.shape}"
        image = normalize(image)
        taps = self.dino_model(image)
        # The token of the top left patch, not the class token: the released weights were trained with it.
        global_feature = taps[-1][:, 0]

        levels = []
        for tap, project, enlarge, reduce in zip(taps, self.projects, self.resize_layers, self.layer_rn, strict=True):
            level = enlarge(project(tap.transpose(1, 2).reshape(B, WIDTH, GRID, GRID)))
            levels.append(reduce(torch.cat([resize_smooth(image, level.shape[-1]), level], 1)))
        fused = self.refinenet[0](levels[3], None, levels[2].shape[-1])
        fused = self.refinenet[1](fused, levels[2], levels[1].shape[-1])
        fused = self.refinenet[2](fused, levels[1], levels[0].shape[-1])
        fused = self.refinenet[3](fused, levels[0], 2 * levels[0].shape[-1])
        return self.output_conv(fused), global_feature


def normalize(image: Tensor) -> Tensor:  # (B, 3, H, W)
    """ImageNet's mean and standard deviation."""
    return (image - image.new_tensor(MEAN)[:, None, None]) / image.new_tensor(STD)[:, None, None]


class VisionTransformer(nn.Module):
    """DINOv2 ViT-B/14 without registers. Returns the taps (B, 1369, 768), each through the final norm."""

    def __init__(self) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.empty(1, 1, WIDTH))
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + GRID * GRID, WIDTH))
        self.mask_token = nn.Parameter(torch.empty(1, WIDTH))  # stored, never read
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, WIDTH, PATCH, stride=PATCH)})
        self.blocks = nn.ModuleList(Block() for _ in range(BLOCKS))
        self.norm = nn.LayerNorm(WIDTH, eps=1e-6)

    def forward(self, image: Tensor) -> list[Tensor]:
        patches = self.patch_embed["proj"](image).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls_token.expand(len(image), -1, -1), patches], 1) + self.pos_embed
        taps = []
        for index, block in enumerate(self.blocks):
            tokens = block(tokens)
            if index in TAPS:
                taps.append(self.norm(tokens)[:, 1:])
        return taps


class Block(nn.Module):
    """A pre-norm transformer block with layer scale."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH, eps=1e-6)
        self.attn = Attention()
        self.ls1 = LayerScale()
        self.norm2 = nn.LayerNorm(WIDTH, eps=1e-6)
        self.mlp = MLP()
        self.ls2 = LayerScale()

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.ls1(self.attn(self.norm1(tokens)))
        return tokens + self.ls2(self.mlp(self.norm2(tokens)))


class Attention(nn.Module):
    """Self-attention; `qkv` holds queries, keys, values, each head by head."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.proj = nn.Linear(WIDTH, WIDTH)

    def forward(self, tokens: Tensor) -> Tensor:
        B, N, _ = tokens.shape
        q, k, v = self.qkv(tokens).view(B, N, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        return self.proj(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(B, N, WIDTH))


class MLP(nn.Module):
    """Two linear layers with the exact GELU between them."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(WIDTH, 4 * WIDTH)
        self.fc2 = nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.fc2(functional.gelu(self.fc1(tokens)))


class LayerScale(nn.Module):
    """One factor per channel."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.empty(WIDTH))

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens * self.gamma


class FusionBlock(nn.Module):
    """Adds a finer level to the result so far, refines, and enlarges."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.out_conv = nn.Conv2d(dim, dim, 1)
        self.resConfUnit1 = ResidualUnit(dim)  # of the coarsest block: stored, never read
        self.resConfUnit2 = ResidualUnit(dim)

    def forward(self, result: Tensor, level: Tensor | None, size: int) -> Tensor:
        if level is not None:
            result = result + self.resConfUnit1(level)
        # A 1 x 1 convolution and an interpolation commute; before it there are a quarter of the pixels.
        result = self.out_conv(self.resConfUnit2(result))
        return functional.interpolate(result, (size, size), mode="bilinear", align_corners=True)


class ResidualUnit(nn.Module):
    """x + conv2(relu(conv1(relu(x))))."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(dim, dim, 3, padding=1)
        self.conv2 = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(functional.relu(self.conv1(functional.relu(x))))
