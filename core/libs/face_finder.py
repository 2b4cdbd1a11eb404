"""Points of faces in pictures, for callers that have only the pictures."""

from __future__ import annotations

import logging

import numpy as np
import torch
from torch import Tensor

from core.libs.tracker.base import N_POINTS, FaceTracker

_LOG = logging.getLogger(__name__)


class FaceFinder:
    """The points of the largest face of each picture, by a tracker that is loaded when it is first needed, and kept.

    Args:
        tracker: MediaPipe's where it is None. Where that cannot be loaded no face is found, which is logged once.
    """

    def __init__(self, tracker: FaceTracker | None = None) -> None:
        self._tracker = tracker
        self._missing = False

    def __call__(self, images: Tensor) -> np.ndarray:  # (B, 3, H, W) in 0..1 to (B, 478, 2)
        """Pixels of the pictures, centres at integers; NaN for a picture without a face. Each is searched alone."""
        out = np.full((len(images), N_POINTS, 2), np.nan)
        tracker = self._loaded()
        if tracker is None:
            return out
        pictures = images.detach().clamp(0, 1).mul(255).round().to("cpu", torch.uint8).permute(0, 2, 3, 1)
        for points, picture in zip(out, pictures.contiguous().numpy(), strict=True):
            found = tracker.detect(picture)
            if found is not None:
                points[:] = found.points[:, :2]
        return out

    def _loaded(self) -> FaceTracker | None:
        if self._tracker is None and not self._missing:
            try:
                from core.libs.tracker.mediapipe_tracker import MediaPipeTracker  # here: it takes seconds

                self._tracker = MediaPipeTracker()
            except ImportError as error:
                self._missing = True
                _LOG.warning("eyes are not looked for, pictures stay as they are: the tracker is missing (%s)", error)
        return self._tracker
