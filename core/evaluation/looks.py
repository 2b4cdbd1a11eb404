"""What is measured about the faults that a viewer sees and PSNR does not: mouths, lids, far cheeks, mattes, flicker.

Pictures are (H, W, 3) uint8. Points are (478, 2 or 3) or, over time, (T, 478, 2 or 3): x to the right, y down, z away
from the camera, in pixels of the picture. Every figure is held against made-up pictures whose answer is known in
`tests/test_looks.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import Delaunay

from core.evaluation.pictures import hull_mask, luminance
from core.evaluation.points import correlation, eye_opening, head_angles, usual_opening
from core.libs.flame_model import topology as topo


@dataclass(frozen=True)
class LooksSettings:
    """What counts as a fault. Set on sheets, by eye; what they do is tested on made-up pictures.

    Attributes:
        rim: pixels beside the lips that do not count: there their own pixels show.
        least_inside: pixels between the lips; fewer say nothing.
        flat: grey levels within which a colour is one colour.
        open_part: of the widest tenth; eyes more open than this are open.
        line_width: of the face's height: dark lines narrower than this are faults, wider ones are shade.
        band: of the face's height, to both sides of the outline: where lines are looked for.
        along: of the face's height: over which a line goes on, and stairs and dots do not.
        sideways: of an outline's unit normal: from here on it belongs to the cheek.
        edge: of the face's height: how far the soft edge of a matte reaches.
        firm: of a matte: above this it is there.
        still: pixels a frame; what moves less stands still.
        least_still: share of the pixels; a frame with fewer that stand still says nothing.
        grid: cells on a side of the picture in which motion is looked at.
        peak: percentile of the flicker that is called its peak.
    """

    rim: int = 2
    least_inside: int = 20
    flat: int = 8
    open_part: float = 0.5
    line_width: float = 0.03
    band: float = 0.03
    along: float = 0.04
    sideways: float = 0.6
    edge: float = 0.02
    firm: float = 0.9
    still: float = 0.2
    least_still: float = 0.01
    grid: int = 64
    peak: float = 99.9


SETTINGS = LooksSettings()
_OUTLINE = ((145, 374), (61, 291))  # lower lids and mouth corners: a cheek's outline is between their heights


def inside_lips(points: np.ndarray, size: tuple[int, int], rim: int = SETTINGS.rim) -> np.ndarray:
    """(H, W) bool: between the inner lips of points (478, 2 or 3), without their rim of some pixels."""
    mask = np.zeros(size, np.uint8)
    cv2.fillPoly(mask, [np.round(points[list(topo.INNER_LIPS), :2]).astype(np.int32)], 1)
    return cv2.erode(mask, np.ones((2 * rim + 1, 2 * rim + 1))) > 0


def lip_gap(points: np.ndarray) -> np.ndarray:
    """(...,): the inner lips' mean distance in the picture over that of the outer eye corners, (..., 478, 2+)."""
    flat = points[..., :2]
    gap = np.mean([np.linalg.norm(flat[..., a, :] - flat[..., b, :], axis=-1) for a, b in topo.LIP_PAIRS], 0)
    return gap / np.linalg.norm(flat[..., 33, :] - flat[..., 263, :], axis=-1)


def contrast(image: np.ndarray, mask: np.ndarray) -> float:
    """The standard deviation of grey values of a picture's pixels, mask (H, W) bool; in levels."""
    return float(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[mask].astype(np.float64).std())


