"""The scores of `benchmarks.modules`, on pictures whose scores are known."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import modules
from benchmarks.modules import brisque_score, eye_mask, flow_error, high_frequency_psnr, main, scores_table
from core.errors import UserError
from core.evaluation import metrics

ALL = np.ones((64, 64), bool)


def test_high_frequency_psnr_of_a_known_difference():
    rng = np.random.default_rng(0)
    truth = rng.random((64, 64, 3), np.float32)
    assert high_frequency_psnr(truth, truth, ALL) == np.inf
    assert high_frequency_psnr(truth * 0.5 + 0.25, truth * 0.5, ALL) > 100  # a constant has no fine band
    softer = truth * 0.5  # of which the band is half the truth's
    band = modules._finest_band(truth)
    expected = -10 * np.log10(np.square(band / 2, dtype=np.float64).mean())
    assert high_frequency_psnr(softer, truth, ALL) == pytest.approx(expected, abs=1e-4)


def test_flow_error_is_the_mean_distance_in_the_mask():
    truth = np.zeros((64, 64, 2), np.float32)
    flow = truth + np.float32([3, 4])
    flow[:32] = 0
    lower = ~ALL
    lower[32:] = True
    assert flow_error(flow, truth, lower) == pytest.approx(5)
    assert flow_error(flow, truth, ALL) == pytest.approx(2.5)


def test_eye_mask_is_the_boxes():
    points = np.zeros((478, 3))
    for index, x in zip((33, 133, 362, 263), (150, 190, 290, 330), strict=True):
        points[index, :2] = x, 200
    boxes = metrics.eye_boxes(points, (512, 512))
    assert eye_mask(points).sum() == sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in boxes)


def test_without_the_package_there_is_no_brisque(monkeypatch):
    monkeypatch.setitem(sys.modules, "brisque", None)
    assert brisque_score() is None


def test_the_table_shows_off_and_changes():
    values = np.arange(len(modules.SCORES), dtype=float)
    off, on = values.copy(), values + 1
    off[-1] = on[-1] = np.nan  # not measured
    lines = scores_table({"off": off, "detail": on}).splitlines()
    assert [cell.strip() for cell in lines[2].strip("|").split("|")] == ["PSNR, dB", "0.00", "+1.00"]
    assert [cell.strip() for cell in lines[-1].strip("|").split("|")][1:] == ["-", "-"]


def test_missing_clips_are_said_in_one_line(tmp_path):
    with pytest.raises(UserError, match=r"none\.mp4 is not there"):
        main(["--clips", str(tmp_path / "none.mp4")])


def test_so_few_frames_that_none_is_compared_are_said_in_one_line(monkeypatch, tmp_path):
    class Experiment:
        truth = SimpleNamespace(indices=np.arange(3))

        def __init__(self, *_):
            pass

    monkeypatch.setattr(modules, "Experiment", Experiment)
    monkeypatch.setattr(modules, "MediaPipeTracker", object)
    clip = tmp_path / "a.mp4"
    clip.touch()
    with pytest.raises(UserError, match=r"a\.mp4: none of its frames is compared.*smaller --stride"):
        main(["--clips", str(clip), "--frames", "3", "--stride", "6", "--no-cost"])
