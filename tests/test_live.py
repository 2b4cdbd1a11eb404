"""A camera moves the photo: the parameters follow a clip's, nothing looks ahead, jumps or falls behind."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from core.data.records import TrackedFrame
from core.data.video import VideoReader
from core.errors import UserError
from core.improvements import Improvements
from core.libs.face_measures import lip_distance
from core.libs.flame_model import OpenHead
from core.libs.geometry import head_angles, to_camera, to_pixels
from core.libs.retargeting.live import LiveRetargeting, LiveSettings
from core.libs.tracker.base import Observation
from core.libs.tracker.live_mouth import LiveMouth
from core.libs.tracker.refit import tracked_points
from core.live import LiveDriver, LiveMotion, LivePicture, LiveSession, run_live
from core.options import IMPROVEMENTS, Options
from core.runtime.threads import Newest

CLIP = Path("../shared/data/drivers/obama.mp4")
PHOTO = Path("demos/examples/1.jpg")
FPS = 25
on_real_clip = pytest.mark.skipif(not CLIP.is_file(), reason=f"needs {CLIP}")


@pytest.fixture(scope="module")
def head() -> OpenHead:
    return OpenHead()


@pytest.fixture(scope="module")
def source(head) -> TrackedFrame:
    zero = np.zeros(100, np.float32)
    transform = np.concatenate([np.diag([-1.0, 1, -1]), [[0.0], [0], [12]]], 1).astype(np.float32)
    box = np.array([0.3, 0.3, 0.7, 0.7], np.float32)
    flat = np.zeros((len(head.template), 3), np.float32)
    return TrackedFrame(np.zeros(300, np.float32), zero, zero[:6], zero[:6], transform, box, static_offset=flat)


def talking(source: TrackedFrame, seconds: float, seed: int = 3) -> list[TrackedFrame]:
    """Someone who turns the head, opens the mouth and looks about."""
    random, own = np.random.default_rng(seed), np.ones(300, np.float32) * 0.3
    tone = random.normal(size=100) * 0.3
    frames = []
    for i in range(round(seconds * FPS)):
        t = i / FPS
        yaw, opening = 0.2 * np.sin(0.9 * t), 0.15 * max(np.sin(5 * t), 0)
        turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
        transform = source.transform_matrix.copy()
        transform[:, :3] = turn @ transform[:, :3]
        posecode, eyecode = np.zeros(6, np.float32), np.full(6, 0.1 * np.sin(2 * t), np.float32)
        posecode[3] = opening
        expcode = (tone + 0.2 * np.sin(3 * t) * tone).astype(np.float32)
        frames.append(
            replace(
                *(source,),
                shapecode=own,
                expcode=expcode,
                posecode=posecode,
                eyecode=eyecode,
                transform_matrix=transform,
                torso_motion=np.array([0.02 * np.sin(t), 0, 0, 0], np.float32),
            )
        )
    return frames


def points_of(head: OpenHead, frame: TrackedFrame) -> np.ndarray:
    """(478, 2) pixels."""
    return to_pixels(to_camera(head.landmarks(head.evaluate(frame)), frame.transform_matrix))[:468]


def moved(live: LiveRetargeting, frames: list[TrackedFrame | None], start: int = 0) -> list[TrackedFrame]:
    return [live.next(frame, (start + i) / FPS) for i, frame in enumerate(frames)]


def steps(head: OpenHead, motion: list[TrackedFrame]) -> np.ndarray:
    """The greatest step of a landmark between frames, pixels."""
    points = np.stack([points_of(head, frame) for frame in motion])
    return np.linalg.norm(np.diff(points, axis=0), axis=-1).max(1)


class TestRetargeting:
    def test_what_comes_later_changes_nothing(self, head, source):
        frames = talking(source, 4)
        other = [*frames[:60], *[None] * 10, *talking(source, 2, seed=8)]
        whole, cut = (moved(LiveRetargeting(source, head), f) for f in (frames, other))
        for a, b in zip(whole[:60], cut[:60], strict=True):
            np.testing.assert_array_equal(a.expcode, b.expcode)
            np.testing.assert_array_equal(a.transform_matrix, b.transform_matrix)

    def test_a_lost_face_goes_to_rest_and_comes_back_without_a_jump(self, head, source):
        frames: list[TrackedFrame | None] = list(talking(source, 7))
        usual = steps(head, moved(LiveRetargeting(source, head), frames)).max()
        frames[75:115] = [None] * 40
        motion = moved(LiveRetargeting(source, head), frames)
        assert steps(head, motion).max() < 1.5 * usual + 0.5
        rest = motion[114]  # 1.6 s later
        np.testing.assert_allclose(rest.transform_matrix, source.transform_matrix, atol=1e-4)
        np.testing.assert_array_equal(rest.expcode, source.expcode)
        np.testing.assert_allclose(motion[77].expcode, motion[74].expcode)  # and is held at first
        assert np.abs(motion[-1].transform_matrix - source.transform_matrix).max() > 0.02

    def test_it_begins_at_the_photo(self, head, source):
        motion = moved(LiveRetargeting(source, head), talking(source, 2))
        assert np.linalg.norm(points_of(head, motion[0]) - points_of(head, source), axis=1).max() < 0.05

    @pytest.mark.parametrize("opening", [0.0, 0.2])
    def test_a_mouth_is_never_torn_open(self, head, source, opening):
        """Neither by a driver whose mouth is open at first, nor by one whose resting codes are far from the mean's."""
        jaw = np.array([0, 0, 0, opening, 0, 0], np.float32)
        still = [replace(frame, posecode=jaw) for frame in talking(source, 3)]
        live = LiveRetargeting(source, head)
        gaps = [lip_distance(head.evaluate(frame)[:478]) for frame in moved(live, still)]
        widest = lip_distance(head.evaluate(replace(source, posecode=jaw))[:478])
        assert max(gaps) < widest + 0.02

    def test_calibrate_makes_the_pose_of_now_the_photos(self, head, source):
        frames = talking(source, 3)
        turned = [replace(frames[0], transform_matrix=frames[40].transform_matrix)] * 40
        live = LiveRetargeting(source, head)
        moved(live, frames)
        live.calibrate()
        after = moved(live, turned[:20], start=len(frames))
        live.calibrate()
        motion = moved(live, turned, start=len(frames) + 20)
        assert steps(head, [after[-1], *motion]).max() < 2  # pixels, while it comes
        np.testing.assert_allclose(motion[-1].transform_matrix, source.transform_matrix, atol=1e-3)

    def test_the_neutral_is_found(self, head, source):
        """Someone who sits turned to the side is counted from there."""
        frames = talking(source, 20)
        live = LiveRetargeting(source, head)
        motion = moved(live, [replace(f, transform_matrix=frames[40].transform_matrix) for f in frames])
        assert np.abs(motion[-1].transform_matrix - source.transform_matrix).max() < 0.02

    def test_memory_is_bounded(self, head, source):
        live = LiveRetargeting(source, head, LiveSettings(remembered=10))
        moved(live, talking(source, 4))
        assert len(live._memory) == 10


