"""Every option of a run, once: this dataclass is the command line, the yaml file and the Python call.

`core.command_line` makes the parser from it. When an option acts, and what is said where it does not, stands in the
table of `core.notices`: a new one needs a line there.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_type_hints

from PIL import ImageColor

from core.errors import UserError
from core.option_values import about, checked_face, checked_value, is_there

IMPROVEMENTS = ("temporal_smooth", "detail_enhance", "expression_opt", "gaze_correct")
FLOW = ("temporal_smooth", "expression_opt", "gaze_correct", "detail_enhance")  # the same, in the order they act in
BACKGROUNDS = ("auto", "photo", "transparent")  # what `background` may be besides a colour and a file
SIZES = (512, 768, 1024)  # of the head's crop
_WHO: dict[str, Any] = {"group": "input", "metavar": "largest|N|all"}
DEFAULT_CHECKPOINT = Path("./assets/GAGAvatar.pt")
FLAME_FILE = "FLAME_with_eye.pt"  # beside the checkpoint, or beside the default one


@dataclass(frozen=True)
class Options:
    """The options of a run. Texts become paths where a path is expected; a wrong value is a UserError."""

    image_path: Path | None = field(
        default=None,
        metadata=about("the photo that is to move: a picture with a face", group="input", short="-i", metavar="PHOTO"),
    )
    driver_path: Path | None = field(
        default=None,
        metadata=about(
            "what it moves like: a video, a picture, a folder of numbered or single pictures, a tracked folder, or a "
            "file of FLAME codes (.npz, .pt, .pkl)",
            group="input",
            short="-d",
            metavar="DRIVER",
        ),
    )
    resume_path: Path = field(
        default=DEFAULT_CHECKPOINT,
        metadata=about("checkpoint of the GAGAvatar network", group="input", short="-r", metavar="FILE"),
    )
    force_retrack: bool = field(
        default=False,
        metadata=about("track again, even where a result is in the cache", group="input", short="-f"),
    )
    audio: Path | None = field(
        default=None,
        metadata=about(
            "sound of the result, in place of the driver's own; beside a file of codes a sound file of its name is "
            "found without",
            group="input",
            metavar="FILE",
        ),
    )
    face: int | str = field(
        default="largest",
        metadata=about("who moves, of several in the photo: the largest face, number N from the left, or all", **_WHO),
    )
    driver_face: int | str = field(
        default="largest",
        metadata=about(
            "who moves it, of several in the driver: the largest face, number N from the left, or all, left to left",
            **_WHO,
        ),
    )
    model: Literal["auto", "lifted", "gagavatar"] = field(
        default="auto",
        metadata=about("the avatar: the network where its files are, else the built-in one", group="avatar"),
    )
    accept_flame_license: bool = field(
        default=False,
        metadata=about("fetch the network's files without asking: you accept the licence of FLAME", group="avatar"),
    )
    device: Literal["auto", "cpu", "cuda"] = field(
        default="auto", metadata=about("where the avatar is computed", group="avatar")
    )
    motion: Literal["auto", "relative", "absolute"] = field(
        default="auto",
        metadata=about(
            "relative: the photo's own pose and face plus the driver's changes; absolute: the driver's values as they "
            "are; auto: what suits the avatar",
            group="avatar",
        ),
    )
    take: Literal["all", "pose", "expression"] = field(
        default="all",
        metadata=about(
            "what is taken from the driver: pose: how head and shoulders move, the face stays the photo's; expression: "
            "what the face does, jaw and eyes included, the head stays where the photo has it",
            group="avatar",
        ),
    )
    orbit: float = field(
        default=0.0,
        metadata=about(
            "the camera swings round the head, so many degrees to either side and back in 4 seconds",
            group="avatar",
            metavar="DEGREES",
            limits=(0, 60),
        ),
    )
    mouth: Literal["auto", "plain"] = field(
        default="auto",
        metadata=about(
            "auto: open mouths show teeth and tongue as the driver's do, where its pictures were looked at; plain: "
            "as is usual for the opening",
            group="avatar",
        ),
    )
    enhanced: bool = field(default=False, metadata=about("all four improvements", group="improvements"))
    temporal_smooth: bool | None = field(
        default=None, metadata=about("smooth the driver's motion over time", group="improvements")
    )
    detail_enhance: bool | None = field(
        default=None, metadata=about("bring back the photo's fine detail", group="improvements")
    )
    expression_opt: bool | None = field(
        default=None,
        metadata=about(
            "fit the driver's expression to this face (--motion absolute: small ones only)",
            group="improvements",
        ),
    )
    gaze_correct: bool | None = field(
        default=None, metadata=about("make the eyes look where the driver looks", group="improvements")
    )
    smooth_strength: float = field(
        default=1.0,
        metadata=about(
            "how much is smoothed: 0 nothing, 1 as much as the driver's noise asks for",
            group="improvements",
            metavar="X",
            limits=(0, 4),
        ),
    )
    smooth_filter: Literal["kalman", "ema"] = field(
        default="kalman",
        metadata=about(
            "kalman: forwards and backwards, no lag; ema: the plain moving average, which lags", group="improvements"
        ),
    )
    smooth_alpha: float = field(
        default=0.5,
        metadata=about(
            "share of what is measured against what is expected: smaller is smoother, 1 takes it as it is; with ema, "
            "of the new value",
            group="improvements",
            metavar="X",
            limits=(0.01, 1),
        ),
    )
    smooth_window: int = field(
        default=5,
        metadata=about(
            "frames that the Kalman filter averages over: 5 as far as the noise asks for, 10 twice as far",
            group="improvements",
            metavar="N",
            limits=(1, 30),
        ),
    )
    detail_strength: float = field(
        default=1.0,
        metadata=about("how much detail is brought back: 0 none", group="improvements", metavar="X", limits=(0, 4)),
    )
    no_source_detail: bool = field(
        default=False,
        metadata=about("sharpen only; without the photo's own detail and moving folds", group="improvements"),
    )
    expression_gain: float = field(
        default=1.0,
        metadata=about(
            "how strong expressions are: 1 as the driver's, 0 none", group="improvements", metavar="X", limits=(0, 3)
        ),
    )
    gaze_strength: float = field(
        default=0.7,
        metadata=about(
            "how far the eyes are turned to where they should look: 1 all the way",
            group="improvements",
            metavar="X",
            limits=(0, 1),
        ),
    )
    gaze_target: Literal["driver", "camera"] = field(
        default="driver",
        metadata=about("look where the driver looks, or at the viewer", group="improvements"),
    )
    no_eye_enhance: bool = field(
        default=False, metadata=about("turn the eyes only; leave their picture as it is", group="improvements")
    )
    output: Path | str | None = field(
        default=None,
        metadata=about(
            "file to write, or a folder for it: one that is there, or a name that ends in a slash; default "
            "render_results/<model>/<driver>_<photo>.mp4, with _enhanced or the improvements that are on before the "
            "ending, which is .png where the driver is a picture and .jpg where it is a folder of single pictures. An "
            "existing file is replaced once the new one is complete",
            group="output",
            short="-o",
            metavar="FILE",
        ),
    )
    layout: Literal["compare", "result"] = field(
        default="compare",
        metadata=about("photo, driver and result side by side, or the result alone", group="output"),
    )
    frame: Literal["auto", "head", "photo"] = field(
        default="auto",
        metadata=about(
            "head: the crop around the head; photo: the whole photo, in which the head moves; auto: the head's crop, "
            "but of a photo that shows too little of it",
            group="output",
        ),
    )
    size: int = field(
        default=512,
        metadata=about("pixels of a side of the head's crop: 512, 768 or 1024", group="output", metavar="PIXELS"),
    )
    variants: bool = field(
        default=False,
        metadata=about(
            "without improvements, with each alone and with all, as labelled tiles of one result: "
            "<driver>_<photo>_variants.mp4",
            group="output",
        ),
    )
    background: str = field(
        default="auto",
        metadata=about(
            "behind the person. photo: what stands behind it there; a colour by name or as #rrggbb; transparent; or a "
            "picture or video, which runs along; auto: photo, for the network black",
            group="output",
            metavar="WHAT",
        ),
    )
    report: Path | None = field(
        default=None,
        metadata=about(
            "write how good the run is into a page of its own, FILE.html: the photo, the motion over time, what each "
            "improvement changed",
            group="output",
            metavar="FILE",
        ),
    )
    keep_partial: bool = field(
        default=False,
        metadata=about(
            "when a run ends early, keep the video that there is as <name>-partial.mp4; else nothing is left",
            group="output",
        ),
    )
    no_watermark: bool = field(
        default=False,
        metadata=about("leave out the visible mark; the file's metadata says what it is in any case", group="output"),
    )
    quiet: bool = field(default=False, metadata=about("print nothing but errors", group="output"))

    _typed = frozenset[str]()  # names that stood on the command line; no field, and not carried over by `replace`

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(type(self)).items():
            object.__setattr__(self, name, checked_value(name, getattr(self, name), hint))
        for option in fields(self):
            if option.metadata["limits"] is not None:
                low, high = option.metadata["limits"]
                if not low <= getattr(self, option.name) <= high:
                    raise UserError(f"{option.name} must be between {low} and {high}, got {getattr(self, option.name)}")
        if self.size not in SIZES:
            raise UserError(f"size must be one of {', '.join(map(str, SIZES))}, got {self.size}")
        if self.background not in BACKGROUNDS and self.background_rgb is None and not is_there(self.background):
            raise UserError(
                f"background {self.background!r} is no colour, and no file of that name is there: give a colour's name "
                "or #rrggbb, photo, transparent, or a picture or video"
            )
        for name in ("face", "driver_face"):
            object.__setattr__(self, name, checked_face(name, getattr(self, name)))

    @property
    def background_rgb(self) -> tuple[int, int, int] | None:
        """The background as red, green, blue in 0..255, where it is a colour."""
        try:
            return ImageColor.getrgb(self.background)[:3]
        except ValueError:
            return None

    @property
    def shows_photo(self) -> bool:
        """Whether the whole photo is the frame, whatever photo it is."""
        return self.frame == "photo" or self.face == "all"

    @property
    def whole_photo(self) -> bool | None:
        """The same; None where the photo decides: unless a size or a camera is asked for, which the head's crop has."""
        if self.frame != "auto" or self.face == "all":
            return self.shows_photo
        return None if self.size == SIZES[0] and not self.orbit else False

    @property
    def given(self) -> frozenset[str]:
        """Names of the options that stood on the command line or differ from their defaults."""
        return self._typed | {option.name for option in fields(self) if getattr(self, option.name) != option.default}

    def wants(self, improvement: str) -> bool:
        """Whether one of `IMPROVEMENTS` is on: its own flag decides, without one `enhanced` does."""
        own = getattr(self, improvement)
        return self.enhanced if own is None else own

    @property
    def label(self) -> str:
        """What is on, for names: `variants`, `enhanced` for all, `temporal_detail` for these, nothing for none.

        What is taken, frame or size, an orbit and who was chosen follow: `take-pose`, `photo` or `1024`, `orbit`,
        `face-2`, `driver-face-1`.
        """
        wanted = [name for name in FLOW if self.wants(name)]
        if self.variants:
            words = ["variants"]
        else:
            words = ["enhanced"] if len(wanted) == len(FLOW) else [short(name) for name in wanted]
        if self.take != "all":
            words.append(f"take-{self.take}")
        if self.frame == "photo" and self.face != "all":
            words.append("photo")
        elif self.size != SIZES[0]:
            words.append(str(self.size))
        words += ["orbit"] if self.orbit else []
        chosen = {"face": self.face, "driver-face": self.driver_face}
        return "_".join([*words, *(f"{name}-{which}" for name, which in chosen.items() if which != "largest")])


def short(improvement: str) -> str:
    """`temporal` of `temporal_smooth`."""
    return improvement.partition("_")[0]
