"""Notices: every option has its rule, each rule is true of what a run computes, and a run says what does nothing."""

from __future__ import annotations

import io
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core.command_line import load_options
from core.components import default_components
from core.data.loader_track import DriverData
from core.data.picture_folder import PictureFolder
from core.data.records import TrackedSequence, TrackedSource
from core.notices import ACTS, ALWAYS, Run, notices, without_effect
from core.options import IMPROVEMENTS, Options
from core.pipeline import Pipeline
from core.pipeline.variants import Variants
from core.preflight import Inputs
from core.runtime.progress import Progress

ROOT = Path(__file__).parents[1]
PHOTO = ROOT / "demos/examples/1.jpg"

# What does nothing: the option, a value, and the other options of the run; `picture` and `network` are of the run.
SILENT = [
    ("resume_path", "./assets/GAGAvatar.pt", {}),
    ("accept_flame_license", True, {}),
    ("enhanced", True, dict.fromkeys(IMPROVEMENTS, False)),
    ("enhanced", True, {"variants": True}),
    ("temporal_smooth", True, {"picture": True}),
    ("temporal_smooth", True, {"variants": True}),
    ("detail_enhance", True, {"variants": True}),
    ("gaze_correct", True, {"variants": True}),
    ("expression_opt", True, {"motion": "absolute", "picture": True}),
    ("smooth_strength", 2.0, {}),
    ("smooth_strength", 2.0, {"enhanced": True, "picture": True}),
    ("smooth_filter", "ema", {}),
    ("smooth_filter", "ema", {"temporal_smooth": True, "smooth_strength": 0}),
    ("smooth_alpha", 0.3, {"smooth_filter": "ema"}),
    ("smooth_alpha", 0.3, {"enhanced": True, "temporal_smooth": False}),
    ("smooth_alpha", 0.3, {"enhanced": True, "smooth_strength": 0}),
    ("smooth_alpha", 0.3, {"enhanced": True, "picture": True}),
    ("smooth_window", 10, {}),
    ("smooth_window", 10, {"enhanced": True, "picture": True}),
    ("smooth_window", 10, {"temporal_smooth": True, "smooth_strength": 0}),
    ("smooth_window", 10, {"temporal_smooth": True, "smooth_filter": "ema"}),
    ("detail_strength", 2.0, {}),
    ("no_source_detail", True, {"temporal_smooth": True}),
    ("no_source_detail", True, {"detail_enhance": True, "detail_strength": 0}),
    ("expression_gain", 2.0, {}),
    ("expression_gain", 2.0, {"expression_opt": True, "motion": "absolute"}),
    ("gaze_strength", 1.0, {"enhanced": True, "gaze_correct": False}),
    ("gaze_target", "camera", {}),
    ("gaze_target", "camera", {"gaze_correct": True, "gaze_strength": 0}),
    ("expression_opt", True, {"take": "pose"}),
    ("expression_gain", 2.0, {"enhanced": True, "take": "pose"}),
    ("gaze_correct", True, {"take": "pose", "no_eye_enhance": True}),
    ("gaze_strength", 1.0, {"gaze_correct": True, "take": "pose"}),
    ("gaze_target", "camera", {"gaze_correct": True, "take": "pose"}),
    ("no_eye_enhance", True, {"expression_opt": True}),
    ("mouth", "plain", {"picture": True}),
    ("size", 1024, {"frame": "photo"}),
    ("orbit", 20.0, {"frame": "photo"}),
    ("background", "white", {"face": "all"}),
    ("frame", "photo", {"network": True}),
    ("mouth", "plain", {"network": True}),
    ("mouth", "plain", {"take": "pose"}),
    ("layout", "result", {"variants": True}),
    ("report", "run.html", {"variants": True}),
    ("report", "run.html", {"face": "all"}),
    ("keep_partial", True, {"picture": True}),
    ("driver_face", 2, {"tracked": True}),
    ("driver_face", "all", {}),
    ("driver_face", "all", {"face": 2}),
    ("frame", "photo", {"face": "all"}),
]
# What acts: the same, where it has a rule.
ACTING = [
    ("resume_path", "net.pt", {"network": True}),
    ("accept_flame_license", True, {"network": True}),
    ("enhanced", True, {}),
    ("temporal_smooth", True, {}),
    ("detail_enhance", True, {}),
    ("expression_opt", True, {}),
    ("gaze_correct", True, {}),
    ("expression_opt", True, {"picture": True}),
    ("smooth_strength", 0.0, {"temporal_smooth": True}),
    ("smooth_strength", 0.0, {"variants": True}),
    ("smooth_filter", "ema", {"enhanced": True}),
    ("smooth_alpha", 0.3, {"temporal_smooth": True}),
    ("smooth_alpha", 0.3, {"temporal_smooth": True, "smooth_filter": "ema"}),
    ("smooth_window", 10, {"temporal_smooth": True}),
    ("detail_strength", 2.0, {"detail_enhance": True}),
    ("no_source_detail", True, {"enhanced": True}),
    ("expression_gain", 2.0, {"expression_opt": True, "motion": "relative"}),
    ("gaze_strength", 1.0, {"gaze_correct": True}),
    ("gaze_target", "camera", {"enhanced": True}),
    ("gaze_correct", True, {"take": "pose"}),
    ("expression_opt", True, {"take": "expression"}),
    ("gaze_target", "camera", {"enhanced": True, "take": "expression"}),
    ("temporal_smooth", True, {"take": "pose"}),
    ("temporal_smooth", True, {"take": "expression"}),
    ("detail_strength", 2.0, {"detail_enhance": True, "take": "pose"}),
    ("no_eye_enhance", True, {"enhanced": True}),
    ("mouth", "plain", {}),
    ("size", 1024, {}),
    ("orbit", 20.0, {}),
    ("size", 768, {"frame": "photo", "network": True}),
    ("frame", "photo", {}),
    ("background", "white", {}),
    ("mouth", "plain", {"take": "expression"}),
    ("layout", "result", {}),
    ("report", "run.html", {}),
    ("keep_partial", True, {}),
    ("driver_face", 2, {}),
    ("driver_face", "all", {"face": "all"}),
    ("driver_face", 2, {"picture": True}),
]


