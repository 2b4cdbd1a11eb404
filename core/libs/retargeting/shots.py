"""The shots of a driver, and the groups of its frames that are counted from one neutral.

Smoothing and gaze are computed from cut to cut. Motion is counted from a neutral, which needs some time with a face:
frames of one person filmed the same way share one, also across shots of something else. Of a shot that is too short and
like no other there is no neutral; each of its frames is retargeted as a single picture, and so is every still.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from core.data.records import SEEN, TrackedSequence, join
from core.libs.filters.motion_path import TRANSFORM, motion_path
from core.libs.filters.outliers import find_cuts
from core.libs.geometry import head_angles


@dataclass(frozen=True)
class ShotSettings:
    """When two shots are of one person, and when one says nothing of its person's neutral.

    Attributes:
        short: seconds with a face below which a shot has no neutral. By eye.
        codes: standard deviations (rms) by which the median expression codes of two shots of one person may differ.
            Development clips: pieces of one clip differ by .5 to 2, people that were tracked as one by 1.8 to 7.
        turned, moved: radians and head units by which the median poses may. By eye.
        depth: how much of a shift along the line of sight counts; as for a relative shift (`PoseSettings`).
    """

    short: float = 1.0
    codes: float = 1.4
    turned: float = float(np.radians(15.0))
    moved: float = 0.5
    depth: float = 0.5


_SETTINGS = ShotSettings()


def with_shots(track: TrackedSequence, settings: ShotSettings = _SETTINGS) -> TrackedSequence:
    """The driver with its shots: those that it comes with, cut where the numbers say that another one begins.

    Another shot or person shows in where the head is and in what the face does (`find_cuts` of
    `core.libs.filters.kalman`). Of what one shot falls into so, pieces that are clearly of one person, filmed the same
    way, keep one number. A driver of one shot comes back as it is.
    """
    pieces: list[np.ndarray] = []
    for frames in track.shot_frames:
        cuts = np.zeros(len(frames), bool)
        for name in ("expcode", TRANSFORM):
            cuts |= find_cuts(motion_path(name, getattr(track, name)[frames].astype(np.float64)).columns)
        pieces += np.split(frames, np.flatnonzero(cuts))
    if len(pieces) == len(track.shot_frames):
        return track
    given = np.zeros(len(track), int) if track.shots is None else track.shots
    shots, people, origin = np.empty(len(track), int), [], []
    for piece in pieces:
        part = track.take(piece)
        same = (i for i, other in enumerate(people) if origin[i] == given[piece[0]] and _same(other, part, settings))
        number = next(same, len(people))
        if number == len(people):
            people.append(part)
            origin.append(int(given[piece[0]]))
        shots[piece] = number
    static_offset = track.static_offset
    if static_offset is not None and static_offset.ndim == 3:
        static_offset = static_offset[origin]
    return replace(track, shots=shots, static_offset=static_offset)


def by_number(track: TrackedSequence) -> list[np.ndarray]:
    """The indices (N,) of the frames of every shot, those after cuts back to it too."""
    shots = np.zeros(len(track), int) if track.shots is None else track.shots
    return [np.flatnonzero(shots == number) for number in range(int(shots.max()) + 1)]


def resting_groups(track: TrackedSequence, settings: ShotSettings = _SETTINGS) -> list[np.ndarray]:
    """The indices (N,) of frames that are counted from one neutral, group by group; each frame is in one.

    Shots by their numbers; a shot of less than `short` seconds, all its pieces together, frame by frame.
    """
    shots, groups = by_number(track), []
    if len(shots) == 1:
        return shots
    for frames in shots:
        short = (track.status[frames] == SEEN).sum() < settings.short * track.fps
        groups += list(frames[:, None]) if short else [frames]
    return groups


def by_groups(
    function: Callable[..., TrackedSequence], groups: list[np.ndarray], *tracks: TrackedSequence
) -> TrackedSequence:
    """A function of sequences of one length, called with the frames of each group; its results in order again."""
    if len(groups) == 1:
        return function(*tracks)
    parts = [function(*(_picked(track, frames) for track in tracks)) for frames in groups]
    order = np.argsort(np.concatenate(groups), kind="stable")
    done, whole = replace(join(parts), shots=None), tracks[-1]
    return replace(done.take(order), times=whole.times, status=whole.status, shots=whole.shots)


def _picked(track: TrackedSequence, frames: np.ndarray) -> TrackedSequence:
    part = track.take(frames)
    return part if len(frames) > 1 else replace(part, status=np.full(1, SEEN, np.int8))  # also where it is interpolated


def _same(a: TrackedSequence, b: TrackedSequence, settings: ShotSettings) -> bool:
    """Whether two shots of one fit are clearly of one person, seen from the same place."""
    codes, places = (
        np.median(getattr(a, name), 0) - np.median(getattr(b, name), 0) for name in ("expcode", "transform_matrix")
    )
    turns = [np.median(head_angles(t.transform_matrix[..., :3].astype(np.float64)), 0) for t in (a, b)]
    turned = np.abs(np.mod(turns[0] - turns[1] + np.pi, 2 * np.pi) - np.pi).max()
    moved = np.linalg.norm(places[:, 3] * [1, 1, settings.depth])
    return bool(np.sqrt((codes**2).mean()) < settings.codes and turned < settings.turned and moved < settings.moved)
