"""All people of a photo in one picture, and who of the driver moves whom."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_pipeline import FPS, FRAMES, fakes, sequence

from core.data.image import read_image, write_image
from core.data.records import HELD
from core.data.video import VideoReader, VideoWriter
from core.errors import UserError
from core.options import Options
from core.pipeline import Everybody, Pipeline, Variants, animate
from core.pipeline.together import TogetherSettings, together
from core.runtime.progress import Progress

ROOT = Path(__file__).parents[1]


class TestTogether:
    @pytest.fixture
    def photo(self) -> np.ndarray:
        return np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)

    def test_apart_each_is_their_picture_and_the_rest_the_photo_to_the_bit(self, photo):
        left, right = photo.copy(), photo.copy()
        left[5:20, 3:20] += 1
        right[10:30, 40:50] = 255 - right[10:30, 40:50]
        out = together(photo, [left, right])
        np.testing.assert_array_equal(out[:, :30], left[:, :30])
        np.testing.assert_array_equal(out[:, 30:], right[:, 30:])
        np.testing.assert_array_equal(out, together(photo, [right, left]))
        np.testing.assert_array_equal(together(photo, []), photo)

    def test_the_nearer_one_hides_the_other(self):
        photo = np.full((4, 6, 3), 100, np.uint8)
        back, front = photo.copy(), photo.copy()
        back[:, :4], front[:, 2:] = 200, 20
        np.testing.assert_array_equal(together(photo, [back, front])[0, :, 0], [200, 200, 20, 20, 20, 20])
        np.testing.assert_array_equal(together(photo, [front, back])[0, :, 0], [200, 200, 200, 200, 20, 20])

    def test_what_hardly_changes_is_added(self):
        """From no change to a sure one it runs from the other's picture to the nearer one's."""
        photo = np.full((1, 101, 3), 100, np.uint8)
        back, front = np.full_like(photo, 180), photo.copy()
        front[0] += np.arange(101, dtype=np.uint8)[:, None]
        out = together(photo, [back, front])[0, :, 0].astype(float)
        assert out[0] == 180
        step, sure = np.arange(101), TogetherSettings().sure
        weight = np.minimum(step / sure, 1)
        np.testing.assert_allclose(out, weight * (100 + step) + (1 - weight) * (180 + step), atol=0.51)


class TwoOrThree:
    """Knows `faces` people of the photo, of whom the middle one is farthest back, and `people` of the driver."""

    def __init__(self, faces: int, people: int) -> None:
        self.boxes = np.float32(
            [[20 * i, 0, 20 * i + (5 if i == 1 else 10), 10 if i != 1 else 5] for i in range(faces)]
        )
        self.people = people
        self.source = fakes().track_source

    def photo_faces(self, photo, force):
        return self.boxes, 0

    def driver_faces(self, driver):
        return self.people

    def track_source(self, photo, number, force):
        return self.source(photo, force)

    def track_driver(self, driver, numbers, force, advance):
        track = sequence([i / FPS for i in range(FRAMES)])
        held = np.arange(FRAMES) >= FRAMES - 2
        tracks = {n: replace(track, expcode=track.expcode + n) for n in range(1, self.people + 1)}
        return tracks | {1: replace(tracks[1], status=np.where(held, HELD, tracks[1].status).astype(np.int8))}


@pytest.fixture
def inputs(tmp_path) -> dict[str, Path]:
    write_image(tmp_path / "us.png", np.full((40, 60, 3), 90, np.uint8))
    with VideoWriter(tmp_path / "two.mp4", FPS, (96, 32)) as writer:
        for _ in range(FRAMES):
            writer.write(np.full((32, 96, 3), 200, np.uint8))
    return {"image_path": tmp_path / "us.png", "driver_path": tmp_path / "two.mp4", "output": tmp_path / "out.mp4"}


@pytest.fixture
def drawn(monkeypatch):
    """Every person's picture: the photo, with a column of its own and one that all share in its person's grey."""

    def images(run: Pipeline):
        for frame in run.motion:
            image = run.photo.copy()
            number, grey = run.options.face, 100 + 20 * int(frame.expcode[0]) + run.options.face
            image[:, 20 * (number - 1)] = image[:, 59] = grey
            yield image

    monkeypatch.setattr(Pipeline, "images", images)
    monkeypatch.setattr(Pipeline, "photo", property(lambda run: read_image(run.inputs.photo)))
    for name in ("avatar", "backdrop"):
        monkeypatch.setattr(Pipeline, name, property(lambda run: None))


def a_run(inputs, faces: int, people: int, **options) -> tuple[Everybody, io.StringIO]:
    said = io.StringIO()
    options = Options(**inputs, face="all", no_watermark=True, **options)
    return Everybody(options, fakes(people=TwoOrThree(faces, people)), Progress(stream=said)), said


class TestEverybody:
    def test_left_moves_left(self, inputs, drawn):
        run, said = a_run(inputs, 2, 2, driver_face="all")
        image = next(run.frames()).image
        assert [int(image[0, 20 * i, 0]) for i in (0, 1)] == [100 + 20 + 1, 100 + 40 + 2]
        assert "stay still" not in said.getvalue()
        assert f"person 1 of the driver is not seen in 2 of {FRAMES} frames: 0 interpolated, 2 held" in said.getvalue()

    def test_who_is_farther_back_is_drawn_first(self, inputs, drawn):
        run, _ = a_run(inputs, 3, 3, driver_face="all")
        assert next(run.frames()).image[0, 59, 0] == 100 + 60 + 3  # of the same size, the last one's
        run, _ = a_run(inputs, 2, 2, driver_face="all")
        assert next(run.frames()).image[0, 59, 0] == 100 + 20 + 1  # the first one is larger

    def test_who_has_nobody_to_move_them_stays_still(self, inputs, drawn):
        run, said = a_run(inputs, 3, 2, driver_face="all")
        image = next(run.frames()).image
        assert [int(image[0, 20 * i, 0]) for i in (0, 1, 2)] == [121, 142, 90]
        assert "3 people in the photo, 2 in the driver: number 3 from the photo's left stay still" in said.getvalue()
        run, said = a_run(inputs, 1, 3, driver_face="all")
        assert int(next(run.frames()).image[0, 0, 0]) == 121
        assert (
            "3 people in the driver, 1 in the photo: the first 1 from the driver's left are followed" in said.getvalue()
        )

    def test_one_driver_moves_all(self, inputs, drawn):
        run, _ = a_run(inputs, 2, 2)
        image = next(run.frames()).image
        assert [int(image[0, 20 * i, 0]) for i in (0, 1)] == [101, 102]

    def test_the_panels_are_whole_pictures_at_one_height(self, inputs, drawn):
        run, _ = a_run(inputs, 2, 2, driver_face="all")
        report = run.run()
        reader = VideoReader(report.output)
        assert (reader.size, report.frames) == ((60 + 120 + 60, 40), FRAMES)
        for frame in reader:
            assert frame.image[:, 65:175].mean() == pytest.approx(200, abs=3)  # 96x32, at a height of 40

    def test_the_command_line_takes_it(self, inputs, drawn):
        options = Options(**inputs, face="all", driver_face="all", layout="result", quiet=True)
        assert animate(options, fakes(people=TwoOrThree(2, 2))).frames == FRAMES
        assert VideoReader(inputs["output"]).size == (60, 40)

    def test_what_cannot_be_is_said_in_a_line(self, inputs):
        with pytest.raises(UserError, match="finds one face"):
            animate(Options(**inputs, face="all", quiet=True), fakes())
        with pytest.raises(UserError, match="no human face"):
            animate(Options(**inputs, face="all", quiet=True), fakes(people=TwoOrThree(0, 1)))
        with pytest.raises(UserError, match="--variants shows one person"):
            Variants(Options(**inputs, face="all", variants=True, quiet=True), fakes())


def test_two_of_one_photo_move_and_the_rest_stays_to_the_byte(tmp_path):
    """The demo's portrait beside its mirror image, moved by the demo's driver."""
    portrait = read_image(ROOT / "demos/examples/1.jpg")
    write_image(tmp_path / "us.png", np.concatenate([portrait, portrait[:, ::-1]], 1))
    options = Options(tmp_path / "us.png", ROOT / "demos/drivers/obama", face="all", no_watermark=True, quiet=True)
    run = Everybody(options)
    pictures = run.frames()
    image = [next(pictures).image for _ in range(12)][-1]
    pictures.close()
    photo, width = read_image(tmp_path / "us.png"), portrait.shape[1]
    moved = (image != photo).any(2)
    assert 0.02 < moved[:, :width].mean() < 0.9
    assert 0.02 < moved[:, width:].mean() < 0.9
    for part in (image, photo):
        assert part.shape == photo.shape
    still = ~moved
    np.testing.assert_array_equal(image[still], photo[still])
    assert still[:4].all()  # the photo's upper border
