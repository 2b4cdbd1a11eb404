"""The user's specification and upstream's README as tests: every row of docs/specification.md that can be one.

Commands are run and snippets executed as the document has them, on the demo's photo and a few frames of its driver.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import shlex
import shutil
import sys
from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from core.command_line import build_parser, load_options
from core.components import Avatar, Components, default_components
from core.data.image import read_image, write_image
from core.data.records import TrackedSource
from core.data.video import VideoReader, VideoWriter
from core.libs.gaze_corrector import EyeEnhancer
from core.libs.tracker.__main__ import main as track
from core.libs.tracker.cache import TrackCache
from core.models.modules.detail_enhancer import DetailEnhancer, SobelEdgeDetector
from core.options import IMPROVEMENTS, Options
from core.pipeline import Pipeline, animate
from inference import main
from tests.made_once import copy_cache
from tests.specification_rows import ids_of, rows, short_driver
from tests.test_upstream_folder import put_pictures

ROOT = Path(__file__).parents[1]
PHOTO, SECOND = ROOT / "demos/examples/1.jpg", ROOT / "demos/examples/2.jpg"
FRAMES = 2
ROWS = rows()


# --- the tables themselves --------------------------------------------------------------------------------------------


def test_every_row_has_its_test_and_every_test_its_row():
    about_tables = {test_every_row_has_its_test_and_every_test_its_row, test_ids_are_in_order_and_none_is_left_out}
    tests = {**globals(), **vars(importlib.import_module("tests.test_specification_code"))}
    here = {name for name, value in tests.items() if name.startswith("test_") and value not in about_tables}
    named = set()
    for row in ROWS.values():
        assert row.said, row.id
        assert row.holds, row.id
        if row.tried.startswith("test_"):
            named.add(row.tried)
        elif match := re.fullmatch(r"`(tests/\w+\.py)`", row.tried):
            assert (ROOT / match.group(1)).is_file(), row
        elif match := re.fullmatch(r"`python -m ([\w.]+)`", row.tried):
            assert importlib.util.find_spec(match.group(1)) is not None, row
        else:
            assert re.fullmatch(r"\*not\*: .+", row.tried), row
    assert named == here


def test_ids_are_in_order_and_none_is_left_out():
    counted: dict[str, int] = {}
    for name in re.findall(r"^\| ([A-Z]\d\d) ", (ROOT / "docs/specification.md").read_text(), re.MULTILINE):
        counted[name[0]] = counted.get(name[0], 0) + 1
        assert int(name[1:]) == counted[name[0]], name
    assert len(ROWS) == sum(counted.values())


# --- a folder to run the commands in ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    """A folder with everything in it that the commands name."""
    folder = tmp_path_factory.mktemp("specification")
    driver = folder / "short"
    short_driver(FRAMES).save(driver)
    code = " ".join(row.code for row in ROWS.values() if row.tried == "test_command")
    for name in re.findall(r"(?:-i|--image_path) (\S+)", code):
        put_copy(PHOTO, folder / name)
    for name in re.findall(r"(?:-d|--driver_path) (\S+)", code):
        if name.endswith("vfhq_demo"):
            put_pictures(folder / name, {"000869_70": PHOTO.read_bytes(), "001199_210": SECOND.read_bytes()})
        else:
            put_copy(SECOND if name.endswith(".jpg") else driver, folder / name)
    return folder


def put_copy(given: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if given.is_dir():
        shutil.copytree(given, place, dirs_exist_ok=True)
    else:
        shutil.copyfile(given, place)


@pytest.fixture(scope="module")
def cache(tmp_path_factory, demo_cache) -> Path:
    return copy_cache(demo_cache, tmp_path_factory.mktemp("cache"))


@pytest.fixture
def here(work, cache, monkeypatch) -> Path:
    """In that folder, with a track cache of its own."""
    monkeypatch.chdir(work)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    return work


class Remembering:
    """A model that builds the avatar of a photo under an anchor once."""

    def __init__(self, model: Avatar, kept: dict[bytes, object]) -> None:
        self._model, self._kept = model, kept

    def __getattr__(self, name: str):
        return getattr(self._model, name)

    def encode(self, source: TrackedSource, anchor: np.ndarray | None = None):
        key = source.image.tobytes() + np.asarray(anchor).tobytes()
        if key not in self._kept:
            self._kept[key] = self._model.encode(source, anchor)
        return self._kept[key]


@pytest.fixture(scope="module")
def loaded():
    """What makes the parts of a run; photos are tracked, and avatars built, once for all runs."""
    photos: dict[bytes, TrackedSource] = {}
    avatars: dict[bytes, object] = {}

    def parts(options: Options, name: str = "lifted") -> Components:
        usual = default_components(options, name)

        def track_source(photo: Path, force: bool) -> TrackedSource:
            content = photo.read_bytes()
            if content not in photos:
                photos[content] = usual.track_source(photo, force)
            return photos[content]

        return replace(usual, track_source=track_source, model=Remembering(usual.model, avatars))

    return parts


@pytest.fixture
def run(here, loaded, monkeypatch):
    """Run a command line in this process; its exit code, what it said, the file it made."""
    monkeypatch.setattr("core.pipeline.run.default_components", loaded)

    def call(arguments: list[str]) -> SimpleNamespace:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(arguments)
        made = re.findall(r"^(\S+\.(?:mp4|png|jpg)): ", out.getvalue(), re.MULTILINE)
        return SimpleNamespace(code=code, out=out.getvalue(), err=err.getvalue(), file=Path(made[-1]) if made else None)

    return call


# --- commands ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ids_of("test_command"))
def test_command(name, run):
    command = shlex.split(ROWS[name].code)
    if command[1] == "track_image.py":  # a picture needs no tracking first
        command = ["python", "inference.py", "-i", "demos/examples/1.jpg", "-d", command[3]]
    assert command[:2] == ["python", "inference.py"]
    done = run(command[2:])
    assert done.code == 0, done.err
    if done.file.suffix == ".jpg":  # of stills: the photo, then pairs of driver and result
        height, width = read_image(done.file).shape[:2]
        assert (width - height) % (2 * height) == 0
        return
    driver = command[next(i for i, word in enumerate(command) if word in ("-d", "--driver_path")) + 1]
    if driver.endswith(".jpg"):
        assert read_image(done.file).shape == (512, 1536, 3)
    else:
        frames = list(VideoReader(done.file))
        assert len(frames) == FRAMES
        assert frames[0].image.shape == (512, 1536, 3)


def test_one_hyphen_is_refused(run):
    done = run(["-i", "input.jpg", "-d", "driver", "-detail-enhance"])
    assert (done.code, len(done.err.strip().splitlines())) == (2, 1)


def test_stills(run):
    """O05: two people's pictures are no clip: one sheet, and no smoothing across them."""
    plain, smoothed = (
        run(["-i", "input.jpg", "-d", "demos/drivers/vfhq_demo", "-o", f"{name}.jpg", *flags])
        for name, flags in (("plain", []), ("smoothed", ["--temporal-smooth"]))
    )
    assert plain.code == 0, plain.err
    np.testing.assert_array_equal(read_image(plain.file), read_image(smoothed.file))


