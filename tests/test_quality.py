"""What is said of a photo, a driver and a run, against pictures and motions whose numbers are known."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from synthetic_head import a_clip, a_frame
from test_beyond_photo import cut

from core.data.records import HELD, INTERPOLATED
from core.errors import UserError
from core.libs import face_measures
from core.libs.flame_model import OpenHead
from core.libs.flame_model import topology as topo
from core.options import Options
from core.pipeline import Pipeline, animate, examine
from core.quality.advice import advice
from core.quality.change import gradient_energy, picture_change
from core.quality.photo import PhotoQuality, blur, cut_of_head, measure_photo, noise
from core.quality.plots import thinned
from core.quality.series import landmark_jitter, landmark_shift, opening_ratios, series, turns

ROOT = Path(__file__).parents[1]
PHOTO, DRIVER = ROOT / "demos/examples/1.jpg", ROOT / "demos/drivers/obama"
FINE = PhotoQuality(0, 0, 0, 500, 0.4, 0.5, 0.5, 1, 0)


@pytest.fixture(scope="module")
def head() -> OpenHead:
    return OpenHead()


class TestPhoto:
    @pytest.mark.parametrize("sigma", [1.0, 3.0, 8.0])
    def test_noise_is_its_standard_deviation_and_slopes_have_none(self, sigma):
        slope = np.add.outer(np.arange(256.0), np.arange(256.0)) / 4
        assert noise(slope) < 1e-4
        noisy = slope + np.random.default_rng(1).normal(0, sigma, slope.shape)
        assert noise(noisy) == pytest.approx(sigma, rel=0.03)

    def test_hair_on_a_part_of_a_face_is_no_noise(self):
        picture = np.full((256, 256), 100.0) + np.random.default_rng(1).normal(0, 2, (256, 256))
        picture[:80, ::2] += 60
        assert noise(picture) == pytest.approx(2, rel=0.5)

    def test_blur_grows_with_every_blur(self):
        sharp = (np.random.default_rng(2).random((200, 200)) > 0.5).astype(np.float32) * 255
        values = [blur(sharp)] + [blur(cv2.GaussianBlur(sharp, (0, 0), s)) for s in (0.7, 1.5, 3, 6)]
        assert values == sorted(values)
        assert values[0] < 0.2
        assert values[-1] > 0.7

    @pytest.mark.parametrize(
        ("source", "expected"),
        [
            (cut(lambda row: (60, 100), slice(0, 120), turns=2), 40 / 128),
            (cut(lambda row: (100, 140), slice(0, 120), turns=1), 40 / 128),
            (cut(lambda row: (20, 60), slice(0, 120), turns=3), 40 / 128),
            (cut(lambda row: (10, 40), slice(0, 120), turns=1), 0),  # a shoulder
            (cut(lambda row: (60, 100), slice(0, 120)), 0),  # below
            (cut(lambda row: (60, 100), slice(0, 150), turns=2), 0),  # beyond the crop
        ],
        ids=["above", "right", "left", "shoulder", "below", "margin"],
    )
    def test_how_far_the_border_cuts_the_head(self, source, expected):
        assert cut_of_head(source) == pytest.approx(expected)

    def test_blur_of_one_direction_counts(self):
        sharp = (np.random.default_rng(2).random((200, 200)) > 0.5).astype(np.float32) * 255
        moved = cv2.GaussianBlur(sharp, (0, 0), 4, sigmaY=0.01)
        assert blur(moved) > blur(sharp) + 0.3

    def test_a_turned_photo_is_turned_by_its_pose(self, head):
        random = np.random.default_rng(3)
        frame = a_frame(random, degrees=0)
        angle = np.radians(30)
        turn = np.array([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]])
        turned = frame.transform_matrix.copy()
        turned[:, :3] = turned[:, :3] @ turn
        yaw, pitch, roll = turns(turned)
        assert abs(yaw) == pytest.approx(30, abs=1e-3)
        assert [pitch, roll] == pytest.approx([0, 0], abs=1e-3)


class TestSeries:
    def test_openings_are_those_of_the_mesh(self, head):
        frame = a_frame(np.random.default_rng(4))
        points = head.landmarks(head.evaluate(replace(frame, eyecode=np.zeros(6, np.float32)))).astype(np.float64)
        lips, lids = opening_ratios(head, frame, frame.expcode[None], frame.posecode[None])
        width = np.linalg.norm(np.subtract(*(_at_rest(head, frame)[i] for i in head.openings.eyes)))
        assert lips[0] * width == pytest.approx(face_measures.opening_height(points), abs=2e-5)
        of_eyes = [face_measures.opening_height(points, topo.EYE_PAIRS[side]) for side in ("left", "right")]
        assert lids[0, 0] / lids[0, 1] == pytest.approx(of_eyes[0] / of_eyes[1], rel=0.1)

    def test_jitter_of_an_accelerated_head_is_its_acceleration(self, head):
        """x = a t^2 has the second difference 2 a; a constant speed has none."""
        frame = replace(a_frame(np.random.default_rng(5), degrees=0), expcode=np.zeros(100, np.float32))
        for power, expected in ((1, 0.0), (2, 2.0)):
            frames = []
            for i in range(9):
                moved = frame.transform_matrix.copy()
                moved[0, 3] += 0.004 * i**power
                frames.append(replace(frame, transform_matrix=moved))
            clip = a_clip(frames)
            depth = 8.5
            pixels = 0.004 * 12 * 256 / depth  # of a point at the head's middle; the face is nearer or farther
            assert landmark_jitter(clip, head) == pytest.approx(expected * pixels, rel=0.15, abs=0.02)

    def test_a_cut_is_no_jitter(self, head):
        frame = a_frame(np.random.default_rng(6))
        away = frame.transform_matrix + np.float32([[0, 0, 0, 0.4], [0, 0, 0, 0], [0, 0, 0, 0]])
        clip = a_clip([frame] * 4 + [replace(frame, transform_matrix=away)] * 4)
        assert landmark_jitter(clip, head) > 1
        assert landmark_jitter(replace(clip, shots=np.repeat([0, 1], 4)), head) == 0
        assert np.isnan(landmark_jitter(clip.take(np.arange(2)), head))

    def test_shift_is_in_pixels(self, head):
        frame = replace(a_frame(np.random.default_rng(7), degrees=0), expcode=np.zeros(100, np.float32))
        away = frame.transform_matrix + np.float32([[0, 0, 0, 0.01], [0, 0, 0, 0], [0, 0, 0, 0]])
        one, other = a_clip([frame] * 3), a_clip([replace(frame, transform_matrix=away)] * 3)
        assert landmark_shift(one, other, head) == pytest.approx(0.01 * 12 * 256 / 8.5, rel=0.1)

    def test_eyes_that_turn_by_ten_degrees_do_so(self, head):
        frame = a_frame(np.random.default_rng(8))
        eyes = np.zeros((3, 6), np.float32)
        eyes[:, [1, 4]] = np.radians([[0.0], [5.0], [10.0]])
        clip = replace(a_clip([frame] * 3), eyecode=eyes)
        assert series(clip, head).gaze[:, 0] == pytest.approx([0, 5, 10], abs=1e-4)

    def test_a_thinned_line_keeps_its_extremes(self):
        values = np.random.default_rng(9).normal(size=50_000)
        seconds, kept = thinned(np.arange(50_000.0), values, 1000)
        assert len(kept) == 1000
        assert (kept.min(), kept.max()) == (values.min(), values.max())
        assert (np.diff(seconds) > 0).all() or len(np.unique(seconds)) < 1000


class TestAdvice:
    def said(self, photo=FINE, smooths=False, yaw=0.0, **changes) -> tuple[str, ...]:
        clip = replace(a_clip([a_frame(np.random.default_rng(1))] * 40), **changes)
        return advice(photo, clip, np.full(40, yaw), smooths)

    def test_where_all_is_well_nothing_is_said(self):
        assert self.said() == ()

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"yaw": -36.0}, "turned 36 degrees"),
            ({"pixels": 90}, "only 90 pixels in the photo"),
            ({"blur": 0.8}, "blurred"),
            ({"noise": 5.0}, "grainy"),
            ({"brightness": 0.1}, "dark"),
            ({"lids": 0.1}, "nearly shut"),
            ({"lips": 0.4}, "wide open"),
            ({"cut": 0.3}, "--frame photo"),
        ],
    )
    def test_of_a_photo(self, changes, words):
        lines = self.said(replace(FINE, **changes), yaw=changes.get("yaw", 0.0))
        assert len(lines) == 1
        assert words in lines[0]

    def test_of_a_driver(self):
        status = np.zeros(40, np.int8)
        status[:4], status[4:6] = INTERPOLATED, HELD
        assert "6 of 40 frames (4 bridged, 2 held)" in self.said(status=status)[0]
        crops = np.tile(np.float32([0, 0, 100]), (40, 1))
        assert "a larger picture does better, and --temporal-smooth calms it" in self.said(crops=crops)[0]
        assert "--temporal-smooth" not in self.said(smooths=True, crops=crops)[0]
        assert "30 degrees from the photo" in self.said(yaw=30.0)[0]
        assert self.said(replace(FINE, yaw=20.0), yaw=30.0) == ()

    def test_the_worst_comes_first(self):
        status = np.full(40, HELD, np.int8)
        lines = self.said(replace(FINE, blur=0.9, yaw=40.0), status=status)
        assert [next(w for w in ("not seen", "turned", "blurred") if w in line) for line in lines[:3]] == [
            "not seen",
            "turned",
            "blurred",
        ]


def test_changes_of_pictures_are_in_grey_levels():
    grey = np.full((20, 30, 3), 100, np.uint8)
    assert gradient_energy(grey) == 0
    steps = grey.copy()
    steps[:, 15:] = 110  # one step of ten in each row of 29 differences
    assert gradient_energy(steps) == pytest.approx(100 / 29)
    assert picture_change([grey, grey], [grey, grey + 4]) == pytest.approx(np.sqrt(8))


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags, self.sources, self.text = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href", "xlink:href") and value]

    def handle_data(self, data):
        self.text += data + " "


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Pipeline:
    folder = tmp_path_factory.mktemp("run")
    photo = folder / "<b>me & you.jpg"
    photo.write_bytes(PHOTO.read_bytes())
    made = Pipeline(Options(photo, DRIVER, enhanced=True, output=folder / "out.mp4", quiet=True, model="lifted"))
    short = made.driver.track.take(np.arange(12))
    made.driver = replace(made.driver, track=short)
    return made


def test_a_page_stands_alone_and_says_what_was_measured(run, tmp_path):
    examined = examine(run)
    page = _Page()
    page.feed(examined.write(tmp_path / "run.html").read_text("utf-8"))
    assert not {"script", "link", "iframe", "b"} & set(page.tags)
    assert all(source.startswith(("data:", "#")) for source in page.sources)
    assert "<b>me & you.jpg moved by obama" in page.text
    assert [c.name for c in examined.changes] == ["temporal_smooth", "expression_opt", "gaze_correct", "detail_enhance"]
    assert page.tags.count("svg") == 1
    assert page.tags.count("img") == 1 + 3 * len(examined.moments)
    detail = next(c for c in examined.changes if c.name == "detail_enhance")
    assert detail.detail[1] > detail.detail[0]
    assert (detail.shift, detail.gaze) == (0, 0)
    assert examined.photo == measure_photo(run.source, run.components.head)


def test_a_run_writes_the_page_that_is_asked_for(tmp_path, capsys):
    page = tmp_path / "new/run.html"
    report = animate(Options(PHOTO, PHOTO, output=tmp_path / "out.png", report=page, model="lifted"))
    assert report.page == page
    assert page.read_text("utf-8").startswith("<!DOCTYPE html>")
    assert str(report).splitlines()[1] == f"report: {page}"
    assert [path.name for path in page.parent.iterdir()] == ["run.html"]


def test_the_last_line_names_the_worst():
    from core.pipeline import Report

    report = Report(Path("a.mp4"), "lifted", 2, 25, 0, 0, {"video": 1.0}, 1.0, advice=("the photo is dark", "more"))
    assert str(report).splitlines()[-1] == "worth knowing: the photo is dark"
    assert "worth knowing" not in str(replace(report, advice=()))


@pytest.mark.parametrize(
    ("name", "said"), [("run.pdf", "ends in .html"), ("folder.html", "is a folder"), ("1.html", "is an input")]
)
def test_a_page_that_cannot_be_is_refused(tmp_path, name, said):
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "1.html").write_bytes(PHOTO.read_bytes())
    photo = tmp_path / "1.html" if name == "1.html" else PHOTO
    with pytest.raises(UserError, match=re.escape(said)):
        Pipeline(Options(photo, DRIVER, report=tmp_path / name, quiet=True))


def _at_rest(head: OpenHead, frame):
    """The vertices of a face without expression."""
    return head.evaluate(replace(frame, expcode=np.zeros(100, np.float32), posecode=np.zeros(6, np.float32)))
