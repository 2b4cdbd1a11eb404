"""Plates, kept as tracked photos are: by the content of what they are made of."""

from __future__ import annotations

import numpy as np

from core.data.array_file import load_arrays, save_arrays
from core.errors import UserError
from core.libs.plate import VERSION, make_plate
from core.libs.tracker.cache import TrackCache


def cached_plate(
    cache: TrackCache, image: np.ndarray, matte: np.ndarray, inside: np.ndarray | None = None
) -> np.ndarray:
    """`make_plate`, done once for the same picture."""
    blocks = [np.ascontiguousarray(part).tobytes() for part in (image, matte, inside) if part is not None]
    entry = cache.entry_of(blocks, "plate", VERSION, str(image.shape)) / "plate.npz"
    try:
        plate = load_arrays(entry)["plate"]
        if plate.shape == image.shape and plate.dtype == np.uint8:
            return plate
    except (UserError, KeyError):
        pass  # not there, or damaged: made again
    plate = make_plate(image, matte, inside)
    cache.keep(lambda: save_arrays(entry, {"plate": plate}, quick=True))
    return plate
