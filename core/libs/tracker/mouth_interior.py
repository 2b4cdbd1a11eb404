"""What a driver's open mouth shows, as four numbers a frame: upper teeth, lower teeth, tongue, and its light.

Each picture is looked at between its lips: the tracker's ring is laid onto the lips of the picture, what lies inside is
straightened into a small view, and once all views are there, what is tooth and what is tongue in this clip's light is
told by their colours. Numbers only: nothing of the picture is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import cv2
import numba
import numpy as np
from scipy.ndimage import gaussian_filter1d, median_filter

from core.data.records import FOCAL, IMAGE_SIZE, MOUTH_STEPS, MOUTH_UNKNOWN, frames_of_shots
from core.libs.face_light import colourfulness, light_on, light_on_teeth, linear, luminance
from core.libs.face_measures import lip_distance
from core.libs.flame_model import topology as topo
from core.libs.tracker.point_buffer import FrameBuffer, chunks

_MM = 0.005  # head units
_UPPER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)  # the inner lips from corner to corner
_LOWER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
_SKIN_POINTS = (50, 280, 205, 425, 101, 330, 36, 266)  # cheeks
_LEAST_OPEN = 1.2  # millimetres between the lips, from which there is something to see
_ROWS, _BEYOND = 24, 6  # of a view: between the lips, and beyond each of them
_LIP_ROWS = 3  # of those beyond: surely lip
_COLUMNS, _FIRST, _LAST = 31, 9, 22  # of the curves from corner to corner; those in the middle that are looked at
_MOST_VIEWS = 1024  # that a shot is judged by
_SKIN_EVERY = 12  # frames
VIEW = (_ROWS + 2 * _BEYOND, _LAST - _FIRST, 3)


@dataclass(frozen=True)
class RingSettings:
    """How the ring is laid onto the lips; lengths in units of a face whose eyes' width and nose add up to 100.

    All numbers are the prototype's (shared/spec), found by eye on five drivers.

    Attributes:
        steps: places tried along each normal. reach: at most so far. beyond: looked at past it.
        of_gap_in, of_gap_out: reach over the opening. blur: of the picture. spread: of the lips' colours, in Lab.
        axes: weights of L, a and b. cost: of wrong colours. far, uneven: of squared offsets and their differences.
        inwards: what the ring is shrunk by in the end.
    """

    steps: int = 17
    reach: float = 8.0
    beyond: float = 3.0
    of_gap_in: float = 0.28
    of_gap_out: float = 0.25
    blur: float = 0.8
    spread: float = 11.0
    axes: tuple[float, float, float] = (0.6, 1.3, 1.0)
    cost: float = 0.5
    far: float = 0.02
    uneven: float = 0.10
    inwards: float = 0.4


@dataclass(frozen=True)
class ReadingSettings:
    """How views become numbers. The prototype's (shared/spec), but for the times, which it gave in frames.

    Attributes:
        pale: colourfulness, under the light on the skin, below which a bright pixel is surely tooth.
        colourful: of teeth and of what is none, under their own light, over the lips'. lips: theirs, at least and most.
        bright: luminance of what is no tooth and of teeth, over the anchor's.
        most_columns: share of a row's columns that must be teeth. begins: rows in which a run may begin, from outside.
        full: share of the rows that closed teeth fill. line: by how much the line between both rows is darker.
        tongue: luminance over the red anchor's. filled: share of the rows below that are as bright.
        still: seconds of the median over time. blur: of the Gaussian after it.
        least_teeth: share of all pixels; with fewer in the clip nothing is told.
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
    filled: float = 0.6
    still: float = 0.16
    blur: float = 0.05
    least_teeth: float = 0.01


