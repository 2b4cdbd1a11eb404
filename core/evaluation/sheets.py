"""Pictures of an ablation: a contact sheet with the eyes and the mouth enlarged, and the video of off beside all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from core.data.array_file import load_arrays
from core.data.records import IMAGE_SIZE
from core.data.video import VideoReader, VideoWriter
from core.evaluation.measure import COLUMNS_FILE, DRIVER_PICTURE, PICTURE, VIDEO_FILE
from core.evaluation.report import write_sheet
from core.evaluation.variants import OFF
from core.output.contact_sheet import captioned_rows, write_caption
from core.output.watermark import metadata

_EYES = (33, 133, 362, 263, 159, 145, 386, 374)
_MOUTH = (61, 291, 0, 17)


@dataclass(frozen=True)
class ZoomSettings:
    """How a picture and its enlarged parts are shown, all by eye.

    Attributes:
        face: pixels of the picture's side; eyes and mouth have half its height below it.
        eye_margin, mouth_margin: beside the eyes' and the mouth's box, on each side, in its widths.
        least: pixels, the width of a box that is cut out at least.
    """

    face: int = 256
    eye_margin: float = 0.15
    mouth_margin: float = 0.3
    least: float = 16.0


def zoom_box(points: np.ndarray, part: str, settings: ZoomSettings = ZoomSettings()) -> tuple[int, int, int, int]:
    """x0 y0 x1 y1 around the eyes or the mouth of points (478, 2 or 3), twice as wide as high, inside the crop."""
    places = np.asarray(points, np.float64)[list(_EYES if part == "eyes" else _MOUTH), :2]
    low, high = places.min(0), places.max(0)
    margin = settings.eye_margin if part == "eyes" else settings.mouth_margin
    middle, width = (low + high) / 2, max((high - low)[0] * (1 + 2 * margin), settings.least)
    width = min(max(width, 2 * (high - low)[1]), IMAGE_SIZE)
    corner = np.clip(middle - [width / 2, width / 4], 0, [IMAGE_SIZE - width, IMAGE_SIZE - width / 2])
    x, y = corner.round().astype(int)
    return int(x), int(y), int(x + round(width)), int(y + round(width / 2))


def tile(image: np.ndarray, points: np.ndarray, settings: ZoomSettings = ZoomSettings()) -> np.ndarray:
    """(2 * 256, 256, 3): a picture above, its eyes and its mouth, where `points` (478, 2 or 3) has them, below."""
    parts = [cv2.resize(image, (settings.face, settings.face), interpolation=cv2.INTER_AREA)]
    for part in ("eyes", "mouth"):
        x0, y0, x1, y1 = zoom_box(points, part, settings)
        parts.append(
            cv2.resize(image[y0:y1, x0:x1], (settings.face, settings.face // 2), interpolation=cv2.INTER_CUBIC)
        )
    return np.concatenate(parts)


def contact_sheet(path: Path, runs: Mapping[str, Path], settings: ZoomSettings = ZoomSettings()) -> None:
    """Write a PNG: a row for the driver and for every run, a column for every frame that the runs have kept.

    Eyes and mouth are cut out where the tracker found them in each picture.

    Args:
        runs: the folders of finished runs by the name of their variant, `off` among them.
    """
    columns = {name: load_arrays(folder / COLUMNS_FILE) for name, folder in runs.items()}
    frames, points = columns[OFF]["shown"], {name: values["shown_points"] for name, values in columns.items()}
    rows = [("driver", runs[OFF], DRIVER_PICTURE, points[OFF][:, 0])]
    rows += [(name, folder, PICTURE, points[name][:, 1]) for name, folder in runs.items()]
    shown = []
    for name, folder, file, places in rows:
        images = [_read(folder / file.format(int(index))) for index in frames]
        shown.append((name, [tile(image, place, settings) for image, place in zip(images, places, strict=True)]))
    write_sheet(path, captioned_rows(shown, [f"frame {index}" for index in frames]))


def _read(path: Path) -> np.ndarray:
    return np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])


def side_by_side(path: Path, off: Path, on: Path) -> None:
    """Write the video driver | off | all from those in the folders of both runs."""
    first, second = VideoReader(off / VIDEO_FILE), VideoReader(on / VIDEO_FILE)
    with VideoWriter(path, first.fps, (3 * IMAGE_SIZE, IMAGE_SIZE), metadata=metadata("ablation")) as writer:
        for left, right in zip(first, second, strict=True):
            image = np.concatenate([left.image, right.image], 1)
            for place, name in enumerate(("driver", "off", "all")):
                write_caption(image, name, place * IMAGE_SIZE + 2)
            writer.write(image, left.time)
