"""Arrays, pictures and plain values in one block of bytes, which a page reads without a library."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from typing import Any

import cv2
import numpy as np


class Payload:
    """What a page is given, in the making; the other end is `html/payload.js`.

    The block is the length of a JSON text (uint32, little endian), that text, and the bytes that its entries point to,
    all deflated. The text has plain `values`, and `arrays` and `pictures` with where they lie.
    """

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self._arrays: dict[str, dict[str, Any]] = {}
        self._pictures: dict[str, dict[str, Any]] = {}
        self._parts: list[bytes] = []
        self._length = 0

    def array(self, name: str, values: np.ndarray) -> None:
        """An array as it is: float32, int16, uint16, int32 or uint8."""
        values = np.ascontiguousarray(values)
        values = values.astype(np.float32) if values.dtype == np.float64 else values
        self._arrays[name] = {"type": values.dtype.name, "shape": values.shape} | self._place(values.tobytes())

    def quantised(self, name: str, values: np.ndarray) -> float:
        """Values (..., K) in steps of an int16, each of the K columns over its own largest; returns the largest error.

        The page gets float32 back.
        """
        columns = values.reshape(-1, values.shape[-1]).astype(np.float64)
        scale = np.abs(columns).max(0) / np.iinfo(np.int16).max
        steps = np.rint(columns / np.where(scale > 0, scale, 1)).astype("<i2")
        # High and low bytes apart: the high ones, which hardly change, deflate to little.
        apart = steps.view(np.uint8).reshape(-1, 2).T
        entry = {"type": "steps", "shape": values.shape, "scale": [float(f"{s:.9g}") for s in scale]}
        self._arrays[name] = entry | self._place(np.ascontiguousarray(apart).tobytes())
        return float(np.abs(steps * scale - columns).max(initial=0.0))

    def picture(self, name: str, image: np.ndarray, quality: int | None = None) -> None:
        """A picture (H, W), (H, W, 3) or (H, W, 4) uint8: WebP of a quality 0..100, or without loss."""
        if image.ndim == 3:
            image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR if image.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)
        ok, data = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, 101 if quality is None else quality])
        assert ok
        self._pictures[name] = {"kind": "image/webp", "shape": image.shape} | self._place(data.tobytes())

    def _place(self, data: bytes) -> dict[str, int]:
        place = {"at": self._length, "bytes": len(data)}
        padded = data + b"\0" * (-len(data) % 4)
        self._parts.append(padded)
        self._length += len(padded)
        return place

    def to_bytes(self) -> bytes:
        """The block, deflated (zlib)."""
        about = {"values": self.values, "arrays": self._arrays, "pictures": self._pictures}
        text = json.dumps(about, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        return zlib.compress(struct.pack("<I", len(text)) + text + b"".join(self._parts), 9)

    def to_text(self) -> str:
        """The block in base 64."""
        return base64.b64encode(self.to_bytes()).decode("ascii")
