"""Which options act in a run, and a line about those that were given and do not.

`ACTS` says of every field of `Options` under which conditions it acts. A new field needs a line there, for most with
`ALWAYS`; a condition of its own needs an example of either case in `tests/test_notices.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from core.data.records import TrackedSource
from core.options import IMPROVEMENTS, SIZES, Options
from core.output.panels import WIDEST
from core.preflight import Inputs


def small_faces_only(options: Options) -> bool:
    """Whether `--expression-opt` is on and does nothing but for a driver whose face is small."""
    return options.motion == "absolute" and options.wants("expression_opt")


@dataclass(frozen=True)
class Run:
    """What is known of a run before anything is computed; `model` is `lifted` or `gagavatar`."""

    options: Options
    inputs: Inputs
    model: str

    @property
    def whole(self) -> bool:
        """Whether the whole photo is the frame."""
        return self.options.shows_photo and self.model == "lifted"

    @property
    def one_picture(self) -> bool:
        """Whether the driver is a single picture, or tracked from one."""
        tracked = self.inputs.tracked
        return self.inputs.kind == "image" or (tracked is not None and len(tracked.track) == 1)

    @property
    def single_pictures(self) -> bool:
        """Whether the driver is a folder of nothing but stills."""
        inputs = self.inputs
        shots = None if inputs.tracked is None else inputs.tracked.track.shots
        shots = inputs.frames.shots if inputs.frames is not None else shots
        return shots is not None and len(np.unique(shots)) == len(shots)

    @property
    def may_be_small(self) -> bool:
        """Whether the driver's face may be so small that its lips and lids are compared frame by frame."""
        tracked = self.inputs.tracked
        return not self.one_picture and (tracked is None or tracked.track.patches is not None)

    @property
    def looks(self) -> bool:
        """Whether the driver says anything of its eyes."""
        return self.inputs.tracked is None or "eyecode" not in self.inputs.tracked.track.absent

    @property
    def knows_mouth(self) -> bool:
        """Whether the driver says what its open mouth shows, or may once it is tracked."""
        tracked = self.inputs.tracked
        return self.inputs.kind != "image" if tracked is None else tracked.track.mouth_interior is not None


SMALL_FACES = "--motion absolute takes expressions as they are, but of small faces"


@dataclass(frozen=True)
class Condition:
    """What has to hold for an option to act, and the reason that is given where it does not."""

    holds: Callable[[Run], bool]
    otherwise: str


def _is_on(improvement: str) -> Condition:
    return Condition(
        lambda run: run.options.variants or run.options.wants(improvement),
        f"--{improvement.replace('_', '-')} is not on",
    )


_PICTURES = Condition(lambda run: run.inputs.tracked is None, "the driver was tracked before")
_ONE_OF_ALL = Condition(
    lambda run: run.options.driver_face != "all" or run.options.face == "all", "one person of the photo moves"
)
_ONE_CLIP = Condition(
    lambda run: run.options.driver_face != "all" or run.inputs.frames is None,
    "a folder of pictures moves as one person",
)
_NOT_ALL = Condition(lambda run: run.options.face != "all", "--face all shows the whole photo")
_NETWORK = Condition(lambda run: run.model == "gagavatar", "the lifted avatar needs no files")
_ANY_IMPROVEMENT = Condition(lambda run: any(map(run.options.wants, IMPROVEMENTS)), "every improvement is taken out")
_ONE_RESULT = Condition(lambda run: not run.options.variants, "--variants shows each of the improvements")
_ONE_ROW = Condition(lambda run: not run.options.variants, "--variants has a layout of its own")
_ONE_RUN = Condition(lambda run: not run.options.variants, "--variants is several runs; it tells of one")
_ONE_PERSON = Condition(lambda run: run.options.face != "all", "it tells of one person, and --face all moves several")
_OVER_TIME = Condition(lambda run: not run.one_picture, "the driver is a single picture")
_A_CLIP = Condition(lambda run: not run.single_pictures, "the driver's pictures are single ones")
_RELATIVE = Condition(lambda run: run.options.motion != "absolute", "--motion absolute takes expressions as they are")
_READ_ANEW = Condition(lambda run: run.options.motion != "absolute" or run.may_be_small, SMALL_FACES)
_VIDEO = Condition(
    lambda run: run.inputs.kind != "image" and not run.inputs.stills, "a picture is written whole or not at all"
)
_SMOOTHS = Condition(lambda run: run.options.smooth_strength > 0, "--smooth-strength 0 smooths nothing")
_DETAILS = Condition(lambda run: run.options.detail_strength > 0, "--detail-strength 0 brings nothing back")
_TURNS = Condition(lambda run: run.options.gaze_strength > 0, "--gaze-strength 0 turns no eye")
_FACE = Condition(lambda run: run.options.take != "pose", "--take pose leaves the face to the photo")
_EYES = Condition(lambda run: run.looks or run.options.gaze_target == "camera", "the driver's file knows no eyes")
_SEES_TO_EYES = Condition(
    lambda run: not run.options.no_eye_enhance or (_FACE.holds(run) and _EYES.holds(run)),
    "eyes are the photo's and --no-eye-enhance leaves their picture as it is",
)
_KALMAN = Condition(lambda run: run.options.smooth_filter == "kalman", "--smooth-filter ema has no window")
_OWN_FRAME = Condition(lambda run: run.model == "lifted", "the network draws the head's crop only")
_ON_ITS_GROUND = Condition(
    lambda run: not run.whole or run.options.face != "all" or run.options.background in ("auto", "photo"),
    "--face all shows the photo's own ground",
)
_OWN_MOUTH = Condition(lambda run: run.model == "lifted", "the network draws the mouth itself")
_SEEN_MOUTH = Condition(lambda run: run.knows_mouth, "the driver does not say what its mouth shows")

