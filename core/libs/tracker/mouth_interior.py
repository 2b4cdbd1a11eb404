"""What a driver's open mouth shows, as four numbers a frame: upper teeth, lower teeth, tongue, and its light.

Each picture is looked at between its lips: the tracker's ring is laid onto the lips of the picture, what lies inside is
straightened into a small view, and once all views are there, what is tooth and what is tongue in this clip's light is
told by their colours. Numbers only: nothing of the picture is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from core.data.records import MOUTH_STEPS, MOUTH_UNKNOWN, frames_of_shots
from core.libs.face_light import colourfulness, light_on, light_on_teeth, linear, luminance
from core.libs.face_measures import lip_distance
from core.libs.geometry import Camera
from core.libs.numeric import blocks, interpolate_gaps, smoothstep
from core.libs.tracker.mouth_ring import RingSettings, ViewSettings, ring_on_picture, straightened
from core.libs.tracker.point_buffer import FrameBuffer

UNSEEN_LIGHT = 0.7  # of a tongue that no frame shows: the usual one's among those that are seen, by eye
_MILLIMETRE = 0.005  # head units: a head unit is 200 mm
_SKIN_POINTS = (50, 280, 205, 425, 101, 330, 36, 266)  # cheeks


@dataclass(frozen=True)
class ReadingSettings:
    """How views become numbers. The prototype's (shared/spec), but for the times, which it gave in frames.

    Attributes:
        pale: colourfulness, under the light on the skin, below which a bright pixel is a tooth's.
        colourful: colourfulness of teeth and of what is none, under the light on the teeth, over the lips'.
        lips: bounds of the lips'.
        bright: luminance of what is no tooth and of teeth, over the anchor's.
        most_columns: share of a row's columns that must be teeth. begins: rows in which a run may begin, from outside.
        full: share of the rows that closed teeth fill. line: by how much the line between both rows is darker.
        tongue: luminance over the red anchor's. filled: share of the rows below that are as bright. thick:
            rows that a tongue has at least; a single one is the blurred edge of a tooth.
        still: seconds of the median over time. blur: of the Gaussian after it.
        least_teeth: share of all pixels; with fewer in the clip nothing is told.
        least_open: millimetres between the lips, from which there is something to see.
        most_views: that a shot's colours are judged by; bounds memory.
        skin_every: frames after which the skin's colour is read again, whether the mouth is open or not.
    """

    pale: float = 0.30
    colourful: tuple[float, float] = (0.5, 0.78)
    lips: tuple[float, float] = (0.35, 0.70)
    bright: tuple[float, float] = (0.16, 0.42)
    most_columns: float = 0.45
    begins: int = 14
    full: float = 0.9
    line: float = 0.12
    tongue: float = 0.42
    filled: float = 0.5
    thick: int = 3
    still: float = 0.16
    blur: float = 0.05
    least_teeth: float = 0.01
    least_open: float = 1.2
    most_views: int = 1024
    skin_every: int = 12


_CAMERA, _RING, _VIEW, _READING = Camera(), RingSettings(), ViewSettings(), ReadingSettings()


class MouthReader:
    """Looks into the mouth of one driver, frame after frame; `numbers` tells what there was, when all were looked at.

    Args:
        length: frames of the clip. fps: frames per second.
        shots: (length,) numbers of their shots, see `TrackedSequence`; each is judged by its own light.
        camera: of the crops. ring, view, reading: how the lips are found, sampled, and what is read between them.
    """

    def __init__(
        self,
        length: int,
        fps: Fraction | float,
        shots: np.ndarray | None = None,
        camera: Camera = _CAMERA,
        ring: RingSettings = _RING,
        view: ViewSettings = _VIEW,
        reading: ReadingSettings = _READING,
    ) -> None:
        self._fps = float(fps)
        self._shots = np.zeros(length, int) if shots is None else shots
        self._camera, self._ring, self._view, self._reading = camera, ring, view, reading
        self._views = FrameBuffer(view.shape, np.uint8)
        self._open = np.zeros(length, bool)
        self._skin: dict[int, np.ndarray] = {}
        self._curve = view.curve

    def __enter__(self) -> MouthReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._views.close()

    def wants(self, points: np.ndarray, transform: np.ndarray) -> bool:
        """Whether there is something to see between the lips of points (478, 2..3) in a crop; the head's (3, 4)."""
        return mouth_is_open(points, transform, self._camera, self._reading)

    def look(
        self, index: int, picture: np.ndarray, points: np.ndarray, transform: np.ndarray, cheeks: bool = True
    ) -> None:
        """One frame, in order: its crop (S, S, 3) uint8 RGB, the points (478, 2..3) in it, the head's (3, 4).

        `cheeks`: whether the skin's colour is read, which the picture has to show; see `with_cheeks`.
        """
        points = points[:, :2].astype(np.float64)
        if cheeks:
            self._skin[index] = cheek_colour(picture, points)
        if not self.wants(points, transform):
            return
        while len(self._views) <= index:
            self._views.append(None)
        view = straightened(picture, ring_on_picture(picture, points, self._ring), self._curve, self._view)
        if view is not None:
            self._views[index], self._open[index] = view, True

    def numbers(self) -> np.ndarray | None:
        """(T, 4) uint8 in steps of `MOUTH_STEPS`, MOUTH_UNKNOWN in shots without teeth to judge by; None if all are."""
        values = np.full((len(self._open), 4), np.nan)
        for shot in np.unique(self._shots[self._open]):
            frames = np.flatnonzero(self._open & (self._shots == shot))
            anchors = self._anchors(frames)
            if anchors is not None:
                for i in frames:
                    values[i] = read_view(self._views[int(i)], anchors, self._reading, self._view)
        if not np.isfinite(values).any():
            return None
        out = np.full(values.shape, MOUTH_UNKNOWN, np.uint8)
        for run in frames_of_shots(self._shots):
            if np.isfinite(values[run, 0]).any():
                out[run] = quantised(steady(values[run], self._fps, self._reading))
        return out

    def _anchors(self, frames: np.ndarray) -> Anchors | None:
        """Of all open frames of a shot, or of as many of them, evenly spread, as memory should hold."""
        chosen = frames[
            np.unique(np.linspace(0, len(frames) - 1, min(len(frames), self._reading.most_views)).astype(int))
        ]
        views = np.concatenate([self._views[chosen[part]] for part in blocks(len(chosen))])
        skin = [value for index, value in self._skin.items() if self._shots[index] == self._shots[frames[0]]]
        return find_anchors(views, np.median(skin, 0), self._reading, self._view) if skin else None


