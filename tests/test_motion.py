"""Motion transfer: what must stay, what must move and how far."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from synthetic_head import a_clip, a_frame, degrees_between

from core.data.records import HELD, SEEN, TrackedFrame, TrackedSequence
from core.errors import UserError
from core.libs.flame_model import FLAMEModel
from core.libs.flame_model.topology import EYE_PAIRS, LIP_PAIRS
from core.libs.geometry import head_angles, head_rotation
from core.libs.retargeting import neutral
from core.libs.retargeting.gaze import EYE_TURNS, outward_raised, visible_gain
from core.libs.retargeting.neutral import resting_gaze, resting_transform
from core.libs.retargeting.openings import FaceOpenings
from core.libs.retargeting.pose import PoseSettings
from core.libs.retargeting.stage import Retargeting

ROLL, YAW, PITCH = 0, 1, 2


@pytest.fixture
def source() -> TrackedFrame:
    random = np.random.default_rng(5)
    static_offset = random.normal(0, 0.01, (749, 3)).astype(np.float32)
    static_offset[478:] = 0
    return replace(a_frame(random), static_offset=static_offset)


@pytest.fixture
def driver() -> TrackedSequence:
    random = np.random.default_rng(6)
    frames = [a_frame(random, degrees=12) for _ in range(20)]
    return a_clip([replace(frame, shapecode=frames[0].shapecode) for frame in frames])


def turned(frame: TrackedFrame, degrees: list[float]) -> TrackedFrame:
    """The frame at roll, yaw and pitch."""
    rotation = head_rotation(np.radians(degrees))
    transform = np.concatenate([rotation, frame.transform_matrix[:, 3:]], 1).astype(np.float32)
    return replace(frame, transform_matrix=transform)


HEAD = FLAMEModel()


def neutral_frame(driver: TrackedSequence) -> int:
    return neutral.neutral_frame(driver, HEAD)


def angles(motion: TrackedSequence) -> np.ndarray:
    return np.degrees(head_angles(motion.transform_matrix[..., :3].astype(np.float64)))


def turning(axis: int, degrees: np.ndarray) -> TrackedSequence:
    """A driver that turns about one axis, its resting frame first."""
    still = a_frame(np.random.default_rng(7))
    poses = np.zeros((len(degrees), 3))
    poses[:, axis] = degrees
    return a_clip([turned(still, pose) for pose in poses])


class TestRelative:
    def test_at_its_rest_the_source_stays_as_it_is(self, source, driver):
        # Its pose is that of one frame; its resting expression, here the mean face, and gaze, here ahead, are of many.
        source, rest = with_closed_lips(source), neutral_frame(driver)
        touching = np.zeros_like(source.static_offset)  # the mean face, but that its lips touch
        upper, lower = np.array(LIP_PAIRS).T
        touching[lower] = (HEAD.template[upper] - HEAD.template[lower]).numpy()
        codes = {name: 0 * getattr(driver[0], name) for name in ("shapecode", "expcode", "posecode", "eyecode")}
        frames = [replace(frame, **codes, static_offset=touching) for frame in driver]
        still = Retargeting().run(source, a_clip(frames), HEAD)[rest]
        for name in ("shapecode", "expcode", "posecode", "eyecode", "transform_matrix", "static_offset"):
            np.testing.assert_allclose(getattr(still, name), getattr(source, name), atol=2e-5, err_msg=name)

    def test_a_source_driven_by_itself(self, source):
        motion = Retargeting().run(source, a_clip([source] * 3), HEAD)
        np.testing.assert_allclose(motion.transform_matrix, np.stack([source.transform_matrix] * 3), atol=2e-6)
        np.testing.assert_allclose(motion.expcode, np.stack([source.expcode] * 3), atol=2e-6)
        aside = replace(source, eyecode=np.radians([5, 30, 0, 5, 30, 0]).astype(np.float32))
        np.testing.assert_allclose(Retargeting().run(aside, a_clip([aside] * 3), HEAD).eyecode, [aside.eyecode] * 3)

    def test_codes_differ_from_the_source_as_the_drivers_from_rest(self, source, driver):
        motion = Retargeting().run(source, driver, HEAD)
        eyes = outward_raised(driver.eyecode - resting_gaze(source, driver), EYE_TURNS.apart)
        eyes = eyes / np.tile([*visible_gain(source, driver[0], HEAD), 1], 2)  # to the sides more than is tracked of it
        assert np.abs(source.eyecode + eyes).max() < EYE_TURNS.limit
        np.testing.assert_allclose(motion.eyecode - source.eyecode, eyes, atol=1e-5)
        for name in ("expcode", "posecode"):
            resting = getattr(neutral.neutral_reference(source, driver, HEAD).frame, name)
            moved = getattr(motion, name) - getattr(source, name) - (getattr(driver, name) - resting)
            if name == "expcode":  # but for what closes and opens lips and lids, no more codes than these have rows
                moved = moved - moved @ np.linalg.pinv(rows(source)) @ rows(source)
            np.testing.assert_allclose(moved, 0, atol=0.02, err_msg=name)  # standard deviations, of rows nearly alike
        assert motion.times == driver.times
        assert len(motion.shapecode) == 1

    @pytest.mark.parametrize("axis", [ROLL, YAW, PITCH])
    @pytest.mark.parametrize("own", [[0, 0, 0], [10, -35, -18], [-2, 22, 9]])
    def test_one_turn_stays_one_turn_on_a_turned_head(self, source, axis, own):
        degrees = np.concatenate([[0.0] * 5, np.linspace(-12, 12, 13)])
        moved = angles(Retargeting().run(turned(source, own), turning(axis, degrees), HEAD)) - own
        others = [a for a in (ROLL, YAW, PITCH) if a != axis]
        np.testing.assert_allclose(moved[:, others], 0, atol=1e-3)
        assert np.corrcoef(moved[:, axis], degrees)[0, 1] > 0.99
        assert (np.diff(moved[5:, axis]) > 0).all()

    def test_small_turns_are_left_alone(self, source):
        degrees = np.array([0, 0, 0, 0.5, -0.5, 1.0, -1.0])
        for axis in (ROLL, YAW, PITCH):
            moved = angles(Retargeting().run(turned(source, [0, 30, 0]), turning(axis, degrees), HEAD)) - [0, 30, 0]
            np.testing.assert_allclose(moved[:, axis], degrees, rtol=5e-3, atol=1e-4)

    def test_large_turns_end_at_the_limit(self, source):
        degrees = np.concatenate([[0.0] * 30, np.linspace(-85, 85, 25)])
        for axis in (ROLL, YAW, PITCH):
            moved = angles(
                Retargeting(pose=PoseSettings(turn_limit=30)).run(
                    turned(source, [0, 0, 0]), turning(axis, degrees), HEAD
                )
            )
            assert 29 < np.abs(moved[:, axis]).max() < 30

    @pytest.mark.parametrize("side", [-1, 1])
    def test_a_turned_source_is_free_towards_the_camera(self, source, side):
        degrees = np.concatenate([[0.0] * 30, np.linspace(-60, 60, 25)])
        moved = side * angles(
            Retargeting(pose=PoseSettings(turn_limit=30)).run(
                turned(source, [0, side * 25, 0]), turning(YAW, degrees), HEAD
            )
        )
        assert moved[:, YAW].max() < 25 + 15  # half of the limit beyond its own pose
        assert -30 < moved[:, YAW].min() < -15  # from 25 degrees through the front to the other side

    def test_turns_past_half_a_circle_are_short(self, source):
        # Rolls of 179 and -179 degrees are two degrees apart.
        poses = [[179, 0, 0]] * 3 + [[-179, 0, 0]]
        driver = a_clip([turned(a_frame(np.random.default_rng(8)), pose) for pose in poses])
        moved = angles(Retargeting().run(turned(source, [0, 0, 0]), driver, HEAD))
        np.testing.assert_allclose(moved[3], [2, 0, 0], atol=0.02)

    def test_shifts_are_limited_too(self, source):
        still = a_frame(np.random.default_rng(9))
        shifts = np.array([0, 0, 0, 0, 0, 0.02, 3.0])
        frames = []
        for shift in shifts:
            transform = still.transform_matrix.copy()
            transform[0, 3] += shift
            frames.append(replace(still, transform_matrix=transform))
        moved = Retargeting(pose=PoseSettings(shift_limit=0.35)).run(source, a_clip(frames), HEAD).transform_matrix
        away = moved[:, 0, 3] - source.transform_matrix[0, 3]
        assert away[5] == pytest.approx(0.02, rel=0.01)
        assert 0.34 < away[6] <= 0.3501

    def test_one_picture_is_taken_over(self, source, driver):
        picture = a_clip([driver[3]])
        motion = Retargeting().run(source, picture, HEAD)[0]
        np.testing.assert_allclose(motion.expcode, driver.expcode[3], atol=1e-6)
        np.testing.assert_allclose(motion.eyecode, driver.eyecode[3], atol=1e-6)
        np.testing.assert_array_equal(motion.shapecode, source.shapecode)
        assert degrees_between(motion.transform_matrix[:, :3], driver.transform_matrix[3, :, :3]) < 8


class TestAbsolute:
    def test_the_photo_comes_out_where_the_driver_shows_it(self, source, driver):
        # The clip's fit of the same face: another shape code, pose and place, but the same face in the picture.
        frames = list(driver)
        shown = 7
        transform = source.transform_matrix.copy()
        transform[:2, 3] += [0.15, -0.1]
        frames[shown] = replace(source, transform_matrix=transform)
        frames = [replace(f, shapecode=source.shapecode, static_offset=source.static_offset) for f in frames]
        motion = Retargeting("absolute").run(source, a_clip(frames), HEAD)
        for name in ("expcode", "posecode", "eyecode"):
            np.testing.assert_allclose(getattr(motion, name)[shown], getattr(source, name), atol=1e-5)
        turn = degrees_between(motion.transform_matrix[shown, :, :3], source.transform_matrix[:, :3])
        assert turn < 0.1
        place = frames[shown].transform_matrix[:, 3]  # where the driver has it
        np.testing.assert_allclose(motion.transform_matrix[shown, :, 3], place, atol=0.02)

    def test_another_face_gets_the_drivers_parameters(self, source, driver):
        motion = Retargeting("absolute").run(source, driver, HEAD)
        for name in ("expcode", "posecode", "eyecode", "transform_matrix"):
            np.testing.assert_array_equal(getattr(motion, name), getattr(driver, name))
        np.testing.assert_array_equal(motion.shapecode[0], source.shapecode)
        np.testing.assert_array_equal(motion.static_offset, source.static_offset)


def test_frames_that_were_not_seen_are_no_rest(driver):
    rest = neutral_frame(driver)
    status = np.full(len(driver), SEEN, np.int8)
    status[rest] = HELD
    assert neutral_frame(replace(driver, status=status)) != rest


def test_the_rest_is_not_a_glance_aside():
    still = a_frame(np.random.default_rng(10), expression=0)
    aside = replace(still, eyecode=still.eyecode + np.float32([0, 0.5, 0, 0, 0.5, 0]))
    assert neutral_frame(a_clip([aside, still, still, aside, still])) in (1, 2, 4)


def with_closed_lips(frame: TrackedFrame) -> TrackedFrame:
    """The frame with its jaw shut and the codes by which its lips just touch."""
    frame = replace(frame, posecode=np.zeros(6, np.float32))
    face = FaceOpenings(HEAD, HEAD.openings, frame)
    gap = face.gaps(frame.expcode[None].astype(np.float64), np.zeros((1, 3)))[0, 0]
    return replace(frame, expcode=(frame.expcode - gap * face.pseudo_inverse()[0]).astype(np.float32))


def rows(source: TrackedFrame) -> np.ndarray:
    """(rows, 100): the codes that open the source's lips and lids, and the pairs of their rims."""
    return FaceOpenings(HEAD, HEAD.openings, source).pseudo_inverse()


