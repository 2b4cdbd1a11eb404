"""The published network as the pipeline drives it: a tracked photo in, pictures out, and the photo's own detail."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate as resize

from core.data.records import IMAGE_SIZE, TrackedSource
from core.errors import UserError
from core.libs.flame_model import Head
from core.libs.geometry import seen_from
from core.models.GAGAvatar.detail import CHANNELS, DETAIL, MATTE, source_detail, source_matte, with_detail
from core.models.GAGAvatar.models import COLORS, GAGAvatar, NetworkAvatar
from core.models.rasterizer import warm_up
from core.models.request import DrawRequest
from core.runtime.device import torch_threads, upload


@dataclass
class SourceAvatar:
    """A photo as the network's Gaussians.

    Attributes:
        network: the Gaussians. picture: (3, 512, 512) the photo on black. vertices: (5023, 3) and transform: (3, 4) of
        the photo. matte: (512, 512) of the photo. size: pixels of a side of what is drawn, which is enlarged to that.
        channels: (N, 40) the Gaussians' 32 channels, 3 of detail, their matte and 4 that are empty, so that the
        rasterizer need not pad them in every frame; None until a frame asks for one of these.
        has_detail: whether detail is in them.
    """

    network: NetworkAvatar
    picture: Tensor
    vertices: Tensor
    transform: Tensor
    matte: Tensor
    size: int = IMAGE_SIZE
    channels: Tensor | None = None
    has_detail: bool = False


class PublishedAvatar:
    """The published network behind the pipeline's protocol.

    It draws on black, as it was trained. What is put over something else takes the photo's matte along, which every
    Gaussian has from its place in the photo, and which is splatted as the colours are.

    Args:
        network: with its weights.
        head: FLAME, to place the photo's own vertices for its detail.
    """

    name = "gagavatar"
    background = np.zeros(3, np.float32)

    def __init__(self, network: GAGAvatar, head: Head) -> None:
        self.network = network
        self._head = head
        # The pipeline keeps torch to one thread, which suits its small steps; a frame here is 137 GFLOP.
        self._threads = torch.get_num_threads()

    @classmethod
    def load(cls, checkpoint: Path, head: Head, device: torch.device | str = "cpu") -> Self:
        """From the released checkpoint. UserError with one line where it does not fit."""
        return cls(GAGAvatar.from_checkpoint(checkpoint, device), head)

    @property
    def on_gpu(self) -> bool:
        """Whether a picture may still be under way when it is returned, and the host is free meanwhile."""
        return self.network.device.type == "cuda"

    def warm_up(self) -> float:
        """Compiles the rasterizer; returns the seconds that took."""
        return warm_up(("alpha",), (COLORS,)) if self.network.device.type == "cpu" else 0.0

    def encode(self, source: TrackedSource, anchor: np.ndarray | None = None) -> SourceAvatar:
        """The avatar of a tracked photo; `anchor` is for avatars with shoulders and is not read."""
        came, wanted = source.frame.head, self._head.kind
        if came != wanted:
            raise UserError(f"the photo was tracked for the {came} head, this network needs {wanted}: track it with -f")
        image, matte = source.shown()
        size = source.size
        if size != IMAGE_SIZE:
            smaller = cv2.INTER_AREA if size > IMAGE_SIZE else cv2.INTER_CUBIC
            image, matte = (cv2.resize(part, (IMAGE_SIZE,) * 2, interpolation=smaller) for part in (image, matte))
            matte = matte.clip(0, 1)
        picture = torch.from_numpy(image.astype(np.float32) / 255 * matte[..., None]).permute(2, 0, 1)
        device = self.network.device
        picture, person = picture.to(device), torch.from_numpy(matte.astype(np.float32)).to(device)
        transform = _tensor(source.frame.transform_matrix).to(device)
        vertices = _tensor(self._head.evaluate(source.frame)).to(device)
        with torch_threads(self._threads):
            return SourceAvatar(self.network.encode(picture, transform), picture, vertices, transform, person, size)

    def render(self, avatar: SourceAvatar, request: DrawRequest) -> Tensor:
        """The picture (3, S, S) in 0..1, on black, of FLAME's vertices (5023, 3).

        S is that of the photo's shown crop; the network draws 512 pixels, which are enlarged.

        It is on the network's device and, on CUDA, may still be under way: `on_host` of `core.runtime.device` fetches
        pictures while the next ones are drawn.

        `detail` is what the photo shows and the network does not. `torso_motion` and `mouth` are for avatars with
        shoulders and a mouth of their own and are not read.
        """
        if request.detail:
            return _sized(self._draw(avatar, request)[0], avatar.size)
        moved, transform = self._place(request)
        with torch_threads(self._threads):
            picture = self.network.render(avatar.network, moved, transform)
        return _sized(picture, avatar.size)

    def draw_foreground(self, avatar: SourceAvatar, request: DrawRequest) -> Tensor:
        """The person alone, straight RGB and matte (4, S, S) in 0..1; otherwise as `render`.

        On black it is what `render` gives: the matte is nowhere less than the picture is bright.
        """
        picture, matte = self._draw(avatar, request)
        matte = torch.maximum(matte.clamp(0, 1), picture.amax(0))[None]
        picture, matte = _sized(picture, avatar.size), _sized(matte, avatar.size)
        matte = torch.maximum(matte, picture.amax(0, keepdim=True)) if avatar.size != IMAGE_SIZE else matte
        return torch.cat([picture / matte.clamp_min(1e-6), matte])

    def _draw(self, avatar: SourceAvatar, request: DrawRequest) -> tuple[Tensor, Tensor]:
        """The picture (3, 512, 512) in 0..1 on black, and its matte (512, 512)."""
        detail = request.detail
        moved, transform = self._place(request)
        with torch_threads(self._threads):
            return with_detail(
                self.network, avatar.network, self._channels(avatar, detail > 0), moved, transform, detail
            )

    def _place(self, request: DrawRequest) -> tuple[Tensor, Tensor]:
        """The vertices (5023, 3) on the device, and their transform (3, 4) to the camera that draws."""
        assert 0 <= request.detail <= 1, f"detail must be in 0..1, got {request.detail}"
        assert request.camera is None, "the network draws the photo's shown crop alone"
        return upload(_tensor(request.vertices), self.network.device), _tensor(
            seen_from(request.transform, request.view)
        )

    def _channels(self, avatar: SourceAvatar, with_detail: bool) -> Tensor:
        """`SourceAvatar.channels`, with detail where that is asked for."""
        place = avatar.vertices, avatar.transform
        if avatar.channels is None:
            colors = avatar.network.gaussians["colors"]
            avatar.channels = torch.zeros(len(colors), CHANNELS, device=colors.device)
            avatar.channels[:, :COLORS] = colors
            avatar.channels[:, MATTE : MATTE + 1] = source_matte(avatar.network, avatar.matte, *place)
        if with_detail and not avatar.has_detail:
            avatar.channels[:, DETAIL] = source_detail(self.network, avatar.network, avatar.picture, *place)
            avatar.has_detail = True
        return avatar.channels


def _sized(picture: Tensor, size: int) -> Tensor:
    """A picture (C, 512, 512) in 0..1 with so many pixels a side."""
    if picture.shape[-1] == size:
        return picture
    return resize(picture[None], (size, size), mode="bicubic", antialias=True)[0].clamp(0, 1)


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))
