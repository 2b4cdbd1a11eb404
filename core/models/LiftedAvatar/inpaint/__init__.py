"""What the photo does not show: which triangles are hidden, their texture, their Gaussians, and how these blend in."""

from core.models.LiftedAvatar.inpaint.blend import (
    all_photo_points,
    find_fringe,
    photo_roles,
    silhouette_points,
)
from core.models.LiftedAvatar.inpaint.gaussians import Inpainting, inpaint

__all__ = [
    "Inpainting",
    "all_photo_points",
    "find_fringe",
    "inpaint",
    "photo_roles",
    "silhouette_points",
]
