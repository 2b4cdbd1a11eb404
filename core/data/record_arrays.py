"""Records, frozen dataclasses of arrays and plain values in any depth, as named arrays and back.

What such a file says is data: it names classes of this program that are loaded and are dataclasses, and nothing else.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from core.errors import UserError

_STRUCTURE = "structure"
_PROGRAM = "core."  # where the modules of records are


def to_arrays(record: object) -> dict[str, np.ndarray]:
    """Named arrays that say all of a record; what it holds twice is there once.

    Args:
        record: a dataclass. In its fields: arrays, numbers, strings, None, tuples and lists of those, and records.
    Raises:
        TypeError: it holds something else.
    """
    packing = _Packing()
    structure = packing.node(record)
    packing.arrays[_STRUCTURE] = np.frombuffer(json.dumps(structure).encode(), np.uint8)
    return packing.arrays


def from_arrays(arrays: Mapping[str, np.ndarray]) -> Any:
    """The record that `to_arrays` took apart. UserError where these arrays are not of one, or of another version's."""
    try:
        return _Unpacking(arrays).value(json.loads(arrays[_STRUCTURE].tobytes()))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise UserError(f"not a record ({type(error).__name__}: {error})") from error


class _Packing:
    """A record on its way to arrays."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self._places: dict[int, Any] = {}  # of arrays and records, by their identity
        self._records = 0

    def node(self, value: Any) -> Any:
        """What JSON says of a value: a plain one itself, anything else as a list whose first item is its kind."""
        if isinstance(value, np.ndarray | np.generic):
            return self._array(value)
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if type(value) in (tuple, list):
            return [type(value).__name__, [self.node(item) for item in value]]
        if not is_dataclass(value) or isinstance(value, type):
            raise TypeError(f"{type(value).__name__} is neither an array nor a record")
        if id(value) in self._places:
            return ["same", self._places[id(value)]]
        kind = type(value)
        parts = {field.name: self.node(getattr(value, field.name)) for field in fields(value) if field.init}
        self._places[id(value)] = self._records  # counted as they are complete, which is when they can be made
        self._records += 1
        return ["record", kind.__module__, kind.__qualname__, parts]

    def _array(self, value: np.ndarray | np.generic) -> list[str]:
        kind = "array" if isinstance(value, np.ndarray) else "scalar"
        name = self._places.get(id(value), str(len(self.arrays)))
        self._places[id(value)] = name
        self.arrays[name] = np.asarray(value)
        return [kind, name]


class _Unpacking:
    """Arrays on their way to a record."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self._arrays = arrays
        self._records: list[Any] = []

    def value(self, node: Any) -> Any:
        if not isinstance(node, list):
            return node
        kind, *rest = node
        if kind == "array":
            return self._arrays[rest[0]]
        if kind == "scalar":
            return self._arrays[rest[0]][()]
        if kind in ("tuple", "list"):
            items = [self.value(item) for item in rest[0]]
            return tuple(items) if kind == "tuple" else items
        if kind == "same":
            return self._records[rest[0]]
        if kind != "record":
            raise ValueError(f"an unknown kind, {kind}")
        module, name, parts = rest
        record = _class_of(module, name)(**{field: self.value(part) for field, part in parts.items()})
        self._records.append(record)
        return record


def _class_of(module: str, name: str) -> type:
    """A dataclass of this program, of a module that is loaded. ValueError where it is none."""
    found = getattr(sys.modules.get(module), name, None) if module.startswith(_PROGRAM) else None
    if not isinstance(found, type) or not is_dataclass(found):
        raise ValueError(f"{module}.{name} is no record of this version")
    return found
