"""The inside of the mouth: two rows of teeth and the dark behind them, seen only through the opening of the lips.

A photo with closed lips has none of it, and one that smiles has it for one opening only. The upper row is rigid with
the skull, the lower one turns with the jaw, so that a grin shows both rows closed and an open mouth the gap between.
Colours come from the photo: the brightness of the skin, or the teeth themselves where the photo shows them. While the
mouth is about as open as in the photo, the photo's own inside is shown.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from core.libs.flame_model import topology as topo
from core.libs.flame_model.jaw import jaw_angle, rotate_about_x
from core.libs.geometry import to_camera, to_pixels
from core.libs.surface import cover
from core.models.LiftedAvatar.contour import contour_mask, window

_MM = 0.005  # head units
# Widths from the midline outwards, millimetres: two incisors, canine, two premolars (mean adult values).
_UPPER, _LOWER = (8.5, 6.5, 7.5, 7.0, 7.0), (5.3, 5.9, 6.8, 7.0, 7.0)
_HALF_WIDTH = 27 * _MM
_CROWN, _GUM = 11.5 * _MM, 4 * _MM
_OVERBITE = 1.5 * _MM
_LOWER_SHOWS = 2.5 * _MM
_COLUMNS, _ROWS = 13, 3
_TEXTURE = (192, 72)  # width, height of a row's texture
_SHADOW = np.float32([0.66, 0.48, 0.46])  # what lips and gums leave of the light
_SKIN = (50, 280, 205, 425, 101, 330)  # cheeks


@dataclass(frozen=True)
class Mouth:
    """The inside of one person's mouth, at rest in head space.

    Attributes:
        upper, lower: (G, 3) grid points of the rows. triangles: (F, 3) of one row. texture: (2, h, w, 3) RGB in 0..1.
        dark: (3,) the colour behind. joint: (3,) of the jaw. rest: (478, 3) the face at rest.
        opening: of the lips in the photo, head units. width: of the lips at rest.
    """

    upper: np.ndarray
    lower: np.ndarray
    triangles: np.ndarray
    texture: np.ndarray
    dark: np.ndarray
    joint: np.ndarray
    rest: np.ndarray
    opening: float
    width: float


def build_mouth(
    rest: np.ndarray,  # (478, 3) head space, the person at rest
    joint: np.ndarray,  # (3,)
    vertices: np.ndarray,  # (478, 3) as in the photo
    image: np.ndarray,  # (S, S, 3) float32 in 0..1
    pixels: np.ndarray,  # (478, 2)
    transform: np.ndarray,  # (3, 4)
    margin: int,  # pixels of the photo beyond each side of the shown crop
) -> Mouth:
    """The mouth of the person in a photo."""
    middle = (rest[13] + rest[14]) / 2
    bite = middle[1] - 1.2 * _MM
    x = np.linspace(-_HALF_WIDTH, _HALF_WIDTH, _COLUMNS)
    arch = middle[2] - 6 * _MM - 5.5 * x**2
    rows = np.linspace(0, 1, _ROWS)[:, None]

    def row(edge: float, away: float) -> np.ndarray:
        y = edge + rows * away
        return np.stack(np.broadcast_arrays(x + middle[0], y, arch), -1).reshape(-1, 3)

    i = np.arange(_ROWS * _COLUMNS).reshape(_ROWS, _COLUMNS)
    a, b, c, d = i[:-1, :-1].ravel(), i[:-1, 1:].ravel(), i[1:, :-1].ravel(), i[1:, 1:].ravel()
    triangles = np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)]).astype(np.int32)
    skin = np.mean([image[_clip(pixels[p][1], image), _clip(pixels[p][0], image)] for p in _SKIN], axis=0)
    teeth = _tooth_color(skin, image, pixels)
    light = float(skin.mean())
    upper = row(bite - _OVERBITE / 2, _CROWN + _GUM)
    texture = np.stack([_paint(_UPPER, teeth, light), _paint(_LOWER, teeth * 0.8, light)]).astype(np.float32)
    texture[0] = _from_photo(texture[0], upper, transform, margin, teeth, image, pixels)
    return Mouth(
        upper,
        row(bite - 2.0 * _MM, -(_CROWN + _GUM)),
        triangles,
        texture,
        (np.array([0.38, 0.15, 0.14]) * min(1.0, 0.3 + light)).astype(np.float32),
        joint,
        rest,
        _opening(vertices),
        float(np.linalg.norm(rest[topo.MOUTH_CORNERS[0]] - rest[topo.MOUTH_CORNERS[1]])),
    )


def draw_mouth(
    image: np.ndarray,  # (H, W, C >= 3) in place
    mouth: Mouth,
    vertices: np.ndarray,  # (478, 3)
    pixels: np.ndarray,  # (478, 2)
    transform: np.ndarray,  # (3, 4)
) -> None:
    """Put the inside of the mouth behind the lips of a picture."""
    lips = pixels[list(topo.INNER_LIPS)]
    now = _opening(vertices)
    # Near the photo's own opening its own pixels serve best.
    share = abs(now - mouth.opening) / (0.30 * mouth.opening + 1.0 * _MM) - 0.25
    # Lips that touch are tracked up to a millimetre apart.
    share = float(np.clip(share, 0, 1) * np.clip((now / _MM - 0.8) / 1.2, 0, 1))
    x0, y0, x1, y1 = box = window(lips, image.shape[:2], 3)
    if share == 0 or x1 - x0 < 3 or y1 - y0 < 2:
        return
    mask = contour_mask(lips, *box, grow=0.5)
    # Rounded lips hide the teeth, drawn ones bare them.
    width = np.linalg.norm(vertices[topo.MOUTH_CORNERS[0]] - vertices[topo.MOUTH_CORNERS[1]]) / mouth.width
    bared = float(np.clip((width - 0.70) / 0.25, 0.0, 1.0))
    inside = _view(mouth, vertices, transform, box)
    inside = mouth.dark + bared * (inside - mouth.dark)
    # The lips' shadow on what lies behind them.
    depth = cv2.distanceTransform((mask > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    lit = np.clip(depth / 6, 0, 1)[..., None]
    inside *= _SHADOW + (1 - _SHADOW) * lit
    part = image[y0:y1, x0:x1]
    cover = (mask * share)[..., None]
    part[..., :3] += cover * (inside - part[..., :3])
    if part.shape[-1] > 3:
        part[..., 3] = np.maximum(part[..., 3], cover[..., 0])


def _view(mouth: Mouth, vertices: np.ndarray, transform: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """What is seen of teeth and dark in a window of the picture, (h, w, 3)."""
    x0, y0, x1, y1 = box
    angle = np.array(jaw_angle(vertices, mouth.rest, mouth.joint))
    lower = rotate_about_x(mouth.lower - mouth.joint, angle) + mouth.joint
    # The chin's skin lags behind the jaw: at most so much of the lower row stands above the lower lip.
    edge = lower[_COLUMNS // 2]
    lower = lower + [0, min(vertices[14, 1] + _LOWER_SHOWS - edge[1], 0), 0]
    camera = to_camera(np.concatenate([mouth.upper, lower]), transform)
    side = max(x1 - x0, y1 - y0)
    n = len(mouth.upper)
    triangles = np.concatenate([mouth.triangles, mouth.triangles + n])
    owner, weights = cover(to_pixels(camera) - [x0, y0], camera[:, 2], triangles, side)
    owner, weights = owner[: y1 - y0, : x1 - x0], weights[: y1 - y0, : x1 - x0]
    width, height = _TEXTURE
    i = np.arange(n)
    place = np.stack([i % _COLUMNS / (_COLUMNS - 1) * (width - 1), i // _COLUMNS / (_ROWS - 1) * (height - 1)], 1)
    place = np.concatenate([place, place + [0, height]]).astype(np.float32)  # the lower texture below the upper one
    there = (place[triangles[np.maximum(owner, 0)]] * weights[..., None]).sum(2)
    teeth = cv2.remap(mouth.texture.reshape(2 * height, width, 3), there.astype(np.float32), None, cv2.INTER_LINEAR)
    dark = np.broadcast_to(mouth.dark.astype(np.float32), teeth.shape)
    covered = cv2.blur((owner >= 0).astype(np.float32), (3, 3), borderType=cv2.BORDER_REPLICATE)[..., None]
    return np.where((owner >= 0)[..., None], teeth * covered + dark * (1 - covered), dark).astype(np.float32)


def _from_photo(
    painted: np.ndarray,  # (h, w, 3)
    row: np.ndarray,  # (G, 3)
    transform: np.ndarray,
    margin: int,
    teeth: np.ndarray,
    image: np.ndarray,
    pixels: np.ndarray,
) -> np.ndarray:
    """A row's texture with the teeth that the photo shows in place of painted ones."""
    grid = (to_pixels(to_camera(row, transform)) + margin).reshape(_ROWS, _COLUMNS, 2).astype(np.float32)
    there = cv2.resize(grid, _TEXTURE, interpolation=cv2.INTER_LINEAR)
    seen = cv2.remap(image, there, None, cv2.INTER_LINEAR)
    lips = contour_mask(pixels[list(topo.INNER_LIPS)], 0, 0, image.shape[1], image.shape[0])
    inside = cv2.remap(cv2.erode(lips, np.ones((5, 5))), there, None, cv2.INTER_LINEAR)
    bright = np.clip((seen.mean(-1) / teeth.mean() - 0.6) / 0.2, 0, 1)
    pale = np.clip((0.5 - np.ptp(seen, axis=-1) / np.maximum(seen.max(-1), 1e-3)) / 0.1, 0, 1)
    share = cv2.GaussianBlur(inside * bright * pale, (0, 0), 1.5)[..., None]
    return (painted * (1 - share) + seen * share).astype(np.float32)


