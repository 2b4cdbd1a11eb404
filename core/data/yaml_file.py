"""Small yaml files, read as data: plain values, no aliases, a bounded size and depth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from core.errors import UserError


@dataclass(frozen=True)
class YamlSettings:
    """What is refused before it is parsed. The parser's time grows with the square of the depth.

    Attributes:
        max_characters: of the file. max_brackets: opening ones; no option takes a list, let alone one in another.
    """

    max_characters: int = 20_000
    max_brackets: int = 200


def read_yaml(path: Path, settings: YamlSettings = YamlSettings()) -> Any:
    """The content of a yaml file, None of an empty one.

    Raises:
        UserError: the file cannot be read, is not yaml, is too large or holds aliases.
    """
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(settings.max_characters + 1)
        if len(text) > settings.max_characters or text.count("[") + text.count("{") > settings.max_brackets:
            raise UserError(f"{path} is too large for a file of options")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise UserError(f"{path} holds aliases (*name), which may unfold to any size: write the values themselves")
        return yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({getattr(error, 'strerror', None) or 'not a text file'})") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UserError(f"{path} is not yaml: {' '.join(str(error).split())}") from error
