"""What strangers' files do to a run: each is refused in one line and leaves nothing, or is taken and gives a result.

Cases that other files hold are not repeated here: test_cli.py (missing arguments, files that are not what they say, no
face, output over an input), test_image.py, test_video_faults.py, test_upstream_folder.py and test_options.py (readers).
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import bad_folders
import bad_motion
import bad_options
import bad_pictures
import bad_videos
import numpy as np
import pytest
from faces import PORTRAIT, face_clip, portrait, save_clip, tracked
from test_pipeline import FlatAvatar

import core.pipeline.run
from core.components import Components, default_components
from core.data.records import TrackedSource
from core.data.video import VideoReader
from inference import main

REFUSED = bad_pictures.REFUSED | bad_videos.REFUSED | bad_folders.REFUSED | bad_motion.REFUSED | bad_options.REFUSED


@pytest.fixture(scope="module")
def tracker():
    from core.libs.tracker.mediapipe_tracker import MediaPipeTracker

    tracker = MediaPipeTracker()
    yield tracker
    tracker.close()


@pytest.fixture(scope="module")
def plain(tracker) -> TrackedSource:
    """The portrait as it is."""
    from core.libs.tracker.source import track_source_image

    return track_source_image(portrait(), tracker)


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """The cache of tracked photos, of all cases: most have the same one."""
    from core.libs.tracker.cache import TrackCache

    return TrackCache(tmp_path_factory.mktemp("known"))


@pytest.fixture
def call(tmp_path, monkeypatch, capsys, caplog, tracker, known):
    """Run the command line in this process: its exit code, all that it said, and the photo as it was tracked.

    The tracker is the real one, opened once for all cases; the avatar is a grey picture.
    """
    from core.libs.flame_model import FLAMEModel
    from core.libs.flame_model.code_map import to_open
    from core.libs.tracker.cache import TrackCache
    from core.libs.tracker.crop import crop_image
    from core.libs.tracker.driver import track_driver
    from core.libs.tracker.folder import track_folder
    from core.libs.tracker.source import track_source

    photos: list[TrackedSource] = []
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cache = TrackCache()

    def components(options, model_name="lifted") -> Components:
        if model_name != "lifted":
            return default_components(options, model_name)

        def source(path, force):
            own = (tmp_path / "cache").exists()  # a test that lays one out is about it
            photos.append(track_source(path, tracker=tracker, cache=cache if own else known, force=force))
            return photos[-1]

        def driver(path, force, advance):
            return track_driver(path, tracker=tracker, cache=cache, force=force, progress=advance)

        def codes(track, came_from):
            return to_open(track, Path("assets/FLAME_with_eye.pt"), came_from)

        def folder(frames, force, advance):
            return track_folder(frames, tracker=tracker, cache=cache, force=force, progress=advance)

        return Components(source, driver, crop_image, FLAMEModel(), FlatAvatar(), convert=codes, track_folder=folder)

    def call(*arguments) -> tuple[int, str, list[TrackedSource]]:
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out + said.err + "\n".join(caplog.messages), photos

    monkeypatch.setattr(core.pipeline.run, "default_components", components)
    caplog.set_level(logging.WARNING)
    return call


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line(case, tmp_path, call):
    build, said = REFUSED[case]
    arguments = build(tmp_path)
    before = files(tmp_path) if not any(path.is_fifo() for path in tmp_path.iterdir()) else None
    code, text, _ = call(*arguments)
    assert code == 2, text
    line = text.strip().splitlines()[-1]
    assert line.startswith("error: ")
    assert said in line
    assert "Traceback" not in text
    assert not (tmp_path / "work/ran").exists()
    if before is not None:
        left = {name for name in files(tmp_path) if not name.startswith("cache/")}
        assert left == set(before)


# --- taken ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", bad_pictures.TAKEN)
def test_a_photo_that_is_taken(case, tmp_path, call, plain):
    name, make = bad_pictures.TAKEN[case]
    make(tmp_path / name)
    code, text, photos = call("-i", tmp_path / name, "-d", tracked(tmp_path / "driver"), "-o", "out.mp4")
    assert code == 0, text
    assert len(list(VideoReader(Path("out.mp4")))) == 2
    np.testing.assert_allclose(photos[0].frame.bbox, plain.frame.bbox, atol=0.02)
    got, expected = (source.shown()[0].astype(float) for source in (photos[0], plain))
    if case == "grey":
        got, expected = got.mean(2), expected @ [0.299, 0.587, 0.114]
    assert np.abs(got - expected).mean() < 6
    assert [path.name for path in Path().iterdir()] == ["out.mp4"]


@pytest.mark.parametrize("case", bad_videos.TAKEN)
def test_a_video_that_is_taken(case, tmp_path, call):
    name, make, frames, said = bad_videos.TAKEN[case]
    make(tmp_path / name)
    with VideoReader(tmp_path / name) as reader:
        times = [frame.time for frame in reader]
    code, text, _ = call("-i", PORTRAIT, "-d", tmp_path / name, "-o", "out.mp4")
    assert code == 0, text
    assert said in text
    result = VideoReader(Path("out.mp4"))
    assert [frame.time for frame in result] == pytest.approx(times, abs=1e-4)
    assert len(times) == frames
    assert result.has_audio == ("sound" in case)
    with av.open("out.mp4") as container:
        for stream in container.streams:
            assert stream.duration * stream.time_base <= Fraction(frames, 10) + Fraction(1, 10)
    assert [path.name for path in Path().iterdir()] == ["out.mp4"]


def test_an_output_that_exists_is_replaced(tmp_path, call):
    Path("out.mp4").write_bytes(b"old")
    code, text, _ = call("-i", PORTRAIT, "-d", tracked(tmp_path / "driver"), "-o", "out.mp4")
    assert code == 0, text
    assert len(list(VideoReader(Path("out.mp4")))) == 2


def test_what_is_left_of_a_killed_run_is_removed(tmp_path, call):
    for name in (".out-0123456789ab.part", ".other-0123456789ab.part"):
        Path(name).write_bytes(b"half")
    code, text, _ = call("-i", PORTRAIT, "-d", tracked(tmp_path / "driver"), "-o", "out.mp4")
    assert code == 0, text
    assert sorted(path.name for path in Path().iterdir()) == [".other-0123456789ab.part", "out.mp4"]


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path, call):
    (tmp_path / "cache").write_text("a file where the folder should be")
    code, text, _ = call("-i", PORTRAIT, "-d", save_clip(tmp_path / "a.mp4", face_clip(2)), "-o", "out.mp4")
    assert code == 0, text
    assert text.count("not kept for the next run") == 2
    assert len(list(VideoReader(Path("out.mp4")))) == 2


def test_a_cache_without_room_costs_only_time(tmp_path, call):
    (tmp_path / "cache").mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4k", "none", str(tmp_path / "cache")]
    if sys.platform != "linux" or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        code, text, _ = call("-i", PORTRAIT, "-d", save_clip(tmp_path / "a.mp4", face_clip(2)), "-o", "out.mp4")
        left = list(files(tmp_path / "cache"))
    finally:
        subprocess.run(["umount", str(tmp_path / "cache")], check=True)
    assert code == 0, text
    assert text.count("No space left on device") == text.count("not kept for the next run") == 2
    assert left == []
    assert len(list(VideoReader(Path("out.mp4")))) == 2


@pytest.mark.parametrize("option", ["-i", "-d"])
def test_a_file_that_may_not_be_read_is_refused(option, tmp_path, call):
    forbidden = tmp_path / "forbidden"
    save_clip(tmp_path / "a.mp4", face_clip(1)).rename(forbidden)
    forbidden.chmod(0)
    given = {"-i": PORTRAIT, "-d": tracked(tmp_path / "driver"), option: forbidden}
    user = os.geteuid()
    try:
        if user == 0:  # who may read everything
            os.seteuid(65534)
        code, text, _ = call(*(word for pair in given.items() for word in pair))
    finally:
        os.seteuid(user)
    assert code == 2, text
    assert re.fullmatch(r"error: .*forbidden.*Permission denied.*", text.strip().splitlines()[-1])


def test_the_cases_are_as_many_as_are_asked_for():
    assert len(REFUSED) + len(bad_pictures.TAKEN) + len(bad_videos.TAKEN) >= 60
    assert all(re.search(r"\w", said) for _, said in REFUSED.values())
