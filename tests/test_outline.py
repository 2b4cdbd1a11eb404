"""The mesh of a photo's face, drawn in to where the photo's face ends."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from synthetic_head import a_frame

from core.data.records import IMAGE_SIZE
from core.libs.flame_model import OpenHead
from core.libs.flame_model import topology as topo
from core.libs.geometry import Camera, head_rotation, to_camera
from core.libs.mesh import rasterize_mesh
from core.libs.tracker.outline import (
    OutlineSettings,
    inward_moves,
    outward_moves,
    within_outline,
    without_short_pieces,
)
from core.libs.tracker.source import MARGIN

SIDE, RADIUS, MIDDLE = 240, 80, 120
SKIN, HAIR = [190, 140, 115], [25, 20, 13]


def disc(radius: float, side: int = SIDE, middle: float = MIDDLE) -> np.ndarray:
    y, x = np.mgrid[:side, :side]
    return np.hypot(x - middle, y - middle) <= radius


def surface(shown: np.ndarray) -> np.ndarray:
    """A flat mesh."""
    return np.where(shown, 0.0, np.nan)


def flat(places: np.ndarray) -> np.ndarray:
    return np.c_[places, np.zeros(len(places))]


@pytest.mark.parametrize("too_much", [3, 8])
def test_points_move_by_what_the_outline_is_off_and_less_the_farther_inside_they_are(too_much):
    """A disc that is the person's but for a rim of its right half."""
    settings = OutlineSettings()
    person = np.where(np.arange(SIDE)[None] > MIDDLE, disc(RADIUS - too_much), disc(RADIUS)).astype(np.float32)
    reach, half = settings.reach * 2 * RADIUS, settings.reach * RADIUS
    places = MIDDLE + np.array([[RADIUS, 0], [0.8 * RADIUS, -0.6 * RADIUS], [RADIUS - half, 0], [-RADIUS, 0],
                                [RADIUS - reach - 1, 0], [0, 0]])  # fmt: skip
    moves = inward_moves(flat(places), surface(disc(RADIUS)), person)
    wanted = too_much * np.array([[-1, 0], [-0.8, 0.6], [-0.5, 0], [0, 0], [0, 0], [0, 0]])
    assert np.abs(moves - wanted).max() < 1.0


def test_what_is_no_error_of_an_outline_moves_nothing():
    """The person begins far inside, as behind a hand; a speck beside the rim; a mesh inside the person; none at all."""
    rim = MIDDLE + np.array([[RADIUS, 0.0], [0.0, RADIUS]])
    for person, shown in (
        (disc(RADIUS - 30), disc(RADIUS)),
        (disc(RADIUS), disc(RADIUS)),
        (disc(RADIUS + 9), disc(RADIUS)),
        (disc(RADIUS), np.zeros((SIDE, SIDE), bool)),
    ):
        assert np.abs(inward_moves(flat(rim), surface(shown), person.astype(np.float32))).max() < 0.6
    before = flat(rim) - [0, 0, 200]  # as a nose is before a cheek
    assert np.abs(inward_moves(before, surface(disc(RADIUS)), disc(RADIUS - 5).astype(np.float32))).max() == 0
    speck = disc(RADIUS - 5) | (disc(RADIUS) & (np.hypot(*(np.mgrid[:SIDE, :SIDE] - MIDDLE)) > RADIUS - 1))
    moves = inward_moves(flat(rim), surface(disc(RADIUS)), speck.astype(np.float32))
    assert np.abs(np.linalg.norm(moves, axis=1) - 5).max() < 1  # a line one pixel wide is not the person


@pytest.mark.parametrize("left_out", [2, 4])
def test_points_move_out_to_where_the_person_ends(left_out):
    """A disc whose right half the mesh leaves a rim of out; a point that stays, and one halfway to it."""
    settings, right = OutlineSettings(), np.arange(SIDE)[None] > MIDDLE
    shown = disc(RADIUS - left_out)
    skin = (disc(RADIUS) & ~shown & right).astype(np.float32)
    person = np.where(right, disc(RADIUS), shown).astype(np.float32)
    rim = RADIUS - left_out
    reach = settings.reach * 2 * rim
    places = flat(MIDDLE + np.array([[rim, 0], [0.8 * rim, -0.6 * rim], [rim - reach / 2, 0], [-rim, 0], [0, 0]]))
    still = np.zeros(len(places), bool)

    def moves(skin: np.ndarray, person: np.ndarray, still: np.ndarray) -> np.ndarray:
        return outward_moves(places, surface(shown), skin, person, still)

    wanted = left_out * np.array([[1, 0], [0.8, -0.6], [0.5, 0], [0, 0], [0, 0]])
    assert np.abs(moves(skin, person, still) - wanted).max() < 1.0
    still[2] = True
    assert np.abs(moves(skin, person, still)[[0, 2]] - wanted[[0, 3]] * [[0.5], [0]]).max() < 1.0


