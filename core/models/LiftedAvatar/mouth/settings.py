"""The numbers of the mouth's inside. Lengths in millimetres, colours linear.

Where nothing else is said a number is the prototype's (shared/spec), found by eye on ten photos and five drivers. Sizes
of teeth are mean adult values as textbooks of dental anatomy give them.
"""

from __future__ import annotations

from dataclasses import dataclass

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


UPPER = Row((8.5, 6.5, 7.5, 7.0, 7.0, 9.5), (0.0, 0.8, 0.1, 0.9, 1.2, 1.4), 10.0, 1.1, 18.0)
LOWER = Row((5.3, 5.9, 6.8, 7.0, 7.0, 10.0), (0.0, 0.1, -0.3, 0.5, 0.9, 1.2), 8.5, 0.66, 14.0)


@dataclass(frozen=True)
class Shape:
    """Where the rows are.

    Attributes:
        overbite: the bite lies so far below the middle of the resting lips.
        upper_behind, lower_behind: the rows' middles behind the lips. lower_below: the lower row's, under the bite.
        arch: depth over x squared, 1 / mm. deepest: at most so far back. half_width: where a row ends.
        above_bite: the upper edge, under the bite. crown_shows: at most so much of the upper row below a raised lip.
        least_shows, least_share: so much of the upper row is always seen, at most such a share of the opening.
        lower_shows: at most so much of the lower row above the lower lip. overlap: of the rows, at most.
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


@dataclass(frozen=True)
class Interior:
    """How the four numbers of the driver's mouth act.

    Attributes:
        trusted: openings from which and to which they gain their say. rows, tongue: how much they have of it.
        hidden: share of the opening up to which a row is not seen.
        upper_behind_lip, lower_behind_lip: where it is then.
        upper_most, lower_most: of a row that is seen; more of the lower one looks like a denture.
    """

    trusted: tuple[float, float] = (1.5, 4.0)
    rows: float = 0.7
    tongue: float = 0.8
    hidden: float = 0.02
    upper_behind_lip: float = 2.0
    lower_behind_lip: float = 1.2
    upper_most: float = 10.5
    lower_most: float = 4.5


@dataclass(frozen=True)
class Shadow:
    """What the lips take of the light behind them, on display values.

    Attributes:
        deep: at the upper lip. lower: share of it at the lower one. of_opening, least, most: how far it reaches.
    """

    deep: float = 0.50
    lower: float = 0.35
    of_opening: float = 0.12
    least: float = 0.6
    most: float = 1.6


SHAPE, INTERIOR, SHADOW = Shape(), Interior(), Shadow()
