"""glTF 2.0 in one binary file (.glb), as far as it is needed here: a document and one buffer."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np

_COMPONENTS = {"float32": 5126, "uint32": 5125, "uint16": 5123, "uint8": 5121}
_KINDS = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}


class Gltf:
    """A document in the making.

    Attributes:
        document: to which meshes, nodes and the rest are added, in glTF's own words.
    """

    def __init__(self, generator: str, about: str) -> None:
        self.document: dict[str, Any] = {
            "asset": {"version": "2.0", "generator": generator, "copyright": about},
            "accessors": [],
            "bufferViews": [],
        }
        self._parts: list[bytes] = []
        self._length = 0

    def view(self, data: bytes) -> int:
        """Bytes of the buffer; returns the number of their view."""
        views = self.document["bufferViews"]
        views.append({"buffer": 0, "byteOffset": self._length, "byteLength": len(data)})
        padded = data + b"\0" * (-len(data) % 4)
        self._parts.append(padded)
        self._length += len(padded)
        return len(views) - 1

    def accessor(self, values: np.ndarray, *, bounds: bool = False, normalized: bool = False) -> int:
        """Values (N,) or (N, 2..4); returns the number of their accessor. `bounds`: say the smallest and largest."""
        rows = values.reshape(len(values), -1)
        entry: dict[str, Any] = {
            "bufferView": self.view(np.ascontiguousarray(values).tobytes()),
            "componentType": _COMPONENTS[values.dtype.name],
            "count": len(rows),
            "type": _KINDS[rows.shape[1]],
        }
        if bounds:
            entry |= {"min": rows.min(0).tolist(), "max": rows.max(0).tolist()}
        if normalized:
            entry["normalized"] = True
        self.document["accessors"].append(entry)
        return len(self.document["accessors"]) - 1

    def to_bytes(self) -> bytes:
        """The file."""
        buffer = b"".join(self._parts)
        text = json.dumps(self.document | {"buffers": [{"byteLength": len(buffer)}]}, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        chunks = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(buffer), 0x004E4942) + buffer
        return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks
