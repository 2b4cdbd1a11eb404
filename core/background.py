"""What stands behind the person in a run, of what `--background` says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.data.image import kind_of
from core.errors import UserError
from core.options import Options


@dataclass(frozen=True)
class Background:
    """What stands behind the person.

    `color`: RGB in 0..1 where it is a plain one. `path`: the file of a picture or a video. `asked`: it was given, and
    not left to the avatar.
    """

    kind: Literal["color", "photo", "transparent", "picture", "video"]
    color: tuple[float, float, float] | None = None
    path: Path | None = None
    asked: bool = True


def find_background(options: Options, model: str) -> Background:
    """The background of a run with an avatar of that name.

    Raises:
        UserError: the file that is named is neither a picture nor a video.
    """
    name = options.background
    if name == "auto":
        black = Background("color", (0.0, 0.0, 0.0), asked=False)
        return black if model == "gagavatar" else Background("photo", asked=False)
    if name in ("photo", "transparent"):
        return Background("photo" if name == "photo" else "transparent")
    if options.background_rgb is not None:
        red, green, blue = (value / 255 for value in options.background_rgb)
        return Background("color", (red, green, blue))
    path = Path(name)
    kind = kind_of(path)
    if kind not in ("image", "video"):
        what = "folder" if kind == "folder" else "file of codes"
        raise UserError(f"--background: {path} is a {what}: give a picture or a video, a colour, photo or transparent")
    return Background("picture" if kind == "image" else "video", path=path)
