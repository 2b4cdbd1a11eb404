"""What is measured about one picture of a face against the truth.

Pictures are (H, W, 3), uint8 in 0..255 or float in 0..1, black where the matte is zero. Masks are (H, W) bool, the
pixels that count. Points are the face tracker's, (478, 2 or 3) in pixels of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

_SSIM_SIGMA, _SSIM_SIZE = 1.5, 11
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_GMSD_T = 170.0  # the paper's constant, for values in 0..255
_EYE_CORNERS = ((33, 133), (362, 263))  # of the person's right and left eye


@dataclass(frozen=True)
class EyeBoxSettings:
    """The box around an eye, by eye: the lids, their folds and the lashes are in it, the brow is not.

    Attributes:
        width, height: in distances of the eye's corners.
        least: pixels between the corners that a box is made for, however far the head is turned.
    """

    width: float = 1.6
    height: float = 1.0
    least: float = 8.0


def psnr(image: np.ndarray, truth: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio in dB, 10 log10(1 / mean squared error) of values in 0..1; infinite where equal.

    Args:
        image, truth: (H, W, 3). mask: (H, W) bool, the pixels that count; None for all.
    """
    image, truth = unit_pair(image, truth)
    if mask is not None:
        mask = _checked_mask(mask, truth)
        image, truth = image[mask], truth[mask]
    difference = (image - truth).ravel()
    error = float(np.dot(difference, difference)) / difference.size
    return float("inf") if error == 0 else float(-10 * np.log10(error))


def face_psnr(image: np.ndarray, truth: np.ndarray, truth_points: np.ndarray) -> float:
    """`psnr` inside the convex hull of the truth's 468 surface points, (478, 2 or 3) in pixels of the picture."""
    return psnr(image, truth, hull_mask(truth_points, (truth.shape[0], truth.shape[1])))


def eye_psnr(image: np.ndarray, truth: np.ndarray, truth_points: np.ndarray) -> float:
    """`psnr` inside the boxes around both eyes of the truth; see `eye_boxes`."""
    mask = np.zeros(truth.shape[:2], bool)
    for x0, y0, x1, y1 in eye_boxes(truth_points, (truth.shape[0], truth.shape[1])):
        mask[y0:y1, x0:x1] = True
    return psnr(image, truth, mask) if mask.any() else float("nan")


def eye_boxes(points: np.ndarray, size: tuple[int, int], settings: EyeBoxSettings = EyeBoxSettings()) -> np.ndarray:
    """(2, 4) int: x0 y0 x1 y1 (end exclusive) of the right and the left eye, inside a picture of `size` (H, W).

    Around the middle between the corners of the eye, as wide and as high as the settings say.
    """
    boxes = []
    for start, end in _EYE_CORNERS:
        a, b = np.asarray(points[start, :2], np.float64), np.asarray(points[end, :2], np.float64)
        half = max(float(np.linalg.norm(b - a)), settings.least) / 2 * np.array((settings.width, settings.height))
        low, high = np.floor((a + b) / 2 - half), np.ceil((a + b) / 2 + half) + 1
        boxes.append(np.concatenate([low, high]).clip(0, [size[1], size[0]] * 2))
    return np.array(boxes).astype(int)


