"""What can be refused, or decided, before anything is computed: the inputs, the avatar, the output."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from core.background import Background
from core.data.audio import check_sound
from core.data.image import Kind, kind_of
from core.data.loader_track import DriverData
from core.data.motion_file import sound_beside
from core.data.picture_folder import PictureFolder
from core.data.records import TRACK_FILE
from core.data.upstream_folder import inside, parameter_file
from core.data.video import partial_of
from core.errors import UserError
from core.option_values import ends_as_folder
from core.options import DEFAULT_CHECKPOINT, FLAME_FILE, Options

RESULTS = Path("render_results")
VIDEO_ENDINGS = (".mp4", ".m4v", ".mov")
TRANSPARENT_ENDINGS = (".mov", ".webm")  # of videos
PICTURE_ENDINGS = (".png", ".jpg", ".jpeg")
PAGE_ENDINGS = (".html", ".htm")


@dataclass(frozen=True)
class Inputs:
    """What a run starts from: the photo, the driver and what kind of driver it is; numbers are read already.

    `tracked`: the driver where it needs no tracking any more. `frames`: the pictures of a folder that is to be tracked.
    `sound`: the file whose sound is asked for, or lies beside a file of codes; None leaves it to the driver.
    """

    photo: Path
    driver: Path
    kind: Kind
    tracked: DriverData | None = None
    sound: Path | None = None
    frames: PictureFolder | None = None

    @property
    def stills(self) -> bool:
        """Whether the driver is a folder of single pictures."""
        return self.frames.stills if self.frames is not None else self.tracked is not None and self.tracked.track.stills


def find_inputs(options: Options) -> Inputs:
    """The photo and the driver; UserError where one is missing or of the wrong kind."""
    photo, driver, kind = find_files(options)
    if options.audio is not None and kind == "image":
        raise UserError("--audio: a picture as driver gives a picture, which has no sound; leave the option out")
    sound = options.audio or (sound_beside(driver) if kind == "motion" else None)
    if sound is not None:
        check_sound(sound)
    if kind == "motion":
        return Inputs(photo, driver, kind, DriverData.from_motion(driver), sound)
    if kind != "folder":
        return Inputs(photo, driver, kind, sound=sound)
    inputs = _find_folder(photo, driver, sound)
    if options.audio is not None and inputs.stills:
        raise UserError("--audio: single pictures as driver give a picture, which has no sound; leave the option out")
    return inputs


def find_files(options: Options) -> tuple[Path, Path, Kind]:
    """The photo, the driver and its kind, by their names and first bytes; UserError as `find_inputs`."""
    photo, driver = options.image_path, options.driver_path
    if photo is None:
        raise UserError("no photo given: name one with -i/--image_path")
    if driver is None:
        raise UserError("no driver given: name a video, a picture or a folder with -d/--driver_path")
    check_photo(photo)
    return photo, driver, kind_of(driver)


def check_photo(photo: Path) -> None:
    """UserError where this is no picture."""
    kind = kind_of(photo)
    if kind != "image":
        what = "file of codes" if kind == "motion" else kind
        raise UserError(f"{photo} is a {what}: give a picture with -i, and what it moves like with -d")


def _find_folder(photo: Path, driver: Path, sound: Path | None) -> Inputs:
    if inside(driver, TRACK_FILE) is None and parameter_file(driver) is None:
        frames = PictureFolder.find(driver)
        if frames is not None:
            return Inputs(photo, driver, "folder", sound=sound, frames=frames)
    return Inputs(photo, driver, "folder", DriverData.from_folder(driver), sound)


def choose_model(options: Options) -> tuple[str, str]:
    """The avatar of a run and why it was taken; UserError where the wanted one cannot be had."""
    checkpoint = options.resume_path
    try:
        there, usual = checkpoint.is_file(), checkpoint == DEFAULT_CHECKPOINT
    except OSError as error:
        raise UserError(f"{checkpoint} cannot be read ({error.strerror}): check its name with -r") from error
    if options.model == "lifted" and not usual:
        raise UserError("--model lifted reads no checkpoint: leave out -r, or take --model gagavatar")
    if options.model != "lifted" and not usual and not there:
        raise UserError(f"{checkpoint} does not exist: give the network's checkpoint with -r, or leave the option out")
    both = there and any((folder / FLAME_FILE).is_file() for folder in (checkpoint.parent, DEFAULT_CHECKPOINT.parent))
    if options.model == "gagavatar" or (options.model == "auto" and (both or not usual)):
        return "gagavatar", "as asked" if options.model == "gagavatar" else "its files are there"
    if options.device == "cuda":
        raise UserError("--device cuda: the lifted avatar runs on the CPU; leave the option out")
    if options.model == "lifted":
        return "lifted", "as asked"
    return "lifted", f"{FLAME_FILE} is not there" if there else f"{checkpoint} is not there"


def find_output(options: Options, inputs: Inputs, model: str, background: Background | None = None) -> Path:
    """The file to write, of a run with such a background; UserError where that cannot be."""
    try:
        return _find_output(options, inputs, model, background)
    except OSError as error:  # of looking at it: a name that is too long, a link to itself
        raise UserError(f"the output cannot be written ({error.strerror}): write to another file with -o") from error


def _find_output(options: Options, inputs: Inputs, model: str, background: Background | None) -> Path:
    picture = inputs.kind == "image" or inputs.stills
    transparent = background is not None and background.kind == "transparent"
    if transparent and (inputs.stills or options.variants):
        what = "a folder of single pictures gives a sheet" if inputs.stills else "--variants gives a sheet"
        raise UserError(f"--background transparent: {what}, which is not transparent; take a colour or photo")
    endings: tuple[str, ...] = PICTURE_ENDINGS if picture else VIDEO_ENDINGS
    if transparent:
        endings = (".png",) if picture else TRANSPARENT_ENDINGS
    photo, driver = inputs.photo, inputs.driver
    given = options.output
    target = RESULTS / model if given is None else Path(given)
    if given is None or ends_as_folder(given) or target.is_dir():
        # A sheet of many pictures is a JPEG, as GAGAvatar's is: as a PNG it would take tens of megabytes.
        target = target / _name(options, inputs, ".jpg" if inputs.stills else endings[0])
    if target.suffix.lower() not in endings and transparent:
        raise UserError(f"{target} cannot be transparent: give it the ending {' or '.join(endings)}")
    if target.suffix.lower() not in endings:
        what = "a picture" if picture else "a video"
        driven = "a folder of single pictures" if inputs.stills else what
        raise UserError(
            f"{target} must end in one of {', '.join(endings)}, as {driven} gives {what}, or in a slash to be a folder"
        )
    behind = None if background is None else background.path
    read = [path for path in (photo, driver, inputs.sound, behind) if path is not None]
    for written in (target, partial_of(target)) if options.keep_partial else (target,):
        if written.exists() and any(written.samefile(path) for path in read):
            raise UserError(f"{written} is an input of this run: write to another file")
    _check_folder(target)
    return target


def _check_folder(target: Path) -> None:
    """UserError where a file's folder neither is there nor can be made."""
    folder = target.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UserError(f"{target} cannot be written: {folder} is no folder that can be written to")


def check_report(options: Options) -> None:
    """UserError where the page that `--report` asks for cannot be written, or would be written over an input."""
    page = options.report
    if page is None:
        return
    if page.suffix.lower() not in PAGE_ENDINGS:
        raise UserError(f"--report {page}: a page is written; give it a name that ends in {' or '.join(PAGE_ENDINGS)}")
    try:
        if page.is_dir():
            raise UserError(f"--report {page} is a folder: give the name of a file in it")
        if page.exists() and any(page.samefile(path) for path in (options.image_path, options.driver_path) if path):
            raise UserError(f"--report {page} is an input of this run: write to another file")
        _check_folder(page)
    except OSError as error:
        raise UserError(f"--report {page} cannot be written ({error.strerror}): name another file") from error


def _name(options: Options, inputs: Inputs, ending: str) -> str:
    """The name of a result that was not given one; other improvements make another name."""
    driver = inputs.driver
    # resolve: `-d .` has a name too. Names are cut because file systems end at 255 bytes.
    driver_name = (driver.resolve().name if inputs.kind == "folder" else driver.stem)[:60]
    return "_".join(filter(None, (driver_name, inputs.photo.stem[:60], options.label))) + ending
