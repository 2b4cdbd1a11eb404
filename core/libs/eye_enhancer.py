"""Clear eyes in a rendered picture: local contrast, and the photo's own iris and lid edges. Nothing here is learned.

Contrast is brought to what the photo's eye has, up or down: more of it is not clearer, and a face that was sharpened
before is not sharpened twice. Everything is measured in the eye at hand: its place, tilt, width and
opening come from this frame's landmarks, and only a box around it is touched. What is added is luminance alone, so that
no colour fringes appear.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from core.libs.eye_kernels import clear_eye
from core.libs.face_finder import FaceFinder
from core.libs.landmark_sets import SETS, as_tracker_points

Array = np.ndarray | Tensor

# Right, then left eye: points that iBUG's 68 have too, in order around the eye from corner to corner; then the iris.
_RINGS = ((33, 160, 158, 133, 153, 144), (362, 385, 387, 263, 373, 380))
_IRISES = (tuple(range(468, 473)), tuple(range(473, 478)))
_RING_ROWS, _IRIS_ROWS = np.array(_RINGS), np.array(_IRISES)
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_NO_EDGES = np.zeros((1, 1), np.float32)


@dataclass(frozen=True)
class EyeSettings:
    """Of `EyeEnhancer` beside its arguments. By eye, where nothing else is said.

    Attributes:
        shut, open: lid distance over eye width up to which an eye is left alone, and from which all is done.
        turned_away, in_view: eye width over the other eye's: out of sight, and fully in sight.
        smallest: pixels of width below which an eye is left alone.
        iris_radius: over eye width, where only the iris's centre is known: that of the open head's template.
        iris_disc: squared distance from the iris's centre, in radii, at which the photo's lids take over from its iris.
        edge_sigma: in iris radii, standard deviation of the low-pass that edges are what is left of.
        contrast_sigma: in eye widths, the same for local contrast.
        unrelated, same: correlation of the photo's edges with the frame's up to which none of them is added, and from
            which all.
        noise: step of luminance, 0 to 1, that counts as noise.
        largest_change: of the luminance, 0 to 1.
        contrast_target: of the photo's contrast: the gradients of sharpened eyes are then as strong as a video's.
    """

    shut: float = 0.10
    open: float = 0.17
    turned_away: float = 0.3
    in_view: float = 0.5
    smallest: float = 8.0
    iris_radius: float = 0.187
    iris_disc: float = 1.5
    edge_sigma: float = 0.35
    contrast_sigma: float = 0.06
    unrelated: float = 0.3
    same: float = 0.7
    noise: float = 0.008
    largest_change: float = 0.12
    contrast_target: float = 1.05


@dataclass(frozen=True)
class _Eye:
    """One eye in a picture, pixels.

    Attributes:
        ring: (6, 2) corners and lids. iris: (2,) its centre. radius: of the iris. width: corner to corner.
        opening: lid distance. tilt: radians of the line of the corners. visibility: 0 where shut or turned away, else
            up to 1.
    """

    ring: np.ndarray
    iris: np.ndarray
    radius: float
    width: float
    opening: float
    tilt: float
    visibility: float


@dataclass(frozen=True)
class _Photo:
    """An eye of the photo: its luminance around it and the edges in it.

    Attributes:
        eye: where it is in `edges`. edges: (h, w) luminance less what is broader than an edge.
        contrast: root mean square of the local contrast.
    """

    eye: _Eye
    edges: np.ndarray
    contrast: float


class EyeEnhancer:
    """Makes eyes clearer where a picture shows them; the identity, to the bit, where they are shut or hidden.

    Args:
        contrast: the most of the local contrast that is added again, or taken away: as much as makes it the photo's.
            Without a photo, all of it is added.
        detail: share of the difference between the photo's edges and the frame's that is added, where both correlate.
        finder: finds the eyes of pictures that come without landmarks; None for one with the project's own tracker,
            loaded when it is first needed.

    Attributes:
        settings: what the arguments leave open; a subclass or an instance may have others.
    """

    settings: EyeSettings = EyeSettings()

    def __init__(self, contrast: float = 0.35, detail: float = 1.0, *, finder: FaceFinder | None = None) -> None:
        self.contrast, self.detail = contrast, detail
        self._finder = finder or FaceFinder()
        self._photo: tuple[_Photo | None, _Photo | None] = (None, None)

    def set_source(self, image: Tensor, landmarks_2d: Array) -> None:
        """The photo (3, H, W) in 0..1 and its points (478, 2) in pixels; only boxes around the eyes are kept.

        ValueError for other shapes.
        """
        if image.ndim != 3 or image.shape[0] != 3:
            raise ValueError(f"expected the photo (3, H, W), got {tuple(image.shape)}")
        eyes = _eyes(_points(landmarks_2d)[0], self.settings)
        right, left = (
            None if eye is None or eye.visibility == 0 else _photo(image, eye, self.settings) for eye in eyes
        )
        self._photo = right, left

    def __call__(self, image: Tensor, landmarks_2d: Array | None = None) -> Tensor:
        """Pictures (B, 3, H, W) in 0..1 as they are but for the eyes, of the same dtype and on the same device.

        Args:
            image: on other devices than the CPU, the boxes around the eyes make the way there and back.
            landmarks_2d: (B, 478, 2) in pixels, centres at integers; or 68 or 70 of iBUG's in their place, with which
                irises are taken to stand in the middle of the lids, or where the last two say. None: each picture is
                looked at by a face tracker; where that finds no face, or is not there, the picture stays as it is.

        Raises:
            ValueError: the shapes do not fit.
        """
        if image.ndim != 4 or image.shape[1] != 3:
            raise ValueError(f"expected pictures (B, 3, H, W), got {tuple(image.shape)}")
        points = self._finder(image) if landmarks_2d is None else _points(landmarks_2d)
        if len(points) != len(image):
            raise ValueError(
                f"expected pictures (B, 3, H, W) and points (B, 478, 2), got {tuple(image.shape)} and {points.shape}"
            )
        if image.device.type == "cpu" and image.dtype == torch.float32 and not image.requires_grad:
            out = image.clone()
            for picture, frame in zip(out, points, strict=True):
                self.enhance(picture.permute(1, 2, 0).numpy(), frame)
            return out
        return self._with_numpy(image, points)

    def enhance(self, picture: np.ndarray, points: np.ndarray) -> None:
        """The same for one picture (H, W, 3) float32 in 0..1, in place; `points` (478, 2) float64."""
        for eye, photo in zip(_eyes(points, self.settings), self._photo, strict=True):
            if eye is None or eye.visibility == 0:
                continue
            x0, y0, x1, y1 = _box(eye, picture.shape[:2])
            if x1 - x0 < 5 or y1 - y0 < 5:
                continue
            eye = _shifted(eye, x0, y0)
            numbers = np.array([eye.radius, eye.width, eye.tilt, eye.visibility, *_mask_sigmas(eye)])
            in_photo = (eye.ring, eye.iris, np.zeros(3))
            if photo is not None:
                in_photo = (
                    photo.eye.ring,
                    photo.eye.iris,
                    np.array([photo.eye.radius, photo.eye.tilt, photo.contrast]),
                )
            edges = _NO_EDGES if photo is None else photo.edges
            lids = _lids(eye, (y1 - y0, x1 - x0))
            contiguous = np.ascontiguousarray(picture)
            place = (contiguous, x0, y0, lids, eye.ring, eye.iris, numbers)
            clear_eye(*place, photo is not None, edges, *in_photo, self._kernel_settings())
            if contiguous is not picture:
                picture[:] = contiguous

    def _kernel_settings(self) -> np.ndarray:
        """(10,) the numbers of `clear_eye`."""
        s = self.settings
        change = [self.contrast, self.detail, s.contrast_sigma, s.noise, s.largest_change, s.contrast_target]
        return np.array([*change, s.unrelated, s.same, s.iris_disc, s.edge_sigma])

    def warm_up(self) -> None:
        """Compile the kernel, or load it from the cache on disk."""
        ring = np.array([[2, 5], [4, 3], [7, 3], [9, 5], [7, 7], [4, 7]], np.float64)
        eye, lids = np.array([2.0, 7, 0, 1, 3, 3]), np.zeros((12, 12), np.float32)
        picture, in_photo = np.zeros((12, 12, 3), np.float32), (ring, ring[0], np.ones(3))
        clear_eye(picture, 0, 0, lids, ring, ring[0], eye, True, lids, *in_photo, self._kernel_settings())

    def _with_numpy(self, image: Tensor, points: np.ndarray) -> Tensor:
        """The reference."""
        out = None
        for b, frame in enumerate(points):
            for eye, photo in zip(_eyes(frame, self.settings), self._photo, strict=True):
                if eye is None or eye.visibility == 0:
                    continue
                x0, y0, x1, y1 = _box(eye, image.shape[2:])
                if x1 - x0 < 5 or y1 - y0 < 5:
                    continue
                part = image[b, :, y0:y1, x0:x1].detach().float().cpu().numpy()
                added = self._added(_luminance(part), _shifted(eye, x0, y0), photo)
                out = image.clone() if out is None else out
                clear = torch.from_numpy(np.clip(part + added, 0, 1))
                out[b, :, y0:y1, x0:x1] = clear.to(image)
        return image if out is None else out

    def _added(self, luminance: np.ndarray, eye: _Eye, photo: _Photo | None) -> np.ndarray:
        """What is added to the luminance (h, w) of a box."""
        s, mask = self.settings, _mask(eye, luminance.shape)
        added, noise = np.zeros_like(luminance), np.float32(s.noise**2)
        if photo is not None:
            added = self.detail * _photo_edges(luminance, mask, eye, photo, s)
        detail: np.ndarray = luminance + mask * added
        detail -= _low_pass(detail, s.contrast_sigma * eye.width)
        square = detail * detail
        gain = self.contrast if photo is None else self._contrast_gain(_rms_contrast(detail, mask), photo)
        added += gain * detail * (square / (square + noise))
        return eye.visibility * mask * added / (1 + np.abs(added) * np.float32(1 / s.largest_change))

    def _contrast_gain(self, contrast: float, photo: _Photo) -> float:
        """The gain g with which local contrast c + g c is the photo's, within the limits of `self.contrast`.

        Negative where there is more than in the photo, as where the whole face was sharpened before.
        """
        if contrast == 0:
            return 0.0
        return float(
            np.clip(self.settings.contrast_target * photo.contrast / contrast - 1, -self.contrast, self.contrast)
        )


def _photo_edges(luminance: np.ndarray, mask: np.ndarray, eye: _Eye, photo: _Photo, s: EyeSettings) -> np.ndarray:
    """The photo's edges less those of a frame (h, w), carried to where iris and lids are in the frame.

    Inside the iris's disc by a rotation and scale about its centre, outside by the affine map between the lids.
    """
    y, x = np.ogrid[: luminance.shape[0], : luminance.shape[1]]
    across = np.float32(1 / eye.radius**2)
    distance = (x - np.float32(eye.iris[0])) ** 2 * across + (y - np.float32(eye.iris[1])) ** 2 * across
    disc = np.clip((s.iris_disc - distance) * 2, 0, 1)
    edges = luminance - _low_pass(luminance, s.edge_sigma * eye.radius)
    # The iris turns with the gaze and keeps its size; the lids go where their points go.
    scale = photo.eye.radius / eye.radius
    cos, sin = scale * np.cos(photo.eye.tilt - eye.tilt), scale * np.sin(photo.eye.tilt - eye.tilt)
    turn = np.array([[cos, -sin], [sin, cos]])
    to_iris = np.concatenate([turn, (photo.eye.iris - turn @ eye.iris)[:, None]], 1)
    ring = np.concatenate([eye.ring, np.ones((6, 1))], 1)
    to_lids = np.linalg.lstsq(ring, photo.eye.ring, rcond=None)[0].T
    iris = _edge_difference(edges, photo.edges, to_iris, disc * _lids(eye, luminance.shape), s)
    return iris + _edge_difference(edges, photo.edges, to_lids, (1 - disc) * mask, s)


def _edge_difference(
    edges: np.ndarray,  # (h, w) of the frame
    photo: np.ndarray,  # (h', w') of the photo
    to_photo: np.ndarray,  # (2, 3) affine map from the frame's pixels to the photo's
    weight: np.ndarray,  # (h, w) in 0..1
    s: EyeSettings,
) -> np.ndarray:  # (h, w)
    """Photo less frame, by `weight`, times how reliable that is: from `unrelated` to `same` of their correlation."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(photo, to_photo, edges.shape[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)
    frame_edges, photo_edges = weight * edges, weight * warped
    power = float(np.vdot(photo_edges, warped)) * float(np.vdot(frame_edges, edges))
    correlation = float(np.vdot(photo_edges, edges)) / np.sqrt(power) if power > 0 else 0.0
    return np.float32(_ramp(correlation, s.unrelated, s.same)) * (photo_edges - frame_edges)


