"""The tables of an ablation: what each variant gains, as Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.evaluation.report import number, table
from core.evaluation.statistics import (
    METRICS,
    BootstrapSettings,
    Columns,
    Gain,
    Metric,
    clip_gain,
    mean_gain,
    statistic,
)
from core.evaluation.variants import comparisons

Results = Mapping[str, Mapping[str, Columns]]  # by setting's name, by variant's name


@dataclass(frozen=True)
class Group:
    """Settings that are averaged: clips under one condition.

    Attributes:
        title: of the table. results: columns by setting and variant. blocks: frames a run of the bootstrap, by setting.
        same_person: whether the metrics that need the true pictures are to be expected.
    """

    title: str
    results: Results
    blocks: Mapping[str, int]
    same_person: bool

    @property
    def variants(self) -> list[str]:
        """The names of the variants that every setting has, in their order."""
        first, *others = self.results.values()
        return [name for name in first if all(name in other for other in others)]


@dataclass(frozen=True)
class Row:
    """A comparison: what `variant` gains over `base` in a metric, in one group or one clip of it."""

    group: str
    clip: str
    metric: Metric
    label: str
    base: str
    variant: str
    result: Gain


def compare_all(group: Group, seed: int = 0) -> list[Row]:
    """Every metric of every comparison, of the mean over clips (`clip` is `all`) and, if there are more, of each."""
    rows = []
    for label, base, variant in comparisons(group.variants):
        for metric in _metrics(group):
            clips = {
                name: clip_gain(metric, runs[base], runs[variant], group.blocks[name], (seed, number))
                for number, (name, runs) in enumerate(group.results.items())
            }
            sets = {"all": list(clips.values())}
            if len(clips) > 1:
                sets |= {name: [clip] for name, clip in clips.items()}
            for clip, members in sets.items():
                rows.append(Row(group.title, clip, metric, label, base, variant, mean_gain(members, seed)))
    return rows


def values(group: Group, metric: Metric, variant: str) -> float:
    """The mean over clips of a metric."""
    found = [float(statistic(metric, runs[variant])) for runs in group.results.values()]
    found = [value for value in found if np.isfinite(value)]
    return float(np.mean(found)) if found else float("nan")


def markdown(groups: Sequence[Group], rows: Sequence[Row], about: str) -> str:
    """The document: for every group the values of all variants and their gains, then every clip's gain of all."""
    parts = ["# Ablation", about, _HOW_TO_READ.format(**asdict(BootstrapSettings()))]
    for group in groups:
        clips = len(group.results)
        parts += [f"## {group.title}: {clips} clip{'s' if clips > 1 else ''}", _values(group)]
        own = [row for row in rows if row.group == group.title and row.clip == "all"]
        if own:
            parts += [_gains(own)]
        parts += [_by_clip([row for row in rows if row.group == group.title and row.label == "all"], group)]
    return "\n\n".join(part for part in parts if part) + "\n"


_HOW_TO_READ = """Gains are differences in the metric's own unit, positive where it got better; where the best value
is one or zero, by how much it came nearer. In brackets stands the {confidence:.0%} interval of the paired
bootstrap over frames and clips ({resamples} resamples). *none*: the interval holds zero, or the gain rounds to it. `x`
alone is against off, `x last` is all four against the three others. `not available`: its weights
are not installed. The speed is that of one thread beside the other measurements, off and the
variant in turns."""


def _values(group: Group) -> str:
    header = ["mean over clips", *group.variants]
    lines = []
    for metric in _metrics(group):
        numbers = [values(group, metric, name) for name in group.variants]
        cells = [number(v, metric.digits) for v in numbers] if np.isfinite(numbers).any() else _unavailable(header)
        lines.append([_label(metric), *cells])
    memory = [
        max(float(runs[name].get("peak_memory_mib", np.nan)) for runs in group.results.values())
        for name in group.variants
    ]
    lines.append(["peak memory of the measuring process, MiB", *(number(v, 0) for v in memory)])
    return table(header, lines)


