"""The demo's inputs are what their page says: small, whole, with a face that moves and a sound that goes with it."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from core.data.image import read_image
from core.data.video import VideoReader
from core.evaluation import metrics
from core.libs.geometry import head_angles
from core.libs.tracker.mediapipe_tracker import MediaPipeTracker
from core.options import Options
from core.pipeline import animate
from demos.make_driver import FPS, FRAMES, MOTION, RATE, TURNS, driver_motion, hum, make_portrait

DEMOS = Path(__file__).parents[1] / "demos"
TALK = DEMOS / "drivers/talk.mp4"


@pytest.fixture(scope="module")
def tracker():
    tracker = MediaPipeTracker()
    yield tracker
    tracker.close()


@pytest.fixture(scope="module")
def points(tracker) -> np.ndarray:
    """(T, 478, 3) the face followed through the video."""
    found = [tracker.follow(frame.image) for frame in VideoReader(TALK)]
    assert all(one is not None for one in found)
    return np.stack([one.points for one in found])


def test_inputs_are_small():
    sizes = {path: path.stat().st_size for path in DEMOS.rglob("*") if path.is_file()}
    assert sizes[TALK] < 1_500_000
    assert sum(sizes.values()) < 3_000_000


def test_the_video_is_a_plain_clip_with_sound():
    reader = VideoReader(TALK)
    frames = [frame.image for frame in reader]
    assert (reader.size, reader.fps, len(frames)) == ((512, 512), FPS, FRAMES)
    assert frames[0][:60, :40].mean() > 60  # not on black
    with av.open(str(TALK)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        assert container.streams.audio[0].codec_context.name == "aac"
        assert "synthetic" in container.metadata["comment"]


def test_its_face_moves_clearly(points):
    yaw, pitch, roll = np.ptp(metrics.head_angles(points), axis=0)
    assert yaw > 20
    assert pitch > 8
    assert roll > 4
    mouth, eyes = metrics.mouth_opening(points), metrics.eye_opening(points).mean(1)
    assert np.ptp(mouth) > 0.1
    assert eyes.min() < 0.5 * np.median(eyes)  # it blinks
    assert np.ptp(metrics.gaze_angles(points)[:, 0]) > 10


def test_its_sound_follows_the_mouth(points):
    with av.open(str(TALK)) as container:
        samples = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
        step = container.streams.audio[0].rate // 25
    loud = np.array([np.sqrt(np.square(samples[i * step : (i + 1) * step]).mean()) for i in range(FRAMES)])
    assert 0.02 < loud.max() < 0.3
    assert metrics.correlation(loud, metrics.mouth_opening(points)) > 0.7


def test_the_second_portrait_shows_a_face(tracker, tmp_path):
    image = read_image(DEMOS / "examples/2.jpg")
    assert image.shape == (512, 512, 3)
    assert tracker.detect(image) is not None
    make_portrait(tmp_path / "2.jpg")
    assert np.array_equal(read_image(tmp_path / "2.jpg"), image)


def test_the_motion_is_the_recorded_one_with_turns():
    motion = driver_motion()
    assert (len(motion), motion.fps, motion.times[1]) == (FRAMES, FPS, Fraction(1, 25))
    recorded = type(motion).load(MOTION)
    first = slice(60, 60 + FRAMES)
    before = head_angles(recorded.transform_matrix[first, :, :3].astype(np.float64))
    added = np.degrees(head_angles(motion.transform_matrix[..., :3].astype(np.float64)) - before)
    for seconds, degrees in TURNS["yaw"][:-1]:
        assert added[round(seconds * 25), 1] == pytest.approx(degrees, abs=0.5)
    assert np.array_equal(motion.posecode, recorded.posecode[first])


def test_the_hum_is_silent_where_the_mouth_is_shut():
    opening = np.r_[np.zeros(10), np.ones(10), np.zeros(10)]
    sound = hum(opening, 30 / 25)
    assert sound.shape == (round(30 / 25 * RATE),)
    assert np.abs(sound).max() <= 1
    frame = RATE // 25
    assert np.abs(sound[: 8 * frame]).max() == 0
    assert np.abs(sound[11 * frame : 19 * frame]).max() > 0.1
    spectrum = np.abs(np.fft.rfft(sound[11 * frame : 19 * frame]))
    lowest = np.argmax(spectrum[:60]) * 25 / 8  # Hz
    assert 110 < lowest < 135


def test_upstreams_command_gives_a_picture(tmp_path):
    """`python inference.py -d ./demos/examples/2.jpg -i ./demos/examples/1.jpg`"""
    options = Options(DEMOS / "examples/1.jpg", DEMOS / "examples/2.jpg", output=f"{tmp_path}/", quiet=True)
    report = animate(options)
    assert report.output == tmp_path / "2_1.png"
    assert read_image(report.output).shape == (512, 1536, 3)