def with_cheeks(visible: np.ndarray, shots: np.ndarray | None, settings: ReadingSettings = _READING) -> np.ndarray:
    """(T,) bool, in which frames the skin's colour is read: every few ones, and as soon as a shot shows a face.

    `visible` (T,): where there is a face. `shots` (T,): their numbers, None where there is one.
    """
    wanted = np.arange(len(visible)) % settings.skin_every == 0
    for frames in frames_of_shots(np.zeros(len(visible), int) if shots is None else shots):
        wanted[frames[visible[frames]][:1]] = True
    return wanted


def mouth_is_open(
    points: np.ndarray, transform: np.ndarray, camera: Camera = _CAMERA, settings: ReadingSettings = _READING
) -> bool:
    """Whether there is something to see between the lips of points (478, 2..3) in a crop; the head's (3, 4)."""
    gap = lip_distance(points[:, :2]) * transform[2, 3] / camera.pixels_per_unit  # head units
    return bool(gap / _MILLIMETRE >= settings.least_open)


@dataclass(frozen=True)
class Anchors:
    """What a clip's colours are judged by.

    Attributes:
        light: chroma (3,), under which the clip's teeth are white. teeth, red: luminance of teeth and of red tissue.
        lips: colourfulness of the lips under that light.
    """

    light: np.ndarray
    teeth: float
    red: float
    lips: float


def find_anchors(
    views: np.ndarray, skin: np.ndarray, settings: ReadingSettings = _READING, grid: ViewSettings = _VIEW
) -> Anchors | None:
    """From views (N, 36, 13, 3) uint8 of open mouths and the skin (3,) in 0..255; None with too few teeth in them."""
    lips = linear(
        np.concatenate([views[:, : grid.lip_rows], views[:, -grid.lip_rows :]], 1).reshape(-1, 3) / np.float32(255)
    )
    pixels = views[:, grid.beyond : -grid.beyond].reshape(-1, 3)
    colors, skin = linear(pixels / np.float32(255)), np.maximum(linear(skin / 255), 1e-4)
    light = light_on(skin)
    colourful, bright = colourfulness(colors, light), luminance(colors)
    teeth = (colourful < settings.pale) & (bright > 0.35 * luminance(skin))
    if teeth.sum() < max(settings.least_teeth * bright.size, 1):
        return None
    best = teeth & (bright >= np.percentile(bright[teeth], 60))
    tooth = np.median(colors[best], 0)
    light = light_on_teeth(tooth)
    colourful = colourfulness(colors, light)
    red = bright[(colourful > 0.33) & (colors[:, 0] > 1.3 * colors[:, 1])]
    return Anchors(
        light,
        float(np.median(bright[best])),
        float(np.median(red[red >= np.percentile(red, 75)])) if len(red) else float(luminance(skin)) / 2,
        float(np.clip(np.median(colourfulness(lips, light)), *settings.lips)),
    )


