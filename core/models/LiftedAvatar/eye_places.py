"""Where pixels lie beside an eye: their distances from its lids, and how far these travel there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from core.libs.face_measures import across_corners
from core.models.LiftedAvatar.eye_settings import LidSettings

_DEFAULT = LidSettings()


@dataclass(frozen=True)
class EyePlaces:
    """Where the pixels of a window (h, w) lie beside an eye's contour; lengths are over the eye's width.

    Attributes:
        contour: (16, 2) in the window's pixels. width: of the eye, pixels. down: (2,) across its corners.
        beyond: (h, w) distance from the contour, negative inside. nearest: (h, w) place on the contour, in points.
        above: (h, w) bool, above the middle line between the lids.
        travel: (h, w) how far the lids are apart at the place along the corners, over where they are furthest apart.
        eye: (h, w) how much of the eye lies above a pixel: 0 on the upper lid, all of it on the lower one.
        lid: (h, w) distance from the line where the lids meet.
        arch: (h, w) thickness of a line along the lids, 1 in their middle and less towards the corners.
    """

    contour: np.ndarray
    width: float
    down: np.ndarray
    beyond: np.ndarray
    nearest: np.ndarray
    above: np.ndarray
    travel: np.ndarray
    eye: np.ndarray
    lid: np.ndarray
    arch: np.ndarray

    @classmethod
    def of(cls, contour: np.ndarray, shape: tuple[int, int], settings: LidSettings = _DEFAULT) -> Self:
        """The places of a window of a shape (h, w) around a contour (16, 2) in its pixels."""
        down, width = across_corners(contour)
        axis = (contour[8] - contour[0]) / width
        y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float64)
        here = np.stack([x, y], -1)
        beyond, nearest = _from_contour(here, contour)
        # Both lids' heights over the place along the corners.
        along = (here - contour[0]) @ axis / width
        heights = []
        lids = contour[:9], np.concatenate([contour[:1], contour[:7:-1]])
        for lid in lids:
            at = np.maximum.accumulate((lid - contour[0]) @ axis / width)
            heights.append(np.interp(along, at, (lid - contour[0]) @ down / width))
        upper, lower = heights
        height = (here - contour[0]) @ down / width
        above = height < (upper + lower) / 2
        apart = np.maximum(lower - upper, 0)
        # Of an eye that is a little wider: the tracker's corners lie inside it.
        outer, inner = settings.corners
        wider = (along + outer) / (1 + outer + inner)
        ends = [np.maximum.accumulate((lid - contour[0]) @ axis / width) for lid in lids]
        low, high = (
            np.interp(wider, at, (lid - contour[0]) @ down / width) for at, lid in zip(ends, lids, strict=True)
        )
        outer, inner = settings.line_corners
        on_line = (along + outer) / (1 + outer + inner)
        beside = (along < 0) | (along > 1)
        return cls(
            contour=contour,
            width=width,
            down=down,
            beyond=beyond / width,
            nearest=nearest,
            above=above,
            travel=np.clip((high - low) / max(apart.max(), 1e-6), 0, 1),
            eye=np.where(beyond > 0, np.where(above, 0, apart), np.clip(height - upper, 0, apart)),
            lid=np.where(beside, np.abs(height - upper), np.maximum(beyond / width, 0)),
            arch=np.sqrt(np.clip(4 * on_line * (1 - on_line), 0.01, 1)),
        )


def _from_contour(here: np.ndarray, contour: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance of points (h, w, 2) from a closed contour (n, 2), negative inside, and the nearest place in points."""
    best, place = np.full(here.shape[:2], np.inf), np.zeros(here.shape[:2])
    inside = np.zeros(here.shape[:2], bool)
    for i, (a, b) in enumerate(zip(contour, np.roll(contour, -1, 0), strict=True)):
        edge = b - a
        at = np.clip((here - a) @ edge / max(edge @ edge, 1e-9), 0, 1)
        distance = np.linalg.norm(here - a - at[..., None] * edge, axis=-1)
        nearer = distance < best
        best[nearer], place[nearer] = distance[nearer], (i + at)[nearer]
        crosses = (a[1] > here[..., 1]) != (b[1] > here[..., 1])
        with np.errstate(divide="ignore", invalid="ignore"):
            inside ^= crosses & (here[..., 0] < a[0] + (here[..., 1] - a[1]) * edge[0] / edge[1])
    return np.where(inside, -best, best), place
