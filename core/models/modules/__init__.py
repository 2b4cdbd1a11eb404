"""Building blocks of the networks, by the names that upstream imports them by.

    from core.models.modules import DetailEnhancer, DINOBase, StyleUNet

Each is loaded when it is first asked for: one who wants the detail enhancer does not wait for the networks.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "ConvGSGenerator": "gs_generators",
    "DINOBase": "dino_base",
    "DetailEnhancer": "detail_enhancer",
    "LaplacianPyramid": "detail_enhancer",
    "LinearGSGenerator": "gs_generators",
    "SobelEdgeDetector": "detail_enhancer",
    "StyleUNet": "style_unet",
}

__all__ = [  # by `__getattr__`
    "ConvGSGenerator",
    "DINOBase",
    "DetailEnhancer",
    "LaplacianPyramid",
    "LinearGSGenerator",
    "SobelEdgeDetector",
    "StyleUNet",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