class MouthReader:
    """Looks into the mouth of one driver, frame after frame; `numbers` tells what there was, when all were looked at.

    Args:
        length: frames of the clip. fps: frames per second.
        shots: (length,) numbers of their shots, see `TrackedSequence`; each is judged by its own light.
    """

    def __init__(
        self,
        length: int,
        fps: Fraction | float,
        shots: np.ndarray | None = None,
        ring: RingSettings | None = None,
        reading: ReadingSettings | None = None,
    ) -> None:
        self._fps = float(fps)
        self._shots = np.zeros(length, int) if shots is None else shots
        self._ring, self._reading = ring or RingSettings(), reading or ReadingSettings()
        self._views = FrameBuffer(VIEW, np.uint8)
        self._open = np.zeros(length, bool)
        self._skin: dict[int, np.ndarray] = {}
        self._curve = _catmull_rom(len(_UPPER), _COLUMNS)[_FIRST:_LAST]

    def __enter__(self) -> MouthReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._views.close()

    def wants(self, points: np.ndarray, transform: np.ndarray) -> bool:
        """Whether there is something to see between the lips of points (478, 2..3) in a crop; the head's (3, 4)."""
        return bool(lip_distance(points[:, :2]) * transform[2, 3] / (FOCAL * IMAGE_SIZE / 2) / _MM >= _LEAST_OPEN)

    def look(self, index: int, picture: np.ndarray, points: np.ndarray, transform: np.ndarray) -> None:
        """One frame, in order: its crop (512, 512, 3) uint8 RGB, the points (478, 2..3) in it, the head's (3, 4)."""
        if not self.wants(points, transform):
            return
        points = points[:, :2].astype(np.float64)
        while len(self._views) <= index:
            self._views.append(None)
        last = max(self._skin, default=None)
        if last is None or index - last >= _SKIN_EVERY or self._shots[last] != self._shots[index]:
            self._skin[index] = _skin(picture, points)
        view = straightened(picture, ring_on_picture(picture, points, self._ring), self._curve)
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
                    values[i] = read_view(self._views[int(i)], anchors, self._reading)
        if not np.isfinite(values).any():
            return None
        out = np.full(values.shape, MOUTH_UNKNOWN, np.uint8)
        for run in frames_of_shots(self._shots):
            if np.isfinite(values[run, 0]).any():
                out[run] = quantised(steady(values[run], self._fps, self._reading))
        return out

    def _anchors(self, frames: np.ndarray) -> Anchors | None:
        """Of all open frames of a shot, or of as many of them, evenly spread, as memory should hold."""
        chosen = frames[np.unique(np.linspace(0, len(frames) - 1, min(len(frames), _MOST_VIEWS)).astype(int))]
        views = np.concatenate([self._views[chosen[part]] for part in chunks(len(chosen))])
        skin = [value for index, value in self._skin.items() if self._shots[index] == self._shots[frames[0]]]
        return find_anchors(views, np.median(skin, 0), self._reading)


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


def find_anchors(views: np.ndarray, skin: np.ndarray, settings: ReadingSettings) -> Anchors | None:
    """From views (N, 36, 13, 3) uint8 of open mouths and the skin (3,) in 0..255; None with too few teeth in them."""
    lips = linear(np.concatenate([views[:, :_LIP_ROWS], views[:, -_LIP_ROWS:]], 1).reshape(-1, 3) / np.float32(255))
    pixels = views[:, _BEYOND:-_BEYOND].reshape(-1, 3)
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


