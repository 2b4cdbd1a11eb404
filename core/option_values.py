"""Whether a value is what an option takes, told from the type that the option's field has; how options are read."""

from __future__ import annotations

import argparse
import difflib
import os
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args, get_origin

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


def checked_values(content: Mapping[Any, Any], hints: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The values of a mapping from outside by the names of fields; a name may have hyphens.

    UserError, which begins with `where`, where a name is none of `hints` or a value is not as its hint wants it.
    """
    values = {}
    for key, value in content.items():
        name = str(key).replace("-", "_")
        if name not in hints:
            near = difflib.get_close_matches(name, hints, 1, 0.5)
            hint = f", did you mean {near[0]!r}?" if near else ""
            raise UserError(f"{where}: unknown option {reprlib.repr(str(key))}{hint}")
        try:
            values[name] = checked_value(name, value, hints[name])
        except UserError as error:
            raise UserError(f"{where}: {error}") from None
    return values


def from_text(text: str, hint: Any) -> Any:
    """What a text says where a field of this type is wanted; the text itself where it says nothing of the kind."""
    kinds, choices = kinds_of(hint)
    if not choices and bool in kinds:
        return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}.get(text.lower(), text)
    for kind in (int, float):
        if kind in kinds:
            try:
                return kind(text)
            except ValueError:
                continue
    return text


def checked_face(name: str, value: int | str) -> int | str:
    """Which of several faces: `largest`, `all` or a number from 1; texts of digits become numbers."""
    number = int(value) if str(value).isdecimal() and len(str(value)) < 9 else 0
    if number < 1 and value not in ("largest", "all"):
        raise UserError(f"{name} must be largest, all or a number from 1 (left to right), got {reprlib.repr(value)}")
    return number or value


def ends_as_folder(path: Path | str) -> bool:
    """Whether this is a text that ends in a slash."""
    return isinstance(path, str) and path.endswith(tuple(filter(None, (os.sep, os.altsep))))


def is_there(name: str) -> bool:
    """Whether there is a file or folder of this name."""
    try:
        return Path(name).exists()
    except (OSError, ValueError):  # a name that no file can have
        return False


class HelpFormatter(argparse.HelpFormatter):
    """Lists one spelling of each option; `--some_name` is understood too."""

    def _format_action_invocation(self, action: argparse.Action) -> str:
        shown = [name for name in action.option_strings if "_" not in name]
        values = "" if action.nargs == 0 else " " + self._format_args(action, action.dest.upper())
        return ", ".join(shown) + values


class Parser(argparse.ArgumentParser):
    """What is wrong on a command line is a UserError."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see --help)")


def spellings(option: Any) -> list[str]:
    """`-x`, `--some-name` and `--some_name`."""
    names = dict.fromkeys([f"--{option.name.replace('_', '-')}", f"--{option.name}"])
    return [option.metadata["short"], *names] if option.metadata["short"] else list(names)


def help_of(option: Any) -> str:
    shown = option.default is not None and option.default is not False
    return option.metadata["help"].replace("%", "%%") + (f" (default: {option.default})" if shown else "")


def about(
    text: str,
    *,
    group: str,
    short: str | None = None,
    metavar: str | None = None,
    limits: tuple[float, float] | None = None,
) -> dict[str, Any]:
    return {"help": text, "group": group, "short": short, "metavar": metavar, "limits": limits}
