"""What an avatar is asked to draw: one picture of one person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from core.libs.geometry import Camera  # it loads torch


@dataclass(frozen=True)
class DrawRequest:
    """One picture of a person, for `render` and `draw_foreground` of any avatar.

    Attributes:
        vertices: (V, 3) of the head. transform: (3, 4) from the head to the camera.
        detail: how much of the photo's own detail is added, 0 to 1; see `source_detail_fade`.
        torso_motion: (4,) how the shoulders moved since the avatar's anchor, see `TrackedFrame`; None: only as the neck
            takes them along.
        view: (3, 4) from the camera of transform and anchor to the one that draws; None: the same one.
        mouth: (4,) what the driver's mouth shows between its lips, see `TrackedFrame`; None: what is usual.
        camera: the size of the picture, and its focal length; None: those of the photo's shown crop.
    """

    vertices: np.ndarray
    transform: np.ndarray
    detail: float = 0.0
    torso_motion: np.ndarray | None = None
    view: np.ndarray | None = None
    mouth: np.ndarray | None = None
    camera: Camera | None = None