def read_view(view: np.ndarray, anchors: Anchors, settings: ReadingSettings) -> np.ndarray:
    """(4,) upper teeth, lower teeth, tongue's top from the lower lip, over the opening; its light. `view` is uint8."""
    colors = linear(view / np.float32(255))
    bright = luminance(colors)
    low, high = (share * anchors.lips for share in settings.colourful)
    pale = _smoothstep(high - colourfulness(colors, anchors.light), 0, high - low)
    teeth = (pale * _smoothstep(bright / anchors.teeth, *settings.bright)).mean(1) > settings.most_columns
    first, upper = _run(teeth, settings.begins)
    last, lower = _run(teeth[::-1], settings.begins)
    last = len(teeth) - last
    if upper and lower and (first + upper >= last - lower or upper + lower >= settings.full * _ROWS):
        begin, end = max(first, _BEYOND), max(min(last, _BEYOND + _ROWS), max(first, _BEYOND))
        split = _bite(np.median(bright[begin:end], 1), settings.line)
        return np.array([split / _ROWS, (end - begin - split) / _ROWS, 0.0, 0.2])
    between = slice(max(first + upper, _BEYOND), last - lower if lower else _BEYOND + _ROWS)
    shine = bright.mean(1)[between] / anchors.red
    red = (shine > settings.tongue) & ~teeth[between]
    # Of all rows that are as bright the highest one below which most are: a plain run would end at the shadow under it.
    filled = np.cumsum(red[::-1])[::-1] / np.arange(len(red), 0, -1)
    tops = np.flatnonzero(red & (filled > settings.filled))
    if not len(tops):
        return np.array([upper / _ROWS, lower / _ROWS, 0.0, 0.2])
    top = _BEYOND + _ROWS - (between.start + tops[0])
    return np.array([upper / _ROWS, lower / _ROWS, top / _ROWS, np.clip(shine[tops[0] :].mean(), 0.2, 1.2)])


def steady(values: np.ndarray, fps: float, settings: ReadingSettings) -> np.ndarray:
    """Numbers (T, 4) over time: what is NaN interpolated, then a median, which takes out single misread frames, then a
    Gaussian. Both are as long in seconds at every rate.
    """
    known = np.isfinite(values[:, 0])
    frames = np.arange(len(values))
    values = np.stack([np.interp(frames, frames[known], column[known]) for column in values.T], 1)
    size = 2 * round(settings.still * fps / 2) + 1
    return gaussian_filter1d(median_filter(values, (size, 1), mode="nearest"), settings.blur * fps, 0, mode="nearest")


def quantised(values: np.ndarray) -> np.ndarray:
    """Numbers as a tracked folder holds them, uint8."""
    return np.clip(np.round(values / MOUTH_STEPS), 0, 255).astype(np.uint8)