def _opening(vertices: np.ndarray) -> float:
    """Height of the opening of the lips, head units."""
    return float(np.mean([vertices[a, 1] - vertices[b, 1] for a, b in topo.LIP_PAIRS]))


def _clip(value: float, image: np.ndarray) -> int:
    return int(np.clip(round(float(value)), 0, len(image) - 1))


def _tooth_color(skin: np.ndarray, image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """From the photo where the lips show teeth: bright and hardly coloured; else from the light on the skin."""
    usual = np.clip((0.95 * skin.mean() + 0.14) * np.array([1.09, 1.00, 0.89]), 0, 0.95)
    lips = pixels[list(topo.INNER_LIPS)]
    box = window(lips, image.shape[:2], 0)
    part = image[box[1] : box[3], box[0] : box[2]]
    inner = part[contour_mask(lips, *box) > 0.9]
    bright = inner[inner.mean(1) > 0.75 * usual.mean()] if len(inner) else inner
    pale = bright[np.ptp(bright, axis=1) < 0.35 * bright.max(1)] if len(bright) else bright
    return np.median(pale, 0) if len(pale) > 12 else usual


def _paint(widths: tuple[float, ...], teeth: np.ndarray, light: float) -> np.ndarray:
    """A row of teeth as a texture (h, w, 3), the biting edge in its first line."""
    width, height = _TEXTURE
    x = np.abs(np.linspace(-_HALF_WIDTH, _HALF_WIDTH, width))[None]
    y = np.linspace(0, _CROWN + _GUM, height)[:, None]
    edges = np.concatenate([[0], np.cumsum(widths)]) * _MM
    gap = np.abs(x[..., None] - edges).min(-1)
    shade = 1 - 0.10 * np.exp(-((gap / (0.35 * _MM)) ** 2))  # between two teeth
    shade = shade * (0.90 + 0.10 * np.clip(y / (1.5 * _MM), 0, 1))  # the thin biting edge lets light through
    shade = shade * (0.45 + 0.55 * np.exp(-0.5 * (x / (19 * _MM)) ** 2))  # the arch falls back into the dark
    gum = np.clip((y - _CROWN + 1.0 * _MM * np.cos(np.pi * np.clip(gap / (4 * _MM), 0, 1))) / (1.5 * _MM), 0, 1)
    pink = np.array([0.74, 0.45, 0.44]) * (0.4 + light)
    color = teeth * (1 - gum[..., None]) + pink * gum[..., None]
    return np.clip(color * shade[..., None], 0, 1)
