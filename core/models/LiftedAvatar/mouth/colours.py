"""Colours of teeth, tissue and dark in a photo's own light, and how soft its picture is."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from core.libs.face_light import LUMINANCE, SKIN, TEETH, chroma, colourfulness, light_on, linear, luminance
from core.libs.flame_model import topology as topo
from core.models.LiftedAvatar.contour import contour_mask, smoothstep, window

# Red and blue of drawn teeth over green: among warm colours whiter ones look grey. By eye.
_IVORY = (1.07, 0.80)
_SKIN_POINTS = (50, 280, 205, 425, 101, 330, 36, 266)  # cheeks
_TISSUE = np.array([0.50, 0.18, 0.175])  # of gums and tongue under white light, of the teeth's brightness
_DARK = np.array([0.13, 0.055, 0.055])  # what the cavity leaves of it: light in there has met red walls more than once
_SOFT_EDGES = 15  # per cent of the strongest gradients
_ENOUGH_TEETH = 120  # pixels
_VARIED_AT = 90  # per cent of a face's pixels
_VARIED = (0.10, 0.20)  # of their chroma: what a grey or sepia photo stays below, and a coloured one above; by eye


@dataclass(frozen=True)
class Colours:
    """Linear colours (3,) of a person's mouth: teeth, tissue (gums and tongue), and the dark behind them.

    Attributes:
        light: chroma (3,) of the photo's light. own_luminance: of the teeth that the photo shows, 0 without any.
    """

    teeth: np.ndarray
    tissue: np.ndarray
    dark: np.ndarray
    light: np.ndarray
    own_luminance: float


def mouth_colours(image: np.ndarray, pixels: np.ndarray) -> Colours:
    """Of a photo (S, S, 3) in 0..1 with the tracker's points (478, 2)."""
    skin = np.maximum(linear(_median(image, pixels[list(_SKIN_POINTS)], 2)), 1e-4)
    usual = tooth_colour(skin)
    lips = (pixels[list(topo.INNER_LIPS)] + pixels[list(topo.OUTER_LIPS)]) / 2
    lip = np.maximum(linear(_median(image, lips, 1)), 1e-5)
    red = _TISSUE * usual / np.array(TEETH) * 1.15
    lip = lip * min(1.0, 1.2 * luminance(red) / luminance(lip))
    tissue = red**0.7 * np.maximum(lip, 0.25 * red) ** 0.3  # lipstick does not paint the tongue
    light = light_on(skin)
    own, count = own_teeth(image, pixels, light, float(luminance(usual)))
    # Through a slit one sees teeth in shadow: their colour, spread over a whole row, is dirty pink.
    taken = count >= _ENOUGH_TEETH and luminance(own) >= 0.7 * luminance(usual)
    teeth = own if taken else usual
    tone, varied = picture_tone(image, pixels)
    teeth, tissue, dark = (c + (1 - varied) * (luminance(c) * tone - c) for c in (teeth, tissue, tissue * _DARK))
    return Colours(teeth, tissue, dark, light, float(luminance(own)) if count else 0.0)


def picture_tone(image: np.ndarray, pixels: np.ndarray) -> tuple[np.ndarray, float]:
    """The chroma (3,) of a face, and in 0..1 how far it has others too: 0 for a grey or a sepia photo."""
    x0, y0, x1, y1 = window(pixels[list(topo.FACE_OVAL)], image.shape[:2], 0)
    face = linear(image[y0:y1:3, x0:x1:3].reshape(-1, 3))
    face = face[luminance(face) > 0.02]
    if not len(face):
        return np.ones(3), 1.0
    colours = chroma(face)
    tone = chroma(np.median(colours, 0))
    away = np.percentile(np.abs(colours / tone - 1).max(1), _VARIED_AT)
    return tone, float(smoothstep(np.array(away), *_VARIED))


def tooth_colour(skin: np.ndarray) -> np.ndarray:
    """Of teeth in the light that makes a skin look like this, both linear (3,): from ivory to amber, never green."""
    grey = luminance(skin) ** (1 / 2.2)
    # Part of a skin's hue is its own.
    red, _, blue = skin / skin[1] / np.array(SKIN)
    red = np.clip(red, 0.5, 2.0) ** 0.55 * _IVORY[0]
    blue = np.clip(np.clip(blue, 0.1, 2.0) ** 0.8 * _IVORY[1], 0.30, 0.90)
    red = np.clip(red, 1.05 + 0.25 * (0.92 - blue), 1.30)
    ratio = np.array([red, 1.0, blue])
    return ratio * (0.86 * grey + 0.10) ** 2.2 / (ratio @ LUMINANCE)


def own_teeth(image: np.ndarray, pixels: np.ndarray, light: np.ndarray, usual: float) -> tuple[np.ndarray, int]:
    """Linear colour (3,) of the teeth that a photo shows and the number of pixels that show them; 0: none.

    `usual`: the luminance that teeth should have in this light.
    """
    lips = pixels[list(topo.INNER_LIPS)]
    x0, y0, x1, y1 = box = window(lips, image.shape[:2], 0)
    inner = linear(image[y0:y1, x0:x1][cv2.erode(contour_mask(lips, *box), np.ones((3, 3))) > 0.9])
    pale = inner[(colourfulness(inner, light) < 0.25) & (luminance(inner) > 0.45 * usual)] if len(inner) else inner
    if not len(pale):
        return np.zeros(3), 0
    bright = luminance(pale)
    return np.median(pale[bright >= np.median(bright)], 0), len(pale)


def softness(image: np.ndarray, pixels: np.ndarray) -> float:
    """Standard deviation in pixels of the blur of a photo's lips and eyes, by what a further blur of 1 px takes.

    The gradient of an edge of blur s falls as 1 / s, so that of s and 1 px together is weaker by 1 + 1 / s^2.
    """
    before, after = [], []
    for ring in (topo.OUTER_LIPS, topo.RIGHT_EYE, topo.LEFT_EYE):
        x0, y0, x1, y1 = window(pixels[list(ring)], image.shape[:2], 6)
        part = image[y0:y1, x0:x1].mean(2)
        if min(part.shape) < 5:
            continue
        for values, out in ((part, before), (cv2.GaussianBlur(part, (0, 0), 1.0), after)):
            down, right = np.gradient(values)
            out.append((down**2 + right**2).ravel())
    if not before:
        return 1.0
    strongest = [v[v >= np.percentile(v, 100 - _SOFT_EDGES)].mean() for v in map(np.concatenate, (before, after))]
    ratio = np.clip(strongest[0] / max(strongest[1], 1e-12), 1.05, 4.0)
    return float(np.sqrt(1 / (ratio - 1)))


def _median(image: np.ndarray, points: np.ndarray, reach: int) -> np.ndarray:
    """(3,) of square patches around points (N, 2), of those inside the picture."""
    height, width = image.shape[:2]
    found = []
    for x, y in np.round(points).astype(int):
        part = image[max(y - reach, 0) : min(y + reach + 1, height), max(x - reach, 0) : min(x + reach + 1, width)]
        if y + reach >= 0 and x + reach >= 0 and part.size:
            found.append(part.reshape(-1, 3))
    return np.median(np.concatenate(found), 0) if found else np.full(3, 0.5)