def test_there_is_a_command():
    for module in re.findall(r"python -m ([\w.]+)", ROWS["U05"].holds):
        assert callable(importlib.import_module(module).main)


def test_frames_of_own_inputs(here, loaded):
    options = Options("input.jpg", "driver", quiet=True)
    frames = list(Pipeline(options, loaded(options)).frames())
    assert [frame.index for frame in frames] == list(range(FRAMES))
    assert frames[0].image.shape == (512, 512, 3)


def test_a_track_is_kept(run, work, monkeypatch):
    """U07: what upstream's tracker was for, by this project's, and the folder as a driver."""
    with VideoWriter(work / "portrait.mp4", Fraction(25), (360, 360)) as writer:
        for _ in range(FRAMES):
            writer.write(read_image(PHOTO))
    monkeypatch.setattr(sys, "argv", ["tracker", "--save", "kept", "portrait.mp4"])
    assert track() == 0
    done = run(["-i", "input.jpg", "-d", "kept"])
    assert done.code == 0, done.err
    assert len(list(VideoReader(done.file))) == FRAMES


def test_the_cache_goes_by_content(here):
    """O07: another picture of the same name is another."""
    entries = set()
    for k, name in enumerate(("a", "b")):
        (here / name).mkdir(exist_ok=True)
        write_image(here / name / "same.png", np.full((8, 8, 3), 50 * k, np.uint8))
        entries.add(TrackCache().entry(here / name / "same.png", "source"))
    assert len(entries) == 2


def test_a_small_photo(run, work):
    write_image(work / "small.png", cv2.resize(read_image(PHOTO), (200, 200), interpolation=cv2.INTER_AREA))
    done = run(["-i", "small.png", "-d", "driver"])
    assert done.code == 0, done.err


def test_orbit(here, loaded):
    options = Options("input.jpg", "demos/examples/2.jpg", quiet=True, orbit=30)
    view = Pipeline(options, loaded(options)).motion.view[0]
    assert np.degrees(Rotation.from_matrix(view[:, :3]).magnitude()) == pytest.approx(30)


