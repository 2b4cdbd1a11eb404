"""The figures of `benchmarks.looks` on made-up pictures whose answer is known, and what reacts to a known fault."""

from __future__ import annotations

import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from benchmarks import _looks_page as page
from benchmarks import _looks_parts as parts
from benchmarks import _looks_render as render
from benchmarks import _looks_tables as tables
from benchmarks import looks as benchmark
from benchmarks._looks_sides import Side, unpack
from core.data.records import TrackedFrame, TrackedSequence
from core.errors import UserError
from core.evaluation import looks
from core.evaluation.points import head_angles
from core.libs.flame_model import OpenHead, head_mirror
from core.libs.flame_model import topology as topo
from core.libs.geometry import to_camera, to_pixels
from tests.faces import ROOT, TRACK

SIZE = (512, 512)
SKIN, SHADE = 180, 60


@pytest.fixture(scope="module")
def head() -> OpenHead:
    return OpenHead()


@pytest.fixture(scope="module")
def frame() -> TrackedFrame:
    return TrackedSequence.load(TRACK)[0]


@pytest.fixture(scope="module")
def run(head):
    return SimpleNamespace(components=SimpleNamespace(head=head))


@pytest.fixture(scope="module")
def face(run, frame) -> np.ndarray:
    """(478, 3): a head, as good as from the front."""
    return render._points(run, frame).astype(np.float64)


@pytest.fixture(scope="module")
def turned(run, frame) -> np.ndarray:
    """The same, turned by 20 degrees."""
    return render._points(run, render._turned(frame, np.radians(20))).astype(np.float64)


def drawn(points: np.ndarray, inside: int = SKIN, outside: int = SHADE) -> np.ndarray:
    """A face of one grey on another."""
    hull = cv2.convexHull(points[: topo.N_FACE, :2].astype(np.float32)).round().astype(np.int32)
    image = np.full((*SIZE, 3), outside, np.uint8)
    cv2.fillConvexPoly(image, hull, (inside,) * 3)
    return image


class TestRender:
    def test_points_are_where_the_project_has_them(self, head, frame, face):
        expected = to_pixels(
            to_camera(head.evaluate(frame)[: topo.N_POINTS].astype(np.float64), frame.transform_matrix)
        )
        np.testing.assert_allclose(face[:, :2], expected, atol=1e-3)

    def test_a_turn_is_a_turn(self, run, frame, face):
        for degrees in (-20, 20):
            seen = render._points(run, render._turned(frame, np.radians(degrees)))
            change = head_angles(seen[None].astype(np.float64))[0] - head_angles(face[None])[0]
            assert abs(change[0]) == pytest.approx(20, abs=1.5)
            assert np.sign(change[0]) == np.sign(degrees)

    def test_a_side_answers_and_refuses(self, tmp_path):
        side = Side(ROOT, "now")
        try:
            answers = list(side.ask([{"kind": "turns", "photo": "no.jpg", "options": [], "degrees": [0]}]))
        finally:
            side.close()
        assert "no.jpg" in answers[0].error

    def test_unknown_commit(self):
        with pytest.raises(UserError, match="no such commit"):
            unpack("no-such-commit")


class TestMouth:
    def test_inside_is_between_the_lips_without_a_rim(self, face):
        opened = face.copy()
        opened[list(topo.INNER_LIPS), :2] = 256 + 40 * np.array(
            [[np.cos(a), np.sin(a)] for a in np.linspace(0, 2 * np.pi, len(topo.INNER_LIPS), endpoint=False)]
        )
        assert looks.inside_lips(opened, SIZE).sum() == pytest.approx(np.pi * 37.5**2, rel=0.05)
        assert looks.inside_lips(opened, SIZE, 0).sum() == pytest.approx(np.pi * 39.7**2, rel=0.05)

    def test_contrast_of_two_halves(self):
        image = np.zeros((10, 10, 3), np.uint8)
        image[:5] = 100
        assert looks.contrast(image, np.ones((10, 10), bool)) == 50
        assert looks.contrast(image, np.arange(100).reshape(10, 10) < 50) == 0

    def test_flat_share(self):
        pixels = np.full((100, 3), 90, np.uint8)
        assert looks.flat_share(pixels) == 1
        pixels[:40] = np.linspace(0, 60, 40)[:, None].astype(np.uint8)
        assert looks.flat_share(pixels) == pytest.approx(0.6)

    def test_a_slab_lowers_contrast_and_is_flat(self, face):
        opened, random = face.copy(), np.random.default_rng(0)
        opened[list(topo.INNER_LIPS), 1] += np.where(np.arange(20) < 10, -15, 15)
        theirs = random.integers(0, 256, (*SIZE, 3), np.uint8)
        slab = np.where(looks.inside_lips(opened, SIZE, 0)[..., None], np.uint8(70), theirs)
        driver = parts.Driver(None, [0, 1], [theirs] * 2, np.stack([opened] * 2), np.stack([opened] * 2))
        results = [parts.Result({0: image, 1: image}, driver.points, None, None) for image in (theirs, slab)]
        same, flat = (parts.mouth_figures(driver, result) for result in results)
        assert same["contrast"] == pytest.approx(1)
        assert same["flat"] < 0.1
        assert flat["contrast"] < 0.05
        assert flat["flat"] == 1


