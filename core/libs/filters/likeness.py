"""Noise taken out of what was read off pictures by the pictures themselves: those that look alike say alike.

Averaging over time helps against noise that is new in every frame. What a tracker gets wrong in a small, blurred or
strongly compressed picture lasts for many frames, and comes out otherwise where the same look comes again. So values
are taken for a function of the looks that changes slowly with them, seen through noise: a Gaussian process (Rasmussen
and Williams, Gaussian Processes for Machine Learning, 2006, chapter 2) whose covariance falls with the difference of
two looks. Nothing is learned beforehand: a clip's own frames are all there is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from core.libs.filters.windows import WindowSettings, windows


@dataclass(frozen=True)
class LikenessSettings:
    """Of `by_likeness`. Chosen on the six development clips made poor (`core.evaluation.conditions`).

    Attributes:
        noise: variance of the noise over that of what the looks say. reach: squared difference of two looks at which
            they have 1/e of their covariance, over the median one.
        least: frames from which on there is something to compare. own: how much of a look's contrast is divided out as
            its own, the rest as the clip's.
        windows: of a long series; time and memory grow with the square of their length.
    """

    noise: float = 0.1
    reach: float = 3.0
    least: int = 16
    own: float = 0.5
    windows: WindowSettings = field(default_factory=lambda: WindowSettings(600, 100))


def by_likeness(
    values: np.ndarray,
    looks: np.ndarray,
    settings: LikenessSettings = LikenessSettings(),
    noise: np.ndarray | None = None,
) -> np.ndarray:  # (T, D)
    """Values (T, D) as the looks of their frames have them on the mean.

    Args:
        looks: (T, K, H, W) grey levels of K small pictures of a frame.
        noise: (T,) variance of each frame's noise over the usual one; all alike where it is left out.
    """
    spread = np.ones(len(values)) if noise is None else noise
    out = np.array(values, np.float64)
    for part in windows(len(values), settings.windows):
        found = _window(np.asarray(values[part], np.float64), looks[part], settings.noise * spread[part], settings)
        shared = settings.windows.overlap if part.start else 0
        fade = ((np.arange(shared) + 0.5) / max(shared, 1))[:, None]
        found[:shared] = fade * found[:shared] + (1 - fade) * out[part][:shared]
        out[part] = found
    return out


def _window(values: np.ndarray, looks: np.ndarray, noise: np.ndarray, settings: LikenessSettings) -> np.ndarray:
    if len(values) < settings.least:
        return values
    features = _features(looks, settings)
    square = (features**2).sum(1)
    apart = np.maximum(square[:, None] + square - 2 * features @ features.T, 0)
    usual = np.median(apart[np.triu_indices(len(apart), 1)])
    if usual <= 0:
        return values
    covariance = np.exp(-apart / (settings.reach * usual))
    mean = values.mean(0)
    return mean + covariance @ np.linalg.solve(covariance + np.diag(noise), values - mean)


def _features(looks: np.ndarray, settings: LikenessSettings) -> np.ndarray:  # (T, K H W)
    """Small pictures without their brightness and, in part, their contrast; each counts by its mean pixel."""
    pixels = looks.reshape(*looks.shape[:2], -1).astype(np.float64)
    pixels = pixels - pixels.mean(-1, keepdims=True)
    contrast = pixels.std(-1, keepdims=True)
    usual = np.median(contrast, 0)
    scale = settings.own * contrast + (1 - settings.own) * usual
    return (pixels / np.maximum(scale, 1e-6)).reshape(len(looks), -1) / np.sqrt(pixels.shape[-1])
