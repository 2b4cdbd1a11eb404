"""The baselines to beat: 2D warps of the source photo, what one would write in an hour.

Benchmarks count from the piecewise-affine one. The source's face points and anchors that stay where they are on the
border of the shown crop are triangulated once; in every frame each triangle of the photo goes where the driver's points
take it. It knows the driver's points themselves, not the codes fitted to them, and nothing of depth but the order in
which overlapping triangles are drawn. Anchors on the border of the wider crop would let the shoulders follow the head
more, which was worse on most clips.
"""

from __future__ import annotations

import cv2
import numba
import numpy as np
from scipy.interpolate import RBFInterpolator
from scipy.spatial import Delaunay

from core.evaluation.points import LANDMARKS_68

N_SURFACE = 468


class PiecewiseAffineWarp:
    """Warps one photo to the points of many frames.

    Args:
        image: (S, S, 3) uint8, the source's crop with `margin` more pixels on every side than the result shows.
        matte: (S, S) float32 in 0..1.
        points: (478, 3) the face's points in pixels of `image`.
        margin: pixels. anchors: points on each side of the border that stay where they are.
    """

    def __init__(
        self, image: np.ndarray, matte: np.ndarray, points: np.ndarray, margin: int = 0, anchors: int = 8
    ) -> None:
        if image.shape != (*matte.shape, 3) or image.shape[0] != image.shape[1]:
            raise ValueError(f"expected a square picture and its matte, got {image.shape} and {matte.shape}")
        self._image, self._matte = image, np.ascontiguousarray(matte, np.float32)
        self.margin, self.size = margin, image.shape[0] - 2 * margin
        self._anchors = _border(self.size, anchors)
        self._source = np.concatenate([points[:N_SURFACE, :2], self._anchors + margin]).astype(np.float32)
        self._triangles = Delaunay(self._source).simplices.astype(np.int32)
        self._grid = np.empty((self.size, self.size, 2), np.float32)

    def __call__(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The photo with its face at the points (478, 3), in pixels of the part that is shown.

        Returns:
            image (size, size, 3) uint8, not yet multiplied by its matte, and matte (size, size) float32.
        """
        target = np.concatenate([points[:N_SURFACE, :2], self._anchors]).astype(np.float32)
        depth = np.concatenate([points[:N_SURFACE, 2], np.full(len(self._anchors), 1e6)])
        order = np.argsort(-depth[self._triangles].max(1), kind="stable")  # the far ones are painted over
        _inverse_map(self._triangles[order], target, self._source, self._grid)
        image = cv2.remap(self._image, self._grid, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        matte = cv2.remap(self._matte, self._grid, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return image, matte


class ThinPlateWarp:
    """Warps one photo to the points of many frames by a thin-plate spline (Bookstein, PAMI 1989).

    Its 68 landmarks go where the driver's are, anchors on the border stay, and all between bends as little as it can;
    it knows no order of depth, so that it folds where a head turns far.

    Args:
        image, matte, points, margin, anchors: as for `PiecewiseAffineWarp`.
        step: pixels between the places at which the spline is evaluated; between them it is interpolated.
    """

    def __init__(
        self,
        image: np.ndarray,
        matte: np.ndarray,
        points: np.ndarray,
        margin: int = 0,
        anchors: int = 8,
        step: int = 8,
    ) -> None:
        self._image, self._matte = image, np.ascontiguousarray(matte, np.float32)
        self.margin, self.size, self._step = margin, image.shape[0] - 2 * margin, step
        self._anchors = _border(self.size, anchors)
        self._source = np.concatenate([points[list(LANDMARKS_68), :2], self._anchors + margin])

    def __call__(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The photo with its face at the points (478, 3), in pixels of the part that is shown; as the other warp's."""
        target = np.concatenate([points[list(LANDMARKS_68), :2], self._anchors])
        # Points on the border may be the face's too; where two are one the spline has no solution without smoothing.
        spline = RBFInterpolator(target, self._source, kernel="thin_plate_spline", smoothing=1e-3)
        x = np.arange(0, self.size + self._step, self._step, dtype=np.float64)
        places = spline(np.stack(np.meshgrid(x, x), -1).reshape(-1, 2)).reshape(len(x), len(x), 2).astype(np.float32)
        pixels = np.arange(self.size, dtype=np.float32) / self._step
        at_x, at_y = np.meshgrid(pixels, pixels)
        grid = [cv2.remap(np.ascontiguousarray(places[..., k]), at_x, at_y, cv2.INTER_LINEAR) for k in (0, 1)]
        drawn = [
            cv2.remap(part, *grid, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            for part in (self._image, self._matte)
        ]
        return drawn[0], drawn[1]


def warp(
    image: np.ndarray, matte: np.ndarray, source_points: np.ndarray, driver_points: np.ndarray, margin: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """One frame of `PiecewiseAffineWarp`, whose arguments these are."""
    return PiecewiseAffineWarp(image, matte, source_points, margin)(driver_points)


def _border(size: int, count: int) -> np.ndarray:
    """(4 * count, 2): points evenly along the border of a square picture, corners included."""
    step = np.linspace(0, size - 1, count + 1)[:-1]
    last = np.full_like(step, size - 1)
    sides = [(step, 0 * step), (last, step), (last - step, last), (0 * step, last - step)]
    return np.concatenate([np.stack(side, 1) for side in sides]).astype(np.float32)


@numba.njit(cache=True, fastmath=False)
def _inverse_map(triangles, target, source, grid):  # (F, 3) int32, (N, 2), (N, 2), (H, W, 2) float32: written
    """For every pixel of the result, the place in the source it shows: triangles drawn in order, the last one wins."""
    height, width = grid.shape[0], grid.shape[1]
    for f in range(triangles.shape[0]):
        a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
        ax, ay = target[a, 0], target[a, 1]
        ux, uy = target[b, 0] - ax, target[b, 1] - ay
        vx, vy = target[c, 0] - ax, target[c, 1] - ay
        det = ux * vy - uy * vx
        if abs(det) < 1e-8:
            continue
        x0 = max(0, int(np.ceil(min(ax, ax + ux, ax + vx))))
        x1 = min(width - 1, int(np.floor(max(ax, ax + ux, ax + vx))))
        y0 = max(0, int(np.ceil(min(ay, ay + uy, ay + vy))))
        y1 = min(height - 1, int(np.floor(max(ay, ay + uy, ay + vy))))
        for y in range(y0, y1 + 1):
            for x in range(x0, x1 + 1):
                s = ((x - ax) * vy - (y - ay) * vx) / det
                t = ((y - ay) * ux - (x - ax) * uy) / det
                if s >= -1e-4 and t >= -1e-4 and s + t <= 1 + 1e-4:
                    for k in range(2):
                        grid[y, x, k] = (
                            source[a, k] + s * (source[b, k] - source[a, k]) + t * (source[c, k] - source[a, k])
                        )