class TestAmplitudes:
    def test_slope(self):
        driver = np.random.default_rng(0).normal(0, 1, 50)
        assert looks.slope(0.7 * driver + 3, driver) == pytest.approx(0.7)
        assert looks.agreement(0.7 * driver + 3, driver) == pytest.approx(1)
        assert np.isnan(looks.slope(driver, 0.001 * driver, 0.01))
        assert np.isnan(looks.agreement(driver, 0.001 * driver, 0.01))
        assert looks.plain_slope(0.7 * driver + 3, driver) == pytest.approx(0.7)
        assert np.isnan(looks.plain_slope(driver, 0.001 * driver, 0.01))

    @pytest.mark.parametrize("true", [0.6, 1.0, 1.4])
    def test_the_tracker_s_error_does_not_make_the_slope_less(self, true):
        """A motion of variance 1, seen with an error of variance .25 in both: least squares give four fifths."""
        rng = np.random.default_rng(0)
        motion = rng.normal(0, 1, 20_000)
        driver, values = motion + rng.normal(0, 0.5, motion.size), true * motion + rng.normal(0, 0.5, motion.size)
        assert looks.slope(values, driver) == pytest.approx(true, abs=0.02)
        assert looks.slope(driver, values) == pytest.approx(1 / true, abs=0.02)  # neither of both is the true one
        assert looks.plain_slope(values, driver) == pytest.approx(0.8 * true, abs=0.02)

    def test_slope_of_what_goes_the_other_way_is_negative(self):
        driver = np.random.default_rng(0).normal(0, 1, 50)
        assert looks.slope(-0.7 * driver, driver) == pytest.approx(-0.7)

    def test_lids_that_stay_open_have_a_lower_slope(self, face):
        def blinking(depth: float) -> np.ndarray:
            points = np.stack([face] * 40)
            for pairs in topo.EYE_PAIRS.values():
                for upper, lower in pairs:
                    part = depth * (0.5 - 0.5 * np.cos(np.linspace(0, 4 * np.pi, 40)))[:, None]
                    points[:, upper] += part * (points[:, lower] - points[:, upper])
            return points

        driver, half = blinking(0.9), blinking(0.45)
        assert looks.opened_part(driver).max() < 1.5
        result = parts.Result({}, half, half, None)
        whole = parts.amplitudes(parts.Driver(None, [], [], driver, driver), parts.Result({}, driver, driver, None))
        less = parts.amplitudes(parts.Driver(None, [], [], driver, driver), result)
        assert whole["lids"] == pytest.approx(1)
        assert 0.2 < less["lids"] < 0.7
        assert less["lids r"] == pytest.approx(1, abs=1e-6)
        assert np.isnan(less["gaze"])  # the driver's eyes do not move

    def test_eyes_that_follow_by_half_have_half_the_slope(self, face):
        def looking(amount: float) -> np.ndarray:
            points = np.stack([face] * 40)
            shift = amount * np.sin(np.linspace(0, 4 * np.pi, 40))[:, None]
            for iris in (*topo.RIGHT_IRIS, *topo.LEFT_IRIS):
                points[:, iris, :1] += shift
            return points

        driver = parts.Driver(None, [], [], looking(4), looking(4))
        found = parts.amplitudes(driver, parts.Result({}, looking(2), looking(2), None))
        assert found["gaze"] == pytest.approx(0.5, abs=0.05)
        assert found["gaze r"] == pytest.approx(1, abs=0.01)

    @pytest.mark.parametrize("seen", [1.0, 0.5])
    def test_of_mirrored_pictures_a_tracker_sees_as_much_or_less(self, face, seen):
        """A tracker that sees `seen` of a look in mirrored pictures; they come to it mirrored, one after the other."""

        def looking(amount: float) -> np.ndarray:
            points = np.stack([face] * 40)
            shift = amount * np.sin(np.linspace(0, 4 * np.pi, 40))[:, None]
            for iris in (*topo.RIGHT_IRIS, *topo.LEFT_IRIS):
                points[:, iris, :1] += shift
            return points

        mirrored = looking(4 * seen)[:, head_mirror()] * [-1, 1, 1] + [SIZE[1] - 1, 0, 0]
        pictures = [np.full((2, 2, 3), [[[k], [0]]], np.uint8) for k in range(40)]  # bright on the left

        def follow(picture: np.ndarray) -> SimpleNamespace:
            assert not picture[:, 0].any()
            return SimpleNamespace(points=mirrored[picture[0, 1, 0]].astype(np.float32))

        tracker = SimpleNamespace(follow=follow, reset=lambda: None)
        driver = parts.Driver(None, list(range(40)), pictures, looking(4), looking(4))
        assert parts.mirrored(driver, tracker)["gaze"] == pytest.approx(seen, abs=0.05)


