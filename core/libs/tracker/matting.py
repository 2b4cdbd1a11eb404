"""The edge of a matte, hair by hair, from the photo's colours, and from the segmenter where colours tell nothing.

Closed-form matting (Levin, Lischinski and Weiss: A Closed-Form Solution to Natural Image Matting, PAMI 2008) takes the
matte in every small window for a linear function of the colours. Where a white pullover stands before a white wall, it
finds the edges of the picture's compression, blocks of eight pixels; there the segmenter is asked, who knows shoulders.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
from scipy import sparse

from core.data.records import IMAGE_SIZE
from core.libs.numeric import smoothstep
from core.libs.tracker.matte_settings import MatteSettings
from core.runtime.submodules import packages_not_run


def solved_matte(pixels: np.ndarray, matte: np.ndarray, inside: np.ndarray, settings: MatteSettings) -> np.ndarray:
    """The matte (S, S) in 0..1 with its edge solved for from the colours of the photo.

    Minimises alpha' L alpha + sum w (alpha - matte)^2 over the pixels near the edge, L the matting Laplacian: w is
    `settings.least`, and `settings.asked` more where `separation` finds the colours at both sides alike.

    Args:
        pixels: (S, S, 3) uint8. matte: (S, S), the segmenter's.
        inside: (S, S) bool, where the photo is; what is beyond has no say.
    """
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    if len(rows) < 3 or len(columns) < 3:
        return matte
    part, scale = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)), len(matte) / IMAGE_SIZE
    person, ground = (
        cv2.erode(sure.astype(np.uint8), disc(reach * scale)) > 0
        for sure, reach in (
            (matte[part] > settings.sure, settings.sure_inside),
            (matte[part] < 1 - settings.sure, settings.sure_outside),
        )
    )
    known = person | ground
    if not person.any() or not ground.any() or known.all():
        return matte
    colors = np.ascontiguousarray(pixels[part], np.float64) / 255
    side = 2 * round(settings.compared * scale) + 1
    apart = separation(colors.astype(np.float32), person, ground, side, settings.seen)
    weight = settings.least + settings.asked * (1 - smoothstep(apart[~known], *settings.told))

    laplacian, precondition, solve = _matting()
    whole = laplacian(colors, epsilon=settings.flat, is_known=known.ravel())
    of_edge = whole[~known.ravel()]
    system = (of_edge[:, ~known.ravel()] + sparse.diags(weight)).tocsc()
    right = weight * matte[part][~known] - of_edge[:, known.ravel()].dot(person[known].astype(np.float64))
    # Without a shift the factorisation fails on pictures with flat areas, and is tried again
    near = precondition(system, shifts=(1e-3, 1e-2, 0.1, 1.0, 10.0), max_nnz=settings.fill * system.shape[0])
    edge = person.astype(np.float64)
    edge[~known] = np.clip(solve(system, right, M=near, rtol=settings.tolerance), 0, 1)
    out = matte.copy()
    out[part] = edge
    return out


def separation(colors: np.ndarray, person: np.ndarray, ground: np.ndarray, side: int, seen: float) -> np.ndarray:
    """How well colours tell a person from the background beside: Fisher's ratio of both within a window, (H, W).

    The squared distance of their mean colours over the sum of their variances, `seen` squared among them.

    Args:
        colors: (H, W, 3) float32 in 0..1. person, ground: (H, W) bool, where it is surely one of them.
        side: of the window, pixels.
    """
    means, variances = zip(*(_moments(colors, mask, side) for mask in (person, ground)), strict=True)
    return ((means[0] - means[1]) ** 2).sum(2) / (variances[0] + variances[1] + seen**2)


def disc(radius: float) -> np.ndarray:
    """A round structuring element, one pixel of radius at least."""
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * max(1, round(radius)) + 1,) * 2)


def _moments(colors: np.ndarray, mask: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean (H, W, 3) and variance of all channels (H, W) of the colours under a mask, in a window at each pixel."""
    count = np.maximum(cv2.blur(mask.astype(np.float32), (side, side)), 1e-6)[..., None]
    mean, square = (cv2.blur(v * mask[..., None], (side, side)) / count for v in (colors, colors**2))
    return mean, np.maximum(square - mean**2, 0).sum(2)


@cache
def _matting() -> tuple[Callable, Callable, Callable]:
    """PyMatting's Laplacian, its preconditioner and its solver."""
    # Not at the top: it compiles for a while, and a photo that was tracked before does not need it; with the rest of
    # PyMatting it would be half a minute more
    with packages_not_run("pymatting", "laplacian", "preconditioner", "solver", "util"):
        from pymatting.laplacian.cf_laplacian import cf_laplacian
        from pymatting.preconditioner.ichol import ichol
        from pymatting.solver.cg import cg
    return cf_laplacian, ichol, cg