def flat_share(pixels: np.ndarray) -> float:
    """The share of pixels (N, 3) uint8 within 8 levels of the commonest colour."""
    colors, counts = np.unique(pixels // 4, axis=0, return_counts=True)
    near = pixels[(pixels // 4 == colors[counts.argmax()]).all(1)]
    return float((np.abs(pixels - np.median(near, 0)).max(1) <= SETTINGS.flat).mean())


def opened_part(points: np.ndarray) -> np.ndarray:
    """(T,): how far both eyes are open over their own usual opening, which is 1; points (T, 478, 3).

    Usual is `usual_opening`.
    """
    ratios = eye_opening(points)
    return (ratios / usual_opening(ratios, SETTINGS.open_part)).mean(-1)


def slope(values: np.ndarray, driver: np.ndarray, least: float = 0.0) -> float:
    """How far values (T,) go for what the driver's (T,) go, 1 where as far: the slope of Deming's regression.

    Both are read off pictures by the same tracker and tremble alike, so neither is the truth: the line is fitted with
    errors of equal variance in both (Deming, Statistical Adjustment of Data, 1943). `plain_slope` takes the driver's
    for true and comes out too low by the share of the tremble in what the driver's do.

    NaN where the driver's standard deviation is below `least`, where the tracker's error would be measured, or where
    the two do not go together at all.
    """
    series = np.stack([np.asarray(driver, np.float64), np.asarray(values, np.float64)])
    if series.shape[1] < 3 or series[0].std() <= least:
        return float("nan")
    (sxx, sxy), (_, syy) = np.cov(series)
    difference = syy - sxx
    return float((difference + np.hypot(difference, 2 * sxy)) / (2 * sxy)) if sxy else float("nan")


def plain_slope(values: np.ndarray, driver: np.ndarray, least: float = 0.0) -> float:
    """`slope` by ordinary least squares, as if the driver's (T,) were read without error."""
    values, driver = np.asarray(values, np.float64), np.asarray(driver, np.float64)
    if len(driver) < 3 or driver.std() <= least:
        return float("nan")
    centred = driver - driver.mean()
    return float(centred @ (values - values.mean()) / (centred @ centred))


def agreement(values: np.ndarray, driver: np.ndarray, least: float = 0.0) -> float:
    """`correlation` of two series (T,); NaN as `slope`."""
    return correlation(values, driver) if len(driver) > 2 and np.std(driver) > least else float("nan")


def _height(points: np.ndarray) -> float:
    """From the top of the forehead to the chin, pixels."""
    return float(np.linalg.norm(points[10, :2] - points[152, :2]))


def far_side(points: np.ndarray) -> int:
    """Which cheek of points (478, 3) is turned away: 1 the one at the picture's right, -1 the one at its left."""
    return 1 if head_angles(points[None])[0, 0] >= 0 else -1  # the nose points to it


def cheek_outline(points: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """The outline of one cheek, from the lower lid's height to the mouth's.

    Args:
        points: (478, 3). side: as of `far_side`.
    Returns:
        places (N, 2) from above to below, about a pixel apart on the convex hull of the face, and its outward normals
        (N, 2).
    """
    flat = np.asarray(points, np.float64)[:, :2]
    across = flat[263] - flat[33]
    across /= np.linalg.norm(across)
    far, down = side * across, np.array([-across[1], across[0]])
    hull = cv2.convexHull(flat[: topo.N_FACE].astype(np.float32))[:, 0].astype(np.float64)
    ends = np.roll(hull, -1, 0)
    lengths = np.linalg.norm(ends - hull, axis=1)
    places, normals = [], []
    for start, end, length in zip(hull, ends, lengths, strict=True):
        count = max(round(length), 1)
        direction = (end - start) / max(length, 1e-9)
        normal = np.array([direction[1], -direction[0]])
        normal *= np.sign(normal @ (start - hull.mean(0))) or 1
        places.append(start + np.arange(count)[:, None] * (end - start) / count)
        normals.append(np.tile(normal, (count, 1)))
    place, normal = np.concatenate(places), np.concatenate(normals)
    top, bottom = ((flat[list(pair)] @ down).mean() for pair in _OUTLINE)
    kept = (normal @ far > SETTINGS.sideways) & (place @ down > top) & (place @ down < bottom)
    order = np.argsort(place[kept] @ down, kind="stable")
    return place[kept][order], normal[kept][order]


def outline_faults(image: np.ndarray, points: np.ndarray, side: int | None = None) -> tuple[float, float]:
    """How dark a line along a cheek's outline is, and how much stairs and dots break it, both in grey levels.

    Across the outline at every pixel of it the black top-hat is taken: what a closing, which fills dark places narrower
    than 3 % of the face's height, adds to the grey values (Serra 1982). An edge between a light and a dark side gives
    0, a line darker than both its sides by d levels gives d; of that the largest within 3 % of the face's height to
    either side. For the line the picture is first averaged along the outline over 4 % of the face's height, which
    leaves a line and takes stairs and dots away; what it takes away is theirs.

    Args:
        points: (478, 3). side: as of `far_side`; of the far cheek where it is left out.
    Returns:
        line and breaks, root mean squares along the outline; NaN where the outline is too short.
    """
    places, normals = cheek_outline(points, far_side(points) if side is None else side)
    if len(places) < 8:
        return float("nan"), float("nan")
    height = _height(points)
    width = (
        2 * max(round(SETTINGS.line_width * height / 2), 1) + 1
    )  # odd: OpenCV's closing shifts by half of an even one
    band = max(round(SETTINGS.band * height), 3)
    steps = np.arange(-band - width, band + width + 1)
    where = (places[:, None] + steps[:, None] * normals[:, None]).astype(np.float32)
    profile = cv2.remap(
        luminance(image), where[..., 0], where[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    along = max(round(SETTINGS.along * height), 1)
    even = cv2.blur(profile, (1, along), borderType=cv2.BORDER_REPLICATE)
    both, line = (_deepest(values, width, band) for values in (profile, even))
    return line, float(np.sqrt(max(both**2 - line**2, 0.0)))


def _deepest(profile: np.ndarray, width: int, band: int) -> float:
    """RMS over the rows of a profile (N, 2 (band + width) + 1) of the largest top-hat in its middle."""
    filled = cv2.morphologyEx(profile, cv2.MORPH_CLOSE, np.ones((1, width)))
    deepest = (filled - profile)[:, width : width + 2 * band + 1].max(1)
    return float(np.sqrt(np.mean(np.square(deepest, dtype=np.float64))))


def alpha_of(on_black: np.ndarray, on_white: np.ndarray) -> np.ndarray:
    """(H, W) float32 in 0..1: how far a picture covers its background, of the same one on black and on white."""
    difference = on_white.astype(np.float32) - on_black
    return np.clip(1 - difference.mean(-1) / 255, 0, 1)


def unconnected_share(alpha: np.ndarray, points: np.ndarray) -> float:
    """The share of a matte (H, W) in 0..1 that does not hang together with the face of points (478, 2 or 3).

    What hangs together is the connected part above one half (8 neighbours) that holds most of the face, and the soft
    edge around it, 2 % of the face's height wide.
    """
    sure = (alpha > 0.5).astype(np.uint8)
    _, labels = cv2.connectedComponents(sure, connectivity=8)
    on_face = np.bincount(labels[hull_mask(points, (alpha.shape[0], alpha.shape[1])) & (sure > 0)], minlength=2)
    on_face[0] = 0
    reach = max(round(SETTINGS.edge * _height(points)), 1)
    person = cv2.dilate((labels == on_face.argmax()).astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1)))
    total = float(alpha.sum(dtype=np.float64))
    return float(alpha[person == 0].sum(dtype=np.float64)) / total if total and on_face.any() else float("nan")


def faint_share(alpha: np.ndarray, points: np.ndarray) -> float:
    """The share of a matte (H, W) in 0..1 that is neither there nor not: smears, and background half taken along.

    What is below .9 and farther from what is above than a soft edge is wide, 2 % of the face's height of points
    (478, 2 or 3).
    """
    reach = max(round(SETTINGS.edge * _height(points)), 1)
    firm = cv2.dilate((alpha > SETTINGS.firm).astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1)))
    total = float(alpha.sum(dtype=np.float64))
    return float(alpha[firm == 0].sum(dtype=np.float64)) / total if total else float("nan")


def still_pixels(before: np.ndarray, now: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool: where a face moved less than a fifth of a pixel, points (478, 2 or 3) before and now.

    Inside the face as the points beside do; and everywhere as the head as a whole does, the affine motion of its
    points: hair and shoulders do not move more. Seen in cells of 1/64 of the picture.
    """
    before, now = (np.asarray(p, np.float64)[: topo.N_FACE, :2] for p in (before, now))
    moved = now - before
    middles = (np.arange(SETTINGS.grid) + 0.5) / SETTINGS.grid
    y, x = middles[:, None] * size[0], middles * size[1]
    cells = np.stack(np.broadcast_arrays(x, y), -1).reshape(-1, 2)
    basis = np.linalg.lstsq(np.c_[before, np.ones(len(before))], moved, rcond=None)[0]
    motion = np.linalg.norm(np.c_[cells, np.ones(len(cells))] @ basis, axis=1)
    triangles = Delaunay(before)
    found = triangles.find_simplex(cells)
    lengths = np.linalg.norm(moved, axis=1)[triangles.simplices].max(1)
    motion = np.where(found >= 0, np.maximum(motion, lengths[found]), motion)
    still = (motion < SETTINGS.still).reshape(SETTINGS.grid, SETTINGS.grid).astype(np.uint8)
    return cv2.resize(still, size[::-1], interpolation=cv2.INTER_NEAREST) > 0


def flicker(images: Sequence[np.ndarray], points: np.ndarray) -> tuple[float, float]:
    """How much what stands still changes: mean and 99.9th percentile of second differences over time, in grey levels.

    Args:
        images: T pictures that follow one another, on black. points: (T, 478, 2 or 3).
    Returns:
        both over all pixels that are not black and stood still over three frames; NaN where none did.
    """
    found = []
    for t in range(1, len(images) - 1):
        height, width = images[t].shape[:2]
        size = (height, width)
        still = still_pixels(points[t - 1], points[t], size) & still_pixels(points[t], points[t + 1], size)
        before, now, after = (luminance(images[k]) for k in (t - 1, t, t + 1))
        still &= now > 0
        if still.mean() >= SETTINGS.least_still:
            found.append(np.abs(before - 2 * now + after)[still].astype(np.float16))
    if not found:
        return float("nan"), float("nan")
    values = np.concatenate(found).astype(np.float32)
    return float(values.mean(dtype=np.float64)), float(np.percentile(values, SETTINGS.peak))
