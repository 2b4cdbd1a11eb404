"""The numbers of irises and lids, frozen values that `settings.LiftedSettings` holds.

Set by eye on the development photos and clips, where nothing else is said; units are those of `settings`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EyeSettings:
    """Of `eyes`. Radii are over the iris's, lengths over the width of the eye where nothing else is said.

    Attributes:
        disc: radii at which the drawn disc begins to fade, and at which it ends.
        white: the same of the white that is painted over the iris: inside the disc, which at its place in the photo
            must cover it.
        soft_edge: pixels over which that white begins at the lids.
        moved: radii that an iris is away from its place in the photo, at which its disc begins to become narrower, and
            at which it is `moved_disc`: the iris alone, without the white around it in the photo.
        least_axis: the shorter axis of a turned iris's ellipse over the longer one, at least.
        inside: radii that an iris stays inside the corners: a gaze carried over must not lose it.
        seen: radii of an iris that lids leave to be seen which are open, of its height: the same.
        least_width: of an eye, pixels. least_radius: of an iris, pixels.
        least_visible: share of the disc that the photo must show.
        growth: pixels that an iris is drawn beyond the lids' contour: the Gaussians spread the white so far.
        touching: pixels between the lids at which no iris shows, and from which on all of it that lies between them.
        closing: lid distances over the photo's, between which the eye's surroundings turn into those of a closed one;
            as `LidSettings.skin_closing`. lashes: how far they hang over a closing eye's iris.
        shut_below: lid distance under which an eye is being shut. of_reference: the same over the photo's; the smaller
            one holds. shut: share of it at which it is shut. meet: where the lids meet, 0 at the lower one, 1 at the
            upper one.
        least_rise: of brightness across a tenth of a radius, times the whiteness beyond, that makes an iris's border
            clear. limbus_side: share of the arc on a side, from which on that side counts for itself.
        limbus_white: share of the pixels between the lids that are darker than what is all white.
        limbus_near: the tracker's radii that the border's centre is off by, standard deviation.
        lid_search: from above the contour to below it, where the lower lid is looked for.
        lid_samples: (eye, skin) above the first colours are the eye's, below the second the skin's.
        least_contrast: in colour, between an eye and the skin below, by which the lower lid can be told.
        most_drop: of the lower lid below the contour.
        white_from: share of the pixels of a side that are darker than its white.
        white_color: its saturation over that of the skin below the eye, at most.
        ball: radii of the iris that an eyeball's is, seen from the front. at_corners: of its light, where it ends.
        least_white: brightness of the darker side's white over the other's, below which it becomes the other's.
        shadow: of the upper and the lower lid on the white, of its light. shadow_depth: over the greatest distance to
            the lids.
    """

    disc: tuple[float, float] = (1.45, 1.65)
    white: tuple[float, float] = (1.35, 1.55)
    soft_edge: float = 2.0
    moved: tuple[float, float] = (0.05, 0.4)
    moved_disc: tuple[float, float] = (0.9, 1.04)
    least_axis: float = 0.75
    inside: float = 0.85
    seen: float = 1.0
    least_width: float = 6.0
    least_radius: float = 2.0
    least_visible: float = 0.25
    growth: float = 0.75
    touching: tuple[float, float] = (0.2, 1.0)
    closing: tuple[float, float] = (0.35, 0.75)
    lashes: float = 0.035
    shut_below: float = 0.18
    of_reference: float = 0.65
    shut: float = 0.35
    meet: float = 0.25
    least_rise: float = 0.015
    limbus_side: float = 0.2
    limbus_white: float = 0.8
    limbus_near: float = 0.3
    lid_search: tuple[float, float] = (-0.08, 0.24)
    lid_samples: tuple[float, float] = (-0.03, 0.18)
    least_contrast: float = 0.12
    most_drop: float = 0.14
    white_from: float = 0.75
    white_color: float = 0.65
    ball: float = 2.2
    at_corners: float = 0.55
    least_white: float = 0.8
    shadow: tuple[float, float] = (0.5, 0.15)
    shadow_depth: float = 0.35


@dataclass(frozen=True)
class LidSettings:
    """Of `lids`, by eye on the shared faces. Lengths are over the width of the eye.

    Attributes:
        least_width: of an eye, pixels. least_open: lid distance in the photo, under which its eye is shut already.
        window: around the eye, in which all happens.
        upper_reach, lower_reach: how far lashes and liner may be taken to reach beyond either lid. darkest_within: from
            the lid, where they are darkest. bright_skin: percentile of brightness outwards from a lid, that is skin's.
            to_skin: part of the way from the darkest to that, at which they end. least_contrast: between the two.
        soft: beyond them, where what is replaced begins to fade and where it ends.
        even: standard deviation over which their reach is averaged.
        corners: beyond the outer and the inner corner, up to where the lids move. travel: of the lids over their
            greatest one, at which replacing begins and from which it is complete.
        lash_gap: less than which single lashes are thick. lash_blur: standard deviation over which their direction is
            measured. upright: energy of the picture's slope along the lid over that across it, from which on what is
            thin is a lash and no fold. lash_depth: by how much darker it is than what is beside it, a part of that.
            least_lash: the shortest. longest_lash, lower_lash: how far they reach above and below.
            spot: of an eye's own corner beside the tracker's, how wide it is. spot_reach: from the tracker's, within
            which it ends.
        below_brow: part of the distance to the brow, that they do not pass.
        boundary: width of what the skin is continued from. beside, rounds: standard deviation over which that is
            averaged, and how often, to leave out what is darker than its surroundings by the part `darker`.
            far_darker: part of the usual brightness, below which it is left out too: rims of glasses are wide.
        solved_width: pixels of an eye, above half as many again as which its skin is solved for at a smaller size.
        lash_samples: from the lid, where the colour of its line is looked for.
        lashes: how thin and how thick the upper lashes' line may be.
        line_below, line_above: how far the line reaches from where the lids meet, over its thickness. It fades all the
            way; above it lies on skin that is stretched. least_line: the least of both, pixels.
            line_corners: how far it goes beyond the outer and the inner corner. line_ends: its thickness over
            that in the middle, between which its ends fade.
        skin_closing, line_closing, eye_closing: lid distances over the photo's at which a change is complete and at
            which it begins: of lids into skin, of the lashes' line, and of what is left of the eye into that line.
    """

    least_width: float = 6.0
    least_open: float = 0.1
    window: float = 0.6
    upper_reach: tuple[float, float] = (0.06, 0.18)
    lower_reach: tuple[float, float] = (0.06, 0.18)
    soft: tuple[float, float] = (0.03, 0.12)
    even: float = 0.05
    corners: tuple[float, float] = (0.18, 0.14)
    bright_skin: float = 70.0
    darkest_within: float = 0.12
    to_skin: float = 0.75
    least_contrast: float = 0.04
    travel: tuple[float, float] = (0.0, 0.5)
    lash_gap: float = 0.1
    lash_blur: float = 0.03
    upright: float = 1.0
    lash_depth: float = 0.06
    least_lash: float = 0.06
    longest_lash: float = 0.5
    lower_lash: float = 0.3
    spot: float = 0.14
    spot_reach: float = 0.22
    below_brow: float = 0.7
    boundary: float = 0.05
    beside: float = 0.1
    darker: float = 0.2
    far_darker: float = 0.5
    rounds: int = 3
    solved_width: float = 64.0
    lash_samples: float = 0.07
    lashes: tuple[float, float] = (0.02, 0.06)
    line_below: float = 1.3
    line_above: float = 0.45
    least_line: float = 2.0
    line_corners: tuple[float, float] = (0.14, 0.05)
    line_ends: tuple[float, float] = (0.15, 0.45)
    skin_closing: tuple[float, float] = (0.35, 0.75)
    line_closing: tuple[float, float] = (0.35, 0.75)
    eye_closing: tuple[float, float] = (0.06, 0.32)