class Knowing:
    """A tracker whose pictures' first byte says whether there is a face; it says where it was told."""

    name = version = "knowing"

    def __init__(self, points: list[np.ndarray]) -> None:
        self._points, self._next = points, 0

    def follow(self, image: np.ndarray) -> Observation | None:
        self._next += 1
        return Observation(self._points[self._next - 1]) if image[0, 0, 0] else None

    detect = follow

    def reset(self) -> None: ...

    def close(self) -> None: ...

    def matte(self, image: np.ndarray) -> np.ndarray:
        return np.ones(image.shape[:2], np.float32)


def plain_picture(face: bool = True) -> np.ndarray:
    return np.full((480, 640, 3), 90 if face else 0, np.uint8)


class TestDriver:
    def driver(self, head, source, names=()) -> LiveDriver:
        points = tracked_points(head.evaluate(source)[None], source.transform_matrix[None])[0] * np.float32(0.6)
        points[:, :2] += [150, 60]
        wanted = Improvements(Options(PHOTO, **dict.fromkeys(names, True)))
        return LiveDriver(source, head, Knowing([points] * 400), wanted)

    def test_a_still_face_is_the_photo_and_none_is_too(self, head, source):
        driver = self.driver(head, source)
        motions = [driver.step(plain_picture(i < 60), i / FPS) for i in range(100)]
        assert [m.face for m in motions[:8]] == [False] * 8  # the person is not known yet
        assert motions[40].face
        assert not motions[99].face
        for motion in motions:
            assert np.linalg.norm(points_of(head, motion.frame) - points_of(head, source), axis=1).max() < 4

    @pytest.mark.parametrize("mouth", [True, False])
    def test_open_mouths_are_looked_into_where_that_is_wanted(self, head, source, monkeypatch, mouth):
        """By a reader that knows what it sees; its numbers are what is drawn."""
        told = np.array([0.5, 0.2, 0.0, 0.7], np.float32)
        monkeypatch.setattr(LiveMouth, "look", lambda *_: told)
        points = tracked_points(head.evaluate(source)[None], source.transform_matrix[None])[0] * np.float32(0.6)
        points[:, :2] += [150, 60]
        driver = LiveDriver(source, head, Knowing([points] * 30), Improvements(Options(PHOTO)), mouth=mouth)
        for i in range(30):
            frame = driver.step(plain_picture(), i / FPS).frame
        assert frame.mouth_interior is (told if mouth else None)

    def test_other_pictures_are_refused(self, head, source):
        with pytest.raises(ValueError, match="camera picture"):
            self.driver(head, source).step(np.zeros((4, 4), np.uint8), 0.0)

    def test_switching_acts_at_once(self, head, source):
        driver = self.driver(head, source, IMPROVEMENTS)
        assert driver.improvements == IMPROVEMENTS
        for i in range(30):
            driver.step(plain_picture(), i / FPS)
        driver.improvements = ()
        off = driver.step(plain_picture(), 31 / FPS).frame
        driver.improvements = ("gaze_correct", "expression_opt")
        on = driver.step(plain_picture(), 32 / FPS).frame
        assert not np.array_equal(off.eyecode, on.eyecode) or not np.array_equal(off.expcode, on.expcode)


