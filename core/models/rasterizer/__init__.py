"""The Gaussian rasterizer: one function, two rules (alpha, surface), three engines (numba, gsplat, torch)."""

from core.models.rasterizer.render import ENGINES, RULES, covariances, is_compiled, render_gaussian, warm_up
from core.models.rasterizer.surface import RasterWorkspace, SurfaceSettings, splat_surface

__all__ = [
    "ENGINES",
    "RULES",
    "RasterWorkspace",
    "SurfaceSettings",
    "covariances",
    "is_compiled",
    "render_gaussian",
    "splat_surface",
    "warm_up",
]
