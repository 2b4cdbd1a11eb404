"""Gaussians bound to triangles of the proxy mesh, and where the moved mesh takes them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numba
import numpy as np
from numba import njit

from core.models.rasterizer.compiled import FASTMATH
from core.models.rasterizer.footprints import WIDE


class Role(IntEnum):
    """What decides the weight of a Gaussian. The photo's share is 1 where the mesh lies as in the photo, and falls to 0
    where its triangles open to the view.
    """

    SOLID = 0  # weighs 1
    FADING = 1  # the photo's share, to the power of its fade exponent
    INPAINTED = 2  # what the photo's share leaves, and a little before
    LEFT_FRINGE = 3  # a silhouette fringe, left in the picture: goes as one, see `FringeWeights`
    RIGHT_FRINGE = 4


@dataclass(frozen=True)
class BindingSettings:
    """How weights follow the stretch of triangles, which is the number of the photo's pixels, along the longer axis,
    that one of its pixels is drawn over. By eye on the development clips.

    Attributes:
        longest: stretch that Gaussians follow at most.
        blend_at: mean stretch around a vertex at which photo and inpainting weigh the same.
        smeared_at: stretch of its own triangle at which a Gaussian of the photo has half its weight left.
        faint: weight below which a Gaussian is left out; a covered pixel has a sum of about 2.
        fringe_exponent: power of the photo's share along a silhouette in the weight of its fringe.
    """

    longest: float = 12.0
    blend_at: float = 4.2
    smeared_at: float = 6.0
    faint: float = 0.001
    fringe_exponent: float = 30.0


SETTINGS = BindingSettings()
# The kernel takes these as compile-time constants, as it always has: arguments in their place would round otherwise.
_LONGEST, _BLEND_AT = SETTINGS.longest, SETTINGS.blend_at
_SMEARED_AT, _FAINT = SETTINGS.smeared_at, SETTINGS.faint
_FADING, _INPAINTED, _LEFT_FRINGE = (int(role) for role in (Role.FADING, Role.INPAINTED, Role.LEFT_FRINGE))


@dataclass(frozen=True)
class Binding:
    """N Gaussians on the F triangles of a proxy mesh of M points, of which G are inpainted too.

    Attributes:
        triangles: (F + G, 3) int32 those of the mesh, then the inpainted ones again.
        n_mesh: F.
        jacobian: (F + G, 3, 2) float32 d(barycentric coordinates) / d(x, y) in pixels of the photo.
        face: (N,) int32 the triangle that a Gaussian lies on. bary_coords: (N, 3) float32 where.
        role: (N,) int8, see `Role`.
        fade_exponent: (N,) float32 at least 1, of those that fade.
        need: (N,) float32 in 0..1, of inpainted ones: how little the photo shows there.
        silhouette: (M,) int8, the role of the fringe beside whose silhouette a point lies; 0 for all others.
        all_photo: (M,) bool, points of the face that no inpainting surrounds: there the photo's share stays 1.
    """

    triangles: np.ndarray
    n_mesh: int
    jacobian: np.ndarray
    face: np.ndarray
    bary_coords: np.ndarray
    role: np.ndarray
    fade_exponent: np.ndarray
    need: np.ndarray
    silhouette: np.ndarray
    all_photo: np.ndarray

    def __len__(self) -> int:
        return len(self.face)

    @cached_property
    def groups(self) -> Groups:
        """The Gaussians in groups of what they share."""
        return Groups.of(self)


@dataclass(frozen=True)
class Groups:
    """N Gaussians in K groups that share a triangle and a role, and how these are cut into tasks.

    Attributes:
        face, role: (K,) int32, int8. powered: (K,) bool, whether they fade by exponents other than 1.
        begins: (K + 1,) int64 where a group begins in the next three, and N. tasks: (T + 1,) int64 the first group of
            each task, and K.
        second, third: (N + WIDE,) float32 two of the barycentric coordinates. own: (N + WIDE,) float32 the fade
            exponent, or how much an inpainted one is needed.
        order: (N,) int64 which Gaussians these are.
    """

    face: np.ndarray
    role: np.ndarray
    powered: np.ndarray
    begins: np.ndarray
    tasks: np.ndarray
    second: np.ndarray
    third: np.ndarray
    own: np.ndarray
    order: np.ndarray

    @classmethod
    def of(cls, binding: Binding, task: int = 2048) -> Groups:
        """Of a binding; `task`: Gaussians of a task, about."""
        fades = (binding.role == Role.FADING) & (binding.fade_exponent > 1)
        kind = (binding.face * len(Role) + binding.role) * 2 + fades
        order = np.argsort(kind, kind="stable")
        kind = kind[order]
        firsts = np.flatnonzero(np.diff(kind, prepend=-1))
        begins = np.append(firsts, len(order))
        tasks = np.flatnonzero(np.diff(firsts // task, prepend=-1))
        own = np.where(binding.role == Role.INPAINTED, binding.need, binding.fade_exponent)
        bary, room = binding.bary_coords[order], (0, WIDE)
        return cls(
            face=(kind[firsts] // (2 * len(Role))).astype(np.int32),
            role=(kind[firsts] // 2 % len(Role)).astype(np.int8),
            powered=kind[firsts] % 2 > 0,
            begins=begins.astype(np.int64),
            tasks=np.append(tasks, len(firsts)).astype(np.int64),
            second=np.pad(bary[:, 1], room),
            third=np.pad(bary[:, 2], room),
            own=np.pad(own[order], room),
            order=order.astype(np.int64),
        )


@njit(inline="always", fastmath=FASTMATH, error_model="numpy")
def weigh(role, share, smear, need, fringe, least):
    """The weight of a Gaussian whose photo has a `share`; before the fade exponent, which one that fades has.

    All numbers are float32, or `share` and `need` those of sixteen Gaussians of a role as vectors (`_simd`).
    """
    one, zero = np.float32(1), np.float32(0)
    weight = share * zero + one
    if role >= _LEFT_FRINGE:
        weight = weight * fringe[role - _LEFT_FRINGE]
    elif role == _FADING:
        weight = share * smear
    elif role == _INPAINTED:
        at_least = need * least
        weight = at_least + (one - at_least) * (one - share)
    return weight


@numba.njit(cache=True, nogil=True, fastmath=True)
def shape_triangles(
    points: np.ndarray,  # (M, 3) float32, where the mesh is now, camera frame
    triangles: np.ndarray,  # (F + G, 3) int32, see `Binding`
    n_mesh: int,  # F
    jacobian: np.ndarray,  # (F + G, 3, 2) float32
    sigma: float,  # of a Gaussian in the photo, pixels
    pixels_per_unit: float,  # of the photo's camera
    all_photo: np.ndarray,  # (M,) bool
) -> tuple[np.ndarray, np.ndarray]:
    """What Gaussians on the same triangle share (F + G, 7) float32: their covariance, and what is left of the photo's
    where it is smeared; and the photo's share (M,) float32 at the points.

    The covariance is sigma^2 J J^T with J = d point / d pixel of the photo, cut to a longest axis. Where a triangle
    opens to the view, the photo's Gaussians fade and the inpainted ones come in, by a value that is interpolated
    between vertices, so that no triangle shows its edge.
    """
    one = np.float32(1)
    n_triangles = len(triangles)
    shape = np.empty((n_triangles, 7), np.float32)
    stretch = np.zeros((len(points), 2), np.float32)
    for f in range(n_triangles):
        a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
        across, down = points[a, 0] / points[a, 2], points[a, 1] / points[a, 2]
        xx, xy, yy = np.float32(0), np.float32(0), np.float32(0)  # of its picture, at the distance of one corner
        for axis in range(2):
            sa, sb, sc = jacobian[f, 0, axis], jacobian[f, 1, axis], jacobian[f, 2, axis]
            away = points[a, 2] * sa + points[b, 2] * sb + points[c, 2] * sc
            x = points[a, 0] * sa + points[b, 0] * sb + points[c, 0] * sc - across * away
            y = points[a, 1] * sa + points[b, 1] * sb + points[c, 1] * sc - down * away
            xx += x * x
            xy += x * y
            yy += y * y
        for k in range(6):
            i = (0, 0, 0, 1, 1, 2)[k]
            j = (0, 1, 2, 1, 2, 2)[k]
            total = np.float32(0)
            for axis in range(2):
                sa, sb, sc = jacobian[f, 0, axis], jacobian[f, 1, axis], jacobian[f, 2, axis]
                ji = points[a, i] * sa + points[b, i] * sb + points[c, i] * sc
                jj = points[a, j] * sa + points[b, j] * sb + points[c, j] * sc
                total += ji * jj
            shape[f, k] = total * np.float32(sigma * sigma)
        # The longer axis of its picture, in pixels of the photo for one of its pixels.
        half = (xx + yy) / 2
        rest = np.sqrt(max(half * half - xx * yy + xy * xy, np.float32(0)))
        longest = np.sqrt(half + rest) * np.float32(pixels_per_unit) / points[a, 2]
        if longest > _LONGEST:
            for k in range(6):
                shape[f, k] *= (np.float32(_LONGEST) / longest) ** 2
        shape[f, 6] = one / (one + (longest / np.float32(_SMEARED_AT)) ** 6)
        if f < n_mesh:
            for k in range(3):
                stretch[triangles[f, k], 0] += min(longest, np.float32(_LONGEST))
                stretch[triangles[f, k], 1] += one
    share = np.ones(len(points), np.float32)  # of the photo
    for v in range(len(points)):
        if not all_photo[v] and stretch[v, 1] > 0:
            share[v] = one / (one + (stretch[v, 0] / stretch[v, 1] / np.float32(_BLEND_AT)) ** 6)
    return shape, share


@numba.njit(cache=True, parallel=True, nogil=True, fastmath=True)
def update_gaussians(
    points: np.ndarray,  # (M, 3) float32, where the mesh is now, camera frame
    triangles: np.ndarray,  # (F + G, 3) int32, see `Binding`
    n_mesh: int,  # F
    jacobian: np.ndarray,  # (F + G, 3, 2) float32
    sigma: float,  # of a Gaussian in the photo, pixels
    pixels_per_unit: float,  # of the photo's camera
    face: np.ndarray,  # (N,) int32
    bary_coords: np.ndarray,  # (N, 3) float32
    role: np.ndarray,  # (N,) int8
    fade_exponent: np.ndarray,  # (N,) float32
    need: np.ndarray,  # (N,) float32
    fringe: np.ndarray,  # (2,) float32 what is left of the left and the right one
    all_photo: np.ndarray,  # (M,) bool
    inpaint_weight: float,  # of inpainted Gaussians that are needed, while nothing is stretched
    done: np.ndarray,  # (F + G,) bool, triangles whose Gaussians weigh nothing: they are drawn otherwise, or not seen
    xyz: np.ndarray,  # (N, 3) out
    covariances: np.ndarray,  # (N, 6) out
    opacities: np.ndarray,  # (N,) out
) -> None:
    """Centres, covariances and weights of the Gaussians where their triangles are now, see `shape_triangles`."""
    one = np.float32(1)
    shape, share = shape_triangles(points, triangles, n_mesh, jacobian, sigma, pixels_per_unit, all_photo)
    least = np.float32(inpaint_weight)
    for g in numba.prange(len(face)):
        f = face[g]
        if done[f]:
            opacities[g] = np.float32(0)
            continue
        a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
        for k in range(3):
            xyz[g, k] = (
                bary_coords[g, 0] * points[a, k] + bary_coords[g, 1] * points[b, k] + bary_coords[g, 2] * points[c, k]
            )
        for k in range(6):
            covariances[g, k] = shape[f, k]
        here = bary_coords[g, 0] * share[a] + bary_coords[g, 1] * share[b] + bary_coords[g, 2] * share[c]
        weight = weigh(role[g], here, shape[f, 6], need[g], fringe, least)
        if role[g] == _FADING and fade_exponent[g] > one:
            weight = weight ** fade_exponent[g]
        opacities[g] = weight if weight >= _FAINT else np.float32(0)


def stretches(points: np.ndarray, triangles: np.ndarray, jacobian: np.ndarray, pixels_per_unit: float) -> np.ndarray:
    """(K,) the stretch of triangles (K, 3) of a moved mesh (M, 3), see `BindingSettings`; as the kernel has it.

    `jacobian` (K, 3, 2): see `Binding`. `pixels_per_unit`: of the photo's camera.
    """
    corners = points[triangles]
    moved = np.einsum("kci,kca->kia", corners, jacobian)  # d point / d pixel of the photo
    ray = corners[:, 0, :2, None] / corners[:, 0, 2:, None]
    seen = moved[:, :2] - ray * moved[:, 2:]
    xx, xy, yy = (np.einsum("ka,ka->k", seen[:, i], seen[:, j]) for i, j in ((0, 0), (0, 1), (1, 1)))
    half = (xx + yy) / 2
    longest = half + np.sqrt(np.maximum(half * half - xx * yy + xy * xy, 0))
    return np.sqrt(longest) * pixels_per_unit / corners[:, 0, 2]


def barycentric_jacobian(pixels: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """d(barycentric coordinates) / d(x, y) of triangles (F, 3) between pixels (M, 2): (F, 3, 2) float32.

    Zero for triangles without an area.
    """
    a, b, c = (pixels[triangles[:, i]] for i in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    safe = np.where(np.abs(area) < 1e-6, np.inf, area)
    slopes = [(q[:, 1] - r[:, 1], r[:, 0] - q[:, 0]) for q, r in ((b, c), (c, a), (a, b))]
    return (np.stack([np.stack(s, -1) for s in slopes], 1) / safe[:, None, None]).astype(np.float32)
