"""The ablation's statistics against closed forms: gains, blocks of frames, intervals."""

from __future__ import annotations

import numpy as np
import pytest

from core.evaluation import metrics, statistics
from core.evaluation.statistics import (
    METRICS,
    Columns,
    Gain,
    Metric,
    block_resamples,
    clip_gain,
    gain,
    mean_gain,
    statistic,
)
from core.evaluation.tables import Group, compare_all, markdown

MEAN = Metric("m", "m", "", 3, "up", "mean", ("x",))


@pytest.fixture
def series() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    a = random.normal(size=(60, 2))
    return a, 0.5 * a + random.normal(size=(60, 2))


def metric_of(kind: str, goal: str = "up") -> Metric:
    return Metric("m", "m", "", 3, goal, kind, ("x", "y"))


def compare(metric: Metric, clips: list[tuple[Columns, Columns]], blocks: list[int], count: int = 1000) -> Gain:
    pairs = zip(clips, blocks, strict=True)
    return mean_gain([clip_gain(metric, *pair, block, (0, i), count) for i, (pair, block) in enumerate(pairs)])


def test_each_statistic_is_what_it_says(series):
    x, y = series
    columns = {"x": x, "y": y}
    expected = metrics.correlation(x, y)
    assert statistic(metric_of("correlation"), columns) == pytest.approx(expected)
    amplitude = np.sqrt(x.var(0).sum() / y.var(0).sum())
    assert statistic(metric_of("amplitude"), columns) == pytest.approx(amplitude)
    columns = {"x": x[:, 0] ** 2, "y": y[:, 0] ** 2}
    rms = np.sqrt((x[:, 0] ** 2).mean()) - np.sqrt((y[:, 0] ** 2).mean())
    assert statistic(metric_of("rms"), columns) == pytest.approx(rms)
    assert statistic(metric_of("ratio"), columns) == pytest.approx((x[:, 0] ** 2).sum() / (y[:, 0] ** 2).sum())
    medians = np.median(x[:, 0] ** 2) / np.median(y[:, 0] ** 2)
    assert statistic(metric_of("median ratio"), columns) == pytest.approx(medians)
    assert statistic(MEAN, columns) == pytest.approx((x[:, 0] ** 2).mean())
    assert np.isnan(statistic(MEAN, {"other": x}))


@pytest.mark.parametrize("kind", ["mean", "rms", "ratio", "median ratio", "correlation", "amplitude"])
def test_frames_without_a_value_do_not_count_and_drawn_frames_do(series, kind):
    columns = {"x": series[0][:, 0] ** 2, "y": series[1][:, 0] ** 2}
    metric = MEAN if kind == "mean" else metric_of(kind)
    kept = np.arange(60) % 3 != 0
    holes = {**columns, "y": np.where(kept, columns["y"], np.nan)}
    holes["x"] = np.where(kept, columns["x"], np.nan if kind == "mean" else columns["x"])
    without = {name: value[kept] for name, value in columns.items()}
    assert statistic(metric, holes) == pytest.approx(statistic(metric, without))
    index = np.random.default_rng(1).integers(0, 60, (4, 60))
    drawn = statistic(metric, columns, index)
    one_by_one = [statistic(metric, {k: v[i] for k, v in columns.items()}) for i in index]
    np.testing.assert_allclose(drawn, one_by_one)


def test_gains_point_the_right_way():
    assert gain(metric_of("mean", "up"), np.array(1.0), np.array(3.0)) == 2
    assert gain(metric_of("mean", "down"), np.array(1.0), np.array(3.0)) == -2
    assert gain(metric_of("mean", "one"), np.array(0.7), np.array(1.1)) == pytest.approx(0.2)


def test_blocks_are_runs_of_frames():
    index = block_resamples(50, 10, 200, np.random.default_rng(0))
    assert index.shape == (200, 50)
    steps = np.diff(index, axis=1) % 50
    inside = np.arange(1, 50) % 10 != 0
    assert (steps[:, inside] == 1).all()
    assert len(np.unique(steps[:, ~inside])) > 20
    counts = np.bincount(index.ravel(), minlength=50)
    assert counts.min() > 0.6 * counts.mean()  # the ends of the clip are drawn as often as its middle


