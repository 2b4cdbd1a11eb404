"""The truth of a clip, from where it lives: `core.evaluation.truth`."""

from core.evaluation.truth import (
    BUILD,
    Truth,
    code_of,
    digest,
    on_black,
    settled_points,
    track_faces,
    wide_crop,
    with_soft_border,
)

__all__ = [
    "BUILD",
    "Truth",
    "code_of",
    "digest",
    "on_black",
    "settled_points",
    "track_faces",
    "wide_crop",
    "with_soft_border",
]
