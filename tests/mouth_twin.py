"""The inside of a mouth in plain NumPy: the slow and obvious form of `core.models.LiftedAvatar.mouth.kernel`."""

from __future__ import annotations

import cv2
import numpy as np

from core.models.LiftedAvatar.mouth.kernel import PER_MM, TEXTURE_HEIGHT, View


def step(x, low, high):
    t = np.clip((x - low) / (high - low), 0, 1)
    return t**2 * (3 - 2 * t)


def fall(x):
    return np.exp(-(np.abs(x) ** 2.5))


def on_plane(matrix, x, y):
    out = np.stack([x, y, np.ones_like(x)], -1) @ matrix.T
    return out[..., 0] / out[..., 2], out[..., 1] / out[..., 2]


def on_arch(view, x, y, eye):
    there = x
    for _ in range(2):
        there = x + (x - eye[0]) / eye[2] * np.minimum(view.arch * there**2, view.deepest)
    depth = np.minimum(view.arch * there**2, view.deepest)
    facing = np.where(depth < view.deepest, 1 - 2 * view.arch * (x - eye[0]) / eye[2] * there, 1)
    return there, y + (y - eye[1]) / eye[2] * depth, facing


def row(view, x, y, table, crown, bright, reach, lit, facing):
    """Cover (h, w) and colour (h, w, 3) of a row at millimetres from the midline and from the biting edge."""
    places = np.arange(len(table)) / PER_MM
    gap, edge, bulge = (np.interp(np.abs(x), places, column) for column in table.T)
    soft = max(view.pixel, 0.25)
    h = y - edge
    cover = step(h, -0.55 * soft, 0.55 * soft) * step(view.half_width - np.abs(x), 0, 6) * step(facing, 0.1, 0.55)
    between = np.exp(-((gap / max(0.35, 0.5 * soft)) ** 2)) * min(1, 0.6 / soft)
    shade = bulge * (1 - 0.26 * between) * (0.80 + 0.20 * step(h, 0, 1.8))
    falls = (0.12 + 0.88 * fall(x / reach)) * (1 - 0.18 * step(h, 5, 10))
    falls *= 0.4 + 0.6 * step(facing, 0.2, 0.9)
    cover = cover * step(falls, 0.1, 0.35)
    crown = crown * (1 - 0.25 * step(np.abs(x), 8, 24))
    light = np.maximum(bright * shade * falls * lit, 1e-4)[..., None]
    gleam = 0.10 * np.exp(-(((h - 3.4) / 1.5) ** 2)) * np.maximum(1 - (x / 14) ** 2, 0) * bright * lit
    tone = view.teeth * (light ** (1 + 0.45 * (1 - view.tissue / view.tissue.max())) + gleam[..., None])
    gum = step(h - (crown - np.cos(np.pi * np.minimum(gap / 3.5, 1))), -0.8, 0.8)[..., None]
    return cover, tone + gum * (view.tissue * 0.85 * falls[..., None] * lit - tone)


def painted(view: View, x0: int, y0: int, height: int, width: int) -> np.ndarray:
    """(h, w, 3) display values, as `paint` makes them wherever something is shown."""
    view = View(*(np.asarray(value, np.float64) for value in view))
    py, px = np.mgrid[y0 : y0 + height, x0 : x0 + width].astype(np.float64)
    x, y = on_plane(view.to_upper, px, py)
    low_x, low_y = on_plane(view.to_lower, px, py)
    lit, tooth_lit = step(view.opening, 2, 20), 0.45 + 0.55 * view.bared
    v = np.clip((view.lip_up - y) / max(view.opening, 1e-3), 0, 1)
    deep = 0.4 + 0.9 * step(v, 0.10, 0.95) * lit
    cheek = 0.10 * lit * np.exp(-(((np.abs(x) - 20) / 6) ** 2)) * step(v, 0.05, 0.5)
    colour = view.dark * deep[..., None] + view.tissue * cheek[..., None]
    wide = (low_x / 20) ** 2
    top = (view.tongue + 0.6) * np.sqrt(np.maximum(1 - 0.5 * wide * (1 + wide), 0)) - 0.6
    rim = 1.4 + 0.13 * view.tongue
    there = step(top - low_y, -rim, rim) * step(21 - np.abs(low_x), 0, 7)
    dome = np.clip((top - low_y) / max(view.tongue, 2), 0, 1.4)
    tongue = (0.2 + 0.8 * step(dome, 0, 0.55)) * view.tongue_bright * (0.35 + 0.65 * lit)
    tongue *= (1 - 0.12 * np.exp(-((low_x / 1.8) ** 2)) * step(dome, 0.1, 0.5)) * (0.45 + 0.55 * fall(low_x / 15))
    tongue *= 1 - 0.35 * np.exp(-np.maximum(low_y + 0.5, 0) / 1.6)
    wet = 0.07 * np.exp(-(((np.abs(low_x) - 5) / 4) ** 2) - ((dome - 0.45) / 0.22) ** 2) + 0.06
    shines = 1.15 * view.tissue * tongue[..., None] + view.teeth * (wet * tongue)[..., None]
    colour += there[..., None] * (shines - colour)
    across, up, facing = on_arch(view, low_x, low_y, view.eye_lower)
    cover, tone = row(
        view, across, -up, view.lower, view.crown_lower, view.bright_lower, view.reach_lower, tooth_lit, facing
    )
    cover = cover * step(view.opening, 2, 5)
    colour += cover[..., None] * (tone - colour)
    across, up, facing = on_arch(view, x, y, view.eye_upper)
    cover, tone = row(
        view, across, up, view.upper, view.crown_upper, view.bright_upper, view.reach_upper, tooth_lit, facing
    )
    photo = texture(view, across, up)
    tone += photo[..., 3:] * (photo[..., :3] * tooth_lit - tone)
    colour += cover[..., None] * (tone - colour)
    return np.maximum(colour, 0) ** (1 / 2.2)


