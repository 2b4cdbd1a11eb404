"""What is resampled from the photo is what splatting would draw, and what may not be is splatted."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from core.libs.geometry import Camera
from core.models.LiftedAvatar.binding import Binding, Role, barycentric_jacobian
from core.models.LiftedAvatar.settings import LiftedSettings
from core.models.LiftedAvatar.smooth_parts import SmoothParts
from core.models.LiftedAvatar.surface import Scratch, splat
from core.models.rasterizer import SurfaceSettings
from core.models.rasterizer.footprints import BLANK, DRAWN, SPARED

SIZE, STEP, DEPTH = 192, 24, 12.0
SURFACE, SETTINGS = SurfaceSettings(), LiftedSettings()
CAMERA = Camera(SIZE)


def sheet(inpainted: float | None = None) -> tuple[Binding, np.ndarray, np.ndarray]:
    """A flat mesh with a Gaussian in each pixel of a picture, its points in pixels, and the Gaussians' colours.

    `inpainted`: how much the first triangle needs painted Gaussians, which it has then.
    """
    places = np.arange(0, SIZE + 1, STEP)
    pixels = np.stack(np.meshgrid(places, places), -1).reshape(-1, 2) - 0.5
    n = len(places)
    corner = np.array([y * n + x for y in range(n - 1) for x in range(n - 1)])
    triangles = np.concatenate(
        [np.stack([corner, corner + 1, corner + n], 1), np.stack([corner + 1, corner + n + 1, corner + n], 1)]
    ).astype(np.int32)
    y, x = np.mgrid[:SIZE, :SIZE].reshape(2, -1)
    u, v = (x + 0.5) / STEP % 1, (y + 0.5) / STEP % 1
    cell = (y // STEP) * (n - 1) + x // STEP
    lower = u + v > 1
    face = np.where(lower, cell + len(corner), cell).astype(np.int32)
    weights = np.where(lower[:, None], np.stack([1 - v, u + v - 1, 1 - u], 1), np.stack([1 - u - v, u, v], 1))
    noise = np.random.default_rng(1).uniform(0, 1, (SIZE, SIZE, 4)).astype(np.float32)
    colors = cv2.GaussianBlur(noise, (0, 0), 1.0).reshape(-1, 4)
    role, need, first = np.zeros(len(face), np.int8), np.zeros(len(face), np.float32), triangles[:0]
    if inpainted is not None:
        mine = np.flatnonzero(face == 0)
        first = triangles[:1]
        face = np.concatenate([face, np.full(len(mine), len(triangles), np.int32)])
        weights, colors = np.concatenate([weights, weights[mine]]), np.concatenate([colors, 1 - colors[mine]])
        role = np.concatenate([role, np.full(len(mine), Role.INPAINTED, np.int8)])
        need = np.concatenate([need, np.full(len(mine), inpainted, np.float32)])
    binding = Binding(
        triangles=np.concatenate([triangles, first]),
        n_mesh=len(triangles),
        jacobian=barycentric_jacobian(pixels, np.concatenate([triangles, first])),
        face=face,
        bary_coords=weights.astype(np.float32),
        role=role,
        fade_exponent=np.ones(len(face), np.float32),
        need=need,
        silhouette=np.zeros(len(pixels), np.int8),
        all_photo=np.zeros(len(pixels), bool),
    )
    return binding, pixels, np.ascontiguousarray(colors)


def drawn(binding, pixels, colors, moved, depth=DEPTH, camera=CAMERA):
    """Picture, coverage, front and blocks, resampled where that can be done; then the same all splatted."""
    kept, z = np.ones((SIZE, SIZE), bool), np.broadcast_to(depth, len(moved)).astype(np.float64)[:, None]
    points = np.concatenate([CAMERA.unproject(moved) * z, z], 1)
    smooth = SmoothParts.of(binding, pixels, kept, SETTINGS.sigma, SETTINGS.inpaint_weight, SURFACE, SETTINGS.smooth)
    numbers = SETTINGS.sigma, SETTINGS.inpaint_weight, SURFACE
    both = [splat(points, binding, colors, CAMERA, camera, *numbers, Scratch(colors), way) for way in (smooth, None)]
    return both[0], both[1]


def blocks_as_pixels(blocks, shape, state=SPARED):
    return np.kron(blocks == state, np.ones((16, 16), bool))[: shape[0], : shape[1]]


@pytest.mark.parametrize(("degrees", "scale"), [(0, 1.0), (12, 1.0), (-5, 0.75), (8, 1.4)])
def test_a_smooth_piece_is_drawn_as_splats_draw_it(degrees, scale):
    binding, pixels, colors = sheet()
    turn = cv2.getRotationMatrix2D((SIZE / 2, SIZE / 2), degrees, scale)
    moved = pixels @ turn[:, :2].T + turn[:, 2] + [3.3, -2.6]
    smooth, splatted = drawn(binding, pixels, colors, moved)
    where = blocks_as_pixels(smooth[3], smooth[0].shape)
    assert where.mean() > 0.35
    difference = 255 * np.abs(smooth[0] - splatted[0])
    assert difference.max() < 2.5  # colours of neighbours differ by 70: a thirtieth of a pixel
    assert difference.mean() < 0.25
    np.testing.assert_array_equal(smooth[1], splatted[1])
    np.testing.assert_allclose(smooth[2], splatted[2], atol=1e-3)
    np.testing.assert_array_equal(smooth[0][~where], splatted[0][~where])


def test_depth_and_windows():
    """A surface that leans back, of which a part of the picture is drawn."""
    binding, pixels, colors = sheet()
    depth = DEPTH + 0.004 * (pixels[:, 0] - SIZE / 2)
    window = Camera(SIZE, window=(20, 33, 110, 90))
    smooth, splatted = drawn(binding, pixels, colors, pixels + [1.7, 0.4], depth, window)
    assert smooth[0].shape == (90, 110, 4)
    assert blocks_as_pixels(smooth[3], (90, 110)).mean() > 0.9
    assert 255 * np.abs(smooth[0] - splatted[0]).max() < 4  # perspective bends what is straight within a triangle
    np.testing.assert_allclose(smooth[2], splatted[2], atol=6e-3)  # the splat's front is the nearest around


def test_what_lies_behind_itself_is_splatted():
    binding, pixels, colors = sheet()
    moved = np.where(pixels[:, :1] > 120, [240, 0] + pixels * [-1, 1], pixels)  # folded over
    smooth, splatted = drawn(binding, pixels, colors, moved, DEPTH + 0.02 * (pixels[:, 0] > 120))
    spared = blocks_as_pixels(smooth[3], (SIZE, SIZE))
    assert not spared[:, 44:].any()
    assert spared[32:160, 16:32].all()
    assert (smooth[3][:, 9:] == BLANK).all()  # nothing is left there
    np.testing.assert_array_equal(smooth[0][~spared], splatted[0][~spared])


def test_what_is_stretched_is_splatted():
    binding, pixels, colors = sheet()
    smooth, _ = drawn(binding, pixels, colors, (pixels - SIZE / 2) * [1.0, 1.9] + SIZE / 2)
    assert not (smooth[3] == SPARED).any()


@pytest.mark.parametrize(("need", "resampled"), [(1.0, False), (0.001, True)])
def test_what_is_painted_behind_the_photo_counts_where_it_shows(need, resampled):
    binding, pixels, colors = sheet(need)
    smooth, splatted = drawn(binding, pixels, colors, pixels + 4.0)
    assert (smooth[3][1, 1] == SPARED) == resampled  # block of the first triangle
    assert smooth[3][5, 5] == SPARED
    assert 255 * np.abs(smooth[0] - splatted[0]).max() < 2.5


def test_an_empty_picture_is_blank():
    binding, pixels, colors = sheet()
    smooth, splatted = drawn(binding, pixels, colors, pixels + 1000.0)
    assert (smooth[3] == BLANK).all()
    assert not (smooth[3] == DRAWN).any()
    for ours, theirs in zip(smooth[:3], splatted[:3], strict=True):
        np.testing.assert_array_equal(ours, theirs)
