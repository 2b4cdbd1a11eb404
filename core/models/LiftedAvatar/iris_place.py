"""Where an iris may be in its eye: a gaze that is carried over must not lose it at a corner or behind a lid."""

from __future__ import annotations

import numpy as np

from core.libs.face_measures import across_corners, contour_ratio
from core.libs.numeric import smoothstep
from core.models.LiftedAvatar.eye_settings import EyeSettings


def place_in_eye(centre: np.ndarray, ring: np.ndarray) -> tuple[np.ndarray, float]:
    """A point (2,) from the middle of an eye's corners along and across their line, over its width; and the width."""
    down, width = across_corners(ring)
    along = np.array([down[1], -down[0]])
    beside = centre - (ring[0] + ring[8]) / 2
    return np.array([beside @ along, beside @ down]) / max(width, 1e-6), width


def between_corners(centre: np.ndarray, a: np.ndarray, b: np.ndarray, margin: float) -> np.ndarray:
    """A point (2,) moved along the line of an eye's corners until it is `margin` pixels inside them."""
    width = float(np.linalg.norm(b - a))
    if width < 2 * margin + 1e-6:
        return centre
    axis = (b - a) / width
    along = float((centre - a) @ axis)
    return centre + (np.clip(along, margin, width - margin) - along) * axis


def between_lids(
    centre: np.ndarray,
    contour: np.ndarray,
    ring: np.ndarray,
    own: float,
    opening: float,
    radius: float,
    settings: EyeSettings,
) -> np.ndarray:
    """A point (2,) moved across the line of an eye's corners until lids that are open hide no more of its iris than
    half, or than the photo's hide: a gaze carried over would lose it behind lids that open less than the driver's.

    Behind closing lids it stays where it is.

    Args:
        centre: pixels. contour: (16, 2) of the lids as they are drawn. ring: (16, 2) as tracked. radius: of the iris.
        own: how far below the line of the corners it is in the photo, over the width of the eye. opening: of the lids
            there, the same.
    """
    down, width = across_corners(ring)
    at, middle = np.array([down[1], -down[0]]), (ring[0] + ring[8]) / 2
    along, across = (contour - middle) @ at, (contour - middle) @ down
    upper, lower = (
        float(np.interp((centre - middle) @ at, along[side][order], across[side][order]))
        for side in (slice(0, 9), [0, *range(15, 7, -1)])
        for order in [np.argsort(along[side], kind="stable")]
    )
    there, own = float((centre - middle) @ down), own * width
    hidden = (1 - settings.seen) * radius
    kept = min(max(there, min(upper - hidden, own)), max(lower + hidden, own))
    opened = smoothstep(np.array(contour_ratio(ring) / max(opening, 1e-6)), *settings.closing)
    return centre + opened * (kept - there) * down


def corner_axes(ring: np.ndarray) -> np.ndarray:
    """(2, 2) unit vectors along and across the corners of a contour (16, 2)."""
    down, _ = across_corners(ring)
    return np.array([[down[1], -down[0]], down])