def test_the_interval_of_a_mean_is_that_of_theory():
    random = np.random.default_rng(2)
    x = random.normal(size=400)
    result = compare(MEAN, [({"x": np.zeros(400)}, {"x": x})], [1], count=4000)
    half = 1.96 * x.std() / 20
    assert (result.low, result.high) == pytest.approx((x.mean() - half, x.mean() + half), abs=0.01)


def test_differences_are_paired():
    """Frames differ far more from one another than the variants do: only the same frames, compared, show the gain."""
    random = np.random.default_rng(3)
    base = 10 * random.normal(size=100)
    result = compare(MEAN, [({"x": base}, {"x": base + 0.1 + 0.01 * random.normal(size=100)})], [5])
    assert result.verdict == "better"
    assert result.gain == pytest.approx(0.1, abs=0.01)
    assert result.relative == pytest.approx(result.gain / abs(base.mean()))
    assert result.high - result.low < 0.02


def test_a_gain_within_its_interval_is_none():
    random = np.random.default_rng(4)
    base = {"x": random.normal(size=80)}
    assert compare(MEAN, [(base, base)], [5]).verdict == "none"
    noisy = {"x": base["x"] + 0.05 * random.normal(size=80)}
    assert compare(MEAN, [(base, noisy)], [5]).verdict == "none"
    assert compare(MEAN, [(base, {"x": np.full(80, np.nan)})], [5]).verdict == "not measured"
    assert compare(MEAN, [(base, {})], [5]).verdict == "not measured"


def test_neighbours_that_resemble_one_another_widen_the_interval():
    slow = {"x": np.repeat(np.random.default_rng(5).normal(size=10), 25)}
    zero = {"x": np.zeros(250)}
    single, blocks = (compare(MEAN, [(zero, slow)], [block]) for block in (1, 25))
    assert blocks.high - blocks.low > 3 * (single.high - single.low)


def test_clips_are_drawn_too():
    """Gains of exactly +1 and -1 in two clips: no frame says otherwise, yet the mean is as good as nothing."""
    clips = [({"x": np.zeros(30)}, {"x": np.full(30, value)}) for value in (1.0, -1.0)]
    result = compare(MEAN, clips, [5, 5])
    assert (result.gain, result.low, result.high) == (0, -1, 1)
    assert result.verdict == "none"
    assert compare(MEAN, clips, [5, 5]) == result  # seeded
    agreed = compare(MEAN, [clips[0]] * 3, [5] * 3)
    assert (agreed.verdict, agreed.low, agreed.clips) == ("better", 1, 3)


def test_frames_that_one_side_lacks_count_for_neither():
    base, value = np.arange(20.0), np.arange(20.0) + 1
    value[:10] = np.nan
    result = compare(MEAN, [({"x": base}, {"x": value})], [1])
    assert (result.base, result.gain) == pytest.approx((14.5, 1))


def test_markdown_says_none_and_averages_clips():
    columns = {"psnr": np.full(20, 30.0), "ms": np.ones(20), "ms_off": np.ones(20), "fps": np.array(25.0)}
    better = {**columns, "psnr": columns["psnr"] + 2}
    results = {"a": {"off": columns, "all": better}, "b": {"off": columns, "all": better}}
    group = Group("self-reenactment", results, {"a": 5, "b": 5}, True)
    text = markdown([group], compare_all(group), "about")
    line = next(line for line in text.splitlines() if line.startswith("| PSNR, dB"))
    assert [cell.strip() for cell in line.split("|")[2:4]] == ["30.00", "32.00"]
    assert "+2.00 [+2.00, +2.00]" in text
    speed = [line for line in text.splitlines() if line.startswith("| frames per second")]
    assert "none" in speed[1]
    assert isinstance(compare_all(group)[0].result, Gain)
    assert {row.clip for row in compare_all(group)} == {"all", "a", "b"}
    assert statistics.BootstrapSettings().resamples >= 1000
    assert len({metric.key for metric in METRICS}) == len(METRICS)
