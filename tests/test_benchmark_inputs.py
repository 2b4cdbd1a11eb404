"""What the benchmarks run on: names, files, the demo's inputs; a line where something is missing."""

import importlib
from pathlib import Path

import pytest

from benchmarks._inputs import DATA, DEMO_CLIP, DEMO_PHOTO, find_clips, find_photos
from core.errors import UserError, command

OF_CLIPS = (
    *("self_reenactment", "cross_identity", "speed", "memory", "codes", "cpu"),
    *("smoothing", "small_driver", "expression", "gaze", "detail", "modules"),
)


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.mark.parametrize("name", OF_CLIPS)
def test_missing_data_is_one_line_and_code_2(name, monkeypatch, capsys, tmp_path):
    main = importlib.import_module(f"benchmarks.{name}").main
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [name, "--data", "nowhere"])
    assert command(main) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "nowhere/drivers/obama.mp4 is not there" in said.err
    assert list(tmp_path.rglob("*.*")) == []


def test_names_and_files(tmp_path):
    clip, other = touch(tmp_path / "data/drivers/a.mp4"), touch(tmp_path / "b.mov")
    photo = touch(tmp_path / "data/sources/a.jpg")
    for beside in ("not_a_face.jpg", "notes.txt"):
        touch(tmp_path / "data/sources" / beside)
    data = tmp_path / "data"
    assert find_clips(None, data, ["a"]) == [clip]
    assert find_clips(["a", str(other)], data, ["c"]) == [clip, other]
    assert find_clips([], data, ["a"]) == []
    assert find_photos(None, data) == [photo]
    assert find_photos([photo], data) == [photo]
    with pytest.raises(UserError, match=r"c\.mp4 is not there.*--data"):
        find_clips(["c"], data, ["a"])
    with pytest.raises(UserError, match="is not there"):
        find_photos(None, tmp_path)


def test_without_the_data_the_demo_stands_in(tmp_path, monkeypatch, capsys):
    work = tmp_path / "clone/repository"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    with pytest.raises(UserError):
        find_clips(None, DATA, ["obama"])
    touch(work / DEMO_CLIP)
    touch(work / DEMO_PHOTO)
    capsys.readouterr()
    assert find_clips(None, DATA, ["obama"]) == [DEMO_CLIP]
    assert "say nothing about real people" in capsys.readouterr().out
    assert find_photos(None, DATA) == [DEMO_PHOTO]
    with pytest.raises(UserError):
        find_clips(["obama"], DATA, ["obama"])  # asked for by name, it is not replaced


def test_exit_codes(capsys):
    assert command(lambda: {"a": 1}) == 0

    def wrong():
        raise UserError("two\nlines")

    assert command(wrong) == 2
    assert capsys.readouterr().err == "error: two lines\n"
