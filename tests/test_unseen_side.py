"""The side of the face that the photo does not show: its outline and its colours."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from synthetic_head import a_frame

from core.data.records import IMAGE_SIZE, TrackedSource
from core.libs.flame_model import FLAMEModel, head_mirror
from core.libs.flame_model import topology as topo
from core.libs.geometry import Camera, head_rotation, to_camera, to_pixels
from core.libs.mesh import build_proxy_mesh, find_not_skin, rasterize_mesh, triangle_normals, view_cosine
from core.libs.tracker.source import MARGIN
from core.models.LiftedAvatar.inpaint import find_fringe, find_loose_rim
from core.models.LiftedAvatar.inpaint.texture import border_points, face_colors, nose_points
from core.models.LiftedAvatar.inpaint.visibility import edge_on_triangles, turned_away, visible_points
from core.models.LiftedAvatar.models import LiftedAvatar
from core.models.LiftedAvatar.settings import LiftedSettings

SKIN = np.array([0.75, 0.55, 0.45])
SIDE = IMAGE_SIZE + 2 * MARGIN
MOST = LiftedSettings().texture.max_relief


def turned(frame, yaw: float):
    """The frame with the head at `yaw` degrees and upright."""
    transform = frame.transform_matrix.copy()
    transform[:, :3] = head_rotation(np.radians([0.0, yaw, 0.0]))
    return replace(frame, transform_matrix=transform)


@pytest.fixture(scope="module")
def frame():
    """A three-quarter view."""
    frame = replace(a_frame(np.random.default_rng(3), expression=0.0), posecode=np.zeros(6, np.float32))
    return turned(frame, 38)


@pytest.fixture(scope="module")
def face(frame) -> np.ndarray:
    """(S, S) bool, the face's outline in the photo."""
    camera = to_camera(FLAMEModel().evaluate(frame)[: topo.N_FACE].astype(np.float64), frame.transform_matrix)
    pixels = to_pixels(camera) + MARGIN
    hull = cv2.convexHull(pixels.astype(np.float32)).round().astype(np.int32)
    return cv2.fillConvexPoly(np.zeros((SIDE, SIDE), np.uint8), hull, 1).astype(bool)


def person(frame, image: np.ndarray, matte: np.ndarray) -> TrackedSource:
    image = np.round(image * 255).astype(np.uint8)
    return TrackedSource(frame, image, matte.astype(np.float32), MARGIN, np.ones((SIDE, SIDE), bool))


def mesh_of(frame):
    return build_proxy_mesh(
        FLAMEModel().evaluate(frame), frame.transform_matrix, FLAMEModel().faces.numpy(), margin=MARGIN
    )


def plain() -> np.ndarray:
    return np.broadcast_to(SKIN, (SIDE, SIDE, 3)).copy()


@pytest.mark.parametrize("yaw", [33, 20, 0])
def test_a_head_of_one_colour_turns_without_holes(frame, yaw):
    model = LiftedAvatar(background=(0.0, 1.0, 0.0))
    avatar = model.encode(person(frame, plain(), np.ones((SIDE, SIDE))))
    now = turned(frame, yaw)
    vertices = FLAMEModel().evaluate(now)
    surface = avatar.surface
    points = surface.rig.pose(vertices, now.transform_matrix)
    image, alpha = surface.splat(points, Camera(), surface.colors)
    triangles = surface.rig.mesh.triangles
    pix_to_face, _ = rasterize_mesh(to_pixels(points), points[:, 2], triangles, IMAGE_SIZE)
    skin = (pix_to_face >= 0) & (triangles < topo.N_FACE).all(1)[pix_to_face]
    inside = cv2.erode(skin.astype(np.uint8), np.ones((5, 5))) > 0
    assert inside.sum() > 20_000
    assert (alpha[inside] < 0.98).sum() < 10  # at the nostrils and the corners of the eyes, of some 60,000
    assert (image[inside, 3] < 0.98).sum() < 10
    # The eyes' whites are painted; all else is skin. 5 of 255: rounding and the mirrored texture.
    away = np.abs(image[..., :3] - SKIN.astype(np.float32)).max(-1)
    for ring in (topo.RIGHT_EYE, topo.LEFT_EYE):
        x, y = to_pixels(points[list(ring)]).mean(0).astype(int)
        inside[y - 20 : y + 20, x - 30 : x + 30] = False
    assert (away[inside] > 0.02).sum() < 10