def hull_mask(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool: the pixels inside the convex hull of the face surface. `points` (478, 2 or 3), `size` (H, W)."""
    hull = cv2.convexHull(np.ascontiguousarray(points[:468, :2], np.float32)).round().astype(np.int32)
    mask = np.zeros(size, np.uint8)
    cv2.fillConvexPoly(mask, hull, 1)
    return mask.astype(bool)


def ssim(image: np.ndarray, truth: np.ndarray) -> float:
    """Structural similarity, mean over pixels and colour channels (Wang, Bovik, Sheikh, Simoncelli 2004).

    Their settings: Gaussian window of 11x11 pixels and sigma 1.5, population covariance, K1 .01, K2 .03, range 1, the
    5 border pixels left out of the mean. The same number as scikit-image's `structural_similarity(..., sigma=1.5,
    gaussian_weights=True, use_sample_covariance=False, data_range=1)`, which the tests hold it to, many times faster.

    Args:
        image, truth: (H, W, 3), at least 11 pixels on each side.
    """
    x, y = unit_pair(image, truth)
    if min(x.shape[:2]) < _SSIM_SIZE:
        raise ValueError(f"pictures must be at least {_SSIM_SIZE} pixels wide and high, got {x.shape}")
    mean_x, mean_y = _window(x), _window(y)
    var_x, var_y = _window(x * x) - mean_x**2, _window(y * y) - mean_y**2
    covariance = _window(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    value = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    value /= (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    pad = _SSIM_SIZE // 2
    return float(value[pad:-pad, pad:-pad].mean(dtype=np.float64))


def ms_ssim(image: np.ndarray, truth: np.ndarray) -> float:
    """Multi-scale structural similarity (Wang, Simoncelli, Bovik 2003), by the library pytorch-msssim.

    Five scales with the paper's weights, window as in `ssim`, mean over colour channels.

    Args:
        image, truth: (H, W, 3), more than 160 pixels on each side.
    """
    import torch
    from pytorch_msssim import ms_ssim as library  # torch takes a second to load

    image, truth = unit_pair(image, truth)
    least = (_SSIM_SIZE - 1) * 2**4  # the window has to fit after four halvings
    if min(truth.shape[:2]) <= least:
        raise ValueError(f"pictures must be more than {least} pixels wide and high, got {truth.shape}")
    a, b = (torch.from_numpy(x).permute(2, 0, 1)[None] for x in (image, truth))
    with torch.no_grad():
        return float(library(a, b, data_range=1.0))


def gmsd(image: np.ndarray, truth: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Gradient magnitude similarity deviation (Xue, Zhang, Mou, Bovik 2014): 0 where equal, better the smaller.

    As in the paper: the luminance (BT.601, 0..255) averaged over blocks of 2x2 pixels, gradient magnitudes by Prewitt's
    filters over three, their similarity (2 a b + 170) / (a^2 + b^2 + 170), and its standard deviation over the picture
    (divided by N - 1, as the authors' code does; beyond the border lie zeros, as there).

    Args:
        image, truth: (H, W, 3), at least 4 pixels on each side.
        mask: (H, W) bool, the pixels that count, where a block counts when all of it does; None for all.
    """
    image, truth = unit_pair(image, truth)
    if min(truth.shape[:2]) < 4:
        raise ValueError(f"pictures must be at least 4 pixels wide and high, got {truth.shape}")
    a, b = _gradient_magnitude(_halved(luminance(image))), _gradient_magnitude(_halved(luminance(truth)))
    similarity = (2 * a * b + _GMSD_T) / (a * a + b * b + _GMSD_T)
    if mask is not None:
        similarity = similarity[_halved(_checked_mask(mask, truth).astype(np.float32)) > 0.99]
    return float(similarity.std(ddof=1, dtype=np.float64)) if similarity.size > 1 else float("nan")


def luminance(image: np.ndarray) -> np.ndarray:
    """(H, W) float32 in 0..255: the luma of ITU-R BT.601 of a picture (H, W, 3)."""
    return (_unit(image) @ np.array(_LUMA, np.float32)) * np.float32(255)


def _halved(values: np.ndarray) -> np.ndarray:
    """The means of blocks of 2x2; an odd last row or column is filled up with zeros."""
    values = np.pad(values, [(0, side % 2) for side in values.shape])
    return (values[::2, ::2] + values[1::2, ::2] + values[::2, 1::2] + values[1::2, 1::2]) / 4


def _gradient_magnitude(values: np.ndarray) -> np.ndarray:
    prewitt = np.array([[1, 0, -1]] * 3, np.float32) / 3
    sides = [cv2.filter2D(values, -1, kernel, borderType=cv2.BORDER_CONSTANT) for kernel in (prewitt, prewitt.T)]
    return np.hypot(*sides)


def _window(values: np.ndarray) -> np.ndarray:
    size = (_SSIM_SIZE, _SSIM_SIZE)
    return cv2.GaussianBlur(values, size, _SSIM_SIGMA, borderType=cv2.BORDER_REFLECT)


def unit_pair(image: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two pictures (H, W, 3) of one size as float32 in 0..1; a ValueError where they are none."""
    if image.shape != truth.shape or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"expected two pictures (H, W, 3) of one size, got {image.shape} and {truth.shape}")
    return _unit(image), _unit(truth)


def _unit(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    if image.dtype == np.uint8:
        return image.astype(np.float32) / np.float32(255)
    if not np.issubdtype(image.dtype, np.floating):
        raise ValueError(f"expected uint8 or floating point values in 0..1, got {image.dtype}")
    return image.astype(np.float32)


def _checked_mask(mask: np.ndarray, truth: np.ndarray) -> np.ndarray:
    if mask.shape != truth.shape[:2] or mask.dtype != bool or not mask.any():
        raise ValueError(f"expected a bool mask {truth.shape[:2]} with pixels in it, got {mask.shape} {mask.dtype}")
    return mask
