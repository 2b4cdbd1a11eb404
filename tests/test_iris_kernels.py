"""What is compiled of irises is what numpy and OpenCV make of the same formulas."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from core.libs import face_measures
from core.libs.numeric import smoothstep
from core.models.LiftedAvatar.iris_kernel import paint_iris
from core.models.LiftedAvatar.iris_place import across_corners, corner_axes, place_in_eye, place_iris

EYE = np.concatenate(
    [
        np.stack([np.linspace(20, 60, 9), 30 - 8 * np.sin(np.linspace(0, np.pi, 9))], 1),
        np.stack([np.linspace(55, 25, 7), 30 + 6 * np.sin(np.linspace(0, np.pi, 9))[1:-1]], 1),
    ]
)
BORDER = np.array([[0.0, 0], [6, 1], [-1, -5], [-6, -1], [1, 5]])
WIDE = 1e3  # limits that none reaches


def mirrored(ring: np.ndarray) -> np.ndarray:
    return ring * [-1, 1] + [100, 0]


def tilted(ring: np.ndarray, degrees: float = 20.0) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return ring @ np.array([[c, s], [-s, c]])


@pytest.mark.parametrize("ring", [EYE, tilted(EYE), mirrored(tilted(EYE))], ids=["straight", "tilted", "left"])
def test_axes_of_an_eye_are_those_of_the_measures(ring):
    down, width = face_measures.across_corners(ring)
    found, found_width = across_corners(ring)
    np.testing.assert_allclose(found, down, atol=1e-12)
    assert found_width == pytest.approx(width, abs=1e-9)
    np.testing.assert_allclose(corner_axes(ring) @ corner_axes(ring).T, np.eye(2), atol=1e-12)
    on_corner, _ = place_in_eye(ring[8], ring)
    assert abs(on_corner) == pytest.approx([0.5, 0], abs=1e-12)


def placed(points: np.ndarray, axes: np.ndarray, ring: np.ndarray = EYE, least: float = 0.75):
    """An iris that nothing holds in its place, of an eye that is open."""
    drop, nowhere, closing = np.zeros(16), np.zeros(2), (0.35, 0.75)
    return place_iris(ring, points, drop, nowhere, nowhere, axes, 1.0, WIDE, 0.1, WIDE, -WIDE, least, 0.1, closing)


@pytest.mark.parametrize("squeezed", [1.0, 0.8, 0.3, 0.0])
def test_an_ellipse_goes_to_that_of_the_photo(squeezed):
    """By least squares and singular values of LAPACK."""
    axes = np.array([[6.5, 0.5], [-0.5, -6.0]])
    points = tilted(BORDER * [squeezed, 1]) + [40, 30]
    border = np.stack([points[1] - points[3], points[2] - points[4]]) / 2
    u, sizes, v = np.linalg.svd(np.linalg.lstsq(axes, border, rcond=1e-2)[0])
    sizes = np.maximum(sizes, 0.75 * sizes[0])
    found = placed(points, axes)
    if squeezed:
        np.testing.assert_allclose(found.to_photo, v.T @ np.diag(1 / sizes) @ u.T, atol=1e-9)
    else:  # of a line the singular vectors' signs are free
        np.testing.assert_allclose(np.linalg.svd(found.to_photo)[1], 1 / sizes[::-1], atol=1e-9)
    np.testing.assert_allclose(found.centre, points.mean(0), atol=1e-9)
    np.testing.assert_allclose(found.contour, EYE, atol=1e-12)
    assert found.gap == pytest.approx(face_measures.contour_ratio(EYE) * 40, abs=1e-9)


@pytest.mark.parametrize("moved", [0.0, 0.3, 1.0])
def test_a_painted_iris_is_that_of_opencv(moved):
    random = np.random.default_rng(2)
    image = random.random((60, 90, 4), np.float32)
    around, texture = (cv2.GaussianBlur(random.random((31, 31, 3), np.float32), (0, 0), 2) for _ in range(2))
    lids = random.random((24, 40), np.float32)
    lids[:3] = 0
    centre, to_photo, x0, y0 = np.array([52.3, 29.6]), np.array([[1.1, 0.2], [-0.1, 0.9]]), 30, 18
    expected, part = image.copy(), np.s_[18:42, 30:70, :3]
    y, x = np.mgrid[18:42, 30:70]
    places = (np.stack([x, y], -1) - centre) @ to_photo
    coverage = 1 - smoothstep(np.hypot(*np.moveaxis(places, -1, 0)) / 9.0, 1.0, 1.5)
    colors = (1 - np.float32(moved)) * around + np.float32(moved) * texture
    drawn = cv2.remap(colors, (places + 15).astype(np.float32), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    expected[part] += (0.9 * coverage * lids)[..., None] * (drawn - expected[part])
    paint_iris(image, x0, y0, lids, around, texture, moved, centre, to_photo, 9.0, 1.0, 1.5, 0.9)
    np.testing.assert_allclose(image, expected, atol=2e-3)  # positions at 1/64 pixel may be rounded either way
    assert np.abs(image - expected).mean() < 1e-5