def _luminance(part: np.ndarray) -> np.ndarray:
    """Of a picture (3, h, w), BT.601: (h, w) float32."""
    return _LUMA[0] * part[0] + _LUMA[1] * part[1] + _LUMA[2] * part[2]


def _rms_contrast(detail: np.ndarray, mask: np.ndarray) -> float:
    """Root mean square of local contrast (h, w), by a mask."""
    return float(np.sqrt(np.vdot(mask, detail * detail) / max(float(mask.sum()), 1e-6)))


def _low_pass(luminance: np.ndarray, sigma: float) -> np.ndarray:
    """About a Gaussian of `sigma` pixels, at least 0.8, by a box that is run twice: cost does not grow with sigma."""
    side = 2 * max(round(1.22 * max(sigma, 0.8)), 1) + 1  # two boxes of this side have about the Gaussian's variance
    return cv2.blur(cv2.blur(luminance, (side, side)), (side, side))


def _photo(image: Tensor, eye: _Eye, s: EyeSettings) -> _Photo | None:
    """An eye of the photo (3, H, W); None where its box is too small."""
    x0, y0, x1, y1 = _box(eye, image.shape[1:], grow=1.5)
    if x1 - x0 < 5 or y1 - y0 < 5:
        return None
    part = image[:, y0:y1, x0:x1].detach().float().cpu().numpy()
    luminance = _luminance(part)
    edges = luminance - _low_pass(luminance, s.edge_sigma * eye.radius)
    eye = _shifted(eye, x0, y0)
    mask, detail = _mask(eye, luminance.shape), luminance - _low_pass(luminance, s.contrast_sigma * eye.width)
    return _Photo(eye, edges, _rms_contrast(detail, mask))


