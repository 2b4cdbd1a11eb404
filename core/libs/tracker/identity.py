"""Whether two faces are one person's: small straightened pictures of faces, compared by their light and colour.

For faces that one clip shows, in one light: enough to tell who is who after two people have crossed, and nothing that
would know a person again elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from core.libs.tracker.base import Observation


@dataclass(frozen=True)
class IdentitySettings:
    """Of `face_look` and `Gallery`.

    Attributes:
        anchors: numbers of points that expressions move little, and where they are brought to, in standard deviations
            from their middle: the mean over the development clips. Corners of the eyes, root, tip and wings of the
            nose, ears, chin.
        side: pixels of a straightened face. scale: of it, of one such standard deviation. By eye: the face fills it.
        colour: grey levels between two mean colours (Lab's a and b) that count as much as light of no likeness.
        kept: looks of a person that are remembered; bounds time.
        novel: difference from all of these from which on a look is added. By eye.
    """

    anchors: tuple[tuple[int, float, float], ...] = (
        (33, -0.896, -0.494),
        (133, -0.339, -0.444),
        (362, 0.351, -0.446),
        (263, 0.904, -0.494),
        (168, 0.020, -0.581),
        (4, 0.027, 0.225),
        (48, -0.378, 0.301),
        (278, 0.405, 0.303),
        (234, -1.421, -0.131),
        (454, 1.343, -0.117),
        (152, -0.017, 1.878),
    )
    side: int = 32
    scale: float = 0.27
    colour: float = 20.0
    kept: int = 12
    novel: float = 0.2


_SETTINGS = IdentitySettings()


@dataclass(frozen=True)
class FaceLook:
    """What is compared of a face: its light (S, S), of mean 0 and length 1, and its mean colour (2,), Lab's a and b."""

    light: np.ndarray
    colour: np.ndarray


def face_look(image: np.ndarray, found: Observation, settings: IdentitySettings = _SETTINGS) -> FaceLook:
    """The look of a face in a picture (H, W, 3) uint8 RGB: turned upright and scaled by its anchors."""
    anchors = np.array(settings.anchors)
    points = found.points[anchors[:, 0].astype(int), :2].astype(np.float64)
    side = settings.side
    place = anchors[:, 1:] - (anchors[:, 1:].min(0) + anchors[:, 1:].max(0)) / 2
    place = place * settings.scale * side + (side - 1) / 2
    # The least-squares similarity between two sets of points in a plane, which are complex numbers to it
    z, w = points @ [1, 1j], place @ [1, 1j]
    a = np.vdot(z - z.mean(), w - w.mean()) / max(np.vdot(z - z.mean(), z - z.mean()).real, 1e-9)
    b = w.mean() - a * z.mean()
    # Cut and shrunk first: warping alone would alias
    low = np.maximum(np.floor(found.box[:2]).astype(int), 0)
    high = np.maximum(np.ceil(found.box[2:]).astype(int) + 1, low + 1)
    part = image[low[1] : high[1], low[0] : high[0]]
    if not part.size:
        part, low = np.zeros((1, 1, 3), np.uint8), np.zeros(2, int)
    shrunk = max(1, round(1 / (2 * max(abs(a), 1e-3))))
    if shrunk > 1:
        width, height = max(1, part.shape[1] // shrunk), max(1, part.shape[0] // shrunk)
        scale = np.array([part.shape[1] / width, part.shape[0] / height])
        part = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)
    else:
        scale = np.ones(2)
    turn = np.array([[a.real, -a.imag], [a.imag, a.real]])
    offset = turn @ (low + (scale - 1) / 2) + [b.real, b.imag]
    matrix = np.concatenate([turn * scale, offset[:, None]], 1)
    face = cv2.warpAffine(part, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    lab = cv2.cvtColor(face, cv2.COLOR_RGB2LAB).astype(np.float64)
    light = lab[..., 0] - lab[..., 0].mean()
    return FaceLook(light / max(float(np.linalg.norm(light)), 1e-9), lab[..., 1:].mean((0, 1)))


def difference(one: FaceLook, other: FaceLook, settings: IdentitySettings = _SETTINGS) -> float:
    """How unlike two faces are: 0 for the same picture, 1 and more where they have nothing in common."""
    light = 1 - float((one.light * other.light).sum())
    return light + float(np.linalg.norm(one.colour - other.colour)) / settings.colour


class Gallery:
    """The looks that one person was seen with, the latest ones of those that differ."""

    def __init__(self, settings: IdentitySettings = _SETTINGS) -> None:
        self._settings = settings
        self.looks: list[FaceLook] = []

    def difference(self, look: FaceLook) -> float:
        """From the nearest look of this person; 0 where none is known yet."""
        return min((difference(own, look, self._settings) for own in self.looks), default=0.0)

    def distance(self, other: Gallery) -> float:
        """Between the two nearest looks of two people."""
        return min((self.difference(look) for look in other.looks), default=0.0)

    def add(self, look: FaceLook) -> None:
        """Remember a look, where it is unlike those that are known. The first one stays."""
        if self.looks and self.difference(look) < self._settings.novel:
            return
        if len(self.looks) >= self._settings.kept:
            del self.looks[1]
        self.looks.append(look)
