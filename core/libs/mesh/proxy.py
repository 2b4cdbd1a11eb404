"""From a tracked photo to a surface: the face mesh, continued over hair, neck and shoulders as one sheet.

The sheet covers the whole crop. Inside the face it is the tracker's mesh; around it, points on a regular grid joined to
the face's border by a Delaunay triangulation, at the depth of a head ellipsoid that is bent to meet the border. Being
one sheet it stretches where a turning head would tear it, and a stretched sheet needs no hole filling.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import Delaunay

from core.data.records import FOCAL, IMAGE_SIZE
from core.libs.flame_model import topology as topo
from core.libs.geometry import to_camera, to_pixels

GRID = 20  # pixels between the points of the surroundings
# The head's ellipsoid in the head frame: radii in widths, heights and widths of the face's box, and its centre.
_RADII = np.array([0.58, 0.67, 0.60])
_CENTRE = np.array([0.0, 0.04, -0.18])


@dataclass(frozen=True)
class Sheet:
    """The surface of one source in its own pose.

    Attributes:
        points: (M, 3) in the camera frame; the first 478 are the tracker's.
        pixels: (M, 2) in the wide crop.
        triangles: (F, 3).
        torso: (M,) in 0..1, how much a point belongs to the shoulders and not to the head.
        follow: (M - 478, 36), how much a point of the surroundings takes part in the moves of each border point.
    """

    points: np.ndarray
    pixels: np.ndarray
    triangles: np.ndarray
    torso: np.ndarray
    follow: np.ndarray


def lift(
    vertices: np.ndarray,  # (V, 3) head space, the tracker's points first
    transform: np.ndarray,  # (3, 4)
    faces: np.ndarray,  # (F, 3)
    side: int,  # of the wide crop, pixels
    margin: int,
) -> Sheet:
    """The sheet over a wide crop of `side` pixels whose shown part begins at `margin`."""
    face = to_camera(vertices[: topo.N_POINTS].astype(np.float64), transform.astype(np.float64))
    for ring, iris in ((topo.RIGHT_EYE, topo.RIGHT_IRIS), (topo.LEFT_EYE, topo.LEFT_IRIS)):
        face[iris[0]] = face[list(ring)].mean(0)  # the middle of the eye, wherever it looks
    face_pixels = to_pixels(face) + margin
    face_triangles = faces[(faces < topo.N_POINTS).all(1)]

    oval = np.array(topo.FACE_OVAL)
    border = face_pixels[oval]
    ring = _surroundings(border, side)
    both = np.concatenate([border, ring])
    cells = Delaunay(both).simplices
    outline = border.astype(np.float32)[:, None]
    middles = both[cells].mean(1)
    outside = np.array([cv2.pointPolygonTest(outline, (float(x), float(y)), False) <= 0 for x, y in middles])
    n = len(oval)
    index = np.concatenate([oval, topo.N_POINTS + np.arange(len(ring))])
    joined = index[cells[outside & ~(cells < n).all(1)]]

    depth = _depth(ring, border, face, vertices, transform, margin)
    camera = _unproject(ring, depth, margin)
    points = np.concatenate([face, camera])
    pixels = np.concatenate([face_pixels, ring])
    return Sheet(
        points,
        pixels,
        np.concatenate([face_triangles, joined]).astype(np.int32),
        _torso(pixels, face_pixels),
        _follow(ring, border, face_pixels),
    )


def _surroundings(border: np.ndarray, side: int) -> np.ndarray:
    """Points outside the face: two loops close around it, then a grid over the crop and a little beyond."""
    centre = border.mean(0)
    outline = border.astype(np.float32)[:, None]
    reach = np.ptp(border[:, 1])
    axis = np.arange(-GRID, side + GRID + 1, GRID, dtype=np.float64)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    distance = -np.array([cv2.pointPolygonTest(outline, (float(x), float(y)), True) for x, y in grid])
    grid = grid[distance > 0.6 * GRID + 0.06 * reach]
    spread = border - centre
    spread /= np.linalg.norm(spread, axis=1, keepdims=True)
    near = border + spread * (0.05 * reach)
    away = -np.array([cv2.pointPolygonTest(outline, (float(x), float(y)), True) for x, y in near])
    return np.concatenate([near[away > 0.02 * reach], grid])


def _depth(ring, border, face, vertices, transform, margin) -> np.ndarray:
    """Depth in the camera frame of the surroundings, (S,)."""
    at_rest = vertices[: topo.N_FACE]
    low, high = at_rest.min(0), at_rest.max(0)
    width, height = high[0] - low[0], high[1] - low[1]
    box = np.array([width, height, width])
    centre = np.array([0.0, (low[1] + high[1]) / 2, 0.0]) + box * (_CENTRE + [0, 0.06, 0])
    centre = to_camera(centre[None], transform)[0]
    radii = box * _RADII
    rotation = transform[:, :3]
    quadric = rotation.T @ np.diag(1 / radii**2) @ rotation  # of camera-frame offsets

    def ellipsoid(pixels: np.ndarray) -> np.ndarray:
        x, y = _unproject(pixels, np.full(len(pixels), centre[2]), margin)[:, :2].T - centre[:2, None]
        a = quadric[2, 2]
        b = quadric[0, 2] * x + quadric[1, 2] * y
        c = quadric[0, 0] * x * x + 2 * quadric[0, 1] * x * y + quadric[1, 1] * y * y - 1
        inside = np.maximum(b * b - a * c, 0)
        beyond = np.sqrt(np.maximum(c, 0)) * radii[2]  # behind the silhouette the surface falls back slowly
        return centre[2] + (-b - np.sqrt(inside)) / a + 0.25 * np.minimum(beyond, 1.0) * (inside == 0)

    depth = ellipsoid(ring)
    # Below the jaw lies the neck, behind the chin and about as deep as the ears' line.
    face_height = np.ptp(border[:, 1])
    chin = border[:, 1].max()
    below = _smoothstep((ring[:, 1] - chin) / (0.25 * face_height) + 0.3)
    neck = centre[2] - 0.28 * width
    depth = depth * (1 - below) + neck * below
    # Bend the surface to meet the border of the face.
    gap = face[list(topo.FACE_OVAL), 2] - ellipsoid(border)
    distance = np.linalg.norm(ring[:, None] - border[None], axis=-1)
    nearest = distance.min(1)
    share = np.exp(-0.5 * (distance / (nearest[:, None] + 0.06 * face_height)) ** 2)
    share /= share.sum(1, keepdims=True)
    fade = np.exp(-nearest / (0.18 * face_height))
    target = share @ (gap + ellipsoid(border))
    return depth * (1 - fade) + np.where(below > 0, target, depth + share @ gap) * fade


def _torso(pixels: np.ndarray, face_pixels: np.ndarray) -> np.ndarray:
    """0 on the head, 1 from a fifth of a face below the chin on, and higher up beside the neck, where shoulders are."""
    up = face_pixels[10] - face_pixels[152]
    height = np.linalg.norm(up)
    up = up / height
    offset = (pixels - face_pixels[152]) / height
    below, beside = -offset @ up, np.abs(offset @ np.array([-up[1], up[0]]))
    higher = 0.5 * np.clip(beside - 0.35, 0, 0.5) * _smoothstep((below + 0.35) / 0.4)
    torso = _smoothstep((below + 0.05 + higher) / (0.2 + 0.3 * np.clip(beside - 0.5, 0, 1)))
    torso[: topo.N_POINTS] = 0
    return torso


def _follow(ring: np.ndarray, border: np.ndarray, face_pixels: np.ndarray) -> np.ndarray:
    """Only what lies right at the lower half of the face goes along with it: an opening jaw takes its skin with it."""
    up = face_pixels[10] - face_pixels[152]
    height = np.linalg.norm(up)
    distance = np.linalg.norm(ring[:, None] - border[None], axis=-1)
    nearest = distance.min(1, keepdims=True)
    share = np.exp(-0.5 * (distance / (0.5 * nearest + 0.06 * height)) ** 2)
    fade = np.exp(-0.5 * (nearest / (0.06 * height)) ** 2)
    below_nose = -((ring - face_pixels[2]) @ up)[:, None] / height**2
    return share / share.sum(1, keepdims=True) * fade * _smoothstep(below_nose / 0.2 + 0.3)


def _unproject(pixels: np.ndarray, depth: np.ndarray, margin: int) -> np.ndarray:
    """Camera-frame points (..., 3) at a depth under pixels (..., 2) of the wide crop."""
    normal = (1 - (2 * (pixels - margin) + 1) / IMAGE_SIZE) / FOCAL
    return np.concatenate([normal * depth[..., None], depth[..., None]], -1)


def _smoothstep(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)
