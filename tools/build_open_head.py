"""Builds `open_head.npz`: a head in FLAME's file layout over the tracker's mesh, with no licence to accept.

    python -m tools.build_open_head --data ../shared/data
    python -m tools.build_open_head --data ../shared/data --exclude obama --out build/open_head-obama.npz

What goes in are the tracker's points on faces of real people: expressions from the six clips of `CLIPS`, how people
differ from those and the 40 pictures of vfhq_demo. The benchmarks report on the same clips; `--exclude` makes a head
without one of them, for `benchmarks.self_reenactment --head`. What comes out holds only statistics of them: a mean
face, how faces differ (shape) and how they move (expression). Where the data run out, smooth harmonics of the mesh
complete the two bases. All directions are scaled to one standard deviation, so a code of 1 is as common in all of them.

Every set of points is first brought into the head frame (+x to the person's left, +y up, +z out of the face) by a
similarity fitted to points that expressions hardly move.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spl
from scipy.sparse.csgraph import laplacian
from scipy.spatial import Delaunay

from core.errors import UserError
from core.libs.flame_model import OPEN_HEAD
from core.libs.flame_model import topology as topo
from core.libs.geometry import fit_similarity

CLIPS = ("d0", "d10", "d13", "d19", "obama", "s18")  # of drivers/, that the built-in head's expressions are from
N_SHAPE, N_EXPRESSION = 300, 100
SCALE = 5.0  # head units per metre, FLAME's
FACE_WIDTH = 0.14  # metres between points 234 and 454
SKULL_RINGS, NECK_RINGS = 6, 3
EYEBALL_RADIUS = 0.012  # metres


def main() -> None:
    """Track the data, compute the statistics, write the asset."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with drivers/*.mp4 and vfhq_demo/img_lmdb")
    parser.add_argument("--out", type=Path, default=OPEN_HEAD, help="default: the file that comes with the program")
    about = "one of the clips to do without, as `obama`, so that it can be tested on; may be given more than once"
    parser.add_argument("--exclude", action="append", default=[], metavar="CLIP", help=about)
    arguments = parser.parse_args()
    if arguments.exclude and arguments.out == OPEN_HEAD:
        parser.error("--exclude makes a head for a test: say with --out where it goes")

    identities, clips = observe(arguments.data, arguments.exclude)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    head = build(identities, clips)
    np.savez_compressed(arguments.out, **head)
    print(f"{arguments.out}: {arguments.out.stat().st_size / 2**20:.2f} MiB, {len(head['v_template'])} vertices")


def clips_of(data: Path, exclude: Sequence[str] = ()) -> list[Path]:
    """The clips that a head is made of: `CLIPS` but those excluded by name.

    Raises:
        UserError: one of them is not there, an excluded one is none of them, or none is left.
    """
    unknown = sorted(set(exclude) - set(CLIPS))
    if unknown:
        raise UserError(f"--exclude {unknown[0]}: the head is made of {', '.join(CLIPS)}")
    kept = [data / "drivers" / f"{name}.mp4" for name in CLIPS if name not in exclude]
    if not kept:
        raise UserError("--exclude: no clip is left to make a head of")
    missing = [path for path in kept if not path.is_file()]
    if missing:
        raise UserError(f"{missing[0]} is not there: give the folder that holds drivers/ with --data")
    return kept


def observe(data: Path, exclude: Sequence[str] = ()) -> tuple[np.ndarray, list[np.ndarray]]:
    """Upright points of single pictures (N, 478, 3) and of clips [(T, 478, 3)], without those excluded by name."""
    import cv2
    import lmdb

    from core.data.video import VideoReader
    from core.libs.tracker.mediapipe_tracker import MediaPipeTracker

    paths = clips_of(data, exclude)
    tracker = MediaPipeTracker()
    singles = []
    with lmdb.open(str(data / "vfhq_demo/img_lmdb"), readonly=True, lock=False) as env, env.begin() as transaction:
        for _, value in transaction.cursor():
            found = tracker.detect(cv2.imdecode(np.frombuffer(value, np.uint8), cv2.IMREAD_COLOR)[..., ::-1].copy())
            if found is not None:
                singles.append(found.points)
    clips = []
    for path in paths:
        with VideoReader(path) as reader:
            tracker.reset()
            points = [found.points for frame in reader if (found := tracker.follow(frame.image)) is not None]
        clips.append(np.stack(points))
        print(f"{path.name}: {len(points)} frames")
    tracker.close()
    upright = np.array([1.0, -1.0, -1.0])
    return np.stack(singles) * upright, [clip * upright for clip in clips]