def test_a_session_says_what_it_cannot_do():
    for wrong in ({"take": "pose"}, {"driver_path": CLIP}, {"model": "gagavatar"}, {"image_path": None}):
        with pytest.raises(UserError):
            LiveSession(Options(**{"image_path": PHOTO, **wrong}))


def test_latency_does_not_grow_with_a_fake_clock():
    """Ten minutes of a camera at 30 frames a second before a tracker and a renderer that take 120 ms together."""
    taken: Newest[Fraction] = Newest()
    camera = deque(Fraction(i, 30) for i in range(30 * 600))
    now, ages = Fraction(0), []
    while camera:
        while camera and camera[0] <= now:  # what the camera has put meanwhile
            taken.put(camera.popleft())
        if taken._item is None:
            now = camera[0]
            continue
        at = taken.take()
        assert at is not None
        now += Fraction(12, 100)
        ages.append(float(now - at))
    assert len(ages) > 0.9 * 600 / 0.12
    assert max(ages) < 0.12 + 1 / 30 + 1e-6
    assert taken.dropped > 0.7 * 30 * 600


def test_a_slow_tracker_drops_pictures_and_shows_new_ones(source):
    shown: list[tuple[float, int]] = []
    start, threads = time.monotonic(), set(threading.enumerate())

    def camera() -> np.ndarray | None:
        time.sleep(0.005)
        passed = time.monotonic() - start
        return plain_picture() if passed < 1.5 or (len(shown) < 15 and passed < 20) else None

    def follow(picture: np.ndarray, now: float) -> LiveMotion:
        time.sleep(0.04)
        return LiveMotion(source, now, True, 0.04)

    def draw(motion: LiveMotion, dropped: int) -> LivePicture:
        return LivePicture(plain_picture(), motion.taken, motion.frame, True, {"track": motion.seconds}, dropped)

    def show(portrait: LivePicture) -> None:
        shown.append((time.monotonic() - portrait.taken, portrait.dropped))
        s = portrait.seconds  # the parts follow one another; this one's drawing takes no time
        assert s["wait"] >= 0
        assert s["wait"] + s["track"] <= s["total"] + 1e-6

    run_live(camera, follow, draw, show)
    ages = [age for age, _ in shown]
    assert len(shown) > 10
    assert shown[-1][1] > 50
    assert np.median(ages[-5:]) < 0.3  # seconds, however busy the machine is
    assert set(threading.enumerate()) <= threads


