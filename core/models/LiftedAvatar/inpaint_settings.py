"""The numbers of inpainting, and of how it meets the photo: frozen values that `settings.LiftedSettings` holds.

Set by eye on the development photos and clips, where nothing else is said; units are those of `settings`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class VisibilitySettings:
    """Of `inpaint.visibility`.

    Attributes:
        scarce: a triangle with fewer pixels than its frontal area over this is hidden.
        edge_on: cosine to the line of sight below which a triangle is edge-on, about 70 degrees.
        cut: share of its pixels, below which a triangle shows only a part.
    """

    scarce: float = 2.2
    edge_on: float = 0.35
    cut: float = 0.95


@dataclass(frozen=True)
class TextureSettings:
    """Of `inpaint.texture`.

    Attributes:
        smoothing: standard deviation over which a point's colour is averaged, pixels.
        max_relief: that the other half of the face may add to a colour or take from it.
        least_cosine: to the line of sight, below which the photo's colours are not to be trusted.
        least_skin: share of pixels of skin around a point from which on their mean is its colour.
        sure_matte: from which on a pixel is no mixture with the background.
        border: pixels that the face's border must be inside the person to keep the photo's colour.
        least_border_matte: of the person shrunk by that, from which on it is inside.
        least_surroundings: share of pixels of the surroundings around one of their points, from which on it is known.
        nose_growth: of the nose's outline, in which nothing is taken over from its other side: its foot is shade too.
    """

    smoothing: float = 4.0
    max_relief: float = 0.1
    least_cosine: float = 0.25
    least_skin: float = 0.05
    sure_matte: float = 0.95
    border: int = 17
    least_border_matte: float = 0.9
    least_surroundings: float = 0.1
    nose_growth: float = 1.15


@dataclass(frozen=True)
class InpaintSettings:
    """Of `inpaint.gaussians`.

    Attributes:
        spacing: of the Gaussians, pixels of the photo whatever its size.
        least_area: of a triangle that gets any, seen from the front, pixels squared.
        unsure: doubt above which a pixel is background as likely as face.
        clean: pixels around unsure ones whose colours are not used.
        behind: continued matte of what the face hides, at which nothing of it is drawn, and from which on all of it.
        gap: pixels across, up to which one between that and what is seen beside the face is closed.
    """

    spacing: float = 1.4
    least_area: float = 2.0
    unsure: float = 0.1
    clean: int = 5
    behind: tuple[float, float] = (0.4, 0.7)
    gap: int = 13


@dataclass(frozen=True)
class BlendSettings:
    """Of `inpaint.blend`.

    Attributes:
        doubt_exponent: what is added to the fade exponent of a pixel of the face that is certainly background.
        fringe_reach: heights of the face, as far as the mesh may miss the person's outline.
        shortest: heights of the face, that a piece of a fringe is long.
        beside: pixels from what is thin enough for a fringe to what belongs to it.
        skin_difference: between colours, within which a fringe is skin.
        least_cosine: to the line of sight, from which on the face's colours are sure. least_matte: the same.
        matte_floor: pixels fainter than this are no fringe.
        rim: pixels across, up to which a soft rim is loose. faint: of the matte, up to which none is seen.
        island: of the face's pixels, up to so many of which a piece is no ear; see `inpaint.blend`.
    """

    doubt_exponent: float = 1200.0
    fringe_reach: float = 0.04
    shortest: float = 0.1
    beside: int = 7
    skin_difference: float = 0.15
    least_cosine: float = 0.2
    least_matte: float = 0.9
    matte_floor: float = 0.02
    rim: int = 7
    faint: float = 0.2
    island: float = 0.01
