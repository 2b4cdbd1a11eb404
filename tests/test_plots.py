"""The plots show the numbers they are given."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import cpu
from core.evaluation.plots import plot_gains, plot_time
from core.evaluation.tables import Group, compare_all

T = 60


@pytest.fixture
def group() -> Group:
    """Off, one flag that gains 2 dB, one that gains nothing but noise."""
    random = np.random.default_rng(0)
    base = 30 + random.normal(size=T)
    runs = {}
    for name, values in {"off": base, "detail": base + 2, "gaze": base + 0.1 * random.normal(size=T)}.items():
        runs[name] = {"psnr": values, "jitter2": np.full(T, 4.0), "jitter2_truth": np.full(T, 1.0)}
        runs[name]["gaze"] = np.stack([np.linspace(-20, 20, T), np.zeros(T)], 1)
        runs[name]["gaze_truth"] = 1.5 * runs[name]["gaze"]
    return Group("self-reenactment", {"clip": runs}, {"clip": 5}, True)


def test_bars_are_the_gains(group, tmp_path: Path):
    rows = compare_all(group)
    figure = plot_gains(tmp_path / "gains.png", group, rows)
    axis = next(axis for axis in figure.axes if axis.get_title() == "PSNR, dB")
    heights = {
        label.get_text(): bar.get_height() for label, bar in zip(axis.get_xticklabels(), axis.patches, strict=True)
    }
    expected = {row.label: row.result.gain for row in rows if row.metric.key == "psnr"}
    assert heights == pytest.approx(expected)
    assert heights["detail"] == pytest.approx(2)
    filled = [bar.get_facecolor()[3] > 0 for bar in axis.patches]
    assert dict(zip(heights, filled, strict=True)) == {"detail": True, "gaze": False}
    image = cv2.imread(str(tmp_path / "gains.png"))
    assert image is not None
    assert image.std() > 10


def test_a_panel_for_each_metric_that_was_measured(group, tmp_path: Path):
    figure = plot_gains(tmp_path / "gains.png", group, compare_all(group))
    titles = [axis.get_title() for axis in figure.axes if axis.get_visible()]
    assert titles == ["PSNR, dB", "landmark jitter above the truth's, px"]


def test_nothing_to_compare_is_no_plot(group, tmp_path: Path):
    alone = Group("alone", {"clip": {"off": group.results["clip"]["off"]}}, {"clip": 5}, True)
    assert plot_gains(tmp_path / "gains.png", alone, compare_all(alone)) is None
    assert not (tmp_path / "gains.png").exists()


def test_lines_over_time(group, tmp_path: Path):
    figure = plot_time(tmp_path / "time.png", "clip", group.results["clip"], 30.0)
    jitter, across, _ = figure.axes
    lines = {line.get_label(): line for line in jitter.lines}
    assert list(lines) == ["driver", "off"]
    np.testing.assert_allclose(lines["off"].get_ydata(), 2)
    np.testing.assert_allclose(lines["driver"].get_ydata(), 1)
    assert lines["off"].get_xdata()[-1] == pytest.approx((T - 1) / 30)
    gaze = {line.get_label(): line.get_ydata() for line in across.lines}
    np.testing.assert_allclose(gaze["driver"], 1.5 * gaze["off"])
    assert (tmp_path / "time.png").stat().st_size > 10_000


def test_the_cpu_benchmark_takes_turns(tmp_path: Path):
    """Each round begins with another task, the rounds before the first are not timed, and all see the same frames."""
    calls: list[tuple[str, int]] = []
    tasks = {name: lambda i, name=name: calls.append((name, i)) for name in "abc"}
    times = cpu.in_turns(tasks, rounds=4, warm_up=1)
    assert list(times) == ["a", "b", "c"]
    assert all(value >= 0 for value in times.values())
    rounds = [calls[i : i + 3] for i in range(0, len(calls), 3)]
    assert [{index for _, index in names} for names in rounds] == [{0}, {0}, {1}, {2}, {3}]
    assert [names[0][0] for names in rounds[1:]] == ["a", "b", "c", "a"]
    rows = cpu._rows("flags", {"off": 10.0, "all": 12.5}, "off")
    assert [(row.ratio, row.fps) for row in rows] == [(1, 100), (1.25, 80)]
    cpu.plot(tmp_path / "cpu.png", rows + cpu._rows("lifted", {"frame": 1.0, "once": 1000.0}, "frame"))
    assert cv2.imread(str(tmp_path / "cpu.png")) is not None
