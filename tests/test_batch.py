"""Batches: what is done once, in which order, what is kept and what a failure leaves."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from batch_parts import make, tracked, write_inputs

from core.batch import Here, Job, JobResult, LoadedModels, Manifest, run
from core.batch.hashes import content_digest
from core.batch.manifest import NAME
from core.batch.plan import Planner
from core.batch.report import report_page
from core.components import default_components
from core.data.image import read_image, write_image
from core.data.video import VideoReader
from core.data.video.lossless import read_lossless, write_lossless
from core.errors import UserError
from core.options import Options
from core.pipeline import animate
from core.pipeline.pieces import join, write_piece
from core.runtime.progress import CancelledError, Progress
from tests.made_once import copy_cache

ROOT = Path(__file__).parents[1]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_inputs(tmp_path)
    return tmp_path


class Inline(Here):
    """Tasks as workers get them, in this process."""

    alone = False


def planned(folder: Path, **options) -> list[Job]:
    options = {"layout": "result"} | options  # a third of the pixels to encode
    given = sorted((folder / "photos").iterdir()), sorted((folder / "drivers").glob("*.mp4"))
    return Planner(folder / "out", Options(**options)).product(*given)


def done(folder: Path, jobs=None, executor=None, **options) -> dict[str, JobResult]:
    """The results of a batch in this process, with its record, by name."""
    jobs = planned(folder) if jobs is None else jobs
    with Manifest(folder / "out") as manifest:
        jobs = [job if job.refused else manifest.known(job) for job in jobs]
        executor = executor or Inline(LoadedModels(make=make))
        return {result.job.shown: result for result in run(jobs, executor, manifest=manifest, **options)}


def states(results: dict[str, JobResult]) -> dict[str, str]:
    return {name: result.state for name, result in results.items()}


ALL = ["d1_p1.mp4", "d1_p2.mp4", "d2_p1.mp4", "d2_p2.mp4"]


# --- what is done, once ----------------------------------------------------------------------------------------------


def test_files_are_those_of_single_runs_and_everything_is_tracked_once(folder):
    results = done(folder)
    assert states(results) == dict.fromkeys(ALL, "done")
    assert tracked(folder / "photos") == ["p1.png", "p2.png"]
    assert tracked(folder / "drivers") == ["d1.mp4", "d2.mp4"]
    for name, result in results.items():
        driver, photo = name.removesuffix(".mp4").split("_")
        options = Options(folder / f"photos/{photo}.png", folder / f"drivers/{driver}.mp4", output=folder / "one.mp4")
        options = replace(options, layout="result")
        animate(replace(options, quiet=True), make(options))
        assert result.output == folder / "out" / name
        assert result.output.read_bytes() == (folder / "one.mp4").read_bytes()
        assert result.digest == content_digest(result.output)
        assert (result.frames, result.attempts) == (6, 1)
        assert result.peak_mib > 50


def test_a_second_batch_does_only_what_changed(folder):
    first = done(folder)
    again = done(folder)
    assert states(again) == dict.fromkeys(ALL, "kept")
    assert {name: result.digest for name, result in again.items()} == {n: r.digest for n, r in first.items()}
    os.utime(folder / "photos/p1.png")  # a copy: the content counts, not its date
    os.utime(folder / "out/d1_p1.mp4")
    assert states(done(folder)) == dict.fromkeys(ALL, "kept")
    write_image(folder / "photos/p2.png", np.full((64, 64, 3), 150, np.uint8))
    (folder / "out/d1_p1.mp4").unlink()
    (folder / "out/d2_p1.mp4").write_bytes(b"damaged")
    assert states(done(folder)) == dict.fromkeys(ALL, "done")
    (folder / "out/d2_p1.mp4").write_bytes(b"\0" * (folder / "out/d2_p1.mp4").stat().st_size)
    assert states(done(folder)) == {**dict.fromkeys(ALL, "kept"), "d2_p1.mp4": "done"}
    results = done(folder, planned(folder, no_watermark=True))
    assert states(results) == dict.fromkeys(ALL, "done")
    assert results["d1_p1.mp4"].digest != first["d1_p1.mp4"].digest


def test_another_program_does_everything_again(folder, monkeypatch):
    done(folder)
    monkeypatch.setattr("core.batch.manifest.program_digest", lambda: "another")
    assert states(done(folder)) == dict.fromkeys(ALL, "done")


def test_the_record_says_what_a_file_was_made_of(folder):
    done(folder)
    base = sqlite3.connect(folder / "out" / NAME)
    names = "photo, driver, state, frames, seconds, peak_mib, digest, program, inputs, options"
    (row,) = base.execute(f"select {names} from jobs where output = 'd2_p1.mp4'")
    assert row[:4] == (str(folder / "photos/p1.png"), str(folder / "drivers/d2.mp4"), "done", 6)
    assert row[4] > 0
    assert row[5] > 50
    assert row[6] == content_digest(folder / "out/d2_p1.mp4")
    assert row[7].startswith("0.1.0+")
    assert content_digest(folder / "photos/p1.png") in row[8]
    assert content_digest(folder / "drivers/d2.mp4") in row[8]
    assert '"lifted"' in row[9]


def test_tracked_again_is_tracked_again_once(folder):
    done(folder)
    done(folder, planned(folder, force_retrack=True))
    assert tracked(folder / "drivers") == ["d1.mp4", "d1.mp4", "d2.mp4", "d2.mp4"]


# --- failures --------------------------------------------------------------------------------------------------------


def test_a_job_that_fails_does_not_stop_the_others(folder):
    (folder / "photos/p3.png").write_bytes((folder / "photos/p1.png").read_bytes()[:60])  # no picture any more
    write_image(folder / "photos/p4.png", np.zeros((64, 64, 3), np.uint8))  # no face in it
    results = done(folder)
    assert {state: sum(r.state == state for r in results.values()) for state in ("done", "failed")} == {
        "done": 4,
        "failed": 4,
    }
    failed = {name: result.error for name, result in results.items() if result.state == "failed"}
    assert all("\n" not in error for error in failed.values())
    assert sum("no human face found" in error for error in failed.values()) == 2
    assert sum("p3.png" in error for error in failed.values()) == 2
    assert tracked(folder / "photos").count("p4.png") == 1  # not once for each of its jobs
    assert sorted(path.name for path in (folder / "out").iterdir()) == sorted([*ALL, NAME])
    write_image(folder / "photos/p4.png", np.full((64, 64, 3), 90, np.uint8))
    again = states(done(folder))
    assert [name for name, state in again.items() if state == "done"] == ["d1_p4.mp4", "d2_p4.mp4"]


def test_a_fault_of_the_program_has_its_traceback(folder):
    def broken(options, model, cache=None):
        return replace(make(options), retarget=lambda *_: 1 / 0)

    results = done(folder, executor=Inline(LoadedModels(make=broken)))
    assert set(states(results).values()) == {"failed"}
    result = results["d1_p1.mp4"]
    assert "ZeroDivisionError" in result.error
    assert "Traceback" in result.trace


def test_leaving_early_leaves_no_half_file(folder):
    class Ending(Progress):
        def stage(self, name, text=None, frames=0):
            if name == "video":
                raise CancelledError
            return super().stage(name, text, frames)

    with pytest.raises(CancelledError):
        list(run(planned(folder), Here(LoadedModels(make=make), Ending(quiet=True))))
    assert not list((folder / "out").glob("*"))


# --- in pieces -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"background": "transparent"}, {"background": "clip"}, {"layout": "result"}])
def test_a_run_in_pieces_is_the_run_to_the_byte(folder, options):
    if options.get("background") == "clip":
        options = {"background": str(folder / "drivers/d1.mp4")}
    ending = ".mov" if "transparent" in options.values() else ".mp4"
    whole = Options(folder / "photos/p1.png", folder / "drivers/d2.mp4", output=folder / f"whole{ending}", **options)
    animate(whole, make(whole), Progress(quiet=True))
    parts = []
    for first, last in ((0, 1), (1, 4), (4, 6)):
        parts.append(folder / f"{first}.mkv")
        assert write_piece(whole, make(whole), Progress(quiet=True), (first, last), parts[-1]) == last - first
    report = join(replace(whole, output=folder / f"joined{ending}"), make(whole), Progress(quiet=True), parts)
    assert report.frames == 6
    assert report.output.read_bytes() == (folder / f"whole{ending}").read_bytes()
    with VideoReader(report.output) as reader:
        assert reader.has_audio
    with pytest.raises(UserError, match="2 frames are missing"):
        join(replace(whole, output=folder / f"short{ending}"), make(whole), Progress(quiet=True), parts[:2])
    assert not (folder / f"short{ending}").exists()


def test_a_batch_in_pieces_gives_the_same_files_and_clears_up(folder):
    expected = {name: result.digest for name, result in done(folder).items()}
    for name in ALL:
        (folder / "out" / name).unlink()
    results = done(folder, split=2, may_split=lambda job: True)
    assert {name: result.digest for name, result in results.items()} == expected
    assert not list((folder / "out/.pieces").iterdir())


@pytest.mark.parametrize("channels", [3, 4])
def test_lossless_is_lossless(tmp_path, channels):
    noise = np.random.default_rng(0).integers(0, 256, (3, 37, 53, channels), np.uint8)
    assert write_lossless(tmp_path / "a.mkv", iter(noise)) == 3
    np.testing.assert_array_equal(list(read_lossless(tmp_path / "a.mkv", channels)), noise)
    (tmp_path / "b.mkv").write_bytes((tmp_path / "a.mkv").read_bytes()[:2000])
    with suppress(UserError):  # cut off, it is refused or has fewer pictures, which `join` counts
        assert len(list(read_lossless(tmp_path / "b.mkv", channels))) < 3


# --- the record ------------------------------------------------------------------------------------------------------


def test_a_second_batch_at_the_same_time_is_refused(folder):
    with Manifest(folder / "out"), pytest.raises(UserError, match="another batch is writing"):
        Manifest(folder / "out")
    Manifest(folder / "out").close()


def test_a_file_that_is_no_record(folder):
    (folder / "out").mkdir()
    (folder / "out" / NAME).write_bytes(b"something else" * 100)
    with pytest.raises(UserError, match="no record of a batch"):
        Manifest(folder / "out")


@pytest.fixture
def small_disk(folder):
    mounted = folder / "out"
    mounted.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=220k", "none", str(mounted)]
    if sys.platform != "linux" or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield mounted
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


def test_no_room_for_the_record(small_disk):
    (small_disk / "filler").write_bytes(b"\0" * (220 << 10))
    with pytest.raises(UserError, match="cannot be written"):
        Manifest(small_disk)


def test_a_disk_that_fills_up_in_the_middle(folder, small_disk):
    results = done(folder)
    failed = [result for result in results.values() if result.state == "failed"]
    assert failed
    assert all("No space left on device" in result.error for result in failed)
    assert len(results) == 4
    whole = [result.output for result in results.values() if result.state == "done"]
    assert whole
    assert {path.name for path in small_disk.iterdir()} == {NAME, *(path.name for path in whole)}
    for path in whole:
        path.unlink()


# --- processes -------------------------------------------------------------------------------------------------------


def command(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen:
    script = Path(__file__).with_name("batch_parts.py")
    given = ["-i", folder / "photos", "-d", folder / "drivers", "-o", folder / "out", "--workers", "2"]
    given += ["--layout", "result", *arguments]
    return subprocess.Popen(
        [sys.executable, str(script), *map(str, given)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_killed_in_the_middle_and_done_in_the_end(folder):
    """SIGKILL of the batch: its workers end too, and a second one does the rest and no job twice."""
    (folder / "drivers/d2.mp4").unlink()
    write_image(folder / "photos/p4.png", np.full((64, 64, 3), 140, np.uint8))
    expected = {name: result.digest for name, result in done(folder).items()}
    for name in expected:
        (folder / "out" / name).unlink()
    (folder / "out" / NAME).unlink()
    first = command(folder, BATCH_TEST_FRAME="0.1")
    line = next(line for line in first.stderr if re.match(r"\[1/", line))
    first.kill()
    assert line
    first.wait()
    time.sleep(0.5)
    before = {path.name: path.read_bytes() for path in (folder / "out").glob("*.mp4")}
    assert before
    write_image(folder / "photos/p3.png", np.full((64, 64, 3), 255, np.uint8))  # kills its worker, every time
    second = command(folder, "--workers", "1", "--report", str(folder / "report.html"))
    out, err = second.communicate()
    assert second.returncode == 1, err  # p3 cannot be done
    kept = [name for name in expected if f"{name}: kept" in err]
    assert kept
    assert f"{len(expected) - len(kept)} done, {len(kept)} kept, 1 failed" in out
    assert err.count("the worker was killed") == 1
    assert "(3 times)" in err
    for name, digest in expected.items():
        assert content_digest(folder / "out" / name) == digest
    assert not list((folder / "out").glob(".*.part"))
    page = (folder / "report.html").read_text()
    assert page.count("<tr class=failed>") == 1
    assert page.count("data:image/jpeg") == 3


def test_interrupted_it_ends_at_once_and_leaves_no_half_file(folder):
    process = command(folder, BATCH_TEST_FRAME="0.5")
    next(line for line in process.stderr if "workers" in line)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    process.wait(60)
    end = time.monotonic() + 20  # for workers of a busy machine
    while parts := list((folder / "out").glob(".*.part")):
        assert time.monotonic() < end, parts
        time.sleep(0.05)
    Manifest(folder / "out").close()  # nobody holds it


# --- what is shown ---------------------------------------------------------------------------------------------------


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.outside: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.outside += [value for name, value in attrs if name in ("src", "href") and not value.startswith("data:")]
        if tag not in ("img", "br", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_report_is_one_file_and_escapes_names():
    options = Options("<b>.png", "d.mp4", output="out/x.mp4")
    results = [JobResult(Job(options, "<script>"), "failed", error="a < b"), JobResult(Job(options, "fine"), "kept")]
    parser = Tags()
    page = report_page(results, 3.0)
    parser.feed(page)
    assert (parser.open, parser.outside) == ([], [])
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "a &lt; b" in page
    assert page.index("&lt;script&gt;") < page.index("fine")  # failures first


def test_the_real_thing_of_one_picture(folder, demo_cache):
    """A photo by a photo, with the program's own models: the file of a single run."""
    copy_cache(demo_cache, folder / "cache")
    portrait = ROOT / "demos/examples/1.jpg"
    job = Job(Options(portrait, portrait, output=folder / "batch.png"))
    models = LoadedModels(make=default_components)
    (result,) = run([job], Inline(models))
    assert result.error == ""
    single = replace(job.options, output=folder / "single.png", quiet=True)
    animate(single, models.get(single, Progress(quiet=True)))
    assert result.output.read_bytes() == (folder / "single.png").read_bytes()
    assert read_image(result.output).shape == (512, 1536, 3)
