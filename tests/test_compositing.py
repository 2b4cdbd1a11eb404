"""The person over a background: the kernels against closed forms, the plate, and what a run makes of them."""

from __future__ import annotations

import cv2
import numpy as np

from core.libs.compositing import improve_person, over, to_bytes
from core.libs.patch_match import complete
from core.libs.plate import make_plate
from core.libs.poisson import fill_hole
from core.models.LiftedAvatar.composite import composite, cut_out
from core.runtime.buffers import Pictures


def test_over_is_porter_and_duffs():
    random = np.random.default_rng(1)
    person, backdrop = random.random((9, 14, 4), np.float32), random.random((9, 14, 3), np.float32)
    person[:3, :, 3], person[6:, :, 3] = 0, 1
    out = np.empty_like(backdrop)
    over(person, backdrop, out)
    matte = person[..., 3:].astype(np.float64)
    np.testing.assert_allclose(out, person[..., :3] * matte + backdrop * (1 - matte), atol=1e-6)
    np.testing.assert_array_equal(out[:3], backdrop[:3])
    np.testing.assert_array_equal(out[6:], person[6:, :, :3])


def test_a_cut_out_person_over_a_colour_is_the_composite():
    random = np.random.default_rng(2)
    image = random.uniform(-0.2, 1.2, (17, 23, 4)).astype(np.float32)
    image[..., 3] = random.choice([0, 0.3, 0.59, 0.61, 0.95, 1.1], (17, 23))
    color = np.array([0.1, 0.5, 0.9], np.float32)
    person, expected, out = np.empty_like(image), *np.empty((2, 17, 23, 3), np.float32)
    cut_out(image, person)
    assert person.min() >= 0
    assert person.max() <= 1
    composite(image, color, expected)
    over(person, np.broadcast_to(color, out.shape).copy(), out)
    np.testing.assert_allclose(out, expected, atol=1e-6)


def test_bytes_are_the_nearest_and_halves_the_even_ones():
    values = np.linspace(-0.2, 1.2, 7 * 11 * 3, dtype=np.float32).reshape(7, 11, 3)
    values[0, :3, 0] = np.float32([0.5, 1.5, 2.5]) / 255
    out = np.empty(values.shape, np.uint8)
    to_bytes(values, out)
    np.testing.assert_array_equal(out, np.clip(np.rint(values * np.float32(255)), 0, 255))


def test_a_buffer_is_handed_out_again_once_nobody_holds_it():
    pictures = Pictures()
    first = pictures.get((2, 3))
    view, second = first.T, pictures.get((2, 3))
    assert not np.shares_memory(first, second)
    place = first.ctypes.data
    del first
    assert pictures.get((2, 3)).ctypes.data != place  # the view holds it
    del view
    assert pictures.get((2, 3)).ctypes.data == place


def test_an_improvement_changes_the_person_only():
    random = np.random.default_rng(3)
    backdrop, improved = random.random((2, 6, 8, 3), np.float32)
    person = random.random((6, 8, 4), np.float32)
    person[:2, :, 3], person[4:, :, 3] = 0, 1
    out, base = improved.copy(), np.empty_like(improved)
    over(person, backdrop, base)
    improve_person(person, backdrop, out)
    np.testing.assert_array_equal(out[:2], backdrop[:2])
    np.testing.assert_allclose(out[4:], improved[4:], atol=1e-6)
    np.testing.assert_allclose(out, base + person[..., 3:] * (improved - base), atol=1e-6)


def test_a_hole_in_a_harmonic_picture_is_filled_with_it():
    """x, y and x^2 - y^2 have no Laplacian, so that their own values are the one solution."""
    y, x = np.mgrid[:90, :120].astype(np.float32) / 100
    picture = np.stack([x, y, x * x - y * y], -1)
    hole = np.hypot(x - 0.6, y - 0.45) < 0.3
    filled = fill_hole(np.where(hole[..., None], 0, picture), hole)
    np.testing.assert_allclose(filled, picture, atol=2e-3)
    np.testing.assert_array_equal(filled[~hole], picture[~hole])


