"""Pictures into MediaPipe's Face Mesh and points out of it, without a Python object for every point."""

from __future__ import annotations

from typing import Any

import numpy as np

# A serialised `NormalizedLandmarkList` of points with nothing but x, y and z: for each the key of its field and the
# length of what follows, then three float32 after their keys.
_POINT = np.dtype(
    [("key", "<u2"), ("x_key", "u1"), ("x", "<f4"), ("y_key", "u1"), ("y", "<f4"), ("z_key", "u1"), ("z", "<f4")]
)
_KEYS = {"key": 0x0F0A, "x_key": 0x0D, "y_key": 0x15, "z_key": 0x1D}


def serialised(mesh: type) -> Any:
    """A class as MediaPipe's `FaceMesh`, whose `process` gives faces as they are serialised, for `landmark_points`."""
    from mediapipe.python._framework_bindings import _packet_getter

    class SerialisedMesh(mesh):
        def _get_packet_content(self, kind: Any, packet: Any) -> Any:
            return None if packet.is_empty() else _packet_getter._get_serialized_proto_list(packet)

    return SerialisedMesh


def landmark_points(data: bytes) -> np.ndarray:
    """(N, 3) float64 of a serialised `NormalizedLandmarkList`."""
    count, rest = divmod(len(data), _POINT.itemsize)
    if count and not rest:
        points = np.frombuffer(data, _POINT)
        if all((points[name] == key).all() for name, key in _KEYS.items()):
            return np.stack([points[name] for name in ("x", "y", "z")], 1).astype(np.float64)
    from mediapipe.framework.formats.landmark_pb2 import NormalizedLandmarkList  # points that say more

    landmarks = NormalizedLandmarkList.FromString(data).landmark
    return np.array([(p.x, p.y, p.z) for p in landmarks], np.float64).reshape(-1, 3)


def cut_square(image: np.ndarray, square: tuple[int, int, int]) -> np.ndarray:
    """The square x, y, side of a picture; black where it reaches beyond the picture."""
    out = np.zeros((square[2], square[2], 3), np.uint8)
    _copy(image, square, out)
    return out


class SquareCutter:
    """`cut_square` for picture after picture, whose squares lie in the same memory: each overwrites the last one."""

    def __init__(self) -> None:
        self._last: tuple[tuple[int, int, int], tuple[int, ...]] | None = None
        self._out = np.empty(0, np.uint8)

    def cut(self, image: np.ndarray, square: tuple[int, int, int]) -> np.ndarray:
        """See `cut_square`."""
        if self._last != (square, image.shape):
            self._out, self._last = cut_square(image, square), (square, image.shape)
        else:  # what is beyond the picture is black already
            _copy(image, square, self._out)
        return self._out


def _copy(image: np.ndarray, square: tuple[int, int, int], out: np.ndarray) -> None:
    """A square of a picture, as far as that goes, into `out`."""
    x, y, side = square
    height, width = image.shape[:2]
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + side, width), min(y + side, height)
    if x1 > x0 and y1 > y0:
        out[y0 - y : y1 - y, x0 - x : x1 - x] = image[y0:y1, x0:x1]