def _eyes(points: np.ndarray, s: EyeSettings) -> tuple[_Eye | None, _Eye | None]:
    """The right and the left eye of points (478, 2); None where they are not known or too small."""
    rings = [points[_RING_ROWS[side]] for side in (0, 1)]
    widths = [math.hypot(*(ring[3] - ring[0]).tolist()) for ring in rings]
    right, left = (
        _eye(points, side, rings[side], widths[side], widths[1 - side], s) if widths[side] >= s.smallest else None
        for side in (0, 1)
    )
    return right, left


def _eye(
    points: np.ndarray, side: int, ring: np.ndarray, width: float, other_width: float, s: EyeSettings
) -> _Eye | None:
    """The right (0) or left (1) eye of points (478, 2); None where it is not known."""
    # In Python's numbers: numpy takes a microsecond a call, and this is done in every frame.
    (cx, cy), *border = points[_IRIS_ROWS[side]].tolist()
    corners = ring.tolist()
    if not (math.isfinite(cx + cy) and all(math.isfinite(x + y) for x, y in corners)):
        return None
    radius = s.iris_radius * width
    if all(math.isfinite(x) and math.isfinite(y) for x, y in border):
        cx, cy = (sum(p[k] for p in border) + c for k, c in ((0, cx), (1, cy)))
        cx, cy = cx / 5, cy / 5
        radius = sum(math.hypot(x - cx, y - cy) for x, y in border) / 4
    (x0, y0), (x1, y1), (x2, y2), (x3, y3), (x4, y4), (x5, y5) = corners
    along = (x3 - x0) / width, (y3 - y0) / width
    # Signed: lids that have gone through one another are shut.
    opening = ((y5 + y4 - y1 - y2) * along[0] - (x5 + x4 - x1 - x2) * along[1]) / 2
    in_view = 1.0
    if math.isfinite(other_width):
        in_view = _ramp(width / max(other_width, 1e-6), s.turned_away, s.in_view)
    visibility = in_view * _ramp(opening / width, s.shut, s.open)
    return _Eye(ring, np.array([cx, cy]), max(radius, 1.0), width, opening, math.atan2(along[1], along[0]), visibility)