# --- flags ------------------------------------------------------------------------------------------------------------


def test_required(run):
    for arguments, said in ((["-d", "driver"], "no photo given"), (["-i", "input.jpg"], "no driver given")):
        done = run(arguments)
        assert (done.code, done.out) == (2, "")
        assert said in done.err


@pytest.mark.parametrize("name", ids_of("test_flag_defaults"))
def test_flag_defaults(name):
    flags = re.findall(r"`(-{1,2}[\w-]+)`", ROWS[name].said)
    options = load_options([])
    default = re.search(r": (?:`(.+)`|off)$", ROWS[name].said).group(1)
    for flag in flags:
        given = load_options([flag, default] if default else [flag])
        changed = [f.name for f in fields(given) if getattr(given, f.name) != getattr(options, f.name)]
        if default:
            assert options.resume_path == Path(default)
            assert changed == []
        else:
            assert len(changed) == 1
            assert not getattr(options, changed[0])
            assert getattr(given, changed[0]) is True


def test_enhanced_is_all_four():
    assert [load_options(["--enhanced"]).wants(name) for name in IMPROVEMENTS] == [True] * 4
    assert [load_options([]).wants(name) for name in IMPROVEMENTS] == [False] * 4
    without = load_options(["--enhanced", "--no-detail-enhance"])
    assert [name for name in IMPROVEMENTS if not without.wants(name)] == ["detail_enhance"]


def test_hyphen_and_underscore():
    names = set(build_parser()._option_string_actions)
    said = re.findall(r"`(--[\w-]+)`", " ".join(ROWS[f"F{k:02d}"].said for k in range(1, 10)))
    assert len(said) == 9
    for flag in said:
        word = flag.removeprefix("--")
        assert {f"--{word.replace('_', '-')}", f"--{word.replace('-', '_')}"} <= names


def test_flags_combine():
    for k in range(16):
        on = [name for i, name in enumerate(IMPROVEMENTS) if k >> i & 1]
        options = load_options([f"--{name.replace('_', '-')}" for name in reversed(on)])
        assert [name for name in IMPROVEMENTS if options.wants(name)] == on


def test_help_names_the_flags():
    text = build_parser().format_help()
    for k in range(1, 10):
        for flag in re.findall(r"`(--[\w-]+)`", ROWS[f"F{k:02d}"].said):
            assert flag.replace("_", "-") in text
    assert "assets/GAGAvatar.pt" in text


def test_strengths_are_flags():
    names = set(build_parser()._option_string_actions)
    flags = re.findall(r"`(--[\w-]+)`", ROWS["F13"].holds)
    assert set(flags) <= names
    assert len(flags) == 6


def test_two_runs_are_alike(run):
    first = run(["-i", "input.jpg", "-d", "driver", "--enhanced", "-o", "one.mp4"]).file.read_bytes()
    assert run(["-i", "input.jpg", "-d", "driver", "--enhanced", "-o", "two.mp4"]).file.read_bytes() == first


# --- outputs, files, promises -----------------------------------------------------------------------------------------


def test_default_output(run):
    done = run(["-i", "input.jpg", "-d", "driver"])
    assert done.file == Path("render_results/lifted/driver_input.mp4")
    assert done.out.strip().splitlines()[-1].startswith(f"{done.file}: ")
    assert run(["-i", "input.jpg", "-d", "driver", "--enhanced"]).file != done.file
    assert run(["-i", "input.jpg", "-d", "demos/examples/2.jpg"]).file == Path("render_results/lifted/2_input.png")


def test_panels(run):
    pair = run(["-i", "input.jpg", "-d", "demos/examples/2.jpg", "-o", "all.png"]).file
    alone = run(["-i", "input.jpg", "-d", "demos/examples/2.jpg", "-o", "one.png", "--layout", "result"]).file
    assert read_image(pair).shape == (512, 1536, 3)
    np.testing.assert_array_equal(read_image(pair)[:, 1024:], read_image(alone))


@pytest.mark.parametrize("name", ids_of("test_file"))
def test_file(name):
    assert (ROOT / ROWS[name].code).exists()


def test_python_call(here, loaded):
    options = Options("input.jpg", "driver", enhanced=True, quiet=True, output=Path("called.mp4"))
    assert animate(options, loaded(options)).frames == FRAMES


def test_nothing_is_trained():
    tools = (DetailEnhancer(), SobelEdgeDetector())
    assert [name for tool in tools for name, _ in tool.named_parameters()] == []
    assert not isinstance(EyeEnhancer(), torch.nn.Module)


def test_versions():
    assert (3, 11) <= sys.version_info < (3, 13)
    assert int(torch.__version__.split(".")[0]) >= 2
