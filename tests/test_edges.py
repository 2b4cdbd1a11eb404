"""Antialiased outlines: a straight edge has the closed form's coverage, holes close, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest

from core.models.LiftedAvatar.border import border_fade
from core.models.LiftedAvatar.edges import Antialiasing
from core.models.rasterizer.surface_kernels import FAR

JUMP = 0.05
SIZE = 64


def scene(front: np.ndarray, behind: float | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """White at depth 9 where `front`; behind it black at a depth, or nothing."""
    depth = np.where(front, 9.0, FAR if behind is None else behind).astype(np.float32)
    alpha = np.where(front | (behind is not None), 1.0, 0.0).astype(np.float32)
    image = np.zeros((*front.shape, 4), np.float32)
    image[front] = 1
    image[..., 3] = alpha
    return image, alpha, depth


def half_plane(angle: float, offset: float) -> tuple[np.ndarray, np.ndarray]:
    """(H, W) bool of the pixels whose centres lie in a half-plane, and (H, W) how much of each does."""
    fine = 16
    y, x = (np.mgrid[: SIZE * fine, : SIZE * fine] + 0.5) / fine - SIZE / 2
    inside = np.cos(angle) * x + np.sin(angle) * y < offset
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5 - SIZE / 2
    return np.cos(angle) * x + np.sin(angle) * y < offset, inside.reshape(SIZE, fine, SIZE, fine).mean((1, 3))


@pytest.mark.parametrize("behind", [10.0, None], ids=["surface behind", "nothing behind"])
@pytest.mark.parametrize("angle", [0.12, 0.35, 0.6, 1.0, 1.45, 2.5])
def test_a_straight_edge_is_as_bright_as_it_covers_the_pixel(angle, behind):
    """Not at 0 and 45 degrees: there all pixels of an edge are alike, whatever part of them it covers; no stairs."""
    front, covered = half_plane(angle, 0.0)
    image, alpha, depth = scene(front, behind)
    Antialiasing().run(image, alpha, depth, JUMP)
    drawn = image[..., 0] * image[..., 3]
    inner = np.s_[8:-8, 8:-8]
    stairs = np.abs(front - covered)[inner]
    left = np.abs(drawn - covered)[inner]
    assert left.max() < 0.25
    assert left.sum() <= 0.45 * stairs.sum()
    if behind is None:
        assert image[..., 0][inner][image[..., 3][inner] > 0.01].min() == pytest.approx(1)  # no darker at its edge


@pytest.mark.parametrize("angle", [0.35, 1.0, 2.5])
def test_a_surface_that_turns_edge_on_at_its_outline_is_one(angle):
    """A cheek falls back by more than the jump from pixel to pixel before it ends; it was taken for two, with teeth."""
    front, covered = half_plane(angle, 0.0)
    image, alpha, depth = scene(front, None)
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5 - SIZE / 2
    from_edge = np.maximum(4 + np.cos(angle) * x + np.sin(angle) * y, 0)
    depth = np.where(front, 9 + 0.8 * JUMP * from_edge, FAR).astype(np.float32)
    Antialiasing().run(image, alpha, depth, JUMP)
    left = np.abs(image[..., 0] * image[..., 3] - covered)[8:-8, 8:-8]
    assert left.max() < 0.25
    assert left.sum() <= 0.45 * np.abs(front - covered)[8:-8, 8:-8].sum()


def test_away_from_outlines_no_bit_changes():
    random = np.random.default_rng(0)
    depth = (9 + 0.002 * np.add(*np.mgrid[:SIZE, :SIZE])).astype(np.float32)
    image = random.random((SIZE, SIZE, 4), np.float32)
    before = image.copy()
    Antialiasing().run(image, np.ones((SIZE, SIZE), np.float32), depth, JUMP)
    assert np.array_equal(image, before)


def test_a_pixel_sized_hole_takes_the_colour_around_it():
    front = np.ones((SIZE, SIZE), bool)
    front[20, 20] = front[40, 30] = False
    image, alpha, depth = scene(front, 10.0)
    Antialiasing().run(image, alpha, depth, JUMP)
    assert image[..., 0].min() == pytest.approx(1)


def test_a_speck_goes():
    front = np.zeros((SIZE, SIZE), bool)
    front[20, 20] = True
    image, alpha, depth = scene(front, 10.0)
    Antialiasing().run(image, alpha, depth, JUMP)
    assert image[..., 0].max() == pytest.approx(0)


def test_a_thin_strand_keeps_half_of_itself():
    front = np.zeros((SIZE, SIZE), bool)
    front[:, 30] = True
    image, alpha, depth = scene(front, 10.0)
    Antialiasing().run(image, alpha, depth, JUMP)
    assert image[8:-8, 30, 0].min() >= 0.5


def test_the_front_hides_what_lies_behind_where_its_splats_end():
    """A pixel that the front covers by a tenth only was nine tenths nothing: a dark dot along an outline."""
    front, _ = half_plane(0.3, 0.0)
    image, alpha, depth = scene(front, 10.0)
    edge = front & ~np.roll(front, -1, 1)
    edge[:, -1] = False
    alpha[edge] = 0.1
    image[edge] *= 0.1
    Antialiasing().run(image, alpha, depth, JUMP)
    assert image[8:-8, 8:-8, 3].min() == pytest.approx(1)


class TestBorder:
    def test_a_photo_that_ends_in_the_picture_goes_out_over_the_width(self):
        inside = np.zeros((100, 100), bool)
        inside[:80] = True  # the shown crop is 10 .. 89
        fade = border_fade(inside, 10, 20.0)
        assert (fade[:60] == 1).all()
        assert fade[79].max() < 0.01
        assert (np.diff(fade[:80, 50]) <= 0).all()
        assert fade[70, 50] == pytest.approx(0.5, abs=0.05)  # a smoothstep, half way

    def test_a_border_in_the_margin_leaves_what_is_shown(self):
        inside = np.zeros((100, 100), bool)
        inside[:, 4:] = True
        fade = border_fade(inside, 10, 20.0)
        assert (fade[:, 10:] == 1).all()
        assert fade[:, 4].max() < 0.1

    def test_a_photo_that_fills_the_crop_keeps_its_matte(self):
        assert (border_fade(np.ones((50, 50), bool), 8, 20.0) == 1).all()