def _gains(rows: Sequence[Row]) -> str:
    labels = list(dict.fromkeys(row.label for row in rows))
    cells = {(row.metric.key, row.label): row for row in rows}
    lines = []
    for metric in dict.fromkeys(row.metric for row in rows):
        of_metric = [cells[metric.key, label] for label in labels]
        lines.append([_label(metric), *(_gain(row) for row in of_metric)])
    return table(["gain", *labels], lines)


def _by_clip(rows: Sequence[Row], group: Group) -> str:
    """What all four gain, clip by clip."""
    clips = [name for name in dict.fromkeys(row.clip for row in rows) if name != "all"]
    if not clips:
        return ""
    cells = {(row.metric.key, row.clip): row for row in rows}
    lines = [
        [_label(metric), *(_gain(cells[metric.key, clip]) for clip in clips)]
        for metric in _metrics(group)
        if (metric.key, clips[0]) in cells
    ]
    return table(["gain of all, by clip", *clips], lines)


def _gain(row: Row) -> str:
    result, digits = row.result, row.metric.digits
    if result.verdict == "not measured":
        return "-"
    if result.verdict == "none" or round(result.gain, digits) == 0:
        return "none"
    value, low, high = (number(v, digits, sign=True) for v in (result.gain, result.low, result.high))
    return f"{value} [{low}, {high}]"


def _metrics(group: Group) -> list[Metric]:
    return [metric for metric in METRICS if group.same_person or not metric.truth]


def _label(metric: Metric) -> str:
    arrow = {"up": "higher is better", "down": "lower is better", "zero": "best at 0", "one": "best at 1"}[metric.goal]
    return f"{metric.label}{', ' + metric.unit if metric.unit else ''} ({arrow})"


def _unavailable(header: Sequence[str]) -> list[str]:
    return ["not available", *[""] * (len(header) - 2)]


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """One line for every comparison."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        names = ["group", "clip", "metric", "unit", "goal", "comparison", "base", "variant"]
        writer.writerow([*names, "base_value", "value", "gain", "low", "high", "relative_gain", "verdict", "clips"])
        for row in rows:
            metric, result = row.metric, row.result
            texts = [row.group, row.clip, metric.key, metric.unit, metric.goal, row.label, row.base, row.variant]
            numbers = [result.base, result.value, result.gain, result.low, result.high, result.relative]
            writer.writerow([*texts, *(f"{v:.6g}" for v in numbers), result.verdict, result.clips])


def write_json(path: Path, groups: Sequence[Group], rows: Sequence[Row], about: Mapping[str, Any]) -> None:
    """Everything: the values of every clip and variant, stages in seconds, and all comparisons."""
    content = {
        "about": dict(about),
        "metrics": [asdict(metric) for metric in METRICS],
        "values": {group.title: {name: _all_values(runs) for name, runs in group.results.items()} for group in groups},
        "comparisons": [
            {
                **{"group": row.group, "clip": row.clip, "metric": row.metric.key, "comparison": row.label},
                **{"base": row.base, "variant": row.variant, "verdict": row.result.verdict},
                **{"result": asdict(row.result), "relative": row.result.relative},
            }
            for row in rows
        ],
    }
    path.write_text(json.dumps(_plain(content), indent=1, allow_nan=False), encoding="utf-8")


def _all_values(runs: Mapping[str, Columns]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, columns in runs.items():
        found[name] = {metric.key: float(statistic(metric, columns)) for metric in METRICS}
        found[name]["ms_per_frame"] = float(np.nanmean(columns["ms"]))
        found[name]["peak_memory_mib"] = float(columns.get("peak_memory_mib", np.nan))
        found[name]["stage_seconds"] = {stage: float(seconds) for stage, seconds in columns.get("stages", ())}
    return found


def _plain(value: Any) -> Any:
    """JSON has no NaN: null."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
