"""Every result says that it is synthetic: in its picture unless that is switched off, in its metadata always."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from core import __version__

PROGRAM = f"GAGAvatar Enhanced {__version__}"
TEXT = "AI-generated"
_FONT = cv2.FONT_HERSHEY_DUPLEX


@dataclass(frozen=True)
class WatermarkSettings:
    """How the mark looks, all by eye. Lengths are pixels of a picture of 512 pixels and grow with it.

    Attributes:
        scale: of OpenCV's font. margin: from the picture's lower and right edge. alpha: opacity of the text, 0..1.
        rim_alpha: of the dark rim, of that. ink: grey level of the text, 0..255.
    """

    scale: float = 0.42
    margin: float = 9
    alpha: float = 0.8
    rim_alpha: float = 0.45
    ink: float = 235.0


def metadata(model: str) -> dict[str, str]:
    """The texts that go into a result; the keys are ones that mp4, PNG and JPEG all have a place for."""
    return {
        "title": "AI-generated portrait animation",
        "comment": f"AI-generated: this is synthetic media. Made by {PROGRAM} (avatar: {model}).",
        "artist": PROGRAM,
    }


class Watermark:
    """The visible mark: small, light with a dark rim, in the lower right corner of a picture."""

    def __init__(self, width: int, height: int, settings: WatermarkSettings = WatermarkSettings()) -> None:
        unit = min(width, height) / 512
        scale, margin, thick = settings.scale * unit, round(settings.margin * unit), max(1, round(unit))
        (text_width, text_height), below = cv2.getTextSize(TEXT, _FONT, scale, thick)
        rim = 2 * thick
        shape = (text_height + below + 2 * rim, text_width + 2 * rim)
        place = (rim, text_height + rim)
        outer, inner = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
        cv2.putText(outer, TEXT, place, _FONT, scale, 255, thick + rim, cv2.LINE_AA)
        cv2.putText(inner, TEXT, place, _FONT, scale, 255, thick, cv2.LINE_AA)
        blurred = cv2.GaussianBlur(outer, (0, 0), max(unit, 0.5)).astype(np.float32)
        dark = blurred / 255 * settings.rim_alpha * settings.alpha
        light = inner.astype(np.float32) / 255 * settings.alpha
        self._keep = ((1 - dark) * (1 - light))[..., None]  # of the picture
        self._add = (settings.ink * light)[..., None]
        bottom, right = height - margin, width - margin
        self._part = (slice(bottom - shape[0], bottom), slice(right - shape[1], right))
        self._fits = bottom >= shape[0] and right >= shape[1]

    def put(self, image: np.ndarray) -> None:
        """Draw the mark into a picture, (H, W, 3) or (H, W, 4) uint8, in its place, where it is opaque.

        A picture too small for it stays as it is.
        """
        if not self._fits:
            return
        part = image[self._part]
        if image.shape[2] == 3:
            part[...] = np.rint(part * self._keep + self._add).astype(np.uint8)
            return
        alpha = part[..., 3:] / 255 * self._keep
        opacity = alpha + 1 - self._keep
        colors = (part[..., :3] * alpha + self._add) / np.maximum(opacity, 1e-6)
        part[...] = np.rint(np.dstack([colors, 255 * opacity])).astype(np.uint8)
