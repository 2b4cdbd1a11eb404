"""Detail: a rendered picture's weak local contrast raised, and how much of the source photo's own detail is shown.

The picture's luminance is taken apart into a Laplacian pyramid (Burt and Adelson, "The Laplacian pyramid as a compact
image code", IEEE Trans. Communications 1983), every band is multiplied by `1 + beta * attention * (1 + edge)`, and the
bands are added up again. Nothing is learned: attention is local contrast times the head's matte, edge is Sobel's, both
on fixed scales, so that a gain depends on the place and never on the frame around it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

# Gains and scales; luminance is in 0..1.
_BETA = (0.3, 0.5, 0.4)  # of each band, finest first, for strength 1; coarser bands stay as they are
_CORE = (0.008, 0.006, 0.004)  # coefficients below are taken for noise
_FLAT, _STRONG = 0.008, 0.03  # local contrast below which there is nothing to raise, and above which it is enough
_EDGE = 0.03  # gradient per pixel that counts as half an edge
_OVERSHOOT = 0.1  # of the local range, that a picture may leave it by
_INSIDE = 15  # pixels at half size: the window that the matte is eroded by
_BLUR = 5  # pixels at half size: the window of the local averages
_FADE_END = 28.0  # degrees from the source at which nothing of its detail is left
_LUMA = (0.299, 0.587, 0.114)
_SQUARE = np.ones((3, 3), np.uint8)
_BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


def source_detail_fade(source_transform: np.ndarray, transform: np.ndarray, end: float = _FADE_END) -> float:
    """How much of the source photo's own detail to show, 1 at its pose, 0 from `end` degrees on, smooth between.

    Detail of one view is wrong in another: wrinkles are shading. Args are head-to-camera transforms (3, 4).
    """
    if np.shape(source_transform) != (3, 4) or np.shape(transform) != (3, 4):
        raise ValueError(f"expected transforms (3, 4), got {np.shape(source_transform)} and {np.shape(transform)}")
    a, b = (np.asarray(t, np.float64)[:, :3] for t in (source_transform, transform))
    degrees = math.degrees(math.acos(min(max((float((a * b).sum()) - 1) / 2, -1.0), 1.0)))
    return math.cos(math.pi / 2 * min(degrees / end, 1.0)) ** 2


def face_matte(points: np.ndarray, size: tuple[int, int], holes: Sequence[np.ndarray] = ()) -> Tensor:
    """(1, 1, H, W) float32: 1 inside the convex hull of a face's projected points, 0 outside and in the holes.

    This is what `DetailEnhancer` may change; it keeps away from the borders by itself.

    Args:
        points: (N, 2) pixels of a picture of `size` (H, W).
        holes: contours (K, 2), such as the inner lips: what is seen between them is not the photo's.
    """
    mask, bits = np.zeros(size, np.uint8), 4

    def fixed(contour: np.ndarray) -> np.ndarray:
        contour = np.asarray(contour, np.float64)
        if contour.ndim != 2 or contour.shape[1] != 2 or not np.isfinite(contour).all():
            raise ValueError(f"expected finite points (N, 2), got {contour.shape}")
        return np.round(np.clip(contour, -1e5, 1e5) * 2**bits).astype(np.int32)

    cv2.fillConvexPoly(mask, cv2.convexHull(fixed(points)), 255, cv2.LINE_AA, bits)
    for hole in holes:
        cv2.fillPoly(mask, [fixed(hole)], 0, cv2.LINE_AA, bits)
    return torch.from_numpy(cv2.multiply(mask, 1 / 255, dtype=cv2.CV_32F))[None, None]


class LaplacianPyramid(nn.Module):
    """Burt and Adelson's pyramid of pictures (B, C, H, W) of any size and float type.

    `num_levels` counts the low-pass rest. A picture too small for them gets fewer. Borders are treated as OpenCV's
    `pyrDown` and `pyrUp` do, which `DetailEnhancer` uses on the CPU.
    """

    def __init__(self, num_levels: int = 4) -> None:
        if num_levels < 2:
            raise ValueError(f"num_levels must be at least 2, got {num_levels}")
        super().__init__()
        self.num_levels = num_levels
        row = torch.tensor(_BINOMIAL)
        self.register_buffer("kernel", torch.outer(row, row)[None, None], persistent=False)

    def build(self, image: Tensor) -> list[Tensor]:
        """The bands, finest first, then the low-pass rest."""
        levels = []
        for _ in range(levels_that_fit(image.shape[-2:], self.num_levels) - 1):
            smaller = self.reduce(image)
            levels.append(image - self.expand(smaller, image.shape[-2:]))
            image = smaller
        return [*levels, image]

    def collapse(self, levels: Sequence[Tensor]) -> Tensor:
        """The picture that `levels` were built from."""
        image = levels[-1]
        for band in reversed(levels[:-1]):
            image = band + self.expand(image, band.shape[-2:])
        return image

    def reduce(self, image: Tensor) -> Tensor:
        """Half the size, rounded up."""
        padded = F.pad(image, (2, 2, 2, 2), mode="reflect")
        return F.conv2d(_flat(padded), self.kernel.to(image), stride=2).unflatten(0, image.shape[:2])[:, :, 0]

    def expand(self, image: Tensor, size: Sequence[int]) -> Tensor:
        """Twice the size, or what is missing by one where that was odd."""
        padded = F.pad(F.pad(image, (1, 0, 1, 0), mode="reflect"), (0, 1, 0, 1), mode="replicate")
        wide = F.conv_transpose2d(_flat(padded), 4 * self.kernel.to(image), stride=2)
        return wide[:, :, 4 : 4 + size[0], 4 : 4 + size[1]].unflatten(0, image.shape[:2])[:, :, 0]


class SobelEdgeDetector(nn.Module):
    """How much of an edge every pixel is: (B, 1 or 3, H, W) in 0..1 to (B, 1, H, W) in 0..1.

    `m^2 / (m^2 + scale^2)` of Sobel's gradient magnitude m of the luminance, per pixel. The scale is fixed: the
    strongest edge of a frame says nothing about the others.
    """

    def __init__(self, scale: float = _EDGE) -> None:
        super().__init__()
        self.scale = scale
        kernel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
        self.register_buffer("kernels", torch.stack([kernel, kernel.T])[:, None], persistent=False)

    def gradient(self, image: Tensor) -> Tensor:
        """(B, 2, H, W): luminance per pixel, to the right and down."""
        image = _luma(image) if image.shape[1] == 3 else image
        return F.conv2d(F.pad(image, (1, 1, 1, 1), mode="reflect"), self.kernels.to(image))

    def forward(self, image: Tensor) -> Tensor:
        energy = self.gradient(image).square().sum(1, keepdim=True)
        return energy / (energy + self.scale**2)


class DetailEnhancer(nn.Module):
    """Raises the weak detail of a face: called on (B, 3, H, W) in 0..1, it returns the same shape, type and device.

    * Attention is small where there is no contrast (noise, JPEG blocks) and where there is enough of it already.
    * Coefficients of the size of noise are cored away before they are multiplied.
    * A pixel may leave the range of its 3x3 neighbours by a tenth of that range, so that edges get steeper, not haloed.
    * Only the luminance changes; nothing changes within about 6 pixels of the matte's border.

    float32 pictures on the CPU go through OpenCV, and only the box around the matte is worked on; others go through
    torch, which says the same. There is nothing to train: `state_dict()` is empty.

    Args:
        num_levels: of the pyramid, with the low-pass rest.
        enhancement_strength: 0 is the identity.
    """

    def __init__(self, num_levels: int = 4, enhancement_strength: float = 0.3) -> None:
        super().__init__()
        self.pyramid = LaplacianPyramid(num_levels)
        self.enhancement_strength = _checked_strength(enhancement_strength)
        self.edges = SobelEdgeDetector()

    def forward(self, image: Tensor, strength_multiplier: float = 1.0, matte: Tensor | None = None) -> Tensor:
        """The picture with more detail; `image` itself where the strength is 0.

        Args:
            image: (B, 3, H, W) in 0..1. strength_multiplier: on `enhancement_strength`.
            matte: (B, 1, H, W) in 0..1, where there is head; None for everywhere.
        """
        if image.ndim != 4 or image.shape[1] != 3 or not image.is_floating_point():
            raise ValueError(f"expected a floating point picture (B, 3, H, W), got {image.dtype} {tuple(image.shape)}")
        if matte is not None and matte.shape != (len(image), 1, *image.shape[2:]):
            raise ValueError(f"expected a matte {(len(image), 1, *image.shape[2:])}, got {tuple(matte.shape)}")
        strength = self.enhancement_strength * _checked_strength(strength_multiplier)
        if strength == 0 or levels_that_fit(image.shape[-2:], 2) < 2:
            return image
        if image.device.type == "cpu" and image.dtype == torch.float32 and not image.requires_grad:
            return self._with_opencv(image, strength, matte)
        return self._with_torch(image, strength, matte)

    def _with_torch(self, image: Tensor, strength: float, matte: Tensor | None) -> Tensor:
        """The reference."""
        wide = image if image.dtype in (torch.float32, torch.float64) else image.float()
        luma = _luma(wide)
        levels = self.pyramid.build(luma)
        bands = levels[:-1]
        at = min(1, len(bands) - 1)  # the level that attention is computed at
        gain = self._gain(bands[at], _gaussian(self.pyramid, luma, at))
        gains = [gain]
        while len(gains) < len(bands) - at:
            gains.append(self.pyramid.reduce(gains[-1]))
        if at:
            gains.insert(0, self.pyramid.expand(gain, luma.shape[-2:]))
        change = [_change(band, g, i, strength) for i, (band, g) in enumerate(zip(bands, gains, strict=True))]
        change = self.pyramid.collapse([*change, torch.zeros_like(levels[-1])])
        if matte is not None:
            inside = self._inside(matte.to(wide), at)
            change = change * (self.pyramid.expand(inside, luma.shape[-2:]) if at else inside)
        around = F.pad(luma, (1, 1, 1, 1), mode="replicate")
        high, low = F.max_pool2d(around, 3, 1), -F.max_pool2d(-around, 3, 1)
        room = _OVERSHOOT * (high - low)
        change = torch.minimum(torch.maximum(luma + change, low - room), high + room) - luma
        return (wide + change).clamp(0, 1).to(image.dtype)

    def _gain(self, band: Tensor, smaller: Tensor) -> Tensor:
        """attention * (1 + edge) at the size of a band, the matte's share of the attention apart."""
        half = _BLUR // 2
        contrast = F.pad(band.abs(), (half,) * 4, mode="reflect" if min(band.shape[-2:]) > half else "replicate")
        contrast = F.avg_pool2d(contrast, _BLUR, 1).square()
        attention = contrast / (contrast + _FLAT**2) * (_STRONG**2 / (contrast + _STRONG**2))
        return attention * (1 + self.edges(smaller))

    def _inside(self, matte: Tensor, at: int) -> Tensor:
        """The matte's share, which is taken of the bands' sum: a coarse band would carry it over the border."""
        matte = -F.max_pool2d(-_gaussian(self.pyramid, matte, at), _INSIDE, 1, _INSIDE // 2)
        return F.avg_pool2d(F.pad(matte, (_BLUR // 2,) * 4, mode="replicate"), _BLUR, 1)

    def _with_opencv(self, image: Tensor, strength: float, matte: Tensor | None) -> Tensor:
        out = image.detach().clone()
        cell = 2 ** (levels_that_fit(image.shape[-2:], self.pyramid.num_levels) - 1)
        for i, picture in enumerate(out):
            values = picture.numpy().transpose(1, 2, 0)
            where = None if matte is None else matte[i, 0].detach().to(torch.float32).numpy()
            box = (slice(None), slice(None)) if where is None else _box(where, cell)
            if box is None:
                continue
            part = values[box]
            own = np.ascontiguousarray(part)
            luma = cv2.cvtColor(own, cv2.COLOR_RGB2GRAY)
            change = self._change_of(luma, strength, None if where is None else np.ascontiguousarray(where[box]))
            change = cv2.cvtColor(change, cv2.COLOR_GRAY2RGB)
            cv2.add(own, change, dst=change)
            cv2.threshold(change, 0, 0, cv2.THRESH_TOZERO, dst=change)
            cv2.threshold(change, 1, 0, cv2.THRESH_TRUNC, dst=change)
            part[:] = change
        return out

    def _change_of(self, luma: np.ndarray, strength: float, matte: np.ndarray | None) -> np.ndarray:
        """What is added to the luminance (H, W): the twin of `_with_torch`."""
        gaussians, bands = [luma], []
        for _ in range(levels_that_fit(luma.shape, self.pyramid.num_levels) - 1):
            gaussians.append(cv2.pyrDown(gaussians[-1]))
            bands.append(cv2.subtract(gaussians[-2], _up(gaussians[-1], gaussians[-2].shape)))
        at = min(1, len(bands) - 1)
        gain = self._gain_of(bands[at], gaussians[at])
        gains = [gain]
        while len(gains) < len(bands) - at:
            gains.append(cv2.pyrDown(gains[-1]))
        if at:
            gains.insert(0, _up(gain, luma.shape))
        change = None
        for i in reversed(range(len(bands))):
            here = _change(bands[i], gains[i], i, strength)
            change = here if change is None else here + _up(change, here.shape)
        if matte is not None:
            change *= _inside_of(matte, at)
        high, low = cv2.dilate(luma, _SQUARE), cv2.erode(luma, _SQUARE)
        room = cv2.subtract(high, low)
        room *= _OVERSHOOT
        change += luma
        cv2.min(change, cv2.add(high, room), dst=change)
        cv2.max(change, cv2.subtract(low, room), dst=change)
        change -= luma
        return change

    def _gain_of(self, band: np.ndarray, smaller: np.ndarray) -> np.ndarray:
        contrast = cv2.blur(np.abs(band), (_BLUR, _BLUR))
        contrast *= contrast
        gain = contrast / (contrast + _FLAT**2)
        gain *= _STRONG**2 / (contrast + _STRONG**2)
        right, down = (cv2.Sobel(smaller, cv2.CV_32F, *axis, scale=1 / 8) for axis in ((1, 0), (0, 1)))
        energy = right * right
        energy += down * down
        energy /= energy + self.edges.scale**2
        energy += 1
        gain *= energy
        return gain


def levels_that_fit(size: Sequence[int], wanted: int) -> int:
    """How many levels of a pyramid a picture (H, W) has room for: the smallest is at least 4 pixels wide and high."""
    short, count = min(size), 1
    while count < wanted and (short + 1) // 2 >= 4:
        short, count = (short + 1) // 2, count + 1
    return count


def _change(band, gain, level: int, strength: float):
    """What a band gains: beta * gain * cored band. Of tensors as of arrays."""
    if level >= len(_BETA):
        return 0 * band
    power = band * band
    return power / (power + _CORE[level] ** 2) * band * gain * (strength * _BETA[level])


def _inside_of(matte: np.ndarray, at: int) -> np.ndarray:
    inside = cv2.pyrDown(matte) if at else matte
    inside = cv2.erode(inside, np.ones((_INSIDE, _INSIDE), np.uint8))
    inside = cv2.blur(inside, (_BLUR, _BLUR), borderType=cv2.BORDER_REPLICATE)
    return _up(inside, matte.shape) if at else inside


def _box(matte: np.ndarray, cell: int) -> tuple[slice, slice] | None:
    """The box of a matte with room for the pyramid's reach; None where it is empty.

    It begins on the coarsest level's grid, so that the pyramid's phase is that of the whole picture.
    """
    some = matte[::4, ::4] > 0  # what falls between them is nearer to the border than anything that is changed
    rows, columns = (4 * np.flatnonzero(some.any(axis)) for axis in (1, 0))
    if not len(rows):
        return None
    return tuple(slice(max(at[0] // cell - 3, 0) * cell, (at[-1] // cell + 4) * cell) for at in (rows, columns))


def _up(image: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    return cv2.pyrUp(image, dstsize=(shape[1], shape[0]))


def _gaussian(pyramid: LaplacianPyramid, image: Tensor, level: int) -> Tensor:
    for _ in range(level):
        image = pyramid.reduce(image)
    return image


def _luma(image: Tensor) -> Tensor:
    red, green, blue = image.split(1, 1)
    return _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue


def _flat(image: Tensor) -> Tensor:
    return image.reshape(-1, 1, *image.shape[-2:])


def _checked_strength(value: float) -> float:
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"a strength must be finite and at least 0, got {value}")
    return float(value)