def _mask_sigmas(eye: _Eye) -> tuple[float, float]:
    """Standard deviations of the mask along and across the eye, pixels."""
    return 0.4 * eye.width, 0.6 * eye.opening + 0.1 * eye.width


def _mask(eye: _Eye, shape: Sequence[int]) -> np.ndarray:
    """A Gaussian over the eye (h, w) that ends at zero, by the eye's own size."""
    along, across = _mask_sigmas(eye)
    middle, c, s = eye.ring.mean(0), np.cos(eye.tilt), np.sin(eye.tilt)
    x, y = np.arange(shape[1]) - middle[0], np.arange(shape[0])[:, None] - middle[1]
    u = (x * (c / along)).astype(np.float32) + (y * (s / along)).astype(np.float32)
    v = (y * (c / across)).astype(np.float32) - (x * (s / across)).astype(np.float32)
    end = np.float32(np.exp(-2.0))
    values = cv2.exp((u * u + v * v) * np.float32(-0.5))
    return np.maximum(values - end, 0) * (1 / (1 - end))


def _lids(eye: _Eye, shape: Sequence[int]) -> np.ndarray:
    """1 between the lids, 0 outside (h, w), its edge softened towards the inside."""
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.round(eye.ring * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
    return np.minimum(_low_pass(mask, 0.03 * eye.width), mask).astype(np.float32) * np.float32(1 / 255)


def _box(eye: _Eye, shape: Sequence[int], grow: float = 1.0) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of the pixels of a picture (H, W) that the mask reaches."""
    along, across = (2 * grow * s for s in _mask_sigmas(eye))
    c, s = math.cos(eye.tilt), math.sin(eye.tilt)
    ends = []
    for middle, a, b, most in zip(eye.ring.mean(0).tolist(), (c, s), (s, c), shape[::-1], strict=True):
        half = math.hypot(along * a, across * b) + 1
        first = max(math.floor(middle - half), 0)
        ends.append((first, max(min(math.ceil(middle + half) + 1, most), first)))
    (x0, x1), (y0, y1) = ends
    return x0, y0, x1, y1


def _shifted(eye: _Eye, x0: int, y0: int) -> _Eye:
    """The eye in a box that begins at a pixel."""
    corner = np.array([x0, y0])
    return _Eye(eye.ring - corner, eye.iris - corner, eye.radius, eye.width, eye.opening, eye.tilt, eye.visibility)


def _points(values: Array) -> np.ndarray:
    """(B, 478, 2) float64 of points (L, K) or (B, L, K), L one of 68, 70 and 478, K at least 2."""
    out = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    out = out[None] if out.ndim == 2 else out
    if out.ndim != 3 or out.shape[1] not in SETS or out.shape[2] < 2:
        raise ValueError(f"expected points (B, 478, 2), or 68 or 70 in place of 478, got {out.shape}")
    return as_tracker_points(out[..., :2], guess_irises=True).astype(np.float64)


def _ramp(value: float, low: float, high: float) -> float:
    """0 at `low`, 1 at `high`, linear between and constant beyond; `core.libs.numeric.ramp` of a plain number."""
    return min(max((value - low) / (high - low), 0.0), 1.0)