def test_a_hole_takes_the_gradients_that_are_given():
    random = np.random.default_rng(4)
    picture = random.random((40, 56, 3), np.float32)
    right, below = np.zeros_like(picture), np.zeros_like(picture)
    right[:, :-1], below[:-1] = np.diff(picture, axis=1), np.diff(picture, axis=0)
    hole = np.zeros((40, 56), bool)
    hole[10:30, 12:56] = True
    filled = fill_hole(np.where(hole[..., None], 0.5, picture), hole, (right, below))
    np.testing.assert_allclose(filled, picture, atol=0.01)


def test_a_plate_is_the_picture_beyond_the_person_and_has_nothing_of_the_person():
    y, x = np.mgrid[:200, :240]
    image = np.stack([40 + x // 2, 60 + y // 2, 90 + 0 * x], -1).astype(np.uint8)
    away = np.hypot(x - 120, y - 130)
    matte = np.clip((60 - away) / 4, 0, 1).astype(np.float32)
    shown = image.astype(np.float32) * (1 - matte[..., None]) + matte[..., None] * np.float32([250, 10, 10])
    plate = make_plate(np.rint(shown).astype(np.uint8), matte)
    assert plate.dtype == np.uint8
    np.testing.assert_array_equal(plate[away > 66], image[away > 66])
    assert np.abs(plate.astype(int) - image).max() <= 6  # the border pulls nowhere, the picture goes on


def _disc_before_a_wall(side: int, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """A dark disc before a light wall with grain and a slow gradient, (S, S, 3) uint8, and how far out a pixel is."""
    y, x = np.mgrid[:side, :side]
    away = np.hypot(x - side / 2, y - side / 2) - radius
    grain = np.random.default_rng(3).normal(0, 4, (side, side, 1))
    wall = 180 + 30 * x[..., None] / side + grain
    return np.where(away[..., None] > 0, wall, 40).clip(0, 255).astype(np.uint8).repeat(3, 2), away


def test_a_plates_grain_is_the_walls_and_does_not_repeat():
    image, away = _disc_before_a_wall(768, 120)
    plate = make_plate(image, (away < 0).astype(np.float32))[..., 0].astype(float)
    rough = plate - cv2.GaussianBlur(plate, (0, 0), 3)
    middle, beside = rough[284:484, 284:484], rough[20:120]
    assert 0.6 < middle.std() / beside.std() < 1.3
    for lag in range(3, 13):  # three pixels are one of the picture in which patches are looked for
        for one, other in ((middle[lag:], middle[:-lag]), (middle[:, lag:], middle[:, :-lag])):
            assert np.corrcoef(one.ravel(), other.ravel())[0, 1] < 0.35


def test_a_matte_that_is_too_wide_leaves_no_pale_rim():
    image, away = _disc_before_a_wall(256, 60)
    matte = np.where(away < 0, 1, np.where(away < 12, 0.12, 0)).astype(np.float32)
    plate = make_plate(image, matte)[..., 0].astype(float)
    rim, wall = (away > 2) & (away < 14), (away > 20) & (away < 32)
    assert abs(plate[rim].mean() - plate[wall].mean()) < 1.5


def test_hair_that_the_matte_does_not_have_is_not_left_behind():
    """A strand of the person's colour beside them; what the wall has of its own stays, to the bit."""
    image, away = _disc_before_a_wall(512, 100)
    matte = (away < 0).astype(np.float32)
    image[253:259, 350:372], image[30:60, 400:440] = 40, 40
    image[120:140, 150:180] = image[20:40, 20:50] = (200, 120, 40)  # no mixture of disc and wall
    plate = make_plate(image, matte, np.ones(matte.shape, bool)).astype(int)
    strand, wall = plate[253:259, 360:370], plate[253:259, 380:400]
    assert abs(strand.mean() - wall.mean()) < 6
    np.testing.assert_array_equal(plate[30:60, 400:440], image[30:60, 400:440])
    np.testing.assert_array_equal(plate[20:40, 20:50], image[20:40, 20:50])


def test_what_ends_behind_the_person_does_not_glow():
    """A bright post before a dark wall: patches go on with the wall, and the post's light is not in it."""
    y, x = np.mgrid[:384, :384]
    wall = 40 + np.random.default_rng(1).normal(0, 3, (384, 384, 1))
    image = np.where(((x > 120) & (x < 134) & (y > 140) & (y < 244))[..., None], 230, wall).clip(0, 255).repeat(3, 2)
    matte = ((np.abs(x - 200) < 64) & (np.abs(y - 192) < 90)).astype(np.float32)
    image[matte > 0] = (150, 90, 60)
    plate = make_plate(np.rint(image).astype(np.uint8), matte).astype(float)
    assert plate[160:224, 170:230].mean() < 60
    assert plate[160:224, 148:160].mean() < 110


def test_shelves_go_on_at_their_height():
    """Behind the outline, where a turning head bares them."""
    y, x = np.mgrid[:256, :256]
    boards = np.array([60.0, 105, 142, 195])  # at no regular distance: nothing but their height tells them
    near = np.abs(y[..., None] - boards).min(2)
    wall = (190 - 90 * np.exp(-((near / 4) ** 2)) + 0.1 * y)[..., None] * np.float32([1, 0.97, 0.9])
    away = np.hypot(x - 128, y - 120) - 70
    image = np.where(away[..., None] > 0, wall, 40).clip(0, 255).astype(np.uint8)
    plate = make_plate(image, (away < 0).astype(np.float32)).astype(float)
    bared = (away < 0) & (away > -25) & (np.abs(x - 128) > 40)
    off = np.abs(plate - wall)[bared].mean()
    assert off < 6  # it was 16 without `fill_along`


def test_a_hole_is_completed_from_its_rim():
    """A first guess that is wrong deep inside does not spread to the rim, where the picture says what there is."""
    y, x = np.mgrid[:160, :160]
    grain = np.random.default_rng(1).normal(0, 3, (160, 160, 1))
    wall = np.where((x < 80)[..., None], [170, 200, 235], [80, 80, 88]) + grain
    away = np.hypot(x - 80, y - 80) - 45
    guess = np.where((away < -12)[..., None], [80, 80, 88], wall).astype(np.float32)
    picture = np.where((away < 0)[..., None], 0, wall).astype(np.float32)
    found = complete(picture, away < 0, away >= 0, guess)
    assert found is not None
    rim = (away < 0) & (away > -10) & (x < 68)
    assert np.abs(found[0] - wall)[rim].mean() < 35  # it was 61 where every pixel counted alike


def test_a_curtain_beside_the_head_is_not_taken_for_what_is_behind_it():
    """Leaves and a bright sky above them between two curtains, whose edges are easier to copy than leaves are."""
    size, rng = 192, np.random.default_rng(0)
    y, x = np.mgrid[:size, :size]
    leaves = cv2.GaussianBlur(rng.normal(0, 1, (size, size)).astype(np.float32), (0, 0), 2)
    window = np.where((y < 60)[..., None], [215, 230, 235], [110, 105, 100]) + (25 / leaves.std() * leaves)[..., None]
    curtain = np.array([170, 60, 60]) + (20 * np.sin(x / 3))[..., None]
    image = np.where((abs(x - 96) > 44)[..., None], curtain, window)
    head = np.hypot(x - 96, (y - 75) * 0.85) < 40
    person = head | ((y > 120) & (abs(x - 96) < 45 + (y - 120) * 0.8))
    plate = make_plate(image.clip(0, 255).astype(np.uint8), person.astype(np.float32)).astype(float)
    behind = head & (y < 110)
    assert (plate[..., 0] - plate[..., 1] > 50)[behind].mean() < 0.3  # it was .99 where patches alone had a say
