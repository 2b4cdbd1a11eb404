"""What the driver's panel shows beside the photo and the result."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Any

import numpy as np

from core.components import Components
from core.data.image import read_image
from core.data.loader_track import DriverData
from core.data.video import VideoReader
from core.output.panels import at_height, panel_widths, scaled
from core.runtime.threads import read_ahead


def shows_whole(driver: DriverData) -> bool:
    """Whether a driver has pictures that can be shown as a whole: what comes tracked has the head's crops only."""
    return driver.frames is None and driver.kind in ("image", "video")


def panel_width(driver: DriverData, height: int, whole: bool) -> int:
    """Pixels that `panel_pictures` are wide."""
    if not whole:
        return height
    if driver.kind == "image":
        size = read_image(driver.path).shape[1::-1]
    else:
        with VideoReader(driver.path) as reader:
            size = reader.size
    return panel_widths([(size[0], size[1])], height)[0]


def panel_pictures(
    driver: DriverData, components: Components, height: int, whole: bool
) -> Generator[np.ndarray, None, None]:
    """Pictures (`height`, W, 3) uint8, one for each frame of the driver's track, the last one again should they end.

    `whole`: its pictures as they are, and not the head's crop of them. A driver without pictures shows its mesh.
    """
    track, head = driver.track, components.head
    pictures: Any = _whole_pictures(driver) if whole else driver.pictures(components.crop, height)
    if pictures is None:
        from core.output.mesh_panel import MeshPanel  # it loads torch, which a run that is refused does without

        mesh = MeshPanel(np.asarray(head.faces), height)
        for frame in track:
            yield mesh.draw(head.evaluate(frame), frame.transform_matrix)
        return
    last = np.zeros((height, height, 3), np.uint8)
    with closing(read_ahead(pictures)) as ahead:
        for _ in range(len(track)):
            picture = next(ahead, last)
            last = at_height(picture, height) if whole else scaled(picture, (height, height))
            yield last


def _whole_pictures(driver: DriverData) -> Iterator[np.ndarray]:
    if driver.kind == "image":
        yield read_image(driver.path)
        return
    with VideoReader(driver.path) as reader:
        for frame in reader:
            yield frame.image
