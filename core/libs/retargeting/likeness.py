"""A small driver's expression and eyes, steadied by frames in which mouth and eyes look alike."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np

from core.data.records import SEEN, TrackedSequence
from core.libs.filters.likeness import LikenessSettings, by_likeness
from core.libs.numeric import ramp


@dataclass(frozen=True)
class SmallFaceSettings:
    """Of `steadied_by_likeness`.

    Attributes:
        pixels: of the driver's picture across the shown crop, up to which it acts in full and from which on not at all.
            By eye: half of the landmark network's own resolution, and three quarters of it.
        likeness: of what is alike.
    """

    pixels: tuple[float, float] = (210.0, 300.0)
    likeness: LikenessSettings = field(default_factory=LikenessSettings)


def steadied_by_likeness(
    driver: TrackedSequence, names: Collection[str], settings: SmallFaceSettings = SmallFaceSettings()
) -> TrackedSequence:
    """The driver with some of its parameters as frames that look alike have them; as it is where its face is not small.

    `names`: of parameters without large turns: `expcode`, `posecode`, `eyecode`. Each shot is compared with itself.
    """
    if driver.patches is None or driver.crops is None or not names:
        return driver
    share = 1 - float(ramp(np.median(driver.crops[:, 2]), *settings.pixels))
    found = {name: getattr(driver, name).copy() for name in names}
    for frames in driver.shot_frames:
        known = frames[(driver.status[frames] == SEEN) & driver.patches[frames].any((1, 2, 3))]
        values = np.concatenate([found[name][known] for name in names], 1).astype(np.float64)
        values += share * (by_likeness(values, driver.patches[known], settings.likeness) - values)
        ends = np.cumsum([found[name].shape[1] for name in names])[:-1]
        for name, part in zip(names, np.split(values, ends, 1), strict=True):
            found[name][known] = part
    return driver.with_parameters(found)
