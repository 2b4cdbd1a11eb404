"""The portrait as a camera of this machine, for calls; by `pyvirtualcam`, the extra `virtual-camera`."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np

from core.errors import UserError


def is_available() -> bool:
    """Whether the extra is installed. Whether the system has a device for it shows when one is opened."""
    return importlib.util.find_spec("pyvirtualcam") is not None


class VirtualCamera:
    """A camera that shows pictures (H, W, 3) uint8 RGB; a context manager.

    Args:
        size: width and height. fps: that the device says it has. make: the device's class, pyvirtualcam's by default.
    Raises:
        UserError: the extra is not installed, or the system has no device for it.
    """

    def __init__(self, size: tuple[int, int], fps: float = 25.0, make: Callable[..., Any] | None = None) -> None:
        if make is None:
            if not is_available():
                raise UserError("no virtual camera: pip install .[virtual-camera]")
            make = importlib.import_module("pyvirtualcam").Camera
        try:
            self._device = make(width=size[0], height=size[1], fps=fps)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise UserError(f"no virtual camera: {reason} (Linux: v4l2loopback; others: OBS Studio)") from error
        self.size = size

    def show(self, image: np.ndarray) -> None:
        """Show a picture."""
        self._device.send(np.ascontiguousarray(image[..., :3]))

    def close(self) -> None:
        self._device.close()
