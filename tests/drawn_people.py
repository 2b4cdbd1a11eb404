"""People who are drawn, a tracker that finds them by their colour, and a film of pictures in memory."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from core.data.video import VideoFrame, VideoWriter
from core.libs.tracker.base import Observation
from core.libs.tracker.identity import IdentitySettings

SIZE = (200, 480)  # of the drawn pictures, height and width
ANCHORS = np.array(IdentitySettings().anchors)


@dataclass
class Drawn:
    """A face that is drawn: its colour, its middle and its size; what is drawn later hides it."""

    colour: tuple[int, int, int]
    x: float
    y: float = 100.0
    radius: float = 30.0


RED, BLUE, GREEN = (200, 60, 60), (60, 60, 200), (60, 180, 60)


def draw(faces: list[Drawn], ground: int = 120) -> np.ndarray:
    image = np.full((*SIZE, 3), ground, np.uint8)
    for face in faces:
        middle = round(face.x), round(face.y)
        cv2.circle(image, middle, round(face.radius), face.colour, -1)
    return image


def points_at(x: float, y: float, radius: float) -> np.ndarray:
    points = np.zeros((478, 3), np.float32)
    angle = 2.4 * np.arange(478)
    reach = radius * np.sqrt(np.arange(478) / 478)
    points[:, 0], points[:, 1] = x + reach * np.cos(angle), y + reach * np.sin(angle)
    points[ANCHORS[:, 0].astype(int), :2] = [x, y] + ANCHORS[:, 1:] * radius * 0.45
    return points


class DiscTracker:
    """Takes discs of three colours for faces; one of which less than half is seen is none."""

    name, version = "discs", "1"

    def __init__(self) -> None:
        self.last: np.ndarray | None = None

    def faces(self, image: np.ndarray, known=()) -> list[Observation]:
        found = []
        for colour in (RED, BLUE, GREEN):
            rows, columns = np.nonzero((image == colour).all(2))
            if len(rows) > np.pi * 30**2 / 2:
                found.append(Observation(points_at(columns.mean(), rows.mean(), 30.0)))
        return sorted(found, key=lambda face: face.box[0])

    def detect(self, image: np.ndarray) -> Observation | None:
        return next(iter(self.faces(image)), None)

    def follow(self, image: np.ndarray) -> Observation | None:
        """The nearest disc, whosever it is: as a mesh in a square does, it jumps to who comes in front."""
        found = self.faces(image)
        if self.last is not None:
            found.sort(key=lambda face: float(np.linalg.norm(face.box - self.last)))
        self.last = found[0].box if found else None
        return found[0] if found else None

    def another(self) -> DiscTracker:
        return DiscTracker()

    def reset(self) -> None:
        self.last = None

    def matte(self, image: np.ndarray) -> np.ndarray:
        return np.ones(image.shape[:2], np.float32)

    def close(self) -> None: ...


class Film:
    """Pictures in memory, as `VideoReader` has those of a file."""

    fps, lost = Fraction(25), 0

    def __init__(self, pictures: list[np.ndarray]) -> None:
        self.pictures, self.frame_estimate = pictures, len(pictures)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def __iter__(self):
        return (VideoFrame(i, Fraction(i, 25), picture) for i, picture in enumerate(self.pictures))

    def at(self, indices):
        return (frame for frame in self if frame.index in indices)


def write(path: Path, pictures: list[np.ndarray]) -> Path:
    height, width = pictures[0].shape[:2]
    with VideoWriter(path, Fraction(25), (width, height)) as writer:
        for picture in pictures:
            writer.write(picture)
    return path
