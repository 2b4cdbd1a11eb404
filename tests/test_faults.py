"""Runs that are killed, interrupted, out of room or not alone: files are whole or absent, later runs as any other."""

from __future__ import annotations

import errno
import multiprocessing
import re
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from faces import save_clip
from small_run import FRAMES, NoisyAvatar, small_run
from test_pipeline import FlatAvatar, fakes, sequence, track_source

from benchmarks.faults import survive_full_disks, survive_kills
from core.data.image import read_image, write_image
from core.data.part_file import PartFile
from core.data.records import TRACK_FILE, TrackedSequence
from core.data.video import VideoReader
from core.errors import UserError
from core.libs.tracker.source import _load_source, _save_source
from core.options import Options
from core.pipeline import animate

ROOT = Path(__file__).parents[1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_image(tmp_path / "photo.png", np.full((64, 64, 3), 90, np.uint8))
    ramp = [np.full((64, 64, 3), 20 * i, np.uint8) for i in range(FRAMES)]
    save_clip(tmp_path / "driver.mp4", ramp, sound=FRAMES / 25)
    return tmp_path


def animated(folder: Path, components, **options):
    return animate(
        Options(folder / "photo.png", folder / "driver.mp4", output=folder / "out.mp4", **options), components
    )


# --- killed and full -----------------------------------------------------------------------------------------------


def test_after_a_kill_the_next_run_is_as_any_other(folder):
    survived = survive_kills(small_run, folder, kills=6, seed=1)
    assert survived.failures == ()
    assert survived.early > 0  # else nothing was tried


def test_a_full_disk_at_any_byte_is_one_line_and_no_file(folder):
    small_run(folder)
    size = (folder / "result.mp4").stat().st_size
    survived = survive_full_disks(small_run, folder, [1, 3000, size // 2, size - 1])
    assert survived.failures == ()
    assert survived.early == 4


def test_a_full_file_system(folder):
    mounted = folder / "small"
    mounted.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=20k", "none", str(mounted)]
    if sys.platform != "linux" or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        for name, driver in (("out.mp4", "driver.mp4"), ("out.png", "photo.png")):
            options = Options(folder / "photo.png", folder / driver, output=mounted / name, quiet=True)
            with pytest.raises(UserError, match="No space left on device"):
                animate(options, fakes(model=NoisyAvatar()))
            assert list(mounted.iterdir()) == []
        with pytest.raises(UserError, match="No space left on device"):
            write_noise_track(mounted)
        assert [path for path in mounted.rglob("*") if path.is_file()] == []
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


def write_noise_track(folder: Path) -> None:
    track = sequence([Fraction(i, 25) for i in range(2000)])
    noise = np.random.default_rng(0).random((2000, 100), np.float32)
    track.with_parameters({"expcode": noise}).save(folder / "track")


# --- ended early ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(143), RuntimeError("broken")])
def test_what_was_rendered_can_be_kept(folder, capsys, error):
    threads = set(threading.enumerate())  # a progress bar of another test may have left its own
    with pytest.raises(type(error)):
        animated(folder, fakes(model=FlatAvatar(6, error)), keep_partial=True)
    kept = VideoReader(folder / "out-partial.mp4")
    frames = [frame.image for frame in kept]
    assert 1 <= len(frames) <= 6  # a few may still have been waiting for the encoder
    assert kept.has_audio
    assert f"kept: {folder / 'out-partial.mp4'}, the first {len(frames)} of" in capsys.readouterr().err
    with av.open(str(folder / "out-partial.mp4")) as container:
        assert "AI-generated" in container.metadata["comment"]
    assert not (folder / "out.mp4").exists()
    assert not list(folder.glob(".*"))
    assert set(threading.enumerate()) <= threads


def test_nothing_rendered_is_nothing_kept(folder):
    with pytest.raises(RuntimeError):
        animated(folder, fakes(model=FlatAvatar(0, RuntimeError("at once"))), keep_partial=True)
    assert sorted(path.name for path in folder.iterdir()) == ["driver.mp4", "photo.png"]


def test_a_whole_result_leaves_no_partial_one(folder):
    animated(folder, fakes(), keep_partial=True)
    assert sorted(path.name for path in folder.iterdir()) == ["driver.mp4", "out.mp4", "photo.png"]


def test_a_thread_that_hangs_does_not_keep_an_interrupted_process(tmp_path):
    code = (
        "import os, signal, sys, time\n"
        "from pathlib import Path\n"
        "from core.data.part_file import PartFile\n"
        "from core.runtime.interrupt import interruptible\n"
        "with interruptible():\n"
        "    part = PartFile(Path(sys.argv[1]) / 'out.mp4')\n"
        "    os.kill(os.getpid(), signal.SIGTERM) if len(sys.argv) > 2 else None\n"
        "    while True:\n"
        "        try:\n"
        "            print('up', flush=True)\n"
        "            time.sleep(60)\n"
        "        except BaseException:\n"
        "            pass\n"  # as a library may
    )
    process = subprocess.Popen([sys.executable, "-c", code, tmp_path], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout.readline()
    process.terminate()
    assert process.wait(20) == 143
    assert list(tmp_path.iterdir()) == []


def test_a_signal_while_llvm_calls_back_is_raised_after_it(tmp_path):
    """An exception in a callback is printed and lost, and the compiler that called crashes now and then."""
    code = (
        "import ctypes, os, signal, time\n"
        "from core.runtime.interrupt import interruptible\n"
        "def interrupted():\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    for _ in range(1000): pass\n"
        "    print('whole', flush=True)\n"
        "compiler = {'__name__': 'llvmlite.binding.executionengine', 'interrupted': interrupted}\n"
        "exec('def called(): interrupted()', compiler)\n"
        "with interruptible() as interruption:\n"
        "    interruption.allow(30)\n"
        "    ctypes.CFUNCTYPE(None)(compiler['called'])()\n"
        "    time.sleep(20)\n"
        "    print('never raised')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (143, "whole\n", "")


# --- not alone -----------------------------------------------------------------------------------------------------


def _save_and_load(folder: Path, number: int, failures) -> None:
    track = sequence([Fraction(i, 25) for i in range(50)])
    track = track.with_parameters({"expcode": np.full((50, 100), number, np.float32)})
    for _ in range(25):
        try:
            track.save(folder)
            loaded = TrackedSequence.load(folder).expcode
            if not (loaded == loaded[0, 0]).all():
                failures.put("a mixture of two")
        except BaseException as error:
            failures.put(repr(error))


def test_processes_at_one_entry_of_the_cache_do_not_harm_each_other(tmp_path):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["core.pipeline"])
    failures = context.Queue()
    processes = [context.Process(target=_save_and_load, args=(tmp_path, i, failures)) for i in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert failures.empty()
    assert [path.name for path in tmp_path.iterdir()] == [TRACK_FILE]


def test_a_file_under_way_is_not_taken_for_a_leftover(tmp_path):
    with PartFile(tmp_path / "out.mp4") as mine:
        mine.path.write_bytes(b"mine")
        with PartFile(tmp_path / "out.mp4") as other:  # another run to the same place
            other.path.write_bytes(b"other")
            assert mine.path.exists()
            other.finish()
        mine.finish()
    assert (tmp_path / "out.mp4").read_bytes() == b"mine"
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_a_long_name_has_room_for_its_part(tmp_path):
    target = tmp_path / ("人" * 80 + ".mp4")
    with PartFile(target) as part:
        part.finish()
    assert target.exists()


def test_a_damaged_entry_of_the_cache_is_made_again(folder, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    small_run(folder)
    expected = (folder / "result.mp4").read_bytes()
    (entry,) = (folder / "cache").rglob(TRACK_FILE)
    whole = entry.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], whole[:3000] + b"\0" * 40 + whole[3040:]):
        entry.write_bytes(damaged)
        small_run(folder)
        assert (folder / "result.mp4").read_bytes() == expected
        assert len(TrackedSequence.load(entry.parent)) == FRAMES


def test_a_photo_in_the_cache_that_does_not_fit_is_not_taken(folder):
    source = track_source(folder / "photo.png", False)
    _save_source(folder / "a" / "source.npz", source)
    assert _load_source(folder / "a" / "source.npz") is not None
    object.__setattr__(source, "matte", source.matte[1:])
    _save_source(folder / "a" / "source.npz", source)
    assert _load_source(folder / "a" / "source.npz") is None


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the kernel does not say what a process holds")
def test_many_runs_in_one_process_hold_no_more_than_a_few():
    """In a process of its own: what other tests left behind comes and goes."""
    script = Path(__file__).with_name("small_run.py")
    printed = subprocess.run([sys.executable, str(script), "25"], capture_output=True, text=True, check=True).stdout
    few, many = (tuple(int(n) for n in re.findall(r"\d+", line)[1:]) for line in printed.splitlines())
    assert many[0] <= few[0] + 30  # MiB; one run's pictures take as much
    assert many[1:] == few[1:]


# --- the decoder and the disk fail ---------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [0, 5, FRAMES - 1])
def test_a_decoder_that_fails_from_frame_k_on(folder, monkeypatch, k):
    """What was decoded is used, the rest is counted; where nothing was, the file is refused."""
    number = 0
    decode = av.Packet.decode

    class Failing:
        def __init__(self, packet: av.Packet) -> None:
            self._packet = packet

        def decode(self):
            nonlocal number
            number += 1
            if number > k:
                raise av.error.InvalidDataError(errno.EIO, "made to fail")
            return decode(self._packet)

    monkeypatch.setattr("core.data.video.VideoReader._decode", _decode_with(Failing), raising=True)
    if k == 0:
        with pytest.raises(UserError, match="no frame that can be decoded"):
            VideoReader(folder / "driver.mp4")
        return
    reader = VideoReader(folder / "driver.mp4")
    number = 0
    assert len(list(reader)) <= k
    assert reader.lost >= FRAMES - k


def _decode_with(wrapped):
    """`VideoReader._decode` over packets that are wrapped."""
    original = VideoReader._decode

    class Container:
        def __init__(self, container) -> None:
            self._container = container

        def demux(self, stream):
            return (wrapped(packet) for packet in self._container.demux(stream))

    return lambda self, container, stream: original(self, Container(container), stream)


def test_a_driver_that_vanishes_after_tracking(folder):
    def track_driver(path, force, advance):
        path.unlink()
        return sequence([Fraction(i, 25) for i in range(3)], Fraction(25))

    with pytest.raises(UserError, match="does not exist"):
        animated(folder, fakes(track_driver=track_driver))
    assert [path.name for path in folder.iterdir()] == ["photo.png"]


# --- every result says what it is ----------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["mp4", "m4v", "mov", "png", "jpg", "jpeg"])
@pytest.mark.parametrize("layout", ["compare", "result"])
def test_mark_and_metadata_in_every_kind_of_output(folder, ending, layout):
    video = ending in ("mp4", "m4v", "mov")
    images = []
    for bare in (False, True):
        driver = folder / ("driver.mp4" if video else "photo.png")
        output = folder / f"{bare}.{ending}"
        options = Options(folder / "photo.png", driver, output=output, layout=layout, no_watermark=bare, quiet=True)
        animate(options, fakes())
        assert b"AI-generated: this is synthetic media" in output.read_bytes()
        images.append(next(iter(VideoReader(output))).image if video else read_image(output))
    differs = np.argwhere(np.abs(images[0].astype(int) - images[1]).max(2) > 40)
    assert len(differs) > 50
    assert differs.min(0)[0] > 460
    assert differs.min(0)[1] > images[0].shape[1] - 200
