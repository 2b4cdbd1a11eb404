"""Numbers of the built-in head: one frozen dataclass for each station of `tools.build_open_head`.

"By eye": set where it looked right, then left alone. Every one of them moves the head that comes out, and with it all
that was tracked on it.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class AlignmentSettings:
    """Of what brings faces into the head's space.

    Attributes:
        rounds: of generalised Procrustes analysis; the mean stands still after few.
        mirror_rounds: of finding each point's mirror image and the mirror in turn.
        scale: head units per metre, FLAME's.
        face_width: metres between points 234 and 454, before the ears; an adult's.
        centre: how far the head's centre lies above the middle of its face, as part of the face's height. By eye.
    """

    rounds: int = 10
    mirror_rounds: int = 5
    scale: float = 5.0
    face_width: float = 0.14
    centre: float = 0.1


@dataclass(frozen=True)
class SkullSettings:
    """Of skull and neck, which no tracker sees: an ellipsoid and a cylinder. By eye.

    Attributes:
        rings, neck_rings: of vertices, each as long as the outline of the face; of the neck.
        neck_sides: vertices of a ring of the neck.
        radii: half axes of the ellipsoid: width over the face's, height over its height, depth over its width.
        centre: of the ellipsoid: up, of the face's height, and out of the face, of its width.
        back: direction to the pole at the back of the head, of any length.
        onto: how fast the rings come from the face's outline onto the ellipsoid: at 1 / onto of the way.
        neighbours: weights of the outline's points, by which a ring follows the shape of the face.
        neck_top, neck_height: below the chin, and of the neck, over the face's height.
        neck_radius, neck_widening, neck_depth: of the first ring, what each further one has more, and how far behind
            the face its axis lies, over the face's width.
    """

    rings: int = 6
    neck_rings: int = 3
    neck_sides: int = 18
    radii: tuple[float, float, float] = (0.56, 0.62, 0.72)
    centre: tuple[float, float] = (0.02, -0.12)
    back: tuple[float, float, float] = (0.0, 0.1, -1.0)
    onto: float = 2.5
    neighbours: tuple[int, ...] = (1, 2, 3, 4, 3, 2, 1)
    neck_top: float = 0.10
    neck_height: float = 0.55
    neck_radius: float = 0.36
    neck_widening: float = 0.03
    neck_depth: float = -0.25


@dataclass(frozen=True)
class SkinningSettings:
    """Of the weights of the joints, and of where these are. By eye.

    Attributes:
        still: points of the face that the jaw does not move, beside eyes and upper lip. with_jaw: those that go with
            it, beside chin and lower lip.
        lip_corner: weight of the jaw at the corners of the mouth.
        jaw_corner: the same at `jaw_corners`, below the ears.
        skull_fade: how fast the jaw lets go of the skull's rings: at 1 / skull_fade of the way.
        neck: weight of the neck joint at its top.
        eyeball_radius: metres. eyeball_depth: how many of them an eyeball's centre lies behind the corners of the eye.
    """

    still: tuple[int, ...] = (
        1, 2, 168, 6, 4, 10, 33, 133, 362, 263, 234, 454, 127, 356, 94, 93, 323, 117, 346, 205, 425, 98, 327,
    )  # fmt: skip
    with_jaw: tuple[int, ...] = (136, 365)
    jaw_corners: tuple[int, ...] = (132, 361)
    lip_corner: float = 0.45
    jaw_corner: float = 0.25
    skull_fade: float = 1.6
    neck: float = 0.3
    eyeball_radius: float = 0.012
    eyeball_depth: float = 0.8


@dataclass(frozen=True)
class BasisSettings:
    """Of the directions in which heads differ and faces move.

    Attributes:
        shapes, expressions: how many there are, FLAME's numbers.
        frames: of a clip, evenly spread, of which expressions are learned.
        clip_weight: the weight of one clip, as a number of frames: what a code of 1 means. By eye.
        reach: head units over which a region's directions fade. By eye. faintest: weight below which they end.
        harmonics, shape_harmonics: of the mesh, smoothest first, that complete expressions and shapes.
        learned: share of a region's directions that are data, the first ones, which are more than the tracker's noise.
            By eye. learned_shapes: the number of shapes that are; there are 46 faces, and their mirror images.
        outside: part of a candidate that must be left beside the known directions for it to be another one.
        falling: number of directions after which those that complete the shapes have half the first one's deviation.
    """

    shapes: int = 300
    expressions: int = 100
    frames: int = 120
    clip_weight: int = 40
    reach: dict[str, float] = field(
        default_factory=lambda: {"eyes": 0.05, "mouth": 0.07, "brows": 0.06, "nose": 0.05, "cheeks": 0.13}
    )
    faintest: float = 0.02
    harmonics: int = 60
    shape_harmonics: int = 150
    learned: float = 0.8
    learned_shapes: int = 40
    outside: float = 0.2
    falling: float = 60.0


@dataclass(frozen=True)
class OpenHeadSettings:
    """Of the whole head."""

    alignment: AlignmentSettings = AlignmentSettings()
    skull: SkullSettings = SkullSettings()
    skinning: SkinningSettings = SkinningSettings()
    basis: BasisSettings = field(default_factory=BasisSettings)
