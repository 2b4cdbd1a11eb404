"""The skin of shut lids: a harmonic function whose boundary are the photo's own colours around the eye.

It has no seam under any light, unlike a mean of these colours (membrane interpolation: Perez et al., SIGGRAPH 2003).
"""

from __future__ import annotations

import cv2
import numpy as np

from core.models.LiftedAvatar.eye_places import EyePlaces
from core.models.LiftedAvatar.eye_settings import LidSettings


def lid_skin(
    part: np.ndarray,  # (h, w, 3) a window of the photo
    known: np.ndarray,  # (h, w) bool, pixels of the person
    unknown: np.ndarray,  # (h, w) bool, pixels whose skin is not seen
    place: EyePlaces,
    settings: LidSettings,
) -> np.ndarray | None:
    """The skin (h, w, 3) in place of what lids replace: harmonic, with the colours around as its boundary.

    Boundary pixels that are darker than others beside them are folds or rims of glasses, not skin, and left out. None
    where no boundary is left. Large eyes are solved for at a smaller size: what is harmonic is smooth.
    """
    shrink = max(1, round(place.width / settings.solved_width))
    if shrink > 1:
        size = (part.shape[1] // shrink, part.shape[0] // shrink)
        small = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
        flags = cv2.resize(np.stack([known, unknown], -1).astype(np.float32), size, interpolation=cv2.INTER_AREA)
        known_small, unknown_small = flags[..., 0] > 0.99, flags[..., 1] > 0
    else:
        small, known_small, unknown_small = part, known, unknown
    band = max(2.0, settings.boundary * place.width / shrink)
    away = cv2.distanceTransform((~unknown_small).astype(np.uint8), cv2.DIST_L2, 5)
    ring = ~unknown_small & known_small & (away <= band)
    sure = _as_bright_as_beside(small.mean(2), ring, settings.beside * place.width / shrink, settings)
    if not sure.any():
        return None
    solved = _harmonic(small, sure, unknown_small | ring)
    return solved if shrink == 1 else cv2.resize(solved, part.shape[1::-1], interpolation=cv2.INTER_LINEAR)


def _as_bright_as_beside(bright: np.ndarray, ring: np.ndarray, sigma: float, settings: LidSettings) -> np.ndarray:
    """Those pixels of a ring (h, w) that are not darker than the usual one near them, nor far darker than all."""
    if not ring.any():
        return ring
    ring = ring & (bright > settings.far_darker * np.median(bright[ring]))
    sure = ring.copy()
    for _ in range(settings.rounds):
        weight = cv2.GaussianBlur(sure.astype(np.float32), (0, 0), sigma)
        mean = cv2.GaussianBlur(bright.astype(np.float32) * sure, (0, 0), sigma) / np.maximum(weight, 1e-9)
        sure = ring & (bright > (1 - settings.darker) * mean)
    return sure


def _harmonic(colors: np.ndarray, fixed: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Colours (h, w, 3) whose Laplacian is 0 in a region (h, w) but where they are fixed; outside it as they were."""
    import scipy.sparse  # a run that finds its avatar does without it
    import scipy.sparse.linalg

    unknown = region & ~fixed
    number = np.full(region.shape, -1)
    number[unknown] = np.arange(unknown.sum())
    n = int(unknown.sum())
    rows, columns, degree, right = [], [], np.full(n, 1e-6), np.zeros((n, 3))
    right += 1e-6 * colors[fixed].mean(0)  # what no boundary reaches
    for one, other in (
        (np.s_[:, :-1], np.s_[:, 1:]),
        (np.s_[:, 1:], np.s_[:, :-1]),
        (np.s_[:-1], np.s_[1:]),
        (np.s_[1:], np.s_[:-1]),
    ):
        pair = unknown[one] & region[other]
        here = number[one][pair]
        degree += np.bincount(here, minlength=n)
        both = pair & unknown[other]
        rows.append(number[one][both])
        columns.append(number[other][both])
        edge = pair & fixed[other]
        for c in range(3):
            right[:, c] += np.bincount(number[one][edge], colors[other][edge][:, c], minlength=n)
    out = colors.astype(np.float32).copy()
    if n:
        links = np.concatenate(rows), np.concatenate(columns)
        laplacian = scipy.sparse.diags(degree) - scipy.sparse.coo_matrix((np.ones(len(links[0])), links), (n, n))
        out[unknown] = scipy.sparse.linalg.spsolve(laplacian.tocsc(), right)
    return out