def test_what_goes_on_beside_the_face_is_not_the_faces():
    """Hair beside a rim of skin, a broad neck, hair and a strand of the skin's colour, hair of another."""
    shown, everything = disc(RADIUS - 4), np.ones((SIDE, SIDE), np.float32)
    rim = disc(RADIUS) & ~shown
    strand = rim & (np.abs(np.arange(SIDE)[:, None] - MIDDLE) < 5)
    neck, hair = disc(RADIUS + 40) & ~shown, disc(RADIUS + 6) & ~shown
    places, nothing = flat(MIDDLE + np.array([[RADIUS - 4.0, 0.0], [0.0, RADIUS - 4.0]])), np.zeros(2, bool)
    for skin, person in (
        (rim, everything),
        (neck, shown | neck),
        (hair, shown | hair),
        (strand, shown | strand),
        (rim & False, shown | rim),
    ):
        moves = outward_moves(places, surface(shown), skin.astype(np.float32), person.astype(np.float32), nothing)
        assert np.abs(moves).max() < 0.6


def test_short_pieces_are_the_faces():
    """A strand of hair over the rim, and a crack; not a rim all along."""
    shown, x, y = disc(RADIUS), np.arange(SIDE)[None], np.arange(SIDE)[:, None]
    strand = shown & (x > MIDDLE + RADIUS - 6) & (np.abs(y - MIDDLE) < 5)
    crack = shown & (np.abs(x - MIDDLE) < 5) & (y == MIDDLE)
    rim = shown & ~disc(RADIUS - 4) & (x < MIDDLE)
    person = np.where(strand | crack | rim, 0.0, 1.0).astype(np.float32)
    assert (without_short_pieces(person, shown) == np.where(rim, 0, 1)).all()


@pytest.fixture(scope="module")
def head() -> OpenHead:
    return OpenHead()


@pytest.fixture(scope="module")
def frame(head):
    """A three-quarter view with an open jaw."""
    frame = replace(a_frame(np.random.default_rng(3), expression=0.0), posecode=np.zeros(6, np.float32))
    frame.posecode[3] = 0.2
    transform = frame.transform_matrix.copy()
    transform[:, :3] = head_rotation(np.radians([0.0, 38.0, 0.0]))
    return replace(frame, transform_matrix=transform, static_offset=np.zeros((len(head.template), 3), np.float32))


