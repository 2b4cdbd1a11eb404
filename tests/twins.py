"""Slow and obvious forms of the compiled kernels, which the tests hold the kernels to."""

from __future__ import annotations

import numpy as np
from filterpy.kalman import KalmanFilter
from scipy.spatial.transform import Rotation

from core.models.LiftedAvatar.binding import Role


def rasterize_mesh(
    pixels: np.ndarray, depth: np.ndarray, triangles: np.ndarray, side: int
) -> tuple[np.ndarray, np.ndarray]:
    """Front triangle (side, side), -1 where none, and perspective-correct barycentric weights (side, side, 3)."""
    face = np.full((side, side), -1)
    weights = np.zeros((side, side, 3))
    for y in range(side):
        for x in range(side):
            nearest = np.inf
            for f, corners in enumerate(triangles):
                system = np.vstack([pixels[corners].T, np.ones(3)])
                if abs(np.linalg.det(system)) < 1e-9:
                    continue
                in_picture = np.linalg.solve(system, [x, y, 1])
                if (in_picture < -1e-7).any():
                    continue
                over_depth = in_picture / depth[corners]
                z = 1 / over_depth.sum()
                if z < nearest:
                    nearest, face[y, x], weights[y, x] = z, f, over_depth * z
    return face, weights


def composite(image: np.ndarray, background: np.ndarray) -> np.ndarray:
    """(H, W, 4) over a colour; a pixel of alpha below .6 between two opaque ones, 1 or 2 away, takes their mean."""
    height, width, _ = image.shape
    steps = [(1, 0), (0, 1), (1, 1), (1, -1), (2, 0), (0, 2), (1, 2), (2, 1)]  # x, y; the first that fits is taken
    out = np.empty((height, width, 3))
    for y in range(height):
        for x in range(width):
            pixel = image[y, x].astype(np.float64)
            for dx, dy in steps if pixel[3] < 0.6 else []:
                ends = [(y - dy, x - dx), (y + dy, x + dx)]
                if not all(0 <= r < height and 0 <= c < width for r, c in ends):
                    continue
                if all(image[r, c, 3] > 0.9 for r, c in ends):
                    pixel = np.mean([image[r, c] for r, c in ends], 0)
                    break
            alpha = np.clip(pixel[3], 0, 1)
            out[y, x] = np.clip(pixel[:3], 0, 1) * alpha + background * (1 - alpha)
    return out


