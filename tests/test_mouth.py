"""The inside of the mouth: its outline, its colours and what is painted."""

from __future__ import annotations

import numpy as np
import pytest

from core.libs.face_light import display, linear, luminance
from core.libs.flame_model import FLAMEModel
from core.libs.flame_model import topology as topo
from core.libs.geometry import to_camera, to_pixels
from core.libs.mesh import rasterize_mesh
from core.models.LiftedAvatar.chin import chin_triangles, spread_chin, unflip_chin, unfold_chin
from core.models.LiftedAvatar.mouth import build_mouth, draw_mouth
from core.models.LiftedAvatar.mouth.colours import mouth_colours, softness, tooth_colour
from core.models.LiftedAvatar.mouth.draw import _view
from core.models.LiftedAvatar.mouth.kernel import lay_behind, paint
from core.models.LiftedAvatar.mouth.outline import subdivision
from core.models.LiftedAvatar.mouth.settings import MouthSettings
from core.models.LiftedAvatar.mouth.slit import onto_lips
from core.models.LiftedAvatar.mouth.teeth import row_table
from tests import mouth_twin

FRONT = np.concatenate([np.diag([-1.0, 1.0, -1.0]), [[0.02], [0.05], [12.0]]], 1)
TURNED = np.concatenate([[[-0.85, 0.1, 0.51717], [0.0, 0.98187, -0.18956], [-0.52678, -0.16113, -0.8346]],
                         [[0.02], [0.05], [12.0]]], 1)  # fmt: skip
SHOWS = np.array([0.3, 0.2, 0.6, 0.9], np.float32)


@pytest.fixture(scope="module")
def face():
    """The built-in head at rest, upright as in head space: points (478, 3)."""
    return np.asarray(FLAMEModel().template)[: topo.N_POINTS].astype(np.float64)


def opened(face: np.ndarray, millimetres: float) -> np.ndarray:
    """The face with its lower lip and chin lowered, the lip's middle by so much."""
    face = face.copy()
    ring = list(topo.INNER_LIPS[11:])
    shape = np.sin(np.linspace(0, np.pi, 11))[1:-1]
    face[ring, 1] = face[list(topo.INNER_LIPS[1:10][::-1]), 1] - 0.005 * millimetres * shape
    face[list(topo.CHIN), 1] -= 0.005 * millimetres * 0.8
    return face


def mouth_of(face: np.ndarray, transform: np.ndarray = FRONT, seed: int = 0, skin=(0.8, 0.6, 0.5)):
    """The mouth of a photo of one colour with a little noise, shut in it."""
    image = np.clip(np.array(skin) + np.random.default_rng(seed).normal(0, 0.02, (512, 512, 3)), 0, 1)
    joint = np.asarray(FLAMEModel().joint_regressor @ FLAMEModel().template)[2].astype(np.float64)
    pixels = to_pixels(to_camera(face, transform))
    return build_mouth(face, joint, face, image.astype(np.float32), pixels, transform, 0)


def view_of(face: np.ndarray, millimetres: float, transform: np.ndarray, shows: np.ndarray | None):
    vertices = opened(face, millimetres)
    pixels = to_pixels(to_camera(vertices, transform))
    return _view(mouth_of(face), vertices, pixels, transform, shows), pixels


@pytest.mark.parametrize("transform", [FRONT, TURNED])
@pytest.mark.parametrize("shows", [None, SHOWS])
@pytest.mark.parametrize("millimetres", [3.0, 9.0, 30.0])
def test_the_kernel_is_its_twin(face, millimetres, shows, transform):
    view, pixels = view_of(face, millimetres, transform, shows)
    random = np.random.default_rng(7)
    photo = random.uniform(0, 0.8, (72, 192, 4)).astype(np.float32)
    view = view._replace(photo=photo)  # a texture that is everywhere
    x0, y0 = pixels[list(topo.INNER_LIPS)].min(0).astype(int) - 3
    out = np.empty((60, 90, 3), np.float32)
    shown = np.ones((60, 90), np.float32)
    shown[:, :2] = 0
    paint(out, x0, y0, shown, view)
    expected = mouth_twin.painted(view, x0, y0, 60, 90)
    np.testing.assert_allclose(out[:, 2:], expected[:, 2:], atol=2e-3)
    assert (out[:, :2] == 0).all()
    image = random.uniform(0, 1, (512, 512, 4)).astype(np.float32)
    cover, distance = (random.uniform(0, k, (60, 90)).astype(np.float32) for k in (1, 6))
    cover[5:9] = 0
    settings = [np.float32(v) for v in (0.5, 0.35, 1.1)]
    behind = mouth_twin.laid_behind(image, x0, y0, out, cover, distance, view, *settings)
    lay_behind(image, x0, y0, out, cover, distance, view, *settings)
    np.testing.assert_allclose(image, behind, atol=2e-5)


