"""Tracks in FLAME's codes: of drivers and pictures, kept in the cache by the head's file, saved and loaded."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from synthetic_clip import flame_clip, seen_points
from synthetic_flame import face_like_flame, write_flame
from synthetic_head import a_clip, a_frame

from core.data.image import write_image
from core.data.video import VideoWriter
from core.errors import UserError
from core.libs.flame_model import FLAMEModel
from core.libs.geometry import to_camera, to_pixels
from core.libs.tracker.base import Observation
from core.libs.tracker.cache import TrackCache
from core.libs.tracker.driver import track_driver
from core.libs.tracker.source import track_source


@pytest.fixture(scope="module")
def face_file(tmp_path_factory) -> Path:
    return write_flame(tmp_path_factory.mktemp("face") / "FLAME_with_eye.pt", face_like_flame())


@pytest.fixture(scope="module")
def head(face_file) -> FLAMEModel:
    return FLAMEModel(path=face_file)


class Knowing:
    """A tracker that is told what it finds; it knows a frame by the grey of its left upper corner."""

    name, version = "knowing", "1"

    def __init__(self, script: list[np.ndarray]) -> None:
        self.script = script

    def reset(self) -> None: ...

    def follow(self, image: np.ndarray) -> Observation:
        assert self.script, "asked, although the answer is in the cache"
        return Observation(self.script[round((float(image[4:28, 4:28].mean()) - 20) / 15) % len(self.script)])

    detect = follow

    def matte(self, image: np.ndarray) -> np.ndarray:
        return np.ones(image.shape[:2], np.float32)


class TestTracks:
    @pytest.fixture
    def script(self, head) -> list[np.ndarray]:
        random = np.random.default_rng(3)
        frames = [replace(a_frame(random, 0.2, 3), head="flame") for _ in range(8)]
        frames = [replace(frame, shapecode=frames[0].shapecode) for frame in frames]
        return [seen_points(head, frame) * 0.4 + np.float32([20, 10, 0]) for frame in frames]

    @pytest.fixture
    def picture(self) -> np.ndarray:
        """Grey, but for the corner: the second look finds nothing to correct."""
        image = np.full((240, 320, 3), 120, np.uint8)
        image[:32, :32] = 20
        return image

    def video(self, path: Path, picture: np.ndarray, frames: int) -> Path:
        with VideoWriter(path, Fraction(25), (320, 240)) as writer:
            for i in range(frames):
                shown = picture.copy()
                shown[:32, :32] = 20 + 15 * i
                writer.write(shown)
        return path

    def test_a_driver(self, tmp_path, script, picture, head, face_file):
        path, cache = self.video(tmp_path / "v.mp4", picture, 8), TrackCache(tmp_path / "cache")
        tracker = Knowing(script)
        plain = track_driver(path, tracker=tracker, cache=cache)
        track = track_driver(path, tracker=tracker, cache=cache, head=face_file)
        assert (plain.head, track.head) == ("open", "flame")
        assert plain.static_offset is not None
        assert track.static_offset is None
        np.testing.assert_array_equal(track.crops, plain.crops)
        # Both heads lie over the same face.
        index = head.embedding.tracker_points[17:68]
        drawn = [to_pixels(to_camera(head.landmarks(head.evaluate(f)), f.transform_matrix))[index] for f in track]
        open_head = FLAMEModel()
        other = [to_pixels(to_camera(open_head.evaluate(f)[index], f.transform_matrix)) for f in plain]
        assert np.linalg.norm(np.array(drawn) - other, axis=-1).mean() < 3

        again = Knowing([])
        np.testing.assert_array_equal(track_driver(path, tracker=again, cache=cache).expcode, plain.expcode)
        cached = track_driver(path, tracker=again, cache=cache, head=face_file)
        assert cached.head == "flame"
        np.testing.assert_array_equal(cached.expcode, track.expcode)
        touched = tmp_path / "other.pt"
        touched.write_bytes(face_file.read_bytes() + b" ")
        with pytest.raises(AssertionError, match="asked"):
            track_driver(path, tracker=again, cache=cache, head=touched)

    def test_pictures(self, tmp_path, script, picture, face_file):
        path, cache = tmp_path / "p.png", TrackCache(tmp_path / "cache")
        write_image(path, picture)
        source = track_source(path, tracker=Knowing(script), cache=cache, head=face_file)
        plain = track_source(path, tracker=Knowing(script), cache=cache)
        assert (source.frame.head, source.frame.static_offset) == ("flame", None)
        assert plain.frame.head == "open"
        np.testing.assert_array_equal(source.image, plain.image)  # the crop is the same
        cached = track_source(path, tracker=Knowing([]), cache=cache, head=face_file)
        assert (cached.frame.head, cached.frame.static_offset) == ("flame", None)
        np.testing.assert_array_equal(cached.frame.expcode, source.frame.expcode)
        driver = track_driver(path, tracker=Knowing(script), cache=cache, head=face_file)
        assert (len(driver), driver.head) == (1, "flame")
        np.testing.assert_allclose(driver.transform_matrix[0, :, :3], source.frame.transform_matrix[:, :3], atol=1e-5)

    def test_what_is_no_flame_is_refused(self, tmp_path, script, picture):
        path = self.video(tmp_path / "v.mp4", picture, 2)
        (tmp_path / "text.pt").write_text("hello")
        bare = {name: value for name, value in face_like_flame().items() if "_lmk_" not in name}
        np.savez(tmp_path / "bare.npz", **bare)
        cases = {"none.pt": "cannot be read", "text.pt": "not a head model", "bare.npz": "give FLAME_with_eye.pt"}
        for name, message in cases.items():
            with pytest.raises(UserError, match=message):
                track_driver(path, tracker=Knowing(script), cache=TrackCache(tmp_path / "c"), head=tmp_path / name)


def test_a_clip_record_of_flame_is_saved_and_loaded(tmp_path):
    track = replace(a_clip(flame_clip()), head="flame", static_offset=None)
    track.save(tmp_path)
    assert type(track).load(tmp_path).head == "flame"
