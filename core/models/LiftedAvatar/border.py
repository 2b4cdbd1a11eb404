"""The photo's own border, at which the person in it is cut off: there the matte goes out softly."""

from __future__ import annotations

import numpy as np

from core.libs.numeric import smoothstep


def border_fade(
    inside: np.ndarray,  # (S, S) bool, where the wide crop shows the photo
    margin: int,  # pixels that the wide crop has more than the shown one on every side
    width: float,  # pixels over which the matte goes out
) -> np.ndarray:
    """(S, S) float32 in 0..1, what to multiply the matte by: it falls to 0 where the photo ends within the wide crop.

    Where it ends in the margin only, which shows when the person moves, what is shown at rest stays as it is: the matte
    falls within the margin, over fewer pixels.
    """
    size = len(inside)
    fade, place = np.ones((size, size), np.float32), np.arange(size) + 0.5
    for axis in (0, 1):
        shown = np.flatnonzero(inside.any(1 - axis))
        if not len(shown):
            return fade
        first, end = int(shown[0]), int(shown[-1]) + 1
        weight = np.ones(size)
        for distance, hidden, ends in (
            (place - first, margin - first, first > 0),
            (end - place, end - (size - margin), end < size),
        ):
            if ends and hidden:  # a photo that ends where the crop does shows no edge
                weight *= smoothstep(distance, 0.0, width if hidden < 0 else min(width, hidden))
        fade *= (weight[:, None] if axis == 0 else weight[None]).astype(np.float32)
    return fade
