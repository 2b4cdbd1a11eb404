"""What a user should know of a run before they look at its result, worst first, and what they can do about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from core.data.records import INTERPOLATED, SEEN, TrackedSequence
from core.quality.photo import PhotoQuality


@dataclass(frozen=True)
class AdviceSettings:
    """From where on something is said. By eye, on twenty faces and on darker, smaller and blurred copies of them.

    Attributes:
        unseen: share of the driver's frames without a face.
        small: pixels of a side of the head's crop in the photo, small_driver in the driver's picture.
        turned: degrees of yaw of the photo. turns: degrees of yaw of the result from the photo's.
        blur, noise, dark, lids, lips, cut: of `PhotoQuality`; the noise in grey levels.
        slow: frames a second of the driver.
    """

    unseen: float = 0.05
    small: float = 160.0
    small_driver: float = 160.0
    turned: float = 25.0
    turns: float = 25.0
    blur: float = 0.7
    noise: float = 3.0
    dark: float = 0.25
    lids: float = 0.45
    lips: float = 0.2
    cut: float = 0.15
    slow: float = 15.0


def advice(
    photo: PhotoQuality,
    driver: TrackedSequence,
    yaw: np.ndarray,
    smooths: bool,
    settings: AdviceSettings = AdviceSettings(),
) -> tuple[str, ...]:
    """Lines about a photo, a driver and the motion that came out of them, the worst first; none where all is well.

    `yaw` (T,): degrees by which the result's head is turned from the camera. `smooths`: whether the driver's motion was
    smoothed.
    """
    s = settings
    return (*_of_gaps(driver, s), *_of_photo(photo, s), *_of_motion(photo, driver, yaw, smooths, s))


def _of_gaps(driver: TrackedSequence, s: AdviceSettings) -> Iterator[str]:
    unseen = int((driver.status != SEEN).sum())
    if unseen > s.unseen * len(driver):
        bridged = int((driver.status == INTERPOLATED).sum())
        yield (
            f"the driver's face is not seen in {unseen} of {len(driver)} frames ({bridged} bridged, {unseen - bridged} "
            "held): the motion is guessed there; a driver that shows the face throughout does better"
        )


def _of_photo(photo: PhotoQuality, s: AdviceSettings) -> Iterator[str]:
    if photo.cut > s.cut:
        yield "the photo cuts the head, and what lies beyond is a guess: --frame photo shows no more than the photo"
    if photo.pixels < s.small:
        yield f"the head has only {photo.pixels:.0f} pixels in the photo: a larger photo gives a sharper result"
    if abs(photo.yaw) > s.turned:
        yield (
            f"the photo is turned {abs(photo.yaw):.0f} degrees: the far cheek and eye are guessed; a photo from the "
            "front does better"
        )
    if photo.blur > s.blur:
        yield f"the photo is blurred ({photo.blur:.2f} of 1): a sharper one shows more than --detail-enhance can"
    if photo.brightness < s.dark:
        yield f"the face is dark in the photo ({photo.brightness:.2f} of 1): one in better light does better"
    if photo.noise > s.noise:
        yield f"the photo is grainy ({photo.noise:.1f} grey levels): its grain moves along with the face"
    if photo.lids < s.lids:
        yield "an eye is nearly shut in the photo: what it looks like open is guessed; take a photo with open eyes"
    if photo.lips > s.lips:
        yield "the mouth is wide open in the photo: closed lips are guessed; take a photo with closed lips"


def _of_motion(
    photo: PhotoQuality, driver: TrackedSequence, yaw: np.ndarray, smooths: bool, s: AdviceSettings
) -> Iterator[str]:
    farthest = float(np.abs(yaw - photo.yaw).max())
    if farthest > s.turns:
        yield f"the head turns up to {farthest:.0f} degrees from the photo: what the photo does not show is guessed"
    if driver.crops is not None and (side := float(np.median(driver.crops[:, 2]))) < s.small_driver:
        calmed = "" if smooths else ", and --temporal-smooth calms it"
        yield (
            f"the driver's head has only {side:.0f} pixels: lips and lids are read less surely; a larger picture does"
            f" better{calmed}"
        )
    if len(driver) > 1 and not driver.stills and driver.fps < s.slow:
        yield f"the driver has {float(driver.fps):.3g} frames a second, and so has the result: it looks jerky"
