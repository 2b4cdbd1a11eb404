"""What the photo does not show: which triangles are hidden, their texture, their Gaussians, and how these blend in."""

from core.models.LiftedAvatar.inpaint.blend import (
    all_photo_points,
    find_fringe,
    find_loose_rim,
    photo_roles,
    silhouette_points,
)
from core.models.LiftedAvatar.inpaint.gaussians import Inpainting, inpaint

__all__ = [
    "Inpainting",
    "all_photo_points",
    "find_fringe",
    "find_loose_rim",
    "inpaint",
    "photo_roles",
    "silhouette_points",
]
