"""What `benchmarks.looks` looks at in a driver and in a result: which frames, and the figures of each part."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.data.video import VideoReader
from core.evaluation import looks
from core.evaluation.points import eye_opening, gaze_angles, mouth_opening
from core.libs.tracker.base import N_POINTS, FaceTracker
from core.libs.tracker.crop import crop_image

FRAMES = 70
# Where in a clip the benchmark looks, as far as that is known; elsewhere `liveliest` finds it.
WINDOWS = {"obama": 100, "d10": 205}
OPEN, SEEN_INTO, WIDE = 0.03, 0.08, 0.16  # lip gaps: some 3 mm; frames that are preferred; those that count as wide
MOUTHS = 14  # open frames that are measured
SHOWN_MOUTHS, SHOWN_SHUT = 5, 3
_APART = 5  # frames between two that are shown
# A driver that moves less than this (standard deviation) says nothing of amplitudes: twice what the tracker trembles by
LEAST = {"lids": 0.06, "gaze": 2.0, "mouth": 0.02}
_AWAKE = 0.6  # of the usual opening of the lids: below it what is tracked as the iris is a guess
_PART_OF = {"lids": looks.opened_part, "gaze": lambda p: gaze_angles(p)[:, 0], "mouth": mouth_opening}
MOUTH = ("contrast", "flat", "wide: contrast", "wide: flat")
EYES = ("lids", "gaze")
AMPLITUDES = (*(f"{name}{kind}" for name in EYES for kind in ("", " plain", " r", " drawn")), "mouth", "mouth, wide")


@dataclass(frozen=True)
class Driver:
    """A piece of a clip.

    Attributes:
        path: of the clip. frames: the numbers (N,) of its frames.
        pictures: N of (512, 512, 3), cropped. points: (N, 478, 3) of its track. tracked: (N, 478, 3) of the face
            followed through the pictures, NaN where there is none.
        open, shut, looks: indices into them of the frames whose mouths are measured, and whose eyes are shown.
    """

    path: Path
    frames: list[int]
    pictures: list[np.ndarray]
    points: np.ndarray
    tracked: np.ndarray

    @property
    def open(self) -> list[int]:
        """From the narrowest to the widest, at most MOUTHS."""
        gaps = looks.lip_gap(self.points)
        ranked = [i for i in np.argsort(gaps) if gaps[i] > SEEN_INTO] or [i for i in np.argsort(gaps) if gaps[i] > OPEN]
        return [int(ranked[k]) for k in sorted(_evenly(len(ranked), MOUTHS))]

    @property
    def mouths(self) -> list[int]:
        """The widest open ones, some frames apart."""
        return _apart(np.argsort(-looks.lip_gap(self.points)), SHOWN_MOUTHS)

    @property
    def eyes(self) -> dict[str, int]:
        """The most shut eyes, and of the open ones those that look farthest to each side and up or down."""
        opened, gaze = looks.opened_part(self.points), gaze_angles(self.points)
        gaze = gaze - np.median(gaze, 0)
        awake = np.flatnonzero(opened > np.median(opened) * 0.7)
        across, along = gaze[awake, 0], np.abs(gaze[awake, 1])
        chosen = {f"shut {n}": i for n, i in enumerate(_apart(np.argsort(opened), SHOWN_SHUT))}
        farthest = {"left": across.argmin(), "right": across.argmax(), "up or down": along.argmax()}
        return chosen | {name: int(awake[k]) for name, k in farthest.items()}


@dataclass(frozen=True)
class Result:
    """What became of a driver's frames: pictures by index as far as they are shown or measured, the head's points
    (N, 478, 3), the face tracked again (N, 478, 3) and the flicker, mean and largest."""

    pictures: dict[int, np.ndarray]
    points: np.ndarray
    tracked: np.ndarray | None
    flicker: tuple[float, float] | None


def find_driver(path: Path, points: np.ndarray, crops: np.ndarray, count: int, tracker: FaceTracker) -> Driver:
    """The piece of a clip that is looked at, from the points of its track (T, 478, 3) and its crops (T, 3)."""
    start = WINDOWS.get(path.stem, -1)
    if not 0 <= start <= len(points) - count:
        start = liveliest(points, count)
    frames = list(range(start, min(start + count, len(points))))
    wanted = set(frames)
    pictures = [crop_image(f.image, crops[f.index]) for f in VideoReader(path) if f.index in wanted]
    tracked = np.stack(list(follow(pictures, tracker)))
    return Driver(path, frames[: len(pictures)], pictures, points[frames][: len(pictures)], tracked)


def liveliest(points: np.ndarray, count: int, step: int = 5) -> int:
    """Where of (T, 478, 3) the `count` frames begin in which mouth, lids and gaze go farthest, each over its range."""
    series = np.stack([looks.lip_gap(points), eye_opening(points).mean(-1), gaze_angles(points)[:, 0]], 1)
    whole = np.maximum(np.ptp(series, 0), 1e-9)
    starts = range(0, max(len(points) - count, 0) + 1, step)
    return max(starts, key=lambda s: float((np.ptp(series[s : s + count], 0) / whole).sum()))


def follow(pictures: Iterable[np.ndarray], tracker: FaceTracker) -> Iterator[np.ndarray]:
    """The face (478, 3) of each of some pictures that follow one another, NaN where there is none."""
    tracker.reset()
    for picture in pictures:
        found = tracker.follow(picture)
        yield np.full((N_POINTS, 3), np.nan, np.float32) if found is None else found.points
    tracker.reset()


def look(
    pictures: Iterable[np.ndarray], points: np.ndarray, kept: set[int], tracker: FaceTracker | None, flickers: bool
) -> Result:
    """A result, from its pictures as they come; `tracker` where it is to be tracked again, `flickers` where wanted."""
    shown: dict[int, np.ndarray] = {}
    every: list[np.ndarray] = []

    def passing() -> Iterator[np.ndarray]:
        for index, picture in enumerate(pictures):
            if index in kept:
                shown[index] = picture
            if flickers:
                every.append(picture)
            yield picture

    tracked = None
    if tracker is not None:
        tracked = np.stack(list(follow(passing(), tracker)))
    else:
        for _ in passing():
            pass
    return Result(shown, points, tracked, looks.flicker(every, points) if flickers else None)


def mouth_figures(driver: Driver, result: Result) -> dict[str, float]:
    """MOUTH: means over the open frames, and over those that are wide open."""
    contrasts, flats, wide = [], [], []
    gaps = looks.lip_gap(driver.points)
    for i in driver.open:
        pairs = ((driver.pictures[i], driver.points[i]), (result.pictures[i], result.points[i]))
        theirs, mine = (looks.inside_lips(points, image.shape[:2]) for image, points in pairs)
        if min(theirs.sum(), mine.sum()) < looks.SETTINGS.least_inside:
            continue
        contrasts.append(looks.contrast(pairs[1][0], mine) / max(looks.contrast(pairs[0][0], theirs), 1e-6))
        flats.append(looks.flat_share(pairs[1][0][mine]))
        wide.append(gaps[i] > WIDE)
    of_wide = [[v for v, w in zip(values, wide, strict=True) if w] for values in (contrasts, flats)]
    return dict(zip(MOUTH, map(mean, (contrasts, flats, *of_wide)), strict=True))


def amplitudes(driver: Driver, result: Result) -> dict[str, float]:
    """AMPLITUDES: slopes over the driver of lids, gaze to the sides and mouth, as tracked in the result.

    `plain` those of ordinary least squares, `drawn` those of the points that are drawn; `wide`: openings over the
    driver's.
    """
    assert result.tracked is not None
    both = np.isfinite(driver.tracked[:, 0, 0]) & np.isfinite(result.tracked[:, 0, 0])
    values = dict.fromkeys(AMPLITUDES, float("nan"))
    if both.sum() < 3:
        return values
    theirs, mine, drawn = driver.tracked[both], result.tracked[both], result.points[both]
    awake = np.minimum(looks.opened_part(theirs), looks.opened_part(mine)) > _AWAKE
    for name, measure in _PART_OF.items():
        counted = awake if name == "gaze" else np.ones(len(mine), bool)
        pair = measure(mine)[counted], measure(theirs)[counted]
        values[name] = looks.slope(*pair, LEAST[name])
        if name in EYES:
            values[f"{name} plain"] = looks.plain_slope(*pair, LEAST[name])
            values[f"{name} r"] = looks.agreement(*pair, LEAST[name])
            values[f"{name} drawn"] = looks.slope(measure(drawn)[counted], pair[1], LEAST[name])
    wide = looks.lip_gap(theirs) > WIDE
    if wide.any():
        values["mouth, wide"] = float(mouth_opening(mine[wide]).mean() / mouth_opening(theirs[wide]).mean())
    return values


def mirrored(driver: Driver, tracker: FaceTracker) -> dict[str, float]:
    """What the measures of lids and gaze say of the driver's own pictures, mirrored, over what they say of them as they
    are: 1 each, if they were measures of the face alone.
    """
    pictures = (np.ascontiguousarray(picture[:, ::-1]) for picture in driver.pictures)
    tracked = np.stack(list(follow(pictures, tracker)))
    both = np.isfinite(driver.tracked[:, 0, 0]) & np.isfinite(tracked[:, 0, 0])
    if both.sum() < 3:
        return {"lids": float("nan"), "gaze": float("nan")}
    theirs, mine = driver.tracked[both], tracked[both]
    lids, own = looks.opened_part(mine), looks.opened_part(theirs)
    awake = np.minimum(lids, own) > _AWAKE
    gaze, seen = -gaze_angles(mine)[awake, 0], gaze_angles(theirs)[awake, 0]
    return {"lids": looks.slope(lids, own, LEAST["lids"]), "gaze": looks.slope(gaze, seen, LEAST["gaze"])}


def mean(values: Sequence[float] | Iterable[float]) -> float:
    """The mean of those that are numbers; NaN where there is none."""
    known = [v for v in values if np.isfinite(v)]
    return float(np.mean(known)) if known else float("nan")


def _evenly(length: int, count: int) -> set[int]:
    return {int(k) for k in np.linspace(0, length - 1, min(count, length)).round()} if length else set()


def _apart(ranked: Iterable[int], count: int) -> list[int]:
    chosen: list[int] = []
    near: Callable[[int], bool] = lambda i: any(abs(i - j) < _APART for j in chosen)  # noqa: E731 one line of three
    for i in map(int, ranked):
        if len(chosen) < count and not near(i):
            chosen.append(i)
    return chosen
