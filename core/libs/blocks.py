"""Long clips piece by piece: what is worked out for a frame takes many times the memory of what is kept of it."""

from __future__ import annotations

from collections.abc import Iterator

BLOCK = 1024  # frames


def blocks(frames: int) -> Iterator[slice]:
    """Slices of at most `BLOCK` frames that cover a clip in order; an empty one where there are none."""
    return (slice(start, min(start + BLOCK, frames)) for start in range(0, max(frames, 1), BLOCK))