@pytest.mark.parametrize("yaw", [33, 20])
def test_what_the_far_cheek_hid_of_the_surroundings_is_no_crack(frame, yaw):
    """449 and 815 pixels were uncovered when only surroundings that are hidden as a whole were inpainted."""
    surface = LiftedAvatar().encode(person(frame, plain(), np.ones((SIDE, SIDE)))).surface
    now = turned(frame, yaw)
    points = surface.rig.pose(FLAMEModel().evaluate(now), now.transform_matrix)
    _, alpha = surface.splat(points, Camera(), surface.colors)
    triangles = surface.rig.mesh.triangles
    pix_to_face, _ = rasterize_mesh(to_pixels(points), points[:, 2], triangles, IMAGE_SIZE)
    around = (pix_to_face >= 0) & (triangles >= topo.N_FACE).any(1)[pix_to_face]
    inner = cv2.erode((pix_to_face >= 0).astype(np.uint8), np.ones((5, 5))) > 0
    assert around.sum() > 100_000
    assert (alpha[around & inner] < 0.5).sum() < 100


def test_no_face_is_painted_beyond_the_photo(frame, face):
    """Its forehead was, on the background, where a photo cuts it."""
    rows = np.flatnonzero(face.any(1))
    cut = int(rows[0] + np.ptp(rows) // 4)
    source = person(frame, plain(), np.ones((SIDE, SIDE)))
    source.inside[:cut] = False
    source.matte[:cut] = 0
    surface = LiftedAvatar().encode(source).surface
    points = surface.rig.pose(FLAMEModel().evaluate(frame), frame.transform_matrix)
    image, alpha = surface.splat(points, Camera(), surface.colors)
    person_there = image[..., 3] * (alpha > 0.5)
    assert (person_there[: cut - MARGIN - 2] < 0.02).all()
    below = face[MARGIN:-MARGIN, MARGIN:-MARGIN].copy()
    below[: cut - MARGIN + 30] = False
    assert (person_there[below] > 0.98).mean() > 0.99


def test_what_is_shown_as_a_whole_is_not_inpainted(frame):
    """A third of the surroundings' Gaussians lay on shoulders that nothing hides, by the pixels on their edges."""
    surface = LiftedAvatar().encode(person(frame, plain(), np.ones((SIDE, SIDE)))).surface
    mesh, binding = surface.rig.mesh, surface.binding
    away = (mesh.triangles >= topo.N_POINTS).all(1)  # of the grid
    reach = (mesh.pixels[: topo.N_POINTS].min(0) - 30, mesh.pixels[: topo.N_POINTS].max(0) + 30)
    middle = mesh.pixels[mesh.triangles].mean(1)
    away &= ((middle < reach[0]) | (middle > reach[1])).any(1) & ((middle > 30) & (middle < SIDE - 30)).all(1)
    inpainted = binding.triangles[binding.n_mesh :]
    assert away.sum() > 500
    assert not (inpainted[:, None] == mesh.triangles[away]).all(-1).any()


def test_there_is_no_veil_beside_the_cheek(frame, face):
    """The person ends where the face does: what the cheek hid is nothing, and not half of something."""
    wide = cv2.dilate(face.astype(np.uint8), np.ones((5, 5)))
    below = np.arange(SIDE)[:, None] > np.flatnonzero(face.any(1)).max() - 40  # and has a neck
    surface = LiftedAvatar().encode(person(frame, plain(), np.maximum(wide, below))).surface
    now = turned(frame, 20)
    points = surface.rig.pose(FLAMEModel().evaluate(now), now.transform_matrix)
    image, alpha = surface.splat(points, Camera(), surface.colors)
    alpha = alpha * image[..., 3]
    triangles = surface.rig.mesh.triangles
    pix_to_face, _ = rasterize_mesh(to_pixels(points), points[:, 2], triangles, IMAGE_SIZE)
    beside = (pix_to_face >= 0) & (triangles >= topo.N_FACE).any(1)[pix_to_face]
    beside[np.flatnonzero(beside.any(1)).max() // 2 :] = False  # above the neck
    assert beside.sum() > 100_000
    assert ((alpha > 0.1) & (alpha < 0.9))[beside].sum() < 450  # the outline's own; 638 with the veil


def test_hair_beside_the_cheek_is_no_fringe(frame, face):
    image = np.where(face[..., None], SKIN, [0.1, 0.08, 0.05]).astype(np.float32)
    mesh = mesh_of(frame)
    pix_to_face, _ = rasterize_mesh(mesh.pixels, mesh.points[:, 2], mesh.triangles, SIDE)
    fringe = find_fringe(mesh, pix_to_face, image, np.ones((SIDE, SIDE), np.float32))
    hair = ~cv2.dilate(face.astype(np.uint8), np.ones((9, 9))).astype(bool)
    assert (fringe[hair] < 0).all()


def test_spots_beside_the_cheek_are_no_outline(frame, face):
    """Hair that has the skin's colour here and there stays hair; a line of skin is the cheek's."""
    mesh = mesh_of(frame)
    pix_to_face, _ = rasterize_mesh(mesh.pixels, mesh.points[:, 2], mesh.triangles, SIDE)
    on_face = (pix_to_face >= 0) & (mesh.triangles < topo.N_POINTS).all(1)[pix_to_face]
    strip = cv2.dilate(on_face.astype(np.uint8), np.ones((9, 9))).astype(bool)

    def found(rows: np.ndarray) -> int:
        skin = on_face | strip & rows[:, None]
        image = np.where(skin[..., None], SKIN, [0.1, 0.08, 0.05]).astype(np.float32)
        return int((find_fringe(mesh, pix_to_face, image, np.ones((SIDE, SIDE), np.float32)) >= 0).sum())

    height = np.ptp(mesh.pixels[list(topo.FACE_OVAL), 1])
    rows = np.arange(SIDE)
    assert found(rows >= 0) > 300
    assert found(rows % round(0.1 * height) < 3) == 0


def test_what_only_the_face_holds_goes_with_it_if_it_is_small(frame, face):
    """A shred beside the cheek, of another colour; not one that hangs on hair, lies apart, or is as large as an ear."""
    image = np.where(face[..., None], SKIN, [0.4, 0.1, 0.2]).astype(np.float32)
    mesh = mesh_of(frame)
    pix_to_face, _ = rasterize_mesh(mesh.pixels, mesh.points[:, 2], mesh.triangles, SIDE)
    on_face = (pix_to_face >= 0) & (mesh.triangles < topo.N_POINTS).all(1)[pix_to_face]
    middle = int(np.argwhere(on_face.any(1)).mean())
    left, right = np.flatnonzero(on_face[middle])[[0, -1]]

    def fringed(rows: int, start: int, end: int, hair: bool = False) -> np.ndarray:
        matte = on_face.astype(np.float32)
        piece = np.zeros_like(on_face)
        piece[middle : middle + rows, start:end] = True
        piece &= ~on_face
        matte[piece] = 1
        if hair:
            matte[: middle + 1, end - 1 :] = 1
        return find_fringe(mesh, pix_to_face, image, matte)[piece] >= 0

    for start, end in ((left - 8, left), (right + 1, right + 9)):
        assert fringed(20, start, end).all()
    assert not fringed(20, right + 1, right + 9, hair=True).all()
    assert not fringed(20, right + 30, right + 38).any()
    assert not fringed(80, right + 1, right + 31).all()


def test_what_turns_away_is_more_on_the_far_side_of_a_three_quarter_view(frame):
    """There all that faces sideways by 60 degrees, elsewhere what is edge-on."""
    settings = LiftedSettings()
    for shown, is_turned in ((frame, True), (turned(frame, 0), False)):
        mesh = mesh_of(shown)
        normals = triangle_normals(mesh.points, mesh.triangles)
        more = turned_away(mesh, normals) & ~edge_on_triangles(mesh, normals)
        assert (more.sum() > 10) == is_turned
        assert (turned_away(mesh, normals) >= edge_on_triangles(mesh, normals)).all()
        columns = mesh.pixels[mesh.triangles[more], 0] - mesh.pixels[list(topo.FACE_OVAL), 0].mean()
        nose = mesh.pixels[1, 0] - mesh.pixels[list(topo.FACE_OVAL), 0].mean()
        assert (columns * nose > 0).all()
        assert (mesh.triangles[more] < topo.N_POINTS).all()
        cosines = view_cosine(normals)[more]
        assert ((cosines >= settings.visibility.edge_on) & (cosines < 0.5)).all()


def test_a_soft_rim_of_the_far_cheek_is_loose_where_the_background_follows(frame):
    """A rim of half a matte all around the face; nothing of hair beside it, nor of a face from the front."""
    for shown, is_turned in ((frame, True), (turned(frame, 0), False)):
        mesh = mesh_of(shown)
        pix_to_face, _ = rasterize_mesh(mesh.pixels, mesh.points[:, 2], mesh.triangles, SIDE)
        on_face = (pix_to_face >= 0) & (mesh.triangles < topo.N_POINTS).all(1)[pix_to_face]
        rim = (cv2.dilate(on_face.astype(np.uint8), np.ones((5, 5))) > 0) & ~on_face
        matte = np.where(on_face, 1, 0.5 * rim).astype(np.float32)
        loose = find_loose_rim(mesh, pix_to_face, matte)
        oval = mesh.pixels[list(topo.FACE_OVAL)]
        columns, rows = np.arange(SIDE)[None], np.arange(SIDE)[:, None]
        far = (columns < oval[:, 0].mean()) == (mesh.pixels[1, 0] < oval[:, 0].mean())
        cheek = rim & far & (np.abs(rows - mesh.pixels[1, 1]) < 0.15 * np.ptp(oval[:, 1]))
        assert cheek.sum() > 100
        assert loose[cheek].mean() > 0.9 if is_turned else not loose.any()
        assert not (loose & ~(rim & far)).any()
        hair = np.where(on_face | (far & ~on_face), 1, 0).astype(np.float32)
        assert not find_loose_rim(mesh, pix_to_face, hair).any()


def test_hair_that_the_mesh_reaches_over_is_not_skin_on_the_far_side_alone(frame, face):
    rim = face & ~cv2.erode(face.astype(np.uint8), np.ones((9, 9))).astype(bool)

    def found(frame) -> tuple[np.ndarray, np.ndarray]:
        mesh = mesh_of(frame)
        pix_to_face, _ = rasterize_mesh(mesh.pixels, mesh.points[:, 2], mesh.triangles, SIDE)
        image = np.where(rim[..., None], [0.1, 0.08, 0.05], SKIN).astype(np.float32)
        on_face = (pix_to_face >= 0) & (mesh.triangles < topo.N_FACE).all(1)[pix_to_face]
        return find_not_skin(mesh, pix_to_face, image, np.ones((SIDE, SIDE), np.float32)), on_face

    hair, on_face = found(frame)
    mesh = mesh_of(frame)
    oval = mesh.pixels[list(topo.FACE_OVAL)]
    nose = mesh.pixels[1, 0]
    columns = np.arange(SIDE)[None] * np.ones((SIDE, 1))
    far = columns < nose if nose - oval[:, 0].min() < oval[:, 0].max() - nose else columns > nose
    middle = np.abs(np.arange(SIDE)[:, None] - oval[:, 1].mean()) < 0.15 * np.ptp(oval[:, 1])
    assert hair.sum() > 100
    assert (hair & rim & far & middle).sum() > 0.8 * (rim & on_face & far & middle).sum()
    assert not (hair & ~far).any()
    assert not (hair & ~cv2.dilate(rim.astype(np.uint8), np.ones((5, 5))).astype(bool)).any()
    assert not found(turned(frame, 0))[0].any()


def test_unseen_skin_goes_on_with_the_light_of_what_is_seen_beside_it(frame):
    """A photo dark on the far side and bright on the near one: what is hidden is dark, not the near side's mirror."""
    mesh = mesh_of(frame)
    pix_to_face, _ = rasterize_mesh(mesh.pixels, mesh.points[:, 2], mesh.triangles, SIDE)
    oval = mesh.pixels[list(topo.FACE_OVAL), 0]
    nose = mesh.pixels[1, 0]
    light = np.clip((np.arange(SIDE) - oval.min()) / np.ptp(oval), 0, 1)
    if nose > oval.mean():
        light = light[::-1]
    light = 1 - 0.7 * light[::-1] if abs(nose - oval.min()) < abs(nose - oval.max()) else 1 - 0.7 * light
    image = np.concatenate([SKIN * light[None, :, None] * np.ones((SIDE, 1, 1)), np.ones((SIDE, SIDE, 1))], -1)
    colors, seen, mirrored = face_colors(
        mesh.points, mesh.pixels, mesh.triangles, pix_to_face, image.astype(np.float32), head_mirror()
    )
    used = np.unique(mesh.triangles[(mesh.triangles < topo.N_FACE).all(1)])
    hidden = np.setdiff1d(used, np.flatnonzero(seen))
    assert len(hidden) > 20
    assert mirrored[hidden].mean() > 0.8
    low, high = colors[used][seen[used], :3].min(0), colors[used][seen[used], :3].max(0)
    assert (colors[hidden, :3] >= low - MOST - 1e-6).all()  # a harmonic function has its extremes at its border
    assert (colors[hidden, :3] <= high + MOST + 1e-6).all()
    tree = np.linalg.norm(mesh.points[hidden][:, None] - mesh.points[np.flatnonzero(seen)][None], axis=-1)
    beside = colors[np.flatnonzero(seen)[tree.argmin(1)], :3]
    assert np.abs(colors[hidden, :3] - beside).max() < 0.25
    assert not visible_points(mesh.pixels, mesh.triangles, pix_to_face)[hidden].all()


def test_the_nose_takes_nothing_over_from_its_other_side(frame):
    """A shade along the seen side of the nose is that side's own; a mole on the cheek is on both, for all one knows."""
    mesh = mesh_of(frame)
    pix_to_face, _ = rasterize_mesh(mesh.pixels, mesh.points[:, 2], mesh.triangles, SIDE)
    rest = FLAMEModel().evaluate(frame)[: topo.N_POINTS]
    nose = nose_points(rest)
    assert nose[list(topo.NOSE)].mean() > 0.9
    assert not nose[list(topo.FACE_OVAL)].any()
    assert not nose[[*topo.RIGHT_EYE, *topo.LEFT_EYE, 50, 280]].any()
    image = np.concatenate([plain(), np.ones((SIDE, SIDE, 1))], -1).astype(np.float32)
    for x, y in mesh.pixels[np.flatnonzero(nose)].astype(int):
        cv2.circle(image, (int(x), int(y)), 6, (0.3, 0.2, 0.2, 1.0), -1)
    given = mesh.points, mesh.pixels, mesh.triangles, pix_to_face, image, head_mirror()
    _, seen, mirrored = face_colors(*given, smooth_at=nose)
    assert not mirrored[nose].any()
    assert np.array_equal(mirrored[~nose], seen[head_mirror()][~nose])


def test_the_other_sides_hairline_is_not_taken_over(frame):
    """Dark hair at the visible temple: the far one keeps the colours of the skin beside it."""
    mesh = mesh_of(frame)
    border = border_points(mesh.triangles)
    assert border[list(topo.FACE_OVAL)].all()
    assert not border[[*topo.RIGHT_EYE, *topo.LEFT_EYE, *topo.NOSE, *topo.INNER_LIPS]].any()
    pix_to_face, _ = rasterize_mesh(mesh.pixels, mesh.points[:, 2], mesh.triangles, SIDE)
    mirror, visible = head_mirror(), visible_points(mesh.pixels, mesh.triangles, pix_to_face)
    hidden = np.flatnonzero(border & ~visible[: topo.N_POINTS] & visible[mirror])
    image = np.concatenate([plain(), np.ones((SIDE, SIDE, 1))], -1).astype(np.float32)
    for x, y in mesh.pixels[mirror[hidden]].astype(int):
        cv2.circle(image, (int(x), int(y)), 5, (0.2, 0.1, 0.1, 1.0), -1)
    given = mesh.points, mesh.pixels, mesh.triangles, pix_to_face, image, mirror
    carried, kept = (face_colors(*given, smooth_at=at)[0][hidden, :3] for at in (None, border))
    assert np.abs(carried - SKIN).max() > 0.05
    assert np.abs(kept - SKIN).max() < 0.02
