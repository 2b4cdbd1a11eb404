"""Motions over time as one SVG: where eyes look, lids, lips and the head's turn, of the driver and of the result."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from core.libs.numeric import runs
from core.output.figure import as_svg, new_figure
from core.quality.series import Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DRIVER, _RESULT, _UNSEEN = "#c44e52", "#4c72b0", "#8888"
_PANELS: tuple[tuple[str, Callable[[Series], np.ndarray]], ...] = (
    ("gaze to the right, °", lambda s: s.gaze[:, 0]),
    ("gaze down, °", lambda s: s.gaze[:, 1]),
    ("eyes open", lambda s: s.lids),
    ("mouth open", lambda s: s.lips),
    ("yaw, °", lambda s: s.angles[:, 0]),
    ("pitch, °", lambda s: s.angles[:, 1]),
)


def plot_series(driver: Series, result: Series, unseen: np.ndarray) -> str:
    """Both motions, one panel a measure; frames (T,) where the driver's face is not seen are shaded."""
    panels = [(text, of) for text, of in _PANELS if np.isfinite(of(result)).any()]
    figure, axes = new_figure(1, len(panels), 10, 1.5)
    for axis, (text, of) in zip(axes[:, 0], panels, strict=True):
        for name, motion, colour in (("driver", driver, _DRIVER), ("result", result, _RESULT)):
            axis.plot(*thinned(motion.seconds, of(motion)), color=colour, linewidth=1.1, label=name)
        _shade(axis, result.seconds, unseen)
        axis.set_ylabel(text, fontsize=8)
        axis.margins(x=0)
    axes[0, 0].legend(fontsize=8, ncols=2, frameon=False, loc="lower right", bbox_to_anchor=(1, 1))
    axes[-1, 0].set_xlabel("seconds", fontsize=8)
    return as_svg(figure)


def thinned(seconds: np.ndarray, values: np.ndarray, points: int = 1500) -> tuple[np.ndarray, np.ndarray]:
    """A line (T,) with fewer points that looks the same: the lowest and the highest value of every piece of it.

    A clip of half an hour has fifty thousand.
    """
    if len(values) <= points:
        return seconds, values
    pieces = np.array_split(np.arange(len(values)), points // 2)
    kept = [sorted((p[np.argmin(values[p])], p[np.argmax(values[p])])) for p in pieces]
    chosen = np.concatenate(kept)
    return seconds[chosen], values[chosen]


def _shade(axis: Axes, seconds: np.ndarray, unseen: np.ndarray) -> None:
    """Grey where frames are unseen."""
    for first, after in runs(unseen):
        axis.axvspan(seconds[first], seconds[min(after, len(seconds) - 1)], color=_UNSEEN, linewidth=0)
