"""Several people in a picture or clip: all found in their order, by how they look and where they are."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from drawn_people import BLUE, GREEN, RED, SIZE, DiscTracker, Drawn, Film, draw, points_at, write

from core.errors import UserError
from core.libs.tracker.base import Observation
from core.libs.tracker.cache import TrackCache
from core.libs.tracker.choice import photo_faces, track_people
from core.libs.tracker.identity import Gallery, IdentitySettings, difference, face_look
from core.libs.tracker.people import PeopleSettings, observe_people
from core.libs.tracker.several import all_faces, alone, check_number, own_side


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


class Shy(DiscTracker):
    """Sees no single face, though it finds several: a large one and a small one, and what it is told of them."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[np.ndarray, list[np.ndarray]]] = []

    def detect(self, image: np.ndarray) -> None:
        return None

    def faces(self, image: np.ndarray, known=()) -> list[Observation]:
        self.told.append((image, list(known)))
        sizes = {RED: 20.0, BLUE: 40.0}
        discs = {colour: np.nonzero((image == colour).all(2)) for colour in sizes}
        seen = {colour: (rows, columns) for colour, (rows, columns) in discs.items() if len(rows)}
        return [Observation(points_at(x.mean(), y.mean(), sizes[colour])) for colour, (y, x) in seen.items()]


class TestAllFaces:
    def test_the_largest_where_the_tracker_sees_no_single_face(self, tmp_path):
        cv2.imwrite(str(path := tmp_path / "two.png"), draw([Drawn(RED, 100), Drawn(BLUE, 300, radius=40)])[..., ::-1])
        boxes, largest = photo_faces(path, tracker=Shy(), cache=TrackCache(tmp_path / "cache"))
        np.testing.assert_allclose((boxes[:, 0] + boxes[:, 2]) / 2, [100, 300], atol=2)
        assert largest == 1

    def test_in_a_part_of_a_photo_known_faces_are_told_in_its_pixels(self):
        tracker = Shy()
        assert len(all_faces(draw([Drawn(RED, 100)]), tracker)) == 1
        (_, none), *parts = tracker.told
        assert none == []
        whole = [(image, known) for image, (known,) in parts if (image == RED).all(2).sum() > 0.99 * np.pi * 30**2]
        assert whole
        for image, known in whole:
            rows, columns = np.nonzero((image == RED).all(2))
            np.testing.assert_allclose(known.reshape(2, 2).mean(0), [columns.mean(), rows.mean()], atol=2)


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