def a_run(options: Options, picture: bool = False, network: bool = False, tracked: bool = False) -> Run:
    inputs = Inputs(PHOTO, PHOTO, "image" if picture else "video")
    if tracked:
        folder = ROOT / "demos/drivers/obama"
        inputs = Inputs(PHOTO, folder, "folder", DriverData.from_folder(folder))
    return Run(options, inputs, "gagavatar" if network else "lifted")


@pytest.mark.parametrize("name", [option.name for option in fields(Options)])
def test_every_option_has_a_rule_and_every_rule_examples(name):
    assert name in ACTS, f"{name}: say in core.notices.ACTS when it acts"
    for examples in (SILENT, ACTING):
        assert (ACTS[name] != ALWAYS) == (name in {example[0] for example in examples})


def test_no_rule_is_left_over():
    assert set(ACTS) == {option.name for option in fields(Options)}


@pytest.mark.parametrize(("name", "value", "others"), SILENT)
def test_what_does_nothing_is_named_with_a_reason(name, value, others):
    others = dict(others)
    run = {key: others.pop(key, False) for key in ("picture", "network", "tracked")}
    options = Options(**others, **{name: value})
    object.__setattr__(options, "_typed", frozenset({name}))
    assert name in without_effect(a_run(options, **run))


@pytest.mark.parametrize(("name", "value", "others"), ACTING)
def test_what_acts_is_not_named(name, value, others):
    others = dict(others)
    run = {key: others.pop(key, False) for key in ("picture", "network", "tracked")}
    assert name not in without_effect(a_run(Options(**others, **{name: value}), **run))


def test_defaults_and_committed_configs_say_nothing():
    assert notices(a_run(load_options([]))) == []
    for path in sorted(ROOT.glob("configs/*.yaml")):
        assert notices(a_run(load_options(["--config", str(path)]))) == [], path


def test_what_was_typed_counts_as_given_even_at_its_default():
    options = load_options(["--gaze-strength", "0.7", "--gaze-target=camera", "--no-eye-enhance", "--keep-partial"])
    assert notices(a_run(options, picture=True)) == [
        "--gaze-strength, --gaze-target, --no-eye-enhance have no effect: --gaze-correct is not on",
        "--keep-partial has no effect: a picture is written whole or not at all",
    ]
    assert replace(options) == options


def test_what_enhanced_cannot_do_is_said_and_what_is_taken_out_is_not():
    run = a_run(load_options(["--enhanced", "--motion", "absolute", "--no-temporal-smooth"]), picture=True)
    assert list(without_effect(run)) == ["expression_opt"]
    assert list(without_effect(replace(run, options=load_options(["--enhanced"])))) == ["temporal_smooth"]


def test_single_pictures_have_nothing_over_time():
    """What a picture does not have, a folder of single ones does not; with a clip among them there is something."""
    options = load_options(["--enhanced", "--smooth-strength", "2", "--keep-partial"])

    def named(*shots: int) -> list[str]:
        keys = tuple(f"{i}.png" for i in range(len(shots)))
        frames = PictureFolder(PHOTO.parent, keys, np.array(shots), stored=False)
        return list(without_effect(Run(options, Inputs(PHOTO, PHOTO.parent, "folder", frames=frames), "lifted")))

    assert named(0, 1, 2) == ["temporal_smooth", "smooth_strength", "keep_partial"]
    assert named(0, 1, 2, 3, 3) == ["keep_partial"]
    assert named(0, 0, 0, 1) == []


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[int, Path]:
    """The demo's driver cut to some frames, by their number; the last one of twelve has the mouth open."""
    track = TrackedSequence.load(ROOT / "demos/drivers/obama")
    made = {}
    for first, frames in ((0, 1), (66, 12)):
        cut = replace(track.take(np.arange(first, first + frames)), shapecode=track.shapecode[:1], crops=None)
        made[frames] = tmp_path_factory.mktemp("driver")
        # One frame is as a picture is tracked
        (replace(cut, mouth_interior=None) if frames == 1 else cut).save(made[frames])
    return made


