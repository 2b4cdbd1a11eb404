"""A person's mouth, built from the photo once and drawn behind the lips of every picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from core.libs.face_measures import opening_height
from core.libs.flame_model import topology as topo
from core.libs.flame_model.jaw import jaw_angle, rotate_about_x
from core.libs.geometry import Camera
from core.libs.numeric import ramp, smoothstep
from core.models.LiftedAvatar.contour import window
from core.models.LiftedAvatar.mouth.colours import Colours, mouth_colours, softness
from core.models.LiftedAvatar.mouth.kernel import View, lay_behind, paint
from core.models.LiftedAvatar.mouth.outline import opening_mask, subdivision
from core.models.LiftedAvatar.mouth.settings import MM, MouthSettings
from core.models.LiftedAvatar.mouth.teeth import photo_row, row_table

_USUAL, _DEFAULT = Camera(), MouthSettings()


@dataclass(frozen=True)
class Mouth:
    """The inside of one person's mouth, at rest in head space.

    Attributes:
        middle: (3,) between the lips at rest. joint: (3,) of the jaw. rest: (478, 3) the face at rest.
        opening: of the lips in the photo, head units. width: of the lips at rest.
        colours: linear. soft: standard deviation by which the inside is blurred, pixels of a 512-pixel
            picture, 0 for none.
        upper, lower: tables of the rows. photo: the photo's own upper row, see `photo_row`.
        outline: what makes a smooth ring of the lips' points, see `subdivision`.
        settings: see `MouthSettings`.
    """

    middle: np.ndarray
    joint: np.ndarray
    rest: np.ndarray
    opening: float
    width: float
    colours: Colours
    soft: float
    upper: np.ndarray
    lower: np.ndarray
    photo: np.ndarray
    outline: np.ndarray
    settings: MouthSettings = _DEFAULT


def build_mouth(
    rest: np.ndarray,  # (478, 3) head space, the person at rest
    joint: np.ndarray,  # (3,)
    vertices: np.ndarray,  # (478, 3) as in the photo
    image: np.ndarray,  # (S, S, 3) float32 in 0..1
    pixels: np.ndarray,  # (478, 2)
    transform: np.ndarray,  # (3, 4)
    margin: int,  # pixels of the photo beyond each side of the shown crop
    camera: Camera = _USUAL,  # of the shown crop
    settings: MouthSettings = _DEFAULT,
) -> Mouth:
    """The mouth of the person in a photo."""
    blend = settings.photo_blend
    width = float(np.linalg.norm(rest[topo.MOUTH_CORNERS[0]] - rest[topo.MOUTH_CORNERS[1]]))
    settings = settings.sized(width / MM)
    shape = settings.shape
    middle = (rest[13] + rest[14]) / 2
    colours = mouth_colours(image, pixels, settings.colours)
    behind = np.array([0, -shape.overbite - shape.above_bite, -shape.upper_behind]) * MM
    soft = blend.blur_gain * softness(image, pixels, settings.colours) / camera.scale - blend.blur_less
    soft = float(np.clip(soft, 0, blend.most_blur))
    return Mouth(
        middle=middle,
        joint=joint,
        rest=rest,
        opening=float(opening_height(vertices)),
        width=width,
        colours=colours,
        soft=soft if soft >= blend.least_blur else 0.0,
        upper=row_table(settings.upper, settings),
        lower=row_table(settings.lower, settings),
        photo=photo_row(image, pixels, middle + behind, transform, margin, colours, camera, settings),
        outline=subdivision(len(topo.INNER_LIPS), settings.outline),
        settings=settings,
    )


def draw_mouth(
    image: np.ndarray,  # (H, W, C >= 3) float32, in place
    mouth: Mouth,
    vertices: np.ndarray,  # (478, 3)
    pixels: np.ndarray,  # (478, 2)
    transform: np.ndarray,  # (3, 4)
    interior: np.ndarray | None = None,  # (4,) what the driver's mouth shows, see `TrackedFrame`
    camera: Camera = _USUAL,  # that draws
) -> None:
    """Put the inside of the mouth behind the lips of a picture."""
    now = float(opening_height(vertices))
    settings, blend = mouth.settings, mouth.settings.photo_blend
    # Near the photo's own opening its own pixels serve best.
    share = abs(now - mouth.opening) / (blend.near_share * mouth.opening + blend.near * MM) - blend.exact
    # Lips that touch are tracked up to a millimetre apart.
    share = float(np.clip(share, 0, 1) * ramp(np.array(now / MM), *blend.touching))
    outline = mouth.outline @ pixels[list(topo.INNER_LIPS)]
    x0, y0, x1, y1 = box = window(outline, image.shape[:2], 4)
    if share == 0 or x1 - x0 < 5 or y1 - y0 < 5:
        return
    mask = opening_mask(outline, box, camera.scale, settings.outline)
    view = _view(mouth, vertices, pixels, transform, interior, camera)
    inside = np.empty((*mask.shape, 3), np.float32)
    # The blur below reaches beyond the mask.
    paint(inside, x0, y0, cv2.dilate(mask, np.ones((camera.odd(7),) * 2)) if mouth.soft else mask, view)
    if mouth.soft:
        inside = cv2.GaussianBlur(inside, (0, 0), mouth.soft * camera.scale, borderType=cv2.BORDER_REPLICATE)
    distance = cv2.distanceTransform((mask > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    shadow = settings.shadow
    reach = np.clip(shadow.of_opening * view.opening, shadow.least, shadow.most)
    single = (np.float32(v) for v in (shadow.deep, shadow.lower, reach))
    lay_behind(image, x0, y0, inside, mask * np.float32(share), distance, view, *single)


def warm_up() -> None:
    """Compile the kernels, or load them from the cache on disk."""
    points = np.zeros((topo.N_POINTS, 3))
    points[list(topo.INNER_LIPS[:10]), 1], points[list(topo.INNER_LIPS[10:]), 1] = 0.02, -0.02
    points[:, 0] = np.linspace(-0.1, 0.1, topo.N_POINTS)
    pixels = 256 + 100 * points[:, :2]
    transform = np.array([[-1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, 12]])
    photo = np.full((_USUAL.size, _USUAL.size, 3), 0.5, np.float32)
    mouth = build_mouth(0 * points, np.zeros(3), 0 * points, photo, pixels, transform, 0)
    draw_mouth(np.zeros((_USUAL.size, _USUAL.size, 4), np.float32), mouth, points, pixels, transform)


def _view(
    mouth: Mouth,
    vertices: np.ndarray,  # (478, 3) head space
    pixels: np.ndarray,  # (478, 2)
    transform: np.ndarray,  # (3, 4)
    interior: np.ndarray | None,  # (4,) or None
    camera: Camera = _USUAL,
) -> View:
    """What the kernel paints this picture's mouth from: the rows' places, by the face and by what the driver shows."""
    settings, shape = mouth.settings, mouth.settings.shape
    middle = mouth.middle / MM
    R, t = transform[:, :3].astype(np.float64), transform[:, 3].astype(np.float64)
    toward = -t @ R.T / MM - middle  # the camera
    rise = toward[1] / toward[2]
    lip_up, lip_low = (float(vertices[i, 1]) / MM for i in (13, 14))
    opening = max(lip_up - lip_low, 0.0)
    # What is seen beside the lips from above lies lower on the rows behind them.
    lip_up, lip_low = lip_up - rise * shape.upper_behind, lip_low - rise * shape.lower_behind
    bite = middle[1] - shape.overbite
    upper = max(bite - shape.above_bite, lip_up - shape.crown_shows)
    upper = min(upper, lip_up - min(shape.least_shows, shape.least_share * opening))
    jaw = np.array([middle[0], bite - shape.lower_below, middle[2] - shape.lower_behind]) * MM
    angle = np.array(jaw_angle(vertices, mouth.rest, mouth.joint))
    jaw = (rotate_about_x((jaw - mouth.joint)[None], angle) + mouth.joint)[0] / MM
    lower = min(jaw[1], lip_low + shape.lower_shows)
    # Rounded lips hide the teeth, drawn ones bare them.
    corners = vertices[topo.MOUTH_CORNERS[0]] - vertices[topo.MOUTH_CORNERS[1]]
    bared = float(ramp(np.array(np.linalg.norm(corners) / max(mouth.width, 1e-6)), *shape.bared))
    lower = min(lower, upper + shape.overlap)
    inside = _Inside(upper, lower, shape.tongue + shape.tongue_rises * opening, shape.tongue_bright, bared)
    if interior is not None:
        inside = _as_read(inside, interior, opening, lip_up, lip_low, settings)
    to_upper, eye_upper = _plane(np.array([middle[0], inside.upper, middle[2] - shape.upper_behind]), transform, camera)
    to_lower, eye_lower = _plane(np.array([jaw[0], inside.lower, jaw[2]]), transform, camera)
    eyes = [33, 263]
    apart = np.linalg.norm(np.diff(pixels[eyes], axis=0))
    pixel = np.linalg.norm(np.diff(vertices[eyes], axis=0)) / MM / max(float(apart), 1e-6)
    arrays = (to_upper, to_lower, eye_upper, eye_lower, mouth.upper, mouth.lower, mouth.photo)
    colours = (mouth.colours.teeth, mouth.colours.tissue, mouth.colours.dark)
    numbers = (lip_up - inside.upper, opening, inside.tongue, inside.tongue_bright, inside.bared, pixel)
    above, below = settings.upper, settings.lower
    rows = (above.crown, below.crown, above.bright, below.bright, above.reach, below.reach)
    numbers = (*numbers, *rows, shape.arch, shape.deepest, shape.half_width)
    return View(*(a.astype(np.float32) for a in (*arrays, *colours)), *(np.float32(v) for v in numbers))


class _Inside(NamedTuple):
    """Heights of the rows' edges and of the tongue's top over the lower one, millimetres; light on tongue and teeth."""

    upper: float
    lower: float
    tongue: float
    tongue_bright: float
    bared: float


def _as_read(
    inside: _Inside,
    interior: np.ndarray,  # (4,) see `TrackedFrame`
    opening: float,
    lip_up: float,
    lip_low: float,
    settings: MouthSettings,
) -> _Inside:
    """The inside moved towards what the driver's mouth shows, the more the wider it is open."""
    how, overlap = settings.interior, settings.shape.overlap
    upper, lower, tongue, bright, bared = inside
    up, low, top, shines = (float(v) for v in interior)
    confidence = float(smoothstep(np.array(opening), *how.trusted))
    most = how.upper_most * settings.scale
    low += max(up - most / max(opening, 1e-3), 0.0)  # a grin of closed teeth of which no line was seen
    visible = np.clip(up * opening, how.upper_least, most) if up > how.hidden else -how.upper_behind_lip
    upper += how.rows * confidence * (lip_up - visible - upper)
    visible = (
        np.clip(low * opening, how.lower_least, how.lower_most * settings.scale)
        if low > how.hidden
        else -how.lower_behind_lip
    )
    lower = min(lower, upper + overlap)
    lower += how.rows * confidence * (lip_low + visible - lower)
    lower = min(lower, upper + overlap)
    height = np.clip(top * opening - (lower - lip_low), *how.tongue_limits) + how.tongue_raised
    tongue += how.tongue * confidence * (height - tongue)
    # What was read is the light that it has; of what would be usual the kernel takes some where lips are near.
    shines = how.tongue_light * shines / (how.near_lips + (1 - how.near_lips) * smoothstep(np.array(opening), 2, 20))
    bright += how.tongue * confidence * (np.clip(shines, *how.light_limits) - bright)
    return _Inside(upper, lower, tongue, bright, bared + confidence * (1 - bared))


def _plane(origin: np.ndarray, transform: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """A frontal plane of the head through a point (3,) in millimetres.

    Returns what takes homogeneous pixels to its millimetres, (3, 3), and the camera in its coordinates, (3,).
    """
    R, t = transform[:, :3].astype(np.float64), transform[:, 3].astype(np.float64)
    unit, middle = camera.pixels_per_unit, (camera.size - 1) / 2 - camera.corner
    to_pixels = np.array(
        [[-unit, 0, middle[0]], [0, -unit, middle[1]], [0, 0, 1]]
    )  # homogeneous, as `Camera.to_pixels`
    plane = np.stack([MM * R[0], MM * R[1], MM * origin @ R + t], 1)
    return np.linalg.inv(to_pixels @ plane), -t @ R.T / MM - origin