class TestFarSide:
    def test_the_nose_points_to_the_far_cheek(self, turned):
        assert looks.far_side(turned) == np.sign(turned[4, 0] - turned[[234, 454], 0].mean())

    @pytest.mark.parametrize("scale", [0.8, 1, 1.1, 1.2, 1.3])
    def test_an_edge_is_no_line(self, turned, scale):
        points = (turned - 256) * scale + 256
        assert max(looks.outline_faults(drawn(points, 200, 0), points)) < 5

    @pytest.mark.parametrize("depth", [30, 100])
    def test_a_line_on_the_outline_gives_its_depth(self, turned, depth):
        image = drawn(turned, SKIN, SKIN)
        places, _ = looks.cheek_outline(turned, looks.far_side(turned))
        cv2.polylines(image, [places.round().astype(np.int32)], False, (SKIN - depth,) * 3, 3)
        assert looks.outline_faults(image, turned)[0] == pytest.approx(depth, rel=0.15)
        assert looks.outline_faults(image, turned)[1] < depth / 3
        assert looks.outline_faults(image, turned, -looks.far_side(turned)) == (0, 0)

    def test_dots_are_breaks_more_than_a_line(self, turned):
        image = drawn(turned, SKIN, SKIN)
        places, _ = looks.cheek_outline(turned, looks.far_side(turned))
        for place in places[::14].round().astype(int):
            cv2.circle(image, [int(v) for v in place], 2, (SKIN - 100,) * 3, -1)
        line, breaks = looks.outline_faults(image, turned)
        assert line < 40 < breaks

    def test_stairs_are_breaks_and_no_line(self, turned):
        image = drawn(turned, SKIN, 0)
        places, normals = looks.cheek_outline(turned, looks.far_side(turned))
        before = looks.outline_faults(image, turned)
        for start in range(0, len(places) - 3, 6):  # teeth of 3 pixels along and 4 across, and notches as large
            part, out = places[start : start + 3], normals[start : start + 3]
            for step in np.arange(-4, 4.1, 0.5):
                x, y = (part + step * out).round().astype(int).T
                image[y, x] = SKIN if step > 0 else 0
        line, breaks = looks.outline_faults(image, turned)
        assert breaks > before[1] + 20
        assert line < breaks / 2

    def test_a_broad_shade_is_no_line(self, turned):
        image = drawn(turned, SKIN, SKIN)
        places, _ = looks.cheek_outline(turned, looks.far_side(turned))
        cv2.polylines(image, [places.round().astype(np.int32)], False, (SKIN - 100,) * 3, 41)
        assert looks.outline_faults(image, turned)[0] < 5


class TestMatte:
    def test_alpha(self):
        alpha = np.random.default_rng(0).random((8, 8)).astype(np.float32)
        black, white = ((255 * (alpha[..., None] * 0.4 + (1 - alpha[..., None]) * b)).round() for b in (0, 1))
        black, white = (np.repeat(x, 3, -1).astype(np.uint8) for x in (black, white))
        np.testing.assert_allclose(looks.alpha_of(black, white), alpha, atol=0.005)

    def test_a_lamp_beside_the_person(self, face):
        matte = drawn(face, 1, 0)[..., 0].astype(np.float32)
        assert looks.unconnected_share(matte, face) == 0
        person = matte.sum()
        matte[10:60, 10:60] = 1
        assert looks.unconnected_share(matte, face) == pytest.approx(2500 / (person + 2500), rel=1e-5)

    def test_a_faint_smear_counts_by_its_amount_and_a_soft_edge_does_not(self, face):
        matte = drawn(face, 1, 0)[..., 0].astype(np.float32)
        assert looks.unconnected_share(cv2.GaussianBlur(matte, (0, 0), 1.5), face) < 1e-3
        person = matte.sum()
        matte[10:60, 10:60] = 0.3
        assert looks.unconnected_share(matte, face) == pytest.approx(750 / (person + 750), rel=1e-4)

    def test_a_faint_patch_beside_the_face_is_faint_whether_it_touches_or_not(self, face):
        matte = drawn(face, 1, 0)[..., 0].astype(np.float32)
        assert looks.faint_share(cv2.GaussianBlur(matte, (0, 0), 1.0), face) < 0.002
        left = face[234, :2].round().astype(int)
        matte[left[1] - 20 : left[1] + 20, left[0] - 60 : left[0] - 5] = 0.4
        reach = round(looks.SETTINGS.edge * np.linalg.norm(face[10, :2] - face[152, :2]))
        assert looks.faint_share(matte, face) == pytest.approx(0.4 * 40 * (55 - reach) / matte.sum(), rel=0.25)
        matte[matte < 1] = 0
        assert looks.faint_share(matte, face) == 0


