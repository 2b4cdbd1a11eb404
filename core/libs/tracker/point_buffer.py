"""Arrays of every frame of a clip, however long, kept in a temporary file instead of memory."""

from __future__ import annotations

import tempfile
from typing import Self

import numpy as np

from core.libs.tracker.base import N_POINTS


class FrameBuffer:
    """Arrays of one shape and type, one a frame, in a temporary file, read and written like an array along its first
    axis. The file has no name and goes when this is closed.

    The frames around the one that was asked for last are in memory: who goes through a clip asks for the file seldom,
    and every time other threads take Python's lock and keep it for a while.

    Args:
        shape, dtype: of a frame's array. held: bytes in memory, about.
    """

    def __init__(self, shape: tuple[int, ...], dtype: type = np.float32, held: int = 1 << 20) -> None:
        self._dtype: np.dtype = np.dtype(dtype)
        self._bytes = int(np.prod(shape)) * self._dtype.itemsize
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 closed by close()
        self._length = 0
        self._held = np.zeros((max(1, held // self._bytes), *shape), self._dtype)
        self._first, self._changed = 0, False  # of the frames that are held; whether the file does not have them so

    def append(self, values: np.ndarray | None) -> None:
        """One more frame at the end; None for one whose values are not known yet."""
        self._length += 1
        self[self._length - 1] = np.zeros(self._held.shape[1:], self._dtype) if values is None else values

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int | slice | np.ndarray) -> np.ndarray:
        """A frame's array, or those of N frames stacked, by slice without step or by an array of frame numbers."""
        if isinstance(index, np.ndarray):
            return np.stack([self[int(i)] for i in index])
        start, stop = self._range(index)
        if not isinstance(index, slice):
            return self._held[self._at(start)].copy()
        self._store()
        values = np.empty((stop - start, *self._held.shape[1:]), self._dtype)
        self._read(start, values)
        return values

    def __setitem__(self, index: int | slice, values: np.ndarray) -> None:
        start, stop = self._range(index)
        if not isinstance(index, slice):
            self._held[self._at(start)], self._changed = values, True
            return
        self._store()
        self._write(start, np.broadcast_to(values, (stop - start, *self._held.shape[1:])))
        self._read(self._first, self._held)

    def _at(self, frame: int) -> int:
        """Where a frame is among those that are held, which it is then."""
        first = frame - frame % len(self._held)
        if first != self._first:
            self._store()
            self._first = first
            self._read(first, self._held)
        return frame - first

    def _store(self) -> None:
        if self._changed:
            self._write(self._first, self._held[: self._length - self._first])
        self._changed = False

    def _read(self, first: int, out: np.ndarray) -> None:
        """Frames from the file, zeros where it ends."""
        self._file.seek(first * self._bytes)
        data, done = out.reshape(-1).view(np.uint8).data, 0
        while done < len(data) and (count := self._file.readinto(data[done:])):
            done += count
        out.reshape(-1).view(np.uint8)[done:] = 0

    def _write(self, first: int, values: np.ndarray) -> None:
        self._file.seek(first * self._bytes)
        data = np.ascontiguousarray(values, self._dtype).reshape(-1).view(np.uint8).data
        while len(data):
            data = data[self._file.write(data) :]

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