def test_shut_lips_draw_nothing(face):
    image = np.random.default_rng(0).uniform(0, 1, (512, 512, 4)).astype(np.float32)
    for millimetres in (0.0, 0.7):
        vertices, before = opened(face, millimetres), image.copy()
        pixels = to_pixels(to_camera(vertices, FRONT))
        draw_mouth(image, mouth_of(face), vertices, pixels, FRONT, SHOWS)
        np.testing.assert_array_equal(image, before)


def test_only_the_opening_changes_and_all_of_it(face):
    vertices = opened(face, 20.0)
    pixels = to_pixels(to_camera(vertices, FRONT))
    image = np.zeros((512, 512, 4), np.float32)
    image[..., 1] = 1  # green: none of it may be left inside
    before = image.copy()
    draw_mouth(image, mouth_of(face), vertices, pixels, FRONT)
    import cv2

    ring = pixels[list(topo.INNER_LIPS)].astype(np.float32)
    y, x = np.nonzero(np.abs(image - before).max(-1) > 1e-3)
    assert min(cv2.pointPolygonTest(ring, (float(a), float(b)), True) for a, b in zip(x, y, strict=True)) > -4
    inner = [(a, b) for a in range(200, 312) for b in range(200, 400) if cv2.pointPolygonTest(ring, (a, b), True) > 3]
    assert len(inner) > 300
    colours = np.array([image[b, a, :3] for a, b in inner])
    assert (colours[:, 0] >= colours[:, 1] - 0.01).all()  # flesh and ivory, never green
    assert colours.max() <= display(1.12 * mouth_of(face).colours.teeth).max()
    assert luminance(colours).std() > 0.05


def test_no_window_reaches_beyond_the_picture(face):
    for shift in ([-0.9, 0, 0], [0.9, 0, 0], [0, 0.75, 0], [0, -1.2, 0], [5, 5, 0]):
        transform = FRONT.copy()
        transform[:, 3] += shift
        image = np.zeros((512, 512, 4), np.float32)
        vertices = opened(face, 15.0)
        draw_mouth(image, mouth_of(face), vertices, to_pixels(to_camera(vertices, transform)), transform, SHOWS)
        assert np.isfinite(image).all()


@pytest.mark.parametrize(("millimetres", "turns"), [(4.0, 0.8), (12.0, 0.6), (30.0, 0.6)])
def test_the_outline_turns_less_and_stays(face, millimetres, turns):
    pixels = to_pixels(to_camera(opened(face, millimetres), FRONT))[list(topo.INNER_LIPS)]
    smooth = subdivision(20) @ pixels
    sides = np.linalg.norm(np.roll(pixels, -1, 0) - pixels, axis=1).mean()
    assert mouth_twin.turning(smooth).max() < turns * mouth_twin.turning(pixels).max()
    nearest = np.linalg.norm(smooth[:, None] - pixels, axis=-1).min(0)
    assert nearest.max() < 0.35 * sides


def test_subdivision_of_a_circle_is_a_circle():
    angles = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    smooth = subdivision(20) @ np.stack([np.cos(angles), np.sin(angles)], 1)
    assert np.linalg.norm(smooth, axis=1) == pytest.approx(np.full(80, 0.99), abs=0.01)
    np.testing.assert_allclose(subdivision(20).sum(1), 1)


def test_teeth_are_ivory_to_amber_for_any_skin():
    random = np.random.default_rng(0)
    for skin in [*random.uniform(0.01, 1, (300, 3)), [0.02, 0.02, 0.02], [1, 1, 1], [0.9, 0.1, 0.05], [0.2, 0.3, 0.9]]:
        red, green, blue = tooth_colour(np.array(skin))
        assert red >= green >= blue > 0
        assert luminance(np.array([red, green, blue])) == pytest.approx(
            (0.80 * luminance(np.array(skin)) ** (1 / 2.2) + 0.12) ** 2.2
        )


