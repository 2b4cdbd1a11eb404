"""Work begun ahead: heard once it is waited for, ended where it is not wanted; who is heard while others are silent."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from core.data.image import write_image
from core.data.video import VideoWriter
from core.errors import UserError
from core.options import Options
from core.pipeline import Pipeline
from core.pipeline.driver import DriverStage
from core.runtime.ahead import Ahead
from core.runtime.native_log import Silencer
from core.runtime.progress import CancelledError, Progress
from tests import test_pipeline

WHAT = "photo", "driver"
CLIP = SimpleNamespace(tracked=None, frames=None, driver=Path("b.mp4"), kind="video")


class Endless:
    """Work that never ends of itself; `begun` when it is under way, `ended` by what."""

    def __init__(self) -> None:
        self.begun, self.ended = threading.Event(), None

    def __call__(self, *given):
        try:
            while True:
                given[-1](1, 2)
                self.begun.set()
        except BaseException as error:
            self.ended = type(error)
            raise


def test_work_ahead_gives_what_it_made_and_is_heard_once_it_is_waited_for():
    heard = threading.Event()

    def work(advance):
        while not heard.is_set():
            advance(3, 9)
        return "made"

    told = []
    assert Ahead(work).wait(lambda *at: (told.append(at), heard.set())) == "made"
    assert set(told) == {(3, 9)}


def test_an_error_of_work_ahead_is_raised_where_it_is_waited_for():
    def broken(advance):
        raise UserError("no face")

    ahead = Ahead(broken)
    with pytest.raises(UserError, match="no face"):
        ahead.wait(lambda *_: None)
    ahead.cancel()  # says nothing


def test_work_ends_where_whoever_waits_for_it_ends():
    def interrupted(done, total):
        raise KeyboardInterrupt

    threads = threading.active_count()
    work = Endless()
    with pytest.raises(KeyboardInterrupt):
        Ahead(work).wait(interrupted)
    assert work.ended is KeyboardInterrupt
    assert threading.active_count() <= threads + 1  # one that has ended may be counted a moment longer


def stage_of(track, begin=True):
    photo = SimpleNamespace(begin=lambda: None) if begin else lambda: None
    components = SimpleNamespace(track_driver=track, track_source=photo, people=None)
    return DriverStage(Options(Path("a.jpg"), CLIP.driver), components, "lifted", Progress(quiet=True))


@pytest.mark.parametrize("error", [UserError("no face in the photo"), KeyboardInterrupt()])
def test_an_error_of_the_photo_ends_the_driver_and_stands_alone(error):
    work = Endless()

    def see_the_photo():
        with stage_of(work).ahead(CLIP):
            assert work.begun.wait(10)
            raise error

    with pytest.raises(type(error)) as raised:
        see_the_photo()
    assert raised.value is error
    assert work.ended is CancelledError


def test_a_run_tracks_its_driver_beside_the_photo_and_says_both_in_order(tmp_path):
    photo, clip, said = tmp_path / "photo.png", tmp_path / "clip.mp4", io.StringIO()
    write_image(photo, np.full((64, 64, 3), 90, np.uint8))
    with VideoWriter(clip, test_pipeline.FPS, (64, 64)) as writer:
        for _ in range(3):
            writer.write(np.zeros((64, 64, 3), np.uint8))
    begun, tracked = threading.Event(), []

    def track(path, force, advance):
        begun.set()
        tracked.append(path)
        return test_pipeline.track_driver(path, force, advance)

    def begin(path, force):
        assert begun.wait(10)  # the driver does not wait for the photo
        return lambda: test_pipeline.track_source(path, force)

    photo_tracker = SimpleNamespace(begin=begin)
    parts = test_pipeline.fakes(track_source=photo_tracker, track_driver=track)
    run = Pipeline(Options(photo, clip, output=tmp_path / "out.mp4"), parts, Progress(stream=said))
    assert run.run().frames == 3
    assert tracked == [clip]
    lines = said.getvalue().splitlines()
    stages = [next(i for i, line in enumerate(lines) if line.startswith(f"tracking the {what}")) for what in WHAT]
    assert stages == sorted(stages)


def test_the_driver_is_not_begun_where_it_is_known_or_is_not_to_be():
    def never(*_):
        raise AssertionError("begun")

    for stage, inputs in (
        (stage_of(never, begin=False), CLIP),
        (stage_of(never), SimpleNamespace(**{**vars(CLIP), "kind": "image"})),
        (stage_of(never), SimpleNamespace(**{**vars(CLIP), "tracked": "known"})),
    ):
        with stage.ahead(inputs):
            assert stage._begun is None


def test_silence_lasts_as_long_as_one_of_several_threads_wants_it():
    out, end = os.pipe()
    silencer = Silencer(end)
    inner, leave = threading.Event(), threading.Event()

    def other():
        with silencer.silent():
            inner.set()
            leave.wait(10)
            os.write(end, b"other ")

    thread = threading.Thread(target=other)
    os.write(end, b"before ")
    with silencer.silent():
        thread.start()
        assert inner.wait(10)
        os.write(end, b"lost ")
        with silencer.heard():
            os.write(end, b"said ")
    os.write(end, b"lost ")  # the other thread's silence goes on
    leave.set()
    thread.join()
    with silencer.heard():
        os.write(end, b"after")
    os.close(end)
    with os.fdopen(out, "rb") as pipe:
        assert pipe.read() == b"before said after"
