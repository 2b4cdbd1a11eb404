"""Poor drivers and poor photos, against what their settings say; and the oracles beside them."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from synthetic_head import a_clip, a_frame

from core.data.image import read_image, write_image
from core.data.video import VideoReader, VideoWriter
from core.evaluation import conditions
from core.evaluation.conditions import Condition, PoorDriverSettings, PoorPhotoSettings, poor_driver, poor_photo
from core.evaluation.variants import ALL, OFF, TRUE_TRACK, standard_variants, variants_under

FPS = Fraction(25)
SHARP = PoorDriverSettings(height=96, shutter=0, exposure=1, read_noise=0, shot_noise=0, gain=1, dropped=0, crf=1)


@pytest.fixture(autouse=True)
def build(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(conditions, "BUILD", tmp_path / "build")
    return tmp_path / "build"


@pytest.fixture
def clip(tmp_path) -> Path:
    """24 frames, each of one grey that grows."""
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, FPS, (256, 192), crf=1) as writer:
        for i in range(24):
            writer.write(np.full((192, 256, 3), 40 + 4 * i, np.uint8))
    return path


def greys(path: Path) -> np.ndarray:
    return np.array([frame.image.mean() for frame in VideoReader(path)])


def test_a_driver_is_made_small_and_keeps_frames_and_times(clip):
    path, scale = poor_driver(clip, 0, SHARP)
    assert scale == 0.5
    frames, truth = list(VideoReader(path)), list(VideoReader(clip))
    assert frames[0].image.shape == (96, 128, 3)
    assert [f.time for f in frames] == [f.time for f in truth]
    assert greys(path) == pytest.approx(greys(clip), abs=1.5)


def test_an_open_shutter_mixes_in_the_frame_before(clip):
    mixed, still = (poor_driver(clip, 0, replace(SHARP, shutter=share))[0] for share in (0.5, 0))
    assert (greys(mixed)[1:] - greys(still)[1:]).mean() == pytest.approx(-2, abs=0.5)  # half of a step of four


def test_light_is_lost_and_made_up_for(clip):
    path, _ = poor_driver(clip, 0, replace(SHARP, exposure=0.4, gain=2))
    assert greys(path) == pytest.approx(0.8 * greys(clip), abs=2)


def test_noise_has_its_deviation_and_its_seed(clip):
    noisy = replace(SHARP, read_noise=6.0)
    picture = next(iter(VideoReader(poor_driver(clip, 3, noisy)[0]))).image.astype(float)
    assert picture.mean(2).std() == pytest.approx(6, rel=0.35)  # luma of three independent channels, chroma halved
    other, same = (poor_driver(clip, seed, noisy)[0] for seed in (4, 3))
    assert other != poor_driver(clip, 3, noisy)[0] == same


def test_dropped_frames_repeat_the_one_before(clip):
    shown = greys(poor_driver(clip, 0, replace(SHARP, dropped=0.5))[0])
    steps = np.diff(shown)
    repeated = (np.abs(steps) < 1).sum()
    assert 6 <= repeated <= 17
    assert (np.abs(shown - greys(clip)) < 1.5).sum() == len(shown) - repeated


def test_a_photo_becomes_a_thumbnail(tmp_path):
    photo = tmp_path / "photo.png"
    write_image(photo, np.random.default_rng(0).integers(0, 255, (90, 120, 3)).astype(np.uint8))
    path = poor_photo(photo)
    small = read_image(path)
    assert small.shape == (30, 40, 3)
    exact = cv2.resize(read_image(photo), (40, 30), interpolation=cv2.INTER_AREA)
    exact = cv2.GaussianBlur(exact, (0, 0), PoorPhotoSettings().blur)
    assert np.abs(small.astype(float) - exact).mean() < 12
    assert path.stat().st_size < 1500
    assert poor_photo(photo) == path


def test_every_condition_has_its_oracles():
    variants = standard_variants()
    assert variants_under(None, variants) == variants
    noisy = {v.name: v for v in variants_under(Condition("poor-driver"), variants)}
    assert {OFF, ALL, TRUE_TRACK, "true pose", "true expression", "true gaze"} <= set(noisy)
    assert not any(name.startswith("without") for name in noisy)
    clip = a_clip([a_frame(np.random.default_rng(0))] * 3)
    assert all(hasattr(clip, field) for field in noisy[TRUE_TRACK].true_parameters)
    assert [v.name for v in variants_under(Condition("tracking-noise"), variants)][-1] == ALL
    photo = variants_under(Condition("poor-photo"), variants)
    assert [v.name for v in photo if v.true_photo] == ["true photo"]
    assert (Condition("tracking-noise", 2).name, Condition("poor-photo").title) == ("noise2", "poor photo 0")
