"""The mouth's inside, pixel by pixel in closed form: cavity, tongue, lower row, upper row. Compiled, on all cores.

`tests/mouth_twin.py` says the same in plain NumPy. The numbers below shade the picture: they are compiled in,
and are the prototype's (shared/spec), by eye; what has a name and a place of its own is in `settings`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np

# How tables and textures are laid out. Here because numba keeps what it compiled until this file changes.
PER_MM = 8  # entries of a row's table
TEXTURE_HEIGHT = 15.5  # millimetres from the biting edge, of the photo's own upper row


class View(NamedTuple):
    """What one picture's mouth is painted from. Lengths in millimetres; float32.

    Attributes:
        to_upper, to_lower: (3, 3) from homogeneous pixels to the plane of a row, x to the person's left and y up from
            its biting edge. eye_upper, eye_lower: (3,) the camera in that plane's coordinates.
        upper, lower: tables of the rows, see `row_table`. photo: (h, w, 4) see `photo_row`.
        teeth, tissue, dark: (3,) linear colours.
        lip_up: height of the upper lip's middle over the upper row's edge. opening: from there to the lower lip.
        tongue: height of its top over the lower row's edge. tongue_bright: of its light, over the tissue's.
        bared: light on the teeth, 0..1. pixel: its size.
        crown_upper, crown_lower, bright_upper, bright_lower, reach_upper, reach_lower: see `Row`.
        arch, deepest, half_width: see `ShapeSettings`.
    """

    to_upper: np.ndarray
    to_lower: np.ndarray
    eye_upper: np.ndarray
    eye_lower: np.ndarray
    upper: np.ndarray
    lower: np.ndarray
    photo: np.ndarray
    teeth: np.ndarray
    tissue: np.ndarray
    dark: np.ndarray
    lip_up: np.float32
    opening: np.float32
    tongue: np.float32
    tongue_bright: np.float32
    bared: np.float32
    pixel: np.float32
    crown_upper: np.float32
    crown_lower: np.float32
    bright_upper: np.float32
    bright_lower: np.float32
    reach_upper: np.float32
    reach_lower: np.float32
    arch: np.float32
    deepest: np.float32
    half_width: np.float32


F = np.float32
_ROOTS = 256  # entries of the table below for 1


def _display_of_roots(entries: int) -> np.ndarray:
    """(2 entries,) float32: x^(2 / 2.2) for x in 0..2, the display value of x^2."""
    return ((np.arange(2 * entries) / entries) ** (2 / 2.2)).astype(np.float32)


_FROM_ROOT = _display_of_roots(_ROOTS)


@numba.njit(cache=True, fastmath=True)
def _step(value: np.float32, low: np.float32, high: np.float32) -> np.float32:
    t = min(max((value - low) / (high - low), F(0)), F(1))
    return t * t * (F(3) - F(2) * t)


@numba.njit(cache=True, fastmath=True)
def _fall(x: np.float32) -> np.float32:
    """exp(-x^2.5): flat in the middle, then quickly down."""
    return math.exp(-x * x * math.sqrt(x))


@numba.njit(cache=True, fastmath=True)
def _on_plane(matrix: np.ndarray, column: np.float32, line: np.float32) -> tuple[np.float32, np.float32]:
    w = F(1) / (matrix[2, 0] * column + matrix[2, 1] * line + matrix[2, 2])
    x = (matrix[0, 0] * column + matrix[0, 1] * line + matrix[0, 2]) * w
    return x, (matrix[1, 0] * column + matrix[1, 1] * line + matrix[1, 2]) * w


@numba.njit(cache=True, fastmath=True)
def _on_arch(
    x: np.float32, y: np.float32, eye: np.ndarray, arch: np.float32, deepest: np.float32
) -> tuple[np.float32, np.float32, np.float32]:
    """Where the ray through a point of a row's plane meets the dental arch behind it: two rounds of a fixed point.

    And how far the arch faces the camera there: 1 as from the front, 0 where it is seen edge-on.
    """
    along, up = (x - eye[0]) / eye[2], (y - eye[1]) / eye[2]
    depth = min(arch * x * x, deepest)
    there = x + along * depth
    depth = min(arch * there * there, deepest)
    there = x + along * depth
    depth = min(arch * there * there, deepest)
    facing = F(1) - F(2) * arch * along * there if depth < deepest else F(1)
    return there, y + up * depth, facing


@numba.njit(cache=True, fastmath=True)
def _row(
    x: np.float32,
    y: np.float32,  # from the biting edge towards the gum
    table: np.ndarray,
    crown: np.float32,
    bright: np.float32,
    reach: np.float32,
    half_width: np.float32,
    teeth: np.ndarray,
    tissue: np.ndarray,
    pixel: np.float32,
    lit: np.float32,  # light that comes in between the lips
    facing: np.float32,  # see `_on_arch`
    tone: np.ndarray,  # (3,) out
) -> np.float32:
    """The colour of a row at a place; returns how much of the pixel it covers."""
    far = abs(x)
    at = min(far * F(PER_MM), F(len(table) - 1.001))
    i = int(at)
    part = at - F(i)
    gap = table[i, 0] + part * (table[i + 1, 0] - table[i, 0])
    edge = table[i, 1] + part * (table[i + 1, 1] - table[i, 1])
    bulge = table[i, 2] + part * (table[i + 1, 2] - table[i, 2])
    soft = max(pixel, F(0.25))
    h = y - edge
    coverage = _step(h, F(-0.55) * soft, F(0.55) * soft) * _step(half_width - far, F(0), F(6))
    coverage *= _step(facing, F(0.1), F(0.55))
    if coverage <= F(0):
        return F(0)
    narrow = gap / max(F(0.35), F(0.5) * soft)
    shade = bulge * (F(1) - F(0.26) * math.exp(-narrow * narrow) * min(F(1), F(0.6) / soft))
    shade *= F(0.80) + F(0.20) * _step(h, F(0), F(1.8))  # the thin biting edge lets light through
    fall = (F(0.12) + F(0.88) * _fall(far / reach)) * (F(1) - F(0.18) * _step(h, F(5), F(10)))
    fall *= F(0.4) + F(0.6) * _step(facing, F(0.2), F(0.9))
    coverage *= _step(fall, F(0.1), F(0.35))  # a tooth in the dark is no shape before a tongue in the light
    crown *= F(1) - F(0.25) * _step(far, F(8), F(24))
    light = max(bright * shade * fall * lit, F(1e-4))
    across = (h - F(3.4)) / F(1.5)
    along = x / F(14)
    gleam = F(0.10) * math.exp(-across * across) * max(F(1) - along * along, F(0)) * bright * lit
    gum = _step(h - (crown - math.cos(F(math.pi) * min(gap / F(3.5), F(1)))), F(-0.8), F(0.8))
    reddest = max(tissue[0], max(tissue[1], tissue[2]))
    log_light = math.log(light)
    for k in range(3):
        # What reaches the back teeth went round a red cavity.
        power = F(1) + F(0.45) * (F(1) - tissue[k] / reddest)
        tooth = teeth[k] * (math.exp(power * log_light) + gleam)
        tone[k] = tooth + gum * (tissue[k] * F(0.85) * fall * lit - tooth)
    return coverage


@numba.njit(cache=True, parallel=True, nogil=True, fastmath=True)
def paint(
    out: np.ndarray,  # (h, w, 3) float32, display values
    x0: int,  # of the window in the picture
    y0: int,
    visible: np.ndarray,  # (h, w) float32: nothing is painted where it is 0
    view: View,
) -> None:
    """The inside of a mouth in a window of the picture."""
    height, width = visible.shape
    tooth_light = F(0.45) + F(0.55) * view.bared
    lit = _step(view.opening, F(2), F(20))
    tissue, dark, teeth = view.tissue, view.dark, view.teeth
    lower_shows = _step(view.opening, F(2), F(5))
    for line in numba.prange(height):
        tone = np.empty(3, np.float32)
        colour = np.empty(3, np.float32)
        for column in range(width):
            if visible[line, column] <= F(0):
                out[line, column, 0] = out[line, column, 1] = out[line, column, 2] = F(0)
                continue
            px, py = F(column + x0), F(line + y0)
            plane_x, plane_y = _on_plane(view.to_upper, px, py)
            low_x, low_y = _on_plane(view.to_lower, px, py)
            # From the front to the back, as far as one sees.
            x, y, facing = _on_arch(plane_x, plane_y, view.eye_upper, view.arch, view.deepest)
            coverage = _row(
                x,
                y,
                view.upper,
                view.crown_upper,
                view.bright_upper,
                view.reach_upper,
                view.half_width,
                teeth,
                tissue,
                view.pixel,
                tooth_light,
                facing,
                tone,
            )
            if coverage > F(0):
                _own_teeth(x, y, view.photo, view.half_width, tooth_light, tone)
            for k in range(3):
                colour[k] = coverage * tone[k] if coverage > F(0) else F(0)
            left = F(1) - coverage
            if left > F(0) and lower_shows > F(0):
                x, y, facing = _on_arch(low_x, low_y, view.eye_lower, view.arch, view.deepest)
                coverage = lower_shows * _row(
                    x,
                    -y,
                    view.lower,
                    view.crown_lower,
                    view.bright_lower,
                    view.reach_lower,
                    view.half_width,
                    teeth,
                    tissue,
                    view.pixel,
                    tooth_light,
                    facing,
                    tone,
                )
                if coverage > F(0):
                    for k in range(3):
                        colour[k] += left * coverage * tone[k]
                    left *= F(1) - coverage
            if left > F(0):
                v = min(max((view.lip_up - plane_y) / max(view.opening, F(1e-3)), F(0)), F(1))
                # The cavity: lit from below, a little at the cheeks.
                deep = F(0.4) + F(0.9) * _step(v, F(0.10), F(0.95)) * lit
                off = (abs(plane_x) - F(20)) / F(6)
                cheek = F(0.10) * lit * math.exp(-off * off) * _step(v, F(0.05), F(0.5))
                there, tongue, wet = _tongue(low_x, low_y, view.tongue, view.tongue_bright, lit)
                for k in range(3):
                    base = dark[k] * deep + tissue[k] * cheek
                    colour[k] += left * (base + there * (F(1.15) * tissue[k] * tongue + teeth[k] * wet - base))
            for k in range(3):
                out[line, column, k] = _display(colour[k])


@numba.njit(cache=True, fastmath=True)
def _tongue(
    x: np.float32, y: np.float32, height: np.float32, bright: np.float32, lit: np.float32
) -> tuple[np.float32, np.float32, np.float32]:
    """How much of a place the tongue covers, its light, and the white on it: its coat's, and what its wet skin mirrors.

    Without a soft rim and a dark foot it looks like a ball, without the white like clay.
    """
    wide = (x / F(20)) ** 2
    top = (height + F(0.6)) * math.sqrt(max(F(1) - F(0.5) * wide * (F(1) + wide), F(0))) - F(0.6)
    rim = F(1.4) + F(0.13) * height
    there = _step(top - y, -rim, rim) * _step(F(21) - abs(x), F(0), F(7))
    if there <= F(0):
        return F(0), F(0), F(0)
    dome = min(max((top - y) / max(height, F(2)), F(0)), F(1.4))
    groove = x / F(1.8)
    light = (F(0.2) + F(0.8) * _step(dome, F(0), F(0.55))) * bright
    light *= F(1) - F(0.12) * math.exp(-groove * groove) * _step(dome, F(0.1), F(0.5))
    light *= (F(0.45) + F(0.55) * _fall(abs(x) / F(15))) * (F(0.35) + F(0.65) * lit)
    beside, along = (abs(x) - F(5)) / F(4), (dome - F(0.45)) / F(0.22)
    wet = F(0.06) + F(0.07) * math.exp(-beside * beside - along * along)
    light *= F(1) - F(0.35) * math.exp(-max(y + F(0.5), F(0)) / F(1.6))  # behind the lower row
    return there, light, wet * light


@numba.njit(cache=True, fastmath=True)
def _display(value: np.float32) -> np.float32:
    """value^(1 / 2.2) from a table over its root, of which it is nearly a straight line."""
    at = min(math.sqrt(max(value, F(0))) * F(_ROOTS), F(len(_FROM_ROOT) - 1.001))
    i = int(at)
    return _FROM_ROOT[i] + (at - F(i)) * (_FROM_ROOT[i + 1] - _FROM_ROOT[i])


@numba.njit(cache=True, fastmath=True)
def _own_teeth(
    x: np.float32, y: np.float32, photo: np.ndarray, half_width: np.float32, lit: np.float32, tone: np.ndarray
) -> None:
    """The photo's own row in place of the painted one, as far as the photo shows it."""
    height, width = photo.shape[:2]
    column = (x + half_width) / (F(2) * half_width) * F(width - 1)
    line = max(y, F(0)) / F(TEXTURE_HEIGHT) * F(height - 1)
    if column < F(0) or column >= F(width - 1) or line >= F(height - 1):
        return
    i, j = int(line), int(column)
    a, b = line - F(i), column - F(j)
    w00, w01, w10, w11 = (F(1) - a) * (F(1) - b), (F(1) - a) * b, a * (F(1) - b), a * b
    share = w00 * photo[i, j, 3] + w01 * photo[i, j + 1, 3] + w10 * photo[i + 1, j, 3] + w11 * photo[i + 1, j + 1, 3]
    if share <= F(0):
        return
    for k in range(3):
        seen = w00 * photo[i, j, k] + w01 * photo[i, j + 1, k] + w10 * photo[i + 1, j, k] + w11 * photo[i + 1, j + 1, k]
        tone[k] += share * (seen * lit - tone[k])