def ring_on_picture(picture: np.ndarray, points: np.ndarray, settings: RingSettings) -> np.ndarray:
    """The inner lips (20, 2) where the picture has them: where colours change from the lips' to what lies within.

    A region cost along each normal, the smoothest course round the ring by dynamic programming. An edge detector would
    snap to the edge between teeth and dark.
    """
    ring, outer = points[list(topo.INNER_LIPS)], points[list(topo.OUTER_LIPS)]
    unit = (np.linalg.norm(points[33] - points[263]) + np.linalg.norm(points[168] - points[2])) / 100
    gap = lip_distance(points)
    inner, outward = -min(settings.reach * unit, settings.of_gap_in * gap), settings.of_gap_out * gap + 0.5 * unit
    outward = min(settings.reach * unit, outward)
    tangent = np.roll(ring, -1, 0) - np.roll(ring, 1, 0)
    normal = np.stack([tangent[:, 1], -tangent[:, 0]], 1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    normal *= np.sign(((ring - ring.mean(0)) * normal).sum())
    offsets = np.linspace(inner, outward, settings.steps)
    step = offsets[1] - offsets[0]
    further = int(np.ceil(settings.beyond * unit / step))
    along = np.concatenate([offsets, outward + step * np.arange(1, further + 1)])
    margin = int(np.ceil(12 * unit)) + 4
    x0, y0 = np.maximum(np.floor(np.minimum(ring, outer).min(0)).astype(int) - margin, 0)
    x1, y1 = np.ceil(np.maximum(ring, outer).max(0)).astype(int) + margin
    part = picture[y0:y1, x0:x1]
    if min(part.shape[:2]) < 3:
        return ring
    part = cv2.GaussianBlur(part.astype(np.float32) / 255, (0, 0), settings.blur * max(unit, 0.7))
    lab = cv2.cvtColor(part, cv2.COLOR_RGB2LAB) * np.float32(settings.axes)

    def at(places: np.ndarray) -> np.ndarray:
        there = (places - [x0, y0]).astype(np.float32)
        return cv2.remap(lab, there.reshape(len(there), -1, 2), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    lips = at(ring[:, None] + np.array([0.55, 0.75])[:, None] * (outer - ring)[:, None])
    upper, lower = (np.median(lips[part].reshape(-1, 3), 0) for part in (slice(1, 10), slice(11, 20)))
    reference = np.concatenate([np.tile(upper, (10, 1)), np.tile(lower, (10, 1))])
    reference[[0, 10]] = (upper + lower) / 2
    away = at(ring[:, None] + along[:, None] * normal[:, None]) - reference[:, None]
    like = np.exp(-(away**2).sum(-1) / (2 * settings.spread**2))
    # Half way between the lips' and what lies within, or an inside of the lips' colour would pass for lip.
    like -= np.maximum((1 + like[:, :1]) / 2, 0.5)
    inside = np.cumsum(like, 1)[:, : settings.steps]
    cost = settings.cost * step / unit * (2 * inside - like.sum(1, keepdims=True))
    cost += settings.far * (offsets / unit) ** 2
    chosen = offsets[smoothest_ring(cost, settings.uneven * (step / unit) ** 2)]
    chosen = (np.roll(chosen, 1) + 2 * chosen + np.roll(chosen, -1)) / 4 - settings.inwards * unit
    return ring + chosen[:, None] * normal


@numba.njit(cache=True)
def smoothest_ring(cost: np.ndarray, uneven: float) -> np.ndarray:
    """(N,) the state of each point of a ring, by its costs (N, K) and by `uneven` times squared steps between
    neighbours: dynamic programming (Viterbi) twice round, so that the beginning does not show.
    """
    points, states = cost.shape
    total = np.zeros(states)
    came = np.empty((2 * points, states), np.int64)
    for turn in range(2 * points):
        next_total = np.empty(states)
        for k in range(states):
            best, which = np.inf, 0
            for j in range(states):
                value = total[j] + uneven * (k - j) ** 2
                if value < best:
                    best, which = value, j
            next_total[k] = best + cost[turn % points, k]
            came[turn, k] = which
        total = next_total
    out = np.empty(points, np.int64)
    state = np.argmin(total)
    for turn in range(2 * points - 1, -1, -1):
        # The middle of the two rounds has neighbours on both sides.
        if points // 2 <= turn < points // 2 + points:
            out[turn % points] = state
        state = came[turn, state]
    return out


def straightened(picture: np.ndarray, ring: np.ndarray, curve: np.ndarray) -> np.ndarray | None:
    """The view between the lips of a ring (20, 2) and a little beyond, (36, 13, 3) uint8; None where it is too small.

    `curve` (13, 11): what makes places on a lip of its points.
    """
    upper, lower = curve @ ring[:11], curve @ ring[[0, *range(19, 9, -1)]]
    down = (np.arange(-_BEYOND, _ROWS + _BEYOND) + 0.5) / _ROWS
    places = upper + down[:, None, None] * (lower - upper)
    if np.ptp(places[..., 0]) < 3 or (places < 0).any() or (places >= np.array(picture.shape[1::-1])).any():
        return None
    return cv2.remap(picture, places.astype(np.float32), None, cv2.INTER_LINEAR)


def _catmull_rom(points: int, columns: int) -> np.ndarray:
    """(columns, points): what makes places of equal steps on the spline through points, its ends doubled."""
    matrix = np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2
    out = np.zeros((columns, points))
    for row, t in zip(out, np.linspace(0, points - 1, columns), strict=True):
        i = min(int(t), points - 2)
        weights = (t - i) ** np.arange(4) @ matrix
        for k in range(4):
            row[np.clip(i + k - 1, 0, points - 1)] += weights[k]
    return out


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


def _skin(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(3,) the median of small patches on the cheeks, 0..255."""
    places = np.clip(np.round(points[list(_SKIN_POINTS)]).astype(int), 2, np.array(picture.shape[1::-1]) - 3)
    return np.median(np.concatenate([picture[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3) for x, y in places]), 0)


def _smoothstep(values: np.ndarray, low: float, high: float) -> np.ndarray:
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)
