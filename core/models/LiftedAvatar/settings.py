"""The numbers of the built-in avatar, one frozen value that is handed in; the mouth's are in `mouth.settings`.

All of them were set by eye, on the development photos and clips, where nothing else is said. Pixels are those of a
photo whose shown crop has 512 of them on a side, and grow with its size; colours are in 0..1.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from core.models.LiftedAvatar.mouth.settings import MouthSettings


@dataclass(frozen=True)
class DecontaminationSettings:
    """Of `decontaminate`.

    Attributes:
        sure_matte: from which on a pixel's colour is the person's own.
        smoothing: standard deviation over which the person's colours are averaged before they go outwards, pixels.
    """

    sure_matte: float = 0.6
    smoothing: float = 2.0


@dataclass(frozen=True)
class DetailSettings:
    """Of `detail`.

    Attributes:
        rounds: of Van Cittert's iteration, after which what is missing at the photo's pose is next to nothing.
        max_detail: that detail may add to a colour or take from it.
        border: pixels inside the matte over which detail comes in. smoothing: standard deviation of its weight, pixels.
        beside: its weight on hair and ears: they move as one piece, and detail in the wrong place is worse than none.
        cosines: to the line of sight over which it comes in: what is edge-on is smeared when it turns.
    """

    rounds: int = 3
    max_detail: float = 0.1
    border: float = 12.0
    smoothing: float = 2.0
    beside: float = 0.5
    cosines: tuple[float, float] = (0.35, 0.65)


@dataclass(frozen=True)
class VisibilitySettings:
    """Of `inpaint.visibility`.

    Attributes:
        scarce: a triangle with fewer pixels than its frontal area over this is hidden.
        edge_on: cosine to the line of sight below which a triangle is edge-on, about 70 degrees.
    """

    scarce: float = 2.2
    edge_on: float = 0.35


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
    """

    spacing: float = 1.4
    least_area: float = 2.0
    unsure: float = 0.1
    clean: int = 5


@dataclass(frozen=True)
class BlendSettings:
    """Of `inpaint.blend`.

    Attributes:
        doubt_exponent: what is added to the fade exponent of a pixel of the face that is certainly background.
        fringe_reach: heights of the face, as far as the mesh may miss the person's outline.
        beside: pixels from what is thin enough for a fringe to what belongs to it.
        skin_difference: between colours, within which a fringe is skin.
        least_cosine: to the line of sight, from which on the face's colours are sure. least_matte: the same.
        matte_floor: pixels fainter than this are no fringe.
    """

    doubt_exponent: float = 300.0
    fringe_reach: float = 0.04
    beside: int = 7
    skin_difference: float = 0.15
    least_cosine: float = 0.2
    least_matte: float = 0.9
    matte_floor: float = 0.02


@dataclass(frozen=True)
class OvershootSettings:
    """Of `inpaint.blend.find_not_skin`. By eye on the shared faces.

    Attributes:
        nose: how near to a side of the face the nose is, in widths of it, where that side is the far one.
        cosine: to the line of sight of triangles that face sideways: below it a pixel may be hair, above it is skin.
        below: heights of the face from its top, from which on: above is the hairline.
        difference: between colours, beyond which a pixel is no skin. smoothing: standard deviation of skin's, pixels.
        sure_matte: from which on a pixel's colour is skin's. mixed: pixels around hair that have some of its colour.
    """

    nose: float = 0.38
    cosine: float = 0.5
    below: float = 0.2
    difference: float = 0.12
    smoothing: float = 2.0
    sure_matte: float = 0.9
    mixed: int = 5


@dataclass(frozen=True)
class EdgeSettings:
    """Of `edges`. Pixels are those of the picture that is drawn.

    Attributes:
        radius: of the disc in which an outline is taken for a straight line, pixels: stairs as long as it is wide go.
        hole: a pixel behind is a hole, if of it and its eight neighbours so many are in front; one in front is a speck,
            if so many are behind.
    """

    radius: float = 3.2
    hole: int = 7


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
        least_width: of an eye, pixels. least_radius: of an iris, pixels.
        least_visible: share of the disc that the photo must show.
        growth: pixels that an iris is drawn beyond the lids' contour: the Gaussians spread the white so far.
        touching: lid distances at which no iris shows, and from which all of it shows that lies between them.
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
    least_width: float = 6.0
    least_radius: float = 2.0
    least_visible: float = 0.25
    growth: float = 0.75
    touching: tuple[float, float] = (0.03, 0.1)
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
    least_white: float = 0.8
    shadow: tuple[float, float] = (0.3, 0.12)
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
    eye_closing: tuple[float, float] = (0.12, 0.42)


