"""Folders of GAGAvatar_track: the records in their order, the pictures, and what is refused."""

from __future__ import annotations

import io
import os
import pickle
import shutil
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import lmdb
import numpy as np
import pytest
from PIL import Image

from core.data.loader_track import DriverData
from core.data.records import TrackedSequence
from core.data.upstream_folder import read_track
from core.errors import UserError
from core.runtime.threads import read_ahead

REAL = Path(__file__).parent.parent.parent / "shared/data/vfhq_demo/img_lmdb"
PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
SHAPES = {
    "shapecode": (300,),
    "expcode": (100,),
    "posecode": (6,),
    "eyecode": (6,),
    "transform_matrix": (3, 4),
    "bbox": (4,),
}


def a_record(seed: int, shape: np.ndarray | None = None) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    record = {name: random.normal(size=size).astype(np.float32) for name, size in SHAPES.items()}
    turn = np.linalg.qr(record["transform_matrix"][:, :3])[0]
    record["transform_matrix"][:, :3] = turn * np.linalg.det(turn)
    return record if shape is None else {**record, "shapecode": shape}


@pytest.fixture
def records() -> dict[str, dict[str, np.ndarray]]:
    """A video's, with gaps and out of order; the shape is one array, as upstream writes it."""
    shape = np.linspace(-1, 1, 300, dtype=np.float32)
    return {f"my_clip_{number}": a_record(number, shape) for number in (10, 2, 1, 33, 9)}


def put(folder: Path, name: str, content: object) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content if isinstance(content, bytes) else pickle.dumps(content))
    return folder


def put_pictures(folder: Path, pictures: dict[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    with lmdb.open(str(folder / "img_lmdb"), map_size=10 << 20) as environment, environment.begin(write=True) as change:
        for key, value in pictures.items():
            change.put(key.encode(), value)
    return folder


def stored(value: int | np.ndarray, kind: str = "PNG", size: int = 512) -> bytes:
    picture = np.full((size, size, 3), value, np.uint8) if isinstance(value, int) else value
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, kind)
    return stream.getvalue()


def fails(folder: Path, *words: str) -> None:
    with pytest.raises(UserError) as caught:
        list(DriverData.from_folder(folder).pictures(no_crop) or ())
    assert "\n" not in str(caught.value)
    for word in (str(folder), *words):
        assert word in str(caught.value)


def no_crop(*_: object) -> np.ndarray:
    raise AssertionError("these pictures are cut already")


class TestTrack:
    @pytest.mark.parametrize("protocol", PROTOCOLS)
    def test_records_in_the_order_of_their_numbers(self, records, tmp_path, protocol):
        put(tmp_path, "optim.pkl", pickle.dumps(records, protocol))
        driver = DriverData.from_folder(tmp_path)
        track = driver.track
        assert driver.kind == "folder"
        assert driver.audio is None
        assert driver.keys == ("my_clip_1", "my_clip_2", "my_clip_9", "my_clip_10", "my_clip_33")
        for i, key in enumerate(driver.keys):
            for name in SHAPES:
                np.testing.assert_array_equal(getattr(track[i], name), records[key][name])
        assert track.shapecode.shape == (1, 300)
        assert track.expcode.dtype == np.float32
        assert track.times == tuple(Fraction(i, 25) for i in range(5))
        assert (track.fps, track.head, track.smoothed, track.crops) == (25, "flame", False, None)
        assert not track.status.any()

    def test_smoothed_goes_first_and_says_so(self, records, tmp_path):
        put(tmp_path, "optim.pkl", {"a_0": a_record(0)})
        assert not DriverData.from_folder(tmp_path).track.smoothed
        put(tmp_path, "smoothed.pkl", records)
        track = DriverData.from_folder(tmp_path).track
        assert len(track) == 5
        assert track.smoothed

    def test_shape_per_frame(self, tmp_path):
        put(tmp_path, "optim.pkl", {f"a_{i}": a_record(i) for i in range(3)})
        track = DriverData.from_folder(tmp_path).track
        assert track.shapecode.shape == (3, 300)
        np.testing.assert_array_equal(track[2].shapecode, a_record(2)["shapecode"])

    def test_what_is_not_needed_does_not_matter(self, tmp_path):
        record = {**a_record(0), "image": np.zeros((3, 8, 8), np.float32), "note": "text", "n": np.float32(2)}
        del record["bbox"]
        record["expcode"] = record["expcode"].astype(np.float64)
        put(tmp_path, "optim.pkl", {"a_0": record})
        track = DriverData.from_folder(tmp_path).track
        np.testing.assert_array_equal(track.bbox, [[0, 0, 1, 1]])
        np.testing.assert_array_equal(track.expcode[0], a_record(0)["expcode"])

    def test_our_own_file_goes_before_theirs(self, records, tmp_path):
        read_track(put(tmp_path, "optim.pkl", records))[0].save(tmp_path)
        put(tmp_path, "optim.pkl", b"damaged")
        assert isinstance(DriverData.from_folder(tmp_path).track, TrackedSequence)

    @pytest.mark.parametrize("name", [name for name in SHAPES if name != "bbox"])
    def test_missing(self, records, tmp_path, name):
        del records["my_clip_9"][name]
        fails(put(tmp_path / "d", "optim.pkl", records), "my_clip_9", f"lacks {name}")

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("expcode", np.zeros(50, np.float32)),
            ("transform_matrix", np.zeros((4, 4), np.float32)),
            ("posecode", np.zeros((1, 6), np.float32)),
            ("eyecode", [0.0] * 6),
            ("bbox", None),
            ("shapecode", np.zeros(300, bool)),
        ],
    )
    def test_wrong_shape_or_type(self, records, tmp_path, name, value):
        records["my_clip_9"] = {**records["my_clip_9"], name: value}
        fails(put(tmp_path / "d", "optim.pkl", records), "my_clip_9", name, "expected numbers of shape")

    @pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
    @pytest.mark.parametrize("name", SHAPES)
    def test_not_finite(self, records, tmp_path, name, value):
        wrong = records["my_clip_33"][name].astype(np.float64)
        wrong.flat[-1] = value
        records["my_clip_33"] = {**records["my_clip_33"], name: wrong}
        fails(put(tmp_path / "d", "smoothed.pkl", records), "my_clip_33", name, "finite")

    @pytest.mark.parametrize(
        "key",
        [
            "noname",
            "clip_",
            "clip_x",
            "clip_1.png",
            "clip_-",
            "clip_" + "9" * 5000,
            7,
            pytest.param(10**5000, id="huge"),
        ],
    )
    def test_keys_without_a_number(self, tmp_path, key):
        fails(put(tmp_path / "d", "optim.pkl", {key: a_record(0)}), "frame key", "number")

    @pytest.mark.parametrize(
        ("content", "word"),
        [
            ({}, "no frame"),
            ([1], "list"),
            ({"a_0": [1]}, "list"),
            (b"", "refused"),
            (b"\x80\x04", "refused"),
            (b"text", "refused"),
            (pickle.dumps({"a_0": a_record(0)})[:-500], "refused"),
        ],
    )
    def test_empty_and_damaged(self, tmp_path, content, word):
        fails(put(tmp_path / "d", "optim.pkl", content), word)

    @pytest.mark.parametrize("content", [b"cos\nsystem\n(Vtouch ran\ntR.", pickle.dumps({"a_0": np.array([None])})])
    def test_hostile(self, tmp_path, content):
        """What else is refused: test_safe_pickle.py."""
        fails(put(tmp_path / "d", "smoothed.pkl", content), "refused", "GAGAvatar_track")

    def test_too_large(self, records, tmp_path):
        folder = put(tmp_path / "d", "optim.pkl", records)
        os.truncate(folder / "optim.pkl", (1 << 30) + 1)  # a hole, which takes no room on the disk
        fails(folder, "GiB")

    def test_pictures_alone(self, tmp_path):
        fails(put_pictures(tmp_path / "d", {"a_0": stored(3)}), "smoothed.pkl", "optim.pkl", "missing")

    def test_no_folder_of_theirs(self, tmp_path):
        fails(tmp_path, "no tracked driver")


