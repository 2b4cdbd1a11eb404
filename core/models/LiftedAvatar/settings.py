"""The numbers of the built-in avatar, one frozen value that is handed in.

Those of eyes, of inpainting and of the mouth are in `eye_settings`, `inpaint_settings` and `mouth.settings`.

All of them were set by eye, on the development photos and clips, where nothing else is said. Pixels are those of a
photo whose shown crop has 512 of them on a side, and grow with its size; colours are in 0..1.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from core.libs.mesh import OvershootSettings
from core.models.LiftedAvatar.eye_settings import EyeSettings, LidSettings
from core.models.LiftedAvatar.inpaint_settings import (
    BlendSettings,
    InpaintSettings,
    TextureSettings,
    VisibilitySettings,
)
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
            On the six development clips any at all is further from the truth.
        cosines: to the line of sight over which it comes in: what is edge-on is smeared when it turns.
        fine_size: pixels, the standard deviation up to which detail is fine. fine_share: of fine detail that is shown,
            about as much as costs the six development clips nothing.
    """

    rounds: int = 3
    max_detail: float = 0.1
    border: float = 12.0
    smoothing: float = 2.0
    beside: float = 0.0
    cosines: tuple[float, float] = (0.35, 0.65)
    fine_size: float = 1.5
    fine_share: float = 0.25


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
class SmoothSettings:
    """Of `smooth_parts`.

    Attributes:
        stretch: pixels of the picture for one of the photo, between which, along any direction, a piece of the surface
            is resampled. steps: parts of a pixel of the photo that are told apart. levels: of stretch, the same.
        faint: weight of what is inpainted, up to which it does not show. fades: exponents up to which pixels that fade
            do not do so yet, see `Binding`.
    """

    stretch: tuple[float, float] = (0.6, 1.7)
    steps: int = 32
    levels: int = 12
    faint: float = 0.004
    fades: float = 8.0


@dataclass(frozen=True)
class ChinSettings:
    """Of `chin`.

    Attributes:
        least: of their distance in the photo, that points above one another keep. most: of it, beyond which what they
            are pulled apart goes to the next ones.
        least_area: of a triangle's area in the photo, that it keeps. jaw_moves: how readily the jaw line gives way,
            over the skin above it. rounds: of the solver; overrelaxed: its steps. By eye on the shared faces.
    """

    least: float = 0.45
    most: float = 1.1
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
class SideSettings:
    """Of `sides`. By eye on twenty faces turned by 20 degrees; heights are the face's.

    Attributes:
        slope: at which the surface falls back at most, tangent of the angle to the photo's plane: 65 degrees, about
            that at which ears stand.
        turn: degrees by which a side turns to the camera until its points have gone all the way.
        sideways: horizontal part of the direction outwards, over which the border is beside the face.
        beyond: heights beside the border, at which is looked for the person. person: matte there, over which they are.
        nose: see `OvershootSettings`, over which a side is seen. rounds: of smoothing along the border.
        inside, outside: heights from the border, within the face and beyond it, over which points stay where they are.
        softness: heights, of the average along the border.
    """

    slope: float = 2.14
    turn: float = 8.0
    sideways: tuple[float, float] = (0.5, 0.8)
    beyond: float = 0.05
    person: tuple[float, float] = (0.5, 0.9)
    nose: tuple[float, float] = (0.25, 0.35)
    rounds: int = 2
    inside: tuple[float, float] = (0.1, 0.2)
    outside: tuple[float, float] = (0.15, 0.4)
    softness: float = 0.06


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
    smooth: SmoothSettings = field(default_factory=SmoothSettings)
    eyes: EyeSettings = field(default_factory=EyeSettings)
    lids: LidSettings = field(default_factory=LidSettings)
    chin: ChinSettings = field(default_factory=ChinSettings)
    folds: FoldSettings = field(default_factory=FoldSettings)
    mouth: MouthSettings = field(default_factory=MouthSettings)
    sides: SideSettings = field(default_factory=SideSettings)
    join: JoinSettings = field(default_factory=JoinSettings)
