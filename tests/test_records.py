"""Tracked parameters on disk, and what is refused."""

from __future__ import annotations

from dataclasses import fields, replace
from fractions import Fraction

import numpy as np
import pytest
from synthetic_head import a_clip, a_frame

from core.data.array_file import load_arrays, save_arrays
from core.data.records import HELD, IMAGE_SIZE, INTERPOLATED, PARAMETERS, TRACK_FILE, TrackedSequence, TrackedSource
from core.errors import UserError
from core.libs.tracker.cache import TrackCache
from core.libs.tracker.source import _load_source, _save_source


@pytest.fixture
def clip() -> TrackedSequence:
    random = np.random.default_rng(0)
    clip = a_clip([a_frame(random) for _ in range(4)], np.array([0, INTERPOLATED, HELD, 0], np.int8))
    return replace(
        clip,
        times=tuple(Fraction(1001 * i, 30000) for i in range(4)),
        fps=Fraction(30000, 1001),
        crops=random.uniform(0, 100, (4, 3)).astype(np.float32),
        static_offset=random.normal(size=(749, 3)).astype(np.float32),
    )


def assert_same(a: object, b: object) -> None:
    for field in fields(a):
        mine, other = getattr(a, field.name), getattr(b, field.name)
        if isinstance(mine, np.ndarray):
            np.testing.assert_array_equal(mine, other)
            assert mine.dtype == other.dtype
        else:
            assert mine == other, field.name