class TestPictures:
    def test_one_for_each_frame(self, records, tmp_path):
        """Gaps are filled with the last picture, and what is no picture counts as a gap."""
        put(tmp_path, "smoothed.pkl", records)
        put_pictures(
            tmp_path,
            {
                "my_clip_2": stored(20),
                "my_clip_9": b"PK\x03\x04 a torch buffer",
                "my_clip_10": stored(100, "JPEG"),
                "my_clip_33": stored(33, "PNG", 256),
                "my_clip_34": stored(34),
            },
        )
        pictures = DriverData.from_folder(tmp_path).pictures(no_crop)
        assert iter(pictures) is pictures  # not a list: one at a time
        pictures = list(pictures)
        assert all(picture.shape == (512, 512, 3) and picture.dtype == np.uint8 for picture in pictures)
        assert [int(picture.max()) for picture in pictures] == [0, 20, 20, 100, 33]
        assert [int(picture.min()) for picture in pictures] == [0, 20, 20, 100, 33]

    def test_colours_are_in_order(self, tmp_path):
        put(tmp_path, "optim.pkl", {"a_0": a_record(0)})
        put_pictures(tmp_path, {"a_0": stored(np.tile(np.array([200, 100, 50], np.uint8), (512, 512, 1)))})
        (picture,) = DriverData.from_folder(tmp_path).pictures(no_crop)
        assert picture[7, 9].tolist() == [200, 100, 50]

    def test_closed_early_and_read_again(self, tmp_path):
        """The database is let go of: LMDB opens one only once in a process."""
        put(tmp_path, "optim.pkl", {"a_0": a_record(0), "a_1": a_record(1)})
        driver = DriverData.from_folder(put_pictures(tmp_path, {"a_0": stored(1), "a_1": stored(2)}))
        pictures = driver.pictures(no_crop)
        assert next(pictures).max() == 1
        pictures.close()
        with closing(read_ahead(driver.pictures(no_crop))) as ahead:  # as the pipeline does, in a thread
            assert next(ahead).max() == 1
        assert [int(picture.max()) for picture in driver.pictures(no_crop)] == [1, 2]

    def test_none_of_these_frames(self, records, tmp_path):
        put(tmp_path, "optim.pkl", records)
        assert DriverData.from_folder(tmp_path).pictures(no_crop) is None
        put_pictures(tmp_path, {"other_1": stored(1), "my_clip_1": b"no picture"})
        assert DriverData.from_folder(tmp_path).pictures(no_crop) is None

    def test_nothing_is_written(self, tmp_path):
        put(tmp_path, "optim.pkl", {"a_0": a_record(0)})
        put_pictures(tmp_path, {"a_0": stored(1)})
        (tmp_path / "img_lmdb/lock.mdb").unlink()
        before = (tmp_path / "img_lmdb/data.mdb").read_bytes()
        assert len(list(DriverData.from_folder(tmp_path).pictures(no_crop))) == 1
        assert [path.name for path in (tmp_path / "img_lmdb").iterdir()] == ["data.mdb"]
        assert (tmp_path / "img_lmdb/data.mdb").read_bytes() == before

    @pytest.mark.parametrize("damage", ["cut off", "empty", "other", "gone"])
    def test_damaged(self, tmp_path, damage):
        folder = put(tmp_path / "d", "optim.pkl", {f"a_{i}": a_record(i) for i in range(3)})
        noise = np.random.default_rng(0).integers(0, 255, (512, 512, 3)).astype(np.uint8)
        put_pictures(folder, {f"a_{i}": stored(noise) for i in range(3)})
        path = folder / "img_lmdb/data.mdb"
        data = {"cut off": path.read_bytes()[:-8192], "empty": b"", "other": b"\0" * 20000, "gone": None}[damage]
        path.unlink()
        if data is not None:
            path.write_bytes(data)
        fails(folder, "img_lmdb", "copy it again")

    @pytest.mark.skipif(not REAL.is_dir(), reason="../shared/data is not here")
    def test_a_real_one(self, tmp_path):
        shutil.copytree(REAL, tmp_path / "img_lmdb")
        with lmdb.open(str(REAL), readonly=True, lock=False) as environment, environment.begin() as look:
            originals = {bytes(key).decode(): bytes(value) for key, value in look.cursor()}
        put(tmp_path, "optim.pkl", {key: a_record(i) for i, key in enumerate(originals)})
        driver = DriverData.from_folder(tmp_path)
        assert len(driver.keys) == 40
        numbers = [int(key.rsplit("_", 1)[1]) for key in driver.keys]
        assert numbers == sorted(numbers)
        for key, picture in zip(driver.keys, driver.pictures(no_crop), strict=True):
            np.testing.assert_array_equal(picture, np.asarray(Image.open(io.BytesIO(originals[key])).convert("RGB")))