def with_jaw(frame: TrackedFrame, angle: float) -> TrackedFrame:
    return replace(frame, posecode=np.array([0, 0, 0, angle, 0, 0], np.float32))


def test_the_rest_has_closed_lips():
    talking = [
        with_jaw(a_frame(np.random.default_rng(10), expression=0), angle) for angle in (0.2, 0.25, 0, 0.3, 0.2, 0.3)
    ]
    assert neutral_frame(a_clip(talking)) == 2


def test_the_rest_is_not_a_blink():
    still, g = a_frame(np.random.default_rng(10), expression=0), lid_gradient()
    blink = replace(still, expcode=(-0.04 * g / (g @ g)).astype(np.float32))
    assert neutral_frame(a_clip([blink, still, still, blink, still])) in (1, 2, 4)


def lid_gradient() -> np.ndarray:
    """(100,): how the expression codes open the eyes, in head units."""
    upper, lower = np.array([*EYE_PAIRS["left"], *EYE_PAIRS["right"]]).T
    directions = FLAMEModel().directions.numpy()[..., 300:]
    return (directions[upper, 1] - directions[lower, 1]).mean(0).astype(np.float64)


def gaps(motion: TrackedSequence, pairs) -> np.ndarray:
    head = FLAMEModel()
    upper, lower = np.array(pairs).T
    points = np.stack([head.evaluate(frame) for frame in motion])
    return (points[:, upper, 1] - points[:, lower, 1]).mean(1)


