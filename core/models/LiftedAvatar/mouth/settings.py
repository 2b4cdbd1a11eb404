"""The numbers of the mouth's inside. Lengths in millimetres, colours linear, pixels those of a 512-pixel picture.

Where nothing else is said a number is the prototype's (shared/spec), found by eye on ten photos and five drivers. Set
again since, by eye on the shared faces: how back teeth are shortened, the light of the lower row, the whiteness and hue
of teeth, how much of the upper row shows at most. Sizes of teeth are mean adult values as textbooks of dental anatomy
give them. What the kernel shades with stands in `kernel`, where it is compiled in.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

from core.libs.face_light import FaceLightSettings

MM = 0.005  # head units


@dataclass(frozen=True)
class Row:
    """One row of teeth, from the midline outwards: two incisors, the canine, two premolars, a molar.

    Attributes:
        widths: of the teeth. shorter: how far each one's edge lies from the first one's.
        crown: height of a tooth. bright: of the middle, over the tooth colour. reach: |x| at which light falls off.
    """

    widths: tuple[float, ...]
    shorter: tuple[float, ...]
    crown: float
    bright: float
    reach: float

    def scaled(self, scale: float) -> Self:
        """The row with all its lengths so many times as large."""
        widths, shorter = (tuple(scale * v for v in values) for values in (self.widths, self.shorter))
        return replace(self, widths=widths, shorter=shorter, crown=scale * self.crown, reach=scale * self.reach)


@dataclass(frozen=True)
class ToothSettings:
    """The shape of a tooth and how the photo's own are told; of `teeth`.

    Attributes:
        table_reach: |x| that a row's table covers.
        rounded: by which a tooth's corners are rounded. rounded_back: the same of canines and after.
        cusp_flanks, cusp_tip: of the canine.
        side_shade: of its light that a tooth's side has less.
        texture: width and height of the photo's own upper row, texels. texture_blur: standard deviation, texels.
        most_colourful: colourfulness above which nothing is a tooth. pale: how far below it all is one.
        bright: of the photo's own teeth's luminance, from where on something is a tooth, and surely one.
    """

    table_reach: int = 30
    rounded: float = 0.9
    rounded_back: float = 1.3
    cusp_flanks: float = 0.9
    cusp_tip: float = 0.5
    side_shade: float = 0.20
    texture: tuple[int, int] = (192, 72)
    texture_blur: float = 1.5
    most_colourful: float = 0.40
    pale: float = 0.12
    bright: tuple[float, float] = (0.25, 0.5)


@dataclass(frozen=True)
class ColourSettings:
    """Of `colours`; all by eye.

    Attributes:
        light: what skin and teeth are under white light.
        ivory: red and blue of drawn teeth over green: among warm colours whiter ones look grey.
        red_power, blue_power: of a skin's hue over usual skin's, that teeth take on; the rest is the skin's own.
        redder: teeth are redder by so much of what they lack of blue: the hue of lamps and of amber, else it is a
            lemon's. most_red: over green, at most.
        tooth_gain, tooth_offset: from the skin's display grey to the teeth's.
        tissue: of gums and tongue under white light, of the teeth's brightness.
        tissue_light: over that. lip_share: power of the lips' own colour in it. lip_most: of their luminance, over it.
        lip_least: of a lip's colour, over the tissue's.
        dark: what the cavity leaves of the tissue: light in there has met red walls more than once.
        enough_teeth: pixels of teeth from which on the photo's own colour is taken.
        least_own: of the luminance that they should have; darker teeth are seen through a slit, in shadow.
        tooth_colourfulness: below which a pixel is a tooth's. tooth_luminance: over the usual one, above which it is.
        varied_at: per cent of a face's pixels at which its variety of colours is measured.
        varied: of their chroma: what a grey or sepia photo stays below, and a coloured one above.
        soft_edges: per cent of the strongest gradients, by which a photo's softness is measured.
    """

    light: FaceLightSettings = field(default_factory=FaceLightSettings)
    ivory: tuple[float, float] = (1.10, 0.78)
    red_power: float = 0.55
    blue_power: float = 0.8
    redder: float = 0.5
    most_red: float = 1.55
    tooth_gain: float = 0.80
    tooth_offset: float = 0.12
    tissue: tuple[float, float, float] = (0.50, 0.18, 0.175)
    tissue_light: float = 1.15
    lip_share: float = 0.3
    lip_most: float = 1.2
    lip_least: float = 0.25
    dark: tuple[float, float, float] = (0.13, 0.055, 0.055)
    enough_teeth: int = 120
    least_own: float = 0.7
    tooth_colourfulness: float = 0.25
    tooth_luminance: float = 0.45
    varied_at: float = 90
    varied: tuple[float, float] = (0.10, 0.20)
    soft_edges: float = 15


@dataclass(frozen=True)
class OutlineSettings:
    """Of `outline`.

    Attributes:
        per_side: points of the smooth ring for one of the tracker's.
        growth: pixels: the lips' splats end so far inside the ring.
        feather: standard deviation of the mask's border, pixels.
    """

    per_side: int = 4
    growth: float = 0.5
    feather: float = 0.8


@dataclass(frozen=True)
class ShapeSettings:
    """Where the rows are.

    Attributes:
        overbite: the bite lies so far below the middle of the resting lips.
        upper_behind, lower_behind: the rows' middles behind the lips. lower_below: the lower row's, under the bite.
        arch: depth over x squared, 1 / mm. deepest: at most so far back. half_width: where a row ends.
        above_bite: the upper edge, under the bite. crown_shows: at most so much of the upper row below a raised lip.
        least_shows, least_share: so much of the upper row is always seen, at most such a share of the opening.
        lower_shows: at most so much of the lower row above the lower lip. overlap: of the rows, at most.
        tongue: height of its top over the lower row's edge while the mouth is shut.
        tongue_rises: the same for a millimetre of opening. tongue_bright: of its light, over the tissue's.
        bared: widths of the mouth over that at rest, at which lips hide the teeth's light and at which they bare it.
    """

    overbite: float = 1.2
    upper_behind: float = 6.0
    lower_behind: float = 7.5
    lower_below: float = 1.0
    arch: float = 0.0275
    deepest: float = 22.0
    half_width: float = 27.0
    above_bite: float = 0.75
    crown_shows: float = 9.0
    least_shows: float = 1.5
    least_share: float = 0.25
    lower_shows: float = 2.4
    overlap: float = 0.9
    tongue: float = 2.5
    tongue_rises: float = 0.36
    tongue_bright: float = 0.80
    bared: tuple[float, float] = (0.70, 0.95)


@dataclass(frozen=True)
class InteriorSettings:
    """How the four numbers of the driver's mouth act.

    Attributes:
        trusted: openings from which and to which they gain their say. rows, tongue: how much they have of it.
        hidden: share of the opening up to which a row is not seen.
        upper_behind_lip, lower_behind_lip: where it is then.
        upper_least, lower_least: of a row, behind its lip. upper_most, lower_most: of a row that is seen; more of the
            lower one looks like a denture.
        tongue_limits: of the tongue's visible height. tongue_raised: its top over what is visible of it.
        tongue_light: of its light, over what was read. light_limits: of that. near_lips: of the usual tongue's light,
            what nearly shut lips leave of it (`kernel`); one that was read has it already.
    """

    trusted: tuple[float, float] = (1.5, 4.0)
    rows: float = 0.7
    tongue: float = 0.8
    hidden: float = 0.02
    upper_behind_lip: float = 2.0
    lower_behind_lip: float = 1.2
    upper_least: float = -1.5
    lower_least: float = -1.0
    upper_most: float = 9.0
    lower_most: float = 4.5
    tongue_limits: tuple[float, float] = (1.0, 24.0)
    tongue_raised: float = 1.0
    tongue_light: float = 1.2
    light_limits: tuple[float, float] = (0.3, 1.8)
    near_lips: float = 0.35


@dataclass(frozen=True)
class ShadowSettings:
    """What the lips take of the light behind them, on display values.

    Attributes:
        deep: at the upper lip. lower: share of it at the lower one. of_opening, least, most: how far it reaches.
    """

    deep: float = 0.50
    lower: float = 0.35
    of_opening: float = 0.12
    least: float = 0.6
    most: float = 1.6


@dataclass(frozen=True)
class PhotoBlendSettings:
    """When the photo's own inside of the mouth is shown and not the drawn one.

    Attributes:
        near, near_share: the difference of openings over which the drawn one comes in is so much, and such a share of
            the photo's opening. exact: up to this share of that difference nothing is drawn.
        touching: openings of lips that touch, as trackers find them: none is drawn up to the first, all from the
            second on.
        blur_gain, blur_less: the drawn inside is blurred by so much of the photo's softness, less so much, pixels.
        most_blur, least_blur: pixels; below the second none.
    """

    near: float = 1.0
    near_share: float = 0.30
    exact: float = 0.25
    touching: tuple[float, float] = (0.8, 2.0)
    blur_gain: float = 0.75
    blur_less: float = 0.25
    most_blur: float = 1.1
    least_blur: float = 0.3


@dataclass(frozen=True)
class MouthSettings:
    """All of the mouth's.

    Attributes:
        usual_width: of a resting mouth that the sizes of teeth are of. scales: least and most that those of other
            mouths are larger: people with small mouths have hardly smaller teeth. By eye on the shared faces.
        scale: of the teeth of this mouth, see `sized`.
    """

    upper: Row = Row((8.5, 6.5, 7.5, 7.0, 7.0, 9.5), (0.0, 0.8, 0.2, 1.3, 2.0, 2.6), 10.0, 1.1, 18.0)
    lower: Row = Row((5.3, 5.9, 6.8, 7.0, 7.0, 10.0), (0.0, 0.1, -0.3, 0.5, 0.9, 1.2), 8.5, 0.80, 14.0)
    tooth: ToothSettings = field(default_factory=ToothSettings)
    colours: ColourSettings = field(default_factory=ColourSettings)
    outline: OutlineSettings = field(default_factory=OutlineSettings)
    shape: ShapeSettings = field(default_factory=ShapeSettings)
    interior: InteriorSettings = field(default_factory=InteriorSettings)
    shadow: ShadowSettings = field(default_factory=ShadowSettings)
    photo_blend: PhotoBlendSettings = field(default_factory=PhotoBlendSettings)
    usual_width: float = 50.0
    scales: tuple[float, float] = (0.84, 1.05)
    scale: float = 1.0

    def sized(self, width: float) -> Self:
        """For a person whose mouth is at rest so many millimetres wide: teeth and arch go with it."""
        scale = float(min(max(width / self.usual_width, self.scales[0]), self.scales[1]))
        shape = replace(
            self.shape,
            arch=self.shape.arch / scale,
            half_width=scale * self.shape.half_width,
            crown_shows=scale * self.shape.crown_shows,
        )
        return replace(self, upper=self.upper.scaled(scale), lower=self.lower.scaled(scale), shape=shape, scale=scale)
