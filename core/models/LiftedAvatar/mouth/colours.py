"""Colours of teeth, tissue and dark in a photo's own light, and how soft its picture is."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from core.libs.face_light import LUMINANCE, chroma, colourfulness, light_on, linear, luminance
from core.libs.flame_model import topology as topo
from core.libs.numeric import smoothstep
from core.models.LiftedAvatar.contour import contour_mask, window
from core.models.LiftedAvatar.mouth.settings import ColourSettings

_SKIN_POINTS = (50, 280, 205, 425, 101, 330, 36, 266)  # cheeks
_DEFAULT = ColourSettings()


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


def mouth_colours(image: np.ndarray, pixels: np.ndarray, settings: ColourSettings = _DEFAULT) -> Colours:
    """Of a photo (S, S, 3) in 0..1 with the tracker's points (478, 2) in it.

    Teeth have the photo's own colour where it shows enough of them, else one from its skin; tissue is the usual one in
    the same light, with some of the lips' hue. A grey or sepia photo gives all of them its tone.
    """
    skin = np.maximum(linear(_median(image, pixels[list(_SKIN_POINTS)], 2)), 1e-4)
    expected = tooth_colour(skin, settings)
    lips = (pixels[list(topo.INNER_LIPS)] + pixels[list(topo.OUTER_LIPS)]) / 2
    lip = np.maximum(linear(_median(image, lips, 1)), 1e-5)
    red = np.array(settings.tissue) * expected / np.array(settings.light.teeth) * settings.tissue_light
    lip = lip * min(1.0, settings.lip_most * luminance(red) / luminance(lip))
    lip = np.maximum(lip, settings.lip_least * red)
    tissue = red ** (1 - settings.lip_share) * lip**settings.lip_share  # lipstick does not paint the tongue
    light = light_on(skin, settings.light)
    own, count = own_teeth(image, pixels, light, float(luminance(expected)), settings)
    # Through a slit one sees teeth in shadow: their colour, spread over a whole row, is dirty pink.
    taken = count >= settings.enough_teeth and luminance(own) >= settings.least_own * luminance(expected)
    teeth = own if taken else expected
    tone, varied = picture_tone(image, pixels, settings)
    teeth, tissue, dark = (
        c + (1 - varied) * (luminance(c) * tone - c) for c in (teeth, tissue, tissue * settings.dark)
    )
    return Colours(teeth, tissue, dark, light, float(luminance(own)) if count else 0.0)


def picture_tone(
    image: np.ndarray, pixels: np.ndarray, settings: ColourSettings = _DEFAULT
) -> tuple[np.ndarray, float]:
    """The median chroma (3,) of a face, and in 0..1 how much others differ from it: 0 for a grey or a sepia photo."""
    x0, y0, x1, y1 = window(pixels[list(topo.FACE_OVAL)], image.shape[:2], 0)
    face = linear(image[y0:y1:3, x0:x1:3].reshape(-1, 3))
    face = face[luminance(face) > 0.02]
    if not len(face):
        return np.ones(3), 1.0
    colours = chroma(face)
    tone = chroma(np.median(colours, 0))
    away = np.percentile(np.abs(colours / tone - 1).max(1), settings.varied_at)
    return tone, float(smoothstep(np.array(away), *settings.varied))


def tooth_colour(skin: np.ndarray, settings: ColourSettings = _DEFAULT) -> np.ndarray:
    """Of teeth in the light that makes a skin look like this, both linear (3,): from ivory to amber, never green."""
    ivory_red, ivory_blue = settings.ivory
    grey = luminance(skin) ** (1 / 2.2)
    # Part of a skin's hue is its own.
    red, _, blue = skin / skin[1] / np.array(settings.light.skin)
    red = np.clip(red, 0.5, 2.0) ** settings.red_power * ivory_red
    blue = np.clip(np.clip(blue, 0.1, 2.0) ** settings.blue_power * ivory_blue, 0.30, 0.90)
    red = np.clip(red, 1.05 + settings.redder * (0.92 - blue), settings.most_red)
    ratio = np.array([red, 1.0, blue])
    return ratio * (settings.tooth_gain * grey + settings.tooth_offset) ** 2.2 / (ratio @ LUMINANCE)


def own_teeth(
    image: np.ndarray,  # (S, S, 3) in 0..1
    pixels: np.ndarray,  # (478, 2)
    light: np.ndarray,  # (3,) chroma
    reference: float,  # the luminance that teeth should have in this light
    settings: ColourSettings = _DEFAULT,
) -> tuple[np.ndarray, int]:
    """Linear colour (3,) of the teeth that a photo shows, and the number of pixels that show them; 0: none."""
    lips = pixels[list(topo.INNER_LIPS)]
    x0, y0, x1, y1 = box = window(lips, image.shape[:2], 0)
    inner = linear(image[y0:y1, x0:x1][cv2.erode(contour_mask(lips, *box), np.ones((3, 3))) > 0.9])
    if len(inner):
        colourless = colourfulness(inner, light, settings.light) < settings.tooth_colourfulness
        inner = inner[colourless & (luminance(inner) > settings.tooth_luminance * reference)]
    if not len(inner):
        return np.zeros(3), 0
    bright = luminance(inner)
    return np.median(inner[bright >= np.median(bright)], 0), len(inner)


def softness(image: np.ndarray, pixels: np.ndarray, settings: ColourSettings = _DEFAULT) -> float:
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
    strongest = [
        v[v >= np.percentile(v, 100 - settings.soft_edges)].mean() for v in map(np.concatenate, (before, after))
    ]
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