@dataclass(frozen=True)
class ChinSettings:
    """Of `chin`.

    Attributes:
        least: of their distance in the photo, that points above one another keep.
        least_area: of a triangle's area in the photo, that it keeps. jaw_moves: how readily the jaw line gives way,
            over the skin above it. rounds: of the solver; overrelaxed: its steps. By eye on the shared faces.
    """

    least: float = 0.45
    least_area: float = 0.15
    jaw_moves: float = 0.3
    rounds: int = 12
    overrelaxed: float = 2.0


@dataclass(frozen=True)
class FoldSettings:
    """Of `folds`.

    Attributes:
        bulging_width: of a fold on its bulging side, over its width. bulge: rise of the light there, over its depth.
        bulge_at, bulge_width: where that is, and how wide, over the fold's width.
        reach: of a fold to either side, over its width. taper: share of its length over which an end comes in.
        limits: of all folds' light together, over that of the photo.
        powers: of the light in red, green and blue: what light comes out of a fold went through skin.
        smoothed_out: share of a fold of the photo that is taken away at most, where the face is stretched.
        cosines: to the line of sight, over which folds come in.
        fade: standard deviation, head units, over which folds end at what is no skin.
        skin_reach: head units over which skin's usual colour is averaged. darker: share by which a pixel is darker than
            that, from which on and at which it is no skin.
        least_light: change of light below which a Gaussian is left alone.
    """

    bulging_width: float = 0.6
    bulge: float = 0.3
    bulge_at: float = 1.5
    bulge_width: float = 0.9
    reach: float = 3.2
    taper: float = 0.35
    limits: tuple[float, float] = (0.85, 1.1)
    powers: tuple[float, float, float] = (0.75, 1.0, 1.15)
    smoothed_out: float = 0.0
    cosines: tuple[float, float] = (0.35, 0.65)
    fade: float = 0.012
    skin_reach: float = 0.12
    darker: tuple[float, float] = (0.2, 0.4)
    least_light: float = 0.003


@dataclass(frozen=True)
class JoinSettings:
    """Of `join`. Lengths are over the side of the shown crop where nothing else is said.

    Attributes:
        body: from the neck, where the shoulders' move begins to fade, and where it has ended.
        border: from the wide crop's border, over which any move comes in. power: of a smoothstep, so that both end
            slowly.
        farthest: that a point moves in a clip. unseen: pixels of a move that nobody sees; over that of the farthest
            move the drawn picture comes in.
    """

    body: tuple[float, float] = (0.3, 0.85)
    border: float = 0.3
    power: float = 2.0
    farthest: float = 0.15
    unseen: float = 0.1


@dataclass(frozen=True)
class LiftedSettings:
    """Of the avatar as a whole, and of each of its parts.

    Attributes:
        sigma: of a Gaussian, pixels of the photo whatever its size. blur: added to the projected covariance, px^2 of
            the picture.
        neck_reach: head units that the neck moves before the shoulders follow, where theirs is a guess.
        followed_neck_reach: the same, where the driver's shoulders were followed.
        matte_floor: pixels fainter than this are not lifted.
        doubt_reach: pixels around background in which a pixel may be background.
        border: pixels over which the matte goes out where the photo ends within the crop.
        max_doubt: that a pixel of the face that is seen edge-on may be background.
        z_window: head units; see `SurfaceSettings`. full_weight: see there.
        inpaint_weight: of inpainted Gaussians, against 1 of the photo's, until they take over.
    """

    sigma: float = 0.55
    blur: float = 0.05
    neck_reach: float = 0.3
    followed_neck_reach: float = 1.0
    matte_floor: float = 0.02
    doubt_reach: int = 5
    border: float = 20.0
    max_doubt: float = 0.1
    z_window: float = 0.05
    full_weight: float = 0.2
    inpaint_weight: float = 0.12
    decontamination: DecontaminationSettings = field(default_factory=DecontaminationSettings)
    detail: DetailSettings = field(default_factory=DetailSettings)
    visibility: VisibilitySettings = field(default_factory=VisibilitySettings)
    texture: TextureSettings = field(default_factory=TextureSettings)
    inpaint: InpaintSettings = field(default_factory=InpaintSettings)
    blend: BlendSettings = field(default_factory=BlendSettings)
    overshoot: OvershootSettings = field(default_factory=OvershootSettings)
    edges: EdgeSettings = field(default_factory=EdgeSettings)
    eyes: EyeSettings = field(default_factory=EyeSettings)
    lids: LidSettings = field(default_factory=LidSettings)
    chin: ChinSettings = field(default_factory=ChinSettings)
    folds: FoldSettings = field(default_factory=FoldSettings)
    mouth: MouthSettings = field(default_factory=MouthSettings)
    join: JoinSettings = field(default_factory=JoinSettings)
