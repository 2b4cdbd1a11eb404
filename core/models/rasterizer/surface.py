"""Normalised surface splatting on the CPU: the rule of the built-in avatar.

Alpha compositing of a head with one small Gaussian per photo pixel gives moire, because the opacity of the surface
ripples with the sampling. Here the weights of the front surface are summed and divided out instead:

1. zbuf[y, x] = min depth over Gaussians of opacity >= `front_opacity` whose core (`core` sigma, and the pixel nearest
   to the centre) covers the pixel;
2. w = opacity * max(0, exp(power) - c) / (1 - c) * f(depth - zbuf), with c = exp(-cutoff^2 / 2), so that a footprint
   ends at zero instead of at a step; f is 1 up to half the `z_window` behind the front, then a smoothstep to 0;
3. alpha = min(1, sum w / full_weight), image = alpha * (sum w c / sum w) + (1 - alpha) * background.

`reference.py` says the same in plain torch. The picture is cut into bands of rows; a band belongs to one thread, and
its Gaussians are added in the order of their index, so that the bytes do not depend on the number of threads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba
import numpy as np

from core.models.rasterizer._simd import BLOCK
from core.models.rasterizer.exponential import EXP_MIN
from core.models.rasterizer.footprints import BAND, BLANK, SPARED, WIDE, list_by_bands
from core.models.rasterizer.surface_kernels import CHUNK, LANES, project, splat_bands


def deal(count: int) -> np.ndarray:  # (count,)
    """0 .. count - 1 in an order that makes the equal shares numba deals to its threads interleaved rows."""
    return np.argsort(np.arange(count) % numba.get_num_threads(), kind="stable")


def pack_camera(transform: np.ndarray) -> np.ndarray:  # (3, 4) -> (12,)
    """R row by row, then t: the layout the kernels index."""
    cam = np.empty(12, np.float32)
    cam[:9] = transform[:, :3].reshape(-1)
    cam[9:] = transform[:, 3]
    return cam


@dataclass(frozen=True)
class SurfaceSettings:
    """Numbers of the surface rule. Depths are in head units (1 px is about 0.003 of them at 512x512)."""

    blur: float = 0.05  # px^2 on both diagonal entries of the projected covariance
    z_window: float = 0.05  # Gaussians further behind the front surface than this are hidden
    cutoff: float = 2.6  # footprint radius in sigma, at most 3.4
    core: float = 1.35  # radius in sigma within which a Gaussian hides what is behind it
    full_weight: float = (
        1.0  # weight sum that counts as fully covered; a surface of one-pixel Gaussians sums to about 2
    )
    front_opacity: float = 0.1  # fainter Gaussians are drawn but hide nothing

    def __post_init__(self) -> None:
        if not 0 < self.cutoff <= math.sqrt(-2 * float(EXP_MIN)):
            raise ValueError(f"cutoff must be in (0, {math.sqrt(-2 * float(EXP_MIN)):.2f}], got {self.cutoff}")
        if self.blur < 0 or self.z_window <= 0 or self.full_weight <= 0 or self.core < 0:
            raise ValueError(f"blur and core must be >= 0, z_window and full_weight > 0: {self}")


class RasterWorkspace:
    """Buffers of `splat_surface`, kept from frame to frame: they grow on demand and never shrink.

    The arrays that a call returns live here too, and the next call with this workspace overwrites them.
    One workspace serves one thread of Python at a time.
    """

    def __init__(self) -> None:
        self._buffers: dict[str, np.ndarray] = {}

    def size(self, name: str) -> int:
        """How many values this buffer holds now."""
        return self._buffers[name].size if name in self._buffers else 0

    def get(self, name: str, shape: tuple[int, ...], dtype: type = np.float32) -> np.ndarray:
        """An uninitialised array of this shape, aligned to a cache line."""
        count = math.prod(shape)
        flat = self._buffers.get(name)
        if flat is None or flat.size < count or flat.dtype != dtype:
            size = np.dtype(dtype).itemsize
            raw = np.empty(count * size + 64, np.uint8)
            start = -raw.ctypes.data % 64
            flat = raw[start : start + count * size].view(dtype)
            self._buffers[name] = flat
        return flat[:count].reshape(shape)


def splat_surface(
    xyz_cam: np.ndarray,  # (N, 3)
    cov: np.ndarray,  # (N, 6)
    colors: np.ndarray,  # (N, C)
    opacities: np.ndarray,  # (N,)
    size: tuple[int, int],
    focal: float | tuple[float, float] = 12.0,
    workspace: RasterWorkspace | None = None,
    *,
    transform: np.ndarray | None = None,  # (3, 4)
    bg_color: np.ndarray | None = None,  # (C,)
    settings: SurfaceSettings | None = None,
    with_maps: bool = False,
    spared: np.ndarray | None = None,  # (H / BAND, W / BAND) uint8, both rounded up
) -> tuple[np.ndarray, ...]:  # (H, W, C), (H, W)
    """The hot path of the surface rule: numpy in, numpy out, no allocation when a workspace is given.

    :param xyz_cam: centres (N, 3); in camera space (PyTorch3D: +x left, +y up) without `transform`, else in head space
    :param cov: covariances (N, 6) xx xy xz yy yz zz, in the same space as the centres
    :param colors: (N, C), any C; up to 7 channels cost the same
    :param opacities: (N,) in 0..1
    :param size: (H, W)
    :param focal: 1 / tan(half the field of view), for both axes or (x, y)
    :param transform: head to camera [R | t] (3, 4), p_cam = p R + t; the kernel applies it to centres and covariances
    :param bg_color: (C,), or None for 0
    :param with_maps: also return the weight sum (H, W) and the front depth (H, W, 1e30 where nothing is)
    :param spared: `SPARED` where a block of BAND pixels a side is drawn already: there the workspace's `image`, `alpha`
        and `depth` stay as they are, and the sum of weights is not known; on return it says which blocks are `BLANK`
    :return: image (H, W, C) over the background and alpha (H, W), float32; views of the workspace
    """
    settings = settings or SurfaceSettings()
    work = workspace or RasterWorkspace()
    H, W = int(size[0]), int(size[1])
    xyz_cam, cov, colors, opacities = (
        np.ascontiguousarray(array, np.float32) for array in (xyz_cam, cov, colors, opacities)
    )
    N = xyz_cam.shape[0]
    assert xyz_cam.shape == (N, 3), f"xyz must be (N, 3), got {xyz_cam.shape}"
    assert cov.shape == (N, 6), f"cov must be ({N}, 6), got {cov.shape}"
    assert colors.ndim == 2, f"colors must be ({N}, C), got {colors.shape}"
    assert len(colors) == N, f"colors must be ({N}, C), got {colors.shape}"
    opacities = opacities.reshape(-1)
    assert opacities.shape == (N,), f"opacities must be ({N},), got {opacities.shape}"
    if N < WIDE:  # the kernel takes so many at once
        xyz_cam, cov, colors = (np.pad(array, ((0, WIDE - N), (0, 0))) for array in (xyz_cam, cov, colors))
        opacities, N = np.pad(opacities, (0, WIDE - N)), WIDE
    C = colors.shape[1]
    bg = np.zeros(C, np.float32) if bg_color is None else np.ascontiguousarray(bg_color, np.float32)
    assert bg.shape == (C,), f"bg_color must be ({C},), got {bg.shape}"
    transform = np.eye(3, 4, dtype=np.float32) if transform is None else np.asarray(transform, np.float32)
    assert transform.shape == (3, 4), f"transform must be (3, 4), got {transform.shape}"
    focal_x, focal_y = (focal, focal) if np.ndim(focal) == 0 else focal

    fparams = pack_settings(settings, (float(focal_x), float(focal_y)))
    begins = np.minimum(np.arange(0, N + CHUNK, CHUNK), N)
    places = Footprints.of(work, N, begins, (H, W), spared)
    project(
        xyz_cam,
        cov,
        opacities,
        pack_camera(transform),
        fparams,
        (H, W),
        *places.written,
    )
    image, alpha, weights, depth = draw_footprints(work, places, colors, fparams, (H, W), bg)
    return (image, alpha, weights, depth) if with_maps else (image, alpha)


def pack_settings(settings: SurfaceSettings, focal: tuple[float, float]) -> np.ndarray:
    """(8,) float32, the numbers in the order in which the kernels index them."""
    numbers = settings.blur, settings.cutoff, settings.core, settings.z_window, settings.full_weight
    return np.array([1 / focal[0], 1 / focal[1], *numbers, settings.front_opacity], np.float32)


@dataclass(frozen=True)
class Footprints:
    """What a kernel that projects N Gaussians in chunks writes, in buffers of a workspace; see `footprints`.

    Attributes:
        begins: (chunks + 1,) where in the others a chunk begins, and N.
        geo: (N, WIDE). seen: (N,) int32. n_seen: (chunks,). band_range: (N, 2) int32. counts: (chunks, bands).
        states: (bands, columns of blocks) uint8, `SPARED` or `BLANK` at first.
    """

    begins: np.ndarray
    geo: np.ndarray
    seen: np.ndarray
    n_seen: np.ndarray
    band_range: np.ndarray
    counts: np.ndarray
    states: np.ndarray

    @property
    def written(self) -> tuple[np.ndarray, ...]:
        """What the kernel takes, in its order."""
        return self.states, self.geo, self.seen, self.n_seen, self.band_range, self.counts

    @classmethod
    def of(
        cls, work: RasterWorkspace, count: int, begins: np.ndarray, size: tuple[int, int], spared: np.ndarray | None
    ) -> Footprints:
        """Of so many Gaussians in a picture (H, W); `spared` as `splat_surface` takes it."""
        shape = -(-size[0] // BAND), -(-size[1] // BAND)
        states = np.full(shape, BLANK, np.uint8) if spared is None else spared
        assert states.shape == shape, f"spared must be {shape}, got {states.shape}"
        states[states != SPARED] = BLANK
        n_chunks = len(begins) - 1
        return cls(
            begins=begins,
            geo=work.get("geo", (count, WIDE)),
            seen=work.get("seen", (count,), np.int32),
            n_seen=work.get("n_seen", (n_chunks,), np.int64),
            band_range=work.get("band_range", (count, 2), np.int32),
            counts=work.get("counts", (n_chunks, shape[0]), np.int64),
            states=states,
        )


def draw_footprints(
    work: RasterWorkspace,
    places: Footprints,
    colors: np.ndarray,  # (N, C), contiguous
    fparams: np.ndarray,  # (8,) of `pack_settings`
    size: tuple[int, int],
    bg: np.ndarray,  # (C,)
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:  # (H, W, C), (H, W), (H, W), (H, W)
    """Image, alpha, sums of weights and front depth of projected Gaussians, views of the workspace."""
    (H, W), (N, C) = size, colors.shape
    P = -(-(C + 1) // LANES) * LANES
    n_bands = len(places.states)
    if C != BLOCK:
        colors = np.hstack([colors, np.ones((N, 1), np.float32), np.zeros((N, P - C - 1), np.float32)])
    starts = work.get("starts", (n_bands + 1,), np.int64)
    need = max(2 * N, work.size("lists"))
    while True:  # twice only when large Gaussians cross more bands than the list has room for
        lists = work.get("lists", (need,), np.int32)
        chunks = places.begins, places.n_seen, places.band_range, places.counts
        need = list_by_bands(places.seen, *chunks, starts, lists)
        if need <= len(lists):
            break
    image = work.get("image", (H, W, C))
    alpha = work.get("alpha", (H, W))
    weights = work.get("weights", (H, W))
    depth = work.get("depth", (H, W))
    threads, pitch = numba.config.NUMBA_NUM_THREADS, W + BAND
    splat_bands(
        fparams,
        bg,
        places.geo,
        colors,
        starts,
        lists,
        work.get("acc", (threads, (BAND + BLOCK - 1) * pitch * P)),
        work.get("zbuf", (threads, (BLOCK + BAND + BLOCK) * pitch)),
        work.get("lane_w", (threads, 16)),
        deal(n_bands),
        places.states,
        image,
        alpha,
        weights,
        depth,
    )
    return image, alpha, weights, depth