class TestLinks:
    """Nothing in the folder makes the reader look outside of it."""

    @pytest.mark.parametrize("name", ["smoothed.pkl", "optim.pkl"])
    def test_parameters(self, records, tmp_path, name):
        put(tmp_path, "outside.pkl", records)
        folder = put(tmp_path / "d", "optim.pkl", records)
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to("../outside.pkl")
        fails(folder, name, "link out of the folder")

    @pytest.mark.parametrize("name", ["img_lmdb", "img_lmdb/data.mdb"])
    def test_pictures(self, tmp_path, name):
        put_pictures(tmp_path / "outside", {"a_0": stored(1)})
        folder = put(put_pictures(tmp_path / "d", {"a_0": stored(1)}), "optim.pkl", {"a_0": a_record(0)})
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        path.symlink_to(tmp_path / "outside" / name)
        fails(folder, "img_lmdb")

    def test_to_nothing_and_to_itself(self, tmp_path):
        for target in ("nowhere", "optim.pkl"):
            folder = tmp_path / target
            folder.mkdir()
            (folder / "optim.pkl").symlink_to(target)
            fails(folder, "nowhere")

    def test_inside_is_fine_and_so_is_a_link_to_the_folder(self, records, tmp_path):
        folder = put(tmp_path / "d", "base", records)
        (folder / "optim.pkl").symlink_to("base")
        (tmp_path / "link").symlink_to(folder)
        assert len(DriverData.from_folder(tmp_path / "link").track) == 5

    def test_pipe_and_folder_in_the_place_of_a_file(self, tmp_path):
        for name, make in (("pipe", os.mkfifo), ("folder", Path.mkdir)):
            (tmp_path / name).mkdir()
            make(tmp_path / name / "optim.pkl")
            fails(tmp_path / name, "no file")
