"""The options as a form: made of `Options` itself, so that a new one appears in the page; and back, checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from types import NoneType
from typing import Any, get_type_hints

from core.errors import UserError
from core.option_values import kinds_of
from core.options import BACKGROUNDS, IMPROVEMENTS, Options

# What the page chooses itself, what names files of the machine, and what is the machine's owner's to decide
HIDDEN = frozenset(
    {
        "image_path",
        "driver_path",
        "output",
        "resume_path",
        "accept_flame_license",
        "device",
        "quiet",
        "keep_partial",
        "report",
    }
)
INITIAL: Mapping[str, Any] = {"enhanced": True, "layout": "result"}  # where the page starts from another value
LIVE = (
    *("face", "background", "smooth_strength", "smooth_alpha", "detail_strength", "no_source_detail"),
    *("expression_gain", "gaze_strength", "gaze_target", "no_eye_enhance", "no_watermark", *IMPROVEMENTS),
)
FILE = "file:"  # before the name of an upload


def form_fields() -> list[dict[str, Any]]:
    """What the form asks for, field by field in the order of `Options`.

    `kind`: `switch`, `three` (on, off or as --enhanced says), `choice`, `number`, `text`, `text-or-file` or `file`.
    """
    hints = get_type_hints(Options)
    found = []
    for option in fields(Options):
        if option.name in HIDDEN:
            continue
        kinds, choices = kinds_of(hints[option.name])
        kind = "text"
        if bool in kinds:
            kind = "three" if NoneType in kinds else "switch"
        elif choices:
            kind = "choice"
        elif str not in kinds and (int in kinds or float in kinds):
            kind = "number"
        elif Path in kinds and str not in kinds:
            kind = "file"
        if option.name == "background":
            kind = "text-or-file"
        default = option.default if isinstance(option.default, bool | int | float | str | None) else None
        found.append(
            {
                "name": option.name,
                "label": option.name.replace("_", " ").capitalize(),
                "flag": f"--{option.name.replace('_', '-')}",
                "help": option.metadata["help"],
                "group": option.metadata["group"],
                "kind": kind,
                "default": INITIAL.get(option.name, default),
                "choices": list(BACKGROUNDS) if option.name == "background" else list(choices),
                "limits": option.metadata["limits"],
                "whole": float not in kinds,
                "live": option.name in LIVE,
            }
        )
    return found


def options_of(values: Mapping[str, Any], find: Callable[[str], Path], **own: Any) -> Options:
    """`Options` of what a form holds.

    Args:
        values: by name; empty ones are left at their defaults. find: the path of an upload by its name.
        own: what the page itself sets.
    Raises:
        UserError: an option that the page does not offer, a wrong value, or the name of a file of the machine.
    """
    offered = {field["name"]: field["kind"] for field in form_fields()}
    checked: dict[str, Any] = {}
    for name, value in values.items():
        if name not in offered:
            raise UserError(f"{name[:40]!r} is not an option of this page")
        if value is None or value == "":
            continue
        if isinstance(value, str) and value.startswith(FILE) and "file" in offered[name]:
            value = find(value.removeprefix(FILE))
            checked[name] = value if offered[name] == "file" else str(value)
        elif offered[name] == "file":
            raise UserError(f"{name}: upload a file")
        else:
            checked[name] = _no_file(name, value) if isinstance(value, str) else value
    return Options(**checked, **own)


def _no_file(name: str, text: str) -> str:
    """A text that cannot be taken for a file of the machine that serves the page."""
    if any(part in text for part in "/\\.\0") or len(text) > 80 or Path(text).exists():
        raise UserError(f"{name}: {text[:40]!r} is nothing that can be chosen here; a file has to be uploaded")
    return text