def interpolate_vertices(points: np.ndarray, corners: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Values of vertices (M, C) at pixels, by the corners and the barycentric weights (S, S, 3) of each: (S, S, C)."""
    return np.einsum("yxk,yxkc->yxc", weights, points[corners])


def rts_smoother(z: np.ndarray, valid: np.ndarray, scale: np.ndarray, ratio: float) -> np.ndarray:
    """One series (T,) after filterpy's Kalman filter and its Rauch-Tung-Striebel smoother; measurement noise 1.

    Constant velocity, process noise ratio times scale (T,); diffuse at the first frame, about its first valid value.
    """
    model = KalmanFilter(dim_x=2, dim_z=1)
    model.F, model.H, model.R = np.array([[1.0, 1], [0, 1]]), np.array([[1.0, 0]]), np.eye(1)
    model.x, model.P = np.array([[z[np.argmax(valid)]], [0.0]]), np.diag([1e5, 1e3 + 10 * ratio])
    noises = [ratio * s * np.array([[1 / 3, 1 / 2], [1 / 2, 1]]) for s in scale]
    means, covariances = [], []
    for t, value in enumerate(z):
        if t:
            model.predict(Q=noises[t])
        model.update(value if valid[t] else None)
        means.append(model.x.copy())
        covariances.append(model.P.copy())
    smoothed = model.rts_smoother(np.array(means), np.array(covariances), Qs=noises)[0]
    return smoothed[:, 0, 0]


def innovations(z: np.ndarray, seen: np.ndarray, scale: np.ndarray, ratio: float) -> tuple[float, float, int]:
    """Of one series (T,): sum of log variances, of squares over variances, and number of its innovations.

    The constant-velocity Kalman filter in matrices, measurement noise 1, process noise ratio times scale (T,). The
    first value seen is taken as it is, with velocity unknown, and the second is not counted.
    """
    F, H = np.array([[1.0, 1], [0, 1]]), np.array([[1.0, 0]])
    state, P = np.zeros(2), None
    logs = squares = 0.0
    met = 0
    for t in range(len(z)):
        if P is not None:
            state = F @ state
            P = F @ P @ F.T + min(ratio * scale[t], 1e9) * np.array([[1 / 3, 1 / 2], [1 / 2, 1]])
        if not seen[t]:
            continue
        if P is None:
            state, P = np.array([z[t], 0.0]), np.diag([1.0, 1e3 + 10 * ratio])
        else:
            S = float((H @ P @ H.T)[0, 0]) + 1
            innovation = z[t] - state[0]
            if met > 1:
                logs += np.log(S)
                squares += innovation**2 / S
            gain = P @ H.T / S
            state = state + gain[:, 0] * innovation
            P = (np.eye(2) - gain @ H) @ P
        met += 1
    return logs, squares, met - 2


def update_gaussians(
    points,
    triangles,
    n_mesh,
    jacobian,
    sigma,
    pixels_per_unit,
    face,
    bary_coords,
    role,
    fade_exponent,
    need,
    fringe,
    all_photo,
    inpaint_weight,
    blend,
):
    """Centres (N, 3), covariances (N, 6) and opacities (N,) of Gaussians on a moved mesh; arguments as the kernel's.

    blend: `BindingSettings`.
    """
    J = np.einsum("fki,fka->fia", points[triangles], jacobian)  # d point / d pixel of the photo
    covariance = sigma**2 * J @ J.transpose(0, 2, 1)
    first = points[triangles[:, 0]].astype(float)
    seen = J[:, :2] - first[:, :2, None] / first[:, 2:, None] * J[:, 2:]  # d (x, y) of its picture, times the distance
    stretch = np.linalg.svd(seen, compute_uv=False)[:, 0] * pixels_per_unit / first[:, 2]
    cut = np.minimum(1, blend.longest / np.maximum(stretch, 1e-12)) ** 2
    covariance *= cut[:, None, None]
    clear = 1 / (1 + (stretch / blend.smeared_at) ** 6)
    share = np.ones(len(points))
    for v in range(len(points)):
        around = [np.minimum(stretch[:n_mesh][triangles[:n_mesh, k] == v], blend.longest) for k in range(3)]
        around = np.concatenate(around)
        if len(around) and not all_photo[v]:
            share[v] = 1 / (1 + (around.mean() / blend.blend_at) ** 6)
    corners = triangles[face]
    xyz = np.einsum("nk,nkc->nc", bary_coords, points[corners])
    photo = np.einsum("nk,nk->n", bary_coords, share[corners])
    opacity = np.empty(len(face))
    for g, kind in enumerate(role):
        if kind == Role.SOLID:
            opacity[g] = 1
        elif kind == Role.FADING:
            opacity[g] = (photo[g] * clear[face[g]]) ** fade_exponent[g]
        elif kind == Role.INPAINTED:
            least = inpaint_weight * need[g]
            opacity[g] = least + (1 - least) * (1 - photo[g])
        else:
            opacity[g] = fringe[kind - Role.LEFT_FRINGE]
    opacity[opacity < blend.faint] = 0
    i, j = np.array([(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]).T
    return xyz, covariance[face][:, i, j], opacity


def pose_residuals(
    step: np.ndarray, rotation: np.ndarray, shift: np.ndarray, person: np.ndarray, rays: np.ndarray
) -> np.ndarray:
    """(N, 2) how far points are seen from where a pose puts them, across the line of sight at the head's distance.

    step (6,): a rotation vector about the camera's axes, then a shift, from the pose (3, 3), (3,) of row vectors.
    """
    q = person @ rotation @ Rotation.from_rotvec(step[:3]).as_matrix().T + shift + step[3:]
    return (q[:, :2] / q[:, 2:] - rays) * (shift + step[3:])[2]
