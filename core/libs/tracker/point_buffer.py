"""Arrays of every frame of a clip, however long, kept in a temporary file instead of memory."""

from __future__ import annotations

import tempfile
from typing import Self

import numpy as np

from core.libs.tracker.base import N_POINTS


class FrameBuffer:
    """Arrays of one shape and type, one a frame, in a temporary file, read and written like an array along its first
    axis. The file has no name and goes when this is closed.

    Args:
        shape, dtype: of a frame's array.
    """

    def __init__(self, shape: tuple[int, ...], dtype: type = np.float32) -> None:
        self._frame = shape
        self._dtype: np.dtype = np.dtype(dtype)
        self._bytes = int(np.prod(shape)) * self._dtype.itemsize
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 closed by close()
        self._length = 0

    def append(self, values: np.ndarray | None) -> None:
        """One more frame at the end; None for one whose values are not known yet."""
        self._length += 1
        self[self._length - 1] = np.zeros(self._frame, self._dtype) if values is None else values

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int | slice | np.ndarray) -> np.ndarray:
        """A frame's array, or those of N frames stacked, by slice without step or by an array of frame numbers."""
        if isinstance(index, np.ndarray):
            return np.stack([self[int(i)] for i in index])
        start, stop = self._range(index)
        self._file.seek(start * self._bytes)
        values = np.frombuffer(self._file.read((stop - start) * self._bytes), self._dtype)
        values = values.reshape(stop - start, *self._frame).copy()
        return values if isinstance(index, slice) else values[0]

    def __setitem__(self, index: int | slice, values: np.ndarray) -> None:
        start, stop = self._range(index)
        self._file.seek(start * self._bytes)
        whole = np.broadcast_to(values, (stop - start, *self._frame))
        self._file.write(np.ascontiguousarray(whole, self._dtype).data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the disk's room back."""
        self._file.close()

    def _range(self, index: int | slice) -> tuple[int, int]:
        if isinstance(index, slice):
            start, stop, step = index.indices(self._length)
            if step != 1:
                raise ValueError(f"frames must follow one another, got a step of {step}")
            return start, max(start, stop)
        place = index + self._length if index < 0 else index
        if not 0 <= place < self._length:
            raise IndexError(f"frame {index} of {self._length}")
        return place, place + 1


class PointBuffer(FrameBuffer):
    """Points (T, 478, 3) float32. A frame's points take 5.7 KiB, ten minutes' 82 MB."""

    def __init__(self) -> None:
        super().__init__((N_POINTS, 3))
