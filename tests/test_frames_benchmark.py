"""`benchmarks.frames` says in one line what is wrong, with exit code 2, and 1 only where a frame differs."""

import json

import pytest

from benchmarks import frames
from core.errors import UserError, command


@pytest.fixture
def run(monkeypatch, tmp_path):
    """The command on two runs of three frames, against the sums it is given; returns the exit code."""
    monkeypatch.setattr(frames, "runs", lambda folder, count: iter([("plain", 3), ("enhanced", 3)]))
    monkeypatch.setattr(frames, "sums", lambda count: ["a", "b", "c"][:count])

    def code(before: object) -> int:
        path = tmp_path / "frames.json"
        path.write_text(before if isinstance(before, str) else json.dumps(before))
        monkeypatch.setattr("sys.argv", ["frames", "--against", str(path)])
        return command(frames.main)

    return code


def test_same_and_different_frames(run, capsys):
    assert run({"plain": ["a", "b", "c"]}) == 0
    assert run({"plain": ["a", "b", "c"], "enhanced": ["a", "x", "c"]}) == 1
    assert "DIFFERS from frame 1 on" in capsys.readouterr().out


@pytest.mark.parametrize("before", ["no json", {"plain": ["a", "b"]}])
def test_what_cannot_be_compared_is_said_in_one_line(run, capsys, before):
    assert run(before) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_user_error_of_a_run(monkeypatch, run):
    def refused(_):
        raise UserError("no")

    monkeypatch.setattr(frames, "sums", refused)
    assert run({}) == 2