def build(identities: np.ndarray, clips: list[np.ndarray]) -> dict[str, np.ndarray]:
    """The asset's arrays from upright points."""
    clips = [_straighten(clip) for clip in clips]
    faces = np.concatenate([identities, [clip.mean(0) for clip in clips]])
    mirror = _mirror(_straighten(faces).mean(0))
    template = _place(_straighten(faces).mean(0), mirror)

    align = np.array(topo.STABLE)
    identities = _onto(faces, template, align)
    moves = []
    for clip in clips:
        clip = clip[:: max(1, len(clip) // 120)]
        mean = _onto(clip.mean(0)[None], template, align)[0]
        moves.append(_onto(clip, mean, align) - mean)
    moves = [move / np.sqrt(len(move)) for move in moves]  # every clip counts the same, however long
    moves = np.concatenate(moves) * np.sqrt(40)
    moves = np.concatenate([moves, _mirrored(moves, mirror)])

    surface = topo.tesselation()
    skull, skull_faces, share = _skull(template)
    vertices = np.concatenate([template, skull])
    holes = _fill_holes(template)
    triangles = _outwards(np.concatenate([surface, holes, skull_faces]), vertices)
    smoothness = _laplacian(np.concatenate([surface, holes]), topo.N_POINTS)

    weights = _skinning(vertices, smoothness)
    regressor = _joints(vertices)
    moves = _without_jaw(moves, template, weights, regressor @ vertices)
    expression = _expression_basis(moves, template, smoothness, mirror)
    shape = _shape_basis(identities - template, smoothness, mirror)

    directions = np.zeros((len(vertices), 3, N_SHAPE + N_EXPRESSION))
    directions[: topo.N_POINTS, :, :N_SHAPE] = shape
    directions[: topo.N_POINTS, :, N_SHAPE:] = expression
    directions[topo.N_POINTS :, :, :N_SHAPE] = np.einsum("sv,vkn->skn", share, shape)
    return {
        "f": triangles.astype(np.int32),
        "v_template": (vertices / SCALE).astype(np.float32),
        "shapedirs": (directions / SCALE).astype(np.float16),
        "posedirs": np.zeros((len(vertices), 3, 36), np.float16),
        "J_regressor": regressor.astype(np.float32),
        "kintree_table": np.array([[-1, 0, 1, 1, 1], [0, 1, 2, 3, 4]], np.int64),
        "weights": weights.astype(np.float32),
        "mirror": mirror.astype(np.int16),
    }


def _straighten(points: np.ndarray) -> np.ndarray:
    """Generalised Procrustes over the stable points: every set onto their common mean, (N, 478, 3)."""
    align = np.array(topo.STABLE)
    mean = points[0]
    for _ in range(10):
        out = _onto(points, mean, align)
        mean = out.mean(0)
    return out


def _onto(points: np.ndarray, target: np.ndarray, align: np.ndarray) -> np.ndarray:
    scale, rotation, shift = fit_similarity(points[:, align], target[align])
    return scale[:, None, None] * points @ rotation + shift[:, None]


def _mirror(mean: np.ndarray) -> np.ndarray:
    """For every point, the one on the other side of the face: (478,)."""
    flipped = mean * [-1, 1, 1]
    scale, rotation, shift = fit_similarity(flipped[None, [33, 263, 1, 152, 10]], mean[[263, 33, 1, 152, 10]])
    flipped = (scale[:, None, None] * flipped[None] @ rotation + shift[:, None])[0]
    for _ in range(5):
        mirror = np.linalg.norm(flipped[:, None] - mean[None], axis=-1).argmin(1)
        mutual = mirror[mirror] == np.arange(len(mean))
        scale, rotation, shift = fit_similarity(flipped[None, mutual], mean[mirror[mutual]])
        flipped = (scale[:, None, None] * flipped[None] @ rotation + shift[:, None])[0]
    mirror[list(topo.RIGHT_IRIS)], mirror[list(topo.LEFT_IRIS)] = topo.LEFT_IRIS, topo.RIGHT_IRIS
    # The border points of an iris run the other way round in the mirror.
    right, left = list(topo.RIGHT_IRIS), list(topo.LEFT_IRIS)
    for a in right[1:]:
        b = left[1 + int(np.linalg.norm(flipped[a] - mean[left[1:]], axis=-1).argmin())]
        mirror[a], mirror[b] = b, a
    if not (mirror[mirror] == np.arange(len(mean))).all():
        raise RuntimeError("the mesh has no mirror image: too few faces")
    return mirror


def _mirrored(moves: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    return moves[:, mirror] * [-1, 1, 1]


def _place(mean: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """The mean face made symmetric, upright, of metric size in head units, with the head's centre as the origin."""
    mean = mean - mean.mean(0)
    reflected = (mean * [-1, 1, 1])[mirror]
    scale, rotation, shift = fit_similarity(reflected[None], mean)
    mean = (mean + (scale[:, None, None] * reflected[None] @ rotation + shift[:, None])[0]) / 2
    left = mean[454] - mean[234]
    up = mean[10] - mean[152]
    x = left / np.linalg.norm(left)
    y = up - x * (x @ up)
    y /= np.linalg.norm(y)
    mean = mean @ np.stack([x, y, np.cross(x, y)], 1)
    mean = (mean + (mean * [-1, 1, 1])[mirror]) / 2
    mean *= FACE_WIDTH * SCALE / (mean[454, 0] - mean[234, 0])
    box = np.ptp(mean[: topo.N_FACE], axis=0)
    centre = (mean[: topo.N_FACE].max(0) + mean[: topo.N_FACE].min(0)) / 2
    # A head's centre lies above and behind the middle of its face.
    mean -= [0, centre[1] + 0.1 * box[1], mean[234, 2]]
    return mean


def _skull(template: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Skull and neck: vertices (S, 3), triangles, and how much each follows every face point's shape (S, 478)."""
    oval = np.array(topo.FACE_OVAL)
    border = template[oval]
    box = np.ptp(template[: topo.N_FACE], axis=0)
    radii = np.array([0.56 * box[0], 0.62 * box[1], 0.72 * box[0]])
    centre = np.array([0.0, 0.02 * box[1], -0.12 * box[0]])
    n = len(oval)
    vertices, triangles = [], []
    share = []
    outwards = (border - centre) / radii
    outwards /= np.linalg.norm(outwards, axis=1, keepdims=True)
    back = np.array([0.0, 0.1, -1.0]) / np.linalg.norm([0.0, 0.1, -1.0])
    angle = np.arccos(np.clip(outwards @ back, -1, 1))
    previous = oval
    for ring in range(1, SKULL_RINGS + 1):
        part = ring / (SKULL_RINGS + 1)
        # Along the great circle from the border of the face to the back of the head.
        along = (np.sin((1 - part) * angle)[:, None] * outwards + np.sin(part * angle)[:, None] * back) / np.sin(angle)[
            :, None
        ]
        on_ellipsoid = centre + radii * along
        blend = np.clip(part * 2.5, 0, 1)
        start = border + (on_ellipsoid - centre - radii * outwards)
        vertices.append((1 - blend) * start + blend * on_ellipsoid)
        follow = np.zeros((n, topo.N_POINTS))
        for shift, weight in zip(range(-3, 4), np.array([1, 2, 3, 4, 3, 2, 1]) / 16, strict=True):
            follow[np.arange(n), np.roll(oval, -shift)] += weight * (1 - part)
        share.append(follow)
        here = topo.N_POINTS + (ring - 1) * n + np.arange(n)
        triangles.append(_band(previous, here))
        previous = here
    vertices.append((centre + radii * back)[None])
    share.append(np.zeros((1, topo.N_POINTS)))
    pole = topo.N_POINTS + SKULL_RINGS * n
    triangles.append(np.stack([previous, np.roll(previous, -1), np.full(n, pole)], 1))

    m = 18
    around = np.linspace(0, 2 * np.pi, m, endpoint=False)
    top, height = template[152, 1] + 0.10 * box[1], 0.55 * box[1]
    base = pole + 1
    for ring in range(NECK_RINGS):
        y = top - height * ring / (NECK_RINGS - 1)
        radius = box[0] * (0.36 + 0.03 * ring)
        vertices.append(np.stack([radius * np.sin(around), np.full(m, y), -0.25 * box[0] + radius * np.cos(around)], 1))
        share.append(np.zeros((m, topo.N_POINTS)))
        if ring:
            triangles.append(_band(base + (ring - 1) * m + np.arange(m), base + ring * m + np.arange(m)))
    return np.concatenate(vertices), np.concatenate(triangles), np.concatenate(share)


def _band(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Triangles between two closed rings of equal length."""
    a2, b2 = np.roll(a, -1), np.roll(b, -1)
    return np.concatenate([np.stack([a, a2, b], 1), np.stack([a2, b2, b], 1)])


def _fill_holes(template: np.ndarray) -> np.ndarray:
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
    import cv2

    middles = template[cells, :2].mean(1)
    polygon = ring.astype(np.float32)[:, None]
    return cells[[cv2.pointPolygonTest(polygon, (float(x), float(y)), False) > 0 for x, y in middles]]


def _outwards(triangles: np.ndarray, vertices: np.ndarray) -> np.ndarray:
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


def _laplacian(triangles: np.ndarray, n: int) -> sp.csr_matrix:
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    edges = np.concatenate([edges, [(i[0], j) for i in (topo.RIGHT_IRIS, topo.LEFT_IRIS) for j in i[1:]]])
    adjacency = sp.coo_matrix((np.ones(len(edges)), edges.T), (n, n)).tocsr()
    adjacency = ((adjacency + adjacency.T) > 0).astype(float)
    return laplacian(adjacency).tocsr()


def _solve_harmonic(laplacian: sp.csr_matrix, fixed: dict[int, float]) -> np.ndarray:
    """The smoothest (biharmonic) field over the points that takes the given values."""
    n = laplacian.shape[0]
    known = np.array(list(fixed))
    free = np.setdiff1d(np.arange(n), known)
    smooth = (laplacian @ laplacian).tocsr()
    out = np.zeros(n)
    out[known] = list(fixed.values())
    out[free] = spl.spsolve(smooth[free][:, free].tocsc(), -smooth[free][:, known] @ out[known])
    return np.clip(out, 0, 1)


def _skinning(vertices: np.ndarray, laplacian: sp.csr_matrix) -> np.ndarray:
    """Weights (V, 5): root, neck, jaw, left eye, right eye."""
    lips, outer = topo.INNER_LIPS, topo.OUTER_LIPS
    still = [1, 2, 168, 6, 4, 10, 33, 133, 362, 263, 234, 454, 127, 356, 94, 93, 323, 117, 346, 205, 425, 98, 327]
    fixed = dict.fromkeys([*still, *lips[1:10], *outer[1:10], *topo.RIGHT_EYE, *topo.LEFT_EYE], 0.0)
    fixed |= dict.fromkeys([*lips[11:], *outer[11:], *topo.CHIN, 136, 365], 1.0)
    fixed |= dict.fromkeys([lips[0], lips[10], outer[0], outer[10]], 0.45)
    fixed |= dict.fromkeys([132, 361], 0.25)
    jaw = _solve_harmonic(laplacian, fixed)
    weights = np.zeros((len(vertices), 5))
    weights[: topo.N_POINTS, 2] = jaw
    n = len(topo.FACE_OVAL)
    for ring in range(SKULL_RINGS):
        part = (ring + 1) / (SKULL_RINGS + 1)
        weights[topo.N_POINTS + ring * n :][:n, 2] = jaw[list(topo.FACE_OVAL)] * max(0, 1 - 1.6 * part)
    weights[list(topo.LEFT_IRIS)] = [0, 0, 0, 1, 0]
    weights[list(topo.RIGHT_IRIS)] = [0, 0, 0, 0, 1]
    neck_start = topo.N_POINTS + SKULL_RINGS * n + 1
    fade = np.linspace(0.3, 0, NECK_RINGS).repeat((len(vertices) - neck_start) // NECK_RINGS)
    weights[neck_start:, 1] = fade
    weights[:neck_start, 1] = 1 - weights[:neck_start, 2:].sum(1)
    weights[:, 0] = 1 - weights[:, 1:].sum(1)
    return weights


def _joints(vertices: np.ndarray) -> np.ndarray:
    """Regressor (5, V). The jaw turns about the ears' line; an eyeball's centre lies one radius behind its surface."""
    out = np.zeros((5, len(vertices)))
    neck = np.arange(len(vertices) - NECK_RINGS * 18, len(vertices)).reshape(NECK_RINGS, 18)
    out[0, neck[-1]] = 1 / 18
    out[1, neck[0]] = 1 / 18
    out[2, [234, 454]] = 0.5
    back = len(vertices) - NECK_RINGS * 18 - 1  # the pole of the skull
    for joint, side in ((3, "left"), (4, "right")):
        corners = list(topo.EYE_CORNERS[side])
        middle = vertices[corners].mean(0)
        share = EYEBALL_RADIUS * 0.8 * SCALE / (middle[2] - vertices[back, 2])
        out[joint, corners] = (1 - share) / 2
        out[joint, back] = share
    return out


def _without_jaw(moves: np.ndarray, template: np.ndarray, weights: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Moves less what a turn of the jaw explains, as `fit.jaw_angle` finds it, and less the eyeballs' turns."""
    from core.libs.flame_model.jaw import jaw_angle, rotate_about_x

    out = moves.copy()
    w = weights[: topo.N_POINTS, 2]
    angle = jaw_angle(template + moves, template, joints[2])
    turned = rotate_about_x(template[None] - joints[2], angle) + joints[2]
    out -= w[None, :, None] * (turned - template)
    out[:, topo.N_FACE :] = 0
    return out


def _region_windows(template: np.ndarray) -> dict[str, np.ndarray]:
    """A weight in 0..1 for every point and region: 1 on the region's points, fading over a fifth of the face."""
    groups = {
        "eyes": (*topo.RIGHT_EYE, *topo.LEFT_EYE),
        "mouth": (*topo.INNER_LIPS, *topo.OUTER_LIPS),
        "brows": (*topo.RIGHT_BROW, *topo.LEFT_BROW),
        "nose": topo.NOSE,
        "cheeks": (50, 280, 205, 425, 187, 411, 147, 376, 58, 288, 172, 397, 136, 365, 150, 379, 152, 192, 416),
    }
    reach = {"eyes": 0.05, "mouth": 0.07, "brows": 0.06, "nose": 0.05, "cheeks": 0.13}
    out = {}
    for name, points in groups.items():
        distance = np.linalg.norm(template[:, None] - template[None, list(points)], axis=-1).min(1)
        window = np.exp(-0.5 * (distance / reach[name]) ** 2)
        window[window < 0.02] = 0
        window[topo.N_FACE :] = 0
        out[name] = window
    return out


def _harmonics(laplacian: sp.csr_matrix, count: int) -> np.ndarray:
    """The `count` smoothest eigenvectors of the mesh, (478, count); signs fixed so that builds agree."""
    _, vectors = np.linalg.eigh(laplacian.toarray())
    vectors = vectors[:, :count]
    return vectors * np.sign(vectors[np.abs(vectors).argmax(0), np.arange(count)])


def _principal(moves: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal directions (D, count) and their standard deviations, largest first."""
    flat = moves.reshape(len(moves), -1)
    values, vectors = np.linalg.eigh(flat.T @ flat / len(flat))
    order = np.argsort(values)[::-1][:count]
    vectors = vectors[:, order]
    vectors *= np.sign(vectors[np.abs(vectors).argmax(0), np.arange(count)])
    return vectors, np.sqrt(np.maximum(values[order], 0))


def _complete(basis: np.ndarray, candidates: np.ndarray, count: int) -> np.ndarray:
    """Up to `count` orthonormal directions of the candidates' span outside that of `basis`, in the given order."""
    out: list[np.ndarray] = []
    for column in candidates.T:
        rest = column.copy()
        for _ in range(2):  # twice is enough (Kahan)
            for known in (basis, *([np.stack(out, 1)] if out else [])):
                rest -= known @ (known.T @ rest)
        norm = np.linalg.norm(rest)
        if norm > 0.2 * np.linalg.norm(column):
            out.append(rest / norm)
        if len(out) == count:
            break
    return np.stack(out, 1)


def _fields(scalars: np.ndarray) -> np.ndarray:
    """Scalar fields (478, n) as displacement fields along each axis, (3 * 478, 3 n), smoothest first."""
    n = scalars.shape[1]
    out = np.zeros((len(scalars), 3, n, 3))
    for axis in range(3):
        out[:, axis, :, axis] = scalars
    return out.reshape(len(scalars) * 3, -1)


def _expression_basis(
    moves: np.ndarray, template: np.ndarray, laplacian: sp.csr_matrix, mirror: np.ndarray
) -> np.ndarray:
    """(478, 3, 100). Whole-face directions first; each region then describes what those leave of it."""
    windows = _region_windows(template)
    harmonics = _harmonics(laplacian, 60)
    size = topo.N_POINTS
    out = np.zeros((size, 3, N_EXPRESSION))
    start, stop = topo.REGIONS["global"]
    whole, deviation = _principal(moves, stop - start)
    out[..., start:stop] = (whole * deviation).reshape(size, 3, -1)
    flat = moves.reshape(len(moves), -1)
    rest = (flat - flat @ whole @ whole.T).reshape(moves.shape)
    for name in ("mouth", "eyes", "brows", "nose", "cheeks"):
        start, stop = topo.REGIONS[name]
        count, window = stop - start, windows[name]
        local = rest * window[None, :, None]
        # Data first, as far as it is more than the tracker's noise; then smooth fields under the window.
        n_data = round(0.8 * count)
        directions, deviation = _principal(local, n_data)
        candidates = _fields(harmonics * window[:, None])
        candidates /= np.maximum(np.linalg.norm(candidates, axis=0), 1e-9)
        fill = _complete(directions, candidates, count - n_data)
        basis = np.concatenate([directions * deviation, fill * deviation[-1]], 1)
        out[..., start:stop] = basis.reshape(size, 3, -1)
        seen = rest.reshape(len(rest), -1)
        known = directions
        rest = (seen - seen @ known @ known.T).reshape(rest.shape)
    return out


def _shape_basis(differences: np.ndarray, laplacian: sp.csr_matrix, mirror: np.ndarray) -> np.ndarray:
    """(478, 3, 300): how the observed faces differ, completed by smooth fields of falling size."""
    both = np.concatenate([differences, _mirrored(differences, mirror)])
    n_data = 40
    directions, deviation = _principal(both, n_data)
    candidates = _fields(_harmonics(laplacian, 150))
    fill = _complete(directions, candidates, N_SHAPE - n_data)
    falling = deviation[-1] * (1 + np.arange(fill.shape[1]) / 60.0) ** -1
    return np.concatenate([directions * deviation, fill * falling], 1).reshape(topo.N_POINTS, 3, N_SHAPE)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