def read_view(
    view: np.ndarray, anchors: Anchors, settings: ReadingSettings = _READING, grid: ViewSettings = _VIEW
) -> np.ndarray:
    """(4,) upper teeth, lower teeth, tongue's top from the lower lip, over the opening; its light. `view` is uint8.

    Of a tongue that is not seen the light is NaN: it is not dark.
    """
    rows, beyond = grid.rows, grid.beyond
    colors = linear(np.arange(256, dtype=np.uint8) / np.float32(255))[view]  # there are fewer levels than pixels
    bright = luminance(colors)
    low, high = (share * anchors.lips for share in settings.colourful)
    pale = smoothstep(high - colourfulness(colors, anchors.light), 0, high - low)
    teeth = (pale * smoothstep(bright / anchors.teeth, *settings.bright)).mean(1) > settings.most_columns
    first, upper = _run(teeth, settings.begins)
    last, lower = _run(teeth[::-1], settings.begins)
    last = len(teeth) - last
    if upper and lower and (first + upper >= last - lower or upper + lower >= settings.full * rows):
        begin, end = max(first, beyond), max(min(last, beyond + rows), max(first, beyond))
        split = _bite(np.median(bright[begin:end], 1), settings.line)
        return np.array([split / rows, (end - begin - split) / rows, 0.0, np.nan])
    between = slice(max(first + upper, beyond), last - lower if lower else beyond + rows)
    shine = bright.mean(1)[between] / anchors.red
    red = (shine > settings.tongue) & ~teeth[between]
    # Of all rows that are as bright the highest one below which most are: a plain run would end at the shadow under it.
    filled = np.cumsum(red[::-1])[::-1] / np.arange(len(red), 0, -1)
    run = np.lib.stride_tricks.sliding_window_view(np.pad(red, (0, settings.thick - 1)), settings.thick).all(1)
    tops = np.flatnonzero(run & (filled > settings.filled))
    if not len(tops):
        return np.array([upper / rows, lower / rows, 0.0, np.nan])
    top = beyond + rows - (between.start + tops[0])
    return np.array([upper / rows, lower / rows, top / rows, np.clip(shine[tops[0] :].mean(), 0.2, 1.2)])


def steady(values: np.ndarray, fps: float, settings: ReadingSettings = _READING) -> np.ndarray:
    """Numbers (T, 4) over time: what is NaN interpolated, rows and tongue where a mouth was shut and the tongue's light
    where none was seen; then a median, which takes out single misread frames, then a
    Gaussian. Both are as long in seconds at every rate.
    """
    from scipy.ndimage import (  # a run that finds photo and driver in the cache does without it
        gaussian_filter1d,
        median_filter,
    )

    known = np.isfinite(values)
    shape = interpolate_gaps(values[:, :3], np.flatnonzero(known[:, 0]))
    light = np.full((len(values), 1), UNSEEN_LIGHT)
    if known[:, 3].any():
        light = interpolate_gaps(values[:, 3:], np.flatnonzero(known[:, 3]))
    values = np.concatenate([shape, light], 1)
    size = 2 * round(settings.still * fps / 2) + 1
    return gaussian_filter1d(median_filter(values, (size, 1), mode="nearest"), settings.blur * fps, 0, mode="nearest")


def quantised(values: np.ndarray) -> np.ndarray:
    """Numbers as a tracked folder holds them, uint8."""
    return np.clip(np.round(values / MOUTH_STEPS), 0, 255).astype(np.uint8)


def _run(rows: np.ndarray, begins: int) -> tuple[int, int]:
    """Where the first run of true rows begins and how long it is, of those that begin early enough; 0, 0: none."""
    found = np.flatnonzero(rows[:begins])
    if not len(found):
        return 0, 0
    ends = np.flatnonzero(~rows[found[0] :])
    return int(found[0]), int(ends[0]) if len(ends) else len(rows) - int(found[0])


def _bite(bright: np.ndarray, line: float) -> int:
    """Rows (N,) of closed teeth that are the upper ones': up to the darker line between the rows; all without one."""
    above, below = np.maximum.accumulate(bright), np.maximum.accumulate(bright[::-1])[::-1]
    depth = 1 - bright / np.maximum(np.minimum(above, below), 1e-6)
    return int(depth.argmax()) if len(depth) and depth.max() > line else len(bright)


def cheek_colour(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(3,) the median of small patches on the cheeks, 0..255."""
    places = np.clip(np.round(points[list(_SKIN_POINTS)]).astype(int), 2, np.array(picture.shape[1::-1]) - 3)
    return np.median(np.concatenate([picture[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3) for x, y in places]), 0)