def test_a_grey_photo_has_a_grey_mouth_and_a_sepia_one_a_sepia_one(face):
    random = np.random.default_rng(0)
    pixels = to_pixels(to_camera(face, FRONT))
    grey = np.clip(0.6 + random.normal(0, 0.15, (512, 512, 1)), 0.05, 1)
    for tone in (np.ones(3), np.array([1.0, 0.85, 0.65])):
        colours = mouth_colours((grey * tone).astype(np.float32), pixels)
        for colour in (colours.teeth, colours.tissue, colours.dark):
            np.testing.assert_allclose(colour / colour[0], linear(tone), rtol=0.02)
    coloured = np.clip(grey * [1, 0.8, 0.7] + random.normal(0, 0.1, (512, 512, 3)), 0.05, 1)
    tissue = mouth_colours(coloured.astype(np.float32), pixels).tissue
    assert tissue[0] > 1.8 * tissue[1]


def test_softness_grows_with_the_blur_of_edges(face):
    """Not below it, and above it by the gradients that are not an edge's steepest."""
    import cv2

    pixels = to_pixels(to_camera(opened(face, 10), FRONT))
    sharp = np.zeros((512, 512, 3), np.float32)
    for ring in (topo.OUTER_LIPS, topo.RIGHT_EYE, topo.LEFT_EYE):
        cv2.fillPoly(sharp, [pixels[list(ring)].round().astype(np.int32)], (1, 1, 1))
    blurs = np.array([0.6, 0.8, 1.2, 2.0, 2.5])
    found = [softness(cv2.GaussianBlur(sharp, (0, 0), s), pixels) for s in blurs]
    assert found == sorted(found)
    assert ((found > blurs) & (found < blurs + 0.5)).all()


def test_a_row_has_its_teeth_along_the_arch():
    row = MouthSettings().upper
    table = row_table(row)
    x = np.arange(len(table)) / 8
    borders = x[np.flatnonzero((table[1:-1, 0] < table[:-2, 0]) & (table[1:-1, 0] <= table[2:, 0])) + 1]
    # The arch's length to each of them, by summing it up, is that of the teeth before.
    arch = np.cumsum(np.hypot(1 / 80, np.gradient(0.0275 * (np.arange(2401) / 80) ** 2)))
    length = np.interp(borders, np.arange(2401) / 80, arch)
    np.testing.assert_allclose(length, np.cumsum(row.widths)[: len(borders)], atol=0.25)
    assert len(borders) == 5
    assert (table[:, 2] <= 1).all()
    assert table[:, 2].min() > 0.75


def test_what_the_driver_shows_is_drawn(face):
    """Without teeth and tongue a round dark hole; with them light above and below, and red between."""
    vertices = opened(face, 24.0)
    pixels = to_pixels(to_camera(vertices, FRONT))

    def drawn(*shows: float) -> np.ndarray:
        image = np.zeros((512, 512, 4), np.float32)
        draw_mouth(image, mouth_of(face), vertices, pixels, FRONT, np.array(shows, np.float32))
        top, bottom = pixels[[13, 14], 1].round().astype(int)
        return image[top + 2 : bottom - 1, int(pixels[13, 0]) + 3, :3]

    dark, told = drawn(0, 0, 0, 0.2), drawn(0.35, 0.18, 0.6, 1.0)
    third = len(dark) // 3
    assert luminance(told[:third]).max() > 3 * luminance(dark[:third]).max()
    assert luminance(told[-third:]).mean() > 1.5 * luminance(dark[-third:]).mean()
    light = [luminance(drawn(0, 0, 0.8, glow))[third:].mean() for glow in (0.4, 0.7, 1.0)]
    assert light == sorted(light)


def test_the_chin_is_not_folded_and_else_left_alone(face):
    assert unfold_chin(face, face) is face
    pulled = face.copy()
    pulled[[17, 84, 314], 1] -= 0.06  # the lip's edge, 12 mm down, over the chin's groove
    out = unfold_chin(pulled, face)
    chain = [17, 18, 200, 199, 175, 152]
    assert (np.diff(pulled[chain, 1]) > 0).any()
    assert (np.diff(out[chain, 1]) < 0).all()
    np.testing.assert_array_equal(out[:, [0, 2]], pulled[:, [0, 2]])
    assert (out[:, 1] <= pulled[:, 1]).all()
    np.testing.assert_array_equal(out[list(topo.INNER_LIPS)], pulled[list(topo.INNER_LIPS)])


