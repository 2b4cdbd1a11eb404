"""Several filmed people in a picture or clip: each one's motion as when filmed alone."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_people import DiscTracker, Film, write

from core.data.image import read_image, write_image
from core.data.records import HELD, SEEN
from core.data.video import VideoReader
from core.errors import UserError
from core.libs.face_measures import lip_distance
from core.libs.flame_model import OpenHead
from core.libs.geometry import head_angles
from core.libs.tracker.base import Observation
from core.libs.tracker.cache import TrackCache
from core.libs.tracker.choice import people_of, photo_faces, track_people
from core.libs.tracker.crop import crop_around, face_box, to_crop
from core.libs.tracker.driver import faces_seen, sequence_from_points, track_driver, track_footage
from core.libs.tracker.mediapipe_tracker import MediaPipeTracker
from core.libs.tracker.people import PeopleSettings, observe_people
from core.libs.tracker.several import all_faces
from core.libs.tracker.source import track_source, track_source_image

DATA = Path(__file__).parents[1] / ".." / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not here")


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

    def faces(self, image: np.ndarray, known=()) -> list[Observation]:
        raise AssertionError("asked, although the answer is in the cache")
