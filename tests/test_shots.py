"""Shots of a driver: what they are known by, and that nothing of one reaches another."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from faces import TRACK, portrait
from synthetic_head import a_frame

from core.data.frame_keys import in_order, split_key
from core.data.records import HELD, INTERPOLATED, SEEN, TrackedFrame, TrackedSequence, frames_of_shots, join
from core.errors import UserError
from core.improvements import Improvements
from core.libs.flame_model import FLAMEModel
from core.libs.retargeting.orbit import orbit
from core.libs.retargeting.shots import by_groups, resting_groups, with_shots
from core.libs.retargeting.stage import Retargeting
from core.libs.tracker import cuts
from core.libs.tracker.cuts import CutFinder
from core.libs.tracker.gaps import bridge, with_faces
from core.libs.tracker.settings import CutSettings
from core.options import Options

NAMES = ("shapecode", "expcode", "posecode", "eyecode", "transform_matrix", "torso_motion")
PHOTO, DRIVER = "photo.png", "driver.mp4"
LENGTH = 50


@pytest.fixture(scope="module")
def head() -> FLAMEModel:
    return FLAMEModel()


@pytest.fixture(scope="module")
def source() -> TrackedFrame:
    return replace(
        a_frame(np.random.default_rng(1), 0.3), static_offset=np.zeros((len(FLAMEModel().template), 3), np.float32)
    )


@pytest.fixture(scope="module")
def first() -> TrackedSequence:
    """A person who talks."""
    return TrackedSequence.load(TRACK).take(np.arange(LENGTH))


@pytest.fixture(scope="module")
def second() -> TrackedSequence:
    """Somebody else, with another face and turned away, tracked in one go with the first: other codes, one shape."""
    track = TrackedSequence.load(TRACK).take(np.arange(150, 150 + LENGTH))
    random = np.random.default_rng(5)
    turn = np.float32([[np.cos(0.5), 0, np.sin(0.5)], [0, 1, 0], [-np.sin(0.5), 0, np.cos(0.5)]])
    transform = track.transform_matrix.copy()
    transform[..., :3] = turn @ transform[..., :3]
    return replace(
        track, expcode=track.expcode + random.normal(0, 3, 100).astype(np.float32), transform_matrix=transform
    )


def one_after_another(*parts: TrackedSequence, shots: np.ndarray | None = None) -> TrackedSequence:
    joined = join(parts)
    times = tuple(Fraction(i, 25) for i in range(len(joined)))
    return replace(joined, times=times, fps=Fraction(25), shots=shots)


def moved(source: TrackedFrame, track: TrackedSequence, head: FLAMEModel, **options: object) -> TrackedSequence:
    """As the pipeline does it."""
    improvements = Improvements(Options(PHOTO, DRIVER, **options))
    track = improvements.smooth(with_shots(track))
    return improvements.retargeting(head, track).run(source, track, head)


def same(a: TrackedSequence, b: TrackedSequence) -> None:
    for name in NAMES:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


class TestNames:
    @pytest.mark.parametrize(
        ("key", "name", "number"),
        [
            ("obama_17", "obama", 17),
            ("000869_70", "000869", 70),
            ("my_clip_2", "my_clip", 2),
            ("frame0012", "frame", 12),
            ("IMG-7", "IMG", 7),
            ("0003", "", 3),
            ("alice", "alice", 0),
        ],
    )
    def test_a_key_is_a_name_and_a_number(self, key, name, number):
        assert split_key(key) == (name, number)

    @pytest.mark.parametrize(
        ("keys", "ordered", "shots"),
        [
            (["a_2", "a_10", "a_1"], ["a_1", "a_2", "a_10"], [0, 0, 0]),
            (["b_70", "a_210", "c_5"], ["c_5", "b_70", "a_210"], [0, 1, 2]),  # stills, in upstream's order
            (["a_0", "b_0", "a_1", "b_1"], ["a_0", "a_1", "b_0", "b_1"], [0, 0, 1, 1]),  # clips stay whole
            (["a_0", "a_25", "a_51"], ["a_0", "a_25", "a_51"], [0, 0, 1]),
            (["bob", "alice"], ["alice", "bob"], [0, 1]),
        ],
    )
    def test_order_and_shots(self, keys, ordered, shots):
        got, numbers = in_order(keys)
        assert list(got) == ordered
        assert numbers.tolist() == shots


class TestRecords:
    def test_joined_and_taken_apart_again(self, first, second):
        other = replace(second, shapecode=second.shapecode + 1, static_offset=second.static_offset + 1)
        joined = join([first, other])
        assert joined.shots.tolist() == [0] * LENGTH + [1] * LENGTH
        assert joined.shapecode.shape == (2 * LENGTH, 300)
        assert joined.static_offset.shape == (2, *first.static_offset.shape)
        for part, frames in zip((first, other), joined.shot_frames, strict=True):
            taken = joined.take(frames)
            for a, b in zip(taken, part, strict=True):
                for name in (*NAMES, "static_offset"):
                    np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
            assert taken.static_offset.shape == first.static_offset.shape

    def test_what_is_shared_stays_shared(self, first, second):
        joined = join([first, second])
        assert joined.shapecode.shape == (1, 300)
        assert joined.static_offset.shape == first.static_offset.shape

    def test_saved_and_loaded(self, first, second, tmp_path):
        track = one_after_another(first, replace(second, static_offset=second.static_offset + 1))
        track = replace(track, shots=np.repeat([0, 1], LENGTH))
        track.save(tmp_path)
        loaded = TrackedSequence.load(tmp_path)
        np.testing.assert_array_equal(loaded.shots, track.shots)
        np.testing.assert_array_equal(loaded.static_offset, track.static_offset)
        assert TrackedSequence.load(first.save(tmp_path / "one").parent).shots is None

    @pytest.mark.parametrize(
        ("shots", "message"),
        [
            (np.zeros(3, int), "shots has shape"),
            (np.zeros(LENGTH), "whole numbers"),
            (np.ones(LENGTH, int), "not numbered"),
            (np.repeat([0, 2], LENGTH // 2), "not numbered"),
            (np.repeat([-1, 0], LENGTH // 2), "not numbered"),
        ],
    )
    def test_wrong_shots(self, first, shots, message):
        with pytest.raises(UserError, match=message):
            replace(first, shots=shots).check(Path("d"))

    def test_static_offsets_are_as_many_as_shots(self, first):
        wrong = replace(first, static_offset=np.zeros((3, 5, 3), np.float32), shots=np.repeat([0, 1], LENGTH // 2))
        with pytest.raises(UserError, match=r"expected \(V, 3\) or \(2, V, 3\)"):
            wrong.check(Path("d"))
        with pytest.raises(UserError, match=r"expected \(V, 3\)"):
            replace(wrong, shots=None).check(Path("d"))

    def test_stills(self, first):
        assert not first.stills
        assert replace(first, shots=np.arange(LENGTH)).stills
        assert not replace(first, shots=np.repeat([0, 1], LENGTH // 2)).stills
        assert replace(first.take(np.arange(1)), shots=np.zeros(1, int)).stills


class TestTwoPeople:
    """The first, then the second: explicit shots, and a cut that is found in the numbers."""

    @pytest.mark.parametrize("given", [True, False])
    @pytest.mark.parametrize("enhanced", [True, False])
    def test_neither_touches_the_other(self, source, head, first, second, given, enhanced):
        shots = np.repeat([0, 1], LENGTH) if given else None
        track = one_after_another(first, second, shots=shots)
        together = moved(source, track, head, enhanced=enhanced)
        for part, frames in zip((first, second), frames_of_shots(np.repeat([0, 1], LENGTH)), strict=True):
            alone = moved(source, replace(part, fps=track.fps), head, enhanced=enhanced)
            same(together.take(frames), alone)

    def test_one_motion_for_all_would_be_another(self, source, head, first, second):
        track = one_after_another(first, second)
        torn = Retargeting().run(source, track, head)
        alone = Retargeting().run(source, first, head)
        assert np.abs(torn.expcode[:LENGTH] - alone.expcode).max() > 1

    def test_who_comes_back_has_one_resting_face(self, source, head, first, second):
        again = TrackedSequence.load(TRACK).take(np.arange(LENGTH, LENGTH + 10))  # too short to have one of its own
        track = one_after_another(first, second, again)
        found = with_shots(track)
        assert found.shots.tolist() == [0] * LENGTH + [1] * LENGTH + [0] * 10
        frames = np.flatnonzero(found.shots == 0)
        alone = Retargeting().run(source, replace(join([first, again]), shots=None, fps=track.fps), head)
        together = Retargeting().run(source, found, head)
        same(together.take(frames), alone)

    def test_a_short_shot_of_somebody_else_is_carried_over_as_pictures(self, source, head, first, second):
        short = second.take(np.arange(10))
        track = one_after_another(first, short)
        assert [len(group) for group in resting_groups(with_shots(track))] == [LENGTH] + [1] * 10
        together = moved(source, track, head, expression_opt=True)
        for i in range(10):
            alone = moved(source, short.take(np.array([i])), head, expression_opt=True)
            same(together.take(np.array([LENGTH + i])), alone)

    def test_stills_are_pictures_each(self, source, head, first):
        track = replace(first.take(np.arange(0, 40, 10)), shots=np.arange(4))
        together = moved(source, track, head, enhanced=True)
        for i in range(4):
            picture = replace(track.take(np.array([i])), shots=None)
            same(together.take(np.array([i])), moved(source, picture, head, enhanced=True))

    def test_a_face_that_is_held_in_a_short_shot(self, source, head, first, second):
        short = replace(second.take(np.arange(5)), status=np.full(5, HELD, np.int8))
        motion = moved(source, one_after_another(first, short), head, enhanced=True)
        assert motion.status[LENGTH:].tolist() == [HELD] * 5
        assert all(np.isfinite(getattr(motion, name)).all() for name in NAMES)

    def test_absolute(self, source, head, first, second):
        track = one_after_another(first, second)
        together = moved(source, track, head, motion="absolute", gaze_correct=True)
        alone = moved(source, replace(second, fps=track.fps), head, motion="absolute", gaze_correct=True)
        same(together.take(np.arange(LENGTH, 2 * LENGTH)), alone)


def test_each_still_is_seen_from_the_side(source, head, first):
    stills = Retargeting().run(source, first.take(np.arange(0, 30, 10)), head)
    each = [np.array([i]) for i in range(len(stills))]
    seen = by_groups(lambda own: orbit(source, own, head, 30), each, stills)
    for i, frames in enumerate(each):
        np.testing.assert_array_equal(seen.view[i], orbit(source, stills.take(frames), head, 30).view[0])
    same(replace(seen, view=None), stills)


def test_one_shot_is_left_as_it_is(source, head):
    track = TrackedSequence.load(TRACK)
    assert with_shots(track) is track
    same(moved(source, track, head), Retargeting().run(source, track, head))
    calls = []
    assert by_groups(lambda d: calls.append(d) or d, resting_groups(track), track) is track
    assert calls[0] is track


@pytest.fixture(scope="module")
def scene() -> list[np.ndarray]:
    return [np.roll(portrait(192), 2 * i, 1) for i in range(6)]


@pytest.fixture(scope="module")
def other() -> list[np.ndarray]:
    """Of another size, too."""
    return [np.random.default_rng(0).integers(0, 60, (160, 224, 3)).astype(np.uint8)] * 5


class TestCuts:
    @staticmethod
    def shots(images: list[np.ndarray]) -> list[int] | None:
        finder = CutFinder()
        begins = [finder.see(image) for image in images]
        assert not begins[0]
        shots = finder.shots()
        return None if shots is None else shots.tolist()

    def test_none(self, scene):
        assert self.shots(scene) is None
        assert self.shots(scene[:1]) is None
        assert CutFinder().shots() is None

    def test_to_another_scene_and_back(self, scene, other):
        assert self.shots([*scene, *other]) == [0] * 6 + [1] * 5
        assert self.shots([*scene, *other, *scene]) == [0] * 6 + [1] * 5 + [0] * 6

    def test_a_flash_is_no_cut(self, scene):
        white = np.full_like(scene[0], 255)
        assert self.shots([*scene[:3], white, *scene[3:]]) is None
        assert self.shots([*scene[:3], white, white, *scene[3:]]) is None

    def test_a_cut_at_a_flash_is_one(self, scene, other):
        white = np.full_like(scene[0], 255)
        assert len(set(self.shots([*scene, white, *other]))) == 3

    def test_no_cut_is_missed_for_the_few_pixels_that_are_glanced_at(self, scene, other):
        """Against the averages of every picture and the one before."""
        noise = np.random.default_rng(4).normal(0, 30, (4, 192, 192, 3))
        dark = [np.clip(image * 0.5, 0, 255).astype(np.uint8) for image in scene[:2]]
        noisy = [np.clip(scene[0] + rough, 0, 255).astype(np.uint8) for rough in noise]
        pictures = [*scene[:3], *noisy, *dark, *scene[:2], scene[0][::-1], *other[:2], scene[0]]
        glancing = CutFinder()
        expected = []
        for before, now in pairwise(pictures):
            small, last = (cuts._small(image, CutSettings()) for image in (now, before))
            expected.append(
                cuts._difference(last[0], small[0]) > CutSettings().changed
                and cuts._histogram_distance(last[1], small[1]) > CutSettings().recoloured
            )
        assert [glancing.see(image) for image in pictures][1:] == expected
        assert sum(expected) >= 3


class TestFaceless:
    def test_a_gap_over_a_cut_is_held_on_both_sides(self):
        points = np.zeros((6, 478, 3), np.float32)
        points[[0, 5]] = [[[1.0]], [[2.0]]]
        seen = np.array([True, False, False, False, False, True])
        times = [Fraction(i, 25) for i in range(6)]
        assert bridge(points.copy(), seen, times).tolist() == [SEEN, *[INTERPOLATED] * 4, SEEN]
        status = bridge(points, seen, times, np.array([0, 0, 0, 1, 1, 1]))
        assert status.tolist() == [SEEN, *[HELD] * 4, SEEN]
        assert points[:, 0, 0].tolist() == [1, 1, 1, 2, 2, 2]

    def test_shots_without_a_face_belong_to_the_one_before(self):
        shots = np.array([0, 0, 1, 1, 2, 2, 0])
        seen = np.array([0, 0, 1, 1, 0, 0, 0], bool)
        assert with_faces(shots, seen) is None
        assert with_faces(np.array([0, 1, 2, 2]), np.array([1, 0, 1, 1], bool)).tolist() == [0, 0, 1, 1]
        assert with_faces(np.array([0, 1, 2, 2]), np.array([0, 1, 1, 1], bool)).tolist() == [0, 0, 1, 1]
        assert with_faces(None, seen) is None