@pytest.mark.parametrize("pairs", [LIP_PAIRS, EYE_PAIRS["left"], EYE_PAIRS["right"]])
def test_lips_and_lids_do_not_cross(pairs):
    # The source's lids and lips stand closer together than the driver's do at rest, and the driver closes both.
    still, g = a_frame(np.random.default_rng(10), expression=0), lid_gradient()
    lids = [replace(still, expcode=(part * g / (g @ g)).astype(np.float32)) for part in (0, 0, 0, -0.02, -0.04)]
    driver = a_clip([with_jaw(f, angle) for f, angle in zip(lids, (0.05, 0.05, 0.05, 0.0, -0.1), strict=True)])
    sleepy = with_jaw(replace(still, expcode=(-0.03 * g / (g @ g)).astype(np.float32)), 0)
    motion = Retargeting().run(sleepy, driver, HEAD)
    own = gaps(a_clip([sleepy]), pairs)[0]
    assert own > -1e-3
    assert gaps(motion, pairs).min() > -2e-3
    rest = neutral_frame(driver)
    at_rest = gaps(motion, pairs)[rest]
    if pairs == LIP_PAIRS:  # the driver's are apart at rest; where lips touch, a tracker is off by 0.012 at most
        assert at_rest == pytest.approx(gaps(driver, pairs)[rest], abs=0.012)
    else:
        assert at_rest == pytest.approx(own, abs=1e-3)
    free = sleepy.expcode + driver.expcode - driver.expcode[rest]
    moved = replace(motion, expcode=free.astype(np.float32))
    assert gaps(moved, pairs).min() < -5e-3  # they would have


def test_resting_transform_is_the_nearest(source, driver):
    motion = replace(driver, transform_matrix=driver.transform_matrix.copy())
    motion.transform_matrix[11] = source.transform_matrix
    np.testing.assert_array_equal(resting_transform(source, motion), source.transform_matrix)


def test_mixed_heads_and_unknown_modes_are_refused(source, driver):
    with pytest.raises(UserError, match="cannot be mixed"):
        Retargeting().run(source, replace(driver, head="flame"), HEAD)
    with pytest.raises(UserError, match="none of auto, relative, absolute"):
        Retargeting("sideways").run(source, driver, HEAD)
