"""Several people in a picture or clip: all found in their order, each one's motion as when filmed alone."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from core.data.image import read_image, write_image
from core.data.records import HELD, SEEN
from core.data.video import VideoFrame, VideoReader, VideoWriter
from core.errors import UserError
from core.libs.face_measures import lip_distance
from core.libs.flame_model import OpenHead
from core.libs.geometry import head_angles
from core.libs.tracker.base import Observation
from core.libs.tracker.cache import TrackCache
from core.libs.tracker.choice import people_of, photo_faces, track_people
from core.libs.tracker.crop import crop_around, face_box, to_crop
from core.libs.tracker.driver import faces_seen, sequence_from_points, track_driver, track_footage
from core.libs.tracker.identity import Gallery, IdentitySettings, difference, face_look
from core.libs.tracker.mediapipe_tracker import MediaPipeTracker
from core.libs.tracker.people import PeopleSettings, observe_people
from core.libs.tracker.several import all_faces, alone, check_number, own_side
from core.libs.tracker.source import track_source, track_source_image

DATA = Path(__file__).parents[1] / ".." / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not here")
SIZE = (200, 480)  # of the drawn pictures, height and width
ANCHORS = np.array(IdentitySettings().anchors)


@dataclass
class Drawn:
    """A face that is drawn: its colour, its middle and its size; what is drawn later hides it."""

    colour: tuple[int, int, int]
    x: float
    y: float = 100.0
    radius: float = 30.0


RED, BLUE, GREEN = (200, 60, 60), (60, 60, 200), (60, 180, 60)


def draw(faces: list[Drawn], ground: int = 120) -> np.ndarray:
    image = np.full((*SIZE, 3), ground, np.uint8)
    for face in faces:
        middle = round(face.x), round(face.y)
        cv2.circle(image, middle, round(face.radius), face.colour, -1)
    return image


def points_at(x: float, y: float, radius: float) -> np.ndarray:
    points = np.zeros((478, 3), np.float32)
    angle = 2.4 * np.arange(478)
    reach = radius * np.sqrt(np.arange(478) / 478)
    points[:, 0], points[:, 1] = x + reach * np.cos(angle), y + reach * np.sin(angle)
    points[ANCHORS[:, 0].astype(int), :2] = [x, y] + ANCHORS[:, 1:] * radius * 0.45
    return points


class DiscTracker:
    """Takes discs of three colours for faces; one of which less than half is seen is none."""

    name, version = "discs", "1"

    def __init__(self) -> None:
        self.last: np.ndarray | None = None

    def faces(self, image: np.ndarray) -> list[Observation]:
        found = []
        for colour in (RED, BLUE, GREEN):
            rows, columns = np.nonzero((image == colour).all(2))
            if len(rows) > np.pi * 30**2 / 2:
                found.append(Observation(points_at(columns.mean(), rows.mean(), 30.0)))
        return sorted(found, key=lambda face: face.box[0])

    def detect(self, image: np.ndarray) -> Observation | None:
        return next(iter(self.faces(image)), None)

    def follow(self, image: np.ndarray) -> Observation | None:
        """The nearest disc, whosever it is: as a mesh in a square does, it jumps to who comes in front."""
        found = self.faces(image)
        if self.last is not None:
            found.sort(key=lambda face: float(np.linalg.norm(face.box - self.last)))
        self.last = found[0].box if found else None
        return found[0] if found else None

    def another(self) -> DiscTracker:
        return DiscTracker()

    def reset(self) -> None:
        self.last = None

    def matte(self, image: np.ndarray) -> np.ndarray:
        return np.ones(image.shape[:2], np.float32)

    def close(self) -> None: ...


class Film:
    """Pictures in memory, as `VideoReader` has those of a file."""

    fps, lost = Fraction(25), 0

    def __init__(self, pictures: list[np.ndarray]) -> None:
        self.pictures, self.frame_estimate = pictures, len(pictures)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def __iter__(self):
        return (VideoFrame(i, Fraction(i, 25), picture) for i, picture in enumerate(self.pictures))


def places(pictures: list[np.ndarray]) -> list[np.ndarray]:
    """For every person found, x of the middle in all frames (T,), NaN where not seen."""
    people, rows = observe_people(lambda: Film(pictures), DiscTracker()), []
    for person in people:
        with person.points as points:
            middle = np.array([Observation(points[t]).box[[0, 2]].mean() for t in range(len(points))])
        rows.append(np.where(person.visible, middle, np.nan))
    return rows


class TestPeople:
    def test_two_who_cross_keep_their_numbers(self):
        left, right = np.linspace(60, 420, 80), np.linspace(420, 60, 80)
        for hidden in (0, 1):
            order = [(RED, left), (BLUE, right)][:: 1 if hidden == 0 else -1]
            found = places([draw([Drawn(colour, x[t]) for colour, x in order]) for t in range(80)])
            assert len(found) == 2
            for number, truth in enumerate((left, right)):
                seen = np.isfinite(found[number])
                # A disc that is hidden in part has its middle elsewhere
                np.testing.assert_allclose(found[number][seen], truth[seen], atol=16)
                assert seen.mean() > 0.75
                assert seen[[0, -1]].all()

    def test_one_who_leaves_and_returns_elsewhere_is_the_same(self):
        pictures = [
            draw([Drawn(RED, 80)] + [Drawn(BLUE, 240 if t < 30 else 400)] * (not 30 <= t < 55)) for t in range(90)
        ]
        red, blue = places(pictures)
        assert np.isfinite(red).all()
        assert np.isnan(blue[30:55]).all()
        np.testing.assert_allclose(blue[:30], 240, atol=2)
        np.testing.assert_allclose(blue[60:], 400, atol=2)

    def test_numbers_go_left_to_right_where_most_are_first_seen(self):
        """Red is alone first, on the right; then two come, and red is the third from the left."""
        pictures = [draw([Drawn(RED, 400)] + [Drawn(GREEN, 240), Drawn(BLUE, 80)] * (t >= 20)) for t in range(50)]
        found = places(pictures)
        assert [round(float(np.nanmean(x))) for x in found] == pytest.approx([80, 240, 400], abs=2)

    def test_after_a_cut_people_are_known_by_their_looks(self):
        """They have changed places; the one who looks like red goes on as red."""
        before = draw([Drawn(RED, 80), Drawn(BLUE, 400)])
        after = draw([Drawn(BLUE, 80), Drawn(RED, 400)])
        noise = np.random.default_rng(0).integers(160, 256, SIZE).astype(np.uint8)[..., None].repeat(3, 2)
        around = np.abs(np.arange(SIZE[1])[:, None] - [80, 400]).min(1) < 45  # the ground near the faces stays
        after[:, ~around], before[:, ~around] = noise[:, ~around], 20
        red, blue = places([before] * 20 + [after] * 20)
        np.testing.assert_allclose(red, [80] * 20 + [400] * 20, atol=2)
        np.testing.assert_allclose(blue, [400] * 20 + [80] * 20, atol=2)

    def test_what_is_seen_for_a_moment_is_nobody(self):
        least = PeopleSettings().least
        pictures = [draw([Drawn(RED, 80)] + [Drawn(BLUE, 400)] * (20 <= t < 20 + least - 1)) for t in range(60)]
        assert len(places(pictures)) == 1

    def test_nobody(self):
        assert places([draw([])] * 12) == []

    def test_a_tracker_of_one_face_says_so(self, tmp_path):
        class One:
            name, version = "one", "1"
            detect = follow = matte = lambda self, image: None

            def reset(self): ...
            def close(self): ...

        path = write(tmp_path / "v.mp4", [draw([Drawn(RED, 80)])] * 3)
        with pytest.raises(UserError, match="finds one face"):
            track_people(path, tracker=One(), cache=TrackCache(tmp_path))


class TestLooks:
    def test_turned_moved_and_scaled_it_is_the_same_face(self):
        random = np.random.default_rng(4)
        image = cv2.GaussianBlur(random.integers(0, 256, (400, 400, 3), np.uint8), (0, 0), 6)
        found = Observation(points_at(200, 200, 60))
        look = face_look(image, found)
        for degrees, scale in ((20, 1.0), (0, 0.5), (-15, 1.4)):
            matrix = cv2.getRotationMatrix2D((200, 200), degrees, scale)
            moved = cv2.warpAffine(image, matrix, (400, 400), flags=cv2.INTER_CUBIC)
            points = found.points.copy()
            points[:, :2] = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
            assert difference(look, face_look(moved, Observation(points))) < 0.1
        assert difference(look, look) == pytest.approx(0, abs=1e-12)
        other = cv2.GaussianBlur(random.integers(0, 256, (400, 400, 3), np.uint8), (0, 0), 6)
        assert difference(look, face_look(other, found)) > 0.6

    def test_a_face_beyond_the_picture_has_a_look(self):
        look = face_look(draw([]), Observation(points_at(-500, -500, 30)))
        assert np.isfinite(look.light).all()

    def test_a_gallery_remembers_the_first_look_and_what_is_new(self):
        settings, random = IdentitySettings(), np.random.default_rng(0)
        gallery, looks = Gallery(settings), []
        assert gallery.difference(face_look(draw([]), Observation(points_at(100, 100, 30)))) == 0
        for _ in range(settings.kept + 5):
            image = cv2.GaussianBlur(random.integers(0, 256, (200, 200, 3), np.uint8), (0, 0), 5)
            looks.append(face_look(image, Observation(points_at(100, 100, 40))))
            gallery.add(looks[-1])
            gallery.add(looks[-1])
        assert len(gallery.looks) == settings.kept
        assert gallery.difference(looks[0]) == pytest.approx(0, abs=1e-12)
        assert gallery.difference(looks[-1]) == pytest.approx(0, abs=1e-12)


class TestPlaces:
    def test_alone_keeps_the_square_around_a_face(self):
        image = np.full((100, 200, 3), 9, np.uint8)
        shown = alone(image, np.array([40, 30, 60, 50.0]), 1.0)
        assert shown[20:61, 30:71].all()
        assert shown.sum() == 9 * 3 * 41 * 41
        assert not alone(image, np.array([-90, -90, -60, -60.0])).any()

    def test_every_place_belongs_to_the_nearest_face(self):
        boxes = np.array([[10, 40, 30, 60], [70, 30, 110, 70.0]])
        crop, shape = np.array([0, 0, 120.0]), (120, 120)
        left, right = (own_side(shape, crop, boxes, i) for i in (0, 1))
        np.testing.assert_allclose(left + right, 1, atol=1e-6)
        assert left[50, 20] == right[50, 90] == 1
        # 20 and 40 large, 70 apart: the border between them is at a third of the way
        assert left[50, 20 + 20] == 1
        assert left[50, 20 + 27] == 0
        np.testing.assert_array_equal(own_side(shape, crop, boxes[:1], 0), np.ones(shape))

    def test_a_number_that_is_not_there_is_named_with_those_that_are(self):
        boxes = np.array([[0, 0, 50, 50], [100, 0, 180, 80.0]])
        check_number("me.jpg", 2, boxes, 200)
        with pytest.raises(
            UserError,
            match=r"^me.jpg: there is no face 5: it shows 2 faces, from the left: 1 \(50 pixels large, at 12 % of the "
            r"width\), 2 \(80 pixels large, at 70 % of the width\); take one of these$",
        ):
            check_number("me.jpg", 5, boxes, 200)


def write(path: Path, pictures: list[np.ndarray]) -> Path:
    height, width = pictures[0].shape[:2]
    with VideoWriter(path, Fraction(25), (width, height)) as writer:
        for picture in pictures:
            writer.write(picture)
    return path


FRAMES, HEIGHT = 90, 360


@pytest.fixture(scope="module")
def mediapipe():
    tracker = MediaPipeTracker()
    yield tracker
    tracker.close()


@pytest.fixture(scope="module")
def filmed() -> dict[str, list[np.ndarray]]:
    """The first frames of clips of one person each; d12's turns the head far."""
    clips = {}
    for name in ("obama", "d10", "d12"):
        with VideoReader(DATA / "drivers" / f"{name}.mp4") as reader:
            frames = [frame.image for frame, _ in zip(reader, range(FRAMES), strict=False)]
        width = round(frames[0].shape[1] * HEIGHT / frames[0].shape[0]) // 2 * 2
        clips[name] = [cv2.resize(image, (width, HEIGHT), interpolation=cv2.INTER_AREA) for image in frames]
    return clips


