"""Crops around heads, and parts of them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from core.libs.flame_model import topology as topo
from core.libs.tracker.crop import crop_around, crop_image, crop_part, face_box, mouth_part, steady_crops, to_crop
from core.libs.tracker.settings import CropSettings


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    import skimage.data

    return skimage.data.astronaut()


class TestCrops:
    def test_around_a_box(self):
        np.testing.assert_allclose(crop_around(np.array([100, 50, 200, 150.0])), [150 - 98.5, 100 - 98.5, 197])
        x, y, side = crop_around(np.array([0, 0, 100, 400.0]))  # as much for a long face as for a square one
        assert side == pytest.approx(CropSettings().expansion * 200)
        assert (x + side / 2, y + side / 2) == pytest.approx((50, 200))

    def test_box_is_of_the_surface(self, random):
        points = random.uniform(0, 10, (3, 478, 3))
        points[:, 468:] = 1000
        np.testing.assert_array_equal(face_box(points)[1], [*points[1, :468, :2].min(0), *points[1, :468, :2].max(0)])

    def test_a_still_face_has_one_crop(self, random):
        box = np.array([200, 150, 300, 270.0]) + np.round(random.uniform(-6, 6, (60, 2)))[:, [0, 1, 0, 1]]
        crops = steady_crops(box)
        assert crops.dtype == np.float32
        np.testing.assert_array_equal(crops, np.broadcast_to(crops[0], crops.shape))
        np.testing.assert_allclose(crops[0], crop_around(np.median(box, 0)), atol=1e-3)

    def test_a_walking_face_is_followed_smoothly(self):
        start, step = np.array([100, 150, 200, 270.0]), np.array([3, 0, 3, 0])
        box = start + step * np.arange(300)[:, None]
        crops = steady_crops(box)
        room = np.minimum(box[:, :2] - crops[:, :2], crops[:, :2] + crops[:, 2:] - box[:, 2:]) / crops[:, 2:]
        assert room.min() > 0.2  # at its ends, too, it does not fall behind
        assert np.abs(np.diff(crops, n=2, axis=0)).max() < 0.5

    def test_one_frame(self):
        box = np.array([[100, 150, 200, 270.0]])
        np.testing.assert_allclose(steady_crops(box), crop_around(box), rtol=1e-6)

    def test_the_whole_picture_is_itself(self, portrait):
        np.testing.assert_array_equal(crop_image(portrait, np.array([0, 0, 512.0])), portrait)

    def test_a_shift_of_whole_pixels(self, portrait):
        shifted = crop_image(portrait, np.array([37, -20, 512.0]))
        np.testing.assert_array_equal(shifted[20:, : 512 - 37], portrait[: 512 - 20, 37:])
        assert not shifted[:20].any()  # beyond the picture
        assert not shifted[:, 512 - 37 :].any()

    @pytest.mark.parametrize("factor", [2, 3, 5])
    def test_shrinking_averages(self, random, factor):
        image = random.integers(0, 256, (512 * factor, 512 * factor, 3), np.uint8)
        small = crop_image(image, np.array([0, 0, 512.0 * factor]))
        blocks = image.reshape(512, factor, 512, factor, 3).mean((1, 3))
        # No aliasing: noise is averaged away as far as over whole blocks, give or take the second interpolation.
        assert small[8:-8, 8:-8].std() < 1.1 * blocks.std()
        ramp = np.repeat(np.linspace(0, 255, 512 * factor)[None, :, None], 512 * factor, 0).repeat(3, 2)
        got = crop_image(ramp.astype(np.uint8), np.array([0, 0, 512.0 * factor])).astype(float)
        expected = ramp.reshape(512, factor, 512, factor, 3).mean((1, 3))
        np.testing.assert_allclose(got[8:-8, 8:-8], expected[8:-8, 8:-8], atol=2)

    @pytest.mark.parametrize("crop", [(30.4, 12.7, 300), (-40.2, 25.1, 760.5), (101.3, 57.9, 1300.2), (9.8, 3.1, 2300)])
    def test_a_part_is_as_in_the_whole(self, random, crop):
        image = cv2.GaussianBlur(random.integers(0, 256, (1600, 1500, 3), np.uint8), (0, 0), 3)
        whole = crop_part(image, np.array(crop), np.array([0, 0, 512, 512])).astype(int)
        for part in ([201, 333, 280, 391], [0, 440, 90, 512], [470, 0, 512, 33]):
            x0, y0, x1, y1 = part
            shown = crop_part(image, np.array(crop), np.array(part)).astype(int)
            assert np.abs(shown - whole[y0:y1, x0:x1]).max() <= 3  # places are rounded to parts of a pixel
            assert np.abs(shown - whole[y0:y1, x0:x1]).mean() < 0.3
        assert not crop_part(image, np.array([2000.0, 0, 300]), np.array([9, 9, 40, 30])).any()  # beyond the picture

    def test_a_look_into_the_mouth_takes_the_lips_with_room(self, random):
        points = random.uniform(150, 350, (478, 2))
        lips = list(topo.OUTER_LIPS)
        points[lips] = random.uniform(230, 260, (len(lips), 2))
        part = mouth_part(points, cheeks=False)
        reach = (np.linalg.norm(points[33] - points[263]) + np.linalg.norm(points[168] - points[2])) * 0.12 + 8
        np.testing.assert_allclose(part[:2], np.maximum(points[lips].min(0) - reach, 0), atol=1)
        np.testing.assert_allclose(part[2:], points[lips].max(0) + reach, atol=2)
        assert (mouth_part(points)[:2] <= points[:468].min(0)).all()  # with the cheeks the whole face

    @pytest.mark.parametrize("side", [200.0, 700.0, 1700.0])
    def test_points_go_with_the_pixels(self, side):
        spot = np.array([640.0, 480.0])
        image = np.zeros((1000, 1400), np.uint8)
        cv2.circle(image, (640, 480), 9, 255, -1, cv2.LINE_AA)
        crop = np.array([spot[0] - 0.4 * side, spot[1] - 0.7 * side, side])
        shown = crop_image(image, crop).astype(float)
        rows, columns = np.mgrid[:512, :512]
        centre = np.array([(shown * columns).sum(), (shown * rows).sum()]) / shown.sum()
        points = np.array([[[*spot, 30.0]]])
        moved = to_crop(points, crop[None])[0, 0]
        np.testing.assert_allclose(moved[:2], centre, atol=0.1)
        assert moved[2] == pytest.approx(30 * 512 / side)
        np.testing.assert_array_equal(points[0, 0], [*spot, 30])  # not changed in place
