"""The people in a clip, each with points of their own: followed side by side, and told apart where they meet.

Every person is followed as a single face is, in pictures of which only their surroundings are left. Now and then, and
wherever somebody got lost, all faces of a frame are looked for. Who is who is then the assignment of least cost
(Hungarian method) between people and faces: how unlike a face looks to what was seen of the person, and how far it is
from where that person was last. Who was out of sight is told by looks alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from core.data.picture_folder import FrameReader
from core.data.video import VideoReader
from core.libs.tracker.base import FaceTracker, ManyFaceTracker, Observation
from core.libs.tracker.cuts import CutFinder, with_cuts
from core.libs.tracker.identity import FaceLook, Gallery, IdentitySettings, face_look
from core.libs.tracker.observed import Observed
from core.libs.tracker.point_buffer import PointBuffer
from core.libs.tracker.settings import TrackSettings
from core.libs.tracker.several import SeveralSettings, alone, box_middle, box_size, same_place
from core.runtime.threads import QueueSettings, read_ahead


@dataclass(frozen=True)
class PeopleSettings:
    """Of `PeopleFinder`. Differences are those of `identity.difference`: read off the development clips, a face is
    mostly up to 0.4 from the nearest of its own earlier looks, and 0.5 and more from those of other people.

    Attributes:
        every: frames after which all faces are looked for, where nothing else asks for it. By eye.
        window: the part of a picture in which a person is followed is wider than the face by this share of it.
        same: difference up to which a face may be a person's who was out of sight. merged: the same for two people
            who turn out to be one at the end; less, as looks of a whole clip are compared.
        loose: difference up to which a face where a person was is that person's, although others are near.
        crowd: face sizes between two faces, within which one may hide or be taken for the other.
        reach: face sizes that a person moves from one frame to the next at most. By eye.
        far: difference that counts as much as one face size between two frames. By eye.
        away: what is added for a person out of sight: one who is in sight is preferred.
        least: frames in which a face has to be seen to be a person's.
    """

    every: int = 5
    window: float = 3.0
    same: float = 0.5
    merged: float = 0.4
    loose: float = 0.4
    crowd: float = 1.6
    reach: float = 1.0
    far: float = 0.5
    away: float = 0.1
    least: int = 8
    identity: IdentitySettings = field(default_factory=IdentitySettings)
    several: SeveralSettings = field(default_factory=SeveralSettings)


_SETTINGS, _TRACKING = PeopleSettings(), TrackSettings()
_NEVER = float("inf")
_QUEUES = QueueSettings(depth=2)  # decoded pictures that wait


class _Person:
    """One person: a tracker of their own, what they look like and their points so far."""

    def __init__(self, tracker: FaceTracker, frames: int, settings: PeopleSettings) -> None:
        self.tracker = tracker
        self.gallery = Gallery(settings.identity)
        self.points = PointBuffer()
        self.seen: list[bool] = []
        self.box: np.ndarray | None = None  # where this person is; None while out of sight
        for _ in range(frames):
            self.miss()

    def miss(self) -> None:
        self.points.append(None)
        self.seen.append(False)
        self.lose()

    def lose(self) -> None:
        """Out of sight, from now on."""
        self.box = None
        self.tracker.reset()

    def see(self, found: Observation) -> None:
        self.points.append(found.points)
        self.seen.append(True)
        self.box = found.box


class PeopleFinder:
    """Looks at the frames of a clip one after the other; `people` says at the end who there was."""

    def __init__(self, tracker: ManyFaceTracker, settings: PeopleSettings = _SETTINGS) -> None:
        self._tracker, self._settings = tracker, settings
        self._people: list[_Person] = []
        self._frames = 0

    def see(self, image: np.ndarray, cut: bool = False) -> None:
        """The next frame (H, W, 3) uint8 RGB, and whether another shot begins with it."""
        s, people = self._settings, self._people
        if cut:
            for person in people:
                person.lose()
        own: list[Observation | None] = [
            None if p.box is None else p.tracker.follow(alone(image, p.box, s.window)) for p in people
        ]
        followed = [found for found in own if found is not None]
        lost = any(p.box is not None and found is None for p, found in zip(people, own, strict=True))
        met = any(self._same(a, b) for i, a in enumerate(followed) for b in followed[:i])
        faces = self._tracker.faces(image) if lost or met or cut or self._frames % s.every == 0 else []
        found = self._unlike([*followed, *faces])
        looks = [face_look(image, face, s.identity) for face in found]
        crowded = [self._crowded(face, found) for face in found]
        owner = self._assign(own, found, looks, crowded)
        for i, person in enumerate(list(people)):
            if i not in owner:
                person.miss()
                continue
            face = found[owner[i]]
            mine = own[i]
            if mine is None or not self._same(mine, face):
                person.tracker.reset()
                again = person.tracker.follow(alone(image, face.box, s.several.around))
                mine = again if again is not None and self._same(again, face) else face
            person.see(mine)
            if not crowded[owner[i]]:
                person.gallery.add(looks[owner[i]])
        missing = any(person.box is None for person in people)
        for j, face in enumerate(found):
            if j in owner.values() or not any(self._same(face, other) for other in faces) or (crowded[j] and missing):
                continue  # half hidden, it may well be one of those who are missing
            person = _Person(self._tracker.another(), self._frames, s)
            first = person.tracker.follow(alone(image, face.box, s.several.around))
            person.see(first if first is not None and self._same(first, face) else face)
            person.gallery.add(looks[j])
            people.append(person)
        self._frames += 1

    def people(self) -> list[tuple[PointBuffer, np.ndarray]]:
        """Points (T, 478, 3), pixels of the picture, and where they are known (T,), of every person.

        In the order from left to right in the frame that is the first with the most people; those who are not in it
        follow, in the order of their coming. The buffers are the caller's to close.
        """
        kept = self._merged()
        if not kept:
            return []
        seen = np.array([person.seen for person in kept])
        most = int(seen.sum(0).argmax())

        def place(i: int) -> tuple[bool, int, float]:
            first = most if seen[i, most] else int(seen[i].argmax())
            return first != most, first, float(box_middle(Observation(kept[i].points[first]).box)[0])

        return [(kept[i].points, seen[i]) for i in sorted(range(len(kept)), key=place)]

    def close(self, but: Sequence[PointBuffer] = ()) -> None:
        """Give the room of all points back, apart from those of some people."""
        for person in self._people:
            if not any(person.points is kept for kept in but):
                person.points.close()

    def _merged(self) -> list[_Person]:
        """The people who were seen for a while; two who are one, and never seen together, joined."""
        people = sorted(self._people, key=lambda person: -sum(person.seen))
        kept: list[_Person] = []
        for person in people:
            seen = np.array(person.seen)
            apart = [other for other in kept if not (seen & np.array(other.seen)).any()]
            nearest = min(apart, key=lambda other: other.gallery.distance(person.gallery), default=None)
            if nearest is not None and nearest.gallery.distance(person.gallery) < self._settings.merged:
                for t in np.flatnonzero(seen):
                    nearest.points[int(t)] = person.points[int(t)]
                    nearest.seen[int(t)] = True
            elif seen.sum() >= min(self._settings.least, self._frames):
                kept.append(person)
        return kept

    def _assign(
        self,
        own: list[Observation | None],
        found: list[Observation],
        looks: list[FaceLook],
        crowded: list[bool],
    ) -> dict[int, int]:
        """For people, by their index, the index of the face in `found` that is theirs."""
        from scipy.optimize import linear_sum_assignment

        costs = np.full((len(self._people), len(found)), _NEVER)
        for i, person in enumerate(self._people):
            for j, face in enumerate(found):
                costs[i, j] = self._cost(person, own[i], face, looks[j], crowded[j])
        if not costs.size:
            return {}
        # A finite stand-in for what cannot be, more than all that can together
        most = 1 + 10 * costs[np.isfinite(costs)].sum()
        rows, columns = linear_sum_assignment(np.where(np.isfinite(costs), costs, most))
        return {int(i): int(j) for i, j in zip(rows, columns, strict=True) if np.isfinite(costs[i, j])}

    def _cost(
        self, person: _Person, own: Observation | None, face: Observation, look: FaceLook, crowded: bool
    ) -> float:
        s, unlike = self._settings, person.gallery.difference(look)
        if person.box is None:
            return unlike + s.away if unlike < s.same else _NEVER
        apart = float(np.linalg.norm(box_middle(face.box) - box_middle(person.box))) / box_size(person.box)
        follows = own is not None and self._same(own, face)
        likely = unlike < s.loose or (follows and not crowded)
        return unlike + s.far * apart if apart < s.reach and likely else _NEVER

    def _crowded(self, face: Observation, found: list[Observation]) -> bool:
        """Whether another face is so near, now or in the last frame, that one may hide the other."""
        boxes = [other.box for other in found if other is not face]
        placed = [person.box for person in self._people if person.box is not None]
        boxes += [box for box in placed if not same_place(box, face.box, self._settings.several)]
        reach = self._settings.crowd
        return any(
            np.linalg.norm(box_middle(box) - box_middle(face.box)) < reach * max(box_size(box), box_size(face.box))
            for box in boxes
        )

    def _same(self, one: Observation, other: Observation) -> bool:
        return same_place(one.box, other.box, self._settings.several)

    def _unlike(self, faces: list[Observation]) -> list[Observation]:
        """Faces, each place once."""
        kept: list[Observation] = []
        for face in faces:
            if not any(self._same(face, other) for other in kept):
                kept.append(face)
        return kept


def observe_people(
    footage: Callable[[], VideoReader | FrameReader],
    tracker: ManyFaceTracker,
    progress: Callable[[int, int | None], None] | None = None,
    settings: TrackSettings = _TRACKING,
    people: PeopleSettings = _SETTINGS,
) -> list[Observed]:
    """All people of a clip, as each is observed on its own; the points are the caller's to close.

    `progress` is called with the frames done and the file's number of them, where that is known.
    """
    finder, cuts = PeopleFinder(tracker, people), CutFinder(settings.cuts)
    times: list[Fraction] = []
    tracker.reset()
    try:
        with footage() as reader, closing(read_ahead(with_cuts(reader, cuts), _QUEUES)) as frames:
            for frame, is_cut in frames:
                finder.see(frame.image, is_cut)
                times.append(frame.time)
                if progress is not None:
                    progress(len(times), reader.frame_estimate)
            fps, lost = reader.fps, reader.lost
        found = [Observed(points, seen, times, fps, lost, cuts.shots()) for points, seen in finder.people()]
    except BaseException:
        finder.close()
        raise
    finder.close([one.points for one in found])
    return found