class TestSequence:
    def test_round_trip_is_exact(self, clip, tmp_path):
        assert clip.save(tmp_path / "new" / "folder").name == TRACK_FILE
        assert_same(TrackedSequence.load(tmp_path / "new" / "folder"), clip)
        bare = replace(clip, crops=None, static_offset=None, smoothed=True, head="flame")
        bare.save(tmp_path)
        assert_same(TrackedSequence.load(tmp_path), bare)
        assert [p.name for p in tmp_path.iterdir() if p.is_file()] == [TRACK_FILE]  # nothing temporary stays

    def test_files_of_the_first_format_are_read(self, clip, tmp_path):
        """They call the static offset `residual` and the torso's motion `torso`."""
        clip = replace(clip, torso_motion=np.arange(16, dtype=np.float32).reshape(4, 4))
        file = clip.save(tmp_path)
        former = {"static_offset": "residual", "torso_motion": "torso"}
        save_arrays(file, {former.get(k, k): v for k, v in load_arrays(file).items()} | {"format": 1})
        assert {"residual", "torso"} <= load_arrays(file).keys()
        assert_same(TrackedSequence.load(tmp_path), clip)

    def test_frames(self, clip):
        assert len(clip) == len(list(clip)) == 4
        frame = clip[2]
        np.testing.assert_array_equal(frame.expcode, clip.expcode[2])
        np.testing.assert_array_equal(frame.shapecode, clip.shapecode[0])
        own = replace(clip, shapecode=np.arange(1200, dtype=np.float32).reshape(4, 300))
        np.testing.assert_array_equal(own[2].shapecode, own.shapecode[2])

    def test_with_parameters(self, clip):
        assert set(clip.parameters) == set(PARAMETERS)
        moved = clip.with_parameters({"eyecode": clip.eyecode + 1})
        np.testing.assert_array_equal(moved.eyecode, clip.eyecode + 1)
        assert_same(moved.with_parameters({"eyecode": clip.eyecode}), clip)

    @pytest.mark.parametrize("name", [*PARAMETERS, "bbox", "status"])
    def test_wrong_shapes_are_refused(self, clip, name):
        with pytest.raises(UserError, match=f"{name} has shape"):
            replace(clip, **{name: np.zeros((3, *np.shape(getattr(clip, name))[1:]), np.float32)})

    def test_an_unknown_head_is_refused(self, clip):
        with pytest.raises(UserError, match="unknown head 'smpl'"):
            replace(clip, head="smpl")

    def test_damaged_files_are_refused(self, clip, tmp_path):
        with pytest.raises(UserError, match="not found"):
            TrackedSequence.load(tmp_path)
        file = clip.save(tmp_path)
        whole = file.read_bytes()
        for damaged in (b"", b"not an npz", whole[: len(whole) // 2], whole[:2000] + b"\0" * 500 + whole[2500:]):
            file.write_bytes(damaged)
            with pytest.raises(UserError, match="damaged"):
                TrackedSequence.load(tmp_path)

    @pytest.mark.parametrize(
        "change",
        [
            {"format": 99},
            {"fps": np.array([25, 0])},
            {"fps": np.array([25])},
            {"times": np.zeros((4, 2), np.int64)},
            {"times": np.ones((2, 2), np.int64)},
            {"head": "smpl"},
            {"expcode": np.zeros((4, 7), np.float32)},
            {"eyecode": None},
        ],
    )
    def test_wrong_contents_are_refused(self, clip, tmp_path, change):
        file = clip.save(tmp_path)
        values = {k: v for k, v in (load_arrays(file) | change).items() if v is not None}
        save_arrays(file, values)
        with pytest.raises(UserError):
            TrackedSequence.load(tmp_path)

    def test_pickles_do_not_run(self, tmp_path):
        np.savez(tmp_path / TRACK_FILE, format=np.array([print], dtype=object))
        with pytest.raises(UserError, match="damaged"):
            load_arrays(tmp_path / TRACK_FILE)


class TestSource:
    @pytest.fixture
    def source(self) -> TrackedSource:
        random = np.random.default_rng(1)
        side = IMAGE_SIZE + 2 * 96
        image = random.integers(0, 256, (side, side, 3), np.uint8)
        frame = replace(a_frame(random), static_offset=random.normal(size=(749, 3)).astype(np.float32))
        matte = random.random((side, side), np.float32)
        return TrackedSource(frame, image, matte, 96, matte > 0.1)

    def test_round_trip_is_exact(self, source, tmp_path):
        _save_source(tmp_path / "a" / "source.npz", source)
        loaded = _load_source(tmp_path / "a" / "source.npz")
        assert_same(loaded.frame, source.frame)
        assert_same(replace(loaded, frame=None), replace(source, frame=None))

    def test_a_cache_of_an_earlier_version_is_read(self, source, tmp_path):
        file = tmp_path / "source.npz"
        _save_source(file, source)
        values = load_arrays(file)
        save_arrays(file, values | {"frame_residual": values.pop("frame_static_offset")})
        assert "frame_static_offset" not in load_arrays(file)
        assert_same(_load_source(file).frame, source.frame)

    def test_shown_is_the_middle(self, source):
        image, matte = source.shown()
        assert image.shape == (IMAGE_SIZE, IMAGE_SIZE, 3)
        np.testing.assert_array_equal(image, source.image[96:-96, 96:-96])
        np.testing.assert_array_equal(matte, source.matte[96:-96, 96:-96])

    def test_a_damaged_cache_is_no_source(self, source, tmp_path):
        file = tmp_path / "source.npz"
        assert _load_source(file) is None
        _save_source(file, source)
        file.write_bytes(file.read_bytes()[:1000])
        assert _load_source(file) is None
        save_arrays(file, {"image": source.image})
        assert _load_source(file) is None


class TestCache:
    def test_by_content_and_by_what_it_depends_on(self, tmp_path):
        cache = TrackCache(tmp_path / "cache")
        (tmp_path / "a.mp4").write_bytes(b"one" * 500_000)
        (tmp_path / "other name.mp4").write_bytes(b"one" * 500_000)
        (tmp_path / "b.mp4").write_bytes(b"one" * 499_999 + b"two")
        entry = cache.entry(tmp_path / "a.mp4", "1", "2")
        assert entry == cache.entry(tmp_path / "other name.mp4", "1", "2")
        assert entry.parent == cache.folder
        assert not entry.exists()
        others = [cache.entry(tmp_path / "b.mp4", "1", "2")]
        others += [cache.entry(tmp_path / "a.mp4", *on) for on in (("1", "3"), ("12",), ("2", "1"), ())]
        assert len({entry, *others}) == 6

    def test_follows_the_users_cache_folder(self, monkeypatch, tmp_path):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert TrackCache().folder == tmp_path / "gagavatar-enhanced" / "tracks"
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        assert TrackCache().folder == tmp_path / "home" / ".cache" / "gagavatar-enhanced" / "tracks"