def seen(head: OpenHead, frame, camera: Camera, margin: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The face's points in the wide crop, their depth, and where the mesh is."""
    face = to_camera(head.evaluate(frame)[: topo.N_FACE].astype(np.float64), frame.transform_matrix)
    places = camera.to_pixels(face) + margin
    triangles = head.faces.numpy()
    triangles = triangles[(triangles < topo.N_FACE).all(1)].astype(np.int32)
    shown, _ = rasterize_mesh(places, face[:, 2], triangles, camera.size + 2 * margin)
    return places, face[:, 2], shown >= 0


def shrunk(shown: np.ndarray, by: int) -> np.ndarray:
    """The mesh's silhouette less some pixels of its sides; its holes filled."""
    contours, _ = cv2.findContours(shown.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    full = cv2.drawContours(np.zeros(shown.shape, np.uint8), contours, -1, 1, cv2.FILLED)
    return cv2.erode(full, np.ones((1, 2 * by + 1), np.uint8)) > 0


@pytest.mark.parametrize("times", [1, 2])
def test_the_mesh_ends_where_the_person_does_in_pictures_of_any_size(head, frame, times):
    camera, margin, by = Camera(times * IMAGE_SIZE), times * MARGIN, 5 * times
    side = camera.size + 2 * margin
    places, depth, shown = seen(head, frame, camera, margin)
    matte = shrunk(shown, by).astype(np.float32)
    picture = np.broadcast_to(np.array(SKIN, np.uint8), (side, side, 3))
    everywhere = np.ones((side, side), bool)
    found = within_outline(frame, head, picture, matte, everywhere, margin, camera)
    moved, new_depth, now = seen(head, found, camera, margin)
    assert (shown & (matte == 0)).sum() > 1000 * times
    assert (now & (matte == 0)).sum() < 0.3 * (shown & (matte == 0)).sum()
    assert (~now & shown & (matte > 0)).sum() < 0.3 * (shown & (matte == 0)).sum()
    assert np.abs(new_depth - depth).max() < 1e-3  # in the picture plane
    assert np.abs(moved - places).max() < 2.5 * by
    inner = [1, 4, 13, 14, 168, 33, 133, 362, 61]  # nose, lips, eyes
    assert np.abs(moved - places)[inner].max() < 0.5 * times
    assert within_outline(frame, head, picture, matte, ~everywhere, margin, camera) is frame  # nobody knows of an end
    assert within_outline(frame, head, picture, shown.astype(np.float32), everywhere, margin, camera) is not None


def test_hair_beside_the_far_cheek_is_beyond_the_outline(head, frame):
    """Hair over the mesh's rim on both sides; the person goes on beyond. On the near side it is hair over the face."""
    places, _, shown = seen(head, frame, Camera(), MARGIN)
    side = IMAGE_SIZE + 2 * MARGIN
    skin = shrunk(shown, 5)
    picture = np.where(skin[..., None], SKIN, HAIR).astype(np.uint8)
    person = np.ones((side, side), np.float32)
    found = within_outline(frame, head, picture, person, person > 0, MARGIN, Camera())
    moved, _, now = seen(head, found, Camera(), MARGIN)
    columns = np.arange(side)[None]
    nose, oval = places[1, 0], places[list(topo.FACE_OVAL), 0]
    far = columns < nose if nose < oval.mean() else columns > nose
    middle = np.abs(np.arange(side)[:, None] - places[1, 1]) < 0.15 * np.ptp(places[:, 1])
    before, after = (a & ~skin & middle for a in (shown, now))
    assert (before & far).sum() > 300
    assert (after & far).sum() < 0.5 * (before & far).sum()
    assert (after & ~far).sum() > 0.95 * (before & ~far).sum()
    assert np.abs(moved - places).max() > 3


@pytest.mark.parametrize("hair", [False, True])
def test_skin_beside_the_far_cheek_is_within_the_outline_where_the_background_follows(head, frame, hair):
    """The mesh leaves out a rim on both sides; on the near one it is taken for an ear, and hair hides where it ends."""
    places, _, shown = seen(head, frame, Camera(), MARGIN)
    contours, _ = cv2.findContours(shown.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    full = cv2.drawContours(np.zeros(shown.shape, np.uint8), contours, -1, 1, cv2.FILLED)
    skin = cv2.dilate(full, np.ones((1, 11), np.uint8)) > 0
    picture = np.where(skin[..., None], SKIN, HAIR).astype(np.uint8)
    matte = np.ones(skin.shape, np.float32) if hair else skin.astype(np.float32)
    found = within_outline(frame, head, picture, matte, np.ones_like(skin), MARGIN, Camera())
    moved, _, now = seen(head, found, Camera(), MARGIN)
    columns = np.arange(len(skin))[None]
    nose, oval = places[1, 0], places[list(topo.FACE_OVAL), 0]
    far = (columns < oval.mean()) == (nose < oval.mean())
    middle = np.abs(np.arange(len(skin))[:, None] - places[1, 1]) < 0.15 * np.ptp(places[:, 1])
    before, after = (skin & ~a & middle for a in (full > 0, now))
    assert (before & far).sum() > 300
    assert (after & ~far).sum() == (before & ~far).sum()
    if hair:
        assert (after & far).sum() == (before & far).sum()
    else:
        assert (after & far).sum() < 0.3 * (before & far).sum()
        lips_and_eyes = [*topo.OUTER_LIPS, *topo.INNER_LIPS, *topo.RIGHT_EYE, *topo.LEFT_EYE]
        assert np.abs(moved - places)[lips_and_eyes].max() < 0.5
        assert np.abs(moved - places).max() > 3
