"""The built-in avatar: no training, on a CPU."""

from typing import Any

__all__ = ["LiftedAvatar"]


def __getattr__(name: str) -> Any:
    if name != "LiftedAvatar":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from core.models.LiftedAvatar.models import (
        LiftedAvatar,  # here: it takes a second, which a look at a neighbouring file need not wait
    )

    return LiftedAvatar
