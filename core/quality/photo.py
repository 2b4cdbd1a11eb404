"""What of a photo decides how good its avatar can be: the face's angle, size, sharpness, noise and light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from core.data.records import IMAGE_SIZE, TrackedSource
from core.quality.series import opening_ratios, turns

if TYPE_CHECKING:
    from core.libs.flame_model import Head


@dataclass(frozen=True)
class PhotoQuality:
    """What is measured of a photo.

    Attributes:
        yaw, pitch, roll: degrees by which the face is turned from the camera; yaw towards the picture's right.
        pixels: of a side of the head's crop in the photo; NaN where that is not known.
        blur: 0 (sharp) to 1, see `blur`. noise: standard deviation in grey levels, see `noise`; both of the face in the
            crop as it is shown.
        brightness: the face's mean luma in 0..1.
        cut: length over which the photo's border cuts the head within the crop, above it or at a side, over the crop's.
        lids: how far the more closed eye is open, 1 as a mean person's. lips: the opening of the mouth over the
            distance of the eyes' outer corners. NaN where the head says nothing of them.
    """

    yaw: float
    pitch: float
    roll: float
    pixels: float
    blur: float
    noise: float
    brightness: float
    lids: float
    lips: float
    cut: float = 0.0


def measure_photo(source: TrackedSource, head: Head) -> PhotoQuality:
    """Measure a tracked photo with the head model of its codes."""
    yaw, pitch, roll = turns(source.frame.transform_matrix)
    face = _face(source)
    lips, lids = opening_ratios(head, source.frame, source.frame.expcode[None], source.frame.posecode[None])
    return PhotoQuality(
        float(yaw),
        float(pitch),
        float(roll),
        float("nan") if source.crop is None else float(source.crop[2]),
        blur(face),
        noise(face),
        float(face.mean() / 255),
        float(lids[0].min()),
        float(lips[0]),
        0.0 if source.joined else cut_of_head(source),
    )


def cut_of_head(source: TrackedSource, within: float = 4 / IMAGE_SIZE, shoulders: float = 96 / IMAGE_SIZE) -> float:
    """`PhotoQuality.cut` of a photo whose crop is what is shown.

    Lengths are of the crop's side. `within`: how far inside the photo's border the person is looked for: the border
    itself is mixed. `shoulders`: above the chin, from where on they may be what a side cuts.
    """
    matte, inside = (source.middle(part) for part in (source.matte, source.inside))
    size = source.size
    head = max(0, int((float(source.frame.bbox[3]) - shoulders) * size))
    step, longest = round(within * size), 0
    for quarters in (0, 1, 3):  # above, and both sides, each turned until it is above
        shown = np.flatnonzero(np.rot90(inside, quarters).any(1))
        if not len(shown) or shown[0] == 0 or shown[0] + step >= size:
            continue
        person = np.rot90(matte, quarters)[shown[0] + step] > 0.5
        person = (person, person[:head], person, person[::-1][:head])[quarters]
        longest = max(longest, int(person.sum()))
    return longest / size


def blur(grey: np.ndarray) -> float:
    """How blurred a picture (H, W) is: 0 sharp, towards 1 blurred.

    By how little its neighbouring pixels' differences lose to a mean over 9 pixels; the worse of both directions
    (Crete, Dolmiere, Ladret, Nicolas: The blur effect, SPIE 2007).
    """
    values = []
    picture = grey.astype(np.float32)
    for axis, kernel in ((0, (1, 9)), (1, (9, 1))):
        smooth = cv2.blur(picture, kernel)
        before, after = (np.abs(np.diff(p, axis=axis)) for p in (picture, smooth))
        lost = np.maximum(before - after, 0).sum()
        values.append(1 - lost / max(float(before.sum()), 1e-9))
    return float(max(values))


def noise(grey: np.ndarray) -> float:
    """The standard deviation of a picture's noise (H, W), in its own unit.

    By a difference of two Laplacians, blind to edges and slopes (Immerkaer: Fast noise variance estimation, CVIU 1996),
    of whose sizes the smaller half is taken: lashes and hair, which fill less than half of a face, do not count.
    """
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    response = np.abs(cv2.filter2D(grey.astype(np.float32), -1, mask, borderType=cv2.BORDER_REFLECT)).ravel()
    smaller = np.partition(response, len(response) // 2)[: len(response) // 2]
    mean_size = 0.3247  # of a normal variable of deviation 1 that is within its median size
    return float(smaller.mean() / mean_size / np.linalg.norm(mask))


def _face(source: TrackedSource) -> np.ndarray:
    """The face's box of the shown crop, as grey levels."""
    image, _ = source.shown()
    x0, y0, x1, y1 = (np.clip(source.frame.bbox, 0, 1) * source.size).astype(int)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    box = grey[y0:y1, x0:x1]
    return box if box.size else grey
