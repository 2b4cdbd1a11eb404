"""The proxy mesh of a tracked photo: the face's mesh, continued over hair, neck and shoulders.

It covers the whole crop. Inside the face it is the tracker's mesh; around it, points on a regular grid are joined to
the face's border by a Delaunay triangulation, at the depth of a head ellipsoid that is bent to meet the border. Being
in one piece it stretches where a turning head would tear it, so that it has no holes to fill.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from core.libs.flame_model import topology as topo
from core.libs.geometry import Camera, to_camera
from core.libs.numeric import smoothstep

_FOREHEAD, _CHIN, _BELOW_NOSE = 10, 152, 2  # the tracker's points


@dataclass(frozen=True)
class ProxySettings:
    """Shape of the surroundings. All by eye on the development photos; heights and widths are the face's.

    Attributes:
        grid: pixels of a 512-pixel picture between the points of the surroundings.
        radii: of the head's ellipsoid, in widths, heights and widths. centre: of it
            from the middle of the face.
        loop: distance of the points that lie close around the face, heights. least_away: of them, so that they are
            outside a border that is not convex.
        clearance: of the grid from the border, heights. clearance_steps: steps of the grid, beside that.
        falls_back: slope at which the surface goes on behind the ellipsoid's silhouette. falls_back_most: head units.
        neck_depth: of the neck behind the ellipsoid's centre, widths. neck_fade: heights over which it takes over.
        neck_starts: share of that, above the chin.
        meets: heights over which the ellipsoid is bent to meet the border. softness: of the average along the border.
        border_reach: heights over which the surroundings follow the border. border_average: of a point's distance, as
            far as it looks along the border. follows_below: heights below the nose over which they begin to follow it.
            follows_starts: share of that, above it.
        torso_starts: heights above the chin at which the shoulders' weight begins. torso_blend: heights over which it
            becomes 1. torso_widens: the same for a height farther beside the neck than `torso_beside`, up to one.
        shoulders_beside: heights beside the neck from where on the weight begins higher up. shoulders_rise: by so much
            for a height, over at most `shoulders_reach` of them; only below `shoulders_below` heights above the chin,
            fully so from `shoulders_blend` below that.
    """

    grid: float = 20.0
    radii: tuple[float, float, float] = (0.58, 0.67, 0.60)
    centre: tuple[float, float, float] = (0.0, 0.10, -0.18)
    loop: float = 0.05
    least_away: float = 0.02
    clearance: float = 0.06
    clearance_steps: float = 0.6
    falls_back: float = 0.25
    falls_back_most: float = 1.0
    neck_depth: float = 0.28
    neck_fade: float = 0.25
    neck_starts: float = 0.3
    meets: float = 0.18
    softness: float = 0.06
    border_reach: float = 0.06
    border_average: float = 0.5
    follows_below: float = 0.2
    follows_starts: float = 0.3
    torso_starts: float = 0.05
    torso_blend: float = 0.2
    torso_widens: float = 0.3
    torso_beside: float = 0.5
    shoulders_beside: float = 0.35
    shoulders_rise: float = 0.5
    shoulders_reach: float = 0.5
    shoulders_below: float = 0.35
    shoulders_blend: float = 0.4


_DEFAULT = ProxySettings()


@dataclass(frozen=True)
class ProxyMesh:
    """The surface of one picture's person in their own pose.

    Attributes:
        points: (M, 3) in the camera frame; the first 478 are the tracker's.
        pixels: (M, 2) in the wide crop.
        triangles: (F, 3) int32.
        torso_weights: (M,) in 0..1, how much a point belongs to the shoulders and not to the head.
        border_weights: (M - 478, 36), how much a point of the surroundings takes part in the moves of each point of
            the face's border.
    """

    points: np.ndarray
    pixels: np.ndarray
    triangles: np.ndarray
    torso_weights: np.ndarray
    border_weights: np.ndarray


def build_proxy_mesh(
    vertices: np.ndarray,  # (V, 3) head space, the tracker's points first
    transform: np.ndarray,  # (3, 4)
    faces: np.ndarray,  # (F, 3)
    camera: Camera | None = None,
    margin: int = 0,
    settings: ProxySettings = _DEFAULT,
) -> ProxyMesh:
    """The proxy mesh of a picture.

    Args:
        vertices: (V, 3) of the head as in the picture. transform: (3, 4) head to camera. faces: (F, 3) of the head.
        camera: of the shown crop; None: the usual one. margin: pixels that the wide crop has more on every side.
        settings: see `ProxySettings`.
    """
    from scipy.spatial import Delaunay  # a run that finds its avatar does without it

    camera = camera or Camera()
    face = to_camera(vertices[: topo.N_POINTS].astype(np.float64), transform.astype(np.float64))
    for lids, iris in ((topo.RIGHT_EYE, topo.RIGHT_IRIS), (topo.LEFT_EYE, topo.LEFT_IRIS)):
        face[iris[0]] = face[list(lids)].mean(0)  # the middle of the eye, wherever it looks
    face_pixels = camera.to_pixels(face) + margin
    face_triangles = faces[(faces < topo.N_POINTS).all(1)]

    oval = np.array(topo.FACE_OVAL)
    border = face_pixels[oval]
    ring = _surroundings(border, camera.size + 2 * margin, settings.grid * camera.scale, settings)
    both = np.concatenate([border, ring])
    cells = Delaunay(both).simplices
    outline = border.astype(np.float32)[:, None]
    middles = both[cells].mean(1)
    outside = np.array([cv2.pointPolygonTest(outline, (float(x), float(y)), False) <= 0 for x, y in middles])
    n = len(oval)
    index = np.concatenate([oval, topo.N_POINTS + np.arange(len(ring))])
    joined = index[cells[outside & ~(cells < n).all(1)]]

    depth = _depth(ring, border, face, vertices, transform, camera, margin, settings)
    points = np.concatenate([face, _at_depth(camera, ring - margin, depth)])
    pixels = np.concatenate([face_pixels, ring])
    return ProxyMesh(
        points=points,
        pixels=pixels,
        triangles=np.concatenate([face_triangles, joined]).astype(np.int32),
        torso_weights=_torso_weights(pixels, face_pixels, settings),
        border_weights=_border_weights(ring, border, face_pixels, settings),
    )


def _surroundings(border: np.ndarray, side: int, step: float, settings: ProxySettings) -> np.ndarray:
    """Points (S, 2) outside the face: a loop close around it, then a grid over the crop and a little beyond."""
    centre = border.mean(0)
    outline = border.astype(np.float32)[:, None]
    height = np.ptp(border[:, 1])
    axis = np.arange(-step, side + step + 1, step, dtype=np.float64)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    distance = -np.array([cv2.pointPolygonTest(outline, (float(x), float(y)), True) for x, y in grid])
    grid = grid[distance > settings.clearance_steps * step + settings.clearance * height]
    outwards = border - centre
    outwards /= np.linalg.norm(outwards, axis=1, keepdims=True)
    near = border + outwards * (settings.loop * height)
    away = -np.array([cv2.pointPolygonTest(outline, (float(x), float(y)), True) for x, y in near])
    return np.concatenate([near[away > settings.least_away * height], grid])


def _depth(
    ring: np.ndarray,  # (S, 2) pixels of the wide crop
    border: np.ndarray,  # (36, 2) of the face
    face: np.ndarray,  # (478, 3) camera frame
    vertices: np.ndarray,  # (V, 3) head space
    transform: np.ndarray,  # (3, 4)
    camera: Camera,
    margin: int,
    settings: ProxySettings,
) -> np.ndarray:
    """Depth in the camera frame of the surroundings, (S,)."""
    at_rest = vertices[: topo.N_FACE]
    low, high = at_rest.min(0), at_rest.max(0)
    width, height = high[0] - low[0], high[1] - low[1]
    box = np.array([width, height, width])
    centre = np.array([0.0, (low[1] + high[1]) / 2, 0.0]) + box * np.array(settings.centre)
    centre = to_camera(centre[None], transform)[0]
    radii = box * np.array(settings.radii)
    rotation = transform[:, :3]
    quadric = rotation.T @ np.diag(1 / radii**2) @ rotation  # of camera-frame offsets

    def ellipsoid(pixels: np.ndarray) -> np.ndarray:
        plane = _at_depth(camera, pixels - margin, np.full(len(pixels), centre[2]))
        x, y = plane[:, :2].T - centre[:2, None]
        a = quadric[2, 2]
        b = quadric[0, 2] * x + quadric[1, 2] * y
        c = quadric[0, 0] * x * x + 2 * quadric[0, 1] * x * y + quadric[1, 1] * y * y - 1
        inside = np.maximum(b * b - a * c, 0)
        beyond = np.sqrt(np.maximum(c, 0)) * radii[2]  # behind the silhouette the surface falls back slowly
        return (
            centre[2]
            + (-b - np.sqrt(inside)) / a
            + settings.falls_back * np.minimum(beyond, settings.falls_back_most) * (inside == 0)
        )

    depth = ellipsoid(ring)
    # Below the jaw lies the neck, behind the chin and about as deep as the ears' line.
    face_height = np.ptp(border[:, 1])
    chin = border[:, 1].max()
    below = smoothstep((ring[:, 1] - chin) / (settings.neck_fade * face_height) + settings.neck_starts, 0, 1)
    neck = centre[2] - settings.neck_depth * width
    depth = depth * (1 - below) + neck * below
    # Bend the surface to meet the border of the face.
    gap = face[list(topo.FACE_OVAL), 2] - ellipsoid(border)
    distance = np.linalg.norm(ring[:, None] - border[None], axis=-1)
    nearest = distance.min(1)
    share = np.exp(-0.5 * (distance / (nearest[:, None] + settings.softness * face_height)) ** 2)
    share /= share.sum(1, keepdims=True)
    fade = np.exp(-nearest / (settings.meets * face_height))
    target = share @ (gap + ellipsoid(border))
    return depth * (1 - fade) + np.where(below > 0, target, depth + share @ gap) * fade


def _torso_weights(pixels: np.ndarray, face_pixels: np.ndarray, settings: ProxySettings) -> np.ndarray:
    """(M,) of pixels (M, 2): 0 on the head, 1 from a fifth of a face below the chin on, higher beside the neck."""
    up = face_pixels[_FOREHEAD] - face_pixels[_CHIN]
    height = np.linalg.norm(up)
    up = up / height
    offset = (pixels - face_pixels[_CHIN]) / height
    below, beside = -offset @ up, np.abs(offset @ np.array([-up[1], up[0]]))
    low = smoothstep((below + settings.shoulders_below) / settings.shoulders_blend, 0, 1)
    rise = settings.shoulders_rise * np.clip(beside - settings.shoulders_beside, 0, settings.shoulders_reach) * low
    blend = settings.torso_blend + settings.torso_widens * np.clip(beside - settings.torso_beside, 0, 1)
    weights = smoothstep((below + settings.torso_starts + rise) / blend, 0, 1)
    weights[: topo.N_POINTS] = 0
    return weights


def _border_weights(
    ring: np.ndarray, border: np.ndarray, face_pixels: np.ndarray, settings: ProxySettings
) -> np.ndarray:
    """(S, 36) how much each point (S, 2) of the surroundings follows each one of the face's border (36, 2).

    Only what lies right at the lower half of the face does: an opening jaw takes its skin along.
    """
    up = face_pixels[_FOREHEAD] - face_pixels[_CHIN]
    height = np.linalg.norm(up)
    reach = settings.border_reach * height
    distance = np.linalg.norm(ring[:, None] - border[None], axis=-1)
    nearest = distance.min(1, keepdims=True)
    share = np.exp(-0.5 * (distance / (settings.border_average * nearest + reach)) ** 2)
    fade = np.exp(-0.5 * (nearest / reach) ** 2)
    below_nose = -((ring - face_pixels[_BELOW_NOSE]) @ up)[:, None] / height**2
    return (
        share
        / share.sum(1, keepdims=True)
        * fade
        * smoothstep(below_nose / settings.follows_below + settings.follows_starts, 0, 1)
    )


def _at_depth(camera: Camera, pixels: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Camera-frame points (..., 3) at a depth (...,) under pixels (..., 2) of the shown crop."""
    return np.concatenate([camera.unproject(pixels) * depth[..., None], depth[..., None]], -1)
