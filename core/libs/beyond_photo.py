"""The person beyond a photo that ends within the head's crop: a tight portrait goes on to the crop's border.

Nothing is known there but what is cut: colours, and the outline's direction. The outline goes on as it ran and bends
until it is square to the border. The colours of the photo's last pixels go on, with the grain that stands before them,
mirrored; where the photo shows enough of neck and clothes, that is a first guess, from which on they are completed from
those (`patch_match`), so that a knitted collar ends and cloth goes on as cloth. It remains a guess, for the few pixels
that a crop shows of it, in place of a straight edge with the background beyond. Above the photo nobody is continued:
heads end.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import cv2
import numpy as np

from core.data.records import IMAGE_SIZE, TrackedSource
from core.libs.nearest import nearest_values
from core.libs.patch_match import PatchSettings, complete, taken_from
from core.libs.poisson import differences, fill_hole


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
        opaque: matte of what is nothing but the person.
        faint: matte below which nobody is.
        clothes: rows below the head's box that the photo must show for the rest to be completed from them; area: of
            what it shows of the person there, over the crop's.
        coarser: pixels of a 512-pixel crop for one of the picture in which they are.
        patches: how.
        reach: how far the photo's last colours tell beside the patches', of the crop's side.
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
    opaque: float = 0.95
    faint: float = 0.02
    clothes: float = 48.0
    area: float = 0.06
    coarser: int = 2
    patches: PatchSettings = field(
        default_factory=lambda: PatchSettings(radius=4, smallest=80, rounds=5, searches=2, far=3000.0)
    )
    reach: float = 0.05


def continued_beyond(source: TrackedSource, settings: BeyondSettings = BeyondSettings()) -> TrackedSource:
    """The source with its person continued below and beside the photo; as it is where nobody is cut there.

    Where a person goes on, `inside` holds as if that were the photo.
    """
    image, matte, inside = source.image, source.matte, source.inside
    scale = source.size / IMAGE_SIZE
    for turns in (0, 1, 3):  # below, left and right, each turned until it is below
        turned = _Cut(*(np.ascontiguousarray(np.rot90(part, turns)) for part in (image, matte, inside)))
        if (found := _below(turned, scale, turns > 0, settings)) is not None:
            image, matte, inside = (np.ascontiguousarray(np.rot90(part, -turns)) for part in found)
    if inside is source.inside:
        return source
    image = _like_clothes(source, _Cut(image, matte, inside), scale, settings)
    return replace(source, image=image, matte=matte, inside=inside)


class _Cut(NamedTuple):
    """A picture (S, S, 3) uint8, its matte (S, S) float32, and where it shows the photo, (S, S) bool."""

    image: np.ndarray
    matte: np.ndarray
    inside: np.ndarray


def _below(cut: _Cut, scale: float, falls: bool, settings: BeyondSettings) -> _Cut | None:
    """The same with the person continued below; None where nobody is cut there.

    `falls`: the outline may go inwards, too, as a shoulder's does sideways; a body does not become narrower downwards.
    """
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
    across = _across(body, before, columns, depth, back, scale, size, falls, settings)

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
    falls: bool,
    settings: BeyondSettings,
) -> np.ndarray:
    """For each pixel below the photo (D, S) the column of its last row that is continued there.

    Args:
        body, before: columns of the person in that row, and in one `back` rows higher.
        columns: of the photo. depth: (D, 1) rows below the last one. falls: see `_below`.
    """
    left, right = float(body[0]), float(body[-1])
    # Where the photo's side cuts the person, too, there is no outline that could go on
    at_side = [abs(end - at) <= settings.mixed + 1 for end, at in ((columns[0], left), (columns[-1], right))]
    bends = settings.bends * scale
    least = -settings.steepest if falls else 0.0
    out_left, out_right = (
        (0.0 if cut else np.clip(out / back, least, settings.steepest)) * bends * (1 - np.exp(-depth / bends))
        for cut, out in zip(at_side, (before[0] - left, right - before[-1]), strict=True)
    )
    at = np.arange(size, dtype=np.float32)[None]
    stretch = max(right - left, 1) / (max(right - left, 1) + out_left + out_right)
    within = left + (at - left + out_left) * stretch
    across = np.where(at < left - out_left, at + out_left, np.where(at > right + out_right, at - out_right, within))
    return np.clip(across, columns[0], columns[-1]).astype(np.float32)


def _like_clothes(source: TrackedSource, guess: _Cut, scale: float, settings: BeyondSettings) -> np.ndarray:
    """The picture (S, S, 3) uint8 with what goes on beyond the photo made of what this shows below the head."""
    border = np.ones((2 * settings.mixed + 1,) * 2)
    photo = cv2.erode(source.inside.astype(np.uint8), border) > 0
    hole = guess.inside & ~photo & (guess.matte > settings.faint)
    below = source.margin + round(float(source.frame.bbox[3]) * source.size)
    person = photo & (cv2.erode(source.matte, border) > settings.opaque)
    clothes = person.copy()
    clothes[:below] = False
    rows = np.flatnonzero(photo.any(1))[-1] - below
    if rows < settings.clothes * scale or clothes.sum() < settings.area * source.size**2 or not hole.any():
        return guess.image
    # What is behind the person must not tell how they go on
    picture = guess.image.astype(np.float32)
    picture = np.where((person | hole)[..., None], picture, nearest_values(picture, person))
    size = (round(len(photo) / (settings.coarser * scale)),) * 2
    small, small_hole, usable = (
        cv2.resize(part.astype(np.float32), size, interpolation=cv2.INTER_AREA) for part in (picture, hole, clothes)
    )
    found = complete(small, small_hole > 0, usable > 1 - 1e-3, small, settings.patches)
    if found is None:
        return guess.image
    colors, places = found
    rows, columns = taken_from(places, small_hole > 0, hole, settings.patches)
    # At the photo's border colours go on; what stands in the hole so far tells nothing
    across, down = (differences(picture, axis)[rows, columns] * hole[..., None] for axis in (1, 0))
    colors = cv2.resize(colors, hole.shape[::-1], interpolation=cv2.INTER_CUBIC)
    filled = fill_hole(picture, hole, (across, down), colors, settings.reach * source.size)
    return np.where(hole[..., None], np.rint(filled).clip(0, 255), guess.image).astype(np.uint8)
