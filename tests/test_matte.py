"""The matte of a photo, on pictures whose matte is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from core.libs.tracker.matte import photo_matte, two_looks, without_bars
from core.libs.tracker.matte_settings import MatteSettings
from core.libs.tracker.matting import separation
from core.libs.tracker.matting_kernels import conjugate_gradients, matting_weights, weighted

SIZE, MARGIN = 256, 32
_Y, _X = np.mgrid[:SIZE, :SIZE].astype(np.float64)
PERSON = np.clip(70.5 - np.hypot(_X - 128, _Y - 128), 0, 1)  # a disc with an edge of one pixel
PAPER, SKIN = np.array([40.0, 90, 160]), np.array([220.0, 180, 150])


def _points(radius: float = 30.0) -> np.ndarray:
    """478 points on a face in the middle of the disc."""
    turn = np.linspace(0, 2 * np.pi, 478)
    return np.stack([128 + radius * np.cos(turn), 128 + radius * np.sin(turn), 0 * turn], 1)


def _picture(alpha: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(0)
    colors = alpha[..., None] * SKIN + (1 - alpha[..., None]) * PAPER + rng.normal(0, 1, (SIZE, SIZE, 3))
    return colors.clip(0, 255).round().astype(np.uint8)


def _matte(image: np.ndarray, crop: np.ndarray, whole: np.ndarray, inside: np.ndarray | None = None) -> np.ndarray:
    """What comes out where the photo is the wide crop and the segmenter says `crop` of it, `whole` of the photo."""
    looks = iter([crop, crop[MARGIN:-MARGIN, MARGIN:-MARGIN], whole])
    inside = np.ones((SIZE, SIZE), bool) if inside is None else inside
    square = np.array([0.0, 0, SIZE])
    return photo_matte(image, square, image, inside, _points(), MARGIN, lambda _: next(looks).astype(np.float32))


def test_a_sure_person_stays_as_it_is():
    assert np.abs(_matte(_picture(PERSON), PERSON, PERSON) - PERSON).max() < 0.1


def test_a_lamp_that_the_crop_takes_along_is_left_out():
    lamp = (abs(_X - 240) < 8) & (_Y > 120)
    out = _matte(_picture(PERSON), np.maximum(PERSON, lamp), PERSON)
    assert out[lamp].max() < 0.02
    assert np.abs(out - PERSON).max() < 0.1


def test_what_does_not_hang_on_the_face_goes_though_both_looks_have_it():
    lamp = (abs(_X - 240) < 8) & (_Y > 120)
    seen = np.maximum(PERSON, lamp)
    assert _matte(_picture(seen), seen, seen)[lamp].max() < 0.02


def test_two_looks_that_are_sure_outvote_the_whole_photo():
    """A plait beside the head that is small in the photo."""
    plait = np.maximum(PERSON, (np.hypot(_X - 205, _Y - 150) < 14) | ((abs(_Y - 140) < 6) & (_X > 128) & (_X < 205)))
    assert _matte(_picture(plait), plait, PERSON)[np.hypot(_X - 205, _Y - 150) < 8].min() > 0.9


def test_a_hole_that_only_the_crop_has_is_closed():
    hole = np.hypot(_X - 150, _Y - 90) < 14
    assert _matte(_picture(PERSON), np.where(hole, 0, PERSON), PERSON)[hole].min() > 0.98


def test_a_small_hole_is_closed_and_a_large_one_is_not():
    small, large = np.hypot(_X - 150, _Y - 100) < 5, np.hypot(_X - 92, _Y - 158) < 14
    seen = np.where(small | large, 0, PERSON)
    out = _matte(_picture(np.where(large, 0, PERSON)), seen, seen)
    assert out[small].min() > 0.9
    assert out[np.hypot(_X - 92, _Y - 158) < 9].max() < 0.1


def test_a_whole_photo_that_misses_the_face_is_not_believed():
    out = _matte(_picture(PERSON), PERSON, np.zeros((SIZE, SIZE)))
    assert np.abs(out - PERSON).max() < 0.1


@pytest.mark.parametrize("seen", [0 * PERSON, PERSON * (_X < 128)], ids=["nothing of the face", "one half of it"])
def test_where_the_segmenter_fails_the_face_has_a_head_and_a_neck(seen):
    """Of a photo that shows hardly more than a face it may see nothing; far from the face that stays its affair."""
    out = _matte(_picture(np.ones((SIZE, SIZE))), seen, seen)
    away = np.hypot(_X - 128, _Y - 128)
    assert out[away < 22].min() > 0.95
    assert out[(away < 30 + 0.7 * MatteSettings().hair * 60) & (_Y < 128)].min() > 0.5
    assert out[158:, 128].min() > 0.5
    assert out[(away > 100) & ((_Y < 128) | (_X < 78) | (_X > 178))].max() < 0.05


def test_a_face_that_is_seen_is_the_persons_to_its_outline():
    """A hole in it, which is larger than what is closed, is none."""
    holed = np.where(np.hypot(_X - 128, _Y - 116) < 12, 0, PERSON)
    out = _matte(_picture(np.ones((SIZE, SIZE))), holed, holed)
    assert out[np.hypot(_X - 128, _Y - 128) < 22].min() > 0.95


def test_what_is_worn_in_a_bite_of_the_outline_is_the_persons():
    """A clip where hair and a plait meet, which no look takes for the person; what lies beside it stays background."""
    plait = np.hypot(_X - 200, _Y - 165) < 34
    clip = (abs(_X - 200) < 4.5) & (abs(_Y - 125) < 6)
    image = _picture(np.maximum(PERSON, plait))
    image[clip] = 20
    seen = np.where(clip, 0, np.maximum(PERSON, plait))
    out = _matte(image, seen, seen)
    assert out[clip].mean() > 0.9
    assert out[(abs(_X - 230) < 6) & (abs(_Y - 105) < 6)].max() < 0.05


def test_a_blurred_edge_before_a_plain_wall_reaches_as_far_as_its_colour():
    soft = np.clip((80 - np.hypot(_X - 128, _Y - 128)) / 12, 0, 1)
    tight = (soft > 0.5).astype(float)
    out = _matte(_picture(soft), tight, tight)
    outside = (soft > 0.25) & (soft < 0.45)
    assert np.abs(out - soft)[outside].mean() < 0.1


def test_a_shadow_on_the_wall_that_goes_on_beyond_an_edge_is_no_edge():
    """Of a light skin before a white wall, a shadow has the colour in part; it is broader than an edge is."""
    away = np.hypot(_X - 128, _Y - 128)
    part = np.maximum(PERSON, 0.35 * ((away > 70) & (away < 79)))[..., None]
    noise = np.random.default_rng(0).normal(0, 1, (SIZE, SIZE, 3))
    image = (part * [212, 163, 150] + (1 - part) * [221, 224, 232] + noise).round().astype(np.uint8)
    out = _matte(image, PERSON, PERSON)
    assert out[(away > 72) & (away < 75)].mean() < 0.05
    assert out[PERSON == 1].min() > 0.95


def test_the_edge_comes_from_the_colours():
    """A strand of half-covered pixels beside the disc, of which the segmenter's coarse edge knows nothing."""
    strand = (abs(_Y - 128) < 1.5) & (_X > 196) & (_X < 206)
    truth = np.where(strand, 0.6, PERSON)
    coarse = np.clip((78 - np.hypot(_X - 128, _Y - 128)) / 16, 0, 1)  # an edge of 16 pixels
    out = _matte(_picture(truth), coarse, coarse)
    assert np.abs(out - truth)[strand].max() < 0.15
    assert np.abs(out - truth).mean() < 0.2 * np.abs(coarse - truth).mean()


