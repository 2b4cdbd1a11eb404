"""Folds: the shading of skin that an expression presses together, beside the mouth, on the forehead, at the eyes.

Nothing is read from the driver's pictures. How deep a fold is follows from how much shorter the face is across it than
the same face at rest (wrinkles from the compression of a coarse mesh: Rohmer et al., "Animation wrinkling", SIGGRAPH
Asia 2010). The photo has its own folds as they are: only what the depth differs from that in the photo is drawn, so
that a face in the photo's own expression stays as it is, to the bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import cv2
import numba
import numpy as np

from core.libs.flame_model import topology as topo
from core.libs.mesh import triangle_normals, view_cosine
from core.libs.numeric import cubic_spline, over_channels, smoothstep
from core.models.LiftedAvatar.layers import Photo, Shot
from core.models.LiftedAvatar.settings import FoldSettings

_DEFAULT = FoldSettings()
_STEPS = 97  # points of a curve


@dataclass(frozen=True)
class Fold:
    """Where one fold of every face runs, and what presses it together.

    Attributes:
        curve: its points from end to end, each the mean of some of the tracker's points.
        bulging: one of the tracker's points, on the side of the curve where the skin bulges.
        across: pairs of the tracker's points that come closer as the fold deepens.
        compression: of their distances' sum, over that at rest, where the fold begins and where it is complete.
        depth: by how much the light falls on its line, of 1, when it is complete.
        width: of the shaded side, head units; the bulging side is narrower.
    """

    curve: tuple[tuple[int, ...], ...]
    bulging: int
    across: tuple[tuple[int, int], ...]
    compression: tuple[float, float]
    depth: float
    width: float


# How well each one foretells what is seen was looked at on clips moved by their own first frame: a second line across
# the forehead was against what these clips show, and is none of them.
_BROWS = ((105, 104), (66, 69), (107, 108), (336, 337), (296, 299), (334, 333))
_FROWN = ((55, 285), (107, 336))
_FOREHEAD = ((105, 104), (66, 69), (107, 108), (9, 151), (336, 337), (296, 299), (334, 333))
_CHIN = ((182, 194), (83, 201), (18, 200), (313, 421), (406, 418))
FOLDS: tuple[Fold, ...] = (
    # From the wing of the nose to beside the corner of the mouth.
    Fold(((129,), (203,), (206,), (216,), (212,)), 205, ((61, 50), (61, 117), (40, 118)), (0.03, 0.14), 0.06, 0.035),
    Fold(
        ((358,), (423,), (426,), (436,), (432,)), 425, ((291, 280), (291, 346), (270, 347)), (0.03, 0.14), 0.06, 0.035
    ),
    # Between the brows.
    Fold(((107, 9), (55, 8), (193, 168)), 9, _FROWN, (0.04, 0.17), 0.045, 0.022),
    Fold(((336, 9), (285, 8), (417, 168)), 9, _FROWN, (0.04, 0.17), 0.045, 0.022),
    # Across the forehead.
    Fold(_FOREHEAD, 151, _BROWS, (0.08, 0.35), 0.04, 0.02),
    # Below the lower lids.
    Fold(((231,), (230,), (229,), (228,)), 23, ((145, 119), (23, 101), (110, 117)), (0.03, 0.13), 0.04, 0.02),
    Fold(((451,), (450,), (449,), (448,)), 253, ((374, 348), (253, 330), (339, 346)), (0.03, 0.13), 0.04, 0.02),
    # Above the chin.
    Fold(_CHIN, 199, ((17, 199), (84, 208), (314, 428)), (0.15, 0.5), 0.12, 0.03),
)


def fold_depths(
    face: np.ndarray,  # (478, 3) head space
    rest: np.ndarray,  # (478, 3) the same face without expression
    folds: Sequence[Fold] = FOLDS,
) -> np.ndarray:
    """(K,) in 0..1: how deep folds are, 0 where the face is no shorter across them than at rest."""
    a, b = np.array([pair for fold in folds for pair in fold.across]).T
    starts = np.cumsum([0, *(len(fold.across) for fold in folds[:-1])])
    now, before = (np.add.reduceat(np.linalg.norm(points[a] - points[b], axis=1), starts) for points in (face, rest))
    low, high = np.array([fold.compression for fold in folds]).T
    share = np.clip((1 - now / np.maximum(before, 1e-9) - low) / (high - low), 0, 1)
    return share * share * (3 - 2 * share)


def fold_profile(
    distance: np.ndarray,  # from the line, positive where the skin bulges, over the width
    settings: FoldSettings = _DEFAULT,
) -> np.ndarray:
    """What a fold adds to the light across it: -1 on its line, less on the shaded side, a rise on the bulging one."""
    shaded = -np.exp(-((distance / np.where(distance > 0, settings.bulging_width, 1)) ** 2))
    top = settings.bulge * np.exp(-(((distance - settings.bulge_at) / settings.bulge_width) ** 2))
    return shaded + top


def shade_folds(
    pixels: np.ndarray,  # (478, 2) the tracker's points in the photo
    shape: tuple[int, ...],
    unit: float,  # pixels of a head unit
    settings: FoldSettings = _DEFAULT,
    folds: Sequence[Fold] = FOLDS,
) -> np.ndarray:
    """(K, H, W) float32: what every fold, complete, adds to the light of a photo's pixels, over what is there."""
    from scipy.spatial import cKDTree  # a run that finds its avatar does without it

    out = np.zeros((len(folds), *shape), np.float32)
    for k, fold in enumerate(folds):
        points = np.array([pixels[list(p)].mean(0) for p in fold.curve])
        along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
        if along[-1] < 3 or (np.diff(along) < 1e-3).any():
            continue
        places = np.linspace(0, 1, _STEPS)
        curve, tangent = cubic_spline(along / along[-1], points, places)
        normal = np.stack([-tangent[:, 1], tangent[:, 0]], 1) / np.linalg.norm(tangent, axis=1, keepdims=True)
        normal *= np.sign(((pixels[fold.bulging] - curve[_STEPS // 2]) * normal[_STEPS // 2]).sum()) or 1
        width = fold.width * unit
        reach = int(np.ceil(settings.reach * width))
        x0, y0 = np.maximum(np.floor(curve.min(0)).astype(int) - reach, 0)
        x1, y1 = np.minimum(np.ceil(curve.max(0)).astype(int) + reach + 1, shape[::-1])
        if x1 <= x0 or y1 <= y0:
            continue
        grid = np.stack(np.meshgrid(np.arange(x0, x1), np.arange(y0, y1)), -1).reshape(-1, 2).astype(np.float64)
        away, nearest = cKDTree(curve).query(grid, distance_upper_bound=reach)
        near = np.isfinite(away)
        grid, nearest = grid[near].astype(int), nearest[near]
        across = ((grid - curve[nearest]) * normal[nearest]).sum(1) / width
        t = places[nearest]
        ends = smoothstep(t, 0, settings.taper) * (1 - smoothstep(t, 1 - settings.taper, 1))
        out[k, grid[:, 1], grid[:, 0]] = fold.depth * ends * fold_profile(across, settings)
    return out


@numba.njit(cache=True, nogil=True)
def tint_folds(
    colors: np.ndarray,  # (N, C >= 3) float32 of the Gaussians, in place
    index: np.ndarray,  # (n,) int32 those that are tinted
    light: np.ndarray,  # (n, K) float32, what every fold adds when it is complete
    depths: np.ndarray,  # (K,) float32
    low: float,
    high: float,
    powers: np.ndarray,  # (3,) float32 of the light in red, green and blue
) -> None:
    """Colours times the folds' light, which is held between `low` and `high`."""
    one = np.float32(1)
    for i in range(len(index)):
        total = np.float32(0)
        for k in range(light.shape[1]):
            total += light[i, k] * depths[k]
        change = min(max(one + total, np.float32(low)), np.float32(high)) - one
        g = index[i]
        for c in range(3):
            colors[g, c] *= one + powers[c] * change


@dataclass(frozen=True)
class FoldLayer:
    """Folds that come and go with the expression; they are detail, and there is none without it.

    Attributes:
        rest: (478, 3) the face without expression, head space. depths: (K,) of the folds in the photo.
        index: (n,) int32 the Gaussians that folds may tint. light: (n, K) float32, see `tint_folds`.
        settings: see `FoldSettings`.
    """

    rest: np.ndarray
    depths: np.ndarray
    index: np.ndarray
    light: np.ndarray
    settings: FoldSettings = _DEFAULT

    @classmethod
    def build(cls, photo: Photo) -> tuple[Self, Photo]:
        """The folds of a face; the photo stays as it is."""
        settings = photo.settings.folds
        unit = photo.camera.pixels_per_unit / float(np.median(photo.mesh.points[: topo.N_POINTS, 2]))
        light = shade_folds(photo.landmarks, photo.kept.shape, unit, settings)
        light *= skin_weight(photo, unit, settings)
        index = np.flatnonzero(np.abs(light).max(0)[photo.kept] > settings.least_light)
        rows, columns = (places[index] for places in np.nonzero(photo.kept))
        light = np.ascontiguousarray(light[:, rows, columns].T)
        return cls(photo.rest, fold_depths(photo.face, photo.rest), index.astype(np.int32), light, settings), photo

    def draw(self, shot: Shot) -> None:
        """Tint the Gaussians by as much as folds are deeper or shallower than in the photo."""
        if not shot.detail or not len(self.index):
            return
        change = fold_depths(shot.face, self.rest) - self.depths
        change = np.maximum(change, -self.settings.smoothed_out) * shot.detail
        if not change.any():
            return
        colors = shot.own_colors(int(self.index[0]), int(self.index[-1]) + 1)
        low, high = self.settings.limits
        powers = np.array(self.settings.powers, np.float32)
        tint_folds(colors, self.index, self.light, change.astype(np.float32), low, high, powers)


def skin_weight(photo: Photo, unit: float, settings: FoldSettings = _DEFAULT) -> np.ndarray:
    """(S, S) float32 in 0..1: 1 on bare skin of the face that faces the camera, 0 on hair, brows, lips, eyes, glasses.

    Skin is what has about the median colour around it; lips and eyes are left out as the tracker has them.
    """
    mesh = photo.mesh
    face = (mesh.triangles < topo.N_POINTS).all(1)
    cosine = view_cosine(triangle_normals(mesh.points, mesh.triangles))
    facing = np.where(face, smoothstep(cosine, *settings.cosines), 0)
    weight = np.where(photo.kept & (photo.pix_to_face >= 0), facing[photo.pix_to_face], 0).astype(np.float32)
    holes = np.zeros(weight.shape, np.uint8)
    for ring in (topo.OUTER_LIPS, topo.RIGHT_EYE, topo.LEFT_EYE):
        cv2.fillPoly(holes, [np.round(photo.landmarks[list(ring)]).astype(np.int32)], 1)
    sigma = settings.fade * unit
    away = cv2.distanceTransform(1 - holes, cv2.DIST_L2, 3)
    small = cv2.GaussianBlur(photo.image, (0, 0), max(0.35 * sigma, 0.5))
    covered = (weight > 0).astype(np.float32)
    # The mean is smooth: a quarter of the size has it as well.
    quarter = tuple(max(side // 4, 1) for side in covered.shape[::-1])
    both = np.concatenate([small * covered[..., None], covered[..., None]], -1)
    mean = cv2.GaussianBlur(
        cv2.resize(both, quarter, interpolation=cv2.INTER_AREA), (0, 0), settings.skin_reach * unit / 4
    )
    mean = cv2.resize(mean[..., :3] / np.maximum(mean[..., 3:], 1e-3), covered.shape[::-1])
    darker = over_channels(np.maximum, np.maximum(mean - small, 0))
    darker /= np.maximum(over_channels(np.maximum, mean), 0.05)
    bare = 1 - smoothstep(darker, *settings.darker)
    weight *= bare * smoothstep(away / sigma, 0.5, 2)
    return cv2.GaussianBlur(weight, (0, 0), sigma)
