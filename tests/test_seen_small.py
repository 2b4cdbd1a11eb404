"""The offset that a small face is tracked with: measured where it is known, taken out where it is absolute motion."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from synthetic_head import a_clip, a_frame, degrees_between, seen_points

from core.components import default_components
from core.data.records import IMAGE_SIZE, TrackedSequence, TrackedSource
from core.evaluation.setting import first_frames
from core.improvements import Improvements
from core.libs.flame_model import OpenHead
from core.libs.geometry import head_rotation
from core.libs.retargeting.pose import without_offset
from core.libs.tracker.base import Observation
from core.libs.tracker.fit import HeadFitter
from core.libs.tracker.seen_small import crop_side, pose_seen_small
from core.options import Options

ROOT = Path(__file__).parents[1]
MARGIN = 96
WIDE = IMAGE_SIZE + 2 * MARGIN


class Nodding:
    """A tracker that knows a face's points in the photo's crop; in a smaller picture it has them `lower` pixels."""

    name = version = "nodding"

    def __init__(self, points: np.ndarray, lower: float) -> None:
        self.points, self.lower, self.sizes = points + np.float32([MARGIN, MARGIN, 0]), lower, []

    def follow(self, image: np.ndarray) -> Observation:
        self.sizes.append(len(image))
        points = (self.points + np.float32([0.5, 0.5, 0])) * np.float32(len(image) / WIDE) - np.float32([0.5, 0.5, 0])
        return Observation(points + np.float32([0, self.lower * (len(image) < WIDE), 0]))

    detect = follow

    def reset(self) -> None: ...


@pytest.fixture(scope="module")
def head() -> OpenHead:
    return OpenHead()


@pytest.fixture(scope="module")
def photo(head) -> tuple[TrackedSource, np.ndarray]:
    """A photo whose pose is what the fit makes of its points, and these."""
    frame = a_frame(np.random.default_rng(1), 0.2)
    points = seen_points(head, frame)
    fit = HeadFitter(head).fit(points[None])
    frame = replace(frame, transform_matrix=fit.transform[0], static_offset=fit.static_offset)
    image = np.random.default_rng(2).integers(0, 255, (WIDE, WIDE, 3)).astype(np.uint8)
    ones = np.ones((WIDE, WIDE))
    return TrackedSource(frame, image, ones.astype(np.float32), MARGIN, ones > 0), points


def test_a_tracker_without_an_offset_has_none(head, photo):
    source, points = photo
    seen = pose_seen_small(source, 128, Nodding(points, 0), head)
    np.testing.assert_allclose(seen, source.frame.transform_matrix, atol=2e-3)


def test_the_offset_is_what_the_tracker_makes_of_the_small_picture(head, photo):
    source, points = photo
    tracker = Nodding(points, 1.0)
    seen = pose_seen_small(source, 128, tracker, head)
    assert set(tracker.sizes) == {176}  # 704 pixels of the wide crop, at 128 / 512
    lower = HeadFitter(head).fit((points + np.float32([0, 4, 0]))[None]).transform[0]  # a pixel there is four here
    np.testing.assert_allclose(seen, lower, atol=2e-3)


@pytest.mark.parametrize("side", [400.0, 20.0])
def test_large_faces_and_specks_are_not_looked_at(head, photo, side):
    source, points = photo
    tracker = Nodding(points, 1.0)
    assert pose_seen_small(source, side, tracker, head) is None
    assert not tracker.sizes


def test_a_constant_offset_is_taken_out_exactly():
    random = np.random.default_rng(3)
    clip = a_clip([a_frame(random) for _ in range(4)])
    known = a_frame(random).transform_matrix
    turn, shift = head_rotation(np.radians([2.0, -3.0, 1.0])), np.array([0.01, 0.02, -0.1])

    def seen(transform: np.ndarray) -> np.ndarray:
        return np.concatenate([transform[..., :3] @ turn, transform[..., 3:] + shift[:, None]], -1).astype(np.float32)

    off = replace(clip, transform_matrix=seen(clip.transform_matrix))
    back = without_offset(off, known, seen(known))
    np.testing.assert_allclose(back.transform_matrix, clip.transform_matrix, atol=2e-6)
    assert degrees_between(off.transform_matrix[..., :3], clip.transform_matrix[..., :3]).min() > 3


def test_only_absolute_motion_with_smoothing_is_corrected(photo):
    source, _ = photo
    track = first_frames(TrackedSequence.load(ROOT / "demos/drivers/obama"), 12)
    track = replace(track, crops=np.tile(np.float32([10, 20, 130]), (12, 1)), fps=Fraction(25))
    assert crop_side(track) == 130
    seen = source.frame.transform_matrix + np.float32([[0, 0, 0, 0.5]])
    asked = []

    def pose(photo: TrackedSource, side: float) -> np.ndarray:
        asked.append(side)
        return seen

    def shift(component=pose, **options) -> np.ndarray:
        some = Improvements(Options(Path("a.jpg"), Path("b.mp4"), **options))
        steady = some.steady(track, source, component)[0].transform_matrix
        return (steady - some.smooth(track).transform_matrix)[..., 3]

    assert not shift(temporal_smooth=True).any()
    assert not shift(motion="absolute").any()
    assert not shift(motion="absolute", temporal_smooth=True, smooth_strength=0.0).any()
    assert not shift(None, motion="absolute", temporal_smooth=True).any()
    assert not asked
    np.testing.assert_allclose(shift(motion="absolute", temporal_smooth=True), -0.5, atol=1e-5)
    assert asked == [130]


def test_the_usual_components_measure_it():
    assert default_components(Options(Path("a.jpg"), Path("b.mp4"))).pose_seen_small is not None
