"""Gaze over time without its noise: eyes rest on a point, jump to the next and hardly ever do anything else.

A filter that averages over time makes jumps slow and eyes swim. This one averages only over neighbours in time that
look the same way: the bilateral filter (Tomasi and Manduchi, ICCV 1998) in one dimension, its range weights taken from
a median-filtered guide (cross bilateral: Eisemann and Durand, SIGGRAPH 2004), its range from the noise of the very
signal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.libs.numeric import blocks, interpolate_gaps


@dataclass(frozen=True)
class FixationSettings:
    """Of the bilateral filter. By eye, on the development clips.

    Attributes:
        time: seconds, standard deviation of the time kernel.
        range: standard deviation of the range kernel, in units of the noise.
        guide: samples of the running median that is the first guide.
        rounds: of filtering, each with the last one's result for its guide.
        certain: confidence, 0 to 1, from which a sample is taken as it was measured.
    """

    time: float = 0.12
    range: float = 2.0
    guide: int = 5
    rounds: int = 2
    certain: float = 0.5


def steady_fixations(
    angles: np.ndarray,  # (T, K)
    confidence: np.ndarray,  # (T,) in 0..1
    fps: float = 25.0,
    settings: FixationSettings = FixationSettings(),
) -> np.ndarray:  # (T, K)
    """Angles with the noise within fixations averaged out, jumps between them kept, samples without
    confidence filled in.

    Where there is no confidence (a blink) the gaze goes in a straight line from the last certain sample to the next;
    NaN everywhere if there is none at all. A signal without noise comes back as it is.
    """
    angles = np.asarray(angles, np.float64)
    confidence = np.where(np.isfinite(angles).all(1), confidence, 0.0)
    if not (confidence > 0).any():
        return np.full_like(angles, np.nan)
    filled, weight = _filled(angles, confidence, settings), np.maximum(confidence, 1e-3)
    noise = _noise(filled, confidence)
    if noise == 0:
        return filled
    half = max(round(3 * settings.time * fps), 2)
    offsets = np.arange(-half, half + 1)
    in_time = np.exp(-0.5 * (offsets / (settings.time * fps)) ** 2)
    out = running_median(filled, settings.guide)
    for _ in range(settings.rounds):
        guide, out = out, np.empty_like(out)
        for part in blocks(len(filled)):
            wanted = np.arange(part.start, part.stop)[:, None] + offsets
            at = np.clip(wanted, 0, len(filled) - 1)
            distance = np.square(guide[at] - guide[part, None]).sum(-1)
            kernel = (at == wanted) * in_time * weight[at] * np.exp(-0.5 * distance / (settings.range * noise) ** 2)
            out[part] = np.einsum("tn,tnk->tk", kernel, filled[at]) / kernel.sum(1, keepdims=True)
    return out


def running_median(values: np.ndarray, size: int) -> np.ndarray:
    """The medians (T, K) over an odd number of samples around each (T, K), the ends repeated."""
    padded = np.pad(values, ((size // 2,) * 2, (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, size, axis=0)
    return np.partition(windows, size // 2, axis=-1)[..., size // 2].copy()


def _filled(angles: np.ndarray, confidence: np.ndarray, settings: FixationSettings) -> np.ndarray:
    """Angles (T, K), pulled by missing confidence (T,) towards the line between the nearest certain samples.

    Before the first and after the last certain sample that sample is held.
    """
    certain = np.flatnonzero(confidence >= min(settings.certain, float(confidence.max())))
    between = interpolate_gaps(angles, certain)
    share = np.clip(confidence / max(settings.certain, 1e-9), 0, 1)[:, None]
    return np.where(share > 0, between + share * (np.nan_to_num(angles) - between), between)


def _noise(angles: np.ndarray, confidence: np.ndarray) -> float:
    """Standard deviation of white noise, one number for all columns.

    From second differences, which fixations and slow drifts leave at zero, by their median, which jumps do not move.
    """
    valid = (confidence[:-2] > 0) & (confidence[1:-1] > 0) & (confidence[2:] > 0)
    bends = np.abs(np.diff(angles, 2, axis=0))[valid]
    return float(np.median(bends) / (0.6745 * np.sqrt(6))) if bends.size else 0.0
