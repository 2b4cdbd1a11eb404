"""Files in and out.

`from core.data import DriverData` gives upstream's dataset of a driver's frames, `core.driver_dataset.DriverDataset`.
It needs a head and so stands above this folder, which knows files and no faces; the name here only leads there. The
pipeline's own record of a driver is `core.data.loader_track.DriverData`.
"""

from importlib import import_module
from typing import Any

_ABOVE = {"DriverData": "core.driver_dataset", "DriverDataset": "core.driver_dataset"}

__all__ = ["DriverData", "DriverDataset"]


def __getattr__(name: str) -> Any:
    if name not in _ABOVE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(_ABOVE[name]).DriverDataset