def test_where_colours_tell_nothing_the_segmenter_is_asked():
    """Knit of all greys before a wall of the same mean, in blocks of eight pixels that differ by a level."""
    rng = np.random.default_rng(0)
    wall = 150 + np.kron(rng.integers(0, 3, (SIZE // 8, SIZE // 8)), np.ones((8, 8)))
    knit = cv2.GaussianBlur(rng.normal(0, 1, (SIZE, SIZE)), (0, 0), 1.5)
    knit = 150 + 20 * knit / knit.std()
    grey = np.where(PERSON > 0.5, np.kron(knit[::8, ::8], np.ones((8, 8))) * 0.3 + knit * 0.7, wall)
    image = np.repeat(grey.clip(0, 255).round().astype(np.uint8)[..., None], 3, 2)
    soft = np.clip((74 - np.hypot(_X - 128, _Y - 128)) / 8, 0, 1)
    out = _matte(image, soft, soft)
    edge = (soft > 0) & (soft < 1)
    assert np.abs(out - soft)[edge].mean() < 0.08
    assert np.abs(out - soft).max() < 0.45


def test_separation_is_fisher_s_ratio():
    """Two halves of known means and variances; the window sees both."""
    rng = np.random.default_rng(0)
    left = np.arange(64) < 32
    colors = (np.where(left, 0.3, 0.5) + np.where(left, 0.05, 0.1) * rng.normal(0, 1, (64, 64)))[..., None].repeat(3, 2)
    person = np.broadcast_to(left, (64, 64))
    where = np.zeros((64, 64), bool)
    where[32, 32] = where[40, 20] = True
    found = separation(colors.astype(np.float32), person, ~person, where, 41, 0.01)
    assert found[0] == pytest.approx(3 * 0.2**2 / (3 * (0.05**2 + 0.1**2) + 0.01**2), rel=0.15)


def _laplacian(colors: np.ndarray, epsilon: float) -> np.ndarray:
    """The matting Laplacian of a picture (H, W, 3) in 0..1 as a dense matrix, window by window as the paper has it."""
    height, width = colors.shape[:2]
    out, number = np.zeros((height * width,) * 2), np.arange(height * width).reshape(height, width)
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            window = np.s_[y - 1 : y + 2, x - 1 : x + 2]
            seen, at = colors[window].reshape(9, 3), number[window].ravel()
            off = seen - seen.mean(0)
            inverse = np.linalg.inv(off.T @ off / 9 + epsilon / 9 * np.eye(3))
            out[np.ix_(at, at)] += np.eye(9) - (1 + off @ inverse @ off.T) / 9
    return out


@pytest.mark.parametrize("unknown_share", [0.3, 1.0])
def test_unknown_pixels_are_solved_for_as_levins_matrices_say(unknown_share: float):
    """On a small picture: pixels at its borders have fewer neighbours, and the unknown ones lie in many pieces."""
    rng = np.random.default_rng(3)
    colors, unknown = rng.integers(0, 256, (9, 11, 3)).astype(np.uint8), rng.random((9, 11)) < unknown_share
    shown, weight = rng.random((9, 11)), rng.uniform(0.05, 1, unknown.sum())
    dense, own = _laplacian(colors / 255, 1e-3), np.flatnonzero(unknown)
    pieces = []
    for number, (y, x) in enumerate(np.argwhere(unknown)):
        if x == 0 or not unknown[y, x - 1]:
            pieces.append([y, x, number, number])
        pieces[-1][3] += 1
    places = np.array(pieces)
    weights = matting_weights(colors, places, weight.astype(np.float32), 1e-3)
    made = np.empty(len(own), np.float32)
    weighted(weights, places, np.pad(shown.astype(np.float32), 2), made)
    np.testing.assert_allclose(made, dense[own] @ shown.ravel() + weight * shown[unknown], atol=1e-5)
    right = rng.random(len(own)).astype(np.float32)
    solved = conjugate_gradients(weights, places, unknown.shape, right, np.zeros_like(right), 1e-6, 1000)
    exact = np.linalg.solve(dense[np.ix_(own, own)] + np.diag(weight), right)
    np.testing.assert_allclose(solved, exact, atol=1e-4)


def test_the_border_of_the_photo_is_no_edge_of_the_person():
    body = np.maximum(PERSON, (abs(_X - 128) < 50) & (_Y > 128))
    inside = _Y < 220
    out = _matte(_picture(body), body, body, inside)
    assert out[215:220, 90:166].min() > 0.98
    assert not out[220:].any()


@pytest.mark.parametrize("turns", range(4))
def test_bars_of_one_colour_are_not_the_picture(turns: int):
    image = np.random.default_rng(1).integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
    image[:20] = 0
    image[-9:] = 255
    shown = without_bars(np.rot90(image, turns))
    expected = np.ones((SIZE, SIZE), bool)
    expected[:20] = expected[-9:] = False
    np.testing.assert_array_equal(shown, np.rot90(expected, turns))


def test_a_plain_background_or_a_plain_picture_has_no_bar():
    flat = np.full((SIZE, SIZE, 3), 90, np.uint8)
    assert without_bars(flat).all()
    assert without_bars(_picture(PERSON)).all()  # a person before a wall
    image = np.random.default_rng(1).integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
    image[0] = 0  # a single row is none
    assert without_bars(image).all()


def test_the_shown_crop_is_seen_larger_than_the_wide_one():
    asked = []

    def segment(picture: np.ndarray) -> np.ndarray:
        asked.append(picture.shape)
        return np.full(picture.shape[:2], len(asked) / 4, np.float32)

    out = two_looks(_picture(PERSON), MARGIN, segment, MatteSettings(seam=16))
    assert asked == [(SIZE, SIZE, 3), (SIZE - 2 * MARGIN,) * 2 + (3,)]
    assert (out[:MARGIN] == 0.25).all()
    assert out[128, 128] == 0.5
