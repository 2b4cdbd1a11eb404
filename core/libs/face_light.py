"""What the skin of a face says about the light on it, and which colours are teeth in that light.

Colours are linear RGB throughout: `linear` of what a picture holds.
"""

from __future__ import annotations

import numpy as np

GAMMA = 2.2
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])  # ITU-R BT.709
SKIN = (1.62, 1.0, 0.66)  # under white light, over green; middle of measured skins, shared/spec prototype
TEETH = (1.05, 1.0, 0.86)  # the same of teeth
_OWN_HUE = 0.6  # power: the rest of a skin's hue is its own and not the light's; by eye


def linear(colors: np.ndarray) -> np.ndarray:
    """Display values in 0..1 as linear light."""
    return np.maximum(colors, 0) ** GAMMA


def display(colors: np.ndarray) -> np.ndarray:
    """The inverse of `linear`."""
    return np.maximum(colors, 0) ** (1 / GAMMA)


def luminance(colors: np.ndarray) -> np.ndarray:
    """(...,) of colours (..., 3)."""
    return colors @ LUMINANCE


def chroma(colors: np.ndarray) -> np.ndarray:
    """Colours (..., 3) of luminance 1."""
    colors = np.asarray(colors, np.float64)
    return colors / np.maximum(luminance(colors), 1e-6)[..., None]


def light_on(skin: np.ndarray) -> np.ndarray:
    """Chroma (3,) of the light under which a skin (3,) looks as it does."""
    return chroma(np.clip(chroma(chroma(skin) / chroma(SKIN)), 0.15, 3.0) ** _OWN_HUE)


def colourfulness(colors: np.ndarray, light: np.ndarray) -> np.ndarray:
    """(...,) in 0..1: how far colours (..., 3) are from those of teeth under a light, 0 for teeth."""
    white = (colors / (light * chroma(TEETH)).astype(colors.dtype)).astype(colors.dtype)
    return 1 - white.min(-1) / np.maximum(white.max(-1), 1e-4)
