"""Blocks of frames: every frame in one of them, in order."""

from __future__ import annotations

import pytest

from core.libs.numeric import blocks


@pytest.mark.parametrize("length", [1, 255, 256, 257, 1000])
def test_blocks_cover_everything_once(length):
    covered = [i for part in blocks(length, 256) for i in range(part.start, part.stop)]
    assert covered == list(range(length))
    assert all(0 < part.stop - part.start <= 256 for part in blocks(length, 256))


def test_of_no_frames_there_is_one_empty_block():
    assert list(blocks(0, 256)) == [slice(0, 0)]
