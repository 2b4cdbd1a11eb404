"""Rows of teeth: the shape of each tooth as a function of the distance from the midline, and the photo's own ones."""

from __future__ import annotations

import cv2
import numpy as np

from core.libs.face_light import colourfulness, linear, luminance
from core.libs.flame_model import topology as topo
from core.libs.geometry import Camera, to_camera
from core.libs.numeric import smoothstep
from core.models.LiftedAvatar.contour import contour_mask
from core.models.LiftedAvatar.mouth.colours import Colours
from core.models.LiftedAvatar.mouth.kernel import PER_MM, TEXTURE_HEIGHT
from core.models.LiftedAvatar.mouth.settings import MM, MouthSettings, Row, ShapeSettings

_DEFAULT = MouthSettings()


def row_table(row: Row, settings: MouthSettings = _DEFAULT) -> np.ndarray:
    """(N, 3) float32, by |x| in steps of 1 / PER_MM: distance to the nearest gap, height of the edge, light.

    Lengths in millimetres; the edge is counted from the first tooth's, away from the other row. The teeth stand along
    the arch: seen from the front those at its sides are narrow.
    """
    tooth_shape, arch = settings.tooth, settings.shape.arch
    x = np.arange(tooth_shape.table_reach * PER_MM + 1) / PER_MM
    steep = 2 * arch * x
    along = (x * np.sqrt(1 + steep**2) + np.arcsinh(steep) / (2 * arch)) / 2  # the arch's length: a parabola's
    borders = np.concatenate([[0], np.cumsum(row.widths)])
    tooth = np.clip(np.searchsorted(borders, along, side="right") - 1, 0, len(row.widths) - 1)
    half = np.array(row.widths)[tooth] / 2
    r = np.minimum(np.abs(along - borders[tooth] - half) / half, 1)
    gap = np.abs(along[:, None] - borders).min(1) / np.sqrt(1 + steep**2)  # as seen from the front
    rounded = np.where(tooth >= 2, tooth_shape.rounded_back, tooth_shape.rounded)
    edge = np.array(row.shorter)[tooth] + rounded * r**4
    edge += np.where(tooth == 2, tooth_shape.cusp_flanks * r**1.5 - tooth_shape.cusp_tip, 0)
    mirrored = np.concatenate([edge[2:0:-1], edge, np.full(2, edge[-1])])
    edge = np.convolve(mirrored, np.full(5, 0.2), "valid")
    return np.stack([gap, edge, 1 - tooth_shape.side_shade * r**3], 1).astype(np.float32)


def arch_depth(x: np.ndarray, shape: ShapeSettings) -> np.ndarray:
    """How far a row lies behind its middle, millimetres, at x millimetres from the midline."""
    return np.minimum(shape.arch * x**2, shape.deepest)


def photo_row(
    image: np.ndarray,  # (S, S, 3) in 0..1
    pixels: np.ndarray,  # (478, 2)
    middle: np.ndarray,  # (3,) head space: of the upper row at its biting edge
    transform: np.ndarray,  # (3, 4)
    margin: int,
    colours: Colours,
    camera: Camera,  # of the shown crop
    settings: MouthSettings = _DEFAULT,
) -> np.ndarray:
    """(h, w, 4) float32: the upper row as the photo shows it, linear, and how much of it it shows."""
    shape, tooth_settings = settings.shape, settings.tooth
    width, height = tooth_settings.texture
    x = np.linspace(-shape.half_width, shape.half_width, width)
    y = np.linspace(0, TEXTURE_HEIGHT, height)[:, None]
    place = middle + MM * np.stack(np.broadcast_arrays(x, y, -arch_depth(x, shape)), -1)
    places = (camera.to_pixels(to_camera(place.reshape(-1, 3), transform)) + margin).reshape(height, width, 2)
    places = places.astype(np.float32)
    visible = linear(np.clip(cv2.remap(image, places, None, cv2.INTER_LINEAR), 0, 1))
    lips = contour_mask(pixels[list(topo.INNER_LIPS)], 0, 0, image.shape[1], image.shape[0])
    inside = cv2.remap(cv2.erode(lips, np.ones((5, 5))), places, None, cv2.INTER_LINEAR)
    pale = smoothstep(
        tooth_settings.most_colourful - colourfulness(visible, colours.light, settings.colours.light),
        0,
        tooth_settings.pale,
    )
    bright = smoothstep(luminance(visible) / max(colours.own_luminance, 1e-6), *tooth_settings.bright)
    share = cv2.GaussianBlur((inside * pale * bright).astype(np.float32), (0, 0), tooth_settings.texture_blur)
    return np.concatenate([visible, share[..., None]], -1).astype(np.float32)
