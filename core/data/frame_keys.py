"""Which of a folder's frames belong together, by their names: clips and stills.

Frames of one name with running numbers (`talk_0`, `talk_1`, ...) are a clip. Another name begins another shot, and so
does a number more than `largest_gap` above the last one: a tracker leaves out frames without a face, but nobody's head
is where it was after a second. A shot of one frame is a still.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby

import numpy as np

_NUMBER = re.compile(r"[0-9]{1,18}$")


def split_key(key: str) -> tuple[str, int]:
    """The name of a frame and its number, `talk` and 12 of `talk_12`, `talk-0012` or `talk12`; 0 without a number."""
    found = _NUMBER.search(key)
    return (key, 0) if found is None else (key[: found.start()].rstrip("_-. "), int(found[0]))


def in_order(keys: Iterable[str], largest_gap: int = 25) -> tuple[tuple[str, ...], np.ndarray]:
    """The keys shot by shot, and the number of each one's shot (T,), counted from 0.

    Shots go by their first frame's number, as GAGAvatar sorts frames, then by their name; the frames of a shot by
    number. `largest_gap`: numbers between frames of one shot, by default a second of a clip at 25 frames per second.
    """
    shots: list[list[tuple[int, str]]] = []
    split = sorted((*split_key(key), key) for key in keys)
    for _, frames in groupby(split, key=lambda frame: frame[0]):
        last = None
        for _, number, key in frames:
            if last is None or number - last > largest_gap:
                shots.append([])
            shots[-1].append((number, key))
            last = number
    shots.sort(key=lambda shot: shot[0])
    ordered = tuple(key for shot in shots for _, key in shot)
    return ordered, np.repeat(np.arange(len(shots)), [len(shot) for shot in shots])
