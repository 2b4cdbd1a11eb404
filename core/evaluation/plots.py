"""Plots of an ablation: the gain of every flag, and jitter and gaze over time. Matplotlib is loaded late."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.evaluation.statistics import METRICS, Columns, Metric, gain
from core.evaluation.tables import Group, Row
from core.evaluation.variants import ALL, OFF
from core.output.figure import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = (  # metrics with a panel of their own in the bar chart
    *("psnr", "ssim", "gmsd", "stability", "detail", "gradient"),
    *("eye_psnr", "akd", "expression", "gaze", "jitter", "speed"),
)
_COLOURS = ("#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3", "#937860", "#da8bc3", "#8c8c8c", "#ccb974")
_TRUTH, _OFF, _ON = "#222222", "#c44e52", "#4c72b0"


def plot_gains(path: Path, group: Group, rows: Sequence[Row]) -> Figure | None:
    """Bars of the gain of all and of each variant against off, one panel a metric.

    The black line is the interval over frames and clips; the wide grey one spans the middle half of the frames' own
    gains, where a metric has a value for every frame. A bar that is within its interval is hollow. Returns the figure,
    or None where there is nothing to compare.
    """
    own = [row for row in rows if row.group == group.title and row.clip == "all" and row.base == OFF]
    panels = [m for key in SHOWN for m in METRICS if m.key == key and _measured(own, m)]
    if not panels:
        return None
    across = min(3, len(panels))
    figure, axes = new_figure(across, -(-len(panels) // across))
    for axis, metric in zip(axes.ravel(), panels, strict=False):
        _bars(axis, metric, [row for row in own if row.metric == metric], group)
    for axis in axes.ravel()[len(panels) :]:
        axis.set_visible(False)
    figure.suptitle(f"gain over off, {group.title}", fontsize=11)
    figure.savefig(path, dpi=110)
    return figure


def _measured(rows: Sequence[Row], metric: Metric) -> bool:
    return any(row.metric == metric and np.isfinite(row.result.gain) for row in rows)


def _bars(axis: Axes, metric: Metric, rows: Sequence[Row], group: Group) -> None:
    for place, row in enumerate(rows):
        result, colour = row.result, _COLOURS[place % len(_COLOURS)]
        spread = _spread(metric, group, row)
        if spread is not None:
            axis.plot([place, place], spread, color="#bbbbbb", linewidth=9, solid_capstyle="butt", zorder=1)
        none = result.verdict == "none"
        face = "none" if none else colour
        axis.bar(place, result.gain, 0.6, facecolor=face, edgecolor=colour, linewidth=1.2, alpha=0.9, zorder=2)
        axis.plot([place, place], [result.low, result.high], color="black", linewidth=1.4, zorder=3)
    axis.axhline(0, color="black", linewidth=0.7)
    axis.set_xticks(range(len(rows)), [row.label for row in rows], rotation=25, ha="right")
    axis.set_title(f"{metric.label}{', ' + metric.unit if metric.unit else ''}", fontsize=9)


def _spread(metric: Metric, group: Group, row: Row) -> tuple[float, float] | None:
    """The middle half of the gains of single frames, or None where a frame has no value of its own."""
    if metric.kind != "mean":
        return None
    name = metric.columns[0]
    pairs = [(runs[row.base], runs[row.variant]) for runs in group.results.values()]
    gains = [gain(metric, a[name], b[name]) for a, b in pairs if name in a and name in b]
    values = np.concatenate(gains) if gains else np.empty(0)
    values = values[np.isfinite(values)]
    return tuple(np.percentile(values, [25, 75])) if len(values) else None


def plot_time(path: Path, title: str, runs: Mapping[str, Columns], fps: float, rolling: float = 0.5) -> Figure:
    """Jitter (the mean over `rolling` seconds) and gaze of one clip over time: the driver's, off's and all's."""
    figure, axes = new_figure(1, 3, 10, 2.2)
    jitter, across, down = axes[:, 0]
    shown = [(name, runs[name], colour) for name, colour in ((OFF, _OFF), (ALL, _ON)) if name in runs]
    shown = shown or [(name, columns, _COLOURS[i]) for i, (name, columns) in enumerate(list(runs.items())[:2])]
    truth = shown[0][1]
    time = np.arange(len(truth["jitter2"])) / fps
    window = min(max(round(rolling * fps), 1), len(time))
    lines = [("driver", truth, "_truth", _TRUTH)] + [(name, columns, "", colour) for name, columns, colour in shown]
    for name, columns, suffix, colour in lines:
        style = {"color": colour, "label": name, "linewidth": 1.1}
        squared = columns["jitter2_truth" if suffix else "jitter2"]
        jitter.plot(time, np.sqrt(_rolling(squared, window)), **style)
        gaze = columns[f"gaze{suffix}"]
        across.plot(time, gaze[:, 0], **style)
        down.plot(time, gaze[:, 1], **style)
    for axis, text in ((jitter, "jitter, px"), (across, "gaze to the right, °"), (down, "gaze down, °")):
        axis.set_ylabel(text, fontsize=8)
        axis.set_xlim(0, time[-1])
    jitter.set_ylim(bottom=0)
    jitter.legend(fontsize=8, ncols=3, frameon=False, loc="upper right")
    jitter.set_title(title, fontsize=10)
    down.set_xlabel("seconds", fontsize=8)
    figure.savefig(path, dpi=110)
    return figure


def _rolling(values: np.ndarray, window: int) -> np.ndarray:
    """The mean over a window around every value, of what is finite there."""
    finite = np.isfinite(values)
    kernel = np.ones(window)
    total, count = (np.convolve(x, kernel, "same") for x in (np.where(finite, values, 0.0), finite.astype(float)))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(count > 0, total / count, np.nan)
