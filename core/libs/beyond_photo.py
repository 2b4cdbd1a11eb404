"""The person beyond a photo that ends within the head's crop: a tight portrait goes on to the crop's border.

Nothing is known there but what is cut: colours, and the outline's direction. Below, the outline goes on as it ran and
bends until it is square to the border; a shoulder that a side cuts falls. The colours of the photo's last pixels go on
out of focus, by more and more, with the grain that stands before them, mirrored: as what is not known, not as stripes.
Where the photo shows enough of neck and clothes, that is a first guess, from which on they are completed from those
(`patch_match`), so that a knitted collar ends and cloth goes on as cloth. A neckline that is cut goes round
(`neckline`). A head that the photo cuts, above or at a side, is not made up: it goes out softly, beyond the border.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import cv2
import numpy as np

from core.data.records import IMAGE_SIZE, TrackedSource
from core.libs.nearest import nearest_values
from core.libs.neckline import Around, Neckline, NecklineSettings, around, find_neckline, find_skin
from core.libs.numeric import over_channels, smoothstep
from core.libs.patch_match import PatchSettings, complete, taken_from
from core.libs.poisson import differences, fill_hole


@dataclass(frozen=True)
class BeyondSettings:
    """How a person goes on; lengths in pixels of a 512-pixel crop, by eye on the first frames of the shared clips.

    Attributes:
        least: matte of a cut person.
        mixed: the photo's last pixels, in which its border has a share.
        rows: pixels before those, whose mean goes on.
        smooth: standard deviation over which that is averaged along the border, at first and at most.
        spreads: by how much it grows with each pixel away from the border: what is not known is out of focus.
        fades: length over which the last pixel becomes that mean.
        head_ends: lengths beside and above the photo from which on, and at which, a head has gone out.
        shoulders: length above the chin over which what is cut at a side becomes shoulders, which go on.
        grain: standard deviation of what is finer, and so grain and not shape.
        most_grain: grey levels of it at most: what is more is a line. lines: mean of it around a pixel, over that,
            from which on none goes on, and at which none does.
        looks_back: length over which the outline's direction is read.
        bends: length over which it turns square to the border.
        steepest: pixels along the border for each pixel away from it, at most. falls: the same of a shoulder, at least.
        opaque: matte of what is nothing but the person.
        faint: matte below which nobody is.
        clothes: rows below the head's box that the photo must show for the rest to be completed from them; area: of
            what it shows of the person there, over the crop's.
        coarser: pixels of a 512-pixel crop for one of the picture in which they are.
        patches: how.
        reach: how far the photo's last colours tell beside the patches', of the crop's side.
        neckline: how one that is cut goes round.
    """

    least: float = 0.5
    mixed: int = 3
    rows: int = 4
    smooth: tuple[float, float] = (1.5, 96.0)
    spreads: float = 0.5
    fades: float = 8.0
    head_ends: tuple[float, float] = (0.0, 48.0)
    shoulders: float = 96.0
    grain: float = 2.0
    most_grain: float = 3.0
    lines: tuple[float, float] = (0.4, 0.8)
    looks_back: int = 24
    bends: float = 40.0
    steepest: float = 1.5
    falls: float = 0.35
    opaque: float = 0.95
    faint: float = 0.02
    clothes: float = 48.0
    area: float = 0.06
    coarser: int = 2
    patches: PatchSettings = field(
        default_factory=lambda: PatchSettings(radius=4, smallest=80, rounds=5, searches=2, far=3000.0)
    )
    reach: float = 0.05
    neckline: NecklineSettings = field(default_factory=NecklineSettings)


def continued_beyond(source: TrackedSource, settings: BeyondSettings = BeyondSettings()) -> TrackedSource:
    """The source with its person continued beyond the photo's borders; as it is where nobody is cut.

    Where a person goes on, `inside` holds as if that were the photo.
    """
    image, matte, inside = source.image, source.matte, source.inside
    if inside.all():
        return source
    scale = source.size / IMAGE_SIZE
    box = source.margin + source.frame.bbox * source.size
    chin, clothed = box[3], _clothed(source, box, settings)
    below = 1 + (np.arange(len(image)) - chin) / (settings.shoulders * scale)
    head = np.broadcast_to(1 - smoothstep(below, 0, 1).astype(np.float32)[:, None], matte.shape)
    # Below, left, right and above, each turned until it is below
    for turns, upper in ((0, None), (1, 0), (3, 1), (2, None)):
        turned = _Cut(*(np.ascontiguousarray(np.rot90(part, turns)) for part in (image, matte, inside)))
        ends = np.rot90(head, turns) if turns else np.zeros_like(head)
        if (found := _below(turned, ends, scale, upper, settings, None if turns else clothed)) is not None:
            image, matte, inside = (np.ascontiguousarray(np.rot90(part, -turns)) for part in found)
    if inside is source.inside:
        return source
    image = _like_clothes(source, _Cut(image, matte, inside), head, clothed, scale, settings)
    return replace(source, image=image, matte=matte, inside=inside)


def guessed_beyond(
    person: TrackedSource,
    source: TrackedSource,
    continued: TrackedSource,
    settings: BeyondSettings = BeyondSettings(),
) -> TrackedSource:
    """A person who was separated from their plate, beyond the photo with no more of a matte than was guessed.

    There is nothing there that it could be measured by.

    Args:
        person: `continued`, separated. source, continued: the photo, and what `continued_beyond` makes of it.
    """
    if continued is source:
        return person
    least = np.minimum(person.matte, continued.matte)
    return replace(person, matte=np.where(_shown_alone(source.inside, settings), person.matte, least))


def _shown_alone(inside: np.ndarray, settings: BeyondSettings) -> np.ndarray:
    """(S, S) bool: where a crop shows nothing but the photo, of where it shows that, its border included."""
    return cv2.erode(inside.astype(np.uint8), np.ones((2 * settings.mixed + 1,) * 2)) > 0


class _Cut(NamedTuple):
    """A picture (S, S, 3) uint8, its matte (S, S) float32, and where it shows the photo, (S, S) bool."""

    image: np.ndarray
    matte: np.ndarray
    inside: np.ndarray


class _Clothed(NamedTuple):
    """What of a photo is skin, (S, S) bool, and the neck that its lower border cuts.

    `around`: how the pixels below its `last` row lie around a neckline that closes.
    """

    skin: np.ndarray
    neck: Neckline | None
    last: int = 0
    around: Around | None = None


def _clothed(source: TrackedSource, box: np.ndarray, settings: BeyondSettings) -> _Clothed:
    skin, rows = find_skin(source.image, box, settings.neckline.skin), np.flatnonzero(source.inside.any(1))
    if not len(rows) or rows[-1] == len(skin) - 1:
        return _Clothed(skin, None)
    last = int(rows[-1]) - settings.mixed
    neck = find_neckline(source.image, source.matte, skin, last, box, settings.neckline)
    if neck is None or not neck.closes:
        return _Clothed(skin, neck)
    depth = np.arange(1, len(skin) - last, dtype=np.float32)[:, None]
    return _Clothed(skin, neck, last, around(neck, depth, len(skin), settings.neckline))


def _below(
    cut: _Cut,
    head: np.ndarray,
    scale: float,
    upper: int | None,
    settings: BeyondSettings,
    clothed: _Clothed | None = None,
) -> _Cut | None:
    """The same with the person continued below; None where nobody is cut there.

    Args:
        head: (S, S) in 0..1, what of a person cut there is a head, which ends.
        upper: which of the outlines on both sides is a shoulder's upper one, which falls; None: a body goes on
            downwards, where it does not become narrower.
        clothed: of the photo's own lower border.
    """
    image, matte, inside = cut
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    size, back = len(image), round(settings.looks_back * scale)
    if not len(rows) or rows[-1] == size - 1 or rows[-1] - rows[0] < 2 * (back + settings.mixed):
        return None
    last = int(rows[-1]) - settings.mixed
    if not (matte[last] > settings.least).any():
        return None
    depth = np.arange(1, size - last, dtype=np.float32)[:, None]
    ends = _of_head(matte[last] > settings.least, head[last])
    # A head ends as it stands
    body, before = (np.flatnonzero((matte[row] > settings.least) & (ends < 0.5)) for row in (last, last - back))
    if len(body) and len(before):
        across = _across(body, before, columns, depth, back, scale, size, upper, settings)
    else:
        across = np.broadcast_to(np.arange(size, dtype=np.float32)[None], (len(depth), size))

    photo = _Photo.of(image[: last + 1], matte[: last + 1], scale, settings)
    if clothed is None or clothed.around is None:
        colors = _continued(photo, depth, across, depth - 1, scale, settings)
    else:
        colors = _around_neck(photo, depth, across, clothed, scale, settings)
    nowhere = np.zeros_like(across)
    ended = cv2.remap(ends[None], across, nowhere, cv2.INTER_LINEAR) * smoothstep(depth / scale, *settings.head_ends)
    image, matte, inside = image.copy(), matte.copy(), inside.copy()
    image[last + 1 :] = np.rint(colors).clip(0, 255)
    along = cv2.remap(matte[last : last + 1], across, nowhere, cv2.INTER_LINEAR)
    matte[last + 1 :] = along * (1 - ended)
    inside[last + 1 :, columns[0] : columns[-1] + 1] = ended[:, columns[0] : columns[-1] + 1] < 1
    return _Cut(image, matte, inside)


class _Photo(NamedTuple):
    """What goes on below a photo: its colours (R, S, 3) float32, their matte (R, S) and their grain (R, S, 3)."""

    colors: np.ndarray
    matte: np.ndarray
    grain: np.ndarray

    @classmethod
    def of(cls, image: np.ndarray, matte: np.ndarray, scale: float, settings: BeyondSettings) -> _Photo:
        photo = image.astype(np.float32)
        fine = photo - cv2.GaussianBlur(photo, (0, 0), settings.grain * scale)
        # What stands out by more is a line, and so is what it leaves beside it
        strength = cv2.GaussianBlur(over_channels(np.maximum, np.abs(fine)), (0, 0), 2 * settings.grain * scale)
        fine *= (1 - smoothstep(strength / settings.most_grain, *settings.lines))[..., None]
        return cls(photo, matte, fine)


def _continued(
    photo: _Photo, depth: np.ndarray, across: np.ndarray, away: np.ndarray, scale: float, settings: BeyondSettings
) -> np.ndarray:
    """Colours (D, S, 3) below a photo: its last ones go on, out of focus, with the grain before them.

    Args:
        depth: (D, 1) rows below the photo. across: (D, S) which column is continued.
        away: (D, S) or (D, 1), by how many rows' way the colours are out of focus there.
    """
    last = photo.colors[-settings.rows :]
    rows_below = _out_of_focus(last, photo.matte[-settings.rows :], depth, scale, settings)
    nearer = np.exp(-depth / (settings.fades * scale))[..., None]
    rows_below += (last[-1:] - rows_below[:1]) * nearer
    here = np.broadcast_to(away, across.shape).astype(np.float32)
    colors = cv2.remap(rows_below, across, here, cv2.INTER_LINEAR)
    above = np.broadcast_to(np.maximum(len(photo.grain) - 1 - depth, 0), across.shape).astype(np.float32)
    grain = cv2.remap(photo.grain, across, above, cv2.INTER_LINEAR).clip(-settings.most_grain, settings.most_grain)
    return colors + grain * (1 - nearer)


def _around_neck(
    photo: _Photo, depth: np.ndarray, across: np.ndarray, clothed: _Clothed, scale: float, settings: BeyondSettings
) -> np.ndarray:
    """The same where a neckline is cut: skin goes on within it, and cloth goes round it."""
    neck, lie = clothed.neck, clothed.around
    assert neck is not None
    assert lie is not None
    skin = clothed.skin[: len(photo.matte)].astype(np.float32)
    dressed, bare = (photo._replace(matte=photo.matte * part) for part in (1 - skin, skin))
    round_it = 1 - smoothstep(lie.away / neck.half, settings.neckline.band, settings.neckline.plain)
    beside = neck.half * (1 + settings.neckline.band)
    level = np.minimum(across, neck.middle - beside), np.maximum(across, neck.middle + beside)
    worn = np.flatnonzero(dressed.matte[-1] > settings.least)  # beside that nothing has its colours
    cloth = np.zeros((*across.shape, 3), np.float32)
    for columns, straight, share in zip(lie.columns, level, (1 - lie.share, lie.share), strict=True):
        bent = np.clip(straight + (columns - straight) * round_it, worn[0], worn[-1]).astype(np.float32)
        away = np.minimum(depth - 1, np.maximum(lie.away, 0) / settings.neckline.sharper)
        cloth += share[..., None] * _continued(dressed, depth, bent, away, scale, settings)
    flesh = _continued(bare, depth, np.clip(across, neck.left, neck.right), depth - 1, scale, settings)
    return cloth + (flesh - cloth) * lie.skin[..., None]


def _of_head(person: np.ndarray, head: np.ndarray) -> np.ndarray:
    """`head` (S,) float32 along a border, 0 for all of a shoulder that begins where the head's share falls.

    `person`: (S,) bool, who is cut there.
    """
    _, run = cv2.connectedComponents(person.astype(np.uint8)[None])
    run = np.where(person, run[0], 0)
    out = head.copy()
    for number in np.unique(run[person & (head < 0.5)]):
        whole = run == number
        if head[whole].max() < 1:
            out[whole] = 0
    return out


def _out_of_focus(
    rows: np.ndarray, matte: np.ndarray, depth: np.ndarray, scale: float, settings: BeyondSettings
) -> np.ndarray:
    """Colours (D, S, 3) `depth` (D, 1) rows below the photo: the mean of its last ones, less and less sharp.

    Args:
        rows: (R, S, 3) of the photo. matte: (R, S) of them, whose person alone goes on.
    """
    weight = np.maximum(matte, 1e-3)[..., None]
    person = np.concatenate([rows * weight, weight], -1).mean(0, keepdims=True)
    first, most = settings.smooth
    levels = first * 2 ** np.arange(np.log2(most / first) + 1)
    blurred = np.concatenate(
        [cv2.GaussianBlur(person, (0, 0), sigma * scale, borderType=cv2.BORDER_REPLICATE) for sigma in levels]
    )
    blurred = blurred[..., :3] / blurred[..., 3:]
    place = np.clip(np.log2((first + settings.spreads * depth[:, 0] / scale) / first), 0, len(levels) - 1)
    low = np.minimum(place.astype(int), len(levels) - 2)
    return (blurred[low] + (blurred[low + 1] - blurred[low]) * (place - low)[:, None, None]).astype(np.float32)


def _across(
    body: np.ndarray,
    before: np.ndarray,
    columns: np.ndarray,
    depth: np.ndarray,
    back: int,
    scale: float,
    size: int,
    upper: int | None,
    settings: BeyondSettings,
) -> np.ndarray:
    """For each pixel below the photo (D, S) the column of its last row that is continued there.

    Args:
        body, before: columns of the person in that row, and in one `back` rows higher.
        columns: of the photo. depth: (D, 1) rows below the last one. upper: see `_below`.
    """
    left, right = float(body[0]), float(body[-1])
    # Where the photo's side cuts the person, too, there is no outline that could go on
    at_side = [abs(end - at) <= settings.mixed + 1 for end, at in ((columns[0], left), (columns[-1], right))]
    bends, low = settings.bends * scale, 0.0 if upper is None else -settings.steepest
    bent = bends * (1 - np.exp(-depth / bends))
    out = [
        np.zeros_like(depth) if cut else np.clip(at / back, low, settings.steepest) * bent
        for cut, at in zip(at_side, (before[0] - left, right - before[-1]), strict=True)
    ]
    if upper is not None and not at_side[upper]:
        slope = (before[0] - left, right - before[-1])[upper] / back + settings.falls
        out[upper] = np.clip(slope, -settings.steepest, 0) * bent - settings.falls * depth
    out_left, out_right = out
    at = np.arange(size, dtype=np.float32)[None]
    stretch = max(right - left, 1) / (max(right - left, 1) + out_left + out_right)
    within = left + (at - left + out_left) * stretch
    across = np.where(at < left - out_left, at + out_left, np.where(at > right + out_right, at - out_right, within))
    return np.clip(across, columns[0], columns[-1]).astype(np.float32)


def _like_clothes(
    source: TrackedSource,
    guess: _Cut,
    head: np.ndarray,
    clothed: _Clothed,
    scale: float,
    settings: BeyondSettings,
) -> np.ndarray:
    """The picture (S, S, 3) uint8 with what goes on beyond the photo made of what this shows below the head.

    `head`: (S, S) in 0..1, 1 where nothing but a head is cut.
    """
    border = np.ones((2 * settings.mixed + 1,) * 2)
    photo = _shown_alone(source.inside, settings)
    hole = guess.inside & ~photo & (guess.matte > settings.faint) & (head < 1)
    below = source.margin + round(float(source.frame.bbox[3]) * source.size)
    person = photo & (cv2.erode(source.matte, border) > settings.opaque)
    clothes = person.copy()
    clothes[:below] = False
    if clothed.neck is None or clothed.neck.closes:
        clothes &= ~clothed.skin
    if clothed.around is not None:
        hole[clothed.last + 1 :] &= clothed.around.skin < 0.5
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
