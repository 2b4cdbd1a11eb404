"""The tracker of a run: the caller's, or MediaPipe's, which is closed at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from core.libs.tracker.base import FaceTracker


@contextmanager
def open_tracker(given: FaceTracker | None) -> Iterator[FaceTracker]:
    """The given tracker, left open at the end; without one MediaPipe's, closed at the end."""
    if given is not None:
        yield given
        return
    from core.libs.tracker.mediapipe_tracker import MediaPipeTracker  # it takes a second, and writes to stderr

    tracker = MediaPipeTracker()
    try:
        yield tracker
    finally:
        tracker.close()