def test_a_lip_pulled_up_stretches_the_chin_evenly(face):
    assert spread_chin(face, face) is face
    pulled, chain = face.copy(), [17, 18, 200, 199, 175, 152]
    first = float(face[17, 1] - face[18, 1])
    pulled[17, 1] += 0.5 * first  # the skin below is half as long again
    out = spread_chin(pulled, face)
    ratios = np.diff(out[chain, 1]) / np.diff(face[chain, 1])
    assert ratios[:2] == pytest.approx([1.1, 1.1])  # `most`
    assert ratios.max() < 1.1001
    assert ratios.min() > 0.999
    np.testing.assert_array_equal(out[[17, 152]], pulled[[17, 152]])
    # A jaw that opens stretches all of it, and goes on doing so.
    opened = face.copy()
    opened[chain, 1] = face[17, 1] + 1.4 * (face[chain, 1] - face[17, 1])
    np.testing.assert_allclose(spread_chin(opened, face)[chain], opened[chain], atol=1e-6)


def test_a_lip_pulled_sideways_turns_no_triangle_of_the_chin(face):
    triangles = chin_triangles(np.asarray(FLAMEModel().faces))

    def areas(points: np.ndarray) -> np.ndarray:
        a, b, c = (points[triangles[:, k], :2] for k in range(3))
        return (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]

    assert unflip_chin(face, face, triangles) is face
    pulled, lip = face.copy(), [405, 321, 375]
    pulled[lip, :2] += [0.05, -0.04]  # 13 mm to the side and down, over the skin beside it
    assert (areas(pulled) / areas(face)).min() < -0.2
    out = unflip_chin(pulled, face, triangles)
    assert (areas(out) / areas(face)).min() > -0.01
    np.testing.assert_array_equal(out[lip], pulled[lip])
    np.testing.assert_array_equal(out[:, 2], pulled[:, 2])
    assert np.abs(out - pulled).max() < 0.08


def test_pixels_between_touching_lips_go_with_the_nearer_one():
    """Two triangles as lips, a slit of three pixels between them: up with the upper, down with the lower one."""
    pixels = np.zeros((478, 2))
    left, upper, right, lower = (topo.INNER_LIPS[k] for k in (0, 5, 10, 15))
    pixels[[left, right, upper, lower]] = [[2, 20], [58, 20], [30, 18.4], [30, 21.6]]
    pixels[[0, 17]] = [[30, 2], [30, 38]]  # beyond both lips
    triangles = np.array([[left, upper, 0], [upper, right, 0], [left, lower, 17], [lower, right, 17],
                          [left, upper, lower], [upper, right, lower]], np.int32)  # fmt: skip
    faces, bary = rasterize_mesh(pixels, np.ones(478), triangles, 60)
    assert (faces >= 4).sum() > 60
    moved, weights = onto_lips(faces, bary, pixels, triangles)
    assert (moved < 4).all()
    y, x = np.nonzero(moved >= 0)
    there = (weights[y, x][..., None] * pixels[triangles[moved[y, x]]]).sum(1)
    np.testing.assert_allclose(there, np.stack([x, y], 1), atol=1e-3)  # where they were
    assert set(moved[19, 25:35]) <= {0, 1}
    assert set(moved[21, 25:35]) <= {2, 3}
    np.testing.assert_array_equal(moved[faces < 4], faces[faces < 4])


def test_teeth_under_an_orange_light_are_no_lemons():
    """Their hue, in degrees from red to yellow, stays that of skin and lamps; that of neutral light is ivory's."""
    import colorsys

    for skin, hue in (((0.84, 0.51, 0.38), 30), ((0.78, 0.48, 0.36), 30), ((0.93, 0.85, 0.83), 42)):
        tooth = display(tooth_colour(linear(np.array(skin))))
        assert 360 * colorsys.rgb_to_hsv(*tooth)[0] < hue


def test_teeth_are_as_large_as_the_mouth():
    usual = MouthSettings()
    for width, scale in ((50.0, 1.0), (45.0, 0.9), (20.0, 0.84), (80.0, 1.05)):
        sized = usual.sized(width)
        assert sized.upper.widths[0] == pytest.approx(scale * usual.upper.widths[0])
        depth = [s.shape.arch * s.shape.half_width**2 for s in (usual, sized)]  # of the row's end
        assert depth[1] == pytest.approx(scale * depth[0])
