"""The edge of a matte, hair by hair, from the photo's colours, and from the segmenter where colours tell nothing.

Closed-form matting (Levin, Lischinski and Weiss: A Closed-Form Solution to Natural Image Matting, PAMI 2008) takes the
matte in every small window for a linear function of the colours. Where a white pullover stands before a white wall, it
finds the edges of the picture's compression, blocks of eight pixels; there the segmenter is asked, who knows shoulders.
"""

from __future__ import annotations

import cv2
import numpy as np

from core.data.records import IMAGE_SIZE
from core.libs.numeric import over_channels, smoothstep
from core.libs.tracker.matte_settings import MatteSettings
from core.libs.tracker.matting_kernels import conjugate_gradients, matting_weights, weighted
from core.libs.tracker.morphology import disc


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
    unknown, colors = ~known, np.ascontiguousarray(pixels[part])
    side = 2 * round(settings.compared * scale) + 1
    apart = separation(colors.astype(np.float32) / 255, person, ground, unknown, side, settings.seen)
    weight = (settings.least + settings.asked * (1 - smoothstep(apart, *settings.told))).astype(np.float32)

    # Minimised where its derivative is zero: (L + w) alpha = w matte, the known pixels' part of L alpha on the right
    pieces, coarse = _pieces(unknown), matte[part][unknown].astype(np.float32)
    weights = matting_weights(colors, pieces, weight, settings.flat)
    beside = np.empty_like(weight)
    weighted(weights, pieces, np.pad(person.astype(np.float32), 2), beside)
    right = weight * coarse - beside
    solved = conjugate_gradients(weights, pieces, known.shape, right, coarse, settings.tolerance, settings.rounds)
    edge = person.astype(np.float64)
    edge[unknown] = np.clip(solved, 0, 1)
    out = matte.copy()
    out[part] = edge
    return out


def _pieces(unknown: np.ndarray) -> np.ndarray:
    """What rows have of unknown pixels (H, W) bool in one piece, (P, 4): row and column of the first, which one of all
    it is, and which one follows the last.
    """
    row, first = np.nonzero(np.diff(unknown.astype(np.int8), axis=1, prepend=0) == 1)
    _, last = np.nonzero(np.diff(unknown.astype(np.int8), axis=1, append=0) == -1)
    ends = np.cumsum(last + 1 - first)
    return np.stack([row, first, ends - (last + 1 - first), ends], 1)


def separation(
    colors: np.ndarray, person: np.ndarray, ground: np.ndarray, where: np.ndarray, side: int, seen: float
) -> np.ndarray:
    """How well colours tell a person from the background beside: Fisher's ratio of both within a window, (N,).

    The squared distance of their mean colours over the sum of their variances, `seen` squared among them.

    Args:
        colors: (H, W, 3) float32 in 0..1. person, ground: (H, W) bool, where it is surely one of them.
        where: (H, W) bool, the N pixels that are asked about. side: of the window, pixels.
    """
    square = over_channels(np.add, colors**2)
    means, variances = zip(*(_moments(colors, square, mask, where, side) for mask in (person, ground)), strict=True)
    return ((means[0] - means[1]) ** 2).sum(1) / (variances[0] + variances[1] + seen**2)


def _moments(
    colors: np.ndarray, square: np.ndarray, mask: np.ndarray, where: np.ndarray, side: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean (N, 3) and variance of all channels (N,) of the colours under a mask, in a window at each pixel.

    `square`: (H, W) the colours' squares.
    """
    share = mask.astype(np.float32)
    count, mean, total = (
        cv2.blur(values, (side, side))[where] for values in (share, colors * share[..., None], square * share)
    )
    count = np.maximum(count, 1e-6)
    mean /= count[:, None]
    return mean, np.maximum(total / count - (mean**2).sum(1), 0)
