"""The built-in avatar at other sizes than 512 pixels, and what a picture leaves behind in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.spatial import cKDTree
from synthetic_head import a_frame

from core.data.records import IMAGE_SIZE, TrackedSource
from core.errors import UserError
from core.libs.flame_model import FLAMEModel, OpenHead
from core.libs.flame_model import topology as topo
from core.libs.geometry import Camera, head_rotation, to_camera
from core.libs.mesh import build_proxy_mesh
from core.libs.tracker.fit import HeadFitter
from core.libs.tracker.refit import tracked_points
from core.libs.tracker.source import MARGIN
from core.models.LiftedAvatar.binding import Role
from core.models.LiftedAvatar.eye_settings import EyeSettings, LidSettings
from core.models.LiftedAvatar.inpaint_settings import InpaintSettings
from core.models.LiftedAvatar.models import Avatar, LiftedAvatar
from core.models.LiftedAvatar.mouth.settings import MouthSettings, OutlineSettings
from core.models.LiftedAvatar.settings import ChinSettings, DetailSettings, LiftedSettings
from core.models.LiftedAvatar.surface import Scratch
from core.models.request import DrawRequest

SIDE = IMAGE_SIZE + 2 * MARGIN
BACKGROUND = (0.1, 0.4, 0.2)


def turned(frame, yaw: float):
    transform = frame.transform_matrix.copy()
    transform[:, :3] = head_rotation(np.radians([0.0, yaw, 0.0]))
    return replace(frame, transform_matrix=transform)


@pytest.fixture(scope="module")
def person() -> TrackedSource:
    """A three-quarter view of smooth blobs of colour, with eyes, as large as a head that ends within the crop."""
    random = np.random.default_rng(3)
    frame = turned(replace(a_frame(random, expression=0.0), posecode=np.zeros(6, np.float32)), 25)
    image = np.clip(0.55 + 2.5 * cv2.GaussianBlur(random.normal(0, 1, (SIDE, SIDE, 3)), (0, 0), 6), 0, 1)
    pixels = Camera().to_pixels(
        to_camera(FLAMEModel().evaluate(frame)[: topo.N_POINTS].astype(np.float64), frame.transform_matrix)
    )
    for ring, iris in ((topo.RIGHT_EYE, topo.RIGHT_IRIS), (topo.LEFT_EYE, topo.LEFT_IRIS)):
        cv2.fillPoly(image, [np.round(pixels[list(ring)] + MARGIN).astype(np.int32)], (0.95, 0.93, 0.9))
        cv2.circle(image, np.round(pixels[iris[0]] + MARGIN).astype(int).tolist(), 8, (0.2, 0.15, 0.1), -1)
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    matte = np.clip((0.42 * SIDE - np.hypot(x, y)) / 4, 0, 1).astype(np.float32)
    return TrackedSource(frame, np.round(image * 255).astype(np.uint8), matte, MARGIN, np.ones((SIDE, SIDE), bool))


@pytest.fixture(scope="module")
def model() -> LiftedAvatar:
    return LiftedAvatar(background=BACKGROUND)


@pytest.fixture(scope="module")
def avatar(model, person) -> Avatar:
    return model.encode(person)


def picture(model: LiftedAvatar, avatar: Avatar, person: TrackedSource, yaw: float, **options: Any) -> np.ndarray:
    """(H, W, 3) of the person turned to a yaw, with an open mouth and lids half closed."""
    now = turned(person.frame, yaw)
    vertices = FLAMEModel().evaluate(now)
    vertices[list(topo.INNER_LIPS[11:])] -= [0, 0.08, 0]
    for ring in (topo.RIGHT_EYE, topo.LEFT_EYE):
        vertices[list(ring[1:8])] = (vertices[list(ring[1:8])] + vertices[list(ring[:8:-1])]) / 2
    return model.render(avatar, DrawRequest(vertices, now.transform_matrix, **options)).permute(1, 2, 0).numpy()


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """PSNR in dB, the larger picture shrunk to the smaller one."""
    small, large = sorted((one, other), key=len)
    if len(small) < len(large):
        large = cv2.resize(large, small.shape[1::-1], interpolation=cv2.INTER_AREA)
    return float(-10 * np.log10(np.mean((small - large) ** 2)))


def resized(person: TrackedSource, size: int) -> TrackedSource:
    """The same photo with a shown crop of another size."""
    side, factor = SIDE * size // IMAGE_SIZE, size / IMAGE_SIZE
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    image, matte = (cv2.resize(a, (side, side), interpolation=how) for a in (person.image, person.matte))
    inside = np.ones((side, side), bool)
    return TrackedSource(person.frame, image, matte.clip(0, 1), round(MARGIN * factor), inside)


@pytest.mark.parametrize("size", [256, 768])
def test_a_picture_of_another_size_is_the_same_picture(model, person, avatar, size):
    for yaw in (25, 5):  # at 5 degrees the far cheek opens: photo and inpainting blend
        drawn = picture(model, avatar, person, yaw, camera=Camera(size))
        assert drawn.shape == (size, size, 3)
        assert likeness(drawn, picture(model, avatar, person, yaw)) > 38
    assert likeness(drawn, picture(model, avatar, person, 20)) < 30  # a turn by 15 degrees is told


@pytest.mark.parametrize("size", [256, 768])
def test_a_photo_of_another_size_is_the_same_person(model, person, avatar, size):
    """All lengths follow the photo's size. A photo's pixels are Gaussians: what is finer than those is lost."""
    other = model.encode(resized(person, size))
    assert other.camera == Camera(size)
    count = len(other.surface.binding) / len(avatar.surface.binding)
    assert count == pytest.approx((size / IMAGE_SIZE) ** 2, rel=0.05)
    for yaw in (25, 5):
        drawn = picture(model, other, person, yaw)
        assert drawn.shape == (size, size, 3)
        assert likeness(drawn, picture(model, avatar, person, yaw)) > 34


def test_another_focal_length_at_as_many_times_the_distance_is_the_same_size(model, person, avatar):
    """A camera of half the focal length shows the middle half of the picture's width as a quarter."""
    plain = picture(model, avatar, person, 25)
    wide = picture(model, avatar, person, 25, camera=Camera(2 * IMAGE_SIZE, Camera().focal / 2))
    middle = slice(IMAGE_SIZE // 2, IMAGE_SIZE // 2 + IMAGE_SIZE)
    assert np.abs(wide[middle, middle] - plain).mean() < 2e-3
    assert wide[0, 0] == pytest.approx(BACKGROUND)


def test_cameras_invert_themselves_and_widen():
    camera = Camera(300, 7.0)
    points = np.random.default_rng(0).uniform(-1, 1, (50, 3)) + [0, 0, 9]
    pixels = camera.to_pixels(points)
    np.testing.assert_allclose(camera.unproject(pixels), points[:, :2] / points[:, 2:], atol=1e-12)
    np.testing.assert_allclose(camera.widened(40).to_pixels(points), pixels + 40)
    assert [Camera(s).odd(5) for s in (128, 256, 512, 1024)] == [3, 3, 5, 9]


def test_the_proxy_mesh_is_that_of_the_photo_whatever_its_size(person):
    head, frame = FLAMEModel(), person.frame
    vertices, faces = head.evaluate(frame), head.faces.numpy()
    small = build_proxy_mesh(vertices, frame.transform_matrix, faces, Camera(), MARGIN)
    large = build_proxy_mesh(vertices, frame.transform_matrix, faces, Camera(1024), 2 * MARGIN)
    assert abs(len(small.points) - len(large.points)) <= 2  # grid points at the border of the face
    face = slice(0, topo.N_POINTS)
    np.testing.assert_allclose((large.pixels[face] + 0.5) / 2, small.pixels[face] + 0.5, atol=1e-9)
    nearest = cKDTree(small.points).query(large.points)
    step = Camera().pixels_per_unit / small.points[:, 2].mean()  # pixels of a head unit
    assert np.percentile(nearest[0], 99) * step < 1.5


def arrays(value: object) -> Iterator[np.ndarray]:
    """All arrays that a value is made of, but for its scratch."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from arrays(part)
    elif is_dataclass(value) and not isinstance(value, Scratch):
        for part in fields(value):
            yield from arrays(getattr(value, part.name))


def test_a_picture_changes_nothing_in_the_avatar(model, person, avatar):
    before = [a.copy() for a in arrays(avatar)]
    assert len(before) > 30
    first = picture(model, avatar, person, 25).copy()
    for options in ({"detail": 1.0}, {"torso_motion": np.array([0.1, 0, 0.1, 0])}, {"camera": Camera(300)}):
        picture(model, avatar, person, 5, **options)
    for now, then in zip(arrays(avatar), before, strict=True):
        np.testing.assert_array_equal(now, then)
    np.testing.assert_array_equal(picture(model, avatar, person, 25), first)


def test_settings_of_the_layers_are_handed_in(person, avatar):
    """Numbers of every layer change from outside: none of them is read from its module."""
    settings = LiftedSettings(
        lids=LidSettings(least_width=1e9),
        chin=ChinSettings(least=0.0),
        mouth=MouthSettings(outline=OutlineSettings(per_side=2)),
        eyes=EyeSettings(least_width=1e9),
        inpaint=InpaintSettings(least_area=1e9),
        detail=DetailSettings(max_detail=1e-9),
    )
    _, lids, chin, surface, mouth, irises = LiftedAvatar(settings=settings).encode(person).layers
    usual = avatar.layers[1:]
    assert usual[0].shut
    assert not lids.shut
    assert usual[1].settings.least
    assert not chin.settings.least
    assert (surface.binding.role == Role.INPAINTED).sum() == 0 < (usual[2].binding.role == Role.INPAINTED).sum()
    assert np.abs(surface.detail).max() < 1e-8 < np.abs(usual[2].detail).max()
    assert (len(mouth.mouth.outline), len(usual[3].mouth.outline)) == (40, 80)
    assert usual[4].irises
    assert not irises.irises


def test_a_photo_of_another_size_is_checked_and_shown_in_its_own(tmp_path):
    """What is shown is what lies between the margins, whatever the picture's size."""
    frame = a_frame(np.random.default_rng(0))
    for size, margin in ((512, 96), (1024, 192), (300, 0)):
        side = size + 2 * margin
        image = np.zeros((side, side, 3), np.uint8)
        image[margin : side - margin, margin : side - margin] = 200
        matte = image[..., 0] / np.float32(255)
        source = TrackedSource(frame, image, matte, margin, np.ones((side, side), bool))
        source.check()
        shown, alpha = source.shown()
        assert source.size == size
        assert shown.shape == (size, size, 3)
        assert alpha.shape == (size, size)
        assert (shown == 200).all()
    for broken in ({"margin": 150}, {"margin": -1}, {"image": image[:-1]}, {"matte": matte[1:]}):
        with pytest.raises(UserError, match="track it again"):
            replace(source, **broken).check()


@pytest.mark.parametrize("size", [384, 768])
def test_the_codes_of_a_face_are_those_of_its_crop_at_any_size(size):
    """The same points at another scale of the same crop give the same codes and pose."""
    head = OpenHead()
    frame = a_frame(np.random.default_rng(3))
    fits = []
    for camera in (Camera(), Camera(size)):
        points = tracked_points(head.evaluate(frame)[None], frame.transform_matrix[None], camera)
        fits.append(HeadFitter(head, camera).fit(points))
    for name in ("shapecode", "expcode", "posecode", "eyecode", "transform"):
        np.testing.assert_allclose(getattr(fits[1], name), getattr(fits[0], name), atol=2e-3, err_msg=name)