def test_an_error_in_a_thread_is_raised(source):
    def follow(picture: np.ndarray, now: float) -> LiveMotion:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        run_live(plain_picture, follow, lambda *_: pytest.fail("drawn"), lambda _: None)


@on_real_clip
def test_a_clip_as_a_camera_is_followed(head):
    """Against the motion of the same clip read as a file: yaw and opening of the mouth, from the second second on."""
    from core.pipeline import Pipeline

    options = Options(PHOTO, CLIP, quiet=True, model="lifted", temporal_smooth=True, expression_opt=True)
    pipeline = Pipeline(options)
    offline = pipeline.motion
    from core.libs.tracker.mediapipe_tracker import MediaPipeTracker

    tracker = MediaPipeTracker()
    driver = LiveDriver(pipeline.source.frame, head, tracker, Improvements(options), fps=24)
    live = [driver.step(f.image, float(f.time)).frame for f, _ in zip(VideoReader(CLIP), range(150), strict=False)]
    tracker.close()
    known = range(36, 150)  # the person is known after half a second, and a second more

    def series(frames) -> np.ndarray:
        yaw = [head_angles(frames[i].transform_matrix[:, :3].astype(np.float64))[1] for i in known]
        mouth = [lip_distance(head.evaluate(frames[i])[:478]) for i in known]
        return np.stack([yaw, mouth])

    a, b = series(live), series(offline)
    for name, x, y in zip(("yaw", "mouth"), a, b, strict=True):
        by_lag = {lag: np.corrcoef(x[lag:], y[: len(y) - lag])[0, 1] for lag in range(4)}
        assert max(by_lag.values()) > 0.95, (name, by_lag)
        assert max(by_lag, key=by_lag.get) <= 2, (name, by_lag)
    # What the open mouth shows, once there was enough to judge colours by: the upper teeth, as the file has them
    told = [i for i in known if live[i].mouth_interior is not None]
    assert told
    assert told == list(range(told[0], 150))
    assert told[0] < 100
    teeth = np.array([live[i].mouth_interior[0] for i in told]), np.array([offline[i].mouth_interior[0] for i in told])
    assert max(np.corrcoef(teeth[0][lag:], teeth[1][: len(told) - lag])[0, 1] for lag in range(5)) > 0.6


def test_another_person_begins_anew(head, source):
    driver = TestDriver().driver(head, source)
    first = [driver.step(plain_picture(), i / 32) for i in range(20)]
    driver.forget()
    again = [driver.step(plain_picture(), i / 32) for i in range(20, 40)]
    assert [m.face for m in first] == [m.face for m in again]
    for a, b in zip(first, again, strict=True):
        np.testing.assert_allclose(a.frame.expcode, b.frame.expcode, atol=1e-5)
        np.testing.assert_allclose(a.frame.transform_matrix, b.frame.transform_matrix, atol=1e-5)
