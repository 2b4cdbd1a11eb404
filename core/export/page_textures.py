"""The textures of the built-in avatar: the photo's Gaussians and the inpainted ones as pictures for a mesh."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import cKDTree

from core.libs.nearest import nearest_values
from core.models.LiftedAvatar.binding import Binding, Role


@dataclass(frozen=True)
class TextureSettings:
    """Of `photo_textures` and `inpainted_atlas`.

    Attributes:
        sigma: standard deviation of what a splat spreads a pixel over, pixels: the Gaussian's and the rasterizer's
            blur together, less what bilinear sampling of a texture spreads it by.
        width: of the atlas of inpainted triangles, texels. rim: texels around each of them.
        nearest: samples that a texel of the atlas is the mean of. softness: their standard deviation, texels.
    """

    sigma: float = 0.5
    width: int = 512
    rim: int = 2
    nearest: int = 5
    softness: float = 0.6


_SETTINGS = TextureSettings()


@dataclass(frozen=True)
class PhotoTextures:
    """What the Gaussians of the photo look like, pixel by pixel of its wide crop (S, S).

    Attributes:
        colors: (S, S, 3) uint8, continued beyond the person. matte: (S, S) uint8.
        control: (S, S, 3) uint8: whether there is a Gaussian; its fade exponent less 1, of `exponent_range`; 0
            for the photo's own, 128 for the fringe left in the picture, 255 for the one on the right.
    """

    colors: np.ndarray
    matte: np.ndarray
    control: np.ndarray


def photo_textures(
    colors: np.ndarray,  # (N, 4) of the Gaussians, those of the photo first
    binding: Binding,
    pixels: np.ndarray,  # (M, 2) of the mesh in the wide crop
    side: int,  # of that, S
    exponent_range: float,
    settings: TextureSettings = _SETTINGS,
) -> PhotoTextures:
    """The photo's Gaussians as textures."""
    row, column = photo_places(binding, pixels)
    count, kept = len(row), np.zeros((side, side), bool)
    kept[row, column] = True
    image = np.zeros((*kept.shape, 4), np.float32)
    image[row, column] = colors[:count]
    weight = kept.astype(np.float32)
    total = cv2.GaussianBlur(weight, (0, 0), settings.sigma)
    image = cv2.GaussianBlur(image, (0, 0), settings.sigma) / np.maximum(total, 1e-6)[..., None]
    sure = total > 1e-3
    image = nearest_values(image, sure)
    control = np.zeros((*kept.shape, 3), np.uint8)
    control[..., 0] = 255 * kept
    control[row, column, 1] = np.rint(255 * np.clip((binding.fade_exponent[:count] - 1) / exponent_range, 0, 1))
    # Sampled between two pixels, neither may shine through for longer than it does on its own.
    control[..., 1] = cv2.dilate(control[..., 1], np.ones((3, 3), np.uint8))
    role = binding.role[:count]
    control[row, column, 2] = np.where(role == Role.LEFT_FRINGE, 128, np.where(role == Role.RIGHT_FRINGE, 255, 0))
    eight = np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)
    return PhotoTextures(eight[..., :3], eight[..., 3], control)


def photo_places(binding: Binding, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the pixels that the photo's Gaussians are, of a mesh's points (M, 2) in the wide crop."""
    count = len(binding) - int((binding.role == Role.INPAINTED).sum())
    corners = pixels[binding.triangles[binding.face[:count]]]
    places = np.rint(np.einsum("nk,nkc->nc", binding.bary_coords[:count], corners)).astype(int)
    return places[:, 1], places[:, 0]


@dataclass(frozen=True)
class Atlas:
    """The G inpainted triangles, side by side.

    Attributes:
        colors: (H, W, 3) uint8. weights: (H, W, 3) uint8: the matte, and how little the photo shows there; the third is
            not used.
        corners: (G, 3, 2) float32 texels of their corners.
    """

    colors: np.ndarray
    weights: np.ndarray
    corners: np.ndarray


def inpainted_atlas(colors: np.ndarray, binding: Binding, settings: TextureSettings = _SETTINGS) -> Atlas:
    """The inpainted Gaussians (their rows of colours (N, 4)) as one texture, a texel for the room of one."""
    first, count = binding.n_mesh, len(binding.triangles) - binding.n_mesh
    rim = settings.rim
    flats = [_flat(binding.jacobian[first + k].astype(np.float64)) for k in range(count)]
    sizes = [np.ceil(np.ptp(flat, 0)).astype(int) + 2 * rim + 1 for flat in flats]
    places, height = _shelves(sizes, settings.width)
    out = np.zeros((height, settings.width, 5), np.float32)
    corners = np.zeros((count, 3, 2), np.float32)
    rows = np.flatnonzero(binding.role == Role.INPAINTED)
    face = binding.face[rows] - first
    order = np.argsort(face, kind="stable")
    bounds = np.searchsorted(face[order], np.arange(count + 1))
    for k, (flat, (width, tall), (x0, y0)) in enumerate(zip(flats, sizes, places, strict=True)):
        flat = flat - flat.min(0) + rim
        corners[k] = flat + [x0, y0]
        own = rows[order[bounds[k] : bounds[k + 1]]]
        if not len(own):
            continue
        at = binding.bary_coords[own] @ flat
        texels = np.stack(np.meshgrid(np.arange(width), np.arange(tall)), -1).reshape(-1, 2)
        away, near = cKDTree(at).query(texels, min(settings.nearest, len(own)))
        away, near = away.reshape(len(texels), -1), near.reshape(len(texels), -1)
        share = np.exp(-0.5 * ((away**2 - away[:, :1] ** 2) / settings.softness**2)) + 1e-9
        share /= share.sum(1, keepdims=True)
        values = np.concatenate([colors[own], binding.need[own, None]], 1)
        out[y0 : y0 + tall, x0 : x0 + width] = np.einsum("tk,tkc->tc", share, values[near]).reshape(tall, width, 5)
    eight = np.rint(255 * np.clip(out, 0, 1)).astype(np.uint8)
    weights = np.concatenate([eight[..., 3:], np.zeros((*eight.shape[:2], 1), np.uint8)], -1)
    return Atlas(eight[..., :3], weights, corners)


def _flat(jacobian: np.ndarray) -> np.ndarray:
    """The corners (3, 2) of a triangle in its own plane, its longest edge level, from its (3, 2) `Binding.jacobian`."""
    edges = np.linalg.inv(jacobian[1:])  # columns: from the first corner to the others
    flat = np.concatenate([np.zeros((1, 2)), edges.T])
    sides = np.roll(flat, -1, 0) - flat
    longest = sides[np.linalg.norm(sides, axis=1).argmax()]
    along = longest / np.linalg.norm(longest)
    return flat @ np.stack([along, [-along[1], along[0]]], 1)


def _shelves(sizes: list[np.ndarray], width: int) -> tuple[list[tuple[int, int]], int]:
    """Where rectangles (width, height) go in a picture of a width: on shelves, the tallest first; and its height."""
    places: list[tuple[int, int]] = [(0, 0)] * len(sizes)
    x = y = shelf = 0
    for k in sorted(range(len(sizes)), key=lambda k: -sizes[k][1]):
        w, h = (int(v) for v in sizes[k])
        if x + w > width:
            x, y, shelf = 0, y + shelf, 0
        places[k] = (x, y)
        x, shelf = x + w, max(shelf, h)
    return places, max(y + shelf, 1)