class TestFlicker:
    def test_nothing_changes(self, face):
        assert looks.flicker([drawn(face)] * 4, np.stack([face] * 4)) == (0, 0)

    def test_a_patch_that_blinks(self, face):
        images = [drawn(face, SKIN, 0) for _ in range(5)]
        inside = int((images[0] > 0)[..., 0].sum())
        x, y = face[4, :2].astype(int)
        for image in images[1::2]:
            image[y : y + 10, x : x + 20] += 10
        mean, peak = looks.flicker(images, np.stack([face] * 5))
        assert mean == pytest.approx(20 * 200 / inside, rel=0.01)
        assert peak == pytest.approx(20, abs=0.1)

    def test_what_moves_does_not_count(self, face):
        points = np.stack([face + [3.0 * t, 0, 0] for t in range(4)])
        images = [drawn(p) for p in points]
        assert np.isnan(looks.flicker(images, points)).all()

    def test_a_mouth_that_moves_leaves_the_forehead(self, face):
        moved = face.copy()
        moved[list(topo.OUTER_LIPS), 1] += 4
        still = looks.still_pixels(face, moved, SIZE)
        x, y = face[0, :2].round().astype(int)
        assert not still[y, x]
        x, y = face[151, :2].round().astype(int)
        assert still[y, x]


class TestWhatIsLookedAt:
    def test_the_liveliest_piece(self, face):
        points = np.stack([face] * 100)
        points[60:80, list(topo.INNER_LIPS[11:]), 1] += 12
        assert 35 <= parts.liveliest(points, 30) <= 75  # holds the opening or the closing

    def test_frames_are_apart(self):
        assert parts._apart([4, 5, 6, 20, 2], 3) == [4, 20]

    def test_boxes_hold_what_they_show(self, face):
        image = np.zeros((*SIZE, 3), np.uint8)
        for point in topo.OUTER_LIPS:
            cv2.circle(image, [int(v) for v in face[point, :2].round()], 1, (255,) * 3, -1)
        tile = page.mouth_box(face).of(image, 320)
        assert tile.shape == (320, 320, 3)
        x = np.nonzero(tile[..., 0] > 128)[1]
        assert 20 < x.min() < 80
        assert 240 < x.max() < 300
        assert page.eyes_box(face).of(image, 320).shape == (160, 320, 3)

    def test_a_page_needs_no_other_file(self, tmp_path):
        tile = np.full((40, 60, 3), 90, np.uint8)
        section = page.Section("mouth-a", "mouth", [page.Row("driver", [tile])], [[page.Row("one", [tile, tile])]] * 60)
        files = page.write(tmp_path, "Looks", "| a < b |", [section])
        assert [file.name for file in files] == ["index.html", "mouth-a-00.png", "mouth-a-01.png"]
        text = files[0].read_text()
        assert text.count("data:image/jpeg;base64,") == 2
        assert "a &lt; b" in text
        assert "http" not in text
        assert cv2.imread(str(files[1])).shape[1] == 120


class TestCommand:
    def test_two_columns(self):
        figures = {
            "before": {"a by b": {"contrast": 0.4, "lids": float("nan")}},
            "now": {"a by b": {"contrast": 0.8, "lids": 1.0}},
        }
        text = tables.text(json.loads(json.dumps(figures)), "abc")
        summary = text.split("\n\n")[0]
        assert "before (abc)" in summary
        row = [cell.strip() for cell in next(r for r in summary.split("\n") if "contrast" in r).split("|")[1:-1]]
        assert row == ["contrast", "0.40", "0.80", ">= 0.6", "1 of 1"]
        assert "contrast, before" in text
        assert "mirrored" not in text
        assert "| d | 0.90 |" in " ".join(tables.text(figures, None, {"d": {"lids": 0.9, "gaze": 1.1}}).split())

    @pytest.mark.parametrize("given", [["--photos", "no.jpg"], ["--drivers", "no.mp4"]])
    def test_missing_inputs_are_one_line(self, given, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(UserError, match="is not there"):
            benchmark.main([*given, "--data", "nowhere"])
