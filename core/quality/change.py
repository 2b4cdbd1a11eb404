"""What an improvement changed in a run: motion and pictures with it, against those of the same run without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Change:
    """Pairs are without and with the improvement, all others of it being on.

    Attributes:
        name: of `core.options.IMPROVEMENTS`.
        shift: pixels of a crop of 512, rms over landmarks, by which the face moved.
        jitter: pixels, see `Series`. gaze: degrees rms between both. lids, lips: standard deviation over time.
        detail: `gradient_energy` of the frames that are shown. pixels: `picture_change` of them.
    """

    name: str
    shift: float
    jitter: tuple[float, float]
    gaze: float
    lids: tuple[float, float]
    lips: tuple[float, float]
    detail: tuple[float, float]
    pixels: float


def gradient_energy(picture: np.ndarray) -> float:
    """The mean squared gradient of the luma of a picture (H, W, 3 or 4) uint8, grey levels squared per pixel."""
    grey = cv2.cvtColor(picture[..., :3], cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float(np.square(np.diff(grey, axis=0)).mean() + np.square(np.diff(grey, axis=1)).mean())


def picture_change(before: Sequence[np.ndarray], after: Sequence[np.ndarray]) -> float:
    """The rms difference of pairs of pictures uint8, in grey levels."""
    squares = [np.square(a[..., :3].astype(np.float32) - b[..., :3]).mean() for a, b in zip(before, after, strict=True)]
    return float(np.sqrt(np.mean(squares)))
