"""Head models: codes in, vertices out. torch, which they need, is loaded with the first of them that is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.libs.flame_model.flame import (
        HEAD_TYPES,
        OPEN_HEAD,
        FlameHead,
        FLAMEModel,
        IrisGain,
        OpenHead,
        head_mirror,
    )
    from core.libs.flame_model.head import Head

__all__ = ["HEAD_TYPES", "OPEN_HEAD", "FLAMEModel", "FlameHead", "Head", "IrisGain", "OpenHead", "head_mirror"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "Head":
        from core.libs.flame_model import head as module
    elif name == "OPEN_HEAD":
        from core.libs.flame_model import asset as module  # type: ignore[no-redef]
    else:
        from core.libs.flame_model import flame as module  # type: ignore[no-redef]
    return getattr(module, name)
