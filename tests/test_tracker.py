"""Tracking around the fit: gaps, the second look, and whole files by a tracker that knows the answer."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from synthetic_head import a_frame, degrees_between, seen_points

from core.data.image import write_image
from core.data.records import HELD, IMAGE_SIZE, INTERPOLATED, SEEN
from core.data.video import VideoReader, VideoWriter
from core.errors import UserError
from core.libs.face_measures import lid_ratio
from core.libs.flame_model import FLAMEModel
from core.libs.flame_model import topology as topo
from core.libs.geometry import head_angles, head_rotation, to_camera, to_pixels
from core.libs.mesh import build_proxy_mesh
from core.libs.tracker import driver, second_look
from core.libs.tracker.base import Observation
from core.libs.tracker.cache import TrackCache
from core.libs.tracker.crop import crop_around, crop_image, to_crop
from core.libs.tracker.driver import sequence_from_points, track_driver
from core.libs.tracker.fit import HeadFitter
from core.libs.tracker.gaps import bridge
from core.libs.tracker.mediapipe_tracker import MediaPipeTracker
from core.libs.tracker.refine import PictureRefiner, Refined
from core.libs.tracker.settings import CropSettings, RefineSettings, TorsoSettings, TrackSettings
from core.libs.tracker.source import MARGIN, track_source, track_source_image

CLIPS = Path(__file__).parents[1] / ".." / "shared" / "data" / "drivers"


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def mediapipe():
    tracker = MediaPipeTracker()
    yield tracker
    tracker.close()


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    import skimage.data

    return skimage.data.astronaut()


@pytest.fixture(scope="module")
def scene(mediapipe, portrait):
    found = mediapipe.detect(portrait)
    crop = crop_around(found.box)
    picture, points = crop_image(portrait, crop), to_crop(found.points, crop)
    head = FLAMEModel()
    fitter = HeadFitter(head)
    transform = fitter.fit(points[None]).transform[0].astype(np.float64)
    vertices = fitter.lifted(points, transform)
    refiner = PictureRefiner(head, picture, mediapipe.matte(picture), vertices, transform)
    return refiner, picture, points[:, :2].astype(np.float64), vertices, transform


class TestBridge:
    def run(self, seen: list[int], fps: int = 25):
        random = np.random.default_rng(1)
        mask = np.array(seen, bool)
        known = random.normal(size=(len(seen), 478, 3)).astype(np.float32)
        points = np.where(mask[:, None, None], known, np.nan).astype(np.float32)
        status = bridge(points, mask, [Fraction(i, fps) for i in range(len(seen))])
        assert np.isfinite(points).all()
        np.testing.assert_array_equal(points[mask], known[mask])
        return points, status

    def test_short_gaps_are_interpolated(self):
        points, status = self.run([1, 0, 0, 0, 1, 1, 0, 1])
        np.testing.assert_array_equal(np.flatnonzero(status == INTERPOLATED), [1, 2, 3, 6])
        np.testing.assert_array_equal(np.flatnonzero(status == SEEN), [0, 4, 5, 7])
        np.testing.assert_allclose(points[1], 0.75 * points[0] + 0.25 * points[4], atol=1e-6)
        np.testing.assert_allclose(points[6], (points[5] + points[7]) / 2, atol=1e-6)

    def test_long_gaps_are_held(self):
        points, status = self.run([1, *[0] * 20, 1])
        assert (status[1:-1] == HELD).all()
        np.testing.assert_array_equal(points[1:-1], np.stack([points[0]] * 20))
        assert (self.run([1, *[0] * 20, 1], fps=60)[1][1:-1] == INTERPOLATED).all()  # it is seconds that count

    def test_half_a_second_is_still_short(self):
        assert (self.run([1, *[0] * 11, 1], fps=24)[1][1:-1] == INTERPOLATED).all()
        assert (self.run([1, *[0] * 12, 1], fps=24)[1][1:-1] == HELD).all()

    def test_the_ends_are_held(self):
        points, status = self.run([0, 0, 1, 0, 1, 0])
        np.testing.assert_array_equal(status, [HELD, HELD, SEEN, INTERPOLATED, SEEN, HELD])
        np.testing.assert_array_equal(points[0], points[2])
        np.testing.assert_array_equal(points[5], points[4])


class TestSecondLook:
    def test_the_reference_is_left_as_it_is(self, scene):
        refiner, picture, points, vertices, transform = scene
        same = refiner.refine(picture, points, vertices, transform)
        assert same.is_reliable
        assert degrees_between(same.transform[:, :3], transform[:, :3]) < 0.05
        np.testing.assert_allclose(same.points, points, atol=0.2)

    def test_a_known_move_is_found(self, scene, random):
        refiner, picture, points, vertices, transform = scene
        roll, shift = np.radians(3.0), np.array([5.0, -4.0])  # of the whole picture, pixels
        # Clockwise in the picture is a positive roll: +x is to the left there.
        c, s = np.cos(roll), np.sin(roll)
        turn = np.array([[c, -s], [s, c]])
        middle = np.array([255.5, 255.5])
        matrix = np.concatenate([turn, (middle + shift - turn @ middle)[:, None]], 1)
        moved = cv2.warpAffine(picture, matrix, (512, 512), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        truth = np.empty((3, 4))
        truth[:, :3] = head_rotation(head_angles(transform[:, :3]) + np.array([roll, 0, 0]))
        truth[:, 3] = transform[:, 3]
        truth[:2, 3] = turn @ transform[:2, 3] - 2 * shift / 512 / 12 * transform[2, 3]
        true_points = points @ turn.T + matrix[:, 2]

        wrong = np.concatenate([head_rotation(head_angles(truth[:, :3]) + np.radians([1, 2, -1.5])), truth[:, 3:]], 1)
        tracked = true_points + np.array([1.5, -1.0]) + random.normal(0, 0.3, points.shape)
        first = refiner.refine(moved, tracked, vertices, wrong)
        assert first.is_reliable
        before = degrees_between(wrong[:, :3], truth[:, :3])
        assert degrees_between(first.transform[:, :3], truth[:, :3]) < 0.35 * before
        corrected = np.flatnonzero(refiner._gain > 0)
        assert len(corrected) > 200
        error = [np.linalg.norm(p - true_points, axis=1)[corrected].mean() for p in (tracked, first.points)]
        assert error[1] < 0.5 * error[0]
        # Lids and lips go along with the skin around them, and keep the shape they were tracked in.
        for ring in (topo.RIGHT_EYE, topo.LEFT_EYE, topo.INNER_LIPS):
            ring = list(ring)
            error = [np.linalg.norm((p - true_points)[ring].mean(0)) for p in (tracked, first.points)]
            assert error[1] < 0.6 * error[0]
            assert np.abs((first.points - tracked)[ring] - (first.points - tracked)[ring].mean(0)).max() < 0.5

    def test_an_unlike_picture_says_nothing(self, scene, random):
        refiner, picture, points, vertices, transform = scene
        noise, grey = random.integers(0, 256, (512, 512, 3), np.uint8), np.full((512, 512, 3), 120, np.uint8)
        for other in (noise, grey, picture[::-1].copy(), np.roll(picture, 200, 1)):
            told = refiner.refine(other, points, vertices, transform)
            assert not told.is_reliable
            np.testing.assert_array_equal(told.transform, transform)
            np.testing.assert_array_equal(told.points, points)


class Knowing:
    """A tracker that is told what to find: one entry per frame, None where there is no face.

    It knows a frame by the grey of its left upper corner.
    """

    name, version = "knowing", "1"

    def __init__(self, script: list[np.ndarray | None]) -> None:
        self.script = script

    def reset(self) -> None: ...

    def follow(self, image: np.ndarray) -> Observation | None:
        assert self.script, "asked, although the answer is in the cache"
        number = round((float(image[4:28, 4:28].mean()) - 20) / 15)
        points = self.script[number % len(self.script)]
        return None if points is None else Observation(points)

    detect = follow

    def matte(self, image: np.ndarray) -> np.ndarray:
        return np.ones(image.shape[:2], np.float32)


class TestFiles:
    @pytest.fixture
    def script(self) -> list[np.ndarray]:
        head, random = FLAMEModel(), np.random.default_rng(3)
        return [seen_points(head, a_frame(random, 0.2, 3)) * 0.4 + np.float32([20, 10, 0]) for _ in range(12)]

    def video(self, path: Path, frames: int) -> Path:
        random = np.random.default_rng(2)
        image = cv2.GaussianBlur(random.integers(0, 256, (240, 320, 3), np.uint8), (0, 0), 3)
        with VideoWriter(path, Fraction(30000, 1001), (320, 240)) as writer:
            for i in range(frames):
                picture = np.roll(image, i, 1)
                picture[:32, :32] = 20 + 15 * i
                writer.write(picture)
        return path

    def test_a_video(self, tmp_path, script):
        path, cache = self.video(tmp_path / "v.mp4", 12), TrackCache(tmp_path / "cache")
        script[0] = script[5] = script[6] = None
        tracker, done = Knowing(script), []
        track = track_driver(path, tracker=tracker, cache=cache, progress=lambda *at: done.append(at))
        assert len(track) == 12
        assert track.fps == Fraction(30000, 1001)
        np.testing.assert_array_equal(np.flatnonzero(track.status == INTERPOLATED), [5, 6])
        np.testing.assert_array_equal(np.flatnonzero(track.status == HELD), [0])
        assert (np.diff([float(t) for t in track.times]) > 0).all()
        assert track.static_offset.shape == (749, 3)
        assert [n for n, _ in done] == list(range(1, 25))  # two looks

        again = Knowing([])  # it would fail if it were asked
        np.testing.assert_array_equal(track_driver(path, tracker=again, cache=cache).expcode, track.expcode)
        (tmp_path / "copy.mp4").write_bytes(path.read_bytes())
        np.testing.assert_array_equal(track_driver(tmp_path / "copy.mp4", tracker=again, cache=cache).bbox, track.bbox)
        with pytest.raises(AssertionError, match="asked"):
            track_driver(path, tracker=again, cache=cache, force=True)
        next(cache.folder.rglob("track.npz")).write_bytes(b"damaged")
        np.testing.assert_array_equal(track_driver(path, tracker=tracker, cache=cache).expcode, track.expcode)

    def test_the_second_look_begins_where_the_last_frame_ended(self, tmp_path, script, monkeypatch):
        found = head_rotation(np.radians([2, 0, 0])) @ np.diag([-1.0, 1, -1])  # by which every tracked pose is wrong
        tracked, starts = [], []

        class Refiner:
            def __init__(self, head, picture, matte, vertices, transform, camera, settings) -> None:
                self.mesh = build_proxy_mesh(vertices, transform, head.faces.numpy())

            def refine(self, picture, points, vertices, start):
                starts.append(start)
                pose = self.tracked[len(starts) - 1]
                return Refined(np.concatenate([pose[:, :3] @ found, pose[:, 3:]], 1), points, True)

        def remember(points, times, fps, status, crops, transform=None, fitter=None):
            track = sequence_from_points(points, times, fps, status, crops, transform, fitter)
            tracked.append(track.transform_matrix.astype(np.float64))
            Refiner.tracked = tracked[0]
            return track

        monkeypatch.setattr(second_look, "PictureRefiner", Refiner)
        monkeypatch.setattr(driver, "sequence_from_points", remember)
        path = self.video(tmp_path / "v.mp4", 12)
        track = track_driver(path, tracker=Knowing(script), cache=TrackCache(tmp_path / "cache"))
        first, second = tracked
        np.testing.assert_allclose(second[:, :, :3], first[:, :, :3] @ found, atol=1e-6)
        np.testing.assert_array_equal(track.transform_matrix, second.astype(np.float32))
        np.testing.assert_allclose(starts[0], first[0], atol=1e-6)
        np.testing.assert_allclose(np.stack(starts)[1:, :, :3], second[1:, :, :3], atol=1e-6)

    def test_settings_reach_every_station(self, tmp_path, script, monkeypatch):
        path, cache, given = self.video(tmp_path / "v.mp4", 12), TrackCache(tmp_path / "cache"), []
        for name in ("PictureRefiner", "TorsoTracker", "MouthReader"):
            station = getattr(second_look, name)
            monkeypatch.setattr(second_look, name, lambda *a, station=station: (given.extend(a), station(*a))[1])
        settings = TrackSettings(
            crop=CropSettings(expansion=2.2), refine=RefineSettings(pose_points=90), torso=TorsoSettings(fewest=300)
        )
        plain = track_driver(path, tracker=Knowing(script), cache=cache)
        given.clear()
        other = track_driver(path, tracker=Knowing(script), cache=cache, settings=settings)  # and is tracked again
        parts = (settings.refine, settings.torso, settings.ring, settings.view, settings.reading)
        assert all(any(part is value for value in given) for part in parts)
        np.testing.assert_allclose(other.crops[:, 2] / plain.crops[:, 2], 2.2 / CropSettings().expansion, rtol=0.02)

    def test_no_face(self, tmp_path, portrait):
        path, cache = self.video(tmp_path / "v.mp4", 3), TrackCache(tmp_path / "cache")
        with pytest.raises(UserError, match="no human face found in this video"):
            track_driver(path, tracker=Knowing([None] * 3), cache=cache)
        write_image(tmp_path / "p.png", portrait)
        with pytest.raises(UserError, match="no human face found in this picture"):
            track_driver(tmp_path / "p.png", tracker=Knowing([None]), cache=cache)
        with pytest.raises(UserError, match="no human face found"):
            track_source(tmp_path / "p.png", tracker=Knowing([None]), cache=cache)
        assert not list(cache.folder.rglob("*.npz"))

    def test_a_source(self, tmp_path, mediapipe, portrait):
        write_image(tmp_path / "p.png", portrait)
        cache = TrackCache(tmp_path / "cache")
        source = track_source(tmp_path / "p.png", tracker=mediapipe, cache=cache)
        side = IMAGE_SIZE + 2 * MARGIN
        assert source.image.shape == (side, side, 3)
        assert source.matte.shape == source.inside.shape == (side, side)
        assert not source.matte[~source.inside].any()
        cached = track_source(tmp_path / "p.png", tracker=mediapipe, cache=cache)
        np.testing.assert_array_equal(cached.frame.expcode, source.frame.expcode)
        # The head model, static offset included, stands where the tracker saw the face.
        drawn = to_pixels(to_camera(FLAMEModel().evaluate(source.frame), source.frame.transform_matrix))[:468]
        shown, matte = source.shown()
        found = mediapipe.detect(shown).points[:468, :2]
        assert np.linalg.norm(drawn - found, axis=1).mean() < 3
        assert matte[found[:, 1].astype(int), found[:, 0].astype(int)].mean() > 0.9

    def test_a_given_crop_is_kept(self, mediapipe, portrait):
        crop = np.array([120.0, 10.0, 220.0])
        source = track_source_image(portrait, mediapipe, crop=crop)
        np.testing.assert_array_equal(source.shown()[0], crop_image(portrait, crop))


def test_a_clips_first_picture_is_seen_as_its_last(mediapipe, portrait):
    """A clip of one picture: the mesh's first look would be off by a twentieth of the eyes' distance."""
    mediapipe.reset()
    points = np.stack([mediapipe.follow(portrait).points[:, :2] for _ in range(8)])
    off = np.abs(points - points[-1]).max((1, 2)) / np.linalg.norm(points[-1, 33] - points[-1, 263])
    assert off.max() < 0.02


def test_a_clip_that_begins_with_a_raised_brow_does_not_begin_with_a_frown(mediapipe):
    """From frame 205 on one of d10's brows is raised: the mesh's first look at it sees a frown, and an eye closed."""
    if not CLIPS.exists():
        pytest.skip("needs ../shared/data")
    mediapipe.reset()
    with VideoReader(CLIPS / "d10.mp4") as reader:
        points = [mediapipe.follow(frame.image).points for frame in reader if 205 <= frame.index < 211]
    height = [(p[[362, 263], 1].mean() - p[[334, 296, 336], 1].mean()) / abs(p[263, 0] - p[33, 0]) for p in points]
    np.testing.assert_allclose(height[:-1], height[-1], rtol=0.05)


def test_gaze_of_a_real_clip(mediapipe):
    """The irises of the fitted head move as far between the eyes' corners as the tracked ones."""
    if not CLIPS.exists():
        pytest.skip("needs ../shared/data")
    mediapipe.reset()
    with VideoReader(CLIPS / "d0.mp4") as reader:
        points = np.stack([mediapipe.follow(frame.image).points for frame in reader])
    times = [Fraction(i, 25) for i in range(len(points))]
    track = sequence_from_points(points, times, Fraction(25), np.zeros(len(points), np.int8))
    head = FLAMEModel()
    drawn = np.stack([to_pixels(to_camera(head.evaluate(f), f.transform_matrix))[:478] for f in track])
    opening = lid_ratio(points)
    for side, iris, corners in ((1, 468, [33, 133]), (0, 473, [362, 263])):
        sure = opening[:, side] > 0.7 * np.median(opening[:, side])
        seen, shown = ((p[:, iris, :2] - p[:, corners, :2].mean(1))[sure] for p in (points, drawn))
        for axis in (0, 1):
            assert np.corrcoef(seen[:, axis], shown[:, axis])[0, 1] > 0.95
            assert np.polyfit(seen[:, axis], shown[:, axis], 1)[0] == pytest.approx(1, abs=0.15)
