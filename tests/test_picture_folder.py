"""Folders of pictures as drivers: what is tracked, what is left out, what is looked up, and the sheet they give."""

from __future__ import annotations

import pickle
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from bad_files import BLANK, picture
from bad_folders import a_record, encoded, stored
from faces import PORTRAIT, face_clip, portrait, save_clip
from PIL import Image
from synthetic_flame import face_like_flame, write_flame
from test_pipeline import fakes, sequence

from core.data.loader_track import DriverData
from core.data.picture_folder import PictureFolder
from core.data.records import PARAMETERS, TrackedSequence, join
from core.libs.tracker.__main__ import main as command
from core.libs.tracker.cache import TrackCache
from core.libs.tracker.driver import track_driver
from core.libs.tracker.folder import track_folder
from core.options import Options
from core.output.contact_sheet import ContactSheet, SheetSettings
from core.pipeline import Pipeline, animate
from core.pipeline.variants import Variants


@pytest.fixture(scope="module")
def tracker():
    from core.libs.tracker.mediapipe_tracker import MediaPipeTracker

    tracker = MediaPipeTracker()
    yield tracker
    tracker.close()


class Refusing:
    """A tracker that must not be asked."""

    def __init__(self, tracker) -> None:
        self.name, self.version = tracker.name, tracker.version

    def reset(self) -> None:
        raise AssertionError("tracked, although the answer is in the cache")


def put(folder: Path, **images: np.ndarray) -> Path:
    folder.mkdir(exist_ok=True)
    for name, image in images.items():
        picture(image)(folder / f"{name}.png")
    return folder


