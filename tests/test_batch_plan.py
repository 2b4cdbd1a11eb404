"""Batches: which jobs are planned of photos, drivers and lists, and what is refused in a line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from batch_parts import write_inputs

from core.batch import Job
from core.batch.command import main
from core.batch.estimate import automatic_workers, estimated_seconds
from core.batch.plan import Planner
from core.batch.settings import BatchSettings
from core.batch.sources import drivers_of, photos_of
from core.errors import UserError
from core.options import Options

ROOT = Path(__file__).parents[1]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_inputs(tmp_path)
    return tmp_path


ALL = ["d1_p1.mp4", "d1_p2.mp4", "d2_p1.mp4", "d2_p2.mp4"]


def planned(folder: Path, **options) -> list[Job]:
    given = sorted((folder / "photos").iterdir()), sorted((folder / "drivers").glob("*.mp4"))
    return Planner(folder / "out", Options(**options)).product(*given)


def test_folders_patterns_and_files(folder, monkeypatch):
    monkeypatch.chdir(folder)
    said: list[str] = []
    (folder / "photos/notes.txt").write_text("no picture")
    found = photos_of(["photos", "photos/p1.png", "photos/*2.png"], said.append)
    assert [path.name for path in found] == ["p1.png", "p2.png"]
    assert len(said) == 2
    assert [path.name for path in drivers_of(["drivers"], said.append)] == ["d1.mp4", "d2.mp4"]
    assert drivers_of(["photos"], said.append) == [Path("photos")]  # pictures alone are one driver
    track = ROOT / "demos/drivers/obama"
    assert drivers_of([str(track)], said.append) == [track]
    assert [path.name for path in drivers_of([str(ROOT / "demos/drivers")], said.append)] == ["obama", "talk.mp4"]
    for wrong in (["photos/*.jpg"], ["drivers"]):
        with pytest.raises(UserError, match=r"nothing matches|holds no pictures"):
            photos_of(wrong, said.append)


def test_longest_drivers_first_and_each_ones_jobs_together(folder):
    write_inputs(folder / "more", photos=1, drivers=1, frames=9)
    (folder / "more/drivers/d1.mp4").rename(folder / "drivers/long.mp4")
    assert [job.shown for job in planned(folder)] == ["long_p1.mp4", "long_p2.mp4", *ALL]
    assert [job.frames for job in planned(folder)] == [9, 9, 6, 6, 6, 6]


def test_two_jobs_for_one_file(folder):
    write_inputs(folder / "other", photos=1, drivers=1)
    photos = [folder / "photos/p1.png", folder / "other/photos/p1.png"]
    with pytest.raises(UserError, match=r"two jobs for d1_p1\.mp4"):
        Planner(folder / "out", Options()).product(photos, [folder / "drivers/d1.mp4"])
    write_inputs(folder / "again")
    (folder / "again/photos/p1.png").rename(folder / "again/photos/d1_p1.mp4")
    with pytest.raises(UserError, match="is an input of this batch"):
        Planner(folder / "again/photos", Options()).product(
            [folder / "photos/p1.png", folder / "again/photos/d1_p1.mp4"], [folder / "drivers/d1.mp4"]
        )


def listed(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text.replace("@", str(folder)))
    return path


CSV = "photo,driver,output,smooth-strength,enhanced\n"


def test_a_list_of_pairs_with_options_and_outputs_of_their_own(folder):
    text = CSV + "@/photos/p1.png,@/drivers/d1.mp4,sub/mine.mp4,0.5,yes\n\n@/photos/p2.png,@/drivers/d2.mp4,,,\n"
    path = listed(folder, "jobs.csv", text)
    report = ["--report", str(folder / "out" / "report.html")]  # in a folder that the batch itself makes
    assert main(["--list", str(path), "-o", str(folder / "out"), "--dry-run", "--layout", "result", *report]) == 0
    assert not (folder / "out").exists()
    from core.batch.lists import read_list

    jobs = {j.shown: j.options for j in Planner(folder / "out", Options(layout="result")).listed(read_list(path))}
    assert set(jobs) == {"sub/mine.mp4", "d2_p2.mp4"}
    assert (jobs["sub/mine.mp4"].enhanced, jobs["sub/mine.mp4"].smooth_strength) == (True, 0.5)
    assert (jobs["d2_p2.mp4"].enhanced, jobs["d2_p2.mp4"].layout) == (False, "result")
    semicolons = listed(folder, "s.csv", "photo;driver\n@/photos/p1.png;@/drivers/d1.mp4\n")
    text = "- {photo: '@/photos/p1.png', driver: '@/drivers/d1.mp4'}\n- photo: '@/photos/p2.png'\n  driver: "
    yaml = listed(folder, "jobs.yaml", text + "'@/drivers/d1.mp4'\n  face: 2\n")
    assert len(read_list(semicolons)) == 1
    assert [row.values.get("face") for row in read_list(yaml)] == [None, 2]


PAIR = "@/photos/p1.png,@/drivers/d1.mp4"
WRONG = {
    "column": ("a.csv", f"photo,driver,smoth_strength\n{PAIR},1\n", "unknown option 'smoth_strength', did you mean"),
    "no header": ("a.csv", f"{PAIR}\n", "no column photo"),
    "column twice": ("a.csv", f"photo,driver,size,size\n{PAIR},512,512\n", "column size twice"),
    "value": ("a.csv", f"photo,driver,size\n{PAIR},large\n", "line 2: size must be a whole number"),
    "range": ("a.csv", f"photo,driver,size\n{PAIR},7\n", "line 2: size must be one of 512"),
    "cells": ("a.csv", f"photo,driver\n{PAIR},1\n", "3 values for 2 columns"),
    "pair twice": ("a.csv", f"photo,driver\n{PAIR}\n@/photos/../photos/p1.png,@/drivers/d1.mp4\n", "same photo"),
    "one output": ("a.csv", f"photo,driver,output\n{PAIR},x.mp4\n@/photos/p2.png,@/drivers/d1.mp4,x.mp4\n", "two jobs"),
    "no driver": ("a.csv", "photo,driver\n@/photos/p1.png,\n", "no driver is given"),
    "empty": ("a.csv", "photo,driver\n", "holds no jobs"),
    "quote": ("a.csv", 'photo,driver\n"a,b\n', "is not CSV"),
    "ending": ("a.txt", "photo,driver\n", "no list of jobs"),
    "no list": ("a.yaml", "photo: x\n", "holds no list"),
    "no mapping": ("a.yaml", "- x\n", "job 1: this is no"),
    "unknown": ("a.yaml", "- {photo: a, driver: b, colour: red}\n", "job 1: unknown option 'colour'"),
    "twice": ("a.yaml", "- {photo: a, image_path: a, driver: b}\n", "is there twice"),
    "not yaml": ("a.yaml", "- {photo: a", "is not yaml"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_list_is_one_line(folder, name):
    file, text, match = WRONG[name]
    path = listed(folder, file, text)
    with pytest.raises(UserError, match=re.escape(match)) as caught:
        main(["--list", str(path), "-o", str(folder / "out"), "--dry-run"])
    assert "\n" not in str(caught.value)
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ([], "required: -o"),
        (["-o", "@/photos/p1.png"], "is a file"),
        (["-o", "@/out"], "give photos with -i"),
        (["-o", "@/out", "-i", "@/photos", "--list", "@/a.csv"], "of its own"),
        (["-o", "@/out", "-i", "@/photos", "-d", "@/drivers", "--workers", "0"], "a whole number from 1"),
        (["-o", "@/out", "-i", "@/photos", "-d", "@/drivers", "--size", "7"], "size must be one of"),
        (["-o", "@/out", "-i", "@/photos", "-d", "@/drivers", "--colour", "red"], "unrecognized arguments: --colour"),
        (["-o", "@/out", "-i", "@/photos", "-d", "@/drivers", "-r", "none.pt"], "does not exist"),
        (["-o", "@/out", "-i", "@/photos", "-d", "@/drivers", "--report", "@/x.txt"], "give it one of the endings"),
        (["-o", "@/drivers/d1.mp4/x", "-i", "@/photos", "-d", "@/drivers"], "cannot be"),
    ],
)
def test_a_wrong_request_is_one_line(folder, arguments, match):
    with pytest.raises(UserError, match=match):
        main([text.replace("@", str(folder)) for text in arguments])
    assert not (folder / "out").exists()


def test_what_is_estimated(folder):
    jobs = planned(folder)
    settings = BatchSettings(start_seconds=1, photo_seconds=0, track_seconds=0.5, render_seconds=1.0)
    # two drivers of 6 frames, then four runs of 6 seconds: 3 + 12 on each of two
    assert estimated_seconds(jobs, 2, settings=settings) == pytest.approx(1 + 3 + 12)
    assert estimated_seconds(jobs, 4, [(10, 20.0)], settings) == pytest.approx(1 + 3 + 12)
    assert estimated_seconds([], 2) == 0
    assert automatic_workers(8, 1, 100) <= 8
    assert automatic_workers(8, 1 << 30, 100) == 1
    assert automatic_workers(8, 1, 3) == 3
