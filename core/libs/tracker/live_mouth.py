"""What a live driver's open mouth shows, as the four numbers of `mouth_interior`, from what came so far.

A clip's colours are judged by all of its open mouths; here by those of the last ones that were seen, again and again.
Until there is enough to tell tooth from tongue nothing is told, and the avatar's mouth is the usual one; it changes
over to the driver's while the lips are shut, so that it is not seen.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from core.libs.geometry import Camera
from core.libs.tracker.crop import crop_part, mouth_part
from core.libs.tracker.mouth_interior import (
    UNSEEN_LIGHT,
    Anchors,
    ReadingSettings,
    cheek_colour,
    find_anchors,
    mouth_is_open,
    read_view,
)
from core.libs.tracker.mouth_ring import RingSettings, ViewSettings, ring_on_picture, straightened


@dataclass(frozen=True)
class LiveMouthSettings:
    """By eye.

    Attributes:
        pause: seconds between two looks into an open mouth; a look takes two milliseconds.
        remembered: views of open mouths that colours are judged by. every: seconds between them.
        first: views after which colours are judged first; again: seconds after which they are judged again.
        median: looks, up to now, whose median is taken: single misread ones go. follow: seconds (time constant) in
            which what is shown goes to that.
    """

    pause: float = 0.05
    remembered: int = 60
    every: float = 0.15
    first: int = 8
    again: float = 3.0
    median: int = 3
    follow: float = 0.04


_SETTINGS, _RING, _VIEW, _READING = LiveMouthSettings(), RingSettings(), ViewSettings(), ReadingSettings()


class LiveMouth:
    """Looks into the mouth that a camera shows. Settings: of what is found on the way; the others are a clip's."""

    def __init__(
        self,
        camera: Camera,
        settings: LiveMouthSettings = _SETTINGS,
        ring: RingSettings = _RING,
        view: ViewSettings = _VIEW,
        reading: ReadingSettings = _READING,
    ) -> None:
        self._camera, self._settings, self._ring, self._view, self._reading = camera, settings, ring, view, reading
        self._curve = view.curve
        self.forget()

    def forget(self) -> None:
        """Begin anew, with another person as well."""
        self._views: deque[np.ndarray] = deque(maxlen=self._settings.remembered)
        self._skins: deque[np.ndarray] = deque(maxlen=self._settings.remembered)
        self._read: deque[np.ndarray] = deque(maxlen=self._settings.median)
        self._anchors: Anchors | None = None
        self._kept = self._judged = self._looked = self._now = -np.inf
        self._shown: np.ndarray | None = None

    def look(
        self, image: np.ndarray, crop: np.ndarray, points: np.ndarray, transform: np.ndarray, now: float
    ) -> np.ndarray | None:
        """(4,) float32, see `TrackedFrame`, or None: of a camera picture (H, W, 3) uint8 taken at `now`, seconds.

        `crop` (3,) of the face; the points (478, 2 or more) in it; the head's transform (3, 4).
        """
        passed, self._now = now - self._now, now
        if not mouth_is_open(points, transform, self._camera, self._reading):
            self._read.clear()
            if self._anchors is not None and self._shown is None:
                self._shown = np.array([0.0, 0.0, 0.0, UNSEEN_LIGHT])
            return self._told()
        first = not self._read
        if first or now - self._looked >= self._settings.pause:
            self._look(image, crop, points, now)
        if self._shown is not None and self._read:
            values = np.stack(self._read)
            found = np.median(values, 0)
            light = values[np.isfinite(values[:, 3]), 3]
            found[3] = np.median(light) if len(light) else self._shown[3]
            part_way = 1.0 if first else 1 - float(np.exp(-max(passed, 0.0) / self._settings.follow))
            self._shown = self._shown + part_way * (found - self._shown)
        return self._told()

    def _look(self, image: np.ndarray, crop: np.ndarray, points: np.ndarray, now: float) -> None:
        """Remember what an open mouth shows, and read it where it is known what colours are judged by."""
        self._looked = now
        keeps = now - self._kept >= self._settings.every
        part = mouth_part(points, self._camera.size, keeps)
        picture = crop_part(image, crop, part, self._camera.size)
        places = points[:, :2].astype(np.float64) - part[:2]
        view = straightened(picture, ring_on_picture(picture, places, self._ring), self._curve, self._view)
        if view is None:
            return
        if keeps:
            self._kept = now
            self._views.append(view)
            self._skins.append(cheek_colour(picture, places))
        self._judge(now)
        if self._anchors is not None:
            self._read.append(read_view(view, self._anchors, self._reading, self._view))

    def _told(self) -> np.ndarray | None:
        return None if self._shown is None else self._shown.astype(np.float32)

    def _judge(self, now: float) -> None:
        """Find what colours are judged by, where there is enough to see and it was not done lately."""
        if len(self._views) < self._settings.first or now - self._judged < self._settings.again:
            return
        self._judged = now
        found = find_anchors(np.stack(self._views), np.median(self._skins, 0), self._reading, self._view)
        self._anchors = found or self._anchors
