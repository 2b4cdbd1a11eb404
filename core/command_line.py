"""The command line and the yaml file, made from `Options`.

A value comes from the command line, else from the yaml file that `--config` names, else from the default of its field.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from types import NoneType
from typing import Any, get_type_hints

from core.data.yaml_file import read_yaml
from core.errors import UserError
from core.option_values import HelpFormatter, Parser, checked_values, help_of, kinds_of, spellings
from core.options import Options


def load_options(arguments: Sequence[str] | None = None) -> Options:
    """The options of a command line, `sys.argv` by default; a wrong one is a UserError."""
    given = vars(build_parser().parse_args(arguments))
    config = given.pop("config")
    options = Options(**{**(read_config(config) if config else {}), **given})
    object.__setattr__(options, "_typed", frozenset(given))
    return options


def build_parser() -> argparse.ArgumentParser:
    """The parser of the command line, made from `Options`. Only what was given stands in its result."""
    parser = Parser(
        prog="inference.py",
        usage="python inference.py -i PHOTO -d DRIVER [options]",
        description="Animate one photo with any video, on a CPU.",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
        formatter_class=HelpFormatter,
    )
    hints = get_type_hints(Options)
    groups: dict[str, argparse._ArgumentGroup] = {}
    for option in fields(Options):
        group = option.metadata["group"]
        groups[group] = groups.get(group) or parser.add_argument_group(group)
        kinds, choices = kinds_of(hints[option.name])
        settings: dict[str, Any] = {"dest": option.name, "help": help_of(option)}
        if bool in kinds:
            switchable = NoneType in kinds  # neither on nor off unless said
            settings["action"] = argparse.BooleanOptionalAction if switchable else "store_true"
        elif choices:
            settings["choices"] = choices
        else:
            settings |= {"type": str if str in kinds else kinds[0], "metavar": option.metadata["metavar"]}
        groups[group].add_argument(*spellings(option), **settings)
    parser.add_argument(
        "--config", type=Path, default=None, metavar="FILE.yaml", help="read options from this file; flags win over it"
    )
    return parser


def read_config(path: Path) -> dict[str, Any]:
    """The options in a yaml file, by name; paths in it count from the current folder, as on the command line.

    UserError where the file cannot be read, is not yaml, or holds something that is not an option.
    """
    content = read_yaml(path)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no options: write one 'name: value' on a line")
    return checked_values(content, get_type_hints(Options), str(path))
