"""The avatars: the published network and the built-in one."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from core.errors import UserError

if TYPE_CHECKING:
    from core.models.GAGAvatar import GAGAvatar
    from core.models.LiftedAvatar import LiftedAvatar

_NAMES = ("GAGAvatar", "LiftedAvatar")


def build_model(model_cfg: Mapping[str, Any]) -> GAGAvatar | LiftedAvatar:
    """The model that a configuration names, as upstream's `build_model` gives it: the network without its weights.

    Args:
        model_cfg: `MODEL` of a checkpoint's `meta_cfg`, a mapping; its `NAME` is read: GAGAvatar or LiftedAvatar.
    Raises:
        UserError: no mapping with a `NAME` that is known.

    The weights then come by `load_state_dict(checkpoint["model"])`. `GAGAvatar.from_checkpoint(path)` does all of
    it: it needs no memory for weights that the file replaces, and says in one line what does not fit.
    """
    name = model_cfg.get("NAME") if isinstance(model_cfg, Mapping) else None
    if name not in _NAMES:
        given = f"NAME {name!r}" if isinstance(model_cfg, Mapping) else f"a {type(model_cfg).__name__}"
        raise UserError(f"model_cfg: expected a mapping whose NAME is one of {', '.join(_NAMES)}, got {given}")
    model = getattr(import_module(f"{__name__}.{name}"), name)  # here: the networks take seconds to load
    return model(model_cfg) if name == "GAGAvatar" else model()
