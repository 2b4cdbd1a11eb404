"""What the skin of a face says about the light on it, and which colours are teeth in that light.

Colours are linear RGB throughout: `linear` of what a picture holds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

GAMMA = 2.2
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])  # ITU-R BT.709


@dataclass(frozen=True)
class FaceLightSettings:
    """Linear colours under white light, over green, and what a skin says of another light.

    Attributes:
        skin: the middle of measured skins (shared/spec prototype). teeth: the same of teeth.
        light_power: of a skin's chroma over that, which is the light's; the rest of its hue is its own. By eye.
        chroma_limits: of the light's, over usual skin's: what lies beyond is no skin. By eye.
    """

    skin: tuple[float, float, float] = (1.62, 1.0, 0.66)
    teeth: tuple[float, float, float] = (1.05, 1.0, 0.86)
    light_power: float = 0.6
    chroma_limits: tuple[float, float] = (0.15, 3.0)


_DEFAULT = FaceLightSettings()


def linear(colors: np.ndarray) -> np.ndarray:
    """Display values in 0..1 as linear light."""
    return np.maximum(colors, 0) ** GAMMA


def display(colors: np.ndarray) -> np.ndarray:
    """The inverse of `linear`."""
    return np.maximum(colors, 0) ** (1 / GAMMA)


def luminance(colors: np.ndarray) -> np.ndarray:
    """(...,) of colours (..., 3)."""
    return colors @ LUMINANCE


def chroma(colors: npt.ArrayLike) -> np.ndarray:
    """Colours (..., 3) of luminance 1."""
    linear = np.asarray(colors, np.float64)
    return linear / np.maximum(luminance(linear), 1e-6)[..., None]


def light_on(skin: np.ndarray, settings: FaceLightSettings = _DEFAULT) -> np.ndarray:
    """Chroma (3,) of the light under which a skin (3,), linear, looks as it does."""
    return chroma(
        np.clip(chroma(chroma(skin) / chroma(settings.skin)), *settings.chroma_limits) ** settings.light_power
    )


def light_on_teeth(teeth: np.ndarray, settings: FaceLightSettings = _DEFAULT) -> np.ndarray:
    """Chroma (3,) of the light under which teeth (3,), linear, look as they do: they are a better white than skin."""
    return chroma(teeth / chroma(settings.teeth))


def colourfulness(colors: np.ndarray, light: np.ndarray, settings: FaceLightSettings = _DEFAULT) -> np.ndarray:
    """(...,) in 0..1: how far linear colours (..., 3) are from teeth's under a light of chroma (3,); 0 for teeth."""
    white = (colors / (light * chroma(settings.teeth)).astype(colors.dtype)).astype(colors.dtype)
    return 1 - white.min(-1) / np.maximum(white.max(-1), 1e-4)