@pytest.fixture(scope="module")
def compute(folders):
    """The motion and the last picture of a run, each run made once and the avatar built once for each pose."""
    made = {motion: default_components(Options(motion=motion)) for motion in ("auto", "absolute")}
    model = made["auto"].model
    encode = model.encode
    sources, avatars, results = {}, {}, {}

    def shown(options: Options) -> TrackedSource:
        """The photo as it is tracked for a size, or for the whole of it."""
        how = (0, True) if options.frame == "photo" else (options.size, False)
        if how not in sources:
            sources[how] = default_components(Options(size=options.size, frame=options.frame)).track_source(
                PHOTO, False
            )
        return sources[how]

    def once(source, anchor=None):
        key = None if anchor is None else anchor.tobytes(), source.size, source.joined
        if key not in avatars:
            avatars[key] = encode(source, anchor)
        return avatars[key]

    def result(options: Options) -> tuple[list[np.ndarray], torch.Tensor]:
        if options not in results:
            own = made["absolute" if options.motion == "absolute" else "auto"]  # the built-in avatar's is relative
            source = shown(options)
            run = Pipeline(options, replace(own, track_source=lambda path, force: source, model=model))
            results[options] = list(run.motion.parameters.values()), run.draw(run.motion[len(run.motion) - 1])
        return results[options]

    def both(name, value, others) -> tuple:
        """Without an option and with it."""
        others = dict(others)
        options = Options(PHOTO, folders[1 if others.pop("picture", False) else 12], quiet=True, **others)
        return result(options), result(replace(options, **{name: value}))

    model.encode = once
    return both


def of_one_picture(examples: list) -> list:
    """Those whose truth is in the motion and the picture of a run with the built-in avatar."""
    elsewhere = ("resume_path", "accept_flame_license", "layout", "keep_partial", "driver_face", "report")
    return [e for e in examples if e[0] not in elsewhere and not e[2].keys() & {"variants", "network", "face"}]


@pytest.mark.parametrize(("name", "value", "others"), of_one_picture(SILENT))
def test_what_is_said_to_do_nothing_does_nothing(compute, name, value, others):
    (plain, picture), (same, drawn) = compute(name, value, others)
    for before, after in zip(plain, same, strict=True):
        np.testing.assert_array_equal(after, before)
    assert torch.equal(drawn, picture)


@pytest.mark.parametrize(("name", "value", "others"), of_one_picture(ACTING))
def test_what_is_said_to_act_acts(compute, name, value, others):
    (plain, picture), (other, drawn) = compute(name, value, others)
    same = all(np.array_equal(after, before) for before, after in zip(plain, other, strict=True))
    assert not (same and torch.equal(drawn, picture))


def test_a_run_says_it_once_and_not_when_quiet(folders):
    for quiet, said in ((False, "--smooth-strength has no effect: --temporal-smooth is not on\n"), (True, "")):
        stream = io.StringIO()
        Pipeline(Options(PHOTO, folders[12], smooth_strength=2, quiet=quiet), progress=Progress(quiet, stream))
        assert stream.getvalue() == said


def test_variants_say_what_was_asked_of_them(folders):
    stream, driver = io.StringIO(), str(folders[12])
    options = load_options(["-i", str(PHOTO), "-d", driver, "--variants", "--gaze-correct", "--layout", "compare"])
    Variants(options, progress=Progress(stream=stream))
    assert stream.getvalue().splitlines() == [
        "--gaze-correct has no effect: --variants shows each of the improvements",
        "--layout has no effect: --variants has a layout of its own",
    ]


def test_a_folder_tracked_from_one_picture_is_one(folders):
    tracked = DriverData.from_folder(folders[1])
    run = Run(Options(temporal_smooth=True), Inputs(PHOTO, folders[1], "folder", tracked), "lifted")
    assert notices(run) == ["--temporal-smooth has no effect: the driver is a single picture"]


def test_a_file_that_knows_no_eyes_has_none_to_follow(tmp_path):
    np.save(tmp_path / "codes.npy", np.zeros((3, 106), np.float32))
    codes = Inputs(PHOTO, tmp_path / "codes.npy", "motion", DriverData.from_motion(tmp_path / "codes.npy"))

    def silent(*flags: str) -> list[str]:
        return list(without_effect(Run(load_options(["--gaze-correct", *flags]), codes, "lifted")))

    assert silent() == []  # their picture is made clearer
    assert silent("--gaze-strength", "1") == ["gaze_strength"]
    assert silent("--no-eye-enhance") == ["gaze_correct"]
    assert silent("--gaze-strength", "1", "--gaze-target", "camera", "--no-eye-enhance") == []


def test_the_mouth_acts_where_a_tracked_folder_knows_it():
    track = TrackedSequence.load(ROOT / "demos/drivers/obama")
    for numbers in (track.mouth_interior, None):
        driver = DriverData(PHOTO, "folder", replace(track, mouth_interior=numbers))
        run = Run(load_options(["--mouth", "plain"]), Inputs(PHOTO, PHOTO, "folder", driver), "lifted")
        assert ("mouth" in without_effect(run)) == (numbers is None)
