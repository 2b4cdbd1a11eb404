"""What is measured about the fine detail of a face: how much of it there is, and whether it is the truth's."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from core.evaluation.pictures import hull_mask, luminance


@dataclass(frozen=True)
class Detail:
    """How the bands of a picture agree with the truth's.

    Attributes:
        energy: geometric mean over bands of the ratio of their energies, 1 where there is as much detail.
        correlation: mean over bands of their correlation, -1..1.
        fidelity: mean over bands of 2 <x, y> / (<x, x> + <y, y>), which is 1 where the bands are equal and falls with
            both of the others: too little detail, too much of it, and detail in the wrong place.
    """

    energy: float
    correlation: float
    fidelity: float


def detail(image: np.ndarray, truth: np.ndarray, mask: np.ndarray, bands: int = 3) -> Detail:
    """The agreement of the bands of two pictures' Laplacian pyramids (Burt and Adelson 1983).

    On the luminance, on the finest bands. Bands have no mean of their own, so that their correlation is a
    cosine. Energies that are zero in the truth give NaN.

    Args:
        image, truth: (H, W, 3), uint8 in 0..255 or float in 0..1.
        mask: (H, W) bool, the pixels that count, such as `face_mask`.
        bands: how many, the finest first; by default structures of about 2, 4 and 8 pixels.
    """
    values = []
    for x, y, inside in zip(_bands(image, bands), _bands(truth, bands), _masks(mask, bands), strict=True):
        x, y = x[inside].astype(np.float64), y[inside].astype(np.float64)
        values.append((x @ x, y @ y, x @ y))
    xx, yy, xy = np.array(values).T
    with np.errstate(divide="ignore", invalid="ignore"):
        energy = np.exp(np.log(xx / yy).mean())
        return Detail(float(energy), float((xy / np.sqrt(xx * yy)).mean()), float((2 * xy / (xx + yy)).mean()))


def gradient_energies(image: np.ndarray, mask: np.ndarray) -> float:
    """The sum over a mask (H, W) of the squared gradient of the luminance, by Sobel's filters over eight.

    The ratio of two pictures' says how much sharper one is than the other.
    """
    values = luminance(image)
    x, y = (cv2.Sobel(values, cv2.CV_32F, dx, 1 - dx, ksize=3, scale=1 / 8) for dx in (1, 0))
    return float((x * x + y * y)[mask].sum(dtype=np.float64))


def face_mask(truth_points: np.ndarray, size: tuple[int, int], inset: int = 6) -> np.ndarray:
    """(H, W) bool: the hull of the truth's face, `inset` pixels smaller all around.

    Without its border: the step to the background would outweigh every wrinkle.
    """
    mask = hull_mask(truth_points, size).astype(np.uint8)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * inset + 1, 2 * inset + 1))
    return cv2.erode(mask, kernel, borderValue=0).astype(bool)


def _bands(image: np.ndarray, count: int) -> list[np.ndarray]:
    bands, values = [], luminance(image)
    for _ in range(count):
        smaller = cv2.pyrDown(values)
        bands.append(values - cv2.pyrUp(smaller, dstsize=values.shape[::-1]))
        values = smaller
    return bands


def _masks(mask: np.ndarray, count: int) -> list[np.ndarray]:
    masks = [mask]
    for _ in range(count - 1):
        masks.append(cv2.pyrDown(masks[-1].astype(np.float32)) > 0.5)
    return masks