@numba.njit(cache=True, nogil=True, fastmath=True)
def lay_behind(
    image: np.ndarray,  # (H, W, 4) float32 in place, RGB and matte
    x0: int,
    y0: int,
    inside: np.ndarray,  # (h, w, 3) float32, display values
    coverage: np.ndarray,  # (h, w) float32: share of the inside
    distance: np.ndarray,  # (h, w) float32: pixels to the lips
    view: View,
    deep: np.float32,  # see `ShadowSettings`
    lower: np.float32,
    reach: np.float32,  # millimetres
) -> None:
    """Put the inside behind the lips, with the shadow that they throw on it."""
    height, width = coverage.shape
    channels = image.shape[2]
    power = (F(0.9), F(1.05), F(1.1))  # what the lips let through came off them
    for line in range(height):
        for column in range(width):
            share = coverage[line, column]
            if share <= F(0):
                continue
            _, y = _on_plane(view.to_upper, F(column + x0), F(line + y0))
            v = (view.lip_up - y) / max(view.opening, F(1e-3))
            shadow = deep * (lower + (F(1) - lower) * (F(1) - _step(v, F(0.3), F(0.7))))
            shade = math.log(F(1) - shadow * math.exp(-distance[line, column] * view.pixel / reach))
            pixel = image[y0 + line, x0 + column]
            for k in range(3):
                pixel[k] += share * (inside[line, column, k] * math.exp(power[k] * shade) - pixel[k])
            if channels > 3:
                pixel[3] = max(pixel[3], share)
