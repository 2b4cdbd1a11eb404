"""The triangles of the head: skull and neck, which no tracker sees, eyes and lips closed; and its graph Laplacian."""

from __future__ import annotations

import cv2
import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import laplacian
from scipy.spatial import Delaunay

from core.libs.flame_model import topology as topo
from tools.open_head.settings import SkullSettings

_SETTINGS = SkullSettings()


def skull_and_neck(
    template: np.ndarray, settings: SkullSettings = _SETTINGS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Skull and neck: vertices (S, 3), triangles, and how much each follows every face point's shape (S, 478)."""
    oval = np.array(topo.FACE_OVAL)
    border = template[oval]
    box = np.ptp(template[: topo.N_FACE], axis=0)
    radii = np.array(settings.radii) * box[[0, 1, 0]]
    centre = np.array([0.0, settings.centre[0] * box[1], settings.centre[1] * box[0]])
    n = len(oval)
    vertices, triangles = [], []
    share = []
    near = np.array(settings.neighbours)
    shifts = range(-(len(near) // 2), len(near) // 2 + 1)
    outwards = (border - centre) / radii
    outwards /= np.linalg.norm(outwards, axis=1, keepdims=True)
    back = np.array(settings.back) / np.linalg.norm(settings.back)
    angle = np.arccos(np.clip(outwards @ back, -1, 1))
    previous = oval
    for ring in range(1, settings.rings + 1):
        part = ring / (settings.rings + 1)
        # Along the great circle from the border of the face to the back of the head.
        along = (np.sin((1 - part) * angle)[:, None] * outwards + np.sin(part * angle)[:, None] * back) / np.sin(angle)[
            :, None
        ]
        on_ellipsoid = centre + radii * along
        blend = np.clip(part * settings.onto, 0, 1)
        start = border + (on_ellipsoid - centre - radii * outwards)
        vertices.append((1 - blend) * start + blend * on_ellipsoid)
        follow = np.zeros((n, topo.N_POINTS))
        for shift, weight in zip(shifts, near / near.sum(), strict=True):
            follow[np.arange(n), np.roll(oval, -shift)] += weight * (1 - part)
        share.append(follow)
        here = topo.N_POINTS + (ring - 1) * n + np.arange(n)
        triangles.append(_band(previous, here))
        previous = here
    vertices.append((centre + radii * back)[None])
    share.append(np.zeros((1, topo.N_POINTS)))
    pole = topo.N_POINTS + settings.rings * n
    triangles.append(np.stack([previous, np.roll(previous, -1), np.full(n, pole)], 1))

    m = settings.neck_sides
    around = np.linspace(0, 2 * np.pi, m, endpoint=False)
    top, height = template[152, 1] + settings.neck_top * box[1], settings.neck_height * box[1]
    base = pole + 1
    for ring in range(settings.neck_rings):
        y = top - height * ring / (settings.neck_rings - 1)
        radius = box[0] * (settings.neck_radius + settings.neck_widening * ring)
        depth = settings.neck_depth * box[0] + radius * np.cos(around)
        vertices.append(np.stack([radius * np.sin(around), np.full(m, y), depth], 1))
        share.append(np.zeros((m, topo.N_POINTS)))
        if ring:
            triangles.append(_band(base + (ring - 1) * m + np.arange(m), base + ring * m + np.arange(m)))
    return np.concatenate(vertices), np.concatenate(triangles), np.concatenate(share)


def _band(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Triangles between two closed rings of equal length."""
    a2, b2 = np.roll(a, -1), np.roll(b, -1)
    return np.concatenate([np.stack([a, a2, b], 1), np.stack([a2, b2, b], 1)])


def fill_holes(template: np.ndarray) -> np.ndarray:
    """Triangles over both eyes, irises included, and between the lips."""
    out = []
    for ring, iris in ((topo.RIGHT_EYE, topo.RIGHT_IRIS), (topo.LEFT_EYE, topo.LEFT_IRIS)):
        points = np.array([*ring, iris[0]])
        cells = points[Delaunay(template[points, :2]).simplices]
        out.append(_inside(cells, template, template[list(ring), :2]))
    lips = list(topo.INNER_LIPS)
    upper, lower = lips[:11], [lips[0], *lips[:9:-1]]
    strip = topo.ring_strip(upper, lower)
    out.append(np.array([t for t in strip if len(set(t)) == 3]))
    return np.concatenate(out)


def _inside(cells: np.ndarray, template: np.ndarray, ring: np.ndarray) -> np.ndarray:
    """Those of the triangles `cells` (N, 3) whose middle lies within a ring (K, 2), seen from the front."""
    middles = template[cells, :2].mean(1)
    polygon = ring.astype(np.float32)[:, None]
    return cells[[cv2.pointPolygonTest(polygon, (float(x), float(y)), False) > 0 for x, y in middles]]


def turned_outwards(triangles: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """The triangles wound so that their normals point away from the axis of head and neck."""
    a, b, c = (vertices[triangles[:, i]] for i in range(3))
    middle = (a + b + c) / 3
    inner = np.stack([0 * middle[:, 0], np.clip(middle[:, 1], -0.3, 0.2), np.full(len(middle), -0.15)], 1)
    low = middle[:, 1] < vertices[:, 1].min() * 0.8
    inner[low, 1] = middle[low, 1]
    wrong = np.einsum("ni,ni->n", np.cross(b - a, c - a), middle - inner) < 0
    out = triangles.copy()
    out[wrong] = out[wrong][:, ::-1]
    return out


def mesh_laplacian(triangles: np.ndarray, n: int) -> sp.csr_matrix:
    """The graph Laplacian (n, n) of the mesh; an iris hangs together by its centre."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    edges = np.concatenate([edges, [(i[0], j) for i in (topo.RIGHT_IRIS, topo.LEFT_IRIS) for j in i[1:]]])
    adjacency = sp.coo_matrix((np.ones(len(edges)), edges.T), (n, n)).tocsr()
    adjacency = ((adjacency + adjacency.T) > 0).astype(float)
    return laplacian(adjacency).tocsr()
