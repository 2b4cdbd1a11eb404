"""What relative motion counts from, on made-up clips whose true rest is known; and lids and lips by their openings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from synthetic_head import a_clip, a_frame

from core.data.records import TrackedFrame, TrackedSequence
from core.libs.face_measures import closed_lip_gap
from core.libs.flame_model import FLAMEModel
from core.libs.geometry import head_rotation
from core.libs.retargeting.neutral import NEUTRAL, neutral_frame, resting_expression, resting_gaze
from core.libs.retargeting.opening_goals import OPENINGS
from core.libs.retargeting.openings import FaceOpenings
from core.libs.retargeting.stage import Retargeting

HEAD = FLAMEModel()
FPS = 25
EXPRESSIONS = NEUTRAL.motion_share / (1 - NEUTRAL.motion_share)  # as many say as much as the prior
BROWS, CORNERS = (105, 66, 107, 334, 296, 336), (33, 133, 362, 263)


def person(seed: int = 3) -> TrackedFrame:
    """Someone with the mean expression and the jaw closed."""
    frame = a_frame(np.random.default_rng(seed), expression=0)
    return replace(frame, posecode=np.zeros(6, np.float32))


STRAIGHT = replace(person(8), eyecode=np.zeros(6, np.float32))


def clip_of(codes: np.ndarray, frame: TrackedFrame | None = None) -> TrackedSequence:
    frame = frame or person()
    return a_clip([replace(frame, expcode=code.astype(np.float32)) for code in codes])


def gaps(frame: TrackedFrame, motion: TrackedSequence) -> np.ndarray:
    """(T, 3): lips, left and right lids, head units."""
    face = FaceOpenings(HEAD, HEAD.openings, frame)
    return face.gaps(motion.expcode.astype(np.float64), motion.posecode[:, 3:].astype(np.float64))[:, :3]


def opened(frame: TrackedFrame, row: int, amount: float) -> np.ndarray:
    """(100,): the frame's code with one of lips, left and right lids at a gap of `amount`, head units."""
    face = FaceOpenings(HEAD, HEAD.openings, frame)
    gap = face.gaps(frame.expcode[None].astype(np.float64), frame.posecode[None, 3:].astype(np.float64))[0, row]
    return frame.expcode + (amount - gap) * face.pseudo_inverse()[row]


def brow_height(code: np.ndarray) -> float:
    """How much higher brows stand over the eyes than the mean face's, head units."""
    directions = HEAD.directions.numpy()[:, 1, HEAD.n_shape :].astype(np.float64)
    return float((directions[list(BROWS)].mean(0) - directions[list(CORNERS)].mean(0)) @ code)


class TestRest:
    def test_a_held_expression_is_one_as_far_as_the_clip_is_short(self):
        source, code = replace(person(4), expcode=np.zeros(100, np.float32)), np.full(100, 0.8)
        for frames in (10, 50, 1000):
            rest, _ = resting_expression(source, clip_of(np.repeat(code[None], frames, 0)), HEAD)
            seconds = frames / FPS
            np.testing.assert_allclose(rest, code * seconds / (seconds + EXPRESSIONS), rtol=1e-5)

    def test_what_the_photo_has_too_is_the_persons(self):
        code = np.random.default_rng(2).normal(0, 0.8, 100)
        source = replace(person(), expcode=code.astype(np.float32))
        rest, _ = resting_expression(source, clip_of(np.repeat(code[None], 30, 0)), HEAD)
        np.testing.assert_allclose(rest, code, atol=1e-5)
        half = replace(source, expcode=(0.5 * code).astype(np.float32))
        rest, _ = resting_expression(half, clip_of(np.repeat(code[None], 1, 0)), HEAD)
        assert 0.5 < (rest / code).mean() < 0.52

    def test_a_rest_is_nearer_to_the_true_one_than_that_of_one_frame(self):
        # People's rests and expressions as wide as the development clips have them; half a clip is one expression.
        random, errors = np.random.default_rng(11), []
        between, within = np.sqrt(1 - NEUTRAL.motion_share), np.sqrt(NEUTRAL.motion_share)
        source = replace(person(4), expcode=np.zeros(100, np.float32))
        for _ in range(12):
            true = random.normal(0, between, 100)
            knots = true + random.normal(0, within, (3, 100))
            codes = np.concatenate([np.repeat(knots[:1], 25, 0), np.linspace(knots[1], knots[2], 25)])
            driver = clip_of(codes + random.normal(0, 0.05, codes.shape))
            rest, _ = resting_expression(source, driver, HEAD)
            one = driver.expcode[neutral_frame(driver, HEAD)]
            errors.append([np.linalg.norm(rest - true), np.linalg.norm(one - true)])
            errors[-1] += [abs(brow_height(rest - true)), abs(brow_height(one - true))]
        rest, one, brows, brows_of_one = np.sqrt(np.square(errors).mean(0))
        assert rest < 0.6 * one
        assert brows < 0.6 * brows_of_one

    def test_a_clip_of_raised_brows_does_not_frown(self):
        # 50 frames of surprise that comes and goes a little: no frame may frown on the photo.
        directions = HEAD.directions.numpy()[:, 1, HEAD.n_shape :].astype(np.float64)
        raised = directions[list(BROWS)].mean(0) - directions[list(CORNERS)].mean(0)
        raised = 0.05 * raised / (raised @ raised)  # 0.05 head units
        height = 1 + 0.3 * np.sin(np.arange(50) / 8)
        driver, source = clip_of(height[:, None] * raised), person(4)
        motion = Retargeting().run(source, driver, HEAD)
        moved = np.array([brow_height(code - source.expcode) for code in motion.expcode.astype(np.float64)])
        assert moved.min() > 0


