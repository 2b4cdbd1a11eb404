"""The configuration that a checkpoint carries, read as upstream's snippets read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.errors import UserError


class ConfigDict(dict):
    """A dict whose values are attributes too: `ConfigDict(init_dict=checkpoint["meta_cfg"]).MODEL.NAME`.

    Mappings in it are read the same way. Attributes are read-only; the dict is not. A key that is not there is an
    AttributeError that names those that are.

    Args:
        init_dict: a mapping. UserError where it is none: `meta_cfg` of another file, mostly.
    """

    def __init__(self, *, init_dict: Mapping[str, Any]) -> None:
        if not isinstance(init_dict, Mapping):
            raise UserError(
                f"init_dict is a {type(init_dict).__name__}, expected a mapping such as meta_cfg of GAGAvatar.pt"
            )
        super().__init__(init_dict)

    def __getattr__(self, name: str) -> Any:
        if name not in self:
            raise AttributeError(f"the configuration has no {name!r}, only {', '.join(map(str, self)) or 'nothing'}")
        value = self[name]
        return ConfigDict(init_dict=value) if isinstance(value, Mapping) else value

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"attributes of a configuration are read-only: write config[{name!r}] = ...")

    def __str__(self) -> str:
        return "\n".join(_lines(self, 0))


def _lines(values: Mapping[str, Any], depth: int) -> list[str]:
    """One `key: value` a line, mappings indented below their key."""
    out = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            out += [f"{'    ' * depth}{key}:", *_lines(value, depth + 1)]
        else:
            out.append(f"{'    ' * depth}{key}: {value}")
    return out
