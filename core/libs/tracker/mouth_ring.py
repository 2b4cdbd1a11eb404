"""The inner lips where a picture has them, and what lies between them as a small upright view."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numba
import numpy as np

from core.libs.face_measures import lip_distance
from core.libs.flame_model import topology as topo


@dataclass(frozen=True)
class RingSettings:
    """How the ring is laid onto the lips; lengths in units of a face whose `face_size` is 100.

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
class ViewSettings:
    """The grid on which the inside of a mouth is sampled. By eye.

    Attributes:
        rows: between the lips. beyond: rows beyond each of them; lip_rows: the outermost of those, taken for lip.
        columns: of curves along the lips from corner to corner; first, last: those in the middle that are used.
    """

    rows: int = 24
    beyond: int = 6
    lip_rows: int = 3
    columns: int = 31
    first: int = 9
    last: int = 22

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of a view: (36, 13, 3)."""
        return self.rows + 2 * self.beyond, self.last - self.first, 3

    @property
    def curve(self) -> np.ndarray:
        """(13, 11): what makes places on a lip of its 11 points from corner to corner."""
        return _catmull_rom(len(topo.INNER_LIPS) // 2 + 1, self.columns)[self.first : self.last]


_VIEW = ViewSettings()


def face_size(points: np.ndarray) -> float:
    """Pixels: the width of the eyes and the length of the nose together, of points (478, 2..3) in a picture."""
    eyes, nose = points[33, :2] - points[263, :2], points[168, :2] - points[2, :2]
    return float(np.linalg.norm(eyes) + np.linalg.norm(nose))


def ring_on_picture(picture: np.ndarray, points: np.ndarray, settings: RingSettings) -> np.ndarray:
    """The inner lips (20, 2) where the picture has them: where colours change from the lips' to what lies within.

    A region cost along each normal, the smoothest course round the ring by dynamic programming. An edge detector would
    snap to the edge between teeth and dark.
    """
    ring, outer = points[list(topo.INNER_LIPS)], points[list(topo.OUTER_LIPS)]
    unit = face_size(points) / 100
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
    # Colours are looked at in places between inner and outer lips, and along the normals.
    lip_places = ring[:, None] + np.array([0.55, 0.75])[:, None] * (outer - ring)[:, None]
    places = np.concatenate([lip_places, ring[:, None] + along[:, None] * normal[:, None]], 1)
    blur = settings.blur * max(unit, 0.7)
    margin = int(np.ceil(4 * blur)) + 2  # as far as the blur looks
    x0, y0 = np.maximum(np.floor(places.min((0, 1))).astype(int) - margin, 0)
    x1, y1 = np.maximum(np.ceil(places.max((0, 1))).astype(int) + margin, 0)
    part = picture[y0:y1, x0:x1]
    if min(part.shape[:2]) < 3:
        return ring
    part = cv2.GaussianBlur(part.astype(np.float32), (0, 0), blur)
    there = (places - [x0, y0]).astype(np.float32)
    colours = cv2.remap(part, there, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    lab = cv2.cvtColor(colours / np.float32(255), cv2.COLOR_RGB2LAB) * np.float32(settings.axes)
    lips, seen = lab[:, :2], lab[:, 2:]
    upper, lower = (np.median(lips[part].reshape(-1, 3), 0) for part in (slice(1, 10), slice(11, 20)))
    reference = np.concatenate([np.tile(upper, (10, 1)), np.tile(lower, (10, 1))])
    reference[[0, 10]] = (upper + lower) / 2
    difference = seen - reference[:, None]
    similarity = np.exp(-(difference**2).sum(-1) / (2 * settings.spread**2))
    # Half way between the lips' and what lies within, or an inside of the lips' colour would pass for lip.
    similarity -= np.maximum((1 + similarity[:, :1]) / 2, 0.5)
    inside = np.cumsum(similarity, 1)[:, : settings.steps]
    cost = settings.cost * step / unit * (2 * inside - similarity.sum(1, keepdims=True))
    cost += settings.far * (offsets / unit) ** 2
    chosen = offsets[smoothest_ring(cost, settings.uneven * (step / unit) ** 2)]
    chosen = (np.roll(chosen, 1) + 2 * chosen + np.roll(chosen, -1)) / 4 - settings.inwards * unit
    return ring + chosen[:, None] * normal


@numba.njit(cache=True, nogil=True)
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


def straightened(
    picture: np.ndarray,  # (S, S, 3) uint8
    ring: np.ndarray,  # (20, 2) pixels
    curve: np.ndarray,  # (13, 11), `ViewSettings.curve`
    settings: ViewSettings = _VIEW,
) -> np.ndarray | None:  # (36, 13, 3) uint8
    """The view between the lips of a ring and a little beyond: rows from lip to lip, columns along them.

    None where it is less than 3 pixels wide or reaches beyond the picture.
    """
    upper, lower = curve @ ring[:11], curve @ ring[[0, *range(19, 9, -1)]]
    down = (np.arange(-settings.beyond, settings.rows + settings.beyond) + 0.5) / settings.rows
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