def curves(track) -> np.ndarray:
    """Opening of the mouth and yaw of the head (T, 2) of a tracked clip."""
    head = OpenHead()
    mouth = [lip_distance(head.evaluate(frame)[:478]) for frame in track]
    return np.stack([mouth, head_angles(track.transform_matrix[:, :, :3])[:, 1]], 1)


def first_look(pictures: list[np.ndarray], tracker) -> list[tuple[np.ndarray, np.ndarray]]:
    """For everybody in a clip, where they are seen (T,), and the curves (T, 2) as the points alone give them."""
    found = []
    for person in observe_people(lambda: Film(pictures), tracker):
        with person.points:
            points = person.points[np.flatnonzero(person.visible)]
        crops = crop_around(face_box(points))
        whole = np.full((len(person.visible), 2), np.nan)
        times = [Fraction(t, 25) for t in np.flatnonzero(person.visible)]
        status = np.zeros(len(times), np.int8)
        whole[person.visible] = curves(sequence_from_points(to_crop(points, crops), times, Fraction(25), status, crops))
        found.append((person.visible, whole))
    return found


def agreement(seen: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Correlations (2,) of curves (T, 2) over the frames in which a face was seen."""
    return np.array([np.corrcoef(a[seen], b[seen])[0, 1] for a, b in zip(one.T, other.T, strict=True)])


def crossing(clips: list[list[np.ndarray]], front: int) -> list[np.ndarray]:
    """The two, from left to right and from right to left, one passing before the other."""
    pictures = []
    for t in range(FRAMES):
        picture = np.full((HEIGHT + 40, 1000, 3), 90, np.uint8)
        part = np.clip((t / (FRAMES - 1) - 0.25) * 2, 0, 1)
        for who in (1 - front, front):
            image = clips[who][t]
            x = round((1000 - image.shape[1]) * (part if who == 0 else 1 - part))
            picture[20 : 20 + HEIGHT, x : x + image.shape[1]] = image
        pictures.append(picture)
    return pictures


def side_by_side(*clips: list[np.ndarray]) -> list[np.ndarray]:
    return [np.concatenate(both, 1) for both in zip(*clips, strict=True)]


@pytest.fixture(scope="module")
def alike(filmed, mediapipe) -> dict[str, np.ndarray]:
    """The curves of each one's own clip, as its points give them."""
    return {name: first_look(clip, mediapipe)[0][1] for name, clip in filmed.items()}


@needs_data
class TestRealPeople:
    def test_a_joined_clip_moves_each_as_the_single_one(self, filmed, mediapipe, tmp_path):
        names = ("obama", "d10")
        path = write(tmp_path / "two.mp4", side_by_side(*(filmed[name] for name in names)))
        cache, done = TrackCache(tmp_path / "cache"), []
        found = track_people(path, tracker=mediapipe, cache=cache, progress=lambda *at: done.append(at))
        assert list(found) == [1, 2]
        assert [n for n, _ in done] == list(range(1, 3 * FRAMES + 1))
        assert done[-1] == (3 * FRAMES, 3 * FRAMES)
        apart = [curves(track_footage(lambda n=n: Film(filmed[n]), mediapipe, name=n)) for n in names]
        everywhere = np.ones(FRAMES, bool)
        for number, truth in enumerate(apart, 1):
            assert (found[number].status == SEEN).all()
            own = curves(found[number])
            assert (agreement(everywhere, own, truth) > 0.95).all()
            assert (agreement(everywhere, own, apart[2 - number]) < 0.8).any()
        # From the cache, without a tracker; one of them alone is the same
        again = track_people(path, [2], tracker=Asked(), cache=cache)
        np.testing.assert_array_equal(again[2].expcode, found[2].expcode)
        with pytest.raises(UserError, match="there is no face 3: it shows 2 faces"):
            track_people(path, [3], tracker=Asked(), cache=cache)

    @pytest.mark.parametrize("front", [0, 1])
    def test_after_crossing_each_is_still_the_same(self, filmed, alike, mediapipe, front):
        names = ("obama", "d12")
        found = first_look(crossing([filmed[name] for name in names], front), mediapipe)
        assert len(found) == 2
        for name, (seen, own) in zip(names, found, strict=True):
            assert seen.mean() > 0.65
            assert seen[-1]
            assert (agreement(seen, own, alike[name]) > 0.95).all()

    def test_one_who_is_away_for_a_second_comes_back_as_the_same(self, filmed, alike, mediapipe):
        gone, names = range(30, 55), ("obama", "d10")
        away = [np.full_like(image, 90) if t in gone else image for t, image in enumerate(filmed["d10"])]
        (left, obama), (right, other) = first_look(side_by_side(filmed["obama"], away), mediapipe)
        assert left.all()
        assert not right[gone].any()
        assert right[:30].all()
        assert right[55 + PeopleSettings().every :].all()
        for name, seen, own in zip(names, (left, right), (obama, other), strict=True):
            assert (agreement(seen, own, alike[name]) > 0.95).all()

    def test_who_is_away_is_held_meanwhile(self, filmed, mediapipe):
        """From points to codes, on the frames around it."""
        away = [np.full_like(image, 90) if 8 <= t < 28 else image for t, image in enumerate(filmed["d10"][:40])]
        clip = side_by_side(filmed["obama"][:40], away)
        _, found = people_of(lambda: Film(clip), mediapipe, [2], name="clip")
        assert (found[2].status[8:28] == HELD).all()
        assert (found[2].status[33:] == SEEN).all()
        assert len(np.unique(found[2].expcode[8:28], axis=0)) == 1

    def test_counting_faces_changes_nothing_of_what_is_tracked(self, filmed, mediapipe, tmp_path):
        """Bit for bit; a clip of one person keeps no count, one of two does."""
        one = write(tmp_path / "one.mp4", filmed["d10"][:20])
        both = write(tmp_path / "both.mp4", side_by_side(filmed["obama"][:20], filmed["d10"][:20]))
        cache = TrackCache(tmp_path / "cache")
        given = {"tracker": mediapipe, "cache": cache}
        for path, count in ((one, 1), (both, 2)):
            track = track_driver(path, **given)
            plain = track_footage(lambda path=path: VideoReader(path), mediapipe, name="plain")  # without a count
            for name in ("expcode", "posecode", "eyecode", "transform_matrix", "shapecode", "crops"):
                np.testing.assert_array_equal(getattr(track, name), getattr(plain, name))
            assert faces_seen(path, **given) == count
            assert len(list(cache.folder.rglob("faces.npz"))) == count - 1

    def test_photos_side_by_side(self, mediapipe, tmp_path):
        names = ("monroe", "s8", "s4")
        photos = [read_image(DATA / "sources" / f"{name}.jpg") for name in names]
        photos = [cv2.resize(p, (round(p.shape[1] * 600 / len(p)), 600), interpolation=cv2.INTER_AREA) for p in photos]
        write_image(path := tmp_path / "three.png", np.concatenate(photos, 1))
        given = {"tracker": mediapipe, "cache": TrackCache(tmp_path / "cache")}
        boxes, largest = photo_faces(path, **given)
        assert len(boxes) == 3
        assert largest == 0
        left = np.cumsum([0, *(p.shape[1] for p in photos)])
        assert ((boxes[:, 0] > left[:-1]) & (boxes[:, 2] < left[1:])).all()
        for number, photo in enumerate(photos, 1):
            source, single = track_source(path, face=number, **given), track_source_image(photo, mediapipe)
            assert np.abs(source.frame.bbox - single.frame.bbox).max() < 0.02
            np.testing.assert_allclose(source.frame.transform_matrix, single.frame.transform_matrix, atol=0.15)
            # Nothing of the neighbours is taken for this person
            assert (source.matte > single.matte + 0.5).mean() < 0.03
        default = track_source(path, **given)
        np.testing.assert_allclose(default.frame.expcode, track_source(path, face=1, **given).frame.expcode, atol=0.2)
        with pytest.raises(UserError, match=r"three.png: there is no face 4: it shows 3 faces, from the left: 1 \("):
            track_source(path, face=4, **given)

    def test_many_small_faces_are_found(self, mediapipe):
        photos = [read_image(DATA / "sources" / f"{n}.jpg") for n in ("monroe", "s11", "s2", "s3", "s4", "s7", "s8")]
        photos = [cv2.resize(p, (round(p.shape[1] * 400 / len(p)), 400), interpolation=cv2.INTER_AREA) for p in photos]
        assert len(all_faces(np.concatenate(photos, 1), mediapipe)) == 7
        dog = read_image(DATA / "sources" / "not_a_human_face.jpg")
        assert all_faces(dog, mediapipe) == []
        with_dog = np.concatenate([cv2.resize(dog, (400, 400)), photos[0]], 1)
        assert len(mediapipe.faces(with_dog)) == 1


class Asked(DiscTracker):
    """MediaPipe by name, for the cache; it must not be asked."""

    name, version = MediaPipeTracker.name, MediaPipeTracker.version

    def faces(self, image: np.ndarray) -> list[Observation]:
        raise AssertionError("asked, although the answer is in the cache")
