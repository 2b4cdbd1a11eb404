"""Whether a value is what an option takes, told from the type that the option's field has."""

from __future__ import annotations

import os
import reprlib
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from core.errors import UserError


def kinds_of(hint: Any) -> tuple[tuple[Any, ...], tuple[str, ...]]:
    """The types that a field takes and, where it takes a few words only, these words."""
    if get_origin(hint) is Literal:
        return (str,), get_args(hint)
    return get_args(hint) or (hint,), ()


def checked_value(name: str, value: Any, hint: Any) -> Any:
    """`value` as `hint` wants it."""
    kinds, choices = kinds_of(hint)
    # A path forgets the slash at its end, by which a folder is told from a file.
    if Path in kinds and isinstance(value, str) and not (str in kinds and ends_as_folder(value)):
        value = Path(value)
    if float in kinds and type(value) is int:
        value = float(value)
    if choices and value not in choices:
        raise UserError(f"{name} must be one of {', '.join(choices)}, got {reprlib.repr(value)}")
    # bool is an int to isinstance, not to a person
    if not choices and not any(isinstance(value, kind) and (type(value) is not bool or kind is bool) for kind in kinds):
        words = {
            bool: "true or false",
            Path: "a path",
            str: "a text (in quotes)",
            float: "a number",
            int: "a whole number",
        }
        wanted = next(words[kind] for kind in kinds if kind in words)
        raise UserError(f"{name} must be {wanted}, got {'nothing' if value is None else reprlib.repr(value)}")
    return value


def ends_as_folder(path: Path | str) -> bool:
    """Whether this is a text that ends in a slash."""
    return isinstance(path, str) and path.endswith(tuple(filter(None, (os.sep, os.altsep))))
