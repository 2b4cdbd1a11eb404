"""Gaze over time without its noise: eyes rest on a point, jump to the next and hardly ever do anything else.

A filter that averages over time makes jumps slow and eyes swim. This one averages only over neighbours in time that
look the same way: the bilateral filter (Tomasi and Manduchi, ICCV 1998) in one dimension, its range weights taken from
a median-filtered guide (cross bilateral: Eisemann and Durand, SIGGRAPH 2004), its range from the noise of the very
signal.
"""

from __future__ import annotations

import numpy as np

_TIME = 0.12  # seconds, of the time kernel
_RANGE = 2.0  # of the noise: how much apart two samples of one fixation may be
_ROUNDS = 2
_SURE = 0.5  # trust from which a sample counts as seen


def steady_fixations(
    angles: np.ndarray,  # (T, K)
    trust: np.ndarray,  # (T,) in 0..1
    fps: float = 25.0,
) -> np.ndarray:  # (T, K)
    """Angles with the noise within fixations averaged out, jumps between them kept, samples without trust filled in.

    Where nothing is trusted (a blink) the gaze goes from what was seen before to what is seen after; NaN everywhere
    if nothing is trusted at all. A signal without noise comes back as it is.
    """
    angles = np.asarray(angles, np.float64)
    trust = np.where(np.isfinite(angles).all(1), trust, 0.0)
    if not (trust > 0).any():
        return np.full_like(angles, np.nan)
    filled, weight = fill_untrusted(angles, trust), np.maximum(trust, 1e-3)
    noise = _noise(filled, trust)
    if noise == 0:
        return filled
    half = max(round(3 * _TIME * fps), 2)
    offsets = np.arange(-half, half + 1)
    in_time = np.exp(-0.5 * (offsets / (_TIME * fps)) ** 2)
    at = np.clip(np.arange(len(filled))[:, None] + offsets, 0, len(filled) - 1)
    inside = at == np.arange(len(filled))[:, None] + offsets
    out = _median(filled)
    for _ in range(_ROUNDS):
        apart = np.square(out[at] - out[:, None]).sum(-1)
        share = inside * in_time * weight[at] * np.exp(-0.5 * apart / (_RANGE * noise) ** 2)
        out = np.einsum("tn,tnk->tk", share, filled[at]) / share.sum(1, keepdims=True)
    return out


def fill_untrusted(angles: np.ndarray, trust: np.ndarray) -> np.ndarray:
    """Angles (T, K), pulled by missing trust (T,) towards the line between the nearest trusted samples.

    Before the first and after the last trusted sample that sample is held.
    """
    sure = np.flatnonzero(trust >= min(_SURE, float(trust.max())))
    between = np.stack([np.interp(np.arange(len(angles)), sure, angles[sure, k]) for k in range(angles.shape[1])], 1)
    share = np.clip(trust / max(_SURE, 1e-9), 0, 1)[:, None]
    return np.where(share > 0, between + share * (np.nan_to_num(angles) - between), between)


def _noise(angles: np.ndarray, trust: np.ndarray) -> float:
    """Standard deviation of white noise, one number for all columns.

    From second differences, which fixations and slow drifts leave at zero, by their median, which jumps do not move.
    """
    seen = (trust[:-2] > 0) & (trust[1:-1] > 0) & (trust[2:] > 0)
    bends = np.abs(np.diff(angles, 2, axis=0))[seen]
    return float(np.median(bends) / (0.6745 * np.sqrt(6))) if bends.size else 0.0


def _median(angles: np.ndarray) -> np.ndarray:
    """The running median over five samples, the ends repeated."""
    padded = np.pad(angles, ((2, 2), (0, 0)), mode="edge")
    return np.median(np.stack([padded[k : k + len(angles)] for k in range(5)]), axis=0)
