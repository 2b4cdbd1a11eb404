"""Memory for pictures, used again."""

from __future__ import annotations

import sys

import numpy as np


class Pictures:
    """Buffers for pictures, each handed out again once nobody holds what was made of it.

    New memory has to be cleared by the system, which takes as long as drawing into it.
    """

    def __init__(self) -> None:
        self._buffers: list[np.ndarray] = []

    def get(self, shape: tuple[int, ...]) -> np.ndarray:
        """An uninitialised float32 array of this shape."""
        self._buffers = [buffer for buffer in self._buffers if buffer.shape == shape]
        for k in range(len(self._buffers)):
            if sys.getrefcount(self._buffers[k]) <= len(("the list", "the argument")):
                return self._buffers[k]
        self._buffers.append(np.empty(shape, np.float32))
        return self._buffers[-1]
