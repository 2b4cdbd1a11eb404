"""Every example of `examples/` runs, on a few frames of the demo's inputs, and gives what it says."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from core.data.image import read_image
from core.data.records import TrackedSequence
from core.data.video import VideoReader, VideoWriter
from core.libs.flame_model import head_mirror
from core.libs.geometry import head_angles
from core.libs.tracker.driver import track_driver
from core.libs.tracker.mediapipe_tracker import MediaPipeTracker
from core.live import LiveSession
from core.options import Options
from examples.animate import talking
from examples.frame_by_frame import write_some
from examples.live_camera import mirrored
from examples.measure_a_pair import follow
from examples.one_improvement import smooth, unrest
from examples.own_tracker import MirrorTracker
from tests.made_once import copy_cache

ROOT = Path(__file__).parents[1]
PHOTO, OTHER = ROOT / "demos/examples/1.jpg", ROOT / "demos/examples/2.jpg"
TRACK, CLIP = ROOT / "demos/drivers/obama", ROOT / "demos/drivers/talk.mp4"


@pytest.fixture(scope="module")
def cache(tmp_path_factory, demo_cache) -> Path:
    """Of all these tests: the two photos are tracked once, as a user's are."""
    return copy_cache(demo_cache, tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, cache):
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))


@pytest.fixture
def short(tmp_path) -> Path:
    """Four frames of the tracked driver."""
    TrackedSequence.load(TRACK).take(np.arange(4)).save(tmp_path / "short")
    return tmp_path / "short"


@pytest.fixture
def clip(tmp_path) -> Path:
    """Every eighth of the first frames of the video driver: its head turns."""
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, Fraction(25), (512, 512), crf=10) as writer:
        for frame in list(VideoReader(CLIP))[:41:8]:
            writer.write(frame.image)
    return path


def test_examples_are_short():
    scripts = sorted((ROOT / "examples").glob("*.py"))
    assert len(scripts) == 6
    page = (ROOT / "examples/README.md").read_text(encoding="utf-8")
    for script in scripts:
        text = script.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 40, script
        assert f"python -m examples.{script.stem} " in text
        assert f"`{script.name}`" in page


def test_a_video_and_its_pictures_are_the_same(short, tmp_path):
    report = talking(PHOTO, short, tmp_path / "result.mp4")
    written = list(VideoReader(report.output))
    assert (report.frames, len(written), report.fps) == (4, 4, 24)

    options = Options(PHOTO, short, enhanced=True, layout="result", quiet=True)
    paths = write_some(options, 3, tmp_path / "pictures")
    assert [path.name for path in paths] == ["0000000.png", "0000125.png"]  # frames 0 and 3 at 24 a second
    for path, frame in zip(paths, written[::3], strict=True):
        difference = read_image(path).astype(float) - frame.image
        assert np.sqrt(np.square(difference).mean()) < 4  # of 255: what H.264 loses


def test_smoothing_takes_noise_out_of_a_known_motion():
    track = TrackedSequence.load(TRACK)
    seconds = np.array([float(time) for time in track.times])[:, None]
    known = np.sin(np.pi * seconds + np.arange(track.expcode.shape[1])).astype(np.float32)  # half a turn a second
    noise = np.random.default_rng(0).normal(0, 0.3, known.shape).astype(np.float32)
    noisy = track.with_parameters({"expcode": known + noise})
    smoothed = smooth(noisy)
    assert smoothed.times == noisy.times
    assert unrest(noisy) == pytest.approx(0.3 * np.sqrt(6), rel=0.05)  # second differences of white noise
    assert unrest(smoothed) < 0.5 * unrest(noisy)
    assert np.square(smoothed.expcode - known).mean() < 0.5 * np.square(noise).mean()
    untouched = smooth(noisy, strength=0)
    assert all(np.array_equal(untouched.parameters[name], noisy.parameters[name]) for name in noisy.parameters)


def test_a_pair_that_follows_is_closer_than_one_that_holds_still(clip):
    moved = follow(OTHER, clip, motion="absolute")
    still = follow(OTHER, clip, take="expression")  # the head stays where the photo has it
    assert moved.frames == still.frames == len(list(VideoReader(clip)))
    assert moved.apd < 0.05 < still.apd


def test_a_tracker_of_ones_own(clip):
    image = read_image(PHOTO)
    with closing(MirrorTracker()) as tracker:
        track = track_driver(clip, tracker=tracker)
        seen = tracker.detect(image).points
        mirrored = tracker.detect(np.ascontiguousarray(image[:, ::-1])).points
    back = (mirrored * [-1, 1, 1] + [image.shape[1] - 1, 0, 0]).astype(np.float32)
    np.testing.assert_allclose(back[head_mirror()], seen, atol=1e-3)  # it favours no side
    with closing(MediaPipeTracker()) as tracker:
        usual = track_driver(clip, tracker=tracker)
    angles = [np.degrees(head_angles(t.transform_matrix[..., :3].astype(np.float64))) for t in (track, usual)]
    assert np.ptp(angles[1], axis=0).max() > 5
    assert np.abs(angles[0] - angles[1]).max() < 3


def test_a_wrong_input_is_one_line(tmp_path):
    call = [sys.executable, "-m", "examples.one_improvement", str(tmp_path), str(tmp_path / "out")]
    done = subprocess.run(call, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_camera_moves_a_photo(clip, monkeypatch):
    """With a clip for the camera and a list for the window; keys switch an improvement off, calibrate and end it."""
    shown, keys = [], iter("1c" + "x" * 8 + "q")
    monkeypatch.setattr(cv2, "imshow", lambda _, image: shown.append(image))
    monkeypatch.setattr(cv2, "waitKey", lambda _: ord(next(keys)))
    pictures = [frame.image[..., ::-1] for frame in VideoReader(clip)] * 4

    class Capture:
        def read(self) -> tuple[bool, np.ndarray | None]:
            ready.wait(10)  # as slow as what is shown
            ready.clear()
            return (True, pictures.pop()) if pictures else (False, None)

    ready = threading.Event()
    monkeypatch.setattr(cv2, "flip", lambda image, code: (ready.set(), np.flip(image, code))[1])
    ready.set()
    with LiveSession(Options(PHOTO, enhanced=True, quiet=True)) as session:
        mirrored(session, Capture())
        assert session.improvements == ("detail_enhance", "expression_opt", "gaze_correct")
    assert len(shown) == 11
    assert all(image.shape == (512, 512, 3) for image in shown)