class TestRestingGaze:
    """`person` looks at the camera from the front where nothing else is said."""

    def looks(self, yaws: np.ndarray, head: tuple[float, float, float] = (0, 0, 0)) -> TrackedSequence:
        """A clip of eyes turned by degrees (T,) in a head of roll, yaw and pitch in degrees."""
        transform = np.concatenate([head_rotation(np.radians(head)), [[0], [0], [8.5]]], 1).astype(np.float32)
        eyes = np.radians(np.stack([[0, yaw, 0, 0, yaw, 0] for yaw in yaws])).astype(np.float32)
        return a_clip([replace(person(), transform_matrix=transform, eyecode=codes) for codes in eyes])

    def test_a_clip_that_mostly_looks_aside_rests_where_it_looks_ahead(self):
        rest = resting_gaze(STRAIGHT, self.looks(np.repeat([3.0, -28.0], [15, 35])))
        np.testing.assert_allclose(np.degrees(rest), [0, 3, 0, 0, 3, 0], atol=0.5)
        # So a photo looks as it does whenever its driver looks ahead, and aside when it looks aside.
        source, driver = STRAIGHT, self.looks(np.repeat([3.0, -28.0], [15, 35]))
        eyes = Retargeting().run(source, driver, HEAD).eyecode - source.eyecode
        assert np.abs(np.degrees(eyes[:15])).max() < 1
        assert np.degrees(eyes[15:, [1, 4]]).max() < -25

    def test_a_look_into_the_camera_from_a_turned_head_is_a_rest(self):
        for yaw in (25.0, -25.0):
            driver = self.looks(np.full(50, -yaw), (0, yaw, 0))
            np.testing.assert_allclose(np.degrees(resting_gaze(STRAIGHT, driver))[[1, 4]], -yaw, atol=0.01)

    def test_a_look_aside_throughout_is_one_beyond_what_eyes_and_tracker_are_off_by(self):
        least, most = np.degrees(NEUTRAL.aside)
        for yaw in (-2.0, 6.0, 20.0, -40.0):
            rest = np.degrees(resting_gaze(STRAIGHT, self.looks(np.full(50, yaw))))[[1, 4]]
            assert np.sign(yaw) * rest == pytest.approx(abs(yaw) if abs(yaw) <= least else most, abs=0.2)


