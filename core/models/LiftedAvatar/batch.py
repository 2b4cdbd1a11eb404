"""The built-in avatar, called as the published network is: batches of `core.data.DriverData` in, pictures out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from core.models.batches import frames_of, unpacked_source
from core.models.request import DrawRequest

if TYPE_CHECKING:
    from core.models.LiftedAvatar.models import Avatar, LiftedAvatar


class SourceCache:
    """The avatar of the last source that batches came with; it is made again when the source is another."""

    def __init__(self) -> None:
        self._last: tuple[dict[str, Tensor], Avatar] | None = None

    def avatar(self, model: LiftedAvatar, batch: Mapping[str, Any]) -> Avatar:
        """Of the batch's `source`. KeyError where it has none."""
        packed = {name: value[0] for name, value in batch.get("source", {}).items()}
        if self._last is not None and packed:
            known, avatar = self._last
            if known.keys() == packed.keys() and all(torch.equal(known[name], packed[name]) for name in packed):
                return avatar
        avatar = model.encode(unpacked_source(batch))
        self._last = packed, avatar
        return avatar


@torch.inference_mode()
def draw_batch(
    model: LiftedAvatar, batch: Mapping[str, Any], enable_detail_enhance: bool = False, detail_strength: float = 1.0
) -> dict[str, Tensor]:
    """Frames of one person.

    Args:
        batch: a collated one of `core.data.DriverData`: `source`, `t_points` (B, V, 3) of the open head, `t_transform`
            (B, 3, 4).
        enable_detail_enhance: sharpen the frames with `DetailEnhancer`.
        detail_strength: how much, as a multiple of its own strength.

    Returns:
        `gen_image` (B, 3, 512, 512) in 0..1, the frames as they are drawn; `sr_gen_image`, the same, sharpened where
        that is asked for; `t_image` and `t_bbox` of the batch, where it has them.
    Raises:
        KeyError: something is missing. ValueError: it is of another shape.
    """
    points, transforms = frames_of(batch, model.vertices)
    avatar = model.sources.avatar(model, batch)
    frames = zip(points.cpu().numpy(), transforms.cpu().numpy(), strict=True)
    drawn = torch.stack([model.render(avatar, DrawRequest(vertices, transform)) for vertices, transform in frames])
    pictures = drawn
    if enable_detail_enhance:
        from core.models.modules.detail_enhancer import DetailEnhancer

        pictures = DetailEnhancer()(drawn, strength_multiplier=detail_strength)
    result = {"gen_image": drawn, "sr_gen_image": pictures}
    return result | {name: batch[name] for name in ("t_image", "t_bbox") if name in batch}
