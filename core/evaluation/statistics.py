"""From values of frames to gains with an interval: what each metric makes of its columns, and the bootstrap.

A run leaves columns, one value (or vector) for each frame, NaN where a frame was not looked at. A metric is a statistic
of one or two columns. Two runs of one clip are compared frame by frame: whenever frames are drawn, the same ones are
drawn from both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

Columns = Mapping[str, np.ndarray]  # (T,) or (T, D) each


@dataclass(frozen=True)
class BootstrapSettings:
    """How intervals are made.

    Attributes:
        resamples: draws, as usual for percentile intervals (Efron and Tibshirani 1993). confidence: of the interval.
        block_seconds: that are drawn together, because within them frames resemble one another. By eye.
        least_blocks: of a clip, so that a short one can be drawn in more than one way.
    """

    resamples: int = 1000
    confidence: float = 0.95
    block_seconds: float = 1.0
    least_blocks: int = 8

    def block(self, frames: int, fps: float) -> int:
        """Frames that are drawn together of a clip."""
        return max(min(round(self.block_seconds * fps), frames // self.least_blocks), 1)


@dataclass(frozen=True)
class Metric:
    """A figure of the table.

    Attributes:
        key, label, unit: what it is called. digits: of its values in the table.
        goal: which way is better: up, down, or towards zero or one.
        kind: what becomes of the columns x (and y) of the frames. mean: of x. rms: the root of the mean of x less that
            of y. correlation: Pearson's of x and y, vectors summed. amplitude: standard deviation of x over that of y.
            ratio: sum of x over sum of y. median ratio: median of x over median of y.
        columns: the names of x and, where there is one, y.
        truth: whether it needs the true pictures, which only self-reenactment has.
    """

    key: str
    label: str
    unit: str
    digits: int
    goal: Literal["up", "down", "zero", "one"]
    kind: Literal["mean", "rms", "correlation", "amplitude", "ratio", "median ratio"]
    columns: tuple[str, ...]
    truth: bool = False


METRICS = (
    Metric("psnr", "PSNR", "dB", 2, "up", "mean", ("psnr",), True),
    Metric("face_psnr", "PSNR of the face", "dB", 2, "up", "mean", ("face_psnr",), True),
    Metric("eye_psnr", "PSNR of the eyes", "dB", 2, "up", "mean", ("eye_psnr",), True),
    Metric("ssim", "SSIM", "", 4, "up", "mean", ("ssim",), True),
    Metric("ms_ssim", "MS-SSIM", "", 4, "up", "mean", ("ms_ssim",), True),
    Metric("lpips", "LPIPS", "", 4, "down", "mean", ("lpips",), True),
    Metric("gmsd", "GMSD", "", 4, "down", "mean", ("gmsd",), True),
    Metric("stability", "temporal stability", "", 4, "up", "mean", ("stability",), True),
    Metric("jitter", "landmark jitter above the truth's", "px", 3, "zero", "rms", ("jitter2", "jitter2_truth")),
    Metric("detail", "detail fidelity", "", 4, "up", "mean", ("detail",), True),
    Metric("detail_energy", "detail energy / truth's", "", 3, "one", "mean", ("detail_energy",), True),
    Metric("detail_correlation", "detail correlation", "", 4, "up", "mean", ("detail_correlation",), True),
    Metric("gradient", "gradient energy / truth's", "", 3, "one", "ratio", ("gradient", "gradient_truth"), True),
    Metric("akd", "AKD", "px", 3, "down", "mean", ("akd",), True),
    Metric("expression", "expression error", "% of eye distance", 3, "down", "mean", ("expression_error",)),
    Metric("mouth", "mouth, correlation", "", 3, "up", "correlation", ("mouth", "mouth_truth")),
    Metric("lids", "lids, correlation", "", 3, "up", "correlation", ("lids", "lids_truth")),
    Metric("brows", "brows, correlation", "", 3, "up", "correlation", ("brows", "brows_truth")),
    Metric("mouth_amplitude", "mouth, amplitude / driver's", "", 3, "one", "amplitude", ("mouth", "mouth_truth")),
    Metric("lids_amplitude", "lids, amplitude / driver's", "", 3, "one", "amplitude", ("lids", "lids_truth")),
    Metric("gaze", "gaze error", "degrees", 2, "down", "mean", ("gaze_error",)),
    Metric("gaze_correlation", "gaze, correlation", "", 3, "up", "correlation", ("gaze", "gaze_truth")),
    Metric("pose", "pose error", "degrees", 2, "down", "mean", ("pose_error",)),
    Metric("csim", "CSIM", "", 3, "up", "mean", ("csim",)),
    Metric("found", "frames with a face", "", 3, "up", "mean", ("found",)),
    Metric("speed", "frames per second / off's", "", 3, "up", "median ratio", ("ms_off", "ms")),
)


def statistic(metric: Metric, columns: Columns, index: np.ndarray | None = None) -> np.ndarray:
    """The value of a metric.

    Args:
        columns: at least the metric's. index: (B, T) frames to take instead of all, B times; None for all, once.
    Returns:
        (B,), or () without an index; NaN where no frame counts or the column is not there.
    """
    if any(name not in columns for name in metric.columns):
        return np.full(() if index is None else index.shape[0], np.nan)
    values = [np.asarray(columns[name], np.float64) for name in metric.columns]
    values = [x[:, None] if x.ndim == 1 else x for x in values]
    both = np.all([np.isfinite(x).all(1) for x in values], axis=0)  # (T,)
    weight = both.astype(np.float64) if index is None else both[index].astype(np.float64)
    values = [np.where(both[:, None], x, 0.0) for x in values]
    taken = values if index is None else [x[index] for x in values]  # (..., T, D)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _KINDS[metric.kind](weight, *taken)


def _mean(weight: np.ndarray, x: np.ndarray) -> np.ndarray:
    return (weight * x[..., 0]).sum(-1) / weight.sum(-1)


def _rms(weight: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.sqrt(_mean(weight, x)) - np.sqrt(_mean(weight, y))


def _ratio(weight: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (weight * x[..., 0]).sum(-1) / (weight * y[..., 0]).sum(-1)


def _median_ratio(weight: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    medians = [np.full(weight.shape[:-1], np.nan) for _ in range(2)]
    some = weight.any(-1)  # nanmedian warns of rows without a value
    for median, values in zip(medians, (x, y), strict=True):
        median[some] = np.nanmedian(np.where(weight > 0, values[..., 0], np.nan)[some], axis=-1)
    return medians[0] / medians[1]


def _deviations(weight: np.ndarray, x: np.ndarray) -> np.ndarray:
    mean = (weight[..., None] * x).sum(-2, keepdims=True) / weight.sum(-1)[..., None, None]
    return (x - mean) * weight[..., None]


def _correlation(weight: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    a, b = _deviations(weight, x), _deviations(weight, y)
    return (a * b).sum((-2, -1)) / np.sqrt((a * a).sum((-2, -1)) * (b * b).sum((-2, -1)))


def _amplitude(weight: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    a, b = _deviations(weight, x), _deviations(weight, y)
    return np.sqrt((a * a).sum((-2, -1)) / (b * b).sum((-2, -1)))


_KINDS: dict[str, Callable[..., np.ndarray]] = {
    **{"mean": _mean, "rms": _rms, "ratio": _ratio, "median ratio": _median_ratio},
    **{"correlation": _correlation, "amplitude": _amplitude},
}


T = TypeVar("T", float, np.ndarray)


def gain(metric: Metric, base: T, value: T) -> T:
    """By how much a value is better than the base's, in the metric's unit; negative where it is worse."""
    if metric.goal in ("zero", "one"):
        best = float(metric.goal == "one")
        return np.abs(base - best) - np.abs(value - best)
    return value - base if metric.goal == "up" else base - value


@dataclass(frozen=True)
class Gain:
    """What a variant gains over another: means over clips, and the bootstrap's interval of the gain.

    `verdict`: better or worse, none where the interval holds zero, and not measured.
    """

    base: float
    value: float
    gain: float
    low: float
    high: float
    clips: int

    @property
    def verdict(self) -> str:
        if not np.isfinite([self.gain, self.low, self.high]).all():
            return "not measured"
        if self.low <= 0 <= self.high:
            return "none"
        return "better" if self.gain > 0 else "worse"

    @property
    def relative(self) -> float:
        """The gain over the size of the base."""
        return self.gain / abs(self.base) if self.base else float("nan")


def block_resamples(frames: int, block: int, count: int, random: np.random.Generator) -> np.ndarray:
    """(count, frames) int: frames drawn with replacement in runs of `block`, around the end of the clip.

    The circular block bootstrap (Politis and Romano 1992): neighbours in a clip resemble one another, and drawing them
    one by one would make the interval far too small.
    """
    runs = -(-frames // block)
    starts = random.integers(0, frames, (count, runs))
    return ((starts[..., None] + np.arange(block)) % frames).reshape(count, -1)[:, :frames]


@dataclass(frozen=True)
class ClipGain:
    """What a variant gains in one clip: the values, the gain, and the gains (B,) of the frames drawn again B times."""

    base: float
    value: float
    gain: float
    draws: np.ndarray


def clip_gain(
    metric: Metric,
    base: Columns,
    value: Columns,
    block: int,
    seed: Sequence[int] = (0,),
    count: int = BootstrapSettings.resamples,
) -> ClipGain | None:
    """The gain in one clip, frames drawn in runs of `block`; None where it was not measured.

    A frame that one of both runs could not measure counts for neither.
    """
    base, value = _shared(metric, base, value)
    numbers = float(statistic(metric, base)), float(statistic(metric, value))
    if not np.isfinite(numbers).all():
        return None
    frames = len(next(iter(base.values())))
    index = block_resamples(frames, block, count, np.random.default_rng(tuple(seed)))
    drawn = gain(metric, statistic(metric, base, index), statistic(metric, value, index))
    return ClipGain(*numbers, float(gain(metric, *numbers)), drawn)


def mean_gain(
    clips: Sequence[ClipGain | None], seed: int = 0, settings: BootstrapSettings = BootstrapSettings()
) -> Gain:
    """The mean over the clips that were measured, with its bootstrap interval over clips and frames.

    The percentile interval of Efron (1979): clips are drawn with replacement, in each of them a draw of its
    frames.
    """
    measured = [clip for clip in clips if clip is not None]
    if not measured:
        nan = float("nan")
        return Gain(nan, nan, nan, nan, nan, clips=0)
    base, value, gained = (float(np.mean([getattr(c, name) for c in measured])) for name in ("base", "value", "gain"))
    draws = np.stack([clip.draws for clip in measured])  # (C, B)
    low, high = _interval(draws, np.random.default_rng((seed, len(measured), 1)), settings.confidence)
    return Gain(base, value, gained, low, high, len(measured))


def _shared(metric: Metric, base: Columns, value: Columns) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The metric's columns of both, NaN in every frame that either of them lacks."""
    names = [name for name in metric.columns if name in base and name in value]
    pair = [{name: np.array(run[name], np.float64) for name in names} for run in (base, value)]
    both = np.all([np.isfinite(x.reshape(len(x), -1)).all(1) for run in pair for x in run.values()], axis=0)
    for run in pair:
        for x in run.values():
            x[~both] = np.nan
    return pair[0], pair[1]


def _interval(draws: np.ndarray, random: np.random.Generator, confidence: float) -> tuple[float, float]:
    """The interval of the mean over clips of their draws (C, B)."""
    clips, count = draws.shape
    chosen = random.integers(0, clips, (count, clips))
    means = draws[chosen, random.integers(0, count, (count, clips))].mean(1) if clips > 1 else draws[0]
    means = means[np.isfinite(means)]
    if not len(means):
        return float("nan"), float("nan")
    low, high = np.percentile(means, [50 * (1 - confidence), 50 * (1 + confidence)])
    return float(low), float(high)
