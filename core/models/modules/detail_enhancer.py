"""Detail: a rendered picture's weak local contrast raised, and how much of the source photo's own detail is shown.

The picture's luminance is taken apart into a Laplacian pyramid (Burt and Adelson, "The Laplacian pyramid as a compact
image code", IEEE Trans. Communications 1983), every band is raised, and the bands are added up again:

    enhanced[i] = band[i] * (1 + beta * attention[i] * (1 + edge[i]))

Nothing is learned: attention is local contrast on fixed scales, edge is Sobel's, both in 0..1 and both measured in the
band at hand, so that a gain depends on the place and never on the frame around it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from core.models.modules.detail_kernels import enhance_box, level_sizes

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_WINDOW = 5  # pixels: the window of the local averages, in the band at hand; the compiled kernel's too
_BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)  # Burt and Adelson's kernel, a = 0.375


@dataclass(frozen=True)
class DetailEnhancerSettings:
    """Of `DetailEnhancer` beside its arguments. Luminance is in 0..1.

    `flat`, `strong` and `noise` are each a value in the finest band and its ratio from a band to the next coarser one.
    Fitted on the six development clips by `python -m benchmarks.detail`: as much of the truth's gradient energy as
    costs no clip more than 0.1 dB. The others are by eye.

    Attributes:
        flat: local contrast below which there is nothing to raise.
        strong: local contrast above which there is enough of it.
        noise: coefficients below are left alone: noise, blocks of JPEG.
        edge: gradient per pixel that counts as half an edge.
        overshoot: of the local range, that a picture may leave it by.
        erosion: pixels at half size: the window that the matte is eroded by.
        fade_end: degrees from the source's pose at which nothing of the photo's detail is left.
        box_margin: cells of the coarsest level around a matte, so that borders of the box are not felt inside it.
    """

    flat: tuple[float, float] = (0.012, 0.8)
    strong: tuple[float, float] = (0.017, 0.6)
    noise: tuple[float, float] = (0.02, 0.8)
    edge: float = 0.03
    overshoot: float = 0.1
    erosion: int = 15
    fade_end: float = 28.0
    box_margin: int = 2


def source_detail_fade(
    source_transform: np.ndarray,  # (3, 4) head to camera
    transform: np.ndarray,  # (3, 4)
    end: float = DetailEnhancerSettings.fade_end,  # degrees
) -> float:
    """How much of the source photo's own detail to show, 1 at its pose, 0 from `end` degrees on, smooth between.

    Detail of one view is wrong in another: wrinkles are shading. ValueError for other shapes.
    """
    if np.shape(source_transform) != (3, 4) or np.shape(transform) != (3, 4):
        raise ValueError(f"expected transforms (3, 4), got {np.shape(source_transform)} and {np.shape(transform)}")
    a, b = (np.asarray(t, np.float64)[:, :3] for t in (source_transform, transform))
    degrees = math.degrees(math.acos(min(max((float((a * b).sum()) - 1) / 2, -1.0), 1.0)))
    return math.cos(math.pi / 2 * min(degrees / end, 1.0)) ** 2


def face_matte(points: np.ndarray, size: tuple[int, int], holes: Sequence[np.ndarray] = ()) -> Tensor:
    """`face_mask` as a matte (1, 1, H, W) float32 in 0..1, where `DetailEnhancer` may change a picture.

    It is not eroded: `DetailEnhancer` keeps away from its borders.
    """
    return as_matte(face_mask(points, size, holes))


def face_mask(points: np.ndarray, size: tuple[int, int], holes: Sequence[np.ndarray] = ()) -> np.ndarray:
    """(H, W) uint8: 255 inside the convex hull of a face's projected points, 0 outside and in the holes.

    Args:
        points: (N, 2) pixels of a picture of `size` (H, W).
        holes: contours (K, 2), such as the inner lips: what is between them is painted, not the photo's.
    """
    mask, bits = np.zeros(size, np.uint8), 4

    def fixed(contour: np.ndarray) -> np.ndarray:
        contour = np.asarray(contour, np.float64)
        if contour.ndim != 2 or contour.shape[1] != 2 or not np.isfinite(contour).all():
            raise ValueError(f"expected finite points (N, 2), got {contour.shape}")
        return np.round(np.clip(contour, -1e5, 1e5) * 2**bits).astype(np.int32)

    points = np.asarray(points)
    if points.ndim != 2 or not np.isfinite(points).all():
        raise ValueError(f"expected finite points (N, 2), got {points.shape}")
    hull = cv2.convexHull(points.astype(np.float32))[:, 0]
    cv2.fillConvexPoly(mask, fixed(hull), 255, cv2.LINE_AA, bits)
    for hole in holes:
        cv2.fillPoly(mask, [fixed(hole)], 0, cv2.LINE_AA, bits)
    return mask


def as_matte(mask: np.ndarray) -> Tensor:
    """A mask (H, W) uint8 as the matte (1, 1, H, W) that `DetailEnhancer` takes."""
    return torch.from_numpy(_to_unit(mask))[None, None]


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
        self.kernel: Tensor
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
        return F.conv2d(_as_batch(padded), self.kernel.to(image), stride=2).unflatten(0, image.shape[:2])[:, :, 0]

    def expand(self, image: Tensor, size: Sequence[int]) -> Tensor:
        """Twice the size, or what is missing by one where that was odd."""
        padded = F.pad(F.pad(image, (1, 0, 1, 0), mode="reflect"), (0, 1, 0, 1), mode="replicate")
        wide = F.conv_transpose2d(_as_batch(padded), 4 * self.kernel.to(image), stride=2)
        return wide[:, :, 4 : 4 + size[0], 4 : 4 + size[1]].unflatten(0, image.shape[:2])[:, :, 0]


class SobelEdgeDetector(nn.Module):
    """How much of an edge every pixel is: (B, 1 or 3, H, W) in 0..1 to (B, 1, H, W) in 0..1.

    `m^2 / (m^2 + scale^2)` of Sobel's gradient magnitude m of the luminance, per pixel. The scale is fixed: the
    strongest edge of a frame says nothing about the others.
    """

    def __init__(self, scale: float = DetailEnhancerSettings.edge) -> None:
        super().__init__()
        self.scale = scale
        kernel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
        self.kernels: Tensor
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

    With beta the strength and L[0] .. L[num_levels - 1] the bands of the luminance, finest first, the picture gains

        matte * sum over i of upsampled(L[i] * beta * attention[i] * (1 + edge[i])),

    which is that much more of every band; the low-pass rest G[num_levels] stays as it is.

    * attention[i] = c^2 / (c^2 + flat^2) * strong^2 / (c^2 + strong^2) * L[i]^2 / (L[i]^2 + noise^2), where c is the
      mean of |L[i]| over 5x5 pixels of the band. It is small where there is no contrast (noise, JPEG blocks), where
      there is enough of it already, and for coefficients of the size of noise. `attention_scales` has the scales.
    * edge[i] = m^2 / (m^2 + scale^2), m Sobel's gradient of G[i], the luminance at the band's size.
    * A pixel may leave the range of its 3x3 neighbours by a tenth of that range, so that edges get steeper, not haloed.
    * Only the luminance changes; nothing changes within about 6 pixels of the matte's border.

    float32 pictures on the CPU go through compiled code (`detail_kernels.py`), and only the box around the matte is
    worked on; others go through torch, by the same formula. There is nothing to train: `state_dict()` is empty.

    Args:
        num_levels: how many bands there are to raise; a picture too small for them has fewer.
        enhancement_strength: beta; 0 is the identity.

    Attributes:
        settings: what the arguments leave open; a subclass may have others.
    """

    settings: DetailEnhancerSettings = DetailEnhancerSettings()

    def __init__(self, num_levels: int = 4, enhancement_strength: float = 0.3) -> None:
        if num_levels < 1:
            raise ValueError(f"num_levels must be at least 1, got {num_levels}")
        super().__init__()
        self.num_levels = num_levels
        self.pyramid = LaplacianPyramid(num_levels + 1)  # with the low-pass rest
        self.enhancement_strength = _checked_strength(enhancement_strength)
        self.edges = SobelEdgeDetector(self.settings.edge)
        self._scales = np.array([attention_scales(i, self.settings) for i in range(num_levels)], np.float32)
        self._work = np.empty(0, np.float32)  # grows to what the largest box needs

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
            out = image.detach().clone()
            for i, picture in enumerate(out):
                where = None if matte is None else matte[i, 0].detach().to(torch.float32).numpy()
                self._enhance(picture.permute(1, 2, 0).numpy(), strength, where)
            return out
        return self._with_torch(image, strength, matte)

    def enhance_face(self, picture: np.ndarray, matte: np.ndarray, strength_multiplier: float = 1.0) -> None:
        """The same for one picture (H, W, 3) float32 in 0..1, in place, with a matte (H, W) uint8 in 0..255."""
        strength = self.enhancement_strength * _checked_strength(strength_multiplier)
        if strength > 0 and levels_that_fit(picture.shape[:2], 2) >= 2:
            self._enhance(picture, strength, matte)

    def another(self) -> DetailEnhancer:
        """The same enhancer with a buffer of its own, for another thread."""
        twin = copy.copy(self)
        twin._work = np.empty(0, np.float32)
        return twin

    def warm_up(self) -> None:
        """Compile the kernel, or load it from the cache on disk."""
        self._enhance(np.zeros((16, 16, 3), np.float32), 1.0, None)

    def enhanced_bands(self, luma: Tensor, strength: float) -> list[Tensor]:
        """The levels of a luminance (B, 1, H, W), every band raised as the formula says; the low-pass rest comes last.

        `strength`: beta.
        """
        levels = self.pyramid.build(luma)
        gaussian = luma
        for i, band in enumerate(levels[:-1]):
            gain = strength * self.attention(band, i) * (1 + self.edges(gaussian))
            levels[i] = band * (1 + gain)
            gaussian = self.pyramid.reduce(gaussian)
        return levels

    def attention(self, band: Tensor, level: int) -> Tensor:
        """Where a band (B, 1, H, W) is worth raising, in 0..1; `level` counts from the finest, 0."""
        flat, strong, noise = attention_scales(level, self.settings)
        half = _WINDOW // 2
        contrast = F.pad(band.abs(), (half,) * 4, mode="reflect" if min(band.shape[-2:]) > half else "replicate")
        contrast = F.avg_pool2d(contrast, _WINDOW, 1).square()
        power = band.square()
        weak = contrast / (contrast + flat**2) * (strong**2 / (contrast + strong**2))
        return weak * (power / (power + noise**2))

    def _with_torch(self, image: Tensor, strength: float, matte: Tensor | None) -> Tensor:
        """The reference."""
        wide = image if image.dtype in (torch.float32, torch.float64) else image.float()
        luma = _luma(wide)
        change = self.pyramid.collapse(self.enhanced_bands(luma, strength)) - luma
        if matte is not None:
            change = change * self._eroded(matte.to(wide))
        around = F.pad(luma, (1, 1, 1, 1), mode="replicate")
        high, low = F.max_pool2d(around, 3, 1), -F.max_pool2d(-around, 3, 1)
        allowed = self.settings.overshoot * (high - low)
        change = torch.minimum(torch.maximum(luma + change, low - allowed), high + allowed) - luma
        return (wide + change).clamp(0, 1).to(image.dtype)

    def _eroded(self, matte: Tensor) -> Tensor:
        """The matte (B, 1, H, W) eroded and smoothed: a coarse band would carry its change over the border."""
        erosion = self.settings.erosion
        size, halved = matte.shape[-2:], levels_that_fit(matte.shape[-2:], 3) > 2
        matte = self.pyramid.reduce(matte) if halved else matte
        matte = -F.max_pool2d(-matte, erosion, 1, erosion // 2)
        matte = F.avg_pool2d(F.pad(matte, (_WINDOW // 2,) * 4, mode="replicate"), _WINDOW, 1)
        return self.pyramid.expand(matte, size) if halved else matte

    def _enhance(self, picture: np.ndarray, strength: float, matte: np.ndarray | None) -> None:
        """`_with_torch` for a picture (H, W, 3) in place; `matte` (H, W) float32 in 0..1 or uint8 in 0..255."""
        bands = levels_that_fit(picture.shape[:2], self.num_levels + 1) - 1
        top, left, height, width = 0, 0, *picture.shape[:2]
        if matte is not None:
            box = _box(matte, 2**bands, self.settings.box_margin)
            if box is None:
                return
            top, left, height, width = box
            matte = matte[top : top + height, left : left + width]
        weight = np.ones((height, width), np.float32)
        if matte is not None:
            weight = _eroded_part(matte, picture.shape[:2], self.settings)
        sizes = level_sizes(height, width, bands)
        if len(self._work) < 3 * sizes[-1, 2]:
            self._work = np.empty(3 * sizes[-1, 2], np.float32)
        contiguous = np.ascontiguousarray(picture)
        numbers = (np.float32(v) for v in (self.edges.scale, strength, self.settings.overshoot))
        enhance_box(contiguous, top, left, sizes, weight, self._scales[:bands], *numbers, self._work)
        if contiguous is not picture:
            picture[:] = contiguous


def attention_scales(
    level: int, settings: DetailEnhancerSettings = DetailEnhancerSettings()
) -> tuple[float, float, float]:
    """Scales of a band's attention, the finest being level 0: flat, strong and noise, see `DetailEnhancer`."""
    flat, strong, noise = (finest * ratio**level for finest, ratio in (settings.flat, settings.strong, settings.noise))
    return flat, strong, noise


def levels_that_fit(size: Sequence[int], wanted: int) -> int:
    """How many levels of a pyramid a picture (H, W) has room for: the smallest is at least 4 pixels wide and high."""
    short, count = min(size), 1
    while count < wanted and (short + 1) // 2 >= 4:
        short, count = (short + 1) // 2, count + 1
    return count


def _eroded_part(matte: np.ndarray, size: Sequence[int], settings: DetailEnhancerSettings) -> np.ndarray:
    """`DetailEnhancer._eroded` of a part of a picture's matte, at half size where the picture (H, W) allows it."""
    eroded = _to_unit(matte) if matte.dtype == np.uint8 else np.ascontiguousarray(matte)
    if levels_that_fit(size, 3) > 2:
        eroded = cv2.pyrDown(eroded)
    eroded = cv2.erode(eroded, np.ones((settings.erosion,) * 2, np.uint8))
    return cv2.blur(eroded, (_WINDOW, _WINDOW), borderType=cv2.BORDER_REPLICATE)


def _to_unit(mask: np.ndarray) -> np.ndarray:
    """uint8 in 0..255 as float32 in 0..1."""
    out = mask.astype(np.float32)
    out *= np.float32(1 / 255)
    return out


def _box(matte: np.ndarray, cell: int, margin: int) -> tuple[int, int, int, int] | None:
    """Top, left, height and width of the box of a matte with a margin for the pyramid; None where it is empty.

    It begins on the grid of the coarsest level, whose cells are `cell` pixels wide, so that the pyramid's phase is that
    of the whole picture; the margin is counted in cells.
    """
    x, y, width, height = cv2.boundingRect(matte if matte.dtype == np.uint8 else (matte > 0).view(np.uint8))
    if not width:
        return None
    ends = []
    for first, count, most in ((y, height, matte.shape[0]), (x, width, matte.shape[1])):
        begin = max(first // cell - margin, 0) * cell
        ends.append((begin, min((first + count - 1) // cell + 1 + margin, -(-most // cell)) * cell))
    (top, bottom), (left, right) = ends
    return top, left, min(bottom, matte.shape[0]) - top, min(right, matte.shape[1]) - left


def _luma(image: Tensor) -> Tensor:
    """(B, 3, H, W) to (B, 1, H, W), BT.601."""
    red, green, blue = image.split(1, 1)
    return _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue


def _as_batch(image: Tensor) -> Tensor:
    """(B, C, H, W) as (B C, 1, H, W)."""
    return image.reshape(-1, 1, *image.shape[-2:])


def _checked_strength(value: float) -> float:
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"a strength must be finite and at least 0, got {value}")
    return float(value)