def same(a: TrackedSequence, b: TrackedSequence) -> None:
    for name in (*PARAMETERS, "bbox", "status", "crops", "torso_motion", "static_offset"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    assert a.times == b.times


class TestFind:
    def test_files(self, tmp_path):
        put(tmp_path, b_2=BLANK, b_10=BLANK, **{"a-1": BLANK})
        (tmp_path / "notes.txt").write_text("no picture")
        (tmp_path / "._b_2.png").write_bytes(b"what a Mac leaves")
        found = PictureFolder.find(tmp_path)
        assert found.keys == ("a-1.png", "b_2.png", "b_10.png")
        assert found.shots.tolist() == [0, 1, 1]
        assert not found.stills  # one of three
        np.testing.assert_array_equal(found.read(0), BLANK)
        assert found.data(1) == (tmp_path / "b_2.png").read_bytes()

    def test_nothing(self, tmp_path):
        assert PictureFolder.find(tmp_path) is None

    def test_stored(self, tmp_path):
        values = {"c_9": encoded(BLANK), "a_20": encoded(BLANK, "JPEG"), "b_3": b"a torch buffer"}
        found = PictureFolder.find(stored(tmp_path, values))
        assert (found.keys, found.stills, found.stored) == (("c_9", "a_20"), True, True)
        np.testing.assert_array_equal(found.read(0), BLANK)
        assert PictureFolder.find(tmp_path, ("a_20", "d_1")).keys == ("a_20",)
        assert PictureFolder.find(tmp_path, ("d_1",)) is None


class TestTracking:
    def test_a_clip_is_tracked_as_the_video_of_its_frames(self, tmp_path, tracker):
        frames = face_clip(5)
        folder = put(tmp_path / "d", **{f"{i:03}": image for i, image in enumerate(frames)})
        video = save_clip(tmp_path / "v.mkv", frames, codec="ffv1", pix_fmt="bgr0")
        track, shown = track_folder(PictureFolder.find(folder), tracker=tracker, cache=TrackCache(tmp_path / "c"))
        same(track, track_driver(video, tracker=tracker, cache=TrackCache(tmp_path / "c")))
        assert (track.fps, shown.tolist(), track.stills) == (Fraction(25), [0, 1, 2, 3, 4], False)

    def test_stills_are_tracked_as_pictures(self, tmp_path, tracker):
        """Of any size, each a person of its own; those without a face are left out, and all others are in the cache."""
        cache = TrackCache(tmp_path / "c")
        folder = put(tmp_path / "d", anne=portrait(192), bert=BLANK, carl=np.ascontiguousarray(portrait(256)[:, ::-1]))
        found, done = PictureFolder.find(folder), []
        track, shown = track_folder(found, tracker=tracker, cache=cache, progress=lambda *at: done.append(at))
        assert shown.tolist() == [0, 2]
        assert done == [(1, 3), (2, 3), (3, 3)]
        assert track.stills
        alone = [track_driver(folder / f"{name}.png", tracker=tracker, cache=cache) for name in ("anne", "carl")]
        assert track.static_offset.shape == (2, *alone[0].static_offset.shape)
        for i, one in enumerate(alone):
            for name, value in vars(one[0]).items():
                np.testing.assert_array_equal(getattr(track[i], name), value, err_msg=name)
        (folder / "bert.png").unlink()
        again, _ = track_folder(PictureFolder.find(folder), tracker=Refusing(tracker), cache=cache)
        same(again, track)
        with pytest.raises(AssertionError):
            track_folder(PictureFolder.find(folder), tracker=Refusing(tracker), cache=cache, force=True)

    def test_clips_and_stills_together(self, tmp_path, tracker):
        images = {f"talk_{i}": image for i, image in enumerate(face_clip(3))}
        found = PictureFolder.find(put(tmp_path / "d", **images, zoe=portrait(160)))
        track, _ = track_folder(found, tracker=tracker, cache=TrackCache(tmp_path / "c"))
        track.check(tmp_path)
        assert track.shots.tolist() == [0, 0, 0, 1]
        assert track.times == tuple(Fraction(i, 25) for i in range(4))
        same(TrackedSequence.load(track.save(tmp_path).parent), track)

    def test_for_the_network_flame_is_fitted(self, tmp_path, tracker):
        flame = write_flame(tmp_path / "flame.pt", face_like_flame())
        folder = stored(
            tmp_path / "d", {"a_70": encoded(portrait(512)), "b_210": encoded(portrait(512)[:, ::-1].copy())}
        )
        found = PictureFolder.find(folder)
        track, shown = track_folder(found, tracker=tracker, cache=TrackCache(tmp_path / "c"), head=flame)
        assert (track.head, len(shown), track.static_offset) == ("flame", 2, None)
        assert track.shapecode.shape == (2, 300)
        yaw = track.transform_matrix[:, 0, 2]
        assert yaw[0] * yaw[1] < 0  # mirrored


def test_the_trackers_command_takes_a_folder_of_pictures(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    put(tmp_path / "d", anne=portrait(192), bert=BLANK, carl=portrait(160))
    monkeypatch.setattr("sys.argv", ["tracker", "--save", str(tmp_path / "saved"), str(tmp_path / "d")])
    assert command() == 0
    assert "2 frames" in capsys.readouterr().out
    saved = DriverData.from_folder(tmp_path / "saved")
    assert saved.track.stills
    assert saved.track.static_offset.shape[0] == 2


class TestPipeline:
    """With stand-ins for tracker and avatar: what is shown, what is said and what is written."""

    @pytest.fixture
    def components(self):
        def tracked(folder, force, advance):
            shown = np.arange(1, len(folder))  # the first one has no face
            stills = [sequence([Fraction(0)], Fraction(25)) for _ in shown]
            return join(stills), shown

        return fakes(track_folder=tracked, crop=lambda image, square, size: np.resize(image, (size, size, 3)))

    def test_a_sheet(self, tmp_path, components, capsys):
        images = {f"p{i}_{10 * i}": np.full((512, 512, 3), 20 * i, np.uint8) for i in range(8)}
        options = Options(PORTRAIT, put(tmp_path / "d", **images), output=tmp_path / "out.png", no_watermark=True)
        report = animate(options, components)
        assert report.stills
        assert str(report).startswith(f"{tmp_path / 'out.png'}: 7 pictures, ")
        said = capsys.readouterr().err
        assert f"{tmp_path / 'd'}: the motion is tracked from its 8 pictures" in said
        assert "no face in 1 of 8 pictures of the driver: left out" in said
        assert "cut" not in said
        sheet = np.asarray(Image.open(options.output))
        photo = components.track_source(PORTRAIT, False).shown()[0]
        assert sheet.shape == (2 * 512, 512 + 5 * 1024, 3)
        for i in range(10):
            row, column = divmod(i, 5)
            line = sheet[512 * row : 512 * row + 512]
            np.testing.assert_array_equal(line[:, :512], photo)
            pair = line[:, 512 + 1024 * column :][:, :1024]
            if i < 7:
                np.testing.assert_array_equal(pair[:, :512], images[f"p{i + 1}_{10 * i + 10}"])
                assert abs(int(pair[7, 700, 0]) - 128) < 3  # the avatar's grey
            else:
                assert not pair.any()

    def test_results_alone(self, tmp_path, components):
        folder = put(tmp_path / "d", a=BLANK, b=BLANK, c=BLANK)
        animate(Options(PORTRAIT, folder, output=tmp_path / "out.jpg", layout="result"), components)
        assert Image.open(tmp_path / "out.jpg").size == (2 * 512, 512)

    def test_variants_of_every_picture_are_below_one_another(self, tmp_path, components):
        folder = put(tmp_path / "d", a=BLANK, b=BLANK, c=BLANK)
        run = Variants(Options(PORTRAIT, folder, output=tmp_path / "out.jpg", variants=True), components)
        width, height = run.size
        assert run._sheet(3).image.shape == (3 * height, width, 3)

    def test_names_of_results(self, tmp_path, components, monkeypatch):
        monkeypatch.chdir(tmp_path)
        stills, clip = put(tmp_path / "stills", a=BLANK, b=BLANK), put(tmp_path / "clip", a_1=BLANK, a_2=BLANK)
        for folder, ending in ((stills, "jpg"), (clip, "mp4")):
            output = Pipeline(Options(PORTRAIT, folder), components).output
            assert output == Path(f"render_results/lifted/{folder.name}_1.{ending}")

    def test_a_folder_for_flame_is_tracked_from_its_pictures(self, tmp_path, components, capsys):
        records = {key: a_record() for key in ("a_1", "b_2", "c_3", "d_4")}
        folder = stored(tmp_path / "d", {key: encoded(BLANK) for key in ("a_1", "b_2", "d_4", "e_5")})
        (folder / "optim.pkl").write_bytes(pickle.dumps(records))
        run = Pipeline(Options(PORTRAIT, folder, output=tmp_path / "out.jpg"), components)
        assert run.inputs.stills
        assert len(run.driver.track) == 2  # of three that have pictures, the first of which the tracker leaves out
        assert run.driver.frames.keys == ("a_1", "b_2", "d_4")
        assert f"{folder} was tracked for the flame head: its 3 pictures are tracked instead" in capsys.readouterr().err

    def test_what_upstream_tracked_says_what_is_a_still(self, tmp_path):
        for keys, stills in ((("a_1", "b_1"), True), (("a_1", "a_2"), False), (("a_1",), True)):
            (tmp_path / "optim.pkl").write_bytes(pickle.dumps({key: a_record() for key in keys}))
            assert DriverData.from_folder(tmp_path).track.stills is stills


class TestSheet:
    def test_one(self):
        sheet = ContactSheet(1, (40, 20))
        sheet.put(np.full((20, 40, 3), 7, np.uint8))
        assert sheet.image.shape == (20, 40, 3)
        assert (sheet.image == 7).all()

    @pytest.mark.parametrize("count", [1000, 40_000])
    def test_many_are_made_smaller(self, count):
        tile = np.full((512, 1024, 3), 9, np.uint8)
        sheet = ContactSheet(count, (1024, 512), first=tile[:, :512])
        for _ in range(5):
            sheet.put(tile)
        height, width, _ = sheet.image.shape
        assert height * width <= SheetSettings().largest
        assert max(height, width) < 65_536
        assert (sheet.image[: height // (count // 5)] == 9).all()
        assert width / 11 == pytest.approx(height / (count // 5), abs=1)
