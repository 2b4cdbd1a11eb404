"""Rows of teeth: the shape of each tooth as a function of the distance from the midline, and the photo's own ones."""

from __future__ import annotations

import cv2
import numpy as np

from core.libs.face_light import colourfulness, linear, luminance
from core.libs.flame_model import topology as topo
from core.libs.geometry import Camera, to_camera
from core.models.LiftedAvatar.contour import contour_mask, smoothstep
from core.models.LiftedAvatar.mouth.colours import Colours
from core.models.LiftedAvatar.mouth.settings import MM, SHAPE, Row

PER_MM = 8  # entries of a table
_REACH = 30  # millimetres that a table covers
TEXTURE = (192, 72)  # width, height of the photo's own upper row
TEXTURE_HEIGHT = 15.5  # millimetres from the biting edge
_ROUND, _ROUND_BACK = 0.9, 1.3  # millimetres by which a tooth's corners are rounded, and those of canines and after
_CUSP = (0.9, 0.5)  # of the canine: its flanks, its tip, millimetres
_BULGE = 0.20  # of its light that a tooth's side has less


def row_table(row: Row) -> np.ndarray:
    """(N, 3) float32, by |x| in steps of 1 / PER_MM: distance to the nearest gap, height of the edge, light.

    Lengths in millimetres; the edge is counted from the first tooth's, away from the other row. The teeth stand along
    the arch: seen from the front those at its sides are narrow.
    """
    x = np.arange(_REACH * PER_MM + 1) / PER_MM
    steep = 2 * SHAPE.arch * x
    along = (x * np.sqrt(1 + steep**2) + np.arcsinh(steep) / (2 * SHAPE.arch)) / 2  # the arch's length: a parabola's
    borders = np.concatenate([[0], np.cumsum(row.widths)])
    tooth = np.clip(np.searchsorted(borders, along, side="right") - 1, 0, len(row.widths) - 1)
    half = np.array(row.widths)[tooth] / 2
    r = np.minimum(np.abs(along - borders[tooth] - half) / half, 1)
    gap = np.abs(along[:, None] - borders).min(1) / np.sqrt(1 + steep**2)  # as seen from the front
    edge = np.array(row.shorter)[tooth] + np.where(tooth >= 2, _ROUND_BACK, _ROUND) * r**4
    edge += np.where(tooth == 2, _CUSP[0] * r**1.5 - _CUSP[1], 0)
    mirrored = np.concatenate([edge[2:0:-1], edge, np.full(2, edge[-1])])
    edge = np.convolve(mirrored, np.full(5, 0.2), "valid")
    return np.stack([gap, edge, 1 - _BULGE * r**3], 1).astype(np.float32)


def arch_depth(x: np.ndarray) -> np.ndarray:
    """How far a row lies behind its middle, millimetres, at x millimetres from the midline."""
    return np.minimum(SHAPE.arch * x**2, SHAPE.deepest)


def photo_row(
    image: np.ndarray,  # (S, S, 3) in 0..1
    pixels: np.ndarray,  # (478, 2)
    middle: np.ndarray,  # (3,) head space: of the upper row at its biting edge
    transform: np.ndarray,  # (3, 4)
    margin: int,
    colours: Colours,
    camera: Camera,  # of the shown crop
) -> np.ndarray:
    """(h, w, 4) float32: the upper row as the photo shows it, linear, and how much of it it shows."""
    width, height = TEXTURE
    x = np.linspace(-SHAPE.half_width, SHAPE.half_width, width)
    y = np.linspace(0, TEXTURE_HEIGHT, height)[:, None]
    place = middle + MM * np.stack(np.broadcast_arrays(x, y, -arch_depth(x)), -1)
    there = (camera.to_pixels(to_camera(place.reshape(-1, 3), transform)) + margin).reshape(height, width, 2)
    there = there.astype(np.float32)
    seen = linear(np.clip(cv2.remap(image, there, None, cv2.INTER_LINEAR), 0, 1))
    lips = contour_mask(pixels[list(topo.INNER_LIPS)], 0, 0, image.shape[1], image.shape[0])
    inside = cv2.remap(cv2.erode(lips, np.ones((5, 5))), there, None, cv2.INTER_LINEAR)
    pale = smoothstep(0.40 - colourfulness(seen, colours.light), 0, 0.12)
    bright = smoothstep(luminance(seen) / max(colours.own_luminance, 1e-6), 0.25, 0.5)
    share = cv2.GaussianBlur((inside * pale * bright).astype(np.float32), (0, 0), 1.5)
    return np.concatenate([seen, share[..., None]], -1).astype(np.float32)
