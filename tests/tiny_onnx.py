"""An ONNX file, written by hand: the network that gives its input back, flattened."""

from __future__ import annotations

from pathlib import Path

_INPUT = (1, 3, 112, 112)


def write_flatten(path: Path) -> Path:
    """A face "recognition" whose embedding is the aligned picture itself."""
    shape = b"".join(_message(1, _number(1, size)) for size in _INPUT)
    tensor = _message(1, _number(1, 1) + _message(2, shape))  # of float32
    flat = _message(1, _number(1, 1) + _message(2, b"".join(_message(1, _number(1, n)) for n in (1, 3 * 112 * 112))))
    node = _text(1, "x") + _text(2, "y") + _text(4, "Flatten")
    graph = _message(1, node) + _text(2, "g") + _message(11, _text(1, "x") + _message(2, tensor))
    graph += _message(12, _text(1, "y") + _message(2, flat))
    path.write_bytes(_number(1, 8) + _message(8, _text(1, "") + _number(2, 13)) + _message(7, graph))
    return path


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _text(field: int, value: str) -> bytes:
    return _message(field, value.encode())