_HEAD_FRAME = Condition(lambda run: not run.whole, "--frame photo has the photo's own size and camera")

ALWAYS: tuple[Condition, ...] = ()

# The first condition that does not hold gives the reason.
ACTS: Mapping[str, tuple[Condition, ...]] = {
    "image_path": ALWAYS,
    "driver_path": ALWAYS,
    "resume_path": (_NETWORK,),
    "force_retrack": ALWAYS,  # the photo's track, where the driver comes tracked
    "face": ALWAYS,
    "driver_face": (_PICTURES, _ONE_OF_ALL, _ONE_CLIP),
    "model": ALWAYS,
    "accept_flame_license": (_NETWORK,),
    "device": ALWAYS,  # one that cannot be had is refused
    "audio": ALWAYS,  # for a picture it is refused
    "motion": ALWAYS,
    "take": ALWAYS,
    "mouth": (_OWN_MOUTH, _FACE, _SEEN_MOUTH),
    "orbit": (_HEAD_FRAME,),
    "enhanced": (_ONE_RESULT, _ANY_IMPROVEMENT),
    "temporal_smooth": (_ONE_RESULT, _OVER_TIME, _A_CLIP),
    "detail_enhance": (_ONE_RESULT,),
    "expression_opt": (_ONE_RESULT, _READ_ANEW, _FACE),
    "gaze_correct": (_ONE_RESULT, _SEES_TO_EYES),
    "smooth_strength": (_is_on("temporal_smooth"), _OVER_TIME, _A_CLIP),
    "smooth_filter": (_is_on("temporal_smooth"), _OVER_TIME, _A_CLIP, _SMOOTHS),
    "smooth_alpha": (_is_on("temporal_smooth"), _OVER_TIME, _A_CLIP, _SMOOTHS),
    "smooth_window": (_is_on("temporal_smooth"), _OVER_TIME, _A_CLIP, _SMOOTHS, _KALMAN),
    "detail_strength": (_is_on("detail_enhance"),),
    "no_source_detail": (_is_on("detail_enhance"), _DETAILS),
    "expression_gain": (_is_on("expression_opt"), _RELATIVE, _FACE),
    "gaze_strength": (_is_on("gaze_correct"), _FACE, _EYES),
    "gaze_target": (_is_on("gaze_correct"), _TURNS, _FACE, _EYES),
    "no_eye_enhance": (_is_on("gaze_correct"),),
    "output": ALWAYS,
    "layout": (_ONE_ROW,),
    "variants": ALWAYS,
    "report": (_ONE_RUN, _ONE_PERSON),
    "frame": (_OWN_FRAME, _NOT_ALL),
    "size": (_HEAD_FRAME,),
    "background": (_ON_ITS_GROUND,),  # one that cannot be had is refused
    "keep_partial": (_VIDEO,),
    "no_watermark": ALWAYS,
    "quiet": ALWAYS,
}


def without_effect(run: Run) -> dict[str, str]:
    """The options that were given and do nothing in this run, in the order of `ACTS`, each with the reason.

    Given is what `Options.given` names, and with `enhanced` the improvements that it turns on. An improvement that is
    switched off is off, as was asked.
    """
    options = run.options
    asked = options.given | {name for name in IMPROVEMENTS if options.wants(name)}
    asked -= {name for name in IMPROVEMENTS if not options.wants(name)}
    reasons = {}
    for name, conditions in ACTS.items():
        reason = next((c.otherwise for c in conditions if not c.holds(run)), None)
        if name in asked and reason is not None:
            reasons[name] = reason
    return reasons


def frame_notices(source: TrackedSource, options: Options) -> list[str]:
    """A line where the frame was left to the photo, and is the whole of it."""
    if options.whole_photo is not None or not source.joined:
        return []
    return [
        "the photo shows little around the face, so all of it is the frame, and the head moves less than the driver's; "
        "--frame head takes the head's crop"
    ]


def size_notices(source: TrackedSource, size: int) -> list[str]:
    """A line where a photo has fewer pixels than its head is drawn with in the size that was asked for, or more."""
    if source.crop is None:
        return []
    side = float(source.crop[2])
    if source.joined and source.size < side:
        return [
            f"the head's crop has {side:.0f} pixels in the photo and is drawn with {source.size}, enlarged: more would "
            "take too much memory"
        ]
    if not source.joined and size > SIZES[0] and side < size:
        return [f"the head's crop has {side:.0f} pixels in the photo: --size {size} has no more to show than that"]
    return []


def row_notice(shown: int, own: int) -> str:
    """The line where a row of panels is shown lower than the photo: pixels of both."""
    return (
        f"the row of panels is {shown} of {own} pixels high, as players take none wider than {WIDEST}: --layout result "
        "keeps the photo's size"
    )


def notices(run: Run) -> list[str]:
    """A line for each reason, which names the options that it keeps from acting."""
    reasons = without_effect(run)
    lines = []
    for reason in dict.fromkeys(reasons.values()):
        names = [f"--{name.replace('_', '-')}" for name, own in reasons.items() if own == reason]
        lines.append(f"{', '.join(names)} {'has' if len(names) == 1 else 'have'} no effect: {reason}")
    return lines
