"""Pickles from outside, read as data: numpy arrays, numpy numbers and plain containers, anything else is refused.

A pickle is a program for a small stack machine, and one of its instructions calls whatever function it names. Here the
standard library's `pickletools` only takes the bytes apart, and the machine below carries the instructions out. It has
no instruction that imports and none that calls: a name is compared with the few names that numpy writes, and stands
for one of `_CONSTRUCTIONS`, which are written here and check what they are given. So there is nothing that a hostile
file could run, and nothing that it names is even looked up. (An allow-list on top of `pickle.Unpickler` would still
call numpy's own functions with the file's arguments: they allocate what they are asked for, and `numpy.dtype` takes
whatever inner state it is handed.)
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import UserError

_TYPES = frozenset({"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"})
# What numpy writes: up to 1 the modules are called numpy.core, from 2 on numpy._core.
_NAMES = {
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("_codecs", "encode"): "encode",
    **{
        (f"numpy.{core}.{module}", name): name
        for core in ("core", "_core")
        for module, name in (("multiarray", "_reconstruct"), ("multiarray", "scalar"), ("numeric", "_frombuffer"))
    },
}
_VALUES = frozenset(
    {"BININT", "BININT1", "BININT2", "LONG1", "LONG4", "INT", "LONG", "BINFLOAT", "FLOAT"}
    | {"UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"}
    | {"SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"}
)


class RefusedPickleError(ValueError):
    """A pickle that is damaged or holds more than arrays and plain containers."""


@dataclass(frozen=True)
class PickleSettings:
    """What is refused, however well formed.

    Attributes:
        max_bytes: of a file, and the longest axis of an array. Tracked parameters take about 3 kB a frame.
        max_operations: bounds the objects that a file of many tiny instructions can make.
    """

    max_bytes: int = 1 << 30
    max_operations: int = 20_000_000


def load(path: Path, settings: PickleSettings = PickleSettings()) -> Any:
    """Read a pickle file.

    Returns:
        dict, list, tuple, str, bytes, int, float, bool, None, numpy numbers and numpy arrays of numbers or bools (in
        the machine's byte order, perhaps read-only), nested. Containers may refer to one another in circles: do not
        print or compare them unseen.
    Raises:
        UserError: missing, unreadable, above `settings.max_bytes`, damaged, or holding anything else.
    """
    try:
        if path.stat().st_size > settings.max_bytes:
            most = settings.max_bytes >> 30
            raise UserError(f"{path} has over {most} GiB: tracked parameters take about 3 kB a frame")
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check its name and permissions") from error
    try:
        return loads(data, settings)
    except RefusedPickleError as error:
        raise UserError(f"{path} is refused: {error}; only a file that GAGAvatar_track wrote is read") from error


def loads(data: bytes, settings: PickleSettings = PickleSettings()) -> Any:
    """Read a pickle from memory; see `load`. RefusedPickleError where it is damaged or holds anything else."""
    machine = _Machine()
    try:
        for count, (instruction, argument, _) in enumerate(pickletools.genops(data)):
            if count >= settings.max_operations:
                raise RefusedPickleError(f"it has over {settings.max_operations:,} instructions")
            if instruction.name == "STOP":
                return machine.result()
            machine.step(instruction.name, argument)
    except RefusedPickleError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, AttributeError, MemoryError) as error:
        raise RefusedPickleError(f"it is damaged ({type(error).__name__})") from error
    raise RefusedPickleError("it is damaged (it has no end)")


@dataclass(frozen=True)
class _Name:
    """A name of the allow-list, which stands for a construction."""

    name: str


@dataclass
class _Type:
    """A numpy type under way: its letters, and its byte order once that has been set."""

    letters: str
    order: str = "="

    def numpy(self) -> np.dtype:
        return np.dtype(self.order + self.letters)


@dataclass(eq=False)
class _Pending:
    """An array that was announced and is not filled yet; `kept`: where in the memo it stands."""

    kept: list[int] = field(default_factory=list)


_UNDER_WAY = (_Name, _Type, _Pending)


@dataclass
class _Machine:
    """The stack machine: `stack` grows from the last mark on, `marks` holds what lies below, `memo` what was kept."""

    stack: list[Any] = field(default_factory=list)
    marks: list[list[Any]] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def step(self, name: str, argument: Any) -> None:
        if name in _VALUES:
            self.stack.append(bytes(argument) if name == "BYTEARRAY8" else argument)
        elif (act := _ACTIONS.get(name)) is not None:
            act(self, argument)
        else:
            raise RefusedPickleError(f"it holds more than arrays and plain containers (instruction {name})")

    def result(self) -> Any:
        (value,) = self.stack
        if self.marks or isinstance(value, _UNDER_WAY):
            raise RefusedPickleError("it is damaged (it ends early)")
        return value

    def items(self) -> list[Any]:
        """What was put on the stack since the last mark."""
        items, self.stack = self.stack, self.marks.pop()
        return items

    def mark(self) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def keep(self, index: int) -> None:
        """Remember the top of the stack."""
        value = self.memo[index] = self.stack[-1]
        if type(value) is _Pending:
            value.kept.append(index)

    def take(self, count: int) -> None:
        """Make a tuple of the last items."""
        if len(self.stack) < count:
            raise IndexError
        items = tuple(self.stack[len(self.stack) - count :])
        del self.stack[len(self.stack) - count :]
        self.stack.append(items)

    def extend(self, items: list[Any]) -> None:
        if any(isinstance(value, _UNDER_WAY) for value in items):
            raise RefusedPickleError("it holds more than arrays and plain containers (a name)")
        _plain(self.stack[-1], list).extend(items)

    def collect(self, kind: type) -> None:
        """Make a container of what was put on the stack since the last mark."""
        items = self.items()
        if kind is tuple:
            return self.stack.append(tuple(items))
        self.stack.append(kind())
        return self.update(items) if kind is dict else self.extend(items)

    def update(self, items: list[Any]) -> None:
        target = _plain(self.stack[-1], dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Hashing a key must stay cheap: tuples that hold one another take exponential time.
            if type(key) not in (str, int):
                raise RefusedPickleError(f"a key is a {type(key).__name__}, expected a text")
            if isinstance(value, _UNDER_WAY):
                raise RefusedPickleError("it holds more than arrays and plain containers (a name)")
            target[key] = value

    def name(self, module: Any, name: Any) -> None:
        found = _NAMES.get((module, name)) if type(module) is type(name) is str else None
        if found is None:
            text = f"{module}.{name}"[:80] if type(module) is type(name) is str else "something without a name"
            raise RefusedPickleError(f"it holds more than arrays and plain containers ({text!r})")
        self.stack.append(_Name(found))

    def call(self) -> None:
        """REDUCE: one of the constructions below in the place of a call."""
        arguments, called = _plain(self.stack.pop(), tuple), self.stack.pop()
        if type(called) is not _Name or called.name not in _CONSTRUCTIONS:
            raise RefusedPickleError("it calls something that is no array")
        self.stack.append(_CONSTRUCTIONS[called.name](*arguments))

    def build(self) -> None:
        """BUILD: give a type its byte order, or an array its contents."""
        state, target = _plain(self.stack.pop(), tuple), self.stack[-1]
        if type(target) is _Type:
            order, *parts = state[1:5]
            if order not in ("<", ">", "|", "=") or parts != [None, None, None]:
                raise RefusedPickleError("an array has a type that is no plain number")
            target.order = order
        elif type(target) is _Pending:
            _, shape, kind, by_column, data = state
            array = _array(data, kind, shape, "F" if by_column is True else "C")
            self.stack[-1] = array
            for index in target.kept:
                self.memo[index] = array
        else:
            raise RefusedPickleError("it sets the state of something that is no array")


def _plain(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise RefusedPickleError(f"it is damaged (a {type(value).__name__} in the place of a {kind.__name__})")
    return value


def _array(data: Any, kind: Any, shape: Any, order: Any = "C") -> np.ndarray:
    """An array on the bytes of the file: as large as they are, whatever shape is claimed."""
    data, dtype, shape = _plain(data, bytes), _plain(kind, _Type).numpy(), _plain(shape, tuple)
    if len(shape) > 8 or any(type(n) is not int or not 0 <= n <= PickleSettings.max_bytes for n in shape):
        raise RefusedPickleError("an array has an impossible shape")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise RefusedPickleError(f"an array of shape {shape} and type {dtype} has {len(data)} bytes")
    if dtype.kind == "b" and data.strip(b"\0\1"):
        raise RefusedPickleError("an array of bools holds something else")
    values = np.frombuffer(data, dtype).astype(dtype.newbyteorder("="), copy=False)
    return values.reshape(shape, order="F" if order == "F" else "C")


def _type(letters: Any, *_: Any) -> _Type:
    if type(letters) is not str or letters not in _TYPES:
        raise RefusedPickleError("an array has a type that is no plain number")
    return _Type(letters)


def _pending(kind: Any, shape: Any, letter: Any) -> _Pending:
    if kind != _Name("ndarray") or shape != (0,) or letter not in (b"b", "b"):
        raise RefusedPickleError("an array is announced in another way than numpy's")
    return _Pending()


def _encoded(text: Any, encoding: Any) -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise RefusedPickleError("it encodes a text in another way than numpy's")
    return _plain(text, str).encode("latin1")


def _scalar(kind: Any, data: Any) -> Any:
    return _array(data, kind, ())[()]


_CONSTRUCTIONS: dict[str, Callable[..., Any]] = {
    "_reconstruct": _pending,
    "_frombuffer": _array,
    "scalar": _scalar,
    "dtype": _type,
    "encode": _encoded,
}
_ACTIONS: dict[str, Callable[[_Machine, Any], Any]] = {
    "PROTO": lambda m, a: None,
    "FRAME": lambda m, a: None,
    "MARK": lambda m, a: m.mark(),
    "NONE": lambda m, a: m.stack.append(None),
    "NEWTRUE": lambda m, a: m.stack.append(True),
    "NEWFALSE": lambda m, a: m.stack.append(False),
    "EMPTY_DICT": lambda m, a: m.stack.append({}),
    "EMPTY_LIST": lambda m, a: m.stack.append([]),
    "EMPTY_TUPLE": lambda m, a: m.stack.append(()),
    "TUPLE": lambda m, a: m.collect(tuple),
    "TUPLE1": lambda m, a: m.take(1),
    "TUPLE2": lambda m, a: m.take(2),
    "TUPLE3": lambda m, a: m.take(3),
    "LIST": lambda m, a: m.collect(list),
    "APPEND": lambda m, a: m.extend([m.stack.pop()]),
    "APPENDS": lambda m, a: m.extend(m.items()),
    "DICT": lambda m, a: m.collect(dict),
    "SETITEM": lambda m, a: m.update([m.stack.pop(-2), m.stack.pop()]),
    "SETITEMS": lambda m, a: m.update(m.items()),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), lambda m, a: m.keep(a)),
    "MEMOIZE": lambda m, a: m.keep(len(m.memo)),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda m, a: m.stack.append(m.memo[a])),
    "GLOBAL": lambda m, a: m.name(*a.split(" ", 1)),
    "STACK_GLOBAL": lambda m, a: m.name(m.stack.pop(-2), m.stack.pop()),
    "REDUCE": lambda m, a: m.call(),
    "BUILD": lambda m, a: m.build(),
}
