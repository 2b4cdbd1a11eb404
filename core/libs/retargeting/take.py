"""Part of a driver's motion: how it holds the head, or what its face does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from core.data.records import TrackedFrame, TrackedSequence
from core.errors import UserError

TAKES = ("all", "pose", "expression")
_FACE = ("expcode", "posecode", "eyecode")


def take_part(source: TrackedFrame, motion: TrackedSequence, part: str = "all") -> TrackedSequence:
    """The motion with the photo's values for what is not taken over.

    Args:
        source: the photo. motion: what the transfer made of the driver for it.
        part: `all`; `pose`: head and shoulders move, expression, jaw and eyes are the photo's; `expression`: the other
            way round, head and shoulders stay where the photo has them.
    Returns:
        A sequence as long; the photo's values are taken over to the bit.
    """
    if part not in TAKES:
        raise UserError(f"take {part!r} is none of {', '.join(TAKES)}")
    names = {"all": (), "pose": _FACE, "expression": ("transform_matrix",)}[part]
    kept = {name: np.repeat(getattr(source, name)[None].astype(np.float32), len(motion), 0) for name in names}
    taken = motion.with_parameters(kept)
    if part == "expression":
        return replace(taken, torso_motion=None)
    return replace(taken, mouth_interior=None) if part == "pose" else taken
