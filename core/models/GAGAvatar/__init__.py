"""The published network: `models.GAGAvatar` itself, `adapter.PublishedAvatar` what the pipeline drives."""

from typing import Any

__all__ = ["GAGAvatar"]


def __getattr__(name: str) -> Any:
    if name != "GAGAvatar":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from core.models.GAGAvatar.models import (
        GAGAvatar,  # here: it takes a second, which a look at a neighbouring file need not wait
    )

    return GAGAvatar
