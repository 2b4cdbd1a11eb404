"""The person beyond a photo that ends within the head's crop: a tight portrait goes on to the crop's border.

Nothing is known there but what is cut: colours, and the outline's direction. The colours of the photo's last pixels go
on, with the grain that stands before them, mirrored; the outline goes on as it ran and bends until it is square to the
border. That is a guess, for the few pixels that a crop shows of it, in place of a straight edge with the background
beyond. Above the photo nobody is continued: heads end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np

from core.data.records import IMAGE_SIZE, TrackedSource


@dataclass(frozen=True)
class BeyondSettings:
    """How a person goes on; lengths in pixels of a 512-pixel crop, by eye on the first frames of the shared clips.

    Attributes:
        least: matte of a cut person.
        mixed: the photo's last pixels, in which its border has a share.
        rows: pixels before those, whose mean goes on.
        smooth: standard deviation over which that is averaged along the border, at first and far away.
        spreads: length over which the first becomes the second.
        fades: length over which the last pixel becomes that mean.
        grain: standard deviation of what is finer, and so grain and not shape.
        most_grain: grey levels of it at most: what is more is a line.
        looks_back: length over which the outline's direction is read.
        bends: length over which it turns square to the border.
        steepest: pixels along the border for each pixel away from it, at most.
    """

    least: float = 0.5
    mixed: int = 3
    rows: int = 4
    smooth: tuple[float, float] = (1.5, 8.0)
    spreads: float = 24.0
    fades: float = 8.0
    grain: float = 2.0
    most_grain: float = 3.0
    looks_back: int = 24
    bends: float = 40.0
    steepest: float = 1.5


def continued_beyond(source: TrackedSource, settings: BeyondSettings = BeyondSettings()) -> TrackedSource:
    """The source with its person continued below and beside the photo; as it is where nobody is cut there.

    Where a person goes on, `inside` holds as if that were the photo.
    """
    image, matte, inside = source.image, source.matte, source.inside
    scale = source.size / IMAGE_SIZE
    for turns in (0, 1, 3):  # below, left and right, each turned until it is below
        turned = _Cut(*(np.ascontiguousarray(np.rot90(part, turns)) for part in (image, matte, inside)))
        if (found := _below(turned, scale, settings)) is not None:
            image, matte, inside = (np.ascontiguousarray(np.rot90(part, -turns)) for part in found)
    return source if inside is source.inside else replace(source, image=image, matte=matte, inside=inside)


class _Cut(NamedTuple):
    """A picture (S, S, 3) uint8, its matte (S, S) float32, and where it shows the photo, (S, S) bool."""

    image: np.ndarray
    matte: np.ndarray
    inside: np.ndarray


def _below(cut: _Cut, scale: float, settings: BeyondSettings) -> _Cut | None:
    """The same with the person continued below; None where nobody is cut there."""
    image, matte, inside = cut
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    size, back = len(image), round(settings.looks_back * scale)
    if not len(rows) or rows[-1] == size - 1 or rows[-1] - rows[0] < 2 * (back + settings.mixed):
        return None
    last = int(rows[-1]) - settings.mixed
    body, before = (np.flatnonzero(matte[row] > settings.least) for row in (last, last - back))
    if not len(body) or not len(before):
        return None
    depth = np.arange(1, size - last, dtype=np.float32)[:, None]
    across = _across(body, before, columns, depth, back, scale, size, settings)

    photo = image[: last + 1].astype(np.float32)
    row = photo[-settings.rows :].mean(0, keepdims=True)
    fine_row, coarse_row = (cv2.GaussianBlur(row, (0, 0), sigma * scale) for sigma in settings.smooth)
    near, nearer = (np.exp(-depth / (length * scale))[..., None] for length in (settings.spreads, settings.fades))
    rows_below = coarse_row + (fine_row - coarse_row) * near + (photo[-1:] - fine_row) * nearer
    here = np.broadcast_to(depth - 1, across.shape).astype(np.float32)
    colors = cv2.remap(rows_below, across, here, cv2.INTER_LINEAR)
    fine = photo - cv2.GaussianBlur(photo, (0, 0), settings.grain * scale)
    above = np.broadcast_to(np.maximum(last - depth, rows[0]), across.shape).astype(np.float32)
    grain = cv2.remap(fine, across, above, cv2.INTER_LINEAR).clip(-settings.most_grain, settings.most_grain)
    image, matte, inside = image.copy(), matte.copy(), inside.copy()
    image[last + 1 :] = np.rint(colors + grain * (1 - nearer)).clip(0, 255)
    matte[last + 1 :] = cv2.remap(matte[last : last + 1], across, np.zeros_like(across), cv2.INTER_LINEAR)
    inside[last + 1 :, columns[0] : columns[-1] + 1] = True
    return _Cut(image, matte, inside)


def _across(
    body: np.ndarray,
    before: np.ndarray,
    columns: np.ndarray,
    depth: np.ndarray,
    back: int,
    scale: float,
    size: int,
    settings: BeyondSettings,
) -> np.ndarray:
    """For each pixel below the photo (D, S) the column of its last row that is continued there.

    Args:
        body, before: columns of the person in that row, and in one `back` rows higher.
        columns: of the photo. depth: (D, 1) rows below the last one.
    """
    left, right = float(body[0]), float(body[-1])
    # Where the photo's side cuts the person, too, there is no outline that could go on
    at_side = [abs(end - at) <= settings.mixed + 1 for end, at in ((columns[0], left), (columns[-1], right))]
    bends = settings.bends * scale
    out_left, out_right = (
        (0.0 if cut else np.clip(out / back, 0, settings.steepest)) * bends * (1 - np.exp(-depth / bends))
        for cut, out in zip(at_side, (before[0] - left, right - before[-1]), strict=True)
    )
    at = np.arange(size, dtype=np.float32)[None]
    stretch = max(right - left, 1) / (max(right - left, 1) + out_left + out_right)
    within = left + (at - left + out_left) * stretch
    across = np.where(at < left - out_left, at + out_left, np.where(at > right + out_right, at - out_right, within))
    return np.clip(across, columns[0], columns[-1]).astype(np.float32)
