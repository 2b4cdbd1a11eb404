"""The mesh of a photo's face, made to end where the photo's face does.

A landmark network guesses the outline of a cheek that turns away, and is off by some pixels. Where its mesh reaches
over the person, what it has too much of would be taken for skin that the photo hides: a cheek grows by that much, with
the background or the hair that is there beneath it. So the points near such an outline are moved in, in the picture
plane, until the mesh ends where the person does, or where hair begins beside a far cheek. Where it leaves out skin of a
far cheek before the background, which would be left in the air when the head turns, they are moved out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from core.data.records import IMAGE_SIZE, TrackedFrame
from core.libs.flame_model import OpenHead
from core.libs.flame_model import topology as topo
from core.libs.geometry import Camera, to_camera
from core.libs.mesh import OvershootSettings, ProxyMesh, find_not_skin, find_skin_beyond, rasterize_mesh

VERSION = "outline 6"  # of all here that changes what comes out


@dataclass(frozen=True)
class OutlineSettings:
    """Of `within_outline`. By eye on the shared faces; heights are the face's, pixels those of a 512-pixel picture.

    Attributes:
        person: of the matte, from which on a pixel is the person's.
        most: heights that an outline may be off; where the person begins farther in, something else is the matter.
        most_out: the same outwards; what is broader is hair of the skin's colour, neck or ear.
        reach: heights from the outline, in space, over which points move along, less and less: more than twice `most`,
            so that the mesh does not fold.
        shortest: heights, that a piece of the mesh beyond the face is long: shorter ones are cracks, lashes, strands.
        along: standard deviation along the outline over which its error is averaged, pixels. smooth: the same of its
            direction.
        firm: pixels one after the other that are the person's where it begins.
        rim: pixels of hair beside a cheek that stay the cheek's: they have some of its colour; or of the cheek's own
            soft edge, which has less of it.
        step: pixels of the picture that is looked at, between two looks across an outline.
        rounds: of moving points and looking again: the mesh's edges are coarser than the picture.
        refinements: of the offset at rest that moves posed points.
    """

    person: float = 0.5
    most: float = 0.06
    most_out: float = 0.03
    reach: float = 0.12
    shortest: float = 0.1
    along: float = 3.0
    smooth: float = 3.0
    firm: float = 2.0
    rim: int = 3
    step: float = 0.5
    rounds: int = 3
    refinements: int = 6


_SETTINGS, _OVERSHOOT = OutlineSettings(), OvershootSettings()


def within_outline(
    frame: TrackedFrame,
    head: OpenHead,
    pixels: np.ndarray,  # (S, S, 3) uint8 RGB
    matte: np.ndarray,  # (S, S)
    inside: np.ndarray,  # (S, S) bool
    margin: int,
    camera: Camera,
    settings: OutlineSettings = _SETTINGS,
    overshoot: OvershootSettings = _OVERSHOOT,
) -> TrackedFrame:
    """A photo's frame, its static offset changed so that the face's mesh ends where the face does.

    Args:
        frame: of a photo, fitted with a static offset. head: that it is of.
        pixels, matte: of the photo's wide crop. inside: where that shows the photo; beyond it nobody knows of an end.
        margin: pixels that it has more on every side than the shown crop, whose camera is `camera`.
    """
    assert frame.static_offset is not None  # a photo's
    transform = frame.transform_matrix.astype(np.float64)
    small = _Picture.of(pixels, matte, inside, margin, camera, settings)
    triangles = head.faces.numpy()
    triangles = triangles[(triangles < topo.N_FACE).all(1)].astype(np.int32)
    goal = head.evaluate(frame)[: topo.N_FACE].astype(np.float64)
    no_weights = np.zeros(0), np.zeros((0, 0))  # of surroundings that are not there
    moved = False
    still = np.zeros(topo.N_FACE, bool)
    still[[*topo.OUTER_LIPS, *topo.INNER_LIPS, *topo.RIGHT_EYE, *topo.LEFT_EYE]] = True
    for number in range(settings.rounds):
        face = to_camera(goal, transform)
        places = small.places(camera.to_pixels(face))
        shown, weights = rasterize_mesh(places, face[:, 2], triangles, len(small.person))
        if number == 0:
            mesh = ProxyMesh(face, places, triangles, *no_weights)
            skin, whole = small.skin_beyond(mesh, shown, overshoot), small.person
            small = small.without_hair(mesh, shown, overshoot, settings)
            person = without_short_pieces(small.person, shown >= 0, small.scale, settings)
        depth = face[:, 2] * (camera.pixels_per_unit * small.factor / face[:, 2].mean())
        surface = np.where(shown >= 0, (depth[triangles[shown]] * weights).sum(-1), np.nan)
        in_space = np.concatenate([places, depth[:, None]], 1)
        shift = inward_moves(in_space, surface, person, small.scale, settings)
        shift += outward_moves(in_space, surface, skin, whole, still, small.scale, settings)
        if np.abs(shift).max(initial=0) < settings.step / 2:
            break
        moved = True
        rays = camera.unproject(small.back(places + shift))
        goal = (np.concatenate([rays, np.ones((len(rays), 1))], 1) * face[:, 2:] - transform[:, 3]) @ transform[:, :3].T
    return _with_points(frame, head, goal, settings.refinements) if moved else frame


def inward_moves(
    places: np.ndarray,  # (N, 3) of the face's points: x, y, and depth, all in pixels
    surface: np.ndarray,  # (S, S) the mesh's depth in pixels, NaN where it is not
    person: np.ndarray,  # (S, S) float32, how surely a pixel is the face's
    scale: float = 1.0,  # pixels of this picture for one of a 512-pixel picture
    settings: OutlineSettings = _SETTINGS,
) -> np.ndarray:
    """(N, 2) pixels by which points are to move so that the mesh's outline is the person's where it reaches over it."""
    from scipy.ndimage import gaussian_filter1d  # a run that finds photo and driver in the cache does without it

    outline = _Outline.of(surface, scale, settings)
    if outline is None:
        return np.zeros((len(places), 2))
    steps, is_person = outline.look(person, 1, scale, settings)
    begins = _firmly(is_person, len(steps))
    over = np.where(begins.any(1), steps[begins.argmax(1)], 0.0)
    over = gaussian_filter1d(over, settings.along * scale, mode="wrap")
    nearest, share = outline.share(places, settings)
    return (share * over[nearest])[:, None] * outline.inward[nearest]


def outward_moves(
    places: np.ndarray,  # (N, 3) of the face's points: x, y, and depth, all in pixels
    surface: np.ndarray,  # (S, S) the mesh's depth in pixels, NaN where it is not
    skin: np.ndarray,  # (S, S) float32, whether a pixel beside the mesh looks like the face's skin
    person: np.ndarray,  # (S, S) float32, how surely a pixel is the person's
    still: np.ndarray,  # (N,) bool, points that stay where they are
    scale: float = 1.0,  # pixels of this picture for one of a 512-pixel picture
    settings: OutlineSettings = _SETTINGS,
) -> np.ndarray:
    """(N, 2) pixels by which points are to move so that the mesh's outline is the person's where it leaves skin out.

    Only where the person soon ends there: hair beside a cheek hides where that ends.
    """
    from scipy.ndimage import gaussian_filter1d, grey_opening
    from scipy.spatial import cKDTree

    outline = _Outline.of(surface, scale, settings)
    if outline is None or not skin.any():
        return np.zeros((len(places), 2))
    ends = []
    for picture in (skin, person):
        steps, found = outline.look(picture, -1, scale, settings)
        found[:, 0] = True  # the mesh's own pixel, which ends half a pixel farther out
        beyond = _firmly(~found, len(steps))
        ends.append(np.where(beyond.any(1), np.maximum(steps[beyond.argmax(1)] - 0.5, 0), np.inf))
    of_skin, left_out = ends
    known = (left_out <= settings.most_out * outline.height) & (of_skin > 0)
    left_out = np.where(known, np.minimum(left_out, of_skin + settings.rim * scale), 0)
    # An outline is a line: what stands out of it for a short piece is hair in the skin's colour.
    left_out = grey_opening(left_out, round(settings.shortest * outline.height), mode="wrap")
    left_out = gaussian_filter1d(left_out, settings.along * scale, mode="wrap")
    nearest, share = outline.share(places, settings)
    if still.any():
        away = cKDTree(places[still]).query(places)[0]
        share = share * np.clip(away / (settings.reach * outline.height), 0, 1)
    return -(share * left_out[nearest])[:, None] * outline.inward[nearest]


def _firmly(found: np.ndarray, count: int) -> np.ndarray:
    """(K, count) bool: places from which on all that is looked at beyond (K, count + F) is found."""
    return np.all([found[:, k : k + count] for k in range(found.shape[1] - count + 1)], axis=0)


@dataclass(frozen=True)
class _Outline:
    """The outline of a mesh in a picture, K pixels one after the other.

    Attributes:
        pixels: (K, 2). depth: (K,) of the mesh there, pixels. inward: (K, 2) unit vectors. height: pixels.
    """

    pixels: np.ndarray
    depth: np.ndarray
    inward: np.ndarray
    height: float

    @classmethod
    def of(cls, surface: np.ndarray, scale: float, settings: OutlineSettings) -> _Outline | None:
        """Of a mesh's depth (S, S), NaN where it is not; None where it is nowhere."""
        from scipy.ndimage import gaussian_filter1d

        contours, _ = cv2.findContours(np.isfinite(surface).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        if not contours:
            return None
        columns, rows = max(contours, key=cv2.contourArea)[:, 0].T
        pixels = np.stack([columns, rows], 1).astype(np.float64)
        even = gaussian_filter1d(pixels, settings.smooth * scale, axis=0, mode="wrap")
        along = np.roll(even, -1, 0) - np.roll(even, 1, 0)
        inward = np.stack([-along[:, 1], along[:, 0]], 1) / np.maximum(
            np.linalg.norm(along, axis=1, keepdims=True), 1e-9
        )
        inward *= np.sign(((pixels.mean(0) - pixels) * inward).sum())
        return cls(pixels, surface[rows, columns], inward, float(np.ptp(pixels[:, 1])))

    def look(
        self, picture: np.ndarray, way: int, scale: float, settings: OutlineSettings
    ) -> tuple[np.ndarray, np.ndarray]:
        """How far from the outline is looked (L,), in pixels, inwards (1) or outwards (-1); and whether a picture
        (S, S) float32 has its thing there, (K, L + F): F places more, which say whether it is firm.
        """
        steps = np.arange(0, settings.most * self.height + settings.step, settings.step)
        firm = round(settings.firm * scale / settings.step)
        looked = np.concatenate([steps, steps[-1] + settings.step * np.arange(1, firm + 1)])
        across = (self.pixels[:, None] + way * looked[:, None] * self.inward[:, None]).astype(np.float32)
        found = cv2.remap(picture, across[..., 0], across[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return steps, found >= settings.person

    def share(self, places: np.ndarray, settings: OutlineSettings) -> tuple[np.ndarray, np.ndarray]:
        """For points (N, 3) the nearest pixel of the outline, and how much they move along with it, 0 to 1."""
        from scipy.spatial import cKDTree

        # Along the surface: a nose before the cheek's outline has nothing to do with it.
        distance, nearest = cKDTree(np.concatenate([self.pixels, self.depth[:, None]], 1)).query(places)
        return nearest, np.clip(1 - distance / (settings.reach * self.height), 0, 1)


def without_short_pieces(
    person: np.ndarray,  # (S, S) float32, how surely a pixel is the face's
    shown: np.ndarray,  # (S, S) bool, where the mesh is
    scale: float = 1.0,  # pixels of this picture for one of a 512-pixel picture
    settings: OutlineSettings = _SETTINGS,
) -> np.ndarray:
    """(S, S) float32: the same, short pieces of the mesh that are not the face's counted as its own."""
    over = (shown & (person < settings.person)).astype(np.uint8)
    brush = np.ones((2 * round(settings.along * scale) + 1,) * 2, np.uint8)
    _, part, stats, _ = cv2.connectedComponentsWithStats(cv2.morphologyEx(over, cv2.MORPH_CLOSE, brush))
    length = stats[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(1)
    short = length < settings.shortest * np.ptp(np.flatnonzero(shown.any(1)))
    return np.where((over > 0) & short[part], np.float32(1), person)


@dataclass(frozen=True)
class _Picture:
    """What is looked at: a photo's wide crop, no larger than that of a 512-pixel crop.

    Attributes:
        image: (S, S, 3) RGB in 0..1. matte: (S, S). person: (S, S) float32, how surely a pixel is the face's.
        scale: its pixels for one of a 512-pixel picture. factor: the same for one of the photo's. margin: of the photo.
    """

    image: np.ndarray
    matte: np.ndarray
    person: np.ndarray
    scale: float
    factor: float
    margin: int

    @classmethod
    def of(
        cls,
        pixels: np.ndarray,
        matte: np.ndarray,
        inside: np.ndarray,
        margin: int,
        camera: Camera,
        settings: OutlineSettings,
    ) -> _Picture:
        side = len(pixels)
        size = round(side * min(1.0, IMAGE_SIZE / camera.size))

        def reduced(picture: np.ndarray) -> np.ndarray:
            if size == side:
                return picture
            return cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)

        matte = reduced(matte.astype(np.float32))
        known = reduced(inside.astype(np.float32)) >= settings.person
        factor = size / side
        person = np.where(known, matte, np.float32(1))
        return cls(reduced(pixels).astype(np.float32) / 255, matte, person, camera.scale * factor, factor, margin)

    def places(self, shown: np.ndarray) -> np.ndarray:
        """Pixels (N, 2) of the shown crop as pixels of this."""
        return (shown + self.margin + 0.5) * self.factor - 0.5

    def back(self, places: np.ndarray) -> np.ndarray:
        """The inverse of `places`."""
        return (places + 0.5) / self.factor - 0.5 - self.margin

    def skin_beyond(self, mesh: ProxyMesh, pix_to_face: np.ndarray, overshoot: OvershootSettings) -> np.ndarray:
        """(S, S) float32: what looks like skin beside the far cheek, see `find_skin_beyond`."""
        camera = Camera(round(IMAGE_SIZE * self.scale))
        return find_skin_beyond(mesh, pix_to_face, self.image, self.matte, camera, overshoot).astype(np.float32)

    def without_hair(
        self, mesh: ProxyMesh, pix_to_face: np.ndarray, overshoot: OvershootSettings, settings: OutlineSettings
    ) -> _Picture:
        """The same, in which hair beside the far cheek is not the face's, but for its rim."""
        camera = Camera(round(IMAGE_SIZE * self.scale))
        hair = find_not_skin(mesh, pix_to_face, self.image, self.matte, camera, overshoot, with_mixed=False)
        beside = (hair | (pix_to_face < 0)).astype(np.uint8)
        hair &= cv2.erode(beside, np.ones((camera.odd(settings.rim),) * 2)) > 0
        return replace(self, person=np.where(hair, np.float32(0), self.person))


def _with_points(frame: TrackedFrame, head: OpenHead, goal: np.ndarray, rounds: int) -> TrackedFrame:
    """The frame with a static offset at which the head's first points lie at the goal (N, 3), in head space."""
    assert frame.static_offset is not None
    offset = frame.static_offset.astype(np.float64)
    for _ in range(rounds):  # the jaw turns what is offset at rest
        now = head.evaluate(replace(frame, static_offset=offset.astype(np.float32)))
        offset[: len(goal)] += goal - now[: len(goal)]
    return replace(frame, static_offset=offset.astype(np.float32))