def texture(view: View, x, y):
    """The photo's own row (h, w, 4) at places of the row; nothing beyond it."""
    height, width = view.photo.shape[:2]
    column = (x + view.half_width) / (2 * view.half_width) * (width - 1)
    line = np.maximum(y, 0) / TEXTURE_HEIGHT * (height - 1)
    inside = (column >= 0) & (column < width - 1) & (line < height - 1)
    i, j = np.clip(line, 0, height - 2).astype(int), np.clip(column, 0, width - 2).astype(int)
    a, b = (line - i)[..., None], (column - j)[..., None]
    p = view.photo
    out = (1 - a) * ((1 - b) * p[i, j] + b * p[i, j + 1]) + a * ((1 - b) * p[i + 1, j] + b * p[i + 1, j + 1])
    return np.where(inside[..., None], out, 0)


def laid_behind(image, x0, y0, inside, cover, distance, view: View, deep, lower, reach) -> np.ndarray:
    """The picture (H, W, 4) with the inside behind the lips, as `lay_behind` leaves it."""
    image = image.astype(np.float64)
    height, width = cover.shape
    py, px = np.mgrid[y0 : y0 + height, x0 : x0 + width].astype(np.float64)
    _, y = on_plane(np.asarray(view.to_upper, np.float64), px, py)
    v = (view.lip_up - y) / max(view.opening, 1e-3)
    shadow = deep * (lower + (1 - lower) * (1 - step(v, 0.3, 0.7)))
    light = (1 - shadow * np.exp(-distance * view.pixel / reach))[..., None] ** np.array([0.9, 1.05, 1.1])
    part = image[y0 : y0 + height, x0 : x0 + width]
    part[..., :3] += cover[..., None] * (inside * light - part[..., :3])
    part[..., 3] = np.where(cover > 0, np.maximum(part[..., 3], cover), part[..., 3])
    return image


def smoothest_ring(cost: np.ndarray, uneven: float) -> np.ndarray:
    """The states (N,) of a ring that cost least together: every first state, then the shortest path back to it."""
    points, states = cost.shape
    steps = uneven * (np.arange(states)[:, None] - np.arange(states)) ** 2
    best = None, np.inf
    for first in range(states):
        total, came = np.full(states, np.inf), []
        total[first] = cost[0, first]
        for k in range(1, points):
            ways = total[:, None] + steps
            came.append(ways.argmin(0))
            total = ways.min(0) + cost[k]
        ends = total + steps[:, first]
        if ends.min() < best[1]:
            path = [int(ends.argmin())]
            for back in reversed(came):
                path.append(int(back[path[-1]]))
            best = np.array(path[::-1]), ends.min()
    return best[0]


def turning(ring: np.ndarray) -> np.ndarray:
    """Angles (N,) in degrees by which a closed polygon (N, 2) turns at its points."""
    sides = np.roll(ring, -1, 0) - ring
    angle = np.degrees(np.arctan2(sides[:, 1], sides[:, 0]))
    return np.abs((angle - np.roll(angle, 1) + 180) % 360 - 180)


def drawn_mouth(upper: float, lower: float, tongue: float, gap: float = 40.0) -> tuple[np.ndarray, np.ndarray]:
    """A crop (512, 512, 3) with a face's colours and an open mouth of known teeth and tongue, and its points (478, 2).

    `upper`, `lower` and `tongue` (its top from the lower lip) over the opening's height `gap` in pixels.
    """
    from core.libs.flame_model import topology as topo

    skin, lip, tooth, red, dark = (205, 150, 125), (180, 85, 85), (225, 215, 200), (170, 80, 80), (40, 15, 15)
    image = np.full((512, 512, 3), skin, np.uint8)
    points = np.full((478, 2), 256.0)
    points[[33, 263, 168, 2]] = [[190, 180], [322, 180], [256, 190], [256, 262]]
    points[[50, 280, 205, 425, 101, 330, 36, 266]] = [[180 + 20 * k, 225] for k in range(8)]
    angles = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    along = np.stack([-np.cos(angles), -np.sin(angles)], 1)  # from the person's right corner over the upper lip
    for ring, width, height in ((topo.INNER_LIPS, 42, gap / 2), (topo.OUTER_LIPS, 56, gap / 2 + 14)):
        points[list(ring)] = [256, 320] + along * [width, height]
    cv2.fillPoly(image, [points[list(topo.OUTER_LIPS)].round().astype(np.int32)], lip)
    inside = np.zeros(image.shape[:2], np.uint8)
    cv2.fillPoly(inside, [points[list(topo.INNER_LIPS)].round().astype(np.int32)], 1)
    place = (np.arange(512) - (320 - gap / 2)) / gap
    colour = np.where((place > 1 - tongue)[:, None], red, dark)
    colour = np.where(((place < upper) | (place > 1 - lower))[:, None], tooth, colour)
    image[inside > 0] = np.broadcast_to(colour[:, None], image.shape)[inside > 0]
    return cv2.GaussianBlur(image, (0, 0), 0.7), points
