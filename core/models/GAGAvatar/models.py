"""GAGAvatar (Chu and Harada, Generalizable and Animatable Gaussian Head Avatar, NeurIPS 2024), inference only.

A picture is encoded once into 180,255 Gaussians of 32 channels: one for each vertex of FLAME, which the driver moves,
and two for each pixel of a plane through the head, which stand still. A frame is their raster under the driver's
camera, turned into a picture by a style U-Net. Positions and cameras are in head units (FLAME times 5), row vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from core.data.records import FOCAL, IMAGE_SIZE
from core.errors import UserError
from core.models.batches import frames_of, only_one
from core.models.GAGAvatar.checkpoint import IGNORED, fitting_weights, log_noise_strengths, read_checkpoint
from core.models.GAGAvatar.planes import lifting_plane
from core.models.modules.dino_base import IMAGE_SIDE, DINOBase
from core.models.modules.direction_code import direction_code
from core.models.modules.gs_generators import COLORS, ConvGSGenerator, LinearGSGenerator
from core.models.modules.resize import resize_smooth
from core.models.modules.style_unet import StyleUNet
from core.models.modules.style_unet_engine import exact_convolutions, frame_engine
from core.models.rasterizer import RasterWorkspace, covariances, render_gaussian

N_VERTICES = 5023
FEATURES = 256
PLANE_SIZE = 296
CAMERA = {"focal_x": FOCAL, "focal_y": FOCAL, "size": [IMAGE_SIZE, IMAGE_SIZE]}


@dataclass(frozen=True)
class NetworkAvatar:
    """A picture as Gaussians.

    Attributes:
        gaussians: `xyz` (N, 3), `colors` (N, 32), `opacities` (N, 1), `scales` (N, 3), `rotations` (N, 4) with
            N = 180,255: vertices of FLAME first, whose positions each frame overwrites, then the two planes.
        covariances: (N, 6) of scales and rotations; no frame changes them.
        workspace: the rasterizer's buffers, kept from frame to frame.
    """

    gaussians: dict[str, Tensor]
    covariances: Tensor
    workspace: RasterWorkspace = field(default_factory=RasterWorkspace, repr=False)


class GAGAvatar(nn.Module):
    """The network. `from_checkpoint` gives one with the released weights; a bare one has none.

    Args:
        model_cfg: `meta_cfg` of the checkpoint; only the plane size is read from it.
    """

    def __init__(self, model_cfg: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.plane_size = _plane_size(model_cfg)
        self.head_base = nn.Parameter(torch.empty(N_VERTICES, FEATURES))
        self.base_model = DINOBase(output_dim=FEATURES)
        self.gs_generator_g = LinearGSGenerator(in_dim=1024)
        self.gs_generator_l0 = ConvGSGenerator(in_dim=FEATURES)
        self.gs_generator_l1 = ConvGSGenerator(in_dim=FEATURES)
        self.upsampler = StyleUNet(in_size=IMAGE_SIZE, out_size=IMAGE_SIZE, in_dim=COLORS, out_dim=3)
        self._dtype: torch.dtype | None = None
        self._engine: Callable[[Tensor], Tensor] | None = None
        self._encoded: tuple[Tensor, Tensor, NetworkAvatar] | None = None
        self.register_load_state_dict_pre_hook(_before_loading)

    @classmethod
    def from_checkpoint(
        cls, path: Path | str, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
    ) -> Self:
        """The network with the weights of a released checkpoint. UserError with one line where they do not fit.

        :param dtype: of the upsampler's convolutions; when left out, what is fastest here and faithful to float32
        """
        path = Path(path)
        stored, configuration = read_checkpoint(path)
        with torch.device("meta"):  # no memory for weights that the file replaces
            network = cls(configuration)
        network.load_state_dict(fitting_weights(stored, network.state_dict(), path), strict=True, assign=True)
        decoder = network.upsampler.stylegan_decoder
        log_noise_strengths([conv.weight.item() for conv in (decoder.style_conv1, *decoder.style_convs)])
        network._dtype = dtype
        return network.requires_grad_(False).eval().to(device)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.head_base.device

    @torch.inference_mode()
    def upsample(self, raster: Tensor) -> Tensor:  # (1, 32, 512, 512) -> (1, 3, 512, 512) in 0..1, float32
        """The picture of a raster. The first call lays out the weights, which must not change afterwards."""
        if self._engine is None:
            self._engine = frame_engine(self.upsampler, raster, self._dtype)
        return self._engine(raster)

    @torch.inference_mode()
    @exact_convolutions()
    def encode(self, image: Tensor, transform_matrix: Tensor) -> NetworkAvatar:
        """The Gaussians of a picture (3, 512, 512) in 0..1, its head cropped and on black, and its transform (3, 4)."""
        assert image.ndim == 3, f"image must be (3, H, W), got {tuple(image.shape)}"
        assert image.shape[0] == 3, f"image must be (3, H, W), got {tuple(image.shape)}"
        assert transform_matrix.shape == (3, 4), f"transform must be (3, 4), got {tuple(transform_matrix.shape)}"
        image = image.to(self.device, torch.float32)
        transform = transform_matrix.to(self.device, torch.float32)
        assert bool(image.isfinite().all() & transform.isfinite().all()), "image and transform must be finite"
        return self._encode(image, *lifting_plane(transform, self.plane_size))

    def _encode(self, image: Tensor, points: Tensor, axis: Tensor) -> NetworkAvatar:
        """The Gaussians of a picture (3, S, S) on a plane: its points (296 * 296, 3) and its axis (3,)."""
        features, global_feature = self.base_model(resize_smooth(image[None], IMAGE_SIDE))
        direction = direction_code(axis[None])

        rows = torch.cat([self.head_base, global_feature.expand(N_VERTICES, -1)], 1)
        parts = [self.gs_generator_g(rows[None], direction)]
        parts[0]["xyz"] = self.head_base.new_zeros(1, N_VERTICES, 3)  # each frame brings its own
        for generator, sign in ((self.gs_generator_l0, 1), (self.gs_generator_l1, -1)):
            plane = generator(features, direction)
            plane["xyz"] = points + sign * plane.pop("positions") * axis
            parts.append(plane)
        names = ("xyz", "colors", "opacities", "scales", "rotations")
        gaussians = {name: torch.cat([part[name][0] for part in parts]) for name in names}
        return NetworkAvatar(gaussians, covariances(gaussians["scales"], gaussians["rotations"]))

    @torch.inference_mode()
    def rasterize(
        self, avatar: NetworkAvatar, vertices: Tensor, transform_matrix: Tensor, colors: Tensor | None = None
    ) -> Tensor:
        """The raster (1, C, 512, 512) of an avatar, with its own 32 channels or with those of `colors` (N, C).

        A transform on the CPU is best: it is checked, and what is on a GPU would have to be waited for.
        """
        assert vertices.shape == (N_VERTICES, 3), f"vertices must be (5023, 3), got {tuple(vertices.shape)}"
        assert transform_matrix.shape == (3, 4), f"transform must be (3, 4), got {tuple(transform_matrix.shape)}"
        xyz = avatar.gaussians["xyz"]
        xyz[:N_VERTICES] = vertices.to(xyz.device)  # all that a frame changes
        scene = {
            "xyz": xyz,
            "colors": avatar.gaussians["colors"] if colors is None else colors,
            "opacities": avatar.gaussians["opacities"],
            "covariances": avatar.covariances,
        }
        camera = transform_matrix.cpu()
        return render_gaussian(scene, camera, CAMERA, workspace=avatar.workspace, channels_last=True)["images"]

    @torch.inference_mode()
    def render(self, avatar: NetworkAvatar, vertices: Tensor, transform_matrix: Tensor) -> Tensor:
        """The picture (3, 512, 512) in 0..1, float32, of FLAME vertices (5023, 3) under a transform (3, 4)."""
        return self.upsample(self.rasterize(avatar, vertices, transform_matrix))[0]

    @torch.inference_mode()
    def forward_expression(
        self, batch: Mapping[str, Any], enable_detail_enhance: bool = False, detail_strength: float = 1.0
    ) -> dict[str, Tensor]:
        """Frames of one person.

        :param batch: as `core.data.DriverData` makes it. Of the source `f_image` (3, S, S) or (B, 3, S, S) in 0..1 on
            black, and either `f_planes`, a dict of `plane_points` (B, 87616, 3) and `plane_dirs` (B, 3), or
            `f_transform` (3, 4) or (B, 3, 4), from which they follow; or `avatar` from `encode` in place of all that.
            Of the frames `t_points` (B, 5023, 3) and `t_transform` (B, 3, 4). The last source is remembered: it is
            encoded again when its picture or place is another.
        :param enable_detail_enhance: sharpen the frames with `DetailEnhancer`
        :param detail_strength: how much, as a multiple of its own strength
        :return: `gen_image` (B, 3, 512, 512), the raster's first three channels, which are not bounded, and
            `sr_gen_image` (B, 3, 512, 512) in 0..1, the frames; `t_image` and `t_bbox` of the batch, where it has them
        :raises KeyError: something is missing. ValueError: it is of another shape, or there are several sources.
        """
        points, transforms = frames_of(batch, N_VERTICES)
        avatar = batch["avatar"] if "avatar" in batch else self._source(batch)
        previews, frames = [], []
        for vertices, transform in zip(points, transforms, strict=True):
            raster = self.rasterize(avatar, vertices, transform)
            previews.append(raster[:, :3])
            frames.append(self.upsample(raster))
        pictures = torch.cat(frames)
        if enable_detail_enhance:
            from core.models.modules.detail_enhancer import DetailEnhancer

            pictures = DetailEnhancer().to(pictures.device)(pictures, strength_multiplier=detail_strength)
        result = {"gen_image": torch.cat(previews), "sr_gen_image": pictures}
        return result | {name: batch[name] for name in ("t_image", "t_bbox") if name in batch}

    @exact_convolutions()
    def _source(self, batch: Mapping[str, Any]) -> NetworkAvatar:
        """The avatar of the batch's source picture: the last one if it is the same."""
        image = only_one(batch, "f_image", (3, None, None))
        planes = batch.get("f_planes")
        if planes is None:
            place = only_one(batch, "f_transform", (3, 4))
        else:
            points = only_one(planes, "plane_points", (self.plane_size**2, 3), "f_planes: ")
            place = torch.cat([points, only_one(planes, "plane_dirs", (3,), "f_planes: ")[None]])
        known = self._encoded
        if known is not None and torch.equal(known[0], image) and torch.equal(known[1], place):
            return known[2]
        if planes is None:
            avatar = self.encode(image, place)
        else:
            there = place.to(self.device, torch.float32)
            avatar = self._encode(image.to(self.device, torch.float32), there[:-1], there[-1])
        self._encoded = (image.clone(), place.clone(), avatar)
        return avatar


def _before_loading(
    network: GAGAvatar, state: dict[str, Any], prefix: str, metadata: Any, strict: bool, *_: list[str]
) -> None:
    """Lets `load_state_dict` take a checkpoint's `model` as it is, and forgets what older weights have made."""
    for name in [name for name in state if name.startswith(tuple(prefix + part for part in IGNORED))]:
        del state[name]
    network._engine = network._encoded = None


def _plane_size(configuration: Mapping[str, Any] | None) -> int:
    """296, which a configuration may state but not change: it is the side of the encoder's feature map."""
    part = configuration.get("DATASET") if isinstance(configuration, Mapping) else None
    size = part.get("POINT_PLANE_SIZE", PLANE_SIZE) if isinstance(part, Mapping) else PLANE_SIZE
    if size != PLANE_SIZE:
        raise UserError(
            f"meta_cfg: POINT_PLANE_SIZE is {size!r}, this network has {PLANE_SIZE}: take the released file"
        )
    return PLANE_SIZE
