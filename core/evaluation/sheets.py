"""Pictures of an ablation: a contact sheet with the eyes and the mouth enlarged, and the video of off beside all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from core.data.array_file import load_arrays
from core.data.records import IMAGE_SIZE
from core.data.video import VideoReader, VideoWriter
from core.errors import UserError
from core.evaluation.measure import COLUMNS_FILE, DRIVER_PICTURE, PICTURE, VIDEO_FILE
from core.evaluation.variants import OFF
from core.output.watermark import metadata

_FACE = 256  # pixels of the face's tile; the eyes and the mouth have half its height below it
_BAR = 22
_EYES = (33, 133, 362, 263, 159, 145, 386, 374)
_MOUTH = (61, 291, 0, 17)
_ZOOM_MARGIN = {"eyes": 0.15, "mouth": 0.3}  # of the box's width, on each side


def zoom_box(points: np.ndarray, part: str) -> tuple[int, int, int, int]:
    """x0 y0 x1 y1 around the eyes or the mouth of points (478, 2 or 3), twice as wide as high, inside the crop."""
    places = np.asarray(points, np.float64)[list(_EYES if part == "eyes" else _MOUTH), :2]
    low, high = places.min(0), places.max(0)
    middle, width = (low + high) / 2, max((high - low)[0] * (1 + 2 * _ZOOM_MARGIN[part]), 16.0)
    width = min(max(width, 2 * (high - low)[1]), IMAGE_SIZE)
    corner = np.clip(middle - [width / 2, width / 4], 0, [IMAGE_SIZE - width, IMAGE_SIZE - width / 2])
    x, y = corner.round().astype(int)
    return int(x), int(y), int(x + round(width)), int(y + round(width / 2))


def tile(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(2 * 256, 256, 3): a picture above, its eyes and its mouth, where `points` (478, 2 or 3) has them, below."""
    parts = [cv2.resize(image, (_FACE, _FACE), interpolation=cv2.INTER_AREA)]
    for part in ("eyes", "mouth"):
        x0, y0, x1, y1 = zoom_box(points, part)
        parts.append(cv2.resize(image[y0:y1, x0:x1], (_FACE, _FACE // 2), interpolation=cv2.INTER_CUBIC))
    return np.concatenate(parts)


def contact_sheet(path: Path, runs: Mapping[str, Path]) -> None:
    """Write a PNG: a row for the driver and for every run, a column for every frame that the runs have kept.

    Eyes and mouth are cut out where the tracker found them in each picture.

    Args:
        runs: the folders of finished runs by the name of their variant, `off` among them.
    """
    columns = {name: load_arrays(folder / COLUMNS_FILE) for name, folder in runs.items()}
    frames, points = columns[OFF]["shown"], {name: values["shown_points"] for name, values in columns.items()}
    rows = [("driver", runs[OFF], DRIVER_PICTURE, points[OFF][:, 0])]
    rows += [(name, folder, PICTURE, points[name][:, 1]) for name, folder in runs.items()]
    sheet = [_bar([f"frame {index}" for index in frames], 30)]
    for name, folder, file, places in rows:
        images = [_read(folder / file.format(int(index))) for index in frames]
        tiles = [tile(image, place) for image, place in zip(images, places, strict=True)]
        sheet += [_bar([name] + [""] * (len(frames) - 1), 60), np.concatenate(tiles, 1)]
    if not cv2.imwrite(str(path), np.concatenate(sheet)[..., ::-1]):
        raise UserError(f"{path} cannot be written")


def _read(path: Path) -> np.ndarray:
    return np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])


def _bar(texts: Sequence[str], grey: int) -> np.ndarray:
    bar = np.full((_BAR, _FACE * len(texts), 3), grey, np.uint8)
    for place, text in enumerate(texts):
        _write(bar, text, place * _FACE + 6)
    return bar


def side_by_side(path: Path, off: Path, on: Path) -> None:
    """Write the video driver | off | all from those in the folders of both runs."""
    first, second = VideoReader(off / VIDEO_FILE), VideoReader(on / VIDEO_FILE)
    with VideoWriter(path, first.fps, (3 * IMAGE_SIZE, IMAGE_SIZE), metadata=metadata("ablation")) as writer:
        for left, right in zip(first, second, strict=True):
            image = np.concatenate([left.image, right.image], 1)
            for place, name in enumerate(("driver", "off", "all")):
                _write(image, name, place * IMAGE_SIZE + 8)
            writer.write(image, left.time)


def _write(image: np.ndarray, text: str, x: int) -> None:
    cv2.putText(image, text, (x, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (235, 235, 235), 1, cv2.LINE_AA)