class TestOpenings:
    def test_lids_close_by_the_part_of_their_own_opening(self):
        driver_person, source = person(3), person(8)
        own, theirs = (gaps(p, clip_of(p.expcode[None], p))[0] for p in (source, driver_person))
        wide = replace(source, expcode=opened(source, 1, 1.5 * own[1]).astype(np.float32))  # twice as wide-eyed
        wide = replace(wide, expcode=opened(wide, 2, 1.5 * own[2]).astype(np.float32))
        own = gaps(wide, clip_of(wide.expcode[None], wide))[0]
        parts = np.array([1.0] * 20 + [0.8, 0.5, 0.3, 0.1, 0.0])
        codes = []
        for part in parts:
            half = replace(driver_person, expcode=opened(driver_person, 1, part * theirs[1]).astype(np.float32))
            codes.append(opened(half, 2, part * theirs[2]))
        motion = Retargeting().run(wide, clip_of(np.array(codes), driver_person), HEAD)
        t = np.clip((parts - OPENINGS.lid_contact_least) / (OPENINGS.lid_closing - OPENINGS.lid_contact_least), 0, 1)
        expected = parts**OPENINGS.lid_curve * t * t * (3 - 2 * t)  # the clip's blinks are seen shut
        np.testing.assert_allclose(gaps(wide, motion)[:, 1] / own[1], expected, atol=0.02)
        np.testing.assert_allclose(gaps(wide, motion)[:, 2] / own[2], expected, atol=0.02)

    def test_an_eye_wider_than_at_rest_is_wider_by_as_much(self):
        driver_person, source = person(3), person(8)
        source = replace(source, expcode=opened(source, 1, 0.02).astype(np.float32))  # narrower than the driver's
        own, theirs = (gaps(p, clip_of(p.expcode[None], p))[0] for p in (source, driver_person))
        codes = np.array([driver_person.expcode] * 20 + [opened(driver_person, 1, 1.08 * theirs[1])])
        motion = Retargeting().run(source, clip_of(codes, driver_person), HEAD)
        widths = [FaceOpenings(HEAD, HEAD.openings, p).width for p in (source, driver_person)]
        more = gaps(source, motion)[-1, 1] - own[1]
        assert more == pytest.approx(0.08 * theirs[1] * widths[0] / widths[1], abs=2e-4)

    def test_a_blink_that_is_tracked_in_one_eye_is_one_and_a_wink_is_a_wink(self):
        driver_person, source = person(3), person(8)
        own, theirs = (gaps(p, clip_of(p.expcode[None], p))[0] for p in (source, driver_person))
        codes = [driver_person.expcode] * 20
        for other in (0.45, 0.95):
            half = replace(driver_person, expcode=opened(driver_person, 1, 0.0).astype(np.float32))
            codes.append(opened(half, 2, other * theirs[2]))
        part = gaps(source, Retargeting().run(source, clip_of(np.array(codes), driver_person), HEAD))[-2:, 1:] / own[1:]
        np.testing.assert_allclose(part[0], 0, atol=0.02)
        np.testing.assert_allclose(part[1], [0, 0.95**OPENINGS.lid_curve], atol=0.02)

    def test_two_eyes_that_open_together_after_a_blink_are_equally_open(self):
        # A tracker sees one of them shut less, and open sooner: what it tells apart by little is one blink.
        driver_person, source = person(3), person(8)
        own, theirs = (gaps(p, clip_of(p.expcode[None], p))[0] for p in (source, driver_person))
        codes = [driver_person.expcode] * 20
        for left, right in ((0.32, 0.17), (0.64, 0.57), (1.0, 0.93)):
            half = replace(driver_person, expcode=opened(driver_person, 1, left * theirs[1]).astype(np.float32))
            codes.append(opened(half, 2, right * theirs[2]))
        part = gaps(source, Retargeting().run(source, clip_of(np.array(codes), driver_person), HEAD))[-3:, 1:] / own[1:]
        assert np.ptp(part[:2], 1).max() < 0.02  # 0.19 in the second where each goes its own way
        assert part[0].max() < 0.05 < 0.3 < part[1].min() < part[1].max() < 0.6
        assert np.ptp(part[2]) > 0.05  # open eyes are as different as they are

    @pytest.mark.parametrize("apart", [0.0, 0.06])
    def test_closed_lips_are_closed_and_open_ones_as_open_whatever_the_photos_are(self, apart):
        driver_person, source = person(3), person(8)
        photo = replace(source, expcode=opened(source, 0, apart).astype(np.float32))
        openings = np.array([0.0] * 12 + [0.002, 0.05, 0.12])
        driver = clip_of(np.array([opened(driver_person, 0, gap) for gap in openings]), driver_person)
        motion = Retargeting().run(photo, driver, HEAD)
        widths = [FaceOpenings(HEAD, HEAD.openings, p).width for p in (photo, driver_person)]
        np.testing.assert_allclose(gaps(photo, motion)[:, 0] / widths[0], openings / widths[1], atol=2e-3)

    def test_lips_that_are_never_near_one_another_have_no_contact(self):
        most = NEUTRAL.contact
        assert closed_lip_gap(0.5 * most, most) == 0.5 * most
        assert closed_lip_gap(-2 * most, most) == -most
        assert closed_lip_gap(1.5 * most, most) == pytest.approx(0.5 * most)
        assert closed_lip_gap(2 * most, most) == closed_lip_gap(9 * most, most) == 0
