"""Other programs' results: laid over the clip whatever their crop, matched in time, refused where they do not fit."""

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from core.data.video import VideoReader, VideoWriter
from core.errors import UserError
from core.evaluation import compare
from core.evaluation.compare import SCORES, Alignment, made_here, main, result_of, score
from core.evaluation.points import LANDMARKS_68
from core.evaluation.runner import open_experiment
from core.evaluation.setting import Setting
from core.evaluation.variants import Pair, make_pair
from core.evaluation.warp_baseline import ThinPlateWarp

TALK = Path(__file__).parents[1] / "demos/drivers/talk.mp4"


def video(path: Path, greys: list[int], fps: Fraction) -> Path:
    with VideoWriter(path, fps, (64, 64), crf=1) as writer:
        for grey in greys:
            writer.write(np.full((64, 64, 3), grey, np.uint8))
    return path


def test_an_alignment_is_found_from_points():
    truth = np.random.default_rng(0).normal(256, 60, (5, 478, 3))
    mine = (truth - [30, -12, 0]) / 1.7
    mine[2] = np.nan
    place = Alignment.of(mine, truth)
    assert (place.factor, *place.shift) == pytest.approx((1.7, 30, -12))
    np.testing.assert_allclose(place.points(mine)[..., :2][[0, 1, 3, 4]], truth[..., :2][[0, 1, 3, 4]])


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_picture_lands_where_its_points_do(factor):
    image = np.zeros((512, 512, 3), np.uint8)
    x, y = 180, 220
    image[y - 6 : y + 7, x - 6 : x + 7] = 255
    place = Alignment(factor, np.array([20.0, -30.0]))
    laid = place.picture(image)[..., 0].astype(float)
    rows, columns = np.mgrid[:512, :512]
    centre = np.array([(columns * laid).sum(), (rows * laid).sum()]) / laid.sum()
    assert centre == pytest.approx(factor * np.array([x, y]) + place.shift, abs=0.05)


def test_a_result_of_another_rate_is_read_at_the_clips_times(tmp_path):
    video(tmp_path / "a.mp4", list(range(40, 140, 10)), Fraction(10))  # a second, 10 frames
    times = [Fraction(i, 20) for i in range(19)]
    shown = [int(image.mean()) for image in result_of("x", tmp_path, Pair("a", TALK), times)()]
    assert len(shown) == 19
    assert shown[::2] == pytest.approx(list(range(40, 140, 10)), abs=2)
    assert shown == sorted(shown)


def test_a_result_of_as_many_frames_is_read_frame_by_frame(tmp_path):
    video(tmp_path / "a.mp4", [50, 100, 150], Fraction(25))
    times = [Fraction(i, 24) for i in range(3)]
    shown = [image.mean() for image in result_of("x", tmp_path, Pair("a", TALK), times)()]
    assert shown == pytest.approx([50, 100, 150], abs=2)


def test_what_does_not_fit_is_refused(tmp_path, capsys):
    times = [Fraction(i, 25) for i in range(75)]
    with pytest.raises(UserError, match=r"no video called a\.mp4"):
        result_of("x", tmp_path, Pair("a", TALK), times)
    video(tmp_path / "a.mp4", [50, 60], Fraction(25))
    with pytest.raises(UserError, match=r"lasts 0\.04 s and its clip 2\.96 s"):
        result_of("x", tmp_path, Pair("a", TALK), times)
    for wrong, said in (
        (["ours=."], "under a name that is none of"),
        (["x=nowhere"], "is no folder"),
        ([], "give a clip with -d"),
    ):
        assert main(wrong if not wrong else ["-d", str(TALK), *wrong]) == 2
        assert said in capsys.readouterr().err
    with pytest.raises(UserError, match="no photo"):
        compare.compare([Pair("a", TALK, TALK)], {})


def test_a_thin_plate_puts_landmarks_where_they_are_to_be():
    image = np.zeros((240, 240, 3), np.uint8)
    points = np.zeros((478, 3))
    points[:, :2] = np.random.default_rng(1).uniform(70, 170, (478, 2))
    warp = ThinPlateWarp(image, np.ones((240, 240), np.float32), points, margin=20)
    at = points[LANDMARKS_68[30], :2].round().astype(int)
    cv2.circle(image, (int(at[0]), int(at[1])), 4, (255, 255, 255), -1)
    moved = points - [20, 20, 0]
    still = warp(moved)[0][..., 0]
    assert np.abs(still.astype(int) - image[20:220, 20:220, 0]).max() < 40  # nothing has to move
    away = moved + [5, 3, 0]
    laid = warp(away)[0][..., 0].astype(float)
    rows, columns = np.mgrid[:200, :200]
    centre = np.array([(columns * laid).sum(), (rows * laid).sum()]) / laid.sum()
    assert centre == pytest.approx(at - 20 + [5, 3], abs=1)


def test_another_crop_and_size_cost_little(tmp_path):
    """The still photo as another program might have written it: half as large, in a frame of its own."""
    pair = make_pair(None, TALK)
    count = sum(1 for _ in VideoReader(TALK))
    with open_experiment(Setting(pair, None, 4, 9, ("--model", "lifted"))) as experiment:
        still = made_here("still", experiment)
        picture = next(still())
        small = cv2.resize(picture, (256, 256), interpolation=cv2.INTER_AREA)
        framed = cv2.copyMakeBorder(small, 20, 44, 50, 30, cv2.BORDER_CONSTANT)
        with VideoWriter(tmp_path / "talk.mp4", Fraction(25), framed.shape[1::-1], crf=4) as writer:
            for _ in range(count):
                writer.write(framed)
        other = result_of("other", tmp_path, pair, experiment.all_times)
        mine, theirs = (score(pictures, experiment, 4) for pictures in (still, other))
    named = dict(zip(SCORES, zip(mine, theirs, strict=True), strict=True))
    assert named["frames with a face"] == (1, 1)
    for name, most in (("PSNR of the face, dB", 1.0), ("AKD, px", 1.0), ("pose error, degrees", 1.0)):
        assert named[name][0] == pytest.approx(named[name][1], abs=most)
