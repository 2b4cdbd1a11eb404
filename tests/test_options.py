"""Options: one source for command line, yaml and Python, and the order in which they win."""

from dataclasses import fields
from pathlib import Path

import pytest

from core.command_line import build_parser, load_options
from core.errors import UserError
from core.options import IMPROVEMENTS, Options

OTHER_VALUES = {
    "face": ["2"],
    "driver_face": ["1"],
    "smooth_strength": ["0.5"],
    "smooth_filter": ["ema"],
    "smooth_alpha": ["0.3"],
    "smooth_window": ["10"],
    "detail_strength": ["2"],
    "expression_gain": ["0"],
    "gaze_strength": ["1"],
    "gaze_target": ["camera"],
}


def write(folder: Path, text: str) -> str:
    path = folder / "options.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_defaults_are_those_of_the_dataclass():
    assert load_options([]) == Options()


def test_short_flags_are_upstreams():
    options = load_options(["-i", "me.jpg", "-d", "clip.mp4", "-r", "net.pt", "-f", "-o", "out.mp4"])
    assert options == Options("me.jpg", "clip.mp4", "net.pt", force_retrack=True, output="out.mp4")
    assert options.image_path == Path("me.jpg")


@pytest.mark.parametrize("name", [f.name for f in fields(Options) if "_" in f.name])
def test_hyphen_and_underscore_are_one(name):
    value = OTHER_VALUES.get(name, ["x"] if name.endswith("_path") else [])
    hyphen, underscore = (load_options([f"--{text}", *value]) for text in (name.replace("_", "-"), name))
    assert hyphen == underscore != Options()


def test_command_line_wins_over_yaml_over_defaults(tmp_path):
    config = write(tmp_path, "layout: result\nbackground: '#102030'\ntemporal-smooth: true\nimage_path: a.jpg\n")
    options = load_options(["--config", config, "--background", "red", "--no-temporal-smooth"])
    assert options.layout == "result"
    assert options.image_path == Path("a.jpg")
    assert options.background_rgb == (255, 0, 0)
    assert options.temporal_smooth is False
    assert options.model == "auto"


def test_yaml_can_hold_every_option(tmp_path):
    values = {"image_path": "a", "driver_path": "b", "output": "c", "audio": "d", "report": "e"}
    lines = [f"{f.name}: {values.get(f.name, f.default)}" for f in fields(Options) if f.name not in IMPROVEMENTS]
    options = load_options(["--config", write(tmp_path, "\n".join(lines))])
    assert options == Options("a", "b", output="c", audio="d", report="e")


@pytest.mark.parametrize("path", sorted(Path(__file__).parents[1].glob("configs/*.yaml")), ids=lambda path: path.name)
def test_committed_configs_load(path):
    assert isinstance(load_options(["--config", str(path)]), Options)


def test_enhanced_turns_on_what_is_not_turned_off():
    options = load_options(["--enhanced", "--no-gaze-correct"])
    assert [options.wants(name) for name in IMPROVEMENTS] == [True, True, True, False]
    assert not any(Options().wants(name) for name in IMPROVEMENTS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("temporal_smoth: true", "did you mean 'temporal_smooth'?"),
        ("zzz: 1", "unknown option 'zzz'"),
        ("enhanced: 'yes'", "enhanced must be true or false, got 'yes'"),
        ("enhanced: 1", "enhanced must be true or false, got 1"),
        ("background: #ffffff", "background must be a text (in quotes), got nothing"),
        ("background: 404040", "background must be a text (in quotes), got 404040"),
        ("background: ultragreen", "no colour"),
        ("image_path: [a, b]", "image_path must be a path"),
        ("smooth_window: 2.5", "smooth_window must be a whole number, got 2.5"),
        ("smooth_window: true", "smooth_window must be a whole number, got True"),
        ("smooth_window: 31", "smooth_window must be between 1 and 30, got 31"),
        ("device: gpu", "device must be one of auto, cpu, cuda"),
        ("model: [lifted]", "model must be one of"),
        ("- model", "holds no options"),
        ("a: b: c", "is not yaml"),
        ("model: !!python/object/apply:os.getcwd []", "is not yaml"),
        ("\x00", "is not yaml"),
    ],
)
def test_bad_yaml_is_one_line(tmp_path, text, said):
    with pytest.raises(UserError) as caught:
        load_options(["--config", write(tmp_path, text)])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_binary_config(tmp_path):
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x81")
    for name in ("missing.yaml", "binary.yaml", "."):
        with pytest.raises(UserError, match="cannot be read"):
            load_options(["--config", str(tmp_path / name)])


@pytest.mark.parametrize("arguments", [["--device", "gpu"], ["-i"], ["--temporal"], ["stray"], ["--motion", ""]])
def test_bad_command_lines(arguments):
    with pytest.raises(UserError, match="--help"):
        load_options(arguments)


def test_help_and_readme_name_every_option():
    text = build_parser().format_help()
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    for option in fields(Options):
        flag = f"--{option.name.replace('_', '-')}"
        assert flag in text
        assert flag in readme
        assert option.name == flag[2:] or f"--{option.name}" not in text  # one spelling is enough to read


@pytest.mark.parametrize("flag", ["--gaze-strength=1.1", "--smooth-strength=-1", "--detail-strength=nan"])
def test_a_strength_out_of_its_limits_is_refused(flag):
    with pytest.raises(UserError, match="must be between 0 and"):
        load_options([flag])


def test_an_output_that_ends_in_a_slash_stays_a_folder(tmp_path):
    assert load_options(["-o", "new/"]).output == "new/"
    assert Options(output="new/") == load_options(["--config", write(tmp_path, "output: new/")])
    assert Options(output="new").output == Path("new")
    assert Options(image_path="me/").image_path == Path("me")


@pytest.mark.parametrize(
    ("flags", "label"),
    [
        ([], ""),
        (["--temporal-smooth"], "temporal"),
        (["--detail-enhance", "--temporal-smooth"], "temporal_detail"),
        (["--expression-opt"], "expression"),
        (["--gaze-correct"], "gaze"),
        (["--enhanced"], "enhanced"),
        ([f"--{name}" for name in IMPROVEMENTS], "enhanced"),
        (["--enhanced", "--no-gaze-correct"], "temporal_expression_detail"),
        (["--take", "pose"], "take-pose"),
        (["--enhanced", "--orbit", "20", "--take", "expression"], "enhanced_take-expression_orbit"),
        (["--face", "2", "--driver-face", "1"], "face-2_driver-face-1"),
        (["--face", "all", "--driver-face", "all"], "face-all_driver-face-all"),
    ],
)
def test_names_of_what_is_on(flags, label):
    assert load_options(flags).label == label


@pytest.mark.parametrize("name", ["face", "driver_face"])
def test_a_face_is_chosen_by_a_word_or_a_number(name, tmp_path):
    flag = "--" + name.replace("_", "-")
    assert getattr(load_options([]), name) == "largest"
    assert getattr(load_options([flag, "2"]), name) == 2
    assert getattr(load_options([flag, "all"]), name) == "all"
    assert getattr(load_options(["--config", write(tmp_path, f"{name}: 3")]), name) == 3
    assert getattr(Options(**{name: 4}), name) == 4
    for wrong in ("0", "-1", "1.5", "left", "", "²", "9" * 5000):
        with pytest.raises(UserError, match=f"{name} must be largest"):
            load_options([f"{flag}={wrong}"])
    with pytest.raises(UserError, match=name):
        Options(**{name: True})
