"""Which of several people in the photo and in the driver, and what is said where nobody chose."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from core.components import Components, People
from core.data.records import TrackedSource
from core.errors import UserError
from core.options import Options
from core.runtime.compiling import told_when_compiling
from core.runtime.progress import Progress
from core.runtime.threads import beside


def tracked_photo(components: Components, photo: Path, options: Options, progress: Progress) -> TrackedSource:
    """The person of the photo whom the options choose; a line where the largest of several faces is taken."""
    return begin_photo(components, photo, options, progress)()


def begin_photo(
    components: Components, photo: Path, options: Options, progress: Progress
) -> Callable[[], TrackedSource]:
    """What gives the same: all is seen and said when this returns, and what is left is being done in a thread."""
    face, force = options.face, options.force_retrack
    if isinstance(face, int):
        chosen = people_of(components, "--face").track_source(photo, face, force)
        return lambda: chosen
    if face == "all":
        raise UserError("--face all: a Pipeline moves one person; take core.pipeline.animate, or Everybody")
    rest = _begun(components, photo, force)

    def told() -> TrackedSource:
        with told_when_compiling(progress.say):
            return rest()

    left = beside(told)  # while other faces are looked for
    if components.people is not None:
        boxes, largest = components.people.photo_faces(photo, force)
        if len(boxes) > 1:
            progress.say(
                f"{len(boxes)} faces in the photo: the largest moves, number {largest + 1} from the left; --face takes "
                f"another, or all"
            )
    return left


def _begun(components: Components, photo: Path, force: bool) -> Callable[[], TrackedSource]:
    begin: Callable[[Path, bool], Callable[[], TrackedSource]] | None = getattr(components.track_source, "begin", None)
    if begin is not None:
        return begin(photo, force)
    source = components.track_source(photo, force)
    return lambda: source


def say_driver_faces(components: Components, driver: Path, progress: Progress) -> None:
    """A line where the largest of several faces of a driver was taken."""
    count = 1 if components.people is None else components.people.driver_faces(driver)
    if count > 1:
        progress.say(
            f"{count} faces in the driver: the largest is followed; --driver-face takes another, by its number"
        )


def people_of(components: Components, option: str) -> People:
    """Who tells people apart; UserError where the components have none for an option."""
    if components.people is None:
        raise UserError(f"{option}: the tracker of this run finds one face in a picture; leave the option out")
    return components.people
