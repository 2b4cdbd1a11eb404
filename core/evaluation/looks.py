"""What is measured about the faults that a viewer sees and PSNR does not: mouths, lids, far cheeks, mattes, flicker.

Pictures are (H, W, 3) uint8. Points are (478, 2 or 3) or, over time, (T, 478, 2 or 3): x to the right, y down, z away
from the camera, in pixels of the picture. Every figure is held against made-up pictures whose answer is known in
`tests/test_looks.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from scipy.spatial import Delaunay

from core.evaluation.pictures import hull_mask, luminance
from core.evaluation.points import correlation, eye_opening, head_angles
from core.libs.flame_model import topology as topo

RIM = 2  # pixels beside the lips that do not count: there their own pixels show
FLAT = 8  # grey levels
LEAST_INSIDE = 20  # pixels between the lips, fewer say nothing
_OPEN_PART = 0.5  # of the widest tenth: eyes more open than this are open
_FOREHEAD, _CHIN = 10, 152
_LINE_WIDTH = 0.03  # of the face's height: dark lines narrower than this are faults, wider ones are shade
_BAND = 0.03  # of the face's height, to both sides of the outline: where lines are looked for
_SIDEWAYS = 0.6  # of an outline's normal: where it belongs to the far side
_OUTLINE_HEIGHTS = (145, 374), (61, 291)  # lower lids and mouth corners: between their heights
_EDGE = 0.02  # of the face's height: how far the soft edge of a matte reaches
_STILL = 0.2  # pixels a frame: what moves less stands still
_LEAST_STILL = 0.01  # of the pixels: a frame with fewer that stand still says nothing
_GRID = 64  # cells on a side in which motion is looked at


def inside_lips(points: np.ndarray, size: tuple[int, int], rim: int = RIM) -> np.ndarray:
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
    """The share of pixels (N, 3) uint8 within FLAT levels of the commonest colour."""
    colors, counts = np.unique(pixels // 4, axis=0, return_counts=True)
    near = pixels[(pixels // 4 == colors[counts.argmax()]).all(1)]
    return float((np.abs(pixels - np.median(near, 0)).max(1) <= FLAT).mean())


def opened_part(points: np.ndarray) -> np.ndarray:
    """(T,): how far both eyes are open over their own usual opening, which is 1; points (T, 478, 3).

    Usual is the median of the frames that are more than half as open as the widest tenth's, eye by eye.
    """
    ratios = eye_opening(points)
    usual = [np.median(r[r > _OPEN_PART * np.percentile(r, 90)]) for r in ratios.T]
    return (ratios / usual).mean(-1)


def slope(values: np.ndarray, driver: np.ndarray, least: float = 0.0) -> float:
    """How far values (T,) go for what the driver's (T,) go, 1 where as far: the slope of least squares.

    NaN where the driver's standard deviation is below `least`: the tracker's error would be measured.
    """
    values, driver = np.asarray(values, np.float64), np.asarray(driver, np.float64)
    if len(driver) < 3 or driver.std() <= least:
        return float("nan")
    centred = driver - driver.mean()
    return float(centred @ (values - values.mean()) / (centred @ centred))


def agreement(values: np.ndarray, driver: np.ndarray, least: float = 0.0) -> float:
    """`correlation` of two series (T,); NaN as `slope`."""
    return correlation(values, driver) if len(driver) > 2 and np.std(driver) > least else float("nan")


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
    top, bottom = ((flat[list(pair)] @ down).mean() for pair in _OUTLINE_HEIGHTS)
    kept = (normal @ far > _SIDEWAYS) & (place @ down > top) & (place @ down < bottom)
    order = np.argsort(place[kept] @ down, kind="stable")
    return place[kept][order], normal[kept][order]


def dark_line(image: np.ndarray, points: np.ndarray, side: int | None = None) -> float:
    """How dark a thin line along a cheek's outline is, in grey levels; 0 where there is none.

    Across the outline at every pixel of it the black top-hat is taken: what a closing, which fills dark places narrower
    than 3 % of the face's height, adds to the grey values (Serra 1982). An edge between a light and a dark side gives
    0, a line darker than both its sides by d levels gives d. Root mean square along the outline of the largest one
    within 3 % of the face's height. `points`: (478, 3). `side`: of the far cheek where it is left out.
    """
    places, normals = cheek_outline(points, far_side(points) if side is None else side)
    if len(places) < 8:
        return float("nan")
    height = float(np.linalg.norm(points[_FOREHEAD, :2] - points[_CHIN, :2]))
    width, band = max(round(_LINE_WIDTH * height), 3), max(round(_BAND * height), 3)
    steps = np.arange(-band - width, band + width + 1)
    where = (places[:, None] + steps[:, None] * normals[:, None]).astype(np.float32)
    grey = luminance(image)
    profile = cv2.remap(grey, where[..., 0], where[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
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
    on_face = np.bincount(labels[hull_mask(points, alpha.shape) & (sure > 0)], minlength=2)
    on_face[0] = 0
    reach = max(round(_EDGE * float(np.linalg.norm(points[_FOREHEAD, :2] - points[_CHIN, :2]))), 1)
    person = cv2.dilate((labels == on_face.argmax()).astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1)))
    total = float(alpha.sum(dtype=np.float64))
    return float(alpha[person == 0].sum(dtype=np.float64)) / total if total and on_face.any() else float("nan")


def still_pixels(before: np.ndarray, now: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool: where a face moved less than a fifth of a pixel, points (478, 2 or 3) before and now.

    Inside the face as the points beside do; and everywhere as the head as a whole does, the affine motion of its
    points: hair and shoulders do not move more. Seen in cells of 1/64 of the picture.
    """
    before, now = (np.asarray(p, np.float64)[: topo.N_FACE, :2] for p in (before, now))
    moved = now - before
    y, x = (np.arange(_GRID) + 0.5)[:, None] * size[0] / _GRID, (np.arange(_GRID) + 0.5) * size[1] / _GRID
    cells = np.stack(np.broadcast_arrays(x, y), -1).reshape(-1, 2)
    basis = np.linalg.lstsq(np.c_[before, np.ones(len(before))], moved, rcond=None)[0]
    motion = np.linalg.norm(np.c_[cells, np.ones(len(cells))] @ basis, axis=1)
    triangles = Delaunay(before)
    found = triangles.find_simplex(cells)
    lengths = np.linalg.norm(moved, axis=1)[triangles.simplices].max(1)
    motion = np.where(found >= 0, np.maximum(motion, lengths[found]), motion)
    still = (motion < _STILL).reshape(_GRID, _GRID).astype(np.uint8)
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
        size = images[t].shape[:2]
        still = still_pixels(points[t - 1], points[t], size) & still_pixels(points[t], points[t + 1], size)
        before, now, after = (luminance(images[k]) for k in (t - 1, t, t + 1))
        still &= now > 0
        if still.mean() >= _LEAST_STILL:
            found.append(np.abs(before - 2 * now + after)[still].astype(np.float16))
    if not found:
        return float("nan"), float("nan")
    values = np.concatenate(found).astype(np.float32)
    return float(values.mean(dtype=np.float64)), float(np.percentile(values, 99.9))
